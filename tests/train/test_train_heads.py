"""Training heads over a taxonomy, from a collection to names, on real images of the sample."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_training import kill
from safetensors.torch import load_file

import biocosmos as bc
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.heads import HEAD, WEIGHTS, TrainedHead
from biocosmos.jobs.predict import predict_files, predict_part
from biocosmos.train.batches.base_vectors import stored_vectors
from biocosmos.train.heads.frozen_task import FrozenHeadTask
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import HeadResult, held_out, targets_of, train_heads
from biocosmos.train.loop.processes import Processes

FROZEN: dict[str, Any] = {
    "freeze": True,
    "epochs": 6,
    "batch_size": 16,
    "device": "cpu",
    "ranks": "group,label",
    "hidden": 64,
    "precision": "float32",
}
SMALL: dict[str, Any] = {
    "size": 32,
    "epochs": 1,
    "batch_size": 16,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "ranks": "group,label",
    "freeze_stages": 5,
}


@pytest.fixture
def collection(embedded: bc.Collection, tmp_path: Path) -> bc.Collection:
    """A copy that a test may change, with its embedding and split."""
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def train(collection: bc.Collection, output: Path, **given: Any) -> HeadResult:
    return train_heads(collection, head_settings(**given), output)


def right(found: Any, rank: str) -> float:
    rank = found.taxonomy.ranks.index(rank)
    nodes, _ = found.best_path()
    true = found.taxonomy.lineage(np.maximum(found.truth, 0))[:, rank]
    return float((nodes[:, rank] == true)[true >= 0].mean())


@pytest.mark.parametrize("head", ["flat", "marginalised", "conditional", "multitask", "sbacnn"])
def test_a_head_on_stored_vectors_names_specimens_it_has_not_seen(collection: bc.Collection, tmp_path: Path, head: str) -> None:
    result = train(collection, tmp_path / "run", **FROZEN, head=head)
    found = predict_part(collection, TrainedHead.load(tmp_path / "run"), "test")
    assert result.history.best is not None and found.facts["part"] == "test"
    labels = collection.table(["label"], split="train")["label"].to_pylist()
    common = max(labels.count(label) for label in set(labels)) / len(labels)
    assert right(found, "label") > common + 0.1 and right(found, "group") >= right(found, "label")
    np.testing.assert_allclose(np.exp(found.logits - np.logaddexp.reduce(found.logits, 1)[:, None]).sum(1), 1, atol=1e-5)
    kept = predict_part(collection, TrainedHead.load(tmp_path / "run"), "test")  # from the disk, the second time
    np.testing.assert_array_equal(kept.logits, found.logits)


@pytest.mark.parametrize("head", ["flat", "bcnn", "hbcnn", "bacnn", "sbacnn"])
def test_a_backbone_is_trained_with_its_head_and_becomes_an_encoder(few: bc.Collection, tmp_path: Path, head: str) -> None:
    train(few, tmp_path / "run", **SMALL, head=head, size_feature=True)
    loaded = TrainedHead.load(tmp_path / "run")
    found = predict_part(few, loaded.viewed(2), "val")
    assert len(found) and found.features.shape[0] == len(found) and loaded.preprocessing.size == 32
    encoder = bc.load_encoder(str(tmp_path / "run"))
    assert encoder.preprocessing.size == 32
    path = tmp_path / "one.png"
    path.write_bytes(few.image_bytes(str(found.ids[0])) or b"")
    (tmp_path / "broken.png").write_bytes(b"no image")
    failures = Failures()
    one = predict_files(loaded.viewed(2), [path, tmp_path / "broken.png"], failures=failures)
    np.testing.assert_allclose(one.log_p[0], found.log_p[0], atol=1e-3)
    assert len(failures) == 1 and list(one.ids) == [str(path)]


def test_images_between_two_classes_are_made_against_the_model(few: bc.Collection, tmp_path: Path) -> None:
    settings = {**SMALL, "outliers": "adversarial,halves", "outlier_share": 0.5, "head": "flat"}
    train(few, tmp_path / "run", **settings)
    found = predict_part(few, TrainedHead.load(tmp_path / "run"), "val")
    assert np.isfinite(found.logits).all()
    with pytest.raises(BiocosmosError, match="--outliers adversarial changes the pixels"):
        train(few, tmp_path / "no", **settings, cache_views=1)


def test_cached_stages_train_as_computed_ones_do(few: bc.Collection, tmp_path: Path) -> None:
    settings = {**SMALL, "augment": "none", "epochs": 2, "head": "flat", "dropout": 0.0, "outliers": "halves"}
    plain = train(few, tmp_path / "plain", **settings)
    cached = train(few, tmp_path / "cached", **settings, cache_views=2)
    for one, other in zip(plain.history.epochs, cached.history.epochs):
        assert one["accuracy of label"] == pytest.approx(other["accuracy of label"], abs=0.1)
    a, b = load_file(tmp_path / "plain" / WEIGHTS), load_file(tmp_path / "cached" / WEIGHTS)
    for name in a:
        if a[name].ndim > 1:  # float16 activations: alike, not equal
            assert torch.nn.functional.cosine_similarity(a[name].flatten(), b[name].flatten(), 0) > 0.98


@pytest.mark.parametrize(
    "given",
    [
        {"imbalance": "focal"},
        {"imbalance": "class-balanced"},
        {"imbalance": "ldam-drw"},
        {"imbalance": "logit-adjusted", "tau": 0.5},
        {"sampler": 1.0, "mix": "mixup", "mix_partner": "alike"},
        {"mix": "mixup"},
        {"decouple": 2},
        {"smoothing": 0.1, "rank_weights": "1,2"},
        {"outlier_taxa": "group:fish"},
        {"head": "multitask", "dependency": 0.5},
        {"head": "conditional", "hxe_alpha": 0.3},
    ],
    ids=str,
)
def test_every_way_to_weigh_learns(collection: bc.Collection, tmp_path: Path, given: dict[str, Any]) -> None:
    if "outlier_taxa" in given:
        groups = collection.table(["group"], split="train")["group"].to_pylist()
        given = {"outlier_taxa": f"group:{min(set(groups) - {None}, key=groups.count)}"}
    train(collection, tmp_path / "run", **FROZEN, **given)
    found = predict_part(collection, TrainedHead.load(tmp_path / "run"), "test")
    assert right(found, "group") > 0.3


def test_scores_can_be_adjusted_after_a_plain_training(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "plain", **FROZEN)
    result = train(collection, tmp_path / "adjusted", **FROZEN, imbalance="post-hoc", tau=0.5)
    plain, adjusted = (predict_part(collection, TrainedHead.load(tmp_path / name), "val") for name in ("plain", "adjusted"))
    share = np.array([(result.targets.nodes == node).mean() for node in plain.classes])
    np.testing.assert_allclose(adjusted.logits, plain.logits - 0.5 * np.log(share), atol=1e-4)


def test_left_out_taxa_are_no_class_and_stay_in_the_tree(collection: bc.Collection, tmp_path: Path) -> None:
    labels = collection.table(["label"], split="train")["label"].to_pylist()
    gone = max(set(labels), key=labels.count)
    train(collection, tmp_path / "run", **FROZEN, leave_out=f"label:{gone}")
    head = TrainedHead.load(tmp_path / "run")
    node = head.taxonomy.find(f"label:{gone}")
    found = predict_part(collection, head, "test")
    assert node not in head.classes and (found.truth == node).any()
    assert np.isneginf(found.log_p[:, node]).all() and not found.answerable[found.truth == node].any()


def test_a_killed_training_goes_on_to_the_same_weights(collection: bc.Collection, tmp_path: Path) -> None:
    """One process is killed from outside, this one goes on: the weights are those of a training that nothing happened to."""
    settings = {**FROZEN, "head": "multitask", "epochs": 12, "checkpoint_steps": 8, "patience": None}
    train(collection, tmp_path / "whole", **settings)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name not in ("freeze", "patience")]
    how = ["train", "heads", str(collection.path), "--freeze", *given, "-o", str(tmp_path / "killed")]
    kill(how, tmp_path / "killed")
    assert not (tmp_path / "killed" / HEAD).exists()
    result = train(collection, tmp_path / "killed", **settings)
    assert result.history.resumed_at > 0 and len(result.history.epochs) == 12
    a, b = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "killed" / WEIGHTS)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)  # the processes may add up in other orders


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ranks": "group,wing"}, "has no column 'wing'"),
        ({"ranks": "group,group"}, "names a rank twice"),
        ({"head": "bcnn"}, "--head bcnn takes the feature maps of a backbone"),
        ({"head": "deep"}, "--head 'deep' is not known"),
        ({"rank_weights": "1,2,3"}, "gives 3 numbers for 2 ranks"),
        ({"outliers": "halves"}, "--freeze looks at stored vectors only"),
        ({"validation": "test"}, "no choice is made on the part 'test'"),
        ({"leave_out": "label:nothing"}, "nothing"),
        ({"decouple": 6}, "--decouple 6 must leave some of the 6 epochs"),
    ],
)
def test_bad_settings_are_one_line(collection: bc.Collection, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BiocosmosError, match=message) as error:
        train(collection, tmp_path / "run", **{**FROZEN, **given})
    assert "\n" not in str(error.value)


def test_sizes_of_images_go_to_the_device_that_vectors_go_to(collection: bc.Collection) -> None:
    """With --device cuda they did not; the device without memory stands for any other than the processor."""
    settings = head_settings(**FROZEN, size_feature=True)
    targets, here = targets_of(collection, settings), Processes(0, 1, torch.device("cpu"))
    vectors = stored_vectors(collection, settings.encoder, here)
    task = FrozenHeadTask(collection, settings, here, targets, held_out(collection, settings, targets), vectors)
    task.where = Processes(0, 1, torch.device("meta"))

    def asked(inputs: torch.Tensor, extra: torch.Tensor, activations: bool) -> None:
        raise InterruptedError(f"{inputs.device} {extra.device}")

    with pytest.raises(InterruptedError, match="meta meta"):
        task.validate(asked)  # type: ignore[arg-type]
    sizes = task.extra(["nobody", str(targets.ids[0])])
    assert sizes is not None and sizes.device.type == "meta" and sizes.shape == (2, 2)


def test_one_class_is_refused(collection: bc.Collection, tmp_path: Path) -> None:
    labels = collection.table(["label"], split="train")["label"].to_pylist()
    gone = sorted(set(labels), key=labels.count)[:-1]
    with pytest.raises(BiocosmosError, match="a head needs at least two"):
        train(collection, tmp_path / "run", **{**FROZEN, "leave_out": ",".join(f"label:{label}" for label in gone)})


def test_vectors_of_another_encoder_are_refused(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "run", **FROZEN)
    head = TrainedHead.load(tmp_path / "run")
    head.facts["encoder"]["trained"] = "0" * 16
    with pytest.raises(BiocosmosError, match="takes vectors of 'efficientnet-lite0' with weights 0000"):
        predict_part(collection, head, "test")
