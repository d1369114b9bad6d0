"""``evaluate --protocol clustering`` on real images: parts, numbers of clusters, the guard, refused options."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.settings import SettingError, UnusedSetting, told
from biocosmos.specimens import guard

Verb = Callable[..., str]
ASKED = {"protocol": "clustering", "reducer": "pca:10"}


@pytest.fixture
def mine(embedded: bc.Collection, tmp_path: Path) -> bc.Collection:
    """A copy of the small collection, in which work may be kept."""
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def test_clusters_are_made_of_the_part_that_asks_and_scored_against_its_taxa(mine: bc.Collection) -> None:
    report = evaluate_collection(mine, **ASKED, clusterer="ward,hdbscan", queries="train")
    labels = report.table("labels")
    wanted = mine.table(["id"], split="train")["id"].to_pylist()
    assert sorted(labels.column("id").to_pylist()) == sorted(wanted)
    (row,) = report.rows(setting="pca 10 + ward")
    names = np.array(labels.column("label").to_pylist(), object).astype(str)
    found = labels.column("efficientnet-lite0 | pca 10 + ward").to_numpy()
    assert row["ami"] == pytest.approx(adjusted_mutual_info_score(names, found))
    assert row["ami_low"] > 0.05  # real images: better than chance
    assert row["taxa"] == row["clusters"] == len(set(names))
    assert {each["rank"] for each in report.rows("scores")} >= {"status", "phylum", "label"}
    assert list((mine.path / "work" / "clustering").glob("clusters-*.npz"))


def test_the_number_of_clusters_may_come_from_another_part(mine: bc.Collection) -> None:
    there = len(set(mine.table(["label"], split="val")["label"].to_pylist()) - {None})
    report = evaluate_collection(mine, **ASKED, clusterer="kmeans", queries="train", gallery="val", clusters="gallery")
    (row,) = report.rows()
    assert (row["clusters"], row["counted_by"]) == (there, "another part (val)")
    assert not any("as many as there are taxa" in caveat for caveat in report.caveats)
    (row,) = evaluate_collection(mine, **ASKED, clusterer="kmeans", queries="train", clusters="7").rows()
    assert (row["clusters"], row["counted_by"]) == (7, "given")


def test_specimens_that_an_encoder_learnt_from_are_refused(mine: bc.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = mine.table(["id"], split="test")["id"].to_pylist()[:3]
    record = guard.Fitted.of("the encoder", fitted=learnt)
    monkeypatch.setattr(guard, "records", lambda *who: iter([record]))
    for part in ("test", "all"):
        with pytest.raises(BiocosmosError, match=r"3 .* the encoder"):
            evaluate_collection(mine, **ASKED, queries=part)


def test_the_command_writes_a_page_and_tables_and_the_whole_collection_may_ask(
    mine: bc.Collection, biocosmos: Verb, tmp_path: Path
) -> None:
    line = (
        "evaluate",
        mine.path,
        "--protocol",
        "clustering",
        "--reducer",
        "none",
        "--clusterer",
        "kmeans,ward",
        "--queries",
        "all",
    )
    said = biocosmos(*line, "--where", "status = 'living'", "--by", "group", "-o", tmp_path / "out")
    assert "chosen by silhouette" in said
    tables = read_tables(tmp_path / "out")
    living = mine.table(["id"], where="status = 'living'").num_rows
    assert tables["labels"].num_rows == living
    assert "group" in tables["scores"].column("rank").to_pylist()
    assert "Which encoder, which way of clustering?" in (tmp_path / "out" / "report.html").read_text()


def test_a_column_that_is_not_there_and_a_reducer_that_is_none_are_told(mine: bc.Collection, biocosmos: Verb) -> None:
    line = ("evaluate", mine.path, "--protocol", "clustering")
    assert "no column 'station' to compare" in biocosmos(*line, "--by", "station", fails=1)
    assert "no reducer 'pcs': choose none, pca" in biocosmos(*line, "--reducer", "pcs", fails=1)
    assert "no clusterer 'kmean': choose kmeans" in biocosmos(*line, "--clusterer", "kmean", fails=1)


def test_a_collection_that_cannot_be_written_is_judged_all_the_same(mine: bc.Collection) -> None:
    (mine.path / "work").mkdir(exist_ok=True)
    (mine.path / "work" / "clustering").write_text("in the way")
    report = evaluate_collection(mine, **ASKED, clusterer="kmeans")
    assert report.rows()
    assert any("nothing was kept to go on from" in caveat for caveat in report.caveats)


@pytest.mark.parametrize("option", ["reducer", "clusterer", "clusters"])
def test_options_of_clusters_are_refused_elsewhere(option: str) -> None:
    given = {"reducer": "pca", "clusterer": "ward", "clusters": "5"}[option]
    assert getattr(told(EvaluateSettings, protocol="clustering", **{option: given}), option) == given
    for protocol in (None, "all-vs-all", "few-shot"):
        with pytest.raises(UnusedSetting, match=f"--{option} does nothing here: it is used .*--protocol clustering"):
            told(EvaluateSettings, protocol=protocol, **{option: given})


def test_what_clusters_have_no_use_for_is_refused() -> None:
    for option in ({"gallery": "val"}, {"method": "linear"}, {"identify": False}, {"threshold": 0.5}, {"interpolate": "0:1:0.5"}):
        with pytest.raises(UnusedSetting):
            told(EvaluateSettings, protocol="clustering", **option)
    for number in ("0", "-3", "many", ""):
        with pytest.raises(SettingError, match="--clusters must be 'taxa', 'gallery', 'chosen' or a number"):
            told(EvaluateSettings, protocol="clustering", clusters=number)
