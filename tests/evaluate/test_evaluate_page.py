"""The page: well formed, self-contained, deterministic, with pictures, and readable by a machine."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.charts import Bar, Difference, Point, bars, differences, lines, scatter, stacked
from biocosmos.evaluate.pages.svg import Scale, percent
from biocosmos.identify.identifier import Identifier
from biocosmos.search.gallery import Gallery

VOID = {"meta", "img", "br", "link", "wbr", "hr", "input"}


class Checker(HTMLParser):
    """Collects tags left open, addresses, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data", "action")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data


def specimens(n: int, seed: int, prefix: str, noise: float = 0.5) -> Gallery:
    rng = np.random.default_rng(seed)
    species = np.concatenate([[9], rng.integers(0, 9, n - 1)])
    rest = np.random.default_rng(0).integers(0, 9, 500)
    everything = pa.table({"genus": [f"G{s // 3}" for s in rest], "species": [f"G{s // 3} <i>s{s}</i>" for s in rest]})
    table = pa.table({"genus": [f"G{s // 3}" for s in species], "species": [f"G{s // 3} <i>s{s}</i>" for s in species]})
    taxonomy = evaluate_taxonomy(pa.concat_tables([everything, pa.table({"genus": ["G3"], "species": ["G3 <i>s9</i>"]})]))
    vectors = np.eye(10)[species] + noise * rng.normal(size=(n, 10))
    columns = pa.table({"site": [f"site {s % 2}" for s in species]})
    provenance = {"encoder": f"toy {noise}", "digest": "ab12", "split": {"name": "default", "hash": "5plit"}}
    return Gallery.build(
        [f"{prefix}{i}" for i in range(n)], vectors, table=table, taxonomy=taxonomy, columns=columns, provenance=provenance
    )


def evaluate_taxonomy(table: pa.Table):
    from biocosmos.taxonomy import Taxonomy

    return Taxonomy.from_table(table)


