"""Scores of tracks: small cases by hand, HOTA and IDF1 written out, public ground truth, labels, what cannot be judged."""

import sys
from itertools import permutations
from pathlib import Path

import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.tracking import judge, tracking_report
from biocosmos.evaluate.tracking.scores import together
from biocosmos.images.boxes import overlap
from biocosmos.jobs.evaluate_tracks import evaluate_tracks
from biocosmos.sequences import Boxes, Frames
from biocosmos.sequences.files import read_sequence

PUBLIC = Path(motmetrics.__file__).parent / "data"


def boxes_of(rows, frames, labels=None, name="night"):
    """Boxes from (frame, track, x): squares of 10 pixels."""
    rows = sorted(rows, key=lambda row: row[0])
    numbers = np.arange(1, frames + 1)
    shape = Frames(numbers, numbers - 1.0, (None,) * frames)
    box = np.array([[x, 0.0, 10.0, 10.0] for _, _, x in rows]).reshape(-1, 4)
    place, track = np.array([frame for frame, _, _ in rows], int), np.array([track for _, track, _ in rows], object)
    label = None if labels is None else np.array([labels[own] for own in track], object)
    return Boxes(name, shape, place, box, track, label=label)


def test_a_switch_a_miss_and_an_alarm_by_hand():
    truth = boxes_of([(frame, "a", 0.0) for frame in range(4)] + [(frame, "b", 50.0) for frame in range(4)], 4)
    lost_and_found = [(0, "1", 0.0), (1, "1", 0.0), (2, "9", 0.0), (3, "9", 0.0)]
    missed_once, nothing = [(0, "2", 50.0), (1, "2", 50.0), (2, "2", 50.0)], (3, "3", 200.0)
    found = boxes_of([*lost_and_found, *missed_once, nothing], 4)
    scores = judge(truth, found)
    assert (scores.counts["switches"], scores.counts["missed"], scores.counts["false_boxes"]) == (1, 1, 1)
    assert scores.shares["MOTA"] == pytest.approx(1 - 3 / 8)
    assert scores.shares["IDF1"] == pytest.approx(2 * (2 + 3) / (8 + 8))  # 1 or 9 is a, 2 is b
    assert (scores.true, scores.found, scores.off, scores.count_error) == (2, 4, 2, 1.0)
    # 7 matches, 1 missed, 1 false; a and 1 share 2 of 4 boxes, so do a and 9, b and 2 share 3 of 4
    association = (2 * 0.5 + 2 * 0.5 + 3 * 0.75) / 7
    assert scores.shares["AssA"] == pytest.approx(association)
    assert scores.shares["HOTA"] == pytest.approx(np.sqrt(7 / 9 * association))


def written_out(truth, found):
    """IDF1 by every one-to-one match of tracks, HOTA by its definition, for boxes that overlap wholly or not at all."""
    cell = {}
    for which, boxes in (("t", truth), ("f", found)):
        for row in range(len(boxes)):
            cell.setdefault((int(boxes.frame[row]), float(boxes.box[row, 0])), {})[which] = boxes.track[row]
    pairs = [(each["t"], each["f"]) for each in cell.values() if len(each) == 2]
    true_names, found_names = sorted(set(truth.track)), sorted(set(found.track))
    padded = found_names + [None] * len(true_names)
    right = max(
        (sum(pairs.count((t, f)) for t, f in zip(true_names, chosen)) for chosen in set(permutations(padded, len(true_names)))),
        default=0,
    )
    idf1 = 2 * right / max(1, len(truth) + len(found))
    alike = [
        pairs.count(pair) / (list(truth.track).count(pair[0]) + list(found.track).count(pair[1]) - pairs.count(pair))
        for pair in pairs
    ]
    detection = len(pairs) / max(1, len(truth) + len(found) - len(pairs))
    hota = np.sqrt(detection * np.mean(alike)) if pairs else 0.0
    return idf1, hota


TRACKS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from([0.0, 20.0, 40.0])), max_size=9)


