"""The page of the dial says what was taken, what it loses and why the others were not."""

from biocosmos.evaluate.dial.chart import front
from biocosmos.evaluate.dial.page import points
from biocosmos.evaluate.dial.report import Line, dial_report

FACTS = {
    "encoder": "run",
    "encoders": {"run": {"digest": "0" * 16}},
    "collection": "mine",
    "processor": "a processor, 2 cores",
    "choosing": {"who": "part 'train'", "specimens": 2000},
    "judging": {"who": "part 'val'", "specimens": 1500},
    "split_hash": "abc",
    "options": {},
}
DENSE = Line("all tokens", "float32", "torch", 1.0, 80.0, 0.0, why="the encoder as it is, at its fastest")
FAST = Line("atc-0.5", "float32", "torch", 1.9, 152.0, 0.002, 0.003, -0.001, 0.007, 12, 7, 1500, 0.004, True, "the fastest <b>")
LOST = Line("topk-0.25", "float32", "torch", 2.6, 210.0, 0.05, 0.04, 0.03, 0.05, 70, 10, 1500, 1.0, why="it ended the sequence")
ABSENT = Line("atc-0.5", "float32", "openvino", why="not here: no such way")


def page_of(tmp_path, lines, **more):
    report = dial_report(lines, 0.91, "recall", "species", 0.01, FACTS | more)
    return report.html(tmp_path / "dial.html").read_text()


def test_it_says_what_was_taken_and_what_it_loses(tmp_path):
    html = page_of(tmp_path, [DENSE, FAST, LOST, ABSENT])
    assert "1.90 times as many images a second" in html and "0.30 points lost" in html
    assert "−0.10 to 0.70" in html and "the fastest &lt;b&gt;" in html
    assert "not here: no such way" in html and "nearest of the same species" in html


def test_where_nothing_was_judged_it_says_so(tmp_path):
    from dataclasses import replace

    html = page_of(tmp_path, [replace(DENSE, taken=True, why="taken")], split_hash=None)
    assert "None that is faster was shown to lose at most 1.0 %" in html and "nothing was judged" in html
    assert "The collection has no split" in html


def test_points_and_a_chart_of_nothing():
    assert [points(value) for value in (None, float("nan"), 0.0, -0.00001, 0.0123, -0.002)] == [
        "–",
        "–",
        "0",
        "0",
        "1.23",
        "−0.20",
    ]
    assert front("nothing", [], 0.01).startswith("<svg")
