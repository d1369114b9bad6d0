"""evaluate --names: tables of names judged side by side, whoever made them, with seen and unseen species apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.specimens.records import Source

Run = Callable[..., str]
RANKS = ("family", "genus", "species")
KNOWN = [("k1", "F", "Aa", "Aa una"), ("k2", "F", "Aa", "Aa duo"), ("k3", "F", "Bb", "Bb una")]
ASKED = [("s1", "F", "Aa", "Aa una"), ("s2", "F", "Aa", "Aa duo"), ("s3", "F", "Bb", "Bb una")]
UNSEEN = [("u1", "F", "Aa", "Aa nova"), ("u2", "F", "Bb", "Bb nova")]
ONE = {  # id: (genus, species, taxon, rank, confidence)
    "s1": ("Aa", "Aa una", "Aa una", "species", 0.99),
    "s2": ("Aa", "Aa una", "Aa una", "species", 0.9),  # a wrong species
    "s3": ("Bb", "Bb una", "Bb", "genus", 0.6),
    "u1": ("Aa", "Aa duo", "Aa duo", "species", 0.9),  # a species for one that nobody knows
    "u2": ("Bb", "Bb una", "Bb", "genus", 0.5),
}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """Three known specimens, three of their species, two of other species of the known genera."""
    parts = {"train": KNOWN, "test": ASKED, "test_unseen": UNSEEN}
    rows = [dict(zip(("id", *RANKS), row, strict=True)) | {"part": part} for part, some in parts.items() for row in some]
    made = bc.Collection.create(tmp_path_factory.mktemp("told") / "coi.cosmos")
    table = pa.Table.from_pylist([{**row, "barcode": "ACGT" * 40} for row in rows])
    made.add(Source("told", "table", table.to_batches(), RANKS))
    made.make_split("column", column="part")
    return made


def written(path: Path, rows: dict[str, Any]) -> Path:
    lines = ["id,family,genus,species,species_confidence,genus_confidence,taxon,rank,confidence,novel,method"]
    for id_, (genus, species, taxon, rank, p) in rows.items():
        lines.append(f"{id_},F,{genus},{species},{p},{p},{taxon},{rank},{p},false,mine")
    path.write_text("\n".join(lines) + "\n")
    return path


def counts(rows: list[dict[str, Any]], group: str, rank: str, namer: str = "ours") -> tuple[int, ...]:
    row = next(row for row in rows if (row["namer"], row["group"], row["rank"]) == (namer, group, rank))
    return tuple(row[name] for name in ("queries", "answered", "right", "wrong"))


def test_two_tables_are_judged_side_by_side_with_seen_and_unseen_apart(
    biocosmos: Run, collection: bc.Collection, tmp_path: Path
) -> None:
    ours = written(tmp_path / "ours.csv", ONE)
    careful = {**ONE, "u1": ("Aa", "Aa duo", "Aa", "genus", 0.7), "s2": ("Aa", "Aa duo", "Aa duo", "species", 0.9)}
    theirs = written(tmp_path / "theirs.csv", careful)
    words = ["--names", ours, "--names", theirs, "--queries", "test+test_unseen", "--gallery", "train", "-o", tmp_path / "report"]
    biocosmos("evaluate", collection.path, *words)
    tables = read_tables(tmp_path / "report")
    rows = tables["seen_named"].to_pylist()
    groups = {row["group"] for row in rows}
    seen, unseen = next(g for g in groups if g.startswith("seen")), next(g for g in groups if g.startswith("unseen"))
    assert counts(rows, seen, "species") == (3, 2, 1, 1) and counts(rows, unseen, "species") == (2, 1, 0, 1)
    assert counts(rows, unseen, "genus") == (2, 2, 2, 0)
    assert counts(rows, seen, "species", "theirs") == (3, 2, 2, 0) and counts(rows, unseen, "species", "theirs") == (2, 0, 0, 0)
    right = {
        (row["namer"], row["target"]): row["value"]
        for row in tables["ranks_summary"].to_pylist()
        if row["measure"] == "accuracy" and row["average"] == "micro" and row["branch"] == "all" and row["over"] == "answerable"
    }
    assert right["ours", "species"] == pytest.approx(2 / 3) and right["theirs", "species"] == 1.0
    assert right["ours", "genus"] == 1.0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "unseen species given a wrong species, ours" in page and "1 of 2 queries" in page


def test_what_a_table_says_nothing_of_has_no_answer_and_strange_rows_are_told(collection: bc.Collection, tmp_path: Path) -> None:
    rows = {id_: ONE[id_] for id_ in ("s3", "s1")} | {"nobody": ONE["s1"]}
    report = evaluate_collection(collection, names=(written(tmp_path / "ours.csv", rows),), gallery="train")
    found = report.rows("seen_named", rank="species")
    assert (found[0]["queries"], found[0]["answered"], found[0]["right"]) == (3, 1, 1)
    assert any("1 of 3 specimens of part 'test' are not in ours.csv" in caveat for caveat in report.caveats)
    assert any("1 rows of ours.csv are of no specimen of part 'test'" in caveat for caveat in report.caveats)


def test_any_table_with_ids_and_ranks_is_judged(collection: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "web.csv").write_text("id,genus,species\ns1,Aa,Aa una\ns2,Aa,\ns3,,\n")
    report = evaluate_collection(collection, names=(tmp_path / "web.csv",), gallery="train")
    rows = {row["rank"]: (row["answered"], row["right"]) for row in report.rows("seen_named", group="all")}
    assert rows["species"] == (1, 1) and rows["genus"] == (2, 2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,colour\ns1,red\n", "no column 'species'"),
        ("name,species\ns1,Aa una\n", "no column 'id'"),
        ("id,species\nx,Aa una\n", "names no specimen of part 'test'"),
        ("id,species\ns1,Aa una\ns1,Aa duo\n", "names 1 specimens twice"),
        ("id,species\n", "no names|no specimen"),
    ],
)
def test_what_is_no_table_of_names_is_refused(collection: bc.Collection, tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "names.csv").write_text(content)
    with pytest.raises(BiocosmosError, match=reason):
        evaluate_collection(collection, names=(tmp_path / "names.csv",), gallery="train")


def test_options_of_embeddings_are_refused(biocosmos: Run, collection: bc.Collection, tmp_path: Path) -> None:
    ours = written(tmp_path / "ours.csv", ONE)
    for more in (["--protocol", "ranks"], ["-e", "kmer:5"], ["--method", "nearest"], ["--by", "genus"], ["--error-rate", "0.1"]):
        assert "does nothing here" in biocosmos("evaluate", collection.path, "--names", ours, *more, fails=2)