def one_each(rows, prefix):
    """No track and no place twice in a frame."""
    kept, tracks, places = [], set(), set()
    for frame, track, x in rows:
        if (frame, track) not in tracks and (frame, x) not in places:
            kept.append((frame, f"{prefix}{track}", x))
            tracks.add((frame, track))
            places.add((frame, x))
    return kept


@given(TRACKS, TRACKS)
@settings(max_examples=60, deadline=None)
def test_idf1_and_hota_are_as_they_are_defined(true, found):
    truth, tracks = boxes_of(one_each(true, "t"), 5), boxes_of(one_each(found, "f"), 5)
    scores = judge(truth, tracks)
    idf1, hota = written_out(truth, tracks)
    assert scores.shares["IDF1"] == pytest.approx(idf1)
    assert scores.shares["HOTA"] == pytest.approx(hota)


@pytest.mark.parametrize(
    "name, mota, idf1, precision, recall, switches, fragments, counted",
    [
        # what motmetrics prints for its own data; the packaged release itself does not run beside NumPy 2
        ("TUD-Campus", 0.526, 0.558, 0.941, 0.582, 7, 7, (8, 13)),
        ("TUD-Stadtmitte", 0.564, 0.645, 0.940, 0.609, 7, 6, (10, 12)),
    ],
)
def test_public_ground_truth_scores_as_motmetrics_prints(name, mota, idf1, precision, recall, switches, fragments, counted):
    scores = judge(read_sequence(PUBLIC / name / "gt.txt"), read_sequence(PUBLIC / name / "test.txt"))
    shares = [scores.shares[key] for key in ("MOTA", "IDF1", "precision", "recall")]
    assert shares == pytest.approx([mota, idf1, precision, recall], abs=0.0006)
    assert (scores.counts["switches"], scores.counts["fragments"]) == (switches, fragments)
    assert (scores.true, scores.found) == counted


def test_overlaps_are_intersections_over_unions():
    found = overlap(np.array([[0.0, 0, 10, 10], [0, 0, 0, 0]]), np.array([[5.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 0, 0]]))
    assert found == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))


def test_empty_sides_are_scored():
    some, none = boxes_of([(0, "a", 0.0)], 2), boxes_of([], 2)
    assert judge(some, none).shares["HOTA"] == 0 and judge(some, none).count_error == 1.0
    assert judge(none, some).counts["false_boxes"] == 1 and np.isnan(judge(none, some).count_error)
    both = together([judge(some, some), judge(none, some)])
    assert both.true == 1 and both.found == 2 and both.shares["MOTA"] == pytest.approx(0.0)


def test_frames_are_compared_by_number_and_labels_for_themselves():
    truth = boxes_of([(0, "a", 0.0), (0, "b", 50.0), (1, "a", 0.0), (1, "b", 50.0)], 2, {"a": "Noctua", "b": "Agrotis"})
    frames, tracks, labels = Frames(np.array([2]), np.array([0.0]), (None,)), ["x", "y"], ["Noctua", "Noctua"]
    track, label = np.array(tracks, object), np.array(labels, object)
    late = Boxes("night", frames, np.array([0, 0]), truth.box[2:], track, label=label)
    assert judge(truth, late).counts == judge(truth, late).counts | {"missed": 2, "false_boxes": 0}
    report = tracking_report([truth], {"ours": [late]})
    by_label = {row["label"]: row for row in report.rows("scores", sequence="all")}
    assert by_label["Noctua"]["false_boxes"] == 1 and by_label["Agrotis"]["missed"] == 2
    assert by_label["all"]["found_individuals"] == 2


def test_what_has_no_track_is_not_counted_and_said():
    truth = boxes_of([(0, "a", 0.0), (1, "a", 0.0)], 2)
    loose = boxes_of([(0, "1", 0.0), (1, "1", 0.0), (1, None, 90.0)], 2)
    report = tracking_report([truth], {"ours": [loose]})
    assert report.rows("scores")[0]["false_boxes"] == 0
    assert any("1 boxes of ours have no track" in caveat for caveat in report.caveats)


