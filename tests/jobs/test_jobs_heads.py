"""Naming and measuring with a trained head, as the commands do, on real images of the sample."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import is_wrong
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.jobs import leave_out_heads
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.identify import identify_collection
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import train_heads

FILES = ("provenance.json", "report.html", "results.parquet")


@pytest.fixture(scope="module")
def trained(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> tuple[bc.Collection, Path]:
    """A copy of the small collection and a head on its stored vectors."""
    folder = tmp_path_factory.mktemp("heads")
    shutil.copytree(embedded.path, folder / "mine.cosmos")
    collection = bc.Collection.open(folder / "mine.cosmos")
    train_heads(
        collection, head_settings(freeze=True, ranks="group,label", epochs=8, batch_size=32, device="cpu"), folder / "run"
    )
    return collection, folder / "run"


def test_answers_stop_where_the_promised_error_rate_needs_it(trained: tuple[bc.Collection, Path]) -> None:
    collection, folder = trained
    head = TrainedHead.load(folder)
    careful, bold = (
        identify_collection(collection, head=folder, part="test", error_rate=rate, promise="mean", sets="label", evidence=True)
        for rate in (0.1, 0.5)
    )
    for done in (careful, bold):
        names = done.table["taxon"].to_pylist()
        answers = np.array(
            [0 if name is None else head.taxonomy.find(_node(head, name, rank)) for name, rank in _pairs(done.table)]
        )
        _, truth, _ = done.shown
        assert len(names) == len(truth) and is_wrong(head.taxonomy, answers, truth).mean() < 0.6
    depth = [sum(rank == "label" for rank in done.table["rank"].to_pylist()) for done in (careful, bold)]
    assert depth[0] <= depth[1]
    assert all(cell for cell in careful.table["set"].to_pylist())
    provenance = json.loads(careful.table.schema.metadata[b"biocosmos.provenance"])
    assert provenance["promise"]["alpha"] == 0.1 and provenance["namer"]["digest"] == head.digest


def _pairs(table: object) -> list[tuple[str | None, str | None]]:
    return list(zip(table["taxon"].to_pylist(), table["rank"].to_pylist()))  # type: ignore[index]


def _node(head: TrainedHead, name: str, rank: str | None) -> str:
    return f"{rank}:{name}"


def test_an_error_rate_that_cannot_be_promised_names_the_smallest_that_can(trained: tuple[bc.Collection, Path]) -> None:
    collection, folder = trained
    with pytest.raises(BiocosmosError, match=r"0\.0\d+|\d+(\.\d+)? %"):
        identify_collection(collection, head=folder, part="test", error_rate=0.0001)


def test_specimens_it_was_trained_or_calibrated_on_are_refused(
    trained: tuple[bc.Collection, Path], biocosmos: Callable[..., str]
) -> None:
    collection, folder = trained
    for part, what in (("train", "trained the head in"), ("val", "queries were used to calibrate")):
        with pytest.raises(BiocosmosError, match=what):
            identify_collection(collection, head=folder, part=part, error_rate=0.3)
    for part in ("train", "default:train"):  # the same specimens, whatever their part is called
        for protocol in (None, "ranks", "leave-one-class-out"):
            with pytest.raises(BiocosmosError, match=rf"of the \d+ specimens of part '{part}', \d+ \(.*\) trained the head in"):
                evaluate_collection(collection, head=(folder,), queries=part, protocol=protocol, output=folder.parent / "novelty")
    said = biocosmos("evaluate", collection.path, "--head", folder, "--queries", "default:train", fails=1)
    assert "trained the head in" in said and "another part of the split" in said


def test_promises_on_the_validation_part_are_set_on_some_of_it_and_tested_on_the_rest(
    trained: tuple[bc.Collection, Path],
) -> None:
    """Joined with itself, a specimen could set a promise and test it too."""
    collection, folder = trained
    report = evaluate_collection(collection, head=(folder,), queries="val", protocol="promises")
    for row in report.tables["summary"].to_pylist():
        assert row["calibration"] + row["test"] == collection.count(split="val")


def test_reports_of_one_head_of_several_and_of_left_out_taxa(
    trained: tuple[bc.Collection, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, folder = trained
    one = evaluate_collection(collection, head=(folder,))
    assert {"names_summary", "names_rollback", "names_calibration", "promises_summary"} <= set(one.tables)
    shutil.copytree(folder, tmp_path / "other")
    both = evaluate_collection(collection, head=(folder, tmp_path / "other"))
    assert both.html(tmp_path / "heads.html").read_text().count("other") > 1
    asked = {"head": (folder,), "protocol": "leave-one-group-out", "folds": 1, "most": 2}
    left = evaluate_collection(collection, output=tmp_path / "novelty", **asked)
    columns = set(left.table().column("column").to_pylist())
    assert "middle" in columns and "far" in columns
    assert {path.name for path in (tmp_path / "novelty").iterdir()} == {*FILES, "runs.json"}  # no trained head fills the disk
    monkeypatch.setattr(leave_out_heads, "train_heads", lambda *_: pytest.fail("what was measured is read, not trained again"))
    again = evaluate_collection(collection, output=tmp_path / "novelty", **asked)
    assert str(again.rows()) == str(left.rows())
    with pytest.raises(BiocosmosError, match="is of one head"):
        evaluate_collection(collection, head=(folder, folder), protocol="promises")


def test_images_are_named_from_the_command_line(trained: tuple[bc.Collection, Path], tmp_path: Path) -> None:
    collection, folder = trained
    ids = collection.table(["id"], split="test")["id"].to_pylist()[:3]
    for id_ in ids:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{id_}.jpg").write_bytes(collection.image_bytes(id_) or b"")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"nothing")
    command = [
        "identify",
        str(collection.path),
        str(tmp_path / "images"),
        "--head",
        str(folder),
        "--error-rate",
        "0.2",
        "--promise",
        "mean",
    ]
    found = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "ids.csv")])
    assert found.exit_code == 0, found.output
    assert "promised: the expected share of wrong answers among all specimens is at most 0.2" in found.output
    assert len((tmp_path / "ids.csv").read_text().splitlines()) == 4 and "1" in found.output
    refused = CliRunner().invoke(app, [*command, "--within", "copepod"])
    assert "--within does nothing here: it is used without --head" in str(refused.exception)
