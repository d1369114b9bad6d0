"""Learning from the new labels: who teaches, who judges, what is told, and what a person has to say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs import models
from biocosmos.jobs.identify import identify_collection
from biocosmos.jobs.refit import ALONE, HELD_OUT, named_now, refit
from biocosmos.jobs.refit_compare import compared
from biocosmos.specimens import by_hand, guard
from biocosmos.specimens.records import Source

TAXA = ("Copepoda", "Rotifera", "Ostracoda", "Chaetognatha")
ENCODER = "made"


def collection_of(folder: Path, rng: np.random.Generator, each: int = 60, labelled: int = 6) -> bc.Collection:
    """Four taxa as four noisy directions; only the first of each have a label, in the order stored."""
    made = bc.Collection.create(folder / "made.cosmos")
    rows, vectors = [], []
    for place, taxon in enumerate(TAXA):
        for number in range(each):
            rows.append({"id": f"{taxon}-{number:03d}", "class": taxon if number < labelled else None})
            other = np.eye(8)[6] * 1.5 if taxon == "Rotifera" and number >= 30 else 0  # what may be another taxon
            vectors.append(np.eye(8)[place] * 1.1 + other + rng.normal(0, 0.6, 8))
    table = pa.Table.from_pylist(rows, schema=pa.schema([("id", pa.string()), ("class", pa.string())]))
    made.add(Source("made", "made", table.to_batches(), ("class",)))
    made.add_embedding(ENCODER, table["id"], np.array(vectors, np.float32))
    return made


@pytest.fixture
def made(tmp_path: Path) -> bc.Collection:
    return collection_of(tmp_path, np.random.default_rng(3))


def say(
    collection: bc.Collection, ids: list[str], taxon: str | None = None, *, by: str = "ada", status: Any = "validated"
) -> None:
    taxa = [taxon or id_.partition("-")[0] for id_ in ids]
    by_hand.record(collection, {"id": ids, "taxon": taxa, "rank": ["class"] * len(ids)}, by=by, status=status)


def everyone(numbers: range) -> list[str]:
    return [f"{taxon}-{number:03d}" for taxon in TAXA for number in numbers]


def test_nobody_who_is_held_out_teaches_whatever_people_say(made: bc.Collection) -> None:
    say(made, everyone(range(6, 60)))
    done = refit(made, name="first")
    held = made.split(HELD_OUT).part("test")
    assert done.identifier.known is not None
    assert not len(guard.common(held, done.identifier.known.ids)) and not guard.shared(held, done.folder)
    record = guard.Fitted.load(done.folder)
    assert set(record.used("fitted").to_pylist()) == set(done.identifier.known.ids)
    assert done.model.counts["held_out"] == len(held) and done.model.counts["fitted"] == len(made) - len(held)
    # an identifier that has learnt from them is refused by the same guard
    with pytest.raises(BiocosmosError, match="trained"):
        guard.refuse(done.identifier.known.ids, done.folder)


def test_the_held_out_part_is_drawn_once_and_new_names_in_it_judge(made: bc.Collection) -> None:
    say(made, everyone(range(6, 20)))
    first = refit(made, name="first")
    hash_ = made.split(HELD_OUT).hash
    say(made, everyone(range(20, 60)))
    second = refit(made, name="second")
    assert made.split(HELD_OUT).hash == hash_ and second.model.counts["held_out"] > first.model.counts["held_out"]


def test_the_part_test_of_the_default_split_judges_where_there_is_one(made: bc.Collection) -> None:
    made.make_split("random")
    say(made, everyone(range(6, 60)))
    done = refit(made, name="first")
    assert HELD_OUT not in made.split_names and done.identifier.known is not None
    assert not len(guard.common(made.split().part("test"), done.identifier.known.ids))
    assert len(guard.common(made.split().part("val"), done.identifier.known.ids)) == made.split().counts()["val"]


def test_people_go_before_labels_and_the_doubted_and_disputed_teach_nothing(made: bc.Collection) -> None:
    say(made, ["Copepoda-000"], "Rotifera")
    say(made, ["Copepoda-001"], "Copepoda", status="dubious")
    say(made, ["Copepoda-002"], "Rotifera", by="ada")
    say(made, ["Copepoda-002"], "Ostracoda", by="bob")
    say(made, ["Rotifera-050"], "Novataxon")
    found = named_now(made, ENCODER)
    called = dict(zip(found.gallery.ids, found.gallery.labels))
    assert called["Copepoda-000"] == "Rotifera" and called["Rotifera-050"] == "Novataxon"
    left = set(found.gallery.ids[found.left])
    assert left == {"Copepoda-001", "Copepoda-002"}
    known = found.known(found.gallery.taxa)  # type: ignore[arg-type]
    assert not left & set(known.ids)
    own = found.gallery.taxonomy.names[found.own[list(found.gallery.ids).index("Copepoda-000")]]  # type: ignore[union-attr]
    assert own == "Copepoda"


def test_what_changed_is_told_with_the_intervals_of_a_plain_paired_bootstrap(made: bc.Collection) -> None:
    say(made, everyone(range(6, 60)))
    done = refit(made, name="first")
    assert done.model.against == ALONE
    named = named_now(made, ENCODER)
    judging = named.judging()
    row = next(row for row in done.model.ranks if row["what"] == "class")
    truth = judging.taxonomy.names[judging.taxa]  # type: ignore[index,union-attr]
    new = _said(done.identifier, judging)
    from biocosmos.jobs.refit import _fitted
    from biocosmos.jobs.refit_settings import RefitSettings

    old = _said(_fitted(named, named.own, RefitSettings(), ALONE), judging)
    before, after = old == truth, new == truth
    assert row["before"] == pytest.approx(before.mean()) and row["after"] == pytest.approx(after.mean())
    change = after.astype(float) - before
    assert row["value"] == pytest.approx(change.mean()) and row["specimens"] == len(truth)
    rng = np.random.default_rng(11)
    draws = [change[rng.integers(0, len(change), len(change))].mean() for _ in range(4000)]
    low, high = np.quantile(draws, (0.025, 0.975))
    assert row["low"] == pytest.approx(low, abs=0.02) and row["high"] == pytest.approx(high, abs=0.02)
    assert row["after"] > row["before"], "240 names teach more than 24"
    for taxon in done.model.taxa:
        here = truth == taxon["taxon"]
        assert taxon["specimens"] == here.sum() and taxon["gained"] == (after & ~before)[here].sum()
        assert taxon["lost"] == (before & ~after)[here].sum() and taxon["low"] <= taxon["value"] <= taxon["high"]
    given = next(row for row in done.model.ranks if row["measure"] == "answered")
    answers = done.identifier.identify(judging)
    assert given["after"] == pytest.approx(np.mean([taxon is not None for taxon in answers["taxon"].to_pylist()]))


def _said(identifier: bc.Identifier, judging: bc.Gallery) -> np.ndarray:
    namer = identifier.namer
    scores = namer.scores(judging.vectors)  # type: ignore[attr-defined]
    return np.asarray(namer.taxonomy.names[namer.classes[scores.argmax(1)]])


def test_nothing_is_promoted_by_itself_and_what_is_promoted_names(made: bc.Collection) -> None:
    say(made, everyone(range(6, 40)))
    first = refit(made, name="first")
    assert models.promoted(made) is None
    plain = identify_collection(made, part="unlabelled")
    assert not any("first" in note for note in plain.notes)
    said = models.promote(made, "first", by="Ada")
    assert (said.name, said.by) == ("first", "Ada") and models.promoted(bc.Collection.open(made.path)) == said
    done = identify_collection(made, part="unlabelled")
    assert any("named by first, which Ada put to use" in note for note in done.notes)
    assert not set(done.table["id"].to_pylist()) & set(first.identifier.known.ids)  # type: ignore[union-attr]
    for other in ({"method": "nearest"}, {"error_rate": 0.3}):
        again = identify_collection(made, part="unlabelled", **other)
        assert not any("put to use" in note for note in again.notes)
    same = identify_collection(made, part="unlabelled", error_rate=0.1)
    assert any("put to use" in note for note in same.notes) or same.identifier.promise is None


def test_the_next_refit_is_compared_with_the_one_in_use_even_where_names_are_new(made: bc.Collection) -> None:
    say(made, everyone(range(6, 30)))
    refit(made, name="first")
    models.promote(made, "first", by="Ada")
    say(made, everyone(range(30, 60)))
    say(made, [f"Rotifera-{number:03d}" for number in range(30, 60)], "Novataxon")
    second = refit(made, name="second")
    assert second.model.against == "first" and second.page is not None and second.page.is_file()
    new = next(row for row in second.model.taxa if row["taxon"] == "Novataxon")
    assert new["before"] == 0 and new["after"] > 0, "the one in use has never heard of it"
    assert [each.name for each in models.models(made)] == ["second", "first"]


def test_one_in_use_that_has_learnt_from_the_held_out_is_not_compared_with(made: bc.Collection) -> None:
    say(made, everyone(range(6, 60)))
    refit(made, name="first")
    models.promote(made, "first")
    made.make_split("random", seed=8)  # another part "test" from now on
    second = refit(made, name="second")
    assert second.model.against == ALONE and any("not compared with first" in note for note in second.model.notes)


def test_where_nobody_held_out_has_a_name_that_is_told_and_where_nothing_is_named_it_is_refused(tmp_path: Path) -> None:
    made = collection_of(tmp_path, np.random.default_rng(1), labelled=0)
    with pytest.raises(BiocosmosError, match="label some first"):
        refit(made, name="first")
    test = set(made.split(HELD_OUT).part("test").to_pylist())
    say(made, [id_ for id_ in everyone(range(60)) if id_ not in test])
    done = refit(made, name="first")
    assert done.model.counts["held_out"] == 0 and done.page is None and "has no name yet" in done.model.says
    say(made, sorted(test))
    second = refit(made, name="second")
    assert second.model.against is None and second.model.ranks[0]["value"] is None, "no label of its own to compare with"


def test_names_and_models_that_cannot_be_are_refused(made: bc.Collection) -> None:
    say(made, everyone(range(6, 30)))
    refit(made, name="first")
    with pytest.raises(BiocosmosError, match="already"):
        refit(made, name="first")
    for name in ("../first", "none", ".first", "a/b"):
        with pytest.raises(BiocosmosError):
            models.promote(made, name)
    with pytest.raises(BiocosmosError):
        refit(made, name="../outside")
    shutil.copy(made.path / "models" / "first" / "model.json", made.path / "models" / "first" / "kept.json")
    (made.path / "models" / "first" / "model.json").write_text("{}")
    assert models.models(made) == []
    with pytest.raises(BiocosmosError, match="what is told of a model"):
        models.promote(made, "first")


def test_a_promoted_model_of_vectors_that_are_gone_is_told_and_not_used(made: bc.Collection) -> None:
    say(made, everyone(range(6, 30)))
    refit(made, name="first")
    models.promote(made, "first")
    rng = np.random.default_rng(9)
    ids = made.table(["id"])["id"]
    made.add_embedding(ENCODER, ids, rng.normal(size=(len(ids), 8)).astype(np.float32), overwrite=True)
    done = identify_collection(made, part="unlabelled")
    assert any("cannot be" in failure.reason for failure in done.failures)
    with pytest.raises(BiocosmosError, match="other vectors"):
        models.promote(made, "first")


def test_a_model_is_not_compared_with_itself(made: bc.Collection) -> None:
    say(made, everyone(range(6, 30)))
    done = refit(made, name="first")
    with pytest.raises(BiocosmosError, match="itself"):
        compared(("first", done.identifier), ("first", done.identifier), named_now(made, ENCODER).judging(), "x", 0)
