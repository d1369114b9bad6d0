"""Names of other tools beside our own: vsearch's SINTAX run here, blast6, uc and sintax files read, one table for all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
import warm
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.jobs import other_tools
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.other_tools import named_by_tool
from biocosmos.specimens.records import Source

Run = Callable[..., str]
VSEARCH = shutil.which("vsearch")
needs_vsearch = pytest.mark.skipif(VSEARCH is None, reason="vsearch is not installed")
TABLE = simulate_barcodes(seed=1, species=12, specimens=96)


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """96 simulated barcodes of 12 species, split; its barcodes are in no vector."""
    collection = bc.Collection.create(tmp_path_factory.mktemp("coi") / "coi.cosmos")
    collection.add(Source("coi", "table", TABLE.to_batches(), RANKS))
    collection.make_split("stratified", seed=0, rank="species")
    return collection


def fasta(path: Path, table: pa.Table, *more: str) -> Path:
    rows = [f">new_{row['id']} words\n{row['barcode']}\n" for row in table.to_pylist()]
    path.write_text("".join([*rows, *more]))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@needs_vsearch
def test_sintax_names_a_fasta_in_our_own_table(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    asked = fasta(tmp_path / "new.fasta", TABLE.slice(0, 20), ">protein\nMKVLELP\n", ">empty\n\n", ">short\nACGTACGT\n")
    biocosmos("identify", coi.path, asked, "--method", "sintax", "-o", tmp_path / "names.csv")
    rows = rows_of(tmp_path / "names.csv")
    assert [row["id"] for row in rows] == [f"new_{id_}" for id_ in TABLE["id"].to_pylist()[:20]]
    assert [row["species"] for row in rows[:20]] == TABLE["species"].to_pylist()[:20]
    assert {row["method"] for row in rows} == {"vsearch sintax"}
    assert all(float(row["family_confidence"]) >= float(row["species_confidence"]) for row in rows[:20])
    failed = [(row["id"], row["row"]) for row in rows_of(tmp_path / "names.failures.csv")]
    assert sorted(failed, key=lambda pair: pair[1]) == [
        ("protein", "21"),
        ("empty", "22"),
        ("short", "23"),
    ]  # cleaned as at ingest
    facts = json.loads((tmp_path / "names.csv.provenance.json").read_text())
    assert facts["tool"]["program"] == "vsearch" and facts["threshold"] == 0.8 and facts["gallery"]["specimens"] == 96


@needs_vsearch
def test_sintax_names_a_part_by_the_part_train_and_as_vsearch_itself_does(coi: bc.Collection, tmp_path: Path) -> None:
    with named_by_tool(coi, IdentifySettings(method="sintax", part="test")) as done:
        rows = done.table.to_pylist()
    train, test = coi.table(["id", "barcode", *RANKS], split="train"), coi.table(["id", "barcode"], split="test")
    letters = dict(zip("kpcofgs", RANKS, strict=True))
    with (tmp_path / "reference.fasta").open("w") as out:
        for row in train.to_pylist():
            names = [f"{letter}:{row[rank].replace(' ', '_')}" for letter, rank in letters.items()]
            out.write(f">{row['id']};tax={','.join(names)}\n{row['barcode']}\n")
    (tmp_path / "asked.fasta").write_text("".join(f">{i}\n{row['barcode']}\n" for i, row in enumerate(test.to_pylist())))
    files = [tmp_path / name for name in ("asked.fasta", "reference.fasta", "said.tsv")]
    words = ["--sintax", files[0], "--db", files[1], "--tabbedout", files[2], "--randseed", "1", "--threads", "1", "--quiet"]
    subprocess.run([str(VSEARCH), *map(str, words)], check=True)
    said = [line.split("\t")[1] for line in files[2].read_text().splitlines()]
    ours = [
        ",".join(f"{letter}:{row[rank].replace(' ', '_')}({row[f'{rank}_confidence']:.2f})" for letter, rank in letters.items())
        for row in rows
    ]
    assert ours == said and [row["id"] for row in rows] == test["id"].to_pylist()


@needs_vsearch
def test_a_run_of_sintax_that_was_killed_goes_on_and_ends_alike(coi: bc.Collection, tmp_path: Path) -> None:
    asked = fasta(tmp_path / "new.fasta", TABLE, ">twice\nACGTACGTACGTACGTACGTACGT\n", ">twice\nACGT\n", ">bad\nEEE\n")
    program = (
        "import os, sys\n"
        "from biocosmos.cli import main\n"
        "from biocosmos.identify.adapters import vsearch\n"
        "from biocosmos.jobs import other_tools\n"
        "other_tools.BLOCK, first, left = 16, vsearch.Sintax.classify, [int(os.environ['BLOCKS'])]\n"
        "def classify(self, barcodes):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return first(self, barcodes)\n"
        "vsearch.Sintax.classify = classify\n"
        "main()\n"
    )

    def run(output: str, blocks: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "identify", str(coi.path), str(asked), "--method", "sintax", "-o", output]
        return warm.run(command, capture_output=True, text=True, env={**os.environ, "BLOCKS": str(blocks)}, check=False)

    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    assert run(str(whole), 99).returncode == 0
    assert run(str(broken), 3).returncode == -9 and not broken.exists()
    again = run(str(broken), 4)
    assert again.returncode == 0 and "going on after 51" in again.stdout + again.stderr
    assert broken.read_bytes() == whole.read_bytes()
    assert broken.with_name("broken.failures.csv").read_bytes() == whole.with_name("whole.failures.csv").read_bytes()
    assert not broken.with_name("broken.csv.part").exists()


@needs_vsearch
def test_specimens_that_name_are_not_asked(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "known.fasta").write_text(f">{TABLE['id'][0]}\n{TABLE['barcode'][0]}\n")
    said = biocosmos("identify", coi.path, tmp_path / "known.fasta", "--method", "sintax", fails=1)
    assert "queries are among the specimens they would be named by" in said


def test_without_vsearch_it_says_what_to_do(
    biocosmos: Run, coi: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = biocosmos("identify", coi.path, "--part", "test", "--method", "sintax", fails=1)
    assert "vsearch, which is not on this machine" in said and "--from" in said and said.count("\n") == 1


def hits(path: Path, coi: bc.Collection) -> Path:
    """blast6 lines of three specimens of the part test: the first hits its own species in train, the second something strange,
    the third only itself and one of another part."""
    train, test = (coi.table(["id", "species"], split=part).to_pylist() for part in ("train", "test"))
    mate = next(row["id"] for row in train if row["species"] == test[0]["species"])
    lines = [
        (test[0]["id"], mate, 99.1),
        (test[0]["id"], "stranger", 99.9),
        (test[1]["id"], "*", 0),
        (test[2]["id"], test[2]["id"], 100),
        (test[2]["id"], test[3]["id"], 99),
    ]
    rest = "600\t5\t0\t1\t600\t1\t600\t-1\t0"
    path.write_text("".join(f"{a}\t{b}\t{identity}\t{rest}\n" for a, b, identity in lines) + "not a line\n")
    return path


def test_a_file_of_hits_becomes_names(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    path, output = hits(tmp_path / "hits.b6", coi), tmp_path / "names.csv"
    biocosmos("identify", coi.path, "--from", path, "--known", "train", "-o", output)
    test = coi.table(["id", "species"], split="test").to_pylist()
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [row["id"] for row in test[:3]]
    assert [row["taxon"] for row in rows] == [test[0]["species"], "", ""]
    failed = [(row["severity"], row["source"], row["row"], row["id"]) for row in rows_of(tmp_path / "names.failures.csv")]
    assert failed == [("error", str(path), "6", ""), ("warning", str(path), "", "stranger")]
    facts = json.loads((tmp_path / "names.csv.provenance.json").read_text())
    assert facts["gallery"]["selection"]["split"] == "train" and facts["gallery"]["split"]["hash"]
    assert [note for note in facts["notes"] if "left out" in note] == [
        "1 hits were left out: itself",
        "1 hits were left out: of another part",
    ]
    said = biocosmos(
        "identify", coi.path, "--from", path, "--known", "train", "--threshold", "0.995", "-o", tmp_path / "sure.csv"
    )
    assert [row["taxon"] for row in rows_of(tmp_path / "sure.csv")] == ["", "", ""] and said == ""


def test_a_query_whose_lines_stand_apart_is_told(coi: bc.Collection, tmp_path: Path) -> None:
    known = coi.table(["id"])["id"].to_pylist()[:2]
    rest = "600\t5\t0\t1\t600\t1\t600\t-1\t0"
    lines = [f"{query}\t{known[0]}\t99\t{rest}\n" for query in ("a", "b", "a")]
    (tmp_path / "hits.b6").write_text("".join(lines))
    with named_by_tool(coi, IdentifySettings(read=tmp_path / "hits.b6")) as done:
        assert done.table["id"].to_pylist() == ["a", "b"]
    assert [(row.row, row.id) for row in done.failures] == [(3, "a")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--from", "{hits}", "--method", "nearest"], "--method does nothing here"),
        (["--from", "{hits}", "--part", "test"], "--from does nothing here"),
        (["--from", "{hits}", "--error-rate", "0.1"], "--error-rate does nothing here"),
        (["--from", "{hits}", "--seed", "1"], "--seed does nothing here"),
        (["{hits}", "--from", "{hits}"], "leave the files out"),
        (["--from", "{hits}", "--report", "page.html"], "--report"),
        (["--part", "test", "--method", "sintax", "--novelty", "knn"], "--novelty does nothing here"),
        (["--part", "test", "--method", "sintax", "--append", "-o", "x.csv"], "--append does nothing here"),
        (["--from", "{nowhere}"], "nowhere"),
    ],
)
def test_an_option_of_our_own_names_is_refused(
    biocosmos: Run, coi: bc.Collection, tmp_path: Path, options: list[str], reason: str
) -> None:
    paths = {"hits": hits(tmp_path / "hits.b6", coi), "nowhere": tmp_path / "nowhere"}
    assert reason in biocosmos("identify", coi.path, *(word.format(**paths) for word in options), fails=2)


def test_what_cannot_be_named_by_barcodes_is_refused(embedded: bc.Collection, coi: bc.Collection, tmp_path: Path) -> None:
    asked = fasta(tmp_path / "new.fasta", TABLE.slice(0, 2))
    if VSEARCH is not None:
        with (
            pytest.raises(BiocosmosError, match="barcode"),
            named_by_tool(embedded, IdentifySettings(method="sintax"), files=[asked]),
        ):
            pass
    with pytest.raises(BiocosmosError, match="no blast6"), named_by_tool(coi, IdentifySettings(read=asked)):
        pass


def test_another_table_is_not_lost(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    path, output = hits(tmp_path / "hits.b6", coi), tmp_path / "names.csv"
    output.write_text("a,b\n1,2\n")
    assert "was not made by" in biocosmos("identify", coi.path, "--from", path, "-o", output, fails=2)
    biocosmos("identify", coi.path, "--from", path, "-o", output, "--overwrite")
    assert len(rows_of(output)) == 3 and other_tools.BLOCK > 3
