"""The page of a community: every section where there is something to say, and none where there is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.discover.communities import Community
from biocosmos.evaluate.communities import community_report
from biocosmos.jobs.summarize import summarize
from biocosmos.jobs.summarize_settings import SummarizeSettings
from biocosmos.settings import told

TITLES = {
    "What is in each sample?",
    "Where?",
    "When?",
    "How deep?",
    "How diverse?",
    "How alike are the samples?",
    "How sure is it?",
}


@pytest.fixture(scope="module")
def cruise(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    rng, rows = np.random.default_rng(0), list[dict[str, Any]]()
    for station in range(3):
        for month in (3, 6):
            for top in (0.0, 50.0):
                sample = f"{'ABC'[station]}{month}-{top:g}"
                shares = rng.dirichlet(np.full(9, 0.5))
                for taxon in rng.choice(9, 30, p=shares):
                    row = {"id": f"o{len(rows)}", "text": "t", "sample_id": sample, "station": "ABC"[station]}
                    row |= {"label": f"taxon {taxon}", "latitude": 54.0 + station, "longitude": 179.0 + station}
                    rows.append(row | {"date": f"2025-0{month}-11", "depth_min": top, "depth_max": top + 50, "vol": 20.0})
    made = bc.Collection.create(tmp_path_factory.mktemp("cruise") / "cruise.cosmos")
    made.add(pa.Table.from_pylist(rows))
    return made


def titles(html: str) -> set[str]:
    return {re.sub("<[^>]+>", "", each) for each in re.findall(r"<h2[^>]*>(.*?)</h2>", html, re.S)}


def test_the_page_shows_where_when_how_deep_how_diverse_and_how_alike(cruise: bc.Collection, tmp_path: Path) -> None:
    found = summarize(cruise, told(SummarizeSettings, by=("sample", "station", "depth"), volume="vol=m3", draws=20))
    html = found.report().html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert titles(html) >= TITLES and "src=" not in html and "http://" not in html.replace("http://www.w3.org", "")
    assert html.count("<svg") == 8 and "stress 0." in html and "A3-0" in html
    assert "individuals per m³" in html and "360 specimens" in html
    again = summarize(cruise, told(SummarizeSettings, by=("sample", "station", "depth"), volume="vol=m3", draws=20))
    for name in ("samples", "diversity", "ordination"):
        assert again.report().table(name).equals(found.report().table(name))


def test_below_a_square_metre_and_by_month(cruise: bc.Collection, tmp_path: Path) -> None:
    found = summarize(cruise, told(SummarizeSettings, by=("station", "month", "depth"), volume="vol=m3", per_m2=True, draws=5))
    html = found.report().html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "individuals per m²" in html and "How deep?" not in titles(html)
    assert len(found.community) == 6 and found.community.counts.sum() == pytest.approx(360 / 20 * 50)


def test_one_sample_has_no_ordination_and_says_so(tmp_path: Path) -> None:
    made = bc.Collection.create(tmp_path / "one.cosmos")
    made.add(pa.table({"id": ["a", "b"], "text": ["t", "t"], "sample_id": ["s", "s"], "label": ["<b>x</b>", "y"]}))
    html = summarize(made).report().html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert not titles(html) & {"Where?", "When?", "How deep?", "How alike are the samples?"}
    assert "1 sample has no ordination" in html and "<b>x</b>" not in html


def test_empty_samples_make_a_page_too(tmp_path: Path) -> None:
    names = [np.array(each, object) for each in (["a", "b"], ["x"])]
    counts = np.zeros((2, 1))
    community = Community(*names, "label", counts, beside={"specimens": counts}, predicted=True)
    shares = {"sample": ["a"], "taxon": ["x"], "share": [0.5], "share_low": [0.25], "share_high": [0.75], "method": ["cc"]}
    report = community_report(community, chao1=True, shares=pa.table(shares | {"gate": ["shut"]}))
    html = report.html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "50.0 % (25.0 % to 75.0 %)" in html and "In 1 sample it stayed shut" in html
    assert "2 samples are empty" in html and "Chao1 rests on" in html and report.rows("rarefaction") == []
