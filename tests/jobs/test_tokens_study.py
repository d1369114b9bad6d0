"""``tokens study`` on the shipped sample with a tiny vision transformer of random weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import timm
import torch

import biocosmos as bc
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.jobs.tokens import study as job
from biocosmos.jobs.tokens.settings import TokensStudySettings
from biocosmos.jobs.tokens.study import study_tokens
from biocosmos.settings import SettingError
from biocosmos.specimens.guard import Fitted
from biocosmos.specimens.lock import try_lock

HOW: dict[str, Any] = {
    "limit": 40,
    "gallery_limit": 80,
    "traced": 30,
    "pictures": 2,
    "rounds": 1,
    "batch_size": 8,
    "device": "cpu",
}
SHAPE = {"img_size": 48, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3}


@pytest.fixture(scope="module")
def collection(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """A copy of the shared collection that this file may write into."""
    return bc.Collection.open(shutil.copytree(embedded.path, tmp_path_factory.mktemp("tokens") / "mine.cosmos"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a vision transformer of 36 patches and four blocks."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **SHAPE)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 48, 48)}
    folder = tmp_path_factory.mktemp("encoder") / "vit"
    timm.models.save_for_hf(model, folder, safe_serialization=True, model_args=SHAPE)
    return str(folder)


@pytest.fixture(scope="module")
def report(collection: bc.Collection, vit: str) -> Report:
    return study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.5, 0.9), **HOW)


def sampled(collection: bc.Collection, part: str, limit: int) -> pa.Table:
    """The specimens that are asked about: a seeded sample."""
    table = collection.table(["id", "image", *collection.ranks], split=part)
    return table.take(np.random.default_rng(0).permutation(table.num_rows)[:limit])


def test_the_numbers_are_those_of_the_encoder_by_name(report: Report, collection: bc.Collection, vit: str) -> None:
    """Recall@1, written out, of vectors that ``load_encoder("vit+topk-0.5")`` gives."""
    row = report.rows("settings", setting=f"{vit}+topk-0.5")[0]
    encoder = load_encoder(f"{vit}+topk-0.5", device="cpu")
    sides = {}
    for part, limit in (("test", 40), ("train", 80)):
        chosen = sampled(collection, part, limit).to_pylist()
        sides[part] = ([r["label"] for r in chosen], encoder.encode_files([r["image"] for r in chosen])[0])
    (asked, vectors), (known, gallery) = sides["test"], sides["train"]
    nearest = (vectors @ gallery.T).argmax(1)
    right = [known[n] == label for n, label in zip(nearest, asked) if label in known]
    assert row["queries"] == len(right)
    assert row["accuracy"] == pytest.approx(np.mean(right), abs=1.5 / len(right))  # one tie may fall otherwise in a batch
    assert row["tokens"] == "18/9/4" and row["judged_by"] == "recall@1"
    assert row["accuracy_low"] < row["accuracy"] + 1e-12 and row["lost_low"] <= row["lost"] <= row["lost_high"]


def test_keeping_more_is_nearer_to_the_dense_encoder(report: Report, vit: str) -> None:
    half, most = (report.rows("settings", setting=f"{vit}+topk-{keep}")[0] for keep in ("0.5", "0.9"))
    dense = report.rows("settings", method="dense")[0]
    assert half["cosine"] < most["cosine"] < dense["cosine"] == pytest.approx(1)
    assert dense["lost"] is None and dense["speedup"] == 1
    far = {row["first"] + row["second"]: row["value"] for row in report.rows("patterns", measure="cka", stage="last")}
    assert far[f"{vit}{vit}+topk-0.9"] < far[f"{vit}{vit}+topk-0.5"]


def test_kept_sets_and_maps_are_of_the_trace(report: Report, vit: str) -> None:
    iou = report.rows("patterns", measure="iou")
    assert {row["stage"] for row in iou} == {"1", "2", "3", "mean"} and all(0 <= row["value"] <= 1 for row in iou)
    assert all(row["images"] == 30 for row in iou)
    depth = np.array([row["depth"] for row in report.rows("depth", setting=f"{vit}+topk-0.5")])
    # of 36 patches 18 are dropped at block 1, 9 at 2, 5 at 3, and 4 never
    assert len(depth) == 36 and depth.mean() == pytest.approx((18 * 1 + 9 * 2 + 5 * 3 + 4 * 4) / 36)


def test_a_stage_with_nothing_to_do_is_one_all_the_same(collection: bc.Collection, vit: str) -> None:
    """ATS drops as many as each image can spare: in a batch of one that may be none, and stages must not be lost by that."""
    found = study_tokens(collection, encoder=(vit,), methods=("ats",), keep=(0.9, 1.0), **HOW | {"batch_size": 1})
    stages = [row["stage"] for row in found.rows("patterns", measure="iou")]
    assert stages == ["1", "2", "3", "mean"] and len(found.rows("settings", keep="1")[0]["tokens"].split("/")) == 3


def test_maps_of_another_collection(collection: bc.Collection, vit: str, tiny_collection: bc.Collection) -> None:
    """Radial masks do not look: their maps are the same whatever the images."""
    how = HOW | {"against": (tiny_collection.path,)}
    found = study_tokens(collection, encoder=(vit,), methods=("radial", "topk"), keep=(0.5,), **how)
    rows = {row["first"]: row for row in found.rows("depth_alike", differ_in="images")}
    assert set(rows) == {f"{vit}+radial-0.5", f"{vit}+topk-0.5"} and rows[f"{vit}+topk-0.5"]["second"].endswith(" on tiny")
    assert rows[f"{vit}+radial-0.5"]["emd"] == pytest.approx(0, abs=1e-9)
    assert 0 < rows[f"{vit}+topk-0.5"]["emd"] < 1 and rows[f"{vit}+topk-0.5"]["pearson"] < 1
    assert len(found.rows("depth", images="tiny")) == 2 * 36


def test_the_page_stands_alone(report: Report, tmp_path: Path) -> None:
    text = report.html(tmp_path / "tokens.html").read_text()
    assert text.count("data:image/jpeg;base64,") >= 2 * 2 * 2 and "http" not in text.replace("http://www.w3.org", "")
    assert "What is kept of a picture?" in text and "Which places of the image last?" in text


def test_a_killed_run_goes_on(collection: bc.Collection, vit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    how = HOW | {"limit": 25}
    made = job.Setting.embed
    calls: list[str] = []

    def embed(self: job.Setting, *given: object) -> object:
        calls.append(str(self.reduction))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return made(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(job.Setting, "embed", embed)
    with pytest.raises(KeyboardInterrupt):
        study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.5,), **how)
    assert calls == ["None", "None", "topk-0.5", "topk-0.5"]
    calls.clear()
    study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.5,), **how)
    assert calls == ["topk-0.5", "topk-0.5"]  # the dense encoder was done
    calls.clear()
    study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.5,), **how)
    assert not calls
    assert not list((collection.path / "work" / "tokens").glob("pixels-*"))


def test_two_studies_at_once_are_refused(collection: bc.Collection, vit: str) -> None:
    folder = collection.path / "work" / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held, pytest.raises(BiocosmosError, match="another process is measuring"):
        assert try_lock(held.fileno())
        study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.5,), **HOW)


def test_a_reduction_may_be_named_with_its_encoder(collection: bc.Collection, vit: str) -> None:
    found = study_tokens(collection, encoder=(vit, f"{vit}+topk-0.3"), methods=("topk",), keep=(0.5, 0.5), **HOW)
    assert [row["setting"] for row in found.rows("settings")] == [vit, f"{vit}+topk-0.5", f"{vit}+topk-0.3"]
    assert {row["encoder"] for row in found.rows("settings")} == {vit}


def test_a_query_does_not_find_itself(collection: bc.Collection, vit: str) -> None:
    found = study_tokens(collection, encoder=(vit,), methods=("topk",), keep=(0.9,), gallery="test", **HOW)
    assert found.rows("settings", method="dense")[0]["accuracy"] < 0.9


def test_a_trained_head_judges_and_a_trained_reduction_stands_beside(
    collection: bc.Collection, vit: str, tmp_path: Path, biocosmos: Callable[..., str]
) -> None:
    """Names as the head itself gives them; a folder that was trained with a reduction is measured as it is."""
    folders = {}
    for name in (vit, f"{vit}+topk-0.5"):
        folders[name] = str(tmp_path / f"run{len(folders)}")
        how = ["--head", "flat", "--no-freeze", "--epochs", 2, "--lr", 0.003, "--batch-size", 16, "--device", "cpu"]
        biocosmos("train", "heads", collection.path, "-e", name, "-o", folders[name], *how, "--precision", "float32")
    dense, trained = folders.values()
    found = study_tokens(collection, encoder=(dense, trained), methods=("topk",), keep=(0.5,), **HOW)
    rows = {row["setting"]: row for row in found.rows("settings")}
    assert all(row["judged_by"] == "label" for row in rows.values())
    assert (rows[trained]["method"], rows[trained]["keep"], rows[trained]["tokens"]) == ("topk", "0.5", "18/9/4")
    assert rows[trained]["lost"] is not None  # against the one dense encoder there is
    both = found.rows("patterns", measure="iou", stage="1", differ_in="encoder")
    assert {both[0]["first"], both[0]["second"]} == {trained, f"{dense}+topk-0.5"}
    asked = sampled(collection, "test", HOW["limit"])
    for folder in (dense, trained):
        head = TrainedHead.load(folder)
        images = torch.stack([head.preprocessing.read(image) for image in asked["image"].to_pylist()])
        said = head.classes[head.said(Specimens(asked["id"].to_numpy(), images=images)).logits.argmax(1)]
        truth = head.taxonomy.index(asked)
        right = (said == truth)[np.isin(truth, head.classes)]
        assert rows[folder]["queries"] == len(right) and rows[folder]["label"] == pytest.approx(right.mean())


def test_methods_that_need_training_are_named_or_left_out(collection: bc.Collection, vit: str) -> None:
    with pytest.raises(BiocosmosError, match=r"sit has weights of its own .* train heads .* --reduce sit"):
        study_tokens(collection, encoder=(vit,), methods=("sit",), **HOW)
    found = study_tokens(collection, encoder=(vit,), methods=("all", "topk"), keep=(0.9,), **HOW)
    left_out = {row["method"] for row in found.rows("settings", status="left out")}
    assert {"dynamicvit", "sit", "patchmerger", "sinkhorn"} <= left_out


def test_specimens_that_taught_the_encoder_are_refused(collection: bc.Collection, vit: str, tmp_path: Path) -> None:
    taught = tmp_path / "taught"
    shutil.copytree(vit, taught)
    asked = collection.table(["id"], split="test")["id"].to_pylist()
    Fitted.of("the encoder", fitted=asked[:2]).save(taught)
    with pytest.raises(BiocosmosError, match="trained the encoder"):
        study_tokens(collection, encoder=(str(taught),), methods=("topk",), **HOW)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ("tom",)}, "did you mean tome"),
        ({"methods": ()}, "names nothing"),
        ({"keep": (0.0,)}, "--keep must be"),
        ({"keep": (1.5,)}, "--keep must be"),
        ({"traced": 1}, "--traced must be at least 2"),
    ],
)
def test_what_cannot_be_asked(given: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        TokensStudySettings(**given)  # type: ignore[arg-type]


def test_kinds_are_named_as_reductions_are() -> None:
    asked = dict(TokensStudySettings(methods=("atc.average", "radial.l1", "topk")).asked)
    assert asked == {"atc": True, "radial.l1": True, "topk": True}
    every = [method for method, named in TokensStudySettings().asked if not named]
    assert {"atc", "atc.single", "atc.complete", "radial.linf", "tome"} <= set(every)
    assert str(Reduction("atc", keep=(0.5,), variant="average")) == "atc-0.5"


def test_a_convolutional_encoder_is_refused_by_name(collection: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match=r"efficientnet-lite0.*no tokens to reduce"):
        study_tokens(collection, encoder=("efficientnet-lite0",), methods=("topk",), **HOW)


def test_the_command(collection: bc.Collection, vit: str, tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    table, page = tmp_path / "t.csv", tmp_path / "t.html"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in HOW.items()]
    said = biocosmos(
        "tokens",
        "study",
        collection.path,
        "-e",
        vit,
        "--methods",
        "topk",
        "--keep",
        "0.5",
        *options,
        "-o",
        table,
        "--report",
        page,
    )
    assert "vit+topk-0.5" in said and page.exists()
    assert pyarrow.csv.read_csv(table).num_rows == 2
    assert "did you mean topk" in biocosmos("tokens", "study", collection.path, "-e", vit, "--methods", "topkk", fails=2)