def picture(specimen: str) -> bytes | None:
    """Every kind of answer a thumbnail source may give."""
    if specimen.endswith("3"):
        return None
    if specimen.endswith("4"):
        return b"not an image"
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(len(specimen)).integers(0, 255, (300, 200), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def reports() -> dict[str, evaluate.Report]:
    gallery, queries = specimens(150, 1, "g"), specimens(60, 2, "q")
    gallery = gallery.subset(gallery.taxa != gallery.taxonomy.find("G1 <i>s3</i>"))
    answers = Identifier.fit(gallery, threshold=0.8).identify(queries)
    named = evaluate.naming(answers=answers, truth=queries, gallery=gallery)
    found = evaluate.retrieval(gallery, queries, rules=["nearest", "class-mean"], groups=["site"])
    return {
        "all": evaluate.retrieval(specimens(80, 1, "a"), groups=["site"]),
        "queries": found,
        "names": named,
        "both": evaluate.combine(named, found),
        "encoders": evaluate.compare({"a": specimens(80, 1, "a", 0.8), "b_c": specimens(80, 1, "a", 0.4)}, groups=["site"]),
        "one": evaluate.retrieval(Gallery.build(["x"], np.ones((1, 2)), table={"species": ["a"]})),
        "no intervals": evaluate.retrieval(specimens(30, 1, "a"), bootstrap=0),
    }


NAMES = ["all", "queries", "names", "both", "encoders", "one", "no intervals"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_well_formed_and_fetches_nothing(reports, name, tmp_path):
    text = reports[name].html(tmp_path / "page.html", thumbnails=picture).read_text()
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in checker.addresses)
    assert not re.search(r"@import|url\(|<script|<link|<iframe", text)
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    assert {address[1:] for address in checker.addresses if address.startswith("#")} <= ids
    for chart in re.findall(r"<svg.*?</svg>", text, re.S):
        root = ElementTree.fromstring(chart)
        assert root.get("aria-label")
        assert not re.search(r"\bnan\b", chart)
    assert "What cannot be concluded" in checker.words
    assert not re.search(r"\b(nan|None|inf)\b", checker.words), re.findall(r".{30}\b(?:nan|None|inf)\b.{30}", checker.words)


@pytest.mark.parametrize("name", ["all", "names", "both", "encoders"])
def test_the_page_names_its_encoder_and_split(reports, name, tmp_path):
    text = reports[name].html(tmp_path / "page.html").read_text()
    assert "5plit" in text
    assert "biocosmos 0" in text
    assert "no picture" in text


def test_names_are_escaped_and_pictures_are_small(reports, tmp_path):
    text = reports["all"].html(tmp_path / "page.html", thumbnails=picture).read_text()
    assert "<i>s1</i>" not in text
    assert "&lt;i&gt;s1&lt;/i&gt;" in text
    assert "data:image/jpeg;base64," in text
    assert len(text) < 2_000_000


def test_a_page_is_the_same_every_time(reports, tmp_path):
    one, two = (reports["queries"].html(tmp_path / f"{i}.html", thumbnails=picture).read_bytes() for i in "ab")
    assert one == two


def test_headlines_and_combined_tables(reports):
    both = reports["both"]
    assert {"what", "value", "detail"} == set(both.headlines()[0])
    assert both.table().equals(reports["names"].table())
    assert both.table("retrieval_summary").equals(reports["queries"].table())
    with pytest.raises(BiocosmosError, match="pass one of each kind"):
        evaluate.combine(reports["all"], reports["queries"])
    with pytest.raises(BiocosmosError, match="no table 'nothing'"):
        both.table("nothing")


def test_reports_of_one_kind_side_by_side_have_all_their_headlines(reports):
    """Two heads that answer the same questions: the second is not cut to the first few."""
    one, many = reports["queries"], len(reports["queries"].headlines())
    assert many > 3
    assert len(evaluate.combine(one, one, names=["plain", "ctgnn"]).headlines()) == 2 * many
    assert len(evaluate.combine(reports["names"], one).headlines()) == len(reports["names"].headlines()) + 3


def test_percent_never_rounds_a_mistake_away():
    assert percent(0.9999) == "> 99.9 %"
    assert percent(0.0001) == "< 0.1 %"
    assert (percent(1.0), percent(0.0), percent(None), percent(0.5)) == ("100.0 %", "0.0 %", "–", "50.0 %")


def test_ticks_are_round_and_inside():
    assert Scale(0, 1, 0, 100).ticks(4) == [0, 0.25, 0.5, 0.75, 1]
    assert Scale(1, 120, 0, 100, log=True).ticks() == [1, 10, 100] or len(Scale(1, 120, 0, 100, log=True).ticks()) <= 8
    assert Scale(3, 3, 0, 100).ticks() == [3]


def test_a_legend_of_long_names_stays_inside_its_chart():
    names = ["specimens", "nearest", "nearest-euclidean", "class-mean", "class-mean-euclidean", "centroid"]
    groups = [("species", [Bar(0.5)] * len(names)), ("genus", [Bar(0.7)] * len(names))]
    for chart in (
        bars("Rules", groups, names),
        lines("Rules", [(name, [(0.1, 0.5), (1.0, 0.4)]) for name in names], "x", "y"),
        differences("Rules", [("species", [Difference(0.1, 0.0, 0.2)] * len(names))], names, "points"),
        stacked("Rules", [("species", [1.0] * len(names))], names, ["c1"] * len(names)),
        scatter("Rules", [Point(10, 0.5, "", i) for i in range(len(names))], "x", "y", y_range=(0, 1), names=names),
    ):
        root = ElementTree.fromstring(chart)
        width, height = (float(size) for size in root.get("viewBox").split()[2:])
        words = {text.text: text for text in root.iter("text") if text.text in names}
        assert set(words) == set(names)
        for name, text in words.items():
            assert float(text.get("x")) + len(name) * 7 <= width and float(text.get("y")) < height
        lowest = max(float(text.get("y")) for text in words.values())
        assert all(float(line.get("y1")) > lowest for line in root.iter("line") if line.get("class") == "grid")
