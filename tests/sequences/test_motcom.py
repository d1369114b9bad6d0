"""OCOM, MCOM and VCOM beside the public code's own figures, and beside its way written out: a mask of the frame for each box."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.sequences import Boxes, Frames
from biocosmos.sequences.difficulty import Features, Measuring, measure
from biocosmos.sequences.difficulty.coverage import covered_shares

GOLDEN = Path(__file__).parent / "golden"
PUBLIC = json.loads((GOLDEN / "motcom.json").read_text())
WIDTH, HEIGHT, FRAMES = 160, 120, 30
EXACT = 1e-9


def boxes_of(rows: np.ndarray, *, frames: int = FRAMES, size: tuple[int, int] = (WIDTH, HEIGHT), name: str = "s") -> Boxes:
    """Rows of MOTChallenge ground truth as boxes of a sequence."""
    rows = np.asarray(rows, float).reshape(-1, 9)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    found = Frames(np.arange(1, frames + 1), np.arange(float(frames)), (None,) * frames, *size, 1.0)
    track = np.array([str(int(i)) for i in rows[:, 1]], object)
    return Boxes(name, found, rows[:, 0].astype(int) - 1, rows[:, 2:6] - [1, 1, 0, 0], track, visibility=rows[:, 8], raw=rows)


def golden(name: str) -> tuple[Boxes, Features]:
    stored = np.load(GOLDEN / "motcom_features.npz")
    rows = np.loadtxt(GOLDEN / f"{name}.txt", delimiter=",")
    return boxes_of(rows, name=name), Features(*(stored[f"{name}/{part}"] for part in ("frame", "id", "feat")))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_release_mode_gives_the_figures_of_the_public_code(name: str) -> None:
    boxes, features = golden(name)
    found, wanted = measure(boxes, features, Measuring("release")), PUBLIC[name]
    assert found.ocom == pytest.approx(wanted["OCOM_visibility"], abs=EXACT)
    assert found.mcom == pytest.approx(wanted["MCOM"], abs=EXACT)
    assert found.vcom == pytest.approx(wanted["VCOM"], abs=EXACT)
    assert found.motcom == pytest.approx(wanted["MOTCOM"], abs=EXACT)
    assert measure(boxes, None, Measuring("release", "boxes")).ocom == pytest.approx(wanted["OCOM_bbox_y0"], abs=EXACT)
    assert measure(boxes, None, Measuring("release", "order")).ocom == pytest.approx(wanted["OCOM_bbox_y1"], abs=EXACT)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_corrected_mode_leaves_the_box_itself_out_and_minds_gaps(name: str) -> None:
    boxes, features = golden(name)
    found, wanted = measure(boxes, features, Measuring(occlusion="boxes")), PUBLIC[name]["corrected"]
    assert found.ocom == pytest.approx(wanted["OCOM_bbox_no_self"], abs=EXACT)
    assert found.mcom == pytest.approx(wanted["MCOM"], abs=EXACT)
    assert found.vcom == pytest.approx(wanted["VCOM"], abs=EXACT)
    assert measure(boxes, features).occlusion == "visibility"


# ---------------------------------------------------------------- what covers a box


def masked_shares(frame, box, *, order, itself):
    """As the public code goes about it: a mask of the whole frame for every box."""
    shares = []
    for f, (x, y, w, h) in zip(frame, box):
        others = [i for i in range(len(frame)) if frame[i] == f]
        if len(others) < 2:
            shares.append(math.nan)
            continue
        left, top, wide, high = int(x), int(y), int(w), int(h)
        mask = np.zeros((HEIGHT, WIDTH), bool)
        me = len(shares)
        for i in others:
            ox, oy, ow, oh = box[i]
            if i == me and not itself:
                continue
            bottom = int(oy + oh)
            if (order == "release" and bottom >= top + high) or (order == "nearer" and bottom <= top + high):
                continue
            first_row, last_row = max(top, int(oy)), min(top + high, bottom)
            first_column, last_column = max(left, int(ox)), min(left + wide, int(ox + ow))
            if last_row >= first_row and last_column >= first_column:
                mask[first_row : last_row + 1, first_column : last_column + 1] = True
        shares.append(mask[top : top + high + 1, left : left + wide + 1].sum() / ((high + 1) * (wide + 1)))
    return np.array(shares)


SIDE = st.floats(0.0, 60.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 90), st.floats(0, 50), SIDE, SIDE), min_size=1, max_size=24),
    st.sampled_from([None, "release", "nearer"]),
    st.booleans(),
)
def test_boxes_drawn_inside_a_box_cover_what_masks_of_the_frame_say(rows, order, itself) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    frame, box = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows], float)
    found = covered_shares(frame, box, order=order, itself=itself)
    np.testing.assert_array_equal(found, masked_shares(frame, box, order=order, itself=itself))


def test_a_frame_of_4k_with_many_boxes_is_covered_as_a_small_one() -> None:
    rng = np.random.default_rng(0)
    box = np.column_stack([rng.uniform(0, 3000, 300), rng.uniform(0, 1800, 300), rng.uniform(50, 800, (300, 2))])
    found = covered_shares(np.ones(300, int), box)
    grid = np.zeros((2700, 3900), np.int16)
    for x, y, w, h in box:
        grid[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1] += 1
    for i in (0, 99, 299):
        x, y, w, h = box[i]
        inside = grid[int(y) : int(y) + int(h) + 1, int(x) : int(x) + int(w) + 1]
        assert found[i] == pytest.approx((inside > 1).mean(), abs=1e-12)


# ---------------------------------------------------------------- the parts, written out


def written_out_vcom(features: Features, ratios: np.ndarray, step: int = 1) -> float:
    rates = []
    for frame in np.unique(features.frame):
        here, there = features.frame == frame, features.frame == frame + step
        fdr = []
        for who, vector in zip(features.track[here], features.vectors[here]):
            if who in features.track[there]:
                distances = np.linalg.norm(features.vectors[there].astype(float) - vector.astype(float), axis=1)
                accepted = [features.track[there][distances <= distances.min() * (1 + r)] for r in ratios]
                fdr.append([1 - (a == who).sum() / len(a) for a in accepted])
        if fdr:
            rates.append(np.mean(fdr, axis=0))
    return float(np.mean(rates))


def test_vcom_over_all_pairs_is_what_its_words_say() -> None:
    rng = np.random.default_rng(1)
    frame, track = (part.ravel() for part in np.mgrid[1:13, 0:6])
    here = rng.random(len(frame)) < 0.7
    features = Features(frame[here], track[here], rng.normal(size=(here.sum(), 3)))
    rows = np.column_stack([frame[here], track[here], np.full((here.sum(), 7), [20, 20, 9, 9, 1, 1, 1])])
    found = measure(boxes_of(rows, frames=12), features)
    assert found.vcom == pytest.approx(written_out_vcom(features, np.arange(1, 101) / 100), abs=1e-12)
    other = measure(boxes_of(rows, frames=12), features, Measuring(ratios=(0.5, 0.5, 0.1)))
    assert other.vcom == pytest.approx(written_out_vcom(features, np.array([0.5])), abs=1e-12)


def moving(times: list[int], xs: list[float]) -> np.ndarray:
    return np.array([[t, 1, x + 1, 11, 8, 2, 1, 1, 1] for t, x in zip(times, xs)], float)


def test_a_steady_walk_through_missing_frames_is_only_hard_where_it_begins() -> None:
    steady = boxes_of(moving([1, 2, 3, 6, 7], [0, 5, 10, 25, 30]))
    assert measure(steady).strayed == pytest.approx(5 / 4 / 5)  # sqrt(8 * 2) = 4 pixels; the first step alone
    assert measure(steady, None, Measuring("release")).strayed > measure(steady).strayed


def test_an_interval_brings_sequences_of_other_rates_to_one() -> None:
    every = boxes_of(moving([1, 2, 3, 4, 5], [0, 3, 3, 9, 1]))
    slow = replace(every, frames=replace(every.frames, seconds=np.arange(30.0) * 60))
    assert measure(slow).strayed == pytest.approx(measure(every).strayed)
    assert measure(slow, None, Measuring(interval=1)).strayed == pytest.approx(measure(every).strayed / 60)
    assert measure(slow, None, Measuring(interval=60)).mcom == pytest.approx(measure(every).mcom)


def test_neighbouring_frames_are_those_of_the_commonest_step() -> None:
    boxes = boxes_of(moving([1, 2, 3], [0, 3, 6]))
    tens = replace(boxes, frames=replace(boxes.frames, number=np.arange(30) * 10))
    vectors = np.ones((3, 2))
    assert measure(tens, vectors).pairs == measure(boxes, vectors).pairs == 2


# ---------------------------------------------------------------- boxes that are no good


def test_boxes_are_cut_at_the_edges_as_the_public_code_cuts_them() -> None:
    rows = [[1, 1, 151, 1, 20, 20, 1, 1, 1], [1, 2, -8, -3, 20, 20, 1, 1, 1], [1, 3, 30, 30, 9, 9, 1, 1, 1]]
    kept = Measuring("release").prepared(boxes_of(np.array(rows)))
    np.testing.assert_array_equal(kept.box, [[150, 0, 9, 20], [0, 0, 11, 16], [29, 29, 9, 9]])


def test_boxes_that_do_not_take_part_are_counted_by_reason() -> None:
    good = [1, 1, 20, 20, 9, 9, 1, 1, 1]
    bad = {
        "marked as not to be considered": [1, 2, 20, 20, 9, 9, 0, 1, 1],
        "of another class": [1, 3, 20, 20, 9, 9, 1, 7, 1],
        "without width or height": [1, 4, 20, 20, 0, 9, 1, 1, 1],
        "outside the picture": [1, 5, 500, 20, 9, 9, 1, 1, 1],
        "at the edge of the picture": [1, 6, 160, 20, 9, 9, 1, 1, 1],
        "not finite": [1, 7, math.nan, 20, 9, 9, 1, 1, 1],
    }
    found = measure(boxes_of(np.array([good, *bad.values()], float)), None, Measuring(classes=("1",)))
    assert found.left_out == dict.fromkeys(bad, 1)
    assert (found.boxes, found.tracks) == (1, 1)


def test_results_of_a_tracker_have_a_confidence_where_truth_has_a_flag() -> None:
    rows = np.array([[1, 1, 20, 20, 9, 9, 0.4, -1, -1], [2, 1, 21, 20, 9, 9, 0.9, -1, -1]])
    assert measure(boxes_of(rows)).boxes == 2 and measure(boxes_of(rows)).occlusion == "boxes"
    assert measure(boxes_of(rows), None, Measuring("release", classes=("-1",))).left_out == {"marked as not to be considered": 2}


def test_an_individual_twice_in_a_frame_is_refused_in_release_mode_and_counted_once_otherwise() -> None:
    rows = np.array([[1, 1, 20, 20, 9, 9, 1, 1, 1], [1, 1, 60, 20, 9, 9, 1, 1, 1], [2, 1, 21, 20, 9, 9, 1, 1, 1]])
    with pytest.raises(BiocosmosError, match="'1' twice in frame 1"):
        measure(boxes_of(rows), None, Measuring("release"))
    found = measure(boxes_of(rows))
    assert (found.boxes, found.left_out) == (2, {"of an individual that is in the frame already": 1})


def test_what_cannot_be_measured_is_nan_and_told() -> None:
    nobody = measure(boxes_of(np.zeros((0, 9))), np.zeros((0, 2)))
    assert math.isnan(nobody.ocom) and math.isnan(nobody.mcom) and math.isnan(nobody.motcom)
    assert measure(boxes_of(np.zeros((0, 9))), np.zeros((0, 2)), Measuring(mode="release")).ocom == 0
    assert nobody.notes == ("no box of an individual took part",)
    once = measure(boxes_of(moving([4], [0])), np.ones((1, 2)))
    assert math.isnan(once.mcom) and math.isnan(once.vcom)
    assert "two frames: MCOM" in once.notes[0] and "two neighbouring frames" in once.notes[1]
    unseen = boxes_of(moving([1, 2], [0, 3]))
    unseen = replace(unseen, visibility=np.array([-1.0, -1.0]))
    assert measure(unseen).occlusion == "boxes" and "2 visibilities" in measure(unseen).notes[0]
    with pytest.raises(BiocosmosError, match="has boxes but no tracks"):
        measure(replace(unseen, track=None))


@pytest.mark.parametrize("how", [{"ratios": (0, 1, 0.1)}, {"betas": (0.1, 1, 0)}, {"mode": "release", "interval": 3.0}])
def test_measuring_that_cannot_be_is_refused(how) -> None:
    with pytest.raises(BiocosmosError):
        Measuring(**how)
