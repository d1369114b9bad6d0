"""A student that learns from a trained head and from stored vectors: its loss, its resumed run, what the guard knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_training import kill
from safetensors.torch import load_file

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.heads import HEAD, WEIGHTS, TrainedHead
from biocosmos.jobs.predict import predict_part
from biocosmos.nn.distillation import Standardised, matching_loss, soft_label_loss
from biocosmos.specimens import guard
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.teaching import SOFT_LABELS
from biocosmos.train.heads.training import train_heads

TEACHER: dict[str, Any] = {
    "freeze": True,
    "epochs": 2,
    "batch_size": 16,
    "device": "cpu",
    "ranks": "group,label",
    "hidden": 16,
    "precision": "float32",
    "head": "flat",
}
STUDENT: dict[str, Any] = {
    "size": 32,
    "epochs": 1,
    "batch_size": 16,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "ranks": "group,label",
    "head": "flat",
    "freeze_stages": 5,
}


def train(collection: bc.Collection, output: Path, **given: Any) -> Any:
    return train_heads(collection, head_settings(**given), output)


# ---------------------------------------------------------------------- the losses


def test_soft_labels_are_the_divergence_from_the_teacher_times_the_temperature_squared() -> None:
    rng = np.random.default_rng(0)
    student, teacher, temperature = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)) * 3, 2.5

    def softmax(x: Any) -> Any:
        e = np.exp(x / temperature - (x / temperature).max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    p, q = softmax(teacher), softmax(student)
    each = temperature**2 * (p * np.log(p / q)).sum(1)
    there = np.array([True, False, True, True, False])
    given = torch.from_numpy(student), torch.from_numpy(teacher)
    assert float(soft_label_loss(*given, temperature)) == pytest.approx(each.mean(), rel=1e-5)
    assert float(soft_label_loss(*given, temperature, torch.from_numpy(there))) == pytest.approx(each[there].mean(), rel=1e-5)
    assert float(soft_label_loss(*given, temperature, torch.zeros(5, dtype=torch.bool))) == 0
    assert float(soft_label_loss(given[1], given[1], temperature)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(BiocosmosError, match="above 0"):
        soft_label_loss(*given, 0.0)


def test_features_are_matched_by_cosine_or_smooth_l1() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)) * 2
    cosine = 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    apart = np.abs(a - b)
    smooth = np.where(apart < 1, 0.5 * apart**2, apart - 0.5).mean(1)
    given = torch.from_numpy(a), torch.from_numpy(b)
    assert float(matching_loss(*given)) == pytest.approx(cosine.mean(), rel=1e-5)
    assert float(matching_loss(*given, "smooth-l1")) == pytest.approx(smooth.mean(), rel=1e-5)
    one = torch.tensor([True] + [False] * 5)
    assert float(matching_loss(*given, "smooth-l1", one)) == pytest.approx(smooth[0], rel=1e-5)


def test_vectors_are_standardised_number_by_number() -> None:
    vectors = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1, 0.0]) + 3
    found = Standardised(vectors)(vectors)
    torch.testing.assert_close(found.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-4, rtol=0)


# ---------------------------------------------------------------------- a student


def test_a_student_learns_what_a_head_on_stored_vectors_says(few: bc.Collection, tmp_path: Path) -> None:
    train(few, tmp_path / "teacher", **TEACHER)
    (encoder,) = few.encoders
    taught = {"teacher": str(tmp_path / "teacher"), "match": encoder, "match_loss": "smooth-l1"}
    result = train(few, tmp_path / "student", **STUDENT, **taught)
    said = predict_part(few, TrainedHead.load(tmp_path / "teacher"), "train")
    kept = np.load(tmp_path / "student" / SOFT_LABELS)
    rows = np.searchsorted(result.targets.ids.astype(str), said.ids.astype(str))
    np.testing.assert_allclose(kept[rows], said.logits - said.logits.max(1, keepdims=True), atol=2e-2)
    found = predict_part(few, TrainedHead.load(tmp_path / "student"), "val")
    assert np.isfinite(found.logits).all()
    names = load_file(tmp_path / "student" / "model.safetensors")
    assert not any("matching" in name for name in names)  # what features were brought to is no part of the encoder


def test_a_teacher_that_takes_images_is_asked_about_images(few: bc.Collection, tmp_path: Path) -> None:
    train(few, tmp_path / "teacher", **STUDENT, size_feature=True)
    result = train(few, tmp_path / "student", **STUDENT, teacher=str(tmp_path / "teacher"), teacher_weight=1.0)
    said = predict_part(few, TrainedHead.load(tmp_path / "teacher"), "train")
    rows = np.searchsorted(result.targets.ids.astype(str), said.ids.astype(str))
    kept = np.load(tmp_path / "student" / SOFT_LABELS)[rows]
    np.testing.assert_allclose(kept, said.logits - said.logits.max(1, keepdims=True), atol=2e-2)


def test_what_taught_the_teacher_never_judges_the_student(few: bc.Collection, tmp_path: Path) -> None:
    few.make_split("stratified", seed=1, name="other")
    train(few, tmp_path / "teacher", **TEACHER, split="other:train")
    with pytest.raises(BiocosmosError, match=r"validation specimens, .* trained the head in .*teacher.*: they would judge"):
        train(few, tmp_path / "student", **STUDENT, teacher=str(tmp_path / "teacher"))
    train(few, tmp_path / "student", **STUDENT, teacher=str(tmp_path / "teacher"), validation="")
    with pytest.raises(BiocosmosError, match=r"trained the head in .*teacher"):
        guard.refuse_part(few, "test", tmp_path / "student")


def test_a_killed_student_goes_on_with_the_same_soft_labels(few: bc.Collection, tmp_path: Path) -> None:
    train(few, tmp_path / "teacher", **TEACHER)
    (encoder,) = few.encoders
    settings = {**STUDENT, "epochs": 3, "checkpoint_steps": 2, "teacher": str(tmp_path / "teacher"), "match": encoder}
    train(few, tmp_path / "whole", **settings)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    how = ["train", "heads", str(few.path), *given, "-o", str(tmp_path / "killed")]
    kill(how, tmp_path / "killed")
    assert not (tmp_path / "killed" / HEAD).exists()
    made = (tmp_path / "killed" / SOFT_LABELS).stat().st_mtime_ns
    result = train(few, tmp_path / "killed", **settings)
    assert result.history.resumed_at > 0 and (tmp_path / "killed" / SOFT_LABELS).stat().st_mtime_ns == made
    a, b = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "killed" / WEIGHTS)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)  # the processes may add up in other orders


def test_another_teacher_in_its_place_is_noticed(few: bc.Collection, tmp_path: Path) -> None:
    train(few, tmp_path / "teacher", **TEACHER)
    settings = {**STUDENT, "teacher": str(tmp_path / "teacher")}
    train(few, tmp_path / "student", **settings)
    (tmp_path / "student" / HEAD).unlink()
    train_heads(few, head_settings(**{**TEACHER, "seed": 7}), tmp_path / "teacher", overwrite=True)
    with pytest.raises(BiocosmosError, match="was begun with another teacher"):
        train(few, tmp_path / "student", **settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mix": "mixup"}, "--mix makes images of which a teacher has said nothing"),
        ({"freeze": True, "size": None, "freeze_stages": None}, "--freeze looks at stored vectors only"),
        ({"ranks": "label"}, "has no class .* at these ranks"),
        ({"teacher": "nowhere"}, "nowhere holds no trained head"),
        ({"match": "nothing"}, "nothing"),
        ({"patch_dropout": 0.5}, "--patch-dropout is for vision transformers"),
        ({"patch_dropout": 0.5, "cache_views": 1}, "--patch-dropout draws anew"),
    ],
    ids=str,
)
def test_bad_lessons_are_one_line(few: bc.Collection, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    train(few, tmp_path / "teacher", **TEACHER)
    with pytest.raises(BiocosmosError, match=message) as error:
        train(few, tmp_path / "run", **{**STUDENT, "teacher": str(tmp_path / "teacher"), **given})
    assert "\n" not in str(error.value)
