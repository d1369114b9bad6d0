"""biocosmos sequences difficulty: files as people have them, good and bad, to figures and a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biocosmos.cli import main
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.difficulty.sequences import measure_difficulty
from biocosmos.jobs.difficulty.settings import DifficultySettings
from biocosmos.settings import SettingError

GOLDEN = Path(__file__).parents[1] / "sequences" / "golden"
PUBLIC = json.loads((GOLDEN / "motcom.json").read_text())
INFO = "[Sequence]\nname={name}\nimDir=img1\nframeRate=1\nseqLength={length}\nimWidth={width}\nimHeight={height}\nimExt=.jpg\n"


def sequence(root: Path, name: str, rows: str, *, length: int = 30, size: tuple[int, int] = (160, 120)) -> Path:
    folder = root / name
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text(rows)
    (folder / "seqinfo.ini").write_text(INFO.format(name=name, length=length, width=size[0], height=size[1]))
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mot")
    for name in PUBLIC:
        sequence(root, name, (GOLDEN / f"{name}.txt").read_text())
    return root


def test_a_tree_gives_the_figures_of_the_public_code(tree: Path) -> None:
    vectors = GOLDEN / "motcom_features.npz"
    report = measure_difficulty(sequences=(tree,), mode="release", vectors=vectors)
    assert {row["sequence"] for row in report.rows()} == set(PUBLIC)
    for row in report.rows():
        wanted = PUBLIC[row["sequence"]]
        for part, name in (("ocom", "OCOM_visibility"), ("mcom", "MCOM"), ("vcom", "VCOM"), ("motcom", "MOTCOM")):
            assert row[part] == pytest.approx(wanted[name], abs=1e-9), (row["sequence"], part)
    corrected = measure_difficulty(sequences=(tree,), vectors=vectors, occlusion="boxes")
    for row in corrected.rows():
        wanted = PUBLIC[row["sequence"]]["corrected"]
        for part, name in (("ocom", "OCOM_bbox_no_self"), ("mcom", "MCOM"), ("vcom", "VCOM")):
            assert row[part] == pytest.approx(wanted[name], abs=1e-9), (row["sequence"], part)


def pictured(root: Path, name: str, frames: int = 4) -> Path:
    """Two beetles that walk past each other on a bright screen."""
    rows = []
    folder = sequence(root, name, "", length=frames, size=(64, 48))
    (folder / "img1").mkdir()
    for i in range(frames):
        pixels = np.full((48, 64, 3), 220, np.uint8)
        for who, (x, colour) in enumerate(((4 + 9 * i, (20, 20, 20)), (44 - 9 * i, (120, 40, 10)))):
            pixels[10 + 9 * who : 26 + 9 * who, x : x + 16] = colour
            rows.append(f"{i + 1},{who + 1},{x + 1},{11 + 9 * who},16,16,1,1,1\n")
        Image.fromarray(pixels).save(folder / "img1" / f"{i + 1:06d}.png")
    (folder / "gt" / "gt.txt").write_text("".join(rows))
    return folder


def test_nights_of_two_sites_are_looked_at_and_compared_on_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictured(tmp_path / "meadow", "night1")
    pictured(tmp_path / "forest", "night2", frames=3)
    (tmp_path / "forest" / "night2" / "img1" / "000002.png").unlink()
    failures = Failures()
    where = tuple(tmp_path / site for site in ("meadow", "forest"))
    report = measure_difficulty(sequences=where, failures=failures, beside=tmp_path / "page.html", device="cpu")
    rows = {row["sequence"]: row for row in report.rows()}
    assert rows["night1"]["site"] == "meadow" and rows["night1"]["pairs"] == 3
    assert rows["night1"]["motcom"] == pytest.approx(np.mean([rows["night1"][part] for part in ("ocom", "mcom", "vcom")]))
    assert rows["night2"]["motcom"] is None and "two neighbouring frames" in rows["night2"]["notes"]
    assert "night2 frame 2" in {row.id for row in failures}
    assert not list(tmp_path.glob("*work*"))
    page = report.html(tmp_path / "page.html").read_text()
    assert "Do sites differ?" in page and "What could not be measured?" in page


def test_a_folder_of_vectors_serves_another_run(tmp_path: Path) -> None:
    pictured(tmp_path / "mot", "night1", frames=2)
    work = tmp_path / "vectors"
    first = measure_difficulty(sequences=(tmp_path / "mot",), work=work)
    parts = sorted(work.rglob("*.part"))
    assert parts
    times = [part.stat().st_mtime_ns for part in parts]
    again = measure_difficulty(sequences=(tmp_path / "mot",), work=work, ratios="0.01:1:0.01")
    assert again.rows() == first.rows() and [part.stat().st_mtime_ns for part in parts] == times


BAD = {
    "an individual twice in a frame": "1,1,10,10,9,9,1,1,1\n1,1,40,10,9,9,1,1,1\n2,1,12,10,9,9,1,1,1\n",
    "boxes outside": "1,1,500,10,9,9,1,1,1\n2,1,12,10,9,9,1,1,1\n",
    "no size": "1,1,10,10,0,9,1,1,1\n2,1,12,10,9,-3,1,1,1\n",
    "one frame alone": "4,1,10,10,9,9,1,1,1\n",
    "nobody": "",
    "unsorted": "3,1,10,10,9,9,1,1,1\n1,1,12,10,9,9,1,1,1\n2,1,14,10,9,9,1,1,1\n",
    "words": "a,b,c\n",
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("mode", ["corrected", "release"])
def test_bad_sequences_are_told_and_the_good_ones_measured(tmp_path: Path, what: str, mode: str) -> None:
    sequence(tmp_path, "bad", BAD[what], length=4)
    sequence(tmp_path, "good", "1,1,10,10,9,9,1,1,1\n2,1,12,10,9,9,1,1,1\n", length=4)
    failures = Failures()
    report = measure_difficulty(sequences=(tmp_path,), mode=mode, appearance=False, failures=failures)
    names = [row["sequence"] for row in report.rows()]
    assert "good" in names
    if what not in ("one frame alone", "unsorted"):
        assert len(failures), what
    for row in report.rows():
        assert all(row[part] is None or 0 <= row[part] <= 1 for part in ("ocom", "mcom"))


def test_what_cannot_be_measured_at_all_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "det" / "s" / "det").mkdir(parents=True)
    (tmp_path / "det" / "s" / "det" / "det.txt").write_text("1,-1,10,10,9,9,0.9,-1,-1,-1\n")
    with pytest.raises(BiocosmosError, match="has boxes but no tracks"):
        measure_difficulty(sequences=(tmp_path / "det",), appearance=False)
    with pytest.raises(BiocosmosError, match="is named twice"):
        measure_difficulty(sequences=(tmp_path / "det", tmp_path / "." / "det"), appearance=False)
    for told in ({"ratios": "a"}, {"betas": "0:1:1"}, {"blur_size": 4, "picture": "blurred"}, {"site": "("}, {"interval": 0}):
        with pytest.raises(SettingError):
            DifficultySettings(**told)  # type: ignore[arg-type]


def test_the_command_says_what_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["nowhere"], [str(tmp_path)], [str(GOLDEN / "motcom.json")]):
        monkeypatch.setattr("sys.argv", ["biocosmos", "sequences", "difficulty", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        told = capsys.readouterr().err.strip()
        assert stop.value.code in (1, 2) and "Traceback" not in told and told


def test_folders_around_sequences_are_sites_where_they_differ(tmp_path: Path) -> None:
    rows = "1,1,10,10,9,9,1,1,1\n2,1,12,10,9,9,1,1,1\n"
    for site, night in (("meadow-a", "n1"), ("forest-b", "n2"), ("forest-b", "n3")):
        sequence(tmp_path / "sites" / site, night, rows)
    sequence(tmp_path / "one" / "MOT17-train", "n1", rows)

    def sites(folder: str, **told: str) -> list[str]:
        found = measure_difficulty(sequences=(tmp_path / folder,), appearance=False, **told)
        return sorted(row["site"] for row in found.rows())

    assert sites("sites") == ["forest-b", "forest-b", "meadow-a"]
    assert sites("sites", site="-(.)/") == ["a", "b", "b"]
    assert sites("one") == [""]
    page = measure_difficulty(sequences=(tmp_path / "sites",), appearance=False).laid_out()
    assert [card.label for card in page.cards] == ["mean OCOM", "mean MCOM"]
