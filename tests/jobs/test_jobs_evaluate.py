"""Evaluate as a user does: on any part, by any namer, with every option that the mode uses and none that it does not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.identify.namer import Specimens
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.search.gallery import Gallery
from biocosmos.settings import SettingError, UnusedSetting, told
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import train_heads


@pytest.fixture(scope="module")
def mine(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """A copy of the small collection that may get more splits."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copytree(embedded.path, folder / "mine.cosmos")
    return bc.Collection.open(folder / "mine.cosmos")


@pytest.fixture(scope="module")
def head(mine: bc.Collection) -> Path:
    folder = mine.path.parent / "run"
    train_heads(mine, head_settings(freeze=True, ranks="group,label", epochs=8, batch_size=32, device="cpu"), folder)
    return folder


def ids(collection: bc.Collection, part: str | None) -> set[str]:
    return set(collection.table(["id"], split=part)["id"].to_pylist())


# ---- which specimens ask and answer ----------------------------------------------------------------------------------


def test_names_are_judged_on_the_parts_that_were_named(mine: bc.Collection) -> None:
    mine.make_split("stratified", name="other", seed=7, fractions={"fit": 0.6, "val": 0.2, "ask": 0.2})
    report = evaluate_collection(mine, queries="other:ask", gallery="other:fit", method="nearest", threshold=0.5)
    assert set(report.table("names_specimens")["id"].to_pylist()) == ids(mine, "other:ask")
    facts = report.provenance["names"]["answers"]
    assert facts["gallery"]["specimens"] == len(ids(mine, "other:fit"))
    assert report.provenance["split_hash"] == mine.split("other").hash
    (row,) = report.rows("names_summary", target="label", branch="all", over="all", measure="accuracy")
    known, asked = (mine.gallery(split=part, columns=()) for part in ("other:fit", "other:ask"))
    said = bc.Identifier.fit(known, method="nearest", threshold=0.5).namer.predict(Specimens(asked.ids, asked.vectors))
    cosines = asked.vectors.astype(np.float64) @ known.vectors.astype(np.float64).T
    np.testing.assert_array_equal(said.classes[said.logits.argmax(axis=1)], known.taxa[cosines.argmax(axis=1)])
    assert row["value"] == pytest.approx(right_down_the_tree(said, asked, "label"))


def right_down_the_tree(said: Predictions, asked: Gallery, rank: str) -> float:
    """The share named right at ``rank`` of those with a name there: a walk from the root to the likeliest child, in a loop."""
    tree, right = said.taxonomy, []
    for p, true in zip(np.exp(said.log_p.astype(np.float64)), asked.taxonomy.ancestor(np.maximum(asked.taxa, 0), rank)):
        node = 0
        while len(below := [child for child in np.flatnonzero(tree.parent == node) if child and p[child] > 0]):
            node = max(below, key=lambda child: p[child])
        if true >= 0:
            right.append(tree.ancestor(np.array([node]), rank)[0] == true)
    return float(np.mean(right))


def test_without_a_validation_part_the_gallery_calibrates_itself(mine: bc.Collection) -> None:
    report = evaluate_collection(mine, queries="val", method="nearest", protocol="ranks", threshold=0.5)
    assert set(report.table("specimens")["id"].to_pylist()) == ids(mine, "val")
    with pytest.raises(BiocosmosError, match="no specimens are kept apart to set promises on beside part 'val'"):
        evaluate_collection(mine, queries="val", method="nearest", protocol="promises")


def test_the_whole_collection_asks_about_itself(mine: bc.Collection, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(mine.path), "--queries", "all", "-o", str(tmp_path / "all")])
    assert done.exit_code == 0, done.output
    tables = read_tables(tmp_path / "all")
    assert set(tables["queries"]["id"].to_pylist()) == ids(mine, None)
    whole = mine.gallery(columns=())
    similar = whole.vectors.astype(np.float64) @ whole.vectors.astype(np.float64).T
    np.fill_diagonal(similar, -np.inf)
    label = whole.taxonomy.ancestor(np.maximum(whole.taxa, 0), "label")
    known = label >= 0
    expected = (label[similar.argmax(axis=1)] == label)[known].mean()
    (row,) = [
        row
        for row in tables["summary"].to_pylist()
        if (row["target"], row["k"], row["over"], row["averaged_over"]) == ("label", 1, "all", "queries")
    ]
    assert row["value"] == pytest.approx(expected)


# ---- one form of report for whatever names ----------------------------------------------------------------------------


def test_a_method_and_a_head_give_the_same_form_of_report(mine: bc.Collection, head: Path) -> None:
    by_method = evaluate_collection(mine, method="linear", protocol="ranks", threshold=0.6)
    by_head = evaluate_collection(mine, head=(head,), protocol="ranks", threshold=0.6)
    assert list(by_method.tables) == list(by_head.tables)
    for name, table in by_method.tables.items():
        mine_, theirs = (set(found.column_names) for found in (table, by_head.tables[name]))
        assert {re.sub(r"^\w+ (answerable|right|p)$", r"\1", column) for column in mine_} == {
            re.sub(r"^\w+ (answerable|right|p)$", r"\1", column) for column in theirs
        }, name
    sections = [[section.title for section in report.laid_out().sections] for report in (by_method, by_head)]
    assert {"How far down, and how often right?", "Does confidence mean what it says?"} <= set(sections[0]) & set(sections[1])
    # users of a head get calibrated confidence, and so does the headline
    (row,) = by_head.rows("calibration", target="label", branch="all", over="all")
    assert row["raw_ece"] is not None
    assert any("before calibration" in card["detail"] for card in by_head.headlines())


