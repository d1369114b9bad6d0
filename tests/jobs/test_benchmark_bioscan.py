"""The benchmarks of the BIOSCAN papers from look-alike downloads to a page, as a person runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc
import warm
from biocosmos.evaluate.benchmark.page import side_by_side
from biocosmos.jobs.benchmark.download import STATE
from bioscan_like import insects, write_1m, write_5m, write_clibd

Call = Callable[..., str]
TABLE = "BIOSCAN_5M_Insect_Dataset_metadata"
SPECIMENS = 200


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return insects(species=24, specimens=SPECIMENS)


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    folder = tmp_path_factory.mktemp("download") / "bioscan5m"
    write_5m(folder, rows)
    return folder


def figures(folder: Path) -> dict[tuple[str, str], float]:
    """(task, model) -> what was measured here."""
    rows = bc.evaluate.read_tables(folder)["published"].to_pylist()
    return {(row["task"], row["model"]): row["measured_here"] for row in rows if row["measured_here"] is not None}


def last_line(said: str) -> str:
    """What a command ended with: one line, which may follow those of its progress on a slow machine."""
    last = said.strip().splitlines()[-1]
    assert "Traceback" not in said and last.startswith("error: ")
    return last


def test_barcodes_from_a_download_to_the_papers_table(
    tmp_path: Path, download: Path, rows: list[dict[str, Any]], biocosmos: Call
) -> None:
    folder, start = tmp_path / "bench", tmp_path / "start"
    said = biocosmos("benchmark", "barcodes", download, "-o", folder, "-e", "kmer:7", "--device", "cpu")
    assert "genus of unseen species" in said
    made = figures(folder)
    models = {model for task, model in made if task == "genus of unseen species, 1-NN"}
    assert models == {"kmer:7", "kmer:7 + alignment"} and made["species, linear", "kmer:7"] > 0.5
    tables = bc.evaluate.read_tables(folder)
    assert [row["what"] for row in tables["missing"].to_pylist()] == ["species, fine-tuned"]
    published = {(row["task"], row["model"]): row["published"] for row in tables["published"].to_pylist()}
    assert published["genus of unseen species, 1-NN", "BLAST"] == 0.5874 and published["species, linear", "kmer:7"] is None
    # only the parts that the benchmark is about were read, each whole
    parts = {row["part"]: row["specimens"] for row in tables["parts"].to_pylist()}
    wanted = ("train", "val", "test", "test_unseen")
    assert parts == {part: sum(row["split"] == part for row in rows) for part in wanted}
    page = (folder / "report.html").read_text()
    assert "Beside the papers" in page and "47.0 %" in page and "What is missing" in page

    # a trained encoder is fine-tuned there, and what was read is not read again
    tiny = ("--k", "3", "--width", "16", "--epochs", "1", "--device", "cpu")
    collection = folder / f"{TABLE}.cosmos"
    biocosmos("train", "barcode", collection, "-o", start, "--objective", "masked", "--layers", "1", "--heads", "2", *tiny)
    table = download / "metadata" / "csv" / f"{TABLE}.csv"
    table.touch()
    biocosmos(
        *("benchmark", "barcodes", table, "-o", folder, "-e", start, "--fine-tune", start, "--epochs", "1", "--no-aligned"),
        *("--no-linear", "--device", "cpu"),
    )
    tuned = folder / "fine_tuned" / "start"
    assert set(figures(folder)) >= {("species, fine-tuned", str(tuned)), ("genus of unseen species, 1-NN", str(start))}
    assert len(bc.Collection.open(collection)) == sum(parts.values())


def test_killed_while_it_reads_it_goes_on(tmp_path: Path, download: Path, biocosmos: Call) -> None:
    folder = tmp_path / "killed"
    words = ("benchmark", "barcodes", str(download), "-o", str(folder), "--no-linear", "--no-aligned", "--device", "cpu")
    process = warm.Popen([sys.executable, "-m", "biocosmos", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = folder / f"{TABLE}.cosmos" / "specimens.lance"
    until = time.monotonic() + 60
    while not store.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    biocosmos(*words)
    whole = tmp_path / "whole"
    biocosmos(*words[:4], whole, *words[5:])
    assert figures(folder) == figures(whole)
    hashes = {bc.Collection.open(each / f"{TABLE}.cosmos").split().hash for each in (folder, whole)}
    assert len(hashes) == 1


def test_clustering_of_images_barcodes_and_both(
    tmp_path: Path, download: Path, rows: list[dict[str, Any]], biocosmos: Call
) -> None:
    folder = tmp_path / "bench"
    biocosmos("benchmark", "clustering", download, "-o", folder, "--reducer", "none", "--device", "cpu")
    made = figures(folder)
    models = {model for _, model in made}
    assert models == {"efficientnet-lite0", "kmer:5", "efficientnet-lite0+kmer:5"}
    assert {task for task, _ in made} >= {"family", "genus", "species", "dna_bin"}
    assert made["species", "kmer:5"] > made["species", "efficientnet-lite0"]
    assert not bc.evaluate.read_tables(folder)["missing"].num_rows
    # barcodes alone: images are missing, and that is said
    alone = tmp_path / "alone"
    table = write_5m(tmp_path / "without", rows, images=False)
    biocosmos("benchmark", "clustering", table, "-o", alone, "--reducer", "none")
    assert {model for _, model in figures(alone)} == {"kmer:5"}
    (missing,) = bc.evaluate.read_tables(alone)["missing"].to_pylist()
    assert "images" in missing["what"] and "--images" in missing["remedy"]
    assert "by barcodes alone" in (alone / "report.html").read_text()


def test_retrieval_in_a_space_that_is_trained_first(tmp_path: Path, download: Path, biocosmos: Call) -> None:
    folder = tmp_path / "bench"
    words = (
        "benchmark",
        "retrieval",
        download,
        "-o",
        folder,
        "--dna",
        "kmer:5",
        "--text",
        "",
        "--epochs",
        "2",
        "--device",
        "cpu",
    )
    biocosmos(*words)
    tables = bc.evaluate.read_tables(folder)
    rows = tables["published"].to_pylist()
    assert {row["measure"] for row in rows} == {f"top-1 macro, {each}" for each in ("seen", "unseen", "harmonic mean")}
    here = {(row["task"], row["model"]) for row in rows if row["measured_here"] is not None}
    assert {("genus, image to DNA", "space: image + DNA"), ("species, image to image", "not aligned")} <= here
    theirs = {(row["task"], row["model"], row["measure"]): row["published"] for row in rows}
    assert theirs["species, image to DNA", "CLIBD, image + DNA + text", "top-1 macro, unseen"] == 0.086
    parts = {row["part"] for row in tables["parts"].to_pylist()}
    assert parts == {"pretrain", "train", "val", "test", "key_unseen", "val_unseen", "test_unseen"}
    assert [row["what"] for row in tables["missing"].to_pylist()] == ["images to names"]
    # run again: the space is there, and so is every vector
    weights = {path: path.stat().st_mtime_ns for path in (folder / "space").rglob("*.safetensors")}
    biocosmos(*words)
    assert weights and weights == {path: path.stat().st_mtime_ns for path in (folder / "space").rglob("*.safetensors")}
    assert bc.evaluate.read_tables(folder)["published"].equals(tables["published"])
    said = biocosmos("benchmark", "retrieval", download, "--space", folder, "-o", tmp_path / "other", fails=1)
    assert "is no space" in last_line(said)


def test_bioscan_1m_by_the_partition_of_clibd(tmp_path: Path, rows: list[dict[str, Any]], biocosmos: Call) -> None:
    write_1m(tmp_path / "bioscan1m", rows)
    files = write_clibd(tmp_path / "clibd", rows)
    folder = tmp_path / "bench"
    words = ("benchmark", "barcodes", tmp_path / "bioscan1m", "-o", folder, "--no-linear", "--no-aligned")
    assert "--partition" in biocosmos(*words, fails=1)
    biocosmos(*words, "--partition", files)
    again = ("benchmark", "barcodes", tmp_path / "bioscan1m", "--partition", tmp_path, "-o", folder)
    assert "no file .txt" in biocosmos(*again, fails=1)
    parts = {row["part"]: row["specimens"] for row in bc.evaluate.read_tables(folder)["parts"].to_pylist()}
    listed = {name: len((files / f"{name}.txt").read_text().split()) for name in parts}
    assert parts == listed and set(parts) == {"train_seen", "seen_keys", "val_seen", "test_seen", "test_unseen"}


def test_what_is_missing_is_said_before_anything_is_read(
    tmp_path: Path, download: Path, rows: list[dict[str, Any]], biocosmos: Call
) -> None:
    folder = tmp_path / "bench"

    def refused(*words: object, code: int = 1) -> str:
        said = last_line(biocosmos("benchmark", *words, "-o", folder, fails=code))
        assert not any(folder.glob("*.cosmos")) and not (folder / STATE).exists()
        return said

    assert "there is no file" in refused("barcodes", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no BIOSCAN metadata table" in refused("barcodes", tmp_path / "empty")
    (tmp_path / "other.csv").write_text("id,label\n1,a\n")
    assert "no metadata table of BIOSCAN" in refused("barcodes", tmp_path / "other.csv")
    seen = write_5m(tmp_path / "seen", [row for row in rows if row["split"] in ("train", "test")], images=False)
    assert "no specimen of part test_unseen" in refused("barcodes", seen)
    assert "no folder of images" in refused("retrieval", write_5m(tmp_path / "blind", rows, images=False))
    assert "no encoder of images" in refused("clustering", download, "--image", "kmer:5")
    assert "no encoder of barcodes" in refused("clustering", download, "--dna", "efficientnet-lite0")
    assert "kmer:4" in refused("barcodes", download, "-e", "kmer:4")
    assert "--images" in refused("clustering", seen, "--image", "efficientnet-lite0")
    assert "no folder 'huge'" in refused("clustering", download, "--reducer", "none", "--size", "huge")
    assert "--fine-tune" in refused("barcodes", download, "--fine-tune", tmp_path / "nobody", code=2)
    assert "--epochs does nothing" in refused("barcodes", download, "--epochs", 3, code=2)


def test_odd_tables_end_in_one_line_or_in_a_report(tmp_path: Path, download: Path, biocosmos: Call) -> None:
    lines = (download / "metadata" / "csv" / f"{TABLE}.csv").read_text().splitlines()
    header = tmp_path / "header.csv"
    header.write_text(lines[0] + "\n")
    words = ("benchmark", "barcodes", str(header), "-o", str(tmp_path / "nothing"))
    ended = warm.run([sys.executable, "-m", "biocosmos", *words], capture_output=True, text=True)  # as a process ends
    assert ended.returncode == 1 and "it has: none" in last_line(ended.stderr)
    ragged = tmp_path / "ragged.csv"
    ragged.write_bytes("\n".join([*lines[:9], "a,b", *lines[9:]]).encode() + b"\n\xff\xfe,bad\n")
    biocosmos("benchmark", "barcodes", ragged, "-o", tmp_path / "rest", "--no-linear", "--no-aligned")
    assert "notes on single rows" in (tmp_path / "rest" / "report.html").read_text()


def test_figures_stand_side_by_side_as_papers_print_them() -> None:
    def row(task: str, model: str, measure: str, published: float | None, here: float | None) -> dict[str, Any]:
        facts = {
            "task": task,
            "data": "d",
            "model": model,
            "measure": measure,
            "source": "measured here" if published is None else "s",
        }
        return facts | {"published": published, "measured_here": here}

    tasks = [row("species, linear", "BERT", "accuracy", 0.9, None), row("species, fine-tuned", "BERT", "accuracy", 0.95, 0.9)]
    grid = side_by_side([*tasks, row("species, linear", "mine", "accuracy", None, 0.5)], "")
    assert grid.columns == ["data", "model", "fine-tuned", "here", "linear", "here"]
    assert grid.rows == [["d", "BERT", "95.0 %", "90.0 %", "90.0 %", ""], ["these", "mine", "", "", "", "50.0 %"]]
    measures = [row("genus", "m", f"top-1 macro, {each}", None, share) for each, share in (("unseen", 0.2), ("seen", 0.4))]
    assert side_by_side(measures, "").rows == [["genus", "these", "m", "40.0 %", "20.0 %"]]
