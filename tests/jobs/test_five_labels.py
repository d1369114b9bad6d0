"""A new source by the command line: some of each taxon are chosen, a person names them, and a head is fitted on these too."""

from __future__ import annotations

import csv

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.refit import _labelled, refit
from biocosmos.specimens.by_hand import names_now
from quantified_sample import SPECIES, cruise


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bc.Collection, dict[str, str]]:
    """A cruise that nobody has named, and the right names."""
    folder = tmp_path_factory.mktemp("five")
    named = cruise(folder / "named")
    truth = dict(zip(*(named.table(["id", "species"])[name].to_pylist() for name in ("id", "species"))))
    return cruise(folder / "bare", named=False), truth


def test_five_labels_of_each_class_are_chosen_edited_and_learnt_from(pair, tmp_path, biocosmos):
    mine, truth = pair
    five = tmp_path / "five.csv"
    biocosmos("discover", "queue", mine.path, "--strategy", "each", "--where", "sample = 'blurred'", "-o", five)
    rows = list(csv.DictReader(five.open()))
    assert len(rows) == 5 * len(SPECIES) and {row["taxon"] for row in rows} <= set(SPECIES)
    for row in rows:
        row["taxon"] = truth[row["id"]]
    rows[0]["taxon"] = ""
    with five.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = refit(mine, labels=five, name="five")
    assert any("14 labels of" in note for note in done.model.notes)
    assert done.model.counts["by_people"] + done.model.counts["held_out"] == len(rows) - 1
    with pytest.raises(BiocosmosError, match="no label of"):
        refit(mine, labels=_table(tmp_path, "id,taxon\nnobody,Acartia clausi\n"), name="none")
    with pytest.raises(BiocosmosError, match="columns id and taxon"):
        refit(mine, labels=_table(tmp_path, "id,name\nnobody,Acartia clausi\n"), name="none")


def test_labels_from_a_spreadsheet_keep_their_ids(tmp_path):
    mine = bc.Collection.create(tmp_path / "numbered.cosmos")
    mine.add(pa.table({"id": ["007", "008"], "text": ["a", "b"], "species": ["Acartia clausi", None]}))
    table = _table(tmp_path, "\ufeffid;taxon;novelty\n007;;0,5\n008;Acartia clausi;0,25\n")
    assert _labelled(mine, table, "Ada")[0].startswith("1 labels of") and names_now(mine)[0]["id"].to_pylist() == ["008"]


def _table(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path
