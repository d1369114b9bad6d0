"""FASTA files as what ``identify`` is asked about: names, failures, kills, what does not go together."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import biocosmos as bc
import warm
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.barcodes.stripes import stripes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namer import Specimens
from biocosmos.jobs.identify import explain, identify_collection
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.queries import encoder_for
from biocosmos.jobs.sequence_files import kinds_of
from biocosmos.jobs.sequences import OfFiles, SeenIds
from biocosmos.jobs.who_names import identifier_of
from biocosmos.specimens.records import Source

Run = Callable[..., str]
TABLE = simulate_barcodes(seed=4, species=6, specimens=48, unsure=0.0)
NEW = TABLE.slice(0, 12)


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """48 simulated barcodes of 6 species as counts of 5-mers."""
    collection = bc.Collection.create(tmp_path_factory.mktemp("asked") / "coi.cosmos")
    collection.add(Source("coi", "table", TABLE.to_batches(), RANKS))
    bc.embed(collection, "kmer:5")
    return collection


def fasta(path: Path, *more: str, table: pa.Table = NEW) -> Path:
    path.write_text("".join([*(f">new_{row['id']} words\n{row['barcode']}\n" for row in table.to_pylist()), *more]))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def named(collection: bc.Collection, *paths: Path) -> list[tuple[str, str]]:
    done = identify_collection(collection, images=paths, method="nearest", threshold=0.5)
    return list(zip(done.table["id"].to_pylist(), done.table["species"].to_pylist(), strict=True))


RIGHT = [(f"new_{row['id']}", row["species"]) for row in NEW.to_pylist()]


def test_a_fasta_is_named_and_what_is_no_barcode_is_a_failure(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    bad = [">empty\n", ">protein\nMKVLELPEFF\n", f">n\n{'N' * 600}\n", ">short\nACGT\n", f">long\n{'ACGT' * 30_000}\n"]
    asked = fasta(tmp_path / "new.fasta", *bad)
    biocosmos("identify", coi.path, asked, "--method", "nearest", "--threshold", "0.5", "-o", tmp_path / "names.csv")
    rows = rows_of(tmp_path / "names.csv")
    assert [(row["id"], row["species"]) for row in rows] == RIGHT
    assert all(TABLE["id"].to_pylist().index(row["neighbours"].split('"')[3]) >= 0 for row in rows)
    failed = [row for row in rows_of(tmp_path / "names.failures.csv") if row["severity"] == "error"]
    assert sorted((row["id"], row["row"]) for row in failed) == [
        ("empty", "13"),
        ("long", "17"),
        ("n", "15"),
        ("protein", "14"),
        ("short", "16"),
    ]
    assert {row["source"] for row in failed} == {str(asked)}


def test_every_way_to_write_the_same_sequences_gives_the_same_names(coi: bc.Collection, tmp_path: Path) -> None:
    plain = fasta(tmp_path / "plain.fasta")
    rows = NEW.to_pylist()
    (tmp_path / "packed.fa.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "windows.fas").write_bytes(plain.read_bytes().replace(b"\n", b"\r\n"))
    (tmp_path / "nameless").write_text("".join(f">new_{r['id']}\n{r['barcode'].lower().replace('t', 'u')}\n" for r in rows))
    wrapped = (f">new_{r['id']}\n" + "".join(f"{r['barcode'][i : i + 60]}-\n" for i in range(0, 700, 60)) for r in rows)
    (tmp_path / "wrapped.fna").write_text("".join(wrapped))
    (tmp_path / "reads.fastq").write_text(
        "".join(f"@new_{r['id']}\n{r['barcode']}\n+\n{'I' * len(r['barcode'])}\n" for r in rows)
    )
    (tmp_path / "table.csv").write_text("id,sequence\n" + "".join(f"new_{r['id']},{r['barcode']}\n" for r in rows))
    for path in sorted(tmp_path.iterdir()):
        assert named(coi, path) == RIGHT, path
    folder = tmp_path / "folder"
    folder.mkdir()
    fasta(folder / "b.fasta", table=NEW.slice(5))
    fasta(folder / "a.fasta", table=NEW.slice(0, 5))
    (folder / "notes.txt").write_text("of no interest")
    assert named(coi, folder) == RIGHT


def test_one_bad_file_costs_itself_alone(coi: bc.Collection, tmp_path: Path) -> None:
    good, empty, missing = fasta(tmp_path / "good.fasta"), tmp_path / "empty.fasta", tmp_path / "missing.fasta"
    empty.write_text("")
    text = tmp_path / "table.csv"
    text.write_text("id,colour\na,red\n")
    broken = tmp_path / "broken.fasta.gz"
    broken.write_bytes(gzip.compress(good.read_bytes())[:-200])
    done = identify_collection(coi, images=[good, empty, text, broken, good, missing], method="nearest", threshold=0.5)
    assert done.table["id"].to_pylist()[:12] == [id_ for id_, _ in RIGHT]
    failed = {row.source for row in done.failures if row.severity == "error"}
    assert failed >= {str(empty), str(text), str(broken)}
    with pytest.MonkeyPatch.context() as patch:  # before anything is fitted
        patch.setattr("biocosmos.jobs.identify.placed_identifier_of", None)
        with pytest.raises(BiocosmosError, match="no sequence of 1 file could be read"):
            identify_collection(coi, images=[empty], method="nearest")


def test_an_id_that_stands_twice_is_told_and_both_are_named(coi: bc.Collection, tmp_path: Path) -> None:
    asked = fasta(tmp_path / "new.fasta", f">new_{NEW['id'][0]}\n{NEW['barcode'][1]}\n")
    done = identify_collection(coi, images=[asked], method="nearest", threshold=0.5)
    assert done.table.num_rows == 13
    assert [(row.id, row.severity) for row in done.failures if "earlier" in row.reason] == [(f"new_{NEW['id'][0]}", "warning")]


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=12))
def test_ids_seen_before_are_known_again(blocks: list[list[int]]) -> None:
    seen, before = SeenIds(), set[int]()
    for block in blocks:
        told = seen.again([str(one) for one in block])
        expected, inside = [], set[int]()
        for one in block:
            expected.append(one in before or one in inside)
            inside.add(one)
        assert told == expected
        before |= inside


def test_a_run_that_is_killed_goes_on_and_ends_alike(coi: bc.Collection, tmp_path: Path) -> None:
    more = (f">again_{i}\n{row['barcode']}\n>bad_{i}\nEFL\n" for i, row in enumerate(TABLE.to_pylist()))
    asked = fasta(tmp_path / "new.fasta", *more)
    program = (
        "import os, sys\n"
        "from biocosmos.cli import main\n"
        "from biocosmos.jobs import asked_barcodes, identify, naming_work\n"
        "identify.BLOCK, first, left = 20, naming_work.NamingWork.save, [int(os.environ['BLOCKS'])]\n"
        "def save(self, number, block):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0:\n"
        "        os.kill(os.getpid(), 9)\n"
        "    first(self, number, block)\n"
        "naming_work.NamingWork.save = save\n"
        "main()\n"
    )

    def run(output: Path, blocks: int) -> subprocess.CompletedProcess[str]:
        words = ["identify", str(coi.path), str(asked), "--method", "nearest", "--threshold", "0.5", "-o", str(output)]
        command, environment = [sys.executable, "-c", program, *words], {**os.environ, "BLOCKS": str(blocks)}
        return warm.run(command, capture_output=True, text=True, env=environment, check=False)

    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    assert run(whole, 99).returncode == 0
    assert run(broken, 2).returncode == -9 and not broken.exists()
    again = run(broken, 99)
    assert again.returncode == 0 and "going on after" in again.stdout + again.stderr, again.stderr
    assert broken.read_bytes() == whole.read_bytes()
    assert broken.with_name("broken.failures.csv").read_bytes() == whole.with_name("whole.failures.csv").read_bytes()


def test_specimens_without_a_name_are_named_by_their_stored_barcodes(biocosmos: Run, tmp_path: Path) -> None:
    rows = TABLE.to_pylist()
    for row in rows[:5]:
        row |= dict.fromkeys(RANKS)
    collection = bc.Collection.create(tmp_path / "part.cosmos")
    collection.add(Source("part", "table", pa.Table.from_pylist(rows, schema=TABLE.schema).to_batches(), RANKS))
    bc.embed(collection, "kmer:5")
    words = ["--part", "unlabelled", "--method", "nearest", "--threshold", "0.5", "-o", tmp_path / "names.csv"]
    biocosmos("identify", collection.path, *words)
    assert [(row["id"], row["species"]) for row in rows_of(tmp_path / "names.csv")] == [
        (row["id"], row["species"]) for row in TABLE.to_pylist()[:5]
    ]


def test_a_list_of_sequences_is_named_from_python(coi: bc.Collection) -> None:
    from biocosmos.jobs.asked_barcodes import barcode_specimens

    identifier = identifier_of(coi, method="nearest", threshold=0.5)
    barcodes = {f"new_{row['id']}": row["barcode"].lower() for row in NEW.to_pylist()} | {"bad": "EFL"}
    failures = Failures()
    block = barcode_specimens(coi, identifier, barcodes, failures=failures)
    assert isinstance(block, Specimens)
    table = identifier.finished([said.table for said in identifier.stream([block])])
    assert list(zip(table["id"].to_pylist(), table["species"].to_pylist(), strict=True)) == RIGHT
    assert [row.id for row in failures] == ["bad"]


# ---------------------------------------------------------------------- what does not go together


def test_images_and_sequences_are_not_named_together(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    asked, photo = fasta(tmp_path / "new.fasta"), tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8")
    assert kinds_of([tmp_path]) == {"images", "sequences"}
    for paths in ([asked, photo], [tmp_path]):
        said = biocosmos("identify", coi.path, *paths, "--method", "nearest", fails=1)
        assert "together" in said and said.count("\n") == 1


@pytest.mark.parametrize("option", [["--append"], ["--watch"]])
def test_options_of_images_are_refused(biocosmos: Run, coi: bc.Collection, tmp_path: Path, option: list[str]) -> None:
    asked = fasta(tmp_path / "new.fasta")
    said = biocosmos("identify", coi.path, asked, "--method", "nearest", *option, "-o", tmp_path / "n.csv", fails=2)
    assert f"{option[0]} is about images" in said


def test_names_of_other_files_are_not_lost(biocosmos: Run, coi: bc.Collection, tmp_path: Path) -> None:
    one, other, output = fasta(tmp_path / "one.fasta"), fasta(tmp_path / "other.fasta"), tmp_path / "names.csv"
    words = ["--method", "nearest", "--threshold", "0.5", "-o", output]
    biocosmos("identify", coi.path, one, *words)
    biocosmos("identify", coi.path, one, *words)
    assert "has names of" in biocosmos("identify", coi.path, other, *words, fails=2)
    biocosmos("identify", coi.path, other, *words, "--overwrite")


def test_a_fasta_needs_an_embedding_of_barcodes(
    biocosmos: Run, embedded: bc.Collection, coi: bc.Collection, tmp_path: Path
) -> None:
    asked = fasta(tmp_path / "new.fasta")
    said = biocosmos("identify", embedded.path, asked, fails=1)
    assert f"biocosmos embed {embedded.path} -e kmer:7" in said and said.count("\n") == 1
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    said = biocosmos("identify", coi.path, tmp_path / "photo.jpg", fails=1)
    assert "images" in said and "-e efficientnet-lite0" in said


def test_the_one_embedding_of_barcodes_is_taken_and_of_several_none(coi: bc.Collection, tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "both.cosmos")
    collection.add(Source("both", "table", TABLE.to_batches(), RANKS))
    ids = TABLE["id"].to_pylist()
    collection.add_embedding("theirs", ids, np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32))
    with pytest.raises(BiocosmosError, match="-e kmer:7"):
        encoder_for(collection, None, "sequences")
    bc.embed(collection, "kmer:6")
    collection.set_default_encoder("theirs")
    assert encoder_for(collection, None, "sequences") == "kmer:6" and encoder_for(collection, None, "images") == "theirs"
    bc.embed(collection, "kmer:5")
    with pytest.raises(BiocosmosError, match=r"several embeddings of DNA barcodes: name one with --encoder \(kmer:5, kmer:6\)"):
        encoder_for(collection, None, "sequences")
    assert encoder_for(collection, "kmer:5", "sequences") == "kmer:5"
    with pytest.raises(BiocosmosError, match="not of DNA barcodes"):
        encoder_for(collection, "theirs", "sequences")


def test_blocks_are_the_same_however_large_the_file(tmp_path: Path) -> None:
    asked = OfFiles([AskedFile.of(fasta(tmp_path / "new.fasta", ">bad\nEFL\n"))], 4)
    blocks = list(asked.blocks(lambda number: number == 1))
    assert [(block.number, len(block.ids), len(block.barcodes)) for block in blocks] == [
        (0, 4, 4),
        (1, 4, 0),
        (2, 4, 4),
    ]
    assert sum(block.asked for block in blocks) == 13


def test_a_report_shows_what_was_asked_about_and_what_is_near_as_stripes(coi: bc.Collection, tmp_path: Path) -> None:
    asked = fasta(tmp_path / "new.fasta")
    done = identify_collection(coi, images=[asked], evidence=True)
    report, pictures = explain(done, coi)
    own = dict(zip([f"new_{id_}" for id_ in NEW["id"].to_pylist()], NEW["barcode"].to_pylist(), strict=True))
    for row in report.rows("shown"):
        assert pictures(row["id"]) == stripes(own[row["id"]])
        assert all(pictures(near["id"]) == coi.picture_bytes(near["id"]) for near in row["neighbours"])
    page = report.html(tmp_path / "names.html", thumbnails=pictures).read_text()
    assert "no picture" not in page and "in the image" not in page
    assert coi.picture_bytes("nobody") is None


def test_an_id_that_a_known_specimen_has_is_a_failure_and_the_others_are_named(coi: bc.Collection, tmp_path: Path) -> None:
    own = TABLE["id"][20].as_py()
    asked = fasta(tmp_path / "new.fasta", f">{own}\n{TABLE['barcode'][20].as_py()}\n")
    for options in ({"method": "nearest", "threshold": 0.5}, {}):
        done = identify_collection(coi, images=[asked], **options)
        assert done.table["id"].to_pylist() == [f"new_{id_}" for id_ in NEW["id"].to_pylist()]
        (failed,) = [row for row in done.failures if row.severity == "error"]
        assert failed.id == own and "rename it in the file" in failed.reason