def test_methods_and_heads_stand_side_by_side(mine: bc.Collection, head: Path, tmp_path: Path) -> None:
    report = evaluate_collection(mine, head=(head,), method="nearest,centroid", protocol="ranks", threshold=0.5)
    assert [row["namer"] for row in report.rows("namers")] == ["nearest", "centroid", "run"]
    assert {row["target"] for row in report.rows("summary")} == {"label"}  # the only rank that the head and the collection share
    assert report.html(tmp_path / "page.html").read_text(encoding="utf-8").count("centroid") > 3


def test_what_decides_figures_stands_under_every_table(mine: bc.Collection, tmp_path: Path) -> None:
    report = evaluate_collection(mine, protocol="query-gallery", identify=False)
    facts = mine.encoders["efficientnet-lite0"]
    for fact in (facts["digest"], f"precision {facts['precision']}", f"backend {facts['backend']}", mine.split().hash):
        assert fact in report.stamp()
    page = report.html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count(report.stamp()) >= 3


def test_a_page_shows_where_and_when_where_that_is_known(mine: bc.Collection, tmp_path: Path) -> None:
    placed = bc.Collection.open(shutil.copytree(mine.path, tmp_path / "placed.cosmos"))
    ids_there = placed.table(["id"])["id"]
    n = len(ids_there)
    places = {"latitude": [52.0] * n, "longitude": [5.0] * n, "date": ["2019-05-01"] * n}
    placed.change(pa.table({"id": ids_there} | places), verb="update")
    report = evaluate_collection(placed, queries="test", protocol="query-gallery")
    (section,) = report.also
    assert "100.0 % of “test” lie in a square" in section.lead
    assert "Where and when they were collected" in report.html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_names_no_file_that_is_not_there(mine: bc.Collection, head: Path, tmp_path: Path) -> None:
    for asked in ({"by": ("group",), "method": "nearest", "threshold": 0.5}, {"head": (head,)}, {"protocol": "few-shot"}):
        report = evaluate_collection(mine, **asked)
        alone = report.html(tmp_path / "alone.html").read_text(encoding="utf-8")
        assert not re.findall(r"[\w-]+\.(?:csv|parquet)\b", alone)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        text = report.write(folder).read_text(encoding="utf-8")
        assert set(re.findall(r"[\w-]+\.(?:csv|parquet)\b", text)) <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("rule", [{"error_rate": 0.02}, {"threshold": 0.99}, {"novelty": "knn"}], ids=str)
def test_rules_are_refused_where_a_head_is_asked_for_no_answer(mine: bc.Collection, head: Path, rule: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=r"does nothing here: it is used where --queries and the calibrating part 'val' share"):
        evaluate_collection(mine, head=(head,), queries="val", protocol="ranks", **rule)


# ---- no option is ignored ----------------------------------------------------------------------------------------------

REFUSED = [
    (("--head", "{head}", "--gallery", "train"), "--gallery does nothing here"),
    (("--head", "{head}", "--encoder", "efficientnet-lite0"), "--encoder does nothing here"),
    (("--head", "{head}", "--interpolate", "0:1:1"), "--interpolate does nothing here"),
    (("--head", "{head}", "--no-identify"), "--identify does nothing here"),
    (("--head", "{head}", "--templates", "{file}"), "--templates does nothing here"),
    (("--head", "{head}", "--protocol", "promises", "--threshold", "0.5"), "--threshold does nothing here"),
    (("--views", "2"), "--views does nothing here"),
    (("--folds", "2"), "--folds does nothing here"),
    (("--most", "2"), "--most does nothing here"),
    (("--far", "{file}"), "--far does nothing here"),
    (("--protocol", "few-shot", "--gallery", "train"), "--gallery does nothing here"),
    (("--protocol", "few-shot", "--method", "linear"), "--method does nothing here"),
    (("--protocol", "all-vs-all", "--error-rate", "0.1"), "--error-rate does nothing here"),
    (("--protocol", "zero-shot", "--by", "group"), "--by does nothing here"),
    (("--protocol", "leave-one-class-out"), "trains a head again: name it with --head"),
    (("--head", "{head}", "--protocol", "few-shot"), "is of embeddings: with --head choose"),
    (("--queries", "all", "--protocol", "query-gallery"), "asks every specimen about all the others"),
    (("--threshold", "0.5", "--error-rate", "0.1"), "--threshold promises nothing"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_an_option_that_the_mode_does_not_use_is_refused(
    mine: bc.Collection, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "file").write_text("a photo of {name}", encoding="utf-8")
    given = [word.format(head=tmp_path, file=tmp_path / "file", name="{name}") for word in words]
    done = CliRunner().invoke(app, ["evaluate", str(mine.path), *given])
    refused = done.exception if isinstance(done.exception, SettingError) else None
    assert done.exit_code != 0 and says in (str(refused) if refused else done.output)
    assert not Path("report").exists()


def test_refusals_are_made_from_python_too() -> None:
    with pytest.raises(UnusedSetting, match="--views does nothing here: it is used with --head"):
        told(EvaluateSettings, views=2)
    with pytest.raises(SettingError, match="'three' is not known: choose"):
        told(EvaluateSettings, protocol="three")


def test_a_prior_changes_names_and_shares_are_of_one_embedding() -> None:
    for no_names in ({"identify": False}, {"encoder": ("a", "b")}, {"queries": "all"}):
        with pytest.raises(UnusedSetting, match="--prior does nothing here"):
            told(EvaluateSettings, prior="collection", **no_names)
    assert told(EvaluateSettings, prior="collection", encoder=("a", "b"), method="linear").prior == "collection"
    with pytest.raises(SettingError, match="one embedding"):
        told(EvaluateSettings, protocol="quantification", encoder=("a", "b"))
