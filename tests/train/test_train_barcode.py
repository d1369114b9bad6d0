"""Encoders of barcodes trained on simulated ones, as a user trains, kills, resumes and refines them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_training import kill
from safetensors.torch import load_file

import biocosmos as bc
import warm
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.encoders.barcode_models import load_barcode_folder
from biocosmos.errors import BiocosmosError
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.specimens.records import Source
from biocosmos.train.barcode.batches import BarcodeBatches, relatives_together
from biocosmos.train.barcode.settings import barcode_settings
from biocosmos.train.barcode.specimens import barcode_rows
from biocosmos.train.barcode.training import BarcodeResult, train_barcode

SMALL = {
    "network": "transformer",
    "k": 4,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "epochs": 2,
    "device": "cpu",
    "precision": "float32",
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def _collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    made = bc.Collection.create(tmp_path_factory.mktemp("coi") / "coi.cosmos")
    made.add(Source("simulated", "simulated", simulate_barcodes(species=12, specimens=120).to_batches(), RANKS))
    made.make_split("stratified", seed=0)
    return made


@pytest.fixture
def collection(_collection: bc.Collection, tmp_path: Path) -> bc.Collection:
    shutil.copytree(_collection.path, tmp_path / "coi.cosmos")
    return bc.Collection.open(tmp_path / "coi.cosmos")


def train(collection: bc.Collection, folder: Path, **given: object) -> BarcodeResult:
    return train_barcode(collection, barcode_settings(**{**SMALL, **given}), folder)  # type: ignore[arg-type]


def options(**given: object) -> Iterator[str]:
    for name, value in {**SMALL, **given}.items():
        yield from (f"--{name.replace('_', '-')}", str(value))


@pytest.mark.parametrize(
    "given",
    [
        {"objective": "masked"},
        {"objective": "masked", "loss_over": "masked", "vocabulary": "clibd", "pooling": "cls"},
        {"objective": "mae", "decoder_layers": 1},
        {"objective": "contrastive"},
        {"objective": "contrastive", "teacher_weight": 1.0, "stride": 1, "window": 12, "bag": True, "mutate": 0.05},
        {"objective": "distil", "teacher_k": 5, "ema": 0.9},
        {"objective": "species", "rank": "genus"},
        {"network": "bag", "layers": None, "heads": None, "objective": "contrastive"},
    ],
)
def test_every_objective_leaves_an_encoder(collection: bc.Collection, tmp_path: Path, given: dict[str, object]) -> None:
    result = train(collection, tmp_path / "run", **given)
    assert len(result.history.epochs) == 2 and result.history.best
    vectors = load_barcode_folder(tmp_path / "run", device="cpu").encode_barcodes(result.rows.barcodes[:5])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert train(collection, tmp_path / "run", **given).already_done


def test_a_contrastive_training_learns_to_tell_taxa(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "run", epochs=6, stride=1, window=12, bag=True, lr=0.01)
    before = json.loads((tmp_path / "run" / "run.json").read_text())["base"]
    after = json.loads((tmp_path / "run" / "run.json").read_text())["history"]["epochs"][-1]
    assert after["neighbours"] >= before["neighbours"] and after["species of the nearest"] > 0.9


def test_a_pre_trained_encoder_is_fine_tuned_to_species(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "masked", objective="masked", epochs=1)
    given = {"epochs": 40, "device": "cpu", "precision": "float32", "lr": 0.005, "frame": False, "crop": 0.0}
    settings = barcode_settings(encoder=str(tmp_path / "masked"), objective="species", **given)  # type: ignore[arg-type]
    train_barcode(collection, settings, tmp_path / "named")
    encoder = load_barcode_folder(tmp_path / "named", device="cpu")
    held = barcode_rows(collection, "val")
    assert encoder.model.tokens.k == 4 and encoder.model.classes is not None
    said = [encoder.model.classes[i] for i in encoder.log_probabilities(held.barcodes).argmax(1)]
    right = np.mean([said[i] == held.taxonomy.name(int(node)) for i, node in enumerate(held.labels("species"))])
    assert right > 0.7
    with pytest.raises(BiocosmosError, match="trained"):  # the guard knows what it stands on
        guard.refuse_part(collection, "train", tmp_path / "named")


def test_a_cnn_names_species(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "cnn", network="cnn", objective="species", epochs=12, crop=0.0, frame=False, **_no_shape())
    encoder = load_barcode_folder(tmp_path / "cnn", device="cpu")
    assert isinstance(encoder.model.network, BarcodeCNN)
    assert json.loads((tmp_path / "cnn" / "run.json").read_text())["history"]["best"]["accuracy of species"] > 0.7


def _no_shape() -> dict[str, object]:
    """Settings of a transformer, not said."""
    return dict.fromkeys(("k", "width", "layers", "heads"))


def test_what_was_learnt_is_never_judged_and_held_out_parts_are_never_learnt(collection: bc.Collection, tmp_path: Path) -> None:
    train(collection, tmp_path / "run", objective="masked", epochs=1)
    learnt = set(guard.Fitted.load(tmp_path / "run").used("fitted").to_pylist())
    assert learnt == set(collection.split().part("train").to_pylist())  # all specimens of a barcode, not only its first
    with pytest.raises(BiocosmosError, match="trained"):
        guard.refuse_part(collection, "train", tmp_path / "run")
    guard.refuse_part(collection, "test", tmp_path / "run")
    with pytest.raises(BiocosmosError, match="held out"):
        barcode_settings(split="test")


def test_a_killed_training_goes_on_to_the_same_weights(collection: bc.Collection, tmp_path: Path) -> None:
    """One process is killed from outside, this one goes on: the weights are those of a training that nothing happened to."""
    more = {"objective": "masked", "epochs": 12, "checkpoint_steps": 3}
    train(collection, tmp_path / "whole", **more)
    command = ["train", "barcode", str(collection.path), *options(**more), "-o", str(tmp_path / "killed")]
    kill(command, tmp_path / "killed")
    assert not (tmp_path / "killed" / "biocosmos.json").exists()
    result = train(collection, tmp_path / "killed", **more)
    assert result.history.resumed_at > 0 and len(result.history.epochs) == 12
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("more", [{"objective": "contrastive", "teacher_weight": 1.0}, {"objective": "species"}])
def test_two_processes_train_the_weights_of_one(collection: bc.Collection, tmp_path: Path, more: dict[str, object]) -> None:
    """Frames are moved by a stream of each process, so that they stay where they are here; no dropout, no clipping."""
    same = {**more, "dropout": 0.0, "clip": 0.0, "crop": 0.0, "frame": False, "epochs": 2, "weight_decay": 0.0}
    train(collection, tmp_path / "one", **{**same, "batch_size": 32})
    given = [word for word in options(**{**same, "batch_size": 16}) if word not in ("--frame", "False")]
    warm.torchrun("train", "barcode", collection.path, *given, "--no-frame", "-o", tmp_path / "two")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=1e-3)  # AdamW divides by small gradients


def test_a_barcode_of_one_taxon_is_one_row(collection: bc.Collection) -> None:
    rows = barcode_rows(collection, "train")
    table = collection.table(["id", "barcode", "species"], split="train").to_pylist()
    assert {(row["barcode"].strip("N"), row["species"]) for row in table} == {
        (barcode, rows.taxonomy.name(int(node))) for barcode, node in zip(rows.barcodes, rows.nodes)
    }
    assert rows.facts["specimens"] == len(table) and len(rows.specimens) == len(table)


def test_relatives_come_together_and_every_row_comes() -> None:
    rng = np.random.default_rng(0)
    species = rng.integers(-1, 40, 300)
    genus = np.where(species >= 0, species // 3, -1)
    order = relatives_together(species, genus, genus // 3, seed=1)
    first, again, other = order(0), order(0), order(1)
    assert len(first) == 300 and (first == again).all() and (first != other).any()
    assert set(np.concatenate([order(epoch) for epoch in range(30)])) == set(range(300))

    def mates(rows: np.ndarray) -> float:
        return float(np.mean((species[rows[:-1]] == species[rows[1:]]) & (species[rows[1:]] >= 0)))

    assert mates(first) > 5 * mates(rng.permutation(300))


def test_barcodes_are_changed_as_asked_and_alike_for_the_same_seed() -> None:
    barcodes = ["ACGTTGCA" * 80] * 40
    tokens = KmerTokens(4)
    seen: list[str] = []

    def inputs(given: list[str]) -> np.ndarray:
        seen.extend(given)
        return tokens.of(given)

    def batches(**how: float) -> list[str]:
        seen.clear()
        made = BarcodeBatches(
            [str(i) for i in range(40)],
            barcodes,
            torch.arange(40),
            inputs,  # type: ignore[arg-type]
            tokens,
            **{"frame": False, "crop": 0.0, "mutate": 0.0, **how},  # type: ignore[arg-type]
            batch_size=20,
            seed=3,
        )
        list(made.epoch(0, 0))
        return list(seen)

    assert set(batches()) == {barcodes[0]}
    assert {barcodes[0][i:] for i in range(4)} == set(batches(frame=True))
    cropped = batches(crop=1.0)
    assert all(200 <= len(one) <= 600 and one in barcodes[0] for one in cropped) and cropped == batches(crop=1.0)
    changed = batches(mutate=0.5)
    assert all(len(one) == 640 for one in changed) and len(set(changed)) > 30


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": "masked", "window": 12}, "--window does nothing here"),
        ({"objective": "masked", "network": "bag"}, "hides tokens one by one"),
        ({"layers": 2}, "--layers does nothing here"),
        ({"objective": "masked", "crop": 0.5}, "--crop does nothing here"),
        ({"objective": "species", "temperature": 0.2}, "--temperature does nothing here"),
        ({"network": "cnn", "objective": "mae"}, "hides tokens one by one"),
        ({"network": "cnn", "k": 4}, "--k does nothing here"),
        ({"encoder": "here", "width": 32}, "--width does nothing here"),
        ({"network": "transformer", "width": 30}, "multiple of --heads"),
        ({"k": 3, "stride": 4}, "--stride must be at most"),
        ({"ranks": "species=x"}, "--ranks must be"),
        ({"teacher_k": 6}, "--teacher-k does nothing here"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        barcode_settings(**given)  # type: ignore[arg-type]


def test_what_a_collection_lacks_is_said(collection: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="no rank 'tribe'"):
        train(collection, tmp_path / "run", ranks="tribe=1")
    with pytest.raises(BiocosmosError, match="its own folder"):
        train_barcode(collection, barcode_settings(encoder=str(tmp_path / "run")), tmp_path / "run")
    train(collection, tmp_path / "bag", network="bag", layers=None, heads=None, epochs=1)
    settings = barcode_settings(encoder=str(tmp_path / "bag"), objective="masked")
    with pytest.raises(BiocosmosError, match="sums tokens in windows"):
        train_barcode(collection, settings, tmp_path / "masked")
