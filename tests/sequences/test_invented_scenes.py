"""Invented nights: one world however often it is looked at, true boxes that fit what is painted, a detector that errs as told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.images.invented import Inheritance
from biocosmos.images.invented.scenes import Conditions, Detector, Scene
from biocosmos.images.invented.scenes.detections import detect
from biocosmos.images.invented.scenes.moths import seen_of
from biocosmos.images.invented.scenes.night import bouts
from biocosmos.images.invented.scenes.painting import Painter
from biocosmos.jobs.scene_files import simulate_scenes
from biocosmos.jobs.simulate_scenes import RANKS, SimulateScenesSettings, scene_sequences, species_of
from biocosmos.sequences.files import read_sequences
from biocosmos.settings import SettingError

SPECIES = [("Lepidoptera", "Aidae", "Aus", f"Aus {name}") for name in ("bus", "cus", "dus")]
SETTINGS = SimulateScenesSettings(sequences=2, interval=(3.0, 15.0), minutes=5, density=(6.0,), pictures=False)


@pytest.fixture(scope="module")
def nights():
    return list(scene_sequences(SETTINGS))


def test_intervals_look_at_one_world(nights):
    often, seldom = nights[0], nights[1]
    assert (often.truth.name, seldom.truth.name) == ("scene-0-001-3s", "scene-0-001-15s")
    for which in ("truth", "detections"):
        fine, coarse = getattr(often, which), getattr(seldom, which)
        assert np.array_equal(coarse.frames.seconds, fine.frames.seconds[::5])
        shared = fine.frame % 5 == 0
        assert np.array_equal(fine.box[shared], coarse.box)
        assert np.array_equal(fine.frame[shared] // 5, coarse.frame)


def test_the_same_seed_gives_the_same_and_another_does_not(nights):
    again, other = next(scene_sequences(SETTINGS)), next(scene_sequences(replace(SETTINGS, seed=1)))
    assert np.array_equal(again.truth.box, nights[0].truth.box) and np.array_equal(again.looks, nights[0].looks)
    assert not np.array_equal(other.truth.box[:5], nights[0].truth.box[:5])


def test_nothing_is_there_at_both_ends_and_in_gaps(nights):
    for night in nights:
        there = np.bincount(night.truth.frame, minlength=len(night.truth.frames)) > 0
        seconds = night.truth.frames.seconds
        inside = np.zeros(len(seconds), bool)
        for start, end in bouts(night.conditions, night.scene.seed):
            inside |= (seconds >= start) & (seconds <= end)
        assert not there[~inside].any() and there.any()
        assert not there[0] and not there[-1]


def test_moths_rest_walk_and_come_back():
    night = next(scene_sequences(replace(SETTINGS, sequences=1, minutes=40, interval=(3.0,), restless=(0.2,), density=(3.0,))))
    tracks = night.truth.tracks()
    moved = np.concatenate([np.hypot(*np.diff(night.truth.box[rows, :2], axis=0).T) for rows in tracks.values()])
    assert 0.4 < np.mean(moved < 1e-6) < 0.98  # most rest from frame to frame
    longest_gap = max(np.diff(night.truth.frame[rows]).max(initial=1) for rows in tracks.values())
    assert longest_gap > 5
    assert len({night.truth.label[rows[0]] for rows in tracks.values()}) > 2


def test_boxes_fit_what_is_painted():
    scene = Scene(Conditions(320, 240, 120.0, 1.0, 0.2, 0.3, 0.1), 3, SPECIES, Inheritance(0, RANKS))
    seconds = next(t for t in np.arange(0.0, 120.0, 1.0).tolist() if len(scene.at(t)) == 1 and scene.at(t)[0].visibility == 1)
    painter = Painter(scene)
    moth, empty = painter.frame(scene.at(seconds), seconds).astype(int), painter.frame([], seconds).astype(int)
    rows, columns = np.nonzero(np.abs(moth - empty).sum(axis=2) > 90)
    x, y, width, height = scene.at(seconds)[0].box
    inside = (columns >= x - 3) & (columns <= x + width + 3) & (rows >= y - 3) & (rows <= y + height + 3)
    assert np.mean(inside) > 0.9  # legs, antennae and the shadow reach out
    assert np.ptp(columns[inside]) > 0.8 * width and np.ptp(rows[inside]) > 0.8 * height


def test_visibility_is_the_part_in_sight():
    def square(x, y, side):
        return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)

    frame = np.array([0.0, 0.0, 100.0, 100.0])
    assert seen_of([square(10, 10, 20)], [], frame) == 1.0
    assert seen_of([square(10, 10, 20)], [square(20, 0, 50)], frame) == pytest.approx(0.5, abs=0.05)
    assert seen_of([square(-10, 10, 20)], [], frame) == pytest.approx(0.5, abs=0.05)
    assert seen_of([square(10, 10, 20)], [square(0, 0, 50)], frame) == 0.0


def test_a_detector_errs_as_told():
    scene = Scene(Conditions(seconds=300.0, density=4.0), 1, SPECIES, Inheritance(0, RANKS))
    seconds = np.arange(20.0, 280.0, 3.0).tolist()
    perfect = Detector(0.0, 0.0, 0, 0.0)
    for moment in seconds[::10]:
        glimpses = [each for each in scene.at(moment) if each.visibility == 1]
        found = detect(scene, glimpses, moment, perfect)
        assert {tuple(box) for box in found.box.round(9).tolist()} <= {tuple(each.box.round(9).tolist()) for each in glimpses}
    blind = [detect(scene, scene.at(moment), moment, Detector(1.0, 0.0, 0)) for moment in seconds]
    assert not any(len(each.box) for each in blind)
    alarmed = [detect(scene, [], moment, Detector(alarms=2.0, spots=0)) for moment in seconds]
    assert 1.2 < np.mean([len(each.box) for each in alarmed]) < 2.5
    assert all((each.moth == -1).all() for each in alarmed)


def test_looks_tell_moths_apart(nights):
    night = nights[0]
    looks, moth = night.looks[night.moth >= 0], night.moth[night.moth >= 0]
    distance = np.linalg.norm(looks[:, None] - looks[None], axis=2)
    same, other = moth[:, None] == moth[None], moth[:, None] != moth[None]
    np.fill_diagonal(same, False)
    assert np.median(distance[same]) < 0.8 * np.median(distance[other])


def test_files_are_those_of_motchallenge(tmp_path, nights):
    settings = replace(SETTINGS, sequences=1, interval=(15.0,), pictures=True, width=96, height=64)
    done = simulate_scenes(tmp_path / "scenes", settings)
    assert (done.sequences, done.frames) == (1, 21)
    folder = tmp_path / "scenes" / "SCENES-train" / "scene-0-001-15s"
    truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    assert truth.shape == (done.boxes, 9) and (truth[:, 6] == 1).all() and truth[:, 8].max() <= 1
    (read,) = read_sequences(tmp_path / "scenes")
    assert np.array_equal(read.frames.seconds, nights[1].truth.frames.seconds) and len(read) == done.boxes
    assert set(read.label) <= {path[-1] for path in species_of(settings)}
    (found,) = read_sequences(tmp_path / "scenes", which="det")
    assert len(found) == done.detections and found.track is None
    assert np.loadtxt(folder / "det" / "det.txt", delimiter=",").shape == (done.detections, 10)
    assert len(list((folder / "img1").glob("*.jpg"))) == 21
    assert (tmp_path / "scenes" / "seqmaps" / "SCENES-train.txt").read_text() == "name\nscene-0-001-15s\n"
    assert "seqLength=21" in (folder / "seqinfo.ini").read_text()
    assert (folder / "times.csv").read_text().splitlines()[2] == "2,2025-06-01T22:00:15"
    assert len((folder / "species.csv").read_text().splitlines()) == 1 + len(set(truth[:, 1]))
    assert "synthetic" in json.loads((tmp_path / "scenes" / "provenance.json").read_text())["made"]
    with pytest.raises(BiocosmosError, match="exists already"):
        simulate_scenes(tmp_path / "scenes", settings)
    before = (folder / "img1" / "000009.jpg").read_bytes()
    simulate_scenes(tmp_path / "scenes", replace(settings, one_class=True), overwrite=True)
    assert (np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")[:, 7] == 1).all()
    assert (folder / "img1" / "000009.jpg").read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": (0.0,)},
        {"interval": (3.0, 3.0)},
        {"interval": (900.0,)},
        {"interval": ()},
        {"density": (9.0, 3.0)},
        {"density": [1.0, 2.0, 3.0]},
        {"body": (-1.0,)},
        {"minutes": float("nan")},
        {"speed": ("fast",)},
        {"sequences": 0},
    ],
)
def test_what_cannot_be_is_one_line(wrong):
    with pytest.raises(SettingError) as caught:
        SimulateScenesSettings(**wrong)
    assert "\n" not in str(caught.value) and f"--{next(iter(wrong))}" in str(caught.value)


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(BiocosmosError, match="something else than scenes"):
        simulate_scenes(tmp_path / "mine", SETTINGS, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(BiocosmosError, match="is no folder: choose another name"):
        simulate_scenes(tmp_path / "mine" / "thesis.txt", SETTINGS, overwrite=True)
