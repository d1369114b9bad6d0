"""identify --shares: names by what a community holds, only where the gate lets them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.held_out import HeldOut, Part
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.quantification import Validation
from biocosmos.jobs.identify import identify_collection
from biocosmos.jobs.shared_names import BEFORE, HOW
from biocosmos.jobs.who_names import identifier_of
from biocosmos.tables import PROVENANCE_KEY
from quantified_sample import EACH, cruise


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return cruise(tmp_path_factory.mktemp("shares"))


def only(sample: str) -> str:
    """What is known, and this sample."""
    return f"part != 'test' OR sample = '{sample}'"


def right(collection: bc.Collection, table: pa.Table, column: str) -> float:
    ids = table["id"].to_pylist()
    truth = collection.take(ids, columns=["species"])["species"].to_pylist()
    return float(np.mean([a == b for a, b in zip(truth, table[column].to_pylist())]))


def test_another_community_is_named_by_its_shares(mine):
    done = identify_collection(mine, part="test", where=only("st2"), shares="emq")
    assert done.shares.found.corrected and done.table[HOW].to_pylist() == ["emq"] * EACH
    assert right(mine, done.table, "best_guess") >= right(mine, done.table, BEFORE)
    assert "does not hold" in done.describe() and not any("promise" in note for note in done.notes[2:])
    facts = json.loads(done.table.schema.metadata[PROVENANCE_KEY])
    assert facts["promise"] is None and facts["shares"]["gate"]["open"] and len(facts["shares"]["shares"]) == 3
    plain = identify_collection(mine, part="test", where=only("st2"))
    assert plain.table["best_guess"].to_pylist() == done.table[BEFORE].to_pylist() and HOW not in plain.table.column_names
    for column in ("novelty", "novelty_p", "neighbours"):
        assert plain.table[column].to_pylist() == done.table[column].to_pylist()


def test_other_images_keep_their_names_and_five_labels_are_offered(mine):
    done = identify_collection(mine, part="test", where=only("blurred"), shares="emq")
    plain = identify_collection(mine, part="test", where=only("blurred"))
    assert not done.shares.found.corrected and "label 5 specimens of each class" in done.notes[0]
    assert done.table["best_guess"].to_pylist() == plain.table["best_guess"].to_pylist()
    assert done.describe() == plain.describe() and done.table[HOW].null_count == EACH


def test_the_table_says_what_was_corrected(mine, tmp_path, biocosmos):
    biocosmos("identify", mine.path, "--part", "test", "--where", only("st1"), "--shares", "emq", "-o", tmp_path / "a.csv")
    head, first, *_ = (tmp_path / "a.csv").read_text().splitlines()
    assert '"uncorrected"' in head and '"shares"' in head and first.endswith('"emq"')


def test_what_cannot_be_corrected_is_refused(mine, biocosmos):
    told = biocosmos("identify", mine.path, "--part", "test", "--shares", "emq", "--sets", "genus", fails=2)
    assert "--shares does nothing here" in told
    whole = identifier_of(mine, part="test", where=only("st1"))
    with pytest.raises(BiocosmosError, match="keeps none"):
        Validation.of(replace(whole, held=None))
    with pytest.raises(BiocosmosError, match="40 validation specimens"):
        Validation.of(replace(whole, held=whole.held.subset(np.arange(9))))


def test_a_kept_identifier_tells_the_same_shares(mine, tmp_path):
    whole = identifier_of(mine, part="test", where=only("st1"))
    loaded = Identifier.load(whole.save(tmp_path / "kept"))
    one, other = Validation.of(whole), Validation.of(loaded)
    assert one.posteriors == pytest.approx(other.posteriors) and one.prior == pytest.approx([1 / 3] * 3)
    assert (one.features == other.features).all() and (one.classes == other.classes).all()
    assert one.temperature == other.temperature and len(one) == 150


def test_specimens_whose_taxon_was_hidden_say_nothing_of_errors(mine):
    whole = identifier_of(mine, part="test", where=only("st1"))
    unseen = np.arange(len(whole.held)) % 2 == 0
    held = HeldOut((Part(whole.held, whole.held, unseen),), "made up", True)
    kept = Identifier.around(whole.namer, held, known=whole.known, rules=AnswerRules(threshold=0.5)).held
    assert kept.ids.tolist() == whole.held.ids[~unseen].tolist()
