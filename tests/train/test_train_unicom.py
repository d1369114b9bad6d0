"""Training by cluster discrimination, from a collection to an encoder folder, on real images of the sample."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.specimens import guard
from biocosmos.specimens.splits import Split
from biocosmos.train.unicom.labels import ClusterLabels
from biocosmos.train.unicom.settings import UnicomSettings, unicom_settings
from biocosmos.train.unicom.training import TrainResult, class_means, train_unicom
from tiny_clip import save_tiny_clip

SMALL = {"size": 32, "epochs": 1, "batch_size": 16, "clusters": 6, "device": "cpu", "workers": 1, "precision": "float32"}
FROZEN = {"freeze": True, "clusters": 12, "epochs": 3, "batch_size": 32, "dim": 16, "device": "cpu", "precision": "float32"}


@pytest.fixture
def collection(embedded: bc.Collection, tmp_path: Path) -> bc.Collection:
    """A copy that a test may change, with its embedding and split."""
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def train(collection: bc.Collection, output: Path, **given: object) -> TrainResult:
    return train_unicom(collection, unicom_settings(**given), output)


def test_a_trained_tower_is_an_encoder_for_every_other_command(few: bc.Collection, tmp_path: Path) -> None:
    collection = few
    result = train(collection, tmp_path / "run", **SMALL, dim=0, loss="mlcd", positives=3, sample_rate=0.5, features=256)
    assert [row["epoch"] for row in result.history.epochs] == [1]
    assert {"recall@1 of clusters", "recall@1 of label"} == set(result.base)
    encoder = bc.load_encoder(str(tmp_path / "run"))
    assert encoder.preprocessing.size == 32 and encoder.dim == 1280
    bc.embed(collection, str(tmp_path / "run"))
    gallery = collection.gallery(str(tmp_path / "run"), split="test")
    base = collection.gallery("efficientnet-lite0", split="test")
    assert len(gallery) == len(base) and not np.allclose(gallery.vectors, base.vectors, atol=1e-2)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "6 clusters of its own embedding, without labels" in card and "efficientnet-lite0" in card
    assert (tmp_path / "run" / "steps.csv").exists() and list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_towers_of_timm_and_open_clip_are_trained_too(few: bc.Collection, tmp_path: Path) -> None:
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("test_vit", num_classes=5), tmp_path / "vit", safe_serialization=True)
    save_tiny_clip(tmp_path / "clip")
    settings = {**SMALL, "size": None, "validation": "", "ema": 0.9}
    train(
        few,
        tmp_path / "vit-run",
        **{**settings, "size": 96, "encoder": str(tmp_path / "vit"), "sub_centres": 2, "test_size": 128},
    )
    assert bc.load_encoder(str(tmp_path / "vit-run")).preprocessing.size == 128
    train(few, tmp_path / "clip-run", **{**settings, "encoder": str(tmp_path / "clip"), "dim": 0})
    before, after = (bc.load_encoder(str(tmp_path / name)) for name in ("clip", "clip-run"))
    np.testing.assert_allclose(after.encode_texts(["a copepod"]), before.encode_texts(["a copepod"]), atol=1e-6)
    picture = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    assert np.abs(after.encode_images(picture) - before.encode_images(picture)).max() > 1e-4
    with pytest.raises(BiocosmosError, match="--freeze-stages knows the stages of timm models only"):
        train(few, tmp_path / "no", **{**settings, "encoder": str(tmp_path / "clip"), "dim": 0, "freeze_stages": 1})


def test_a_frozen_training_keeps_the_base_and_adds_a_projection(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "run", **FROZEN, start="whiten", noise=0.0)
    encoder = bc.load_encoder(str(tmp_path / "run"))
    assert encoder.dim == 16 and encoder.preprocessing.size == 224
    stored = collection.gallery("efficientnet-lite0")
    sources = [collection.image_bytes(id_) for id_ in stored.ids[:5]]
    vectors, _ = encoder.encode_files([source for source in sources if source is not None])
    weights = bc.load_encoder(str(tmp_path / "run"))._towers.projection
    assert weights is not None
    with torch.no_grad():
        expected = torch.nn.functional.normalize(weights(torch.from_numpy(stored.vectors[:5])), dim=1).numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-4)


def test_a_finished_training_is_not_done_again_and_other_settings_are_refused(collection: bc.Collection, tmp_path: Path) -> None:
    first = train(collection, tmp_path / "run", **FROZEN)
    again = train(collection, tmp_path / "run", **FROZEN)
    assert again.already_done and again.history.epochs == first.history.epochs and again.base == first.base
    with pytest.raises(BiocosmosError, match=r"begun with --clusters 12, not 13: use the same settings to go on"):
        train(collection, tmp_path / "run", **{**FROZEN, "clusters": 13})
    anew = train_unicom(collection, unicom_settings(**{**FROZEN, "clusters": 13}), tmp_path / "run", overwrite=True)
    assert anew.labels.count == 13 and not anew.already_done
    with pytest.raises(BiocosmosError, match="is not empty and no training was begun in it"):
        train(collection, collection.path, **FROZEN)


def test_the_taxa_are_learnt_when_asked_and_better_than_clusters(collection: bc.Collection, tmp_path: Path) -> None:
    result = train(collection, tmp_path / "run", **{**FROZEN, "clusters": None, "taxa": "label"})
    assert result.labels.names is not None
    metric = next(iter(result.base))
    assert metric == "recall@1 of label" and result.history.best is not None
    assert result.history.best[metric] >= result.base[metric]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clusters": 100_000}, r"cannot make 100,000 clusters: there are only \d+ images in part 'train'"),
        ({"clusters": 1}, "one class"),
        ({"split": "test"}, "part 'test' is held out"),
        ({"validation": "test"}, "no choice is made on the part 'test'"),
        ({"sample_rate": 0.0}, "--sample-rate must be above 0"),
        ({"epochs": 0}, "--epochs must be above 0, not 0"),
        ({"augment": "wild"}, "--augment 'wild' is not known: choose none, plankton, photo, clibd or pipe"),
        ({"validation": "nowhere", "patience": 1}, "watches the part 'nowhere'"),
        ({"taxa": "label", "loss": "mlcd"}, "cannot be used with --taxa"),
        ({"size": 8}, "--size does nothing here: it is used without --freeze"),
    ],
)
def test_bad_settings_are_one_line_that_says_what_to_do(
    collection: bc.Collection, tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(BiocosmosError, match=message):
        train(collection, tmp_path / "run", **{**FROZEN, **given})


def test_flags_win_over_the_settings_file_which_wins_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("freeze = true\nepochs = 3\n")
    frozen = unicom_settings(file, epochs=4)
    assert (frozen.freeze, frozen.epochs, frozen.lr, frozen.noise) == (True, 4, 1e-3, 0.5)
    file.write_text("freeze = false\n")
    assert not unicom_settings(file, sweep=True).freeze and unicom_settings(sweep=True).freeze
    with pytest.raises(BiocosmosError, match=r"cannot read the settings in .*nowhere"):
        unicom_settings(tmp_path / "nowhere.toml", sweep=True)


def test_labels_that_hold_a_test_specimen_are_refused(collection: bc.Collection, tmp_path: Path) -> None:
    part = collection.split().part("train").to_pylist()[:9] + collection.split().part("test").to_pylist()[:1]
    ids = np.array(sorted(part), dtype=object)
    codes = np.arange(10, dtype=np.int32) % 2
    labels = ClusterLabels(ids, codes, np.stack([codes, 1 - codes], 1), np.eye(2, 4, dtype=np.float32))
    with pytest.raises(BiocosmosError, match=r"1 of 10 labelled ids are not in part 'train' .*is in part 'test'"):
        train_unicom(collection, unicom_settings(**FROZEN), tmp_path / "run", labels=labels)


def test_an_encoder_is_not_measured_on_what_it_or_its_base_was_trained_on(collection: bc.Collection, tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    train(collection, Path(first), **FROZEN)
    assert evaluate_collection(collection, encoder=("efficientnet-lite0", str(first))).kind == "combined"
    train(collection, Path(second), **{**FROZEN, "encoder": first})
    collection.make_split("stratified", seed=9)
    for name in (first, second):
        with pytest.raises(
            BiocosmosError,
            match=r"of the \d+ specimens of part 'test', \d+ \(.*\) trained the encoder in .*(first|second): judge it",
        ):
            evaluate_collection(collection, encoder=("efficientnet-lite0", str(name)))
    guard.Fitted.of("the encoder in second", stands_on=[first]).save(second)  # as if it had learnt other specimens itself
    with pytest.raises(BiocosmosError, match=r"trained the encoder in .*first:"):
        evaluate_collection(collection, encoder=("efficientnet-lite0", str(second)))


def test_images_that_vanish_are_named_and_training_goes_on(tmp_path: Path, sample_table: object) -> None:
    folder = tmp_path / "photos"
    for i in range(24):
        row = sample_table.slice(i * 40, 1)  # type: ignore[attr-defined]
        (folder / f"c{i % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"c{i % 3}" / f"{i}.jpg").write_bytes(row["image"][0].as_py())
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    collection.add(bc.read(folder))
    parts = ["train"] * 20 + ["val"] * 4
    ids = sorted(collection.table(["id"])["id"].to_pylist())
    import pyarrow as pa

    collection.save_split(Split("default", "column", 0, {}, pa.array(ids), pa.array(parts)))
    bc.embed(collection)
    gone = collection.take(ids[:1], columns=["image_path"])["image_path"][0].as_py()
    Path(gone).unlink()
    result = train(collection, tmp_path / "run", **{**SMALL, "clusters": 3, "batch_size": 5, "epochs": 2, "cache_gb": 0.0})
    assert [row.id for row in result.failures] == [ids[0]]
    assert "train" in collection.failures["stage"].to_pylist()


def test_class_means_are_those_of_the_members(collection: bc.Collection) -> None:
    gallery = collection.gallery("efficientnet-lite0", split="train")
    ids = np.array(sorted(gallery.ids), dtype=object)
    codes = (np.arange(len(ids)) % 3).astype(np.int32)
    labels = ClusterLabels(ids, codes, codes[:, None], np.eye(3, 5, dtype=np.float32))
    means = class_means(gallery, labels)
    for c in range(3):
        members = np.stack([gallery.vectors[list(gallery.ids).index(id_)] for id_ in ids[codes == c]])
        expected = members.mean(0) / np.linalg.norm(members.mean(0))
        np.testing.assert_allclose(means[c], expected, atol=1e-5)


def torchrun(processes: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*command, "-m", "biocosmos", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_the_weights_of_one(collection: bc.Collection, tmp_path: Path) -> None:
    shared = [
        "train",
        "unicom",
        str(collection.path),
        "--freeze",
        "--clusters",
        "7",
        "--epochs",
        "2",
        "--dim",
        "8",
        "--noise",
        "0",
        "--precision",
        "float32",
    ]
    shared += ["--device", "cpu", "--clip", "0", "--precision", "float32"]
    one = train(
        collection,
        tmp_path / "one",
        **{
            **FROZEN,
            "clusters": 7,
            "epochs": 2,
            "dim": 8,
            "noise": 0.0,
            "clip": 0.0,
            "batch_size": 32,
            "precision": "float32",
        },
    )
    torchrun(2, *shared, "--batch-size", "16", "--output", str(tmp_path / "two"))
    facts = json.loads((tmp_path / "two" / "run.json").read_text())
    assert facts["labels"] == one.labels.digest
    towers = [bc.load_encoder(str(tmp_path / name))._towers.projection for name in ("one", "two")]
    for name, tensor in towers[0].state_dict().items():  # type: ignore[union-attr]
        torch.testing.assert_close(towers[1].state_dict()[name], tensor, rtol=1e-3, atol=1e-5)  # type: ignore[union-attr]


def test_a_run_that_torchrun_lost_goes_on_with_as_many_processes_only(collection: bc.Collection, tmp_path: Path) -> None:
    settings = UnicomSettings(**{**FROZEN, "clusters": 7})  # type: ignore[arg-type]
    train_unicom(collection, settings, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    shared = next((tmp_path / "run" / "checkpoints").glob("step-*")) / "shared.pt"
    torch.save({**torch.load(shared, weights_only=True), "processes": 2}, shared)
    with pytest.raises(BiocosmosError, match="was written by 2 processes and this run has 1: start as many"):
        train_unicom(collection, settings, tmp_path / "run")
