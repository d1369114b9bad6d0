"""``biocosmos track`` as a person uses it: files and collections, names with a promise, tables, the page."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.cli import main
from biocosmos.jobs.track import track_sequences
from biocosmos.jobs.track_settings import TrackSettings

FRAMES, INTERVAL = 20, 15
KINDS = ("Copepoda calanoid", "Diatoma chain")


def _mot(folder: Path) -> Path:
    """Two resting animals and one that is hidden for some frames, as a tree of detections with pictures."""
    rng = np.random.default_rng(0)
    (folder / "night1/det").mkdir(parents=True)
    (folder / "night1/img1").mkdir()
    lines = []
    for frame in range(1, FRAMES + 1):
        Image.fromarray(rng.integers(150, 255, (120, 160, 3), dtype=np.uint8)).save(folder / f"night1/img1/{frame:06d}.jpg")
        for x, y, there in ((10, 10, True), (80, 20, True), (40, 80, not 6 <= frame < 12)):
            if there:
                lines.append(f"{frame},-1,{x + rng.normal(0, 0.5):.2f},{y + rng.normal(0, 0.5):.2f},20,18,0.9,-1,-1,-1")
    (folder / "night1/det/det.txt").write_text("\n".join(lines) + "\n")
    (folder / "night1/seqinfo.ini").write_text(
        f"[Sequence]\nname=night1\nimDir=img1\nframeRate={1 / INTERVAL}\nseqLength={FRAMES}\nimWidth=160\nimHeight=120\n"
    )
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _mot(tmp_path_factory.mktemp("mot") / "MOT")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety short nights of four animals; a third teaches, a third sets the promise, a third is asked about."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    vectors = []
    for night in range(90):
        for animal in range(4):
            kind = int(rng.integers(2))
            own = np.eye(8)[kind] + rng.normal(0, 0.25, 8)
            for frame in range(5):
                name = f"n{night:02d}-{animal}-{frame}"
                crop = [100.0 + 300 * animal + rng.normal(0, 1), 100.0 + rng.normal(0, 1), 50.0, 50.0]
                rows.append(
                    {
                        "id": name,
                        "text": "a crop",
                        "deployment": f"night{night:02d}",
                        "frame": frame,
                        "date": f"2026-07-01T22:00:{10 * frame:02d}",
                        "frame_width": 1600,
                        "frame_height": 900,
                        "frame_box": crop,
                        "detection_confidence": 0.9,
                        "part": ("train", "val", "night")[night % 3],
                        "group": KINDS[kind].split()[0] if night % 3 < 2 else None,
                        "label": KINDS[kind].split()[1] if night % 3 < 2 else None,
                    }
                )
                vectors.append(own + rng.normal(0, 0.25, 8))
    made = bc.Collection.create(tmp_path_factory.mktemp("nights") / "night.cosmos")
    table = pa.Table.from_pylist(rows)
    boxes = pa.array([row["frame_box"] for row in rows], pa.list_(pa.float32(), 4))
    table = table.set_column(table.schema.get_field_index("frame_box"), "frame_box", boxes)
    made._set_ranks(("group", "label"))
    made.add(table)
    made.add_embedding("looks", [str(row["id"]) for row in rows], np.array(vectors, np.float32))
    made.make_split("column", column="part")
    return made.path


def _call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["biocosmos", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("rate", "film"), [(25, True), (1 / INTERVAL, False)])
def test_in_a_film_it_is_said_that_another_tracker_follows_better(tree: Path, tmp_path: Path, rate: float, film: bool) -> None:
    night = tmp_path / "night1"
    shutil.copytree(tree / "night1", night)
    information = night / "seqinfo.ini"
    information.write_text(information.read_text().replace(f"frameRate={1 / INTERVAL}", f"frameRate={rate}"))
    said = ["'night1' is a film: this tracker is made for pictures seconds apart, and in films --tracker sort follows better"]
    assert [note for note in track_sequences(night).notes if "film" in note] == said * film
    assert not any("film" in note for note in track_sequences(night, TrackSettings(tracker="sort")).notes)


def test_files_become_a_row_for_every_individual(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "tracks.csv", tmp_path / "boxes.csv", tmp_path / "page.html", tmp_path / "results.txt"
    asked = ("track", tree, "-o", outputs[0], "--boxes", outputs[1], "--report", outputs[2])
    code, said = _call(capsys, monkeypatch, *asked)
    assert code == 0 and "3 individuals in 1 sequence of 20 frames" in said
    rows = _rows(outputs[0])
    assert [row["frames"] for row in rows] == ["20", "20", "14"]
    assert [row["frames_missed"] for row in rows] == ["0", "0", "6"]
    assert rows[0]["duration"].startswith("285") or float(rows[0]["duration"]) == pytest.approx(285)
    boxes = _rows(outputs[1])
    assert len(boxes) == 54 and {row["track"] for row in boxes} == {"1", "2", "3"}
    page = outputs[2].read_text()
    assert page.count("data:image/jpeg") > 10 and "night1" in page
    before = outputs[0].read_bytes()
    assert _call(capsys, monkeypatch, "track", tree, "-o", outputs[0])[0] == 0
    assert outputs[0].read_bytes() == before
    assert _call(capsys, monkeypatch, "track", tree, "--tracker", "sort", "--boxes", outputs[3])[0] == 0
    assert len(outputs[3].read_text().splitlines()) == 54


def test_a_folder_of_pictures_with_its_detections(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = _call(capsys, monkeypatch, "track", tree / "night1/img1", "--detections", tree / "night1/det/det.txt")
    assert code == 0 and "3 individuals" in said


def test_a_collection_is_tracked_and_named_with_a_promise_on_individuals(nights: Path) -> None:
    done = track_sequences(nights, method="linear", encoder="looks", error_rate=0.2)
    asked = [row for row in done.individuals.to_pylist() if int(row["sequence"][5:]) % 3 == 2]
    assert len(done.individuals) == 360 and len(asked) == 120
    assert done.promised is not None and "of individuals" in done.promised and "held-out tracks" in done.promised
    assert all(row["crops"] == 5 for row in asked)
    named = [row for row in asked if row["taxon"] is not None]
    assert len(named) > 90
    assert done.provenance["fusion"]["tracks"] > 10
    others = [row for row in done.individuals.to_pylist() if int(row["sequence"][5:]) % 3 < 2]
    assert all(row["taxon"] is None for row in others)  # who taught or calibrated is not judged


def test_without_labelled_nights_nothing_is_promised(nights: Path) -> None:
    done = track_sequences(nights, method="linear", encoder="looks", known="train", calibration="night", where="frame < 3")
    assert done.promised is not None and done.promised.startswith("nothing is promised of individuals: no track of part 'night'")


def test_tracks_are_written_into_a_collection_and_taken_back(
    nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.cosmos"
    shutil.copytree(nights, mine)
    code, said = _call(capsys, monkeypatch, "track", mine, "--where", "deployment = 'night00'", "--save")
    assert code == 0 and "20 specimens have their track" in said
    assert set(bc.Collection.open(mine).table(["track"])["track"].to_pylist()) == {"1", "2", "3", "4", None}
    code, said = _call(capsys, monkeypatch, "track", mine, "--save", "-o", tmp_path / "late.csv")
    assert code == 1 and "has tracks already, of 20 specimens: --overwrite replaces them" in said
    assert not (tmp_path / "late.csv").exists(), "it is refused before it is tracked"
    assert _call(capsys, monkeypatch, "track", mine, "--save", "--overwrite")[0] == 0
    assert bc.Collection.open(mine).table(["track"])["track"].null_count == 0
    code, said = _call(capsys, monkeypatch, "track", mine, "--tracker", "given", "--where", "deployment = 'night00'")
    assert code == 0 and "4 individuals" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere",), "there is nothing at nowhere"),
        (("{tree}", "--method", "linear"), "--method needs a collection: 'biocosmos ingest"),
        (("{tree}", "-e", "looks"), "--encoder needs a collection"),
        (("{nights}", "--detections", "{tree}"), "--detections is about files"),
        (("{nights}", "--encoder", "other"), "other"),
        (("{tree}", "--save"), "--save writes into a collection"),
        (("{tree}/night1/img1",), "holds pictures without boxes: give the boxes with --detections"),
        (("{nights}", "--error-rate", "0.1"), "--error-rate does nothing here: it is used with --head or with --method"),
        (("{tree}", "--tracker", "sort", "--memory", "5"), "--memory does nothing here: it is used with --tracker odds"),
        (("{tree}", "-o", "out.xyz"), "cannot write a table to out.xyz"),
        (("{tree}", "--boxes", "boxes.xyz"), "cannot write a table to boxes.xyz"),
        (("{tree}", "--memory", "-1"), "--memory must be above 0"),
        (("{tree}", "--tracker", "given"), "has no tracks: choose a --tracker that makes them"),
        (("{nights}", "--method", "linear", "--encoder", "looks", "--calibration", "train"), "among those the namer learnt from"),
        (("{nights}", "--method", "linear", "--encoder", "looks", "--error-rate", "0.001"), "the smallest possible is"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    words: tuple[str, ...],
    expected: str,
    tree: Path,
    nights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = _call(capsys, monkeypatch, "track", *(word.format(tree=tree, nights=nights) for word in words))
    assert code in (1, 2) and expected in said, said
    assert "Traceback" not in said


def test_one_box_that_failed_is_called_so(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = shutil.copytree(tree, tmp_path / "mine")
    with (mine / "night1/det/det.txt").open("a") as file:
        file.write("3,-1,nan,20,20,18,0.9,-1,-1,-1\n")
    code, said = _call(capsys, monkeypatch, "track", mine, "-o", tmp_path / "out.csv")
    assert code == 0 and "1 box failed" in said, said


def test_a_killed_run_leaves_nothing_half_and_the_next_says_the_same(tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "tracks.csv"
    words = [sys.executable, "-m", "biocosmos", "track", str(tree), "-o", str(output)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        time.sleep(0.6)
        killed.send_signal(signal.SIGKILL)
    assert not output.exists() or len(_rows(output)) == 3
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    first = output.read_bytes()
    assert len(_rows(output)) == 3
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    assert output.read_bytes() == first