@pytest.mark.parametrize(
    "found, words",
    [
        (boxes_of([(0, "1", 0.0), (0, "1", 5.0)], 1), "two boxes of the individual '1'"),
        (boxes_of([(0, None, 0.0)], 1), "without tracks"),
    ],
)
def test_tracks_that_cannot_be_are_refused(found, words):
    with pytest.raises(BiocosmosError, match=words):
        tracking_report([boxes_of([(0, "a", 0.0)], 1)], {"ours": [found]})


def test_sequences_must_fit():
    one, two = (boxes_of([(0, "a", 0.0)], 1, name=name) for name in ("one", "two"))
    with pytest.raises(BiocosmosError, match="has no sequence 'two'"):
        tracking_report([one, two], {"ours": [one]})
    with pytest.raises(BiocosmosError, match="that the truth has not"):
        tracking_report([one], {"ours": [one, two]})


def test_the_command_writes_a_page_and_tables(tmp_path, biocosmos):
    truth, found = (PUBLIC / "TUD-Campus" / name for name in ("gt.txt", "test.txt"))
    said = biocosmos("sequences", "evaluate", truth, found, "-o", tmp_path / "report", "--tables", "csv")
    assert "IDF1" in said
    assert "55.8 %" in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "tables" / "scores.csv").exists()


@pytest.mark.parametrize("truth", ["nothing", "empty.txt", "folder"])
def test_bad_input_is_refused(tmp_path, truth):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BiocosmosError) as refused:
        evaluate_tracks(tmp_path / truth, [PUBLIC / "TUD-Campus" / "test.txt"])
    assert "\n" not in str(refused.value) and truth in str(refused.value)


def test_two_trackers_of_one_name_are_told_apart(tmp_path):
    truth = PUBLIC / "TUD-Campus" / "gt.txt"
    report = evaluate_tracks(truth, [PUBLIC / "TUD-Campus" / "test.txt", PUBLIC / "TUD-Campus" / "gt.txt"]).report
    assert [row["tracks"] for row in report.rows("scores")] == ["test", "gt"]
    with pytest.raises(BiocosmosError, match="named twice"):
        evaluate_tracks(truth, [truth, truth])


def test_the_table_of_boxes_that_track_writes_is_judged(tmp_path, biocosmos):
    scenes, boxes = tmp_path / "scenes", tmp_path / "boxes.csv"
    biocosmos("simulate", "scenes", "-o", scenes, "--sequences", "2", "--minutes", "4", "--interval", "15", "--no-pictures")
    biocosmos("track", scenes, "--format", "mot-detections", "--boxes", boxes, "-o", tmp_path / "tracks.csv")
    rows = evaluate_tracks(scenes, [boxes]).report.rows("scores")
    assert [row["sequence"] for row in rows] == ["scene-0-001-15s", "scene-0-002-15s", "all"] and rows[-1]["IDF1"] > 0.5
    assert "a row for each individual" in biocosmos("sequences", "evaluate", scenes, tmp_path / "tracks.csv", fails=1)
    biocosmos("track", scenes, "--format", "mot-detections", "--boxes", tmp_path / "boxes.parquet")
    assert evaluate_tracks(scenes, [tmp_path / "boxes.parquet"]).report.rows("scores")[-1]["HOTA"] == rows[-1]["HOTA"]
    lines = boxes.read_text().splitlines()
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join([*lines, lines[-1].replace(lines[-1].split(",")[4], "far", 1)]) + "\n")
    judged = evaluate_tracks(scenes, [bad])
    assert judged.failures.errors == 1 and judged.report.rows("scores")[-1]["HOTA"] == rows[-1]["HOTA"]
    first = [line for line in lines if "scene-0-001" in line or line.startswith('"sequence"')]
    bad.write_text("\n".join(first) + "\n")
    assert evaluate_tracks(scenes, [bad]).report.rows("scores", sequence="scene-0-002-15s")[0]["recall"] == 0


def test_without_trackeval_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    with pytest.raises(BiocosmosError, match=r"pip install 'biocosmos\[sequences\]'"):
        judge(boxes_of([], 1), boxes_of([], 1))
