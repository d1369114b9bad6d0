"""Towers that are trained themselves: what is saved gives the vectors of what was trained; kills, processes, refusals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.multiprocessing
from killed_training import kill
from safetensors.torch import load_file

import biocosmos as bc
import warm
from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.encoders.barcode_models import BarcodeModel, save_barcode_model
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.registry import DEFAULT, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.spaces import read_space
from biocosmos.encoders.texts import load_text_encoder
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.projection import Projection
from biocosmos.settings import UnusedSetting
from biocosmos.specimens import guard
from biocosmos.specimens.taxon_texts import taxon_texts
from biocosmos.train.contrastive.settings import ContrastiveSettings, contrastive_settings
from biocosmos.train.contrastive.specimens import modal_rows
from biocosmos.train.contrastive.towers.barcodes import TunedBarcodes
from biocosmos.train.contrastive.towers.choosing import make_sources
from biocosmos.train.contrastive.towers.images import TRAINED_FACTOR, TunedImages
from biocosmos.train.contrastive.training import train_contrastive
from biocosmos.train.loop.processes import Processes
from space_sample import both
from tiny_clip import save_tiny_clip

WIDTH, SPECIMENS, PROCESSES = 8, 48, 2
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up specimens, tiny encoders of images (timm, open_clip), and tiny networks over barcodes."""
    folder = tmp_path_factory.mktemp("tuned")
    both(folder, specimens=SPECIMENS, embedded=False)
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0)
    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    (folder / "vit").mkdir()
    timm.models.save_for_hf(vit, folder / "vit", model_args=arguments, safe_serialization=True)
    save_tiny_clip(folder / "clip")
    save_barcode_model(folder / "bert", transformer(), training={})
    tokens = KmerTokens(4, 1)
    bag = BarcodeEmbedder(tokens.size, 16, 0, 1, positions=60, pad=tokens.pad, window=12, bag=True)
    save_barcode_model(folder / "bag", BarcodeModel(bag, tokens), training={})
    save_barcode_model(folder / "cnn", BarcodeModel(BarcodeCNN(660), KmerTokens()), training={})
    save_encoder(folder / "projected", load_towers(DEFAULT), base=DEFAULT, projection=Projection(1280, 12), frozen=True)
    save_encoder(folder / "begun", load_towers(DEFAULT), base=DEFAULT, projection=Projection(1280, WIDTH), frozen=True)
    return folder


def transformer() -> BarcodeModel:
    tokens = KmerTokens(4)
    return BarcodeModel(BarcodeEmbedder(tokens.size, 16, 2, 4, pad=tokens.pad), tokens)


def settings(place: Path, image: str, dna: str, tune: str, **more: Any) -> ContrastiveSettings:
    names = {"image": image, "dna": dna}
    named = {key: str(place / name) if (place / name).is_dir() else name for key, name in names.items()}
    small = {"text": "", "targets": "specimen", "width": WIDTH, "hidden": WIDTH, "epochs": 2, "batch_size": 8, "seed": 1}
    small |= {"workers": 1, "keep": "last"}
    return contrastive_settings(**{**named, "tune": tune, **small, **more})


def collection_of(place: Path) -> bc.Collection:
    return bc.Collection.open(place / "both.cosmos")


def disturb(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weights in module.parameters():
            if weights.requires_grad:
                weights.add_(0.05 * torch.randn(weights.shape, generator=generator))


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors.float(), dim=1).detach().numpy()


# ------------------------------------------------------------------------------------------------ what is saved


@pytest.mark.parametrize("tune", ["full", "lora"])
@pytest.mark.parametrize("image", ["vit", "clip", DEFAULT])
def test_a_saved_image_tower_gives_the_vectors_that_were_trained(place: Path, tmp_path: Path, image: str, tune: str) -> None:
    asked = settings(place, image, "bag", f"image={tune},dna=full", **({"size": 32} if image == DEFAULT else {}))
    rows = modal_rows(collection_of(place), asked)
    torch.manual_seed(0)
    source = TunedImages(rows, asked, ALONE, Failures())
    disturb(source.module)
    module = source.module.eval()
    chosen = np.flatnonzero(source.there)[:6]
    with torch.no_grad():
        before = unit(module(source.inputs(chosen, None)))
    digest = source.save(tmp_path / "image", {"what": "Trained."})
    encoder = bc.load_encoder(str(tmp_path / "image"), device="cpu", precision="float32")
    assert encoder.digest == digest and encoder.dim == WIDTH
    paths = [place / "pictures" / f"{rows.ids[row]}.png" for row in chosen]
    np.testing.assert_allclose(encoder.encode_files(paths)[0], before, atol=1e-4)


@pytest.mark.parametrize(
    ("dna", "tune"), [("bag", "full"), ("bert", "full"), ("bert", "lora"), ("cnn", "lora"), ("new:bag", "full")]
)
def test_a_saved_dna_tower_gives_the_vectors_that_were_trained(place: Path, tmp_path: Path, dna: str, tune: str) -> None:
    asked = settings(place, "vit", dna, f"image=full,dna={tune}")
    rows = modal_rows(collection_of(place), asked)
    source = TunedBarcodes(rows, asked, ALONE, Failures())
    disturb(source.module)
    chosen = np.flatnonzero(source.there)[:6]
    with torch.no_grad():
        before = unit(source.module.eval()(source.inputs(chosen, None)))
    digest = source.save(tmp_path / "dna", {"what": "Trained."})
    encoder = load_barcode_encoder(str(tmp_path / "dna"), device="cpu")
    assert encoder.digest == digest and encoder.dim == WIDTH
    letters = rows.collection.take([rows.ids[row] for row in chosen], columns=["id", "barcode"])["barcode"].to_pylist()
    np.testing.assert_allclose(encoder.encode_barcodes(letters), before, atol=1e-4)


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_saved_text_tower_gives_the_vectors_that_were_trained(place: Path, tmp_path: Path, tune: str) -> None:
    asked = settings(place, "clip", "bag", f"image={tune},text={tune},dna=full", text=str(place / "clip"))
    rows = modal_rows(collection_of(place), asked)
    source = make_sources(rows, asked, ALONE, Failures())["text"]
    disturb(source.module)
    chosen = np.flatnonzero(source.there)[:6]
    with torch.no_grad():
        before = unit(source.module.eval()(source.inputs(chosen, None)))
    digest = source.save(tmp_path / "text", {"what": "Trained."})
    encoder = load_text_encoder(str(tmp_path / "text"), device="cpu")
    assert encoder.digest == digest
    ranks = rows.collection.ranks
    table = rows.collection.take([rows.ids[row] for row in chosen], columns=["id", *ranks])
    texts = [text for text in taxon_texts(table, ranks) if text is not None]
    np.testing.assert_allclose(encoder.encode_texts(texts), before, atol=1e-4)


def test_a_frozen_projection_is_gone_on_from_with_the_encoder_beneath(place: Path, tmp_path: Path) -> None:
    asked = settings(place, "begun", "bag", "full")
    rows = modal_rows(collection_of(place), asked)
    source = TunedImages(rows, asked, ALONE, Failures())
    paths = [place / "pictures" / f"{id_}.png" for id_ in rows.ids[:4]]
    before = bc.load_encoder(str(place / "begun"), device="cpu", precision="float32").encode_files(paths)[0]
    with torch.no_grad():
        np.testing.assert_allclose(unit(source.module.eval()(source.inputs(np.arange(4), None))), before, atol=1e-4)
    disturb(source.module)
    source.save(tmp_path / "image", {})
    after = bc.load_encoder(str(tmp_path / "image"), device="cpu", precision="float32").encode_files(paths)[0]
    assert float(np.abs(after - before).max()) > 1e-3


def test_lora_learns_as_what_is_new_and_an_encoder_slower(place: Path) -> None:
    rows = modal_rows(collection_of(place), settings(place, "vit", "bert", "full"))
    for tune, wanted in (("full", TRAINED_FACTOR), ("lora", 1.0)):
        asked = settings(place, "vit", "bert", tune)
        for source in (TunedImages(rows, asked, ALONE, Failures()), TunedBarcodes(rows, asked, ALONE, Failures())):
            rates = {name: source.lr_factor(name) for name, weights in source.module.named_parameters() if weights.requires_grad}
            new = {name for name in rates if "linear" in name or "branch" in name}
            assert {rates[name] for name in new} == {1.0} and {rates[name] for name in rates if name not in new} == {wanted}


# ------------------------------------------------------------------------------------------------ whole trainings


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    files = sorted(run.glob("image/*.safetensors")) + sorted(run.glob("dna/**/*.safetensors"))
    assert len(files) >= 4  # a model and a projection of each
    return {f"{file.relative_to(run)} {name}": tensor for file in files for name, tensor in load_file(file).items()}


def same(a: Path, b: Path, atol: float = 1e-5) -> None:
    first, second = weights_of(a), weights_of(b)
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=atol)


def test_chunks_and_the_whole_batch_train_the_same_weights(place: Path, tmp_path: Path) -> None:
    for name, chunk in (("whole", 100), ("chunks", 3)):
        asked = settings(place, "vit", "bag", "image=lora,dna=full", chunk=chunk, precision="float32")
        train_contrastive(collection_of(place), asked, tmp_path / name)
    same(tmp_path / "whole", tmp_path / "chunks")
    moved = load_file(tmp_path / "chunks" / "image" / "model.safetensors")
    before = load_file(place / "vit" / "model.safetensors")
    assert {name for name in before if name in moved and not torch.equal(before[name], moved[name])} == {
        f"blocks.{block}.attn.qkv.weight" for block in range(2)
    }


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_three_towers_are_tuned_together_and_every_one_is_an_encoder(place: Path, tmp_path: Path, precision: str) -> None:
    more = {"text": str(place / "clip"), "augment": "clibd", "mutate": 0.05, "precision": precision}
    asked = settings(place, "clip", "new:bag", "image=lora,text=lora", **more)
    collection = both(tmp_path, embedded=False)
    result = train_contrastive(collection, asked, tmp_path / "run")
    assert len(result.history.epochs) == 2 and all(0 <= row["retrieval"] <= 1 for row in result.history.epochs)
    space = read_space(tmp_path / "run")
    assert set(space.towers) == {"image", "dna", "text"} and space.dim == WIDTH
    for folder in ("image", "dna", "dna/base", "text/base"):  # each is an encoder, and none may be judged on what it learnt
        with pytest.raises(BiocosmosError, match="trained"):
            guard.refuse_part(collection, "train", tmp_path / "run" / folder)
    for name in (space.towers["image"], space.towers["dna"]):
        bc.embed(collection, name)
        assert collection.encoders[name]["space"] == space.digest


def test_a_killed_training_of_towers_goes_on_to_the_same_weights(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "both.cosmos", tmp_path / "both.cosmos")
    shutil.copytree(place / "pictures", tmp_path / "pictures")
    more = {"epochs": 12, "checkpoint_steps": 1, "ema": 0.5}
    asked = settings(place, "vit", "bert", "image=full,dna=lora", **more)
    train_contrastive(collection_of(tmp_path), asked, tmp_path / "whole")
    command = ["train", "contrastive", str(tmp_path / "both.cosmos"), "--text", "", "-o", str(tmp_path / "killed")]
    told = {
        "image": asked.image,
        "dna": asked.dna,
        "tune": asked.tune,
        "targets": "specimen",
        "width": WIDTH,
        "hidden": WIDTH,
        "batch_size": 8,
    }
    for name, value in {**told, "seed": 1, "workers": 1, "keep": "last", **more}.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    kill(command, tmp_path / "killed", steps="step-*[2-9]")
    assert not (tmp_path / "killed" / "biocosmos.json").exists()
    result = train_contrastive(collection_of(tmp_path), asked, tmp_path / "killed")
    assert result.history.resumed_at > 0 and len(result.history.epochs) == 12
    same(tmp_path / "whole", tmp_path / "killed")


def one_process(rank: int, folder: str, asked: ContrastiveSettings) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29671"}
    train_contrastive(collection_of(Path(folder)), asked, Path(folder) / "two")


def test_two_processes_train_the_towers_of_one(place: Path, tmp_path: Path) -> None:
    """Nothing is changed at random, which each process would draw for itself; no dropout is left in the networks."""
    shutil.copytree(place / "both.cosmos", tmp_path / "both.cosmos")
    shutil.copytree(place / "pictures", tmp_path / "pictures")
    plain = {"augment": "none", "crop": 0.0, "clip": 0.0, "chunk": 3, "precision": "float32"}

    def asked(batch_size: int) -> ContrastiveSettings:
        return settings(place, "vit", "bag", "image=full,dna=full", **plain, batch_size=batch_size, validation="")

    train_contrastive(collection_of(tmp_path), asked(8), tmp_path / "one")
    warm.spawn(one_process, args=(str(tmp_path), asked(4)), nprocs=PROCESSES)
    same(tmp_path / "one", tmp_path / "two", atol=5e-4)  # Adam makes a step of a gradient that is nothing but rounding


def test_an_image_that_cannot_be_read_is_left_out_and_told(place: Path, tmp_path: Path) -> None:
    collection = both(tmp_path, embedded=False)
    asked = settings(tmp_path, str(place / "vit"), str(place / "bag"), "full")
    rows = modal_rows(collection, asked)
    (tmp_path / "pictures" / f"{rows.ids[3]}.png").write_bytes(b"no picture")
    failures = Failures()
    tower = TunedImages(rows, asked, ALONE, failures)
    assert not tower.there[3] and int(tower.there.sum()) == len(rows) - 1
    assert any(rows.ids[3] in str(failure) for failure in failures)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("image", "dna", "tune", "words"),
    [
        ("vit", "kmer:5", "full", "counts k-mers.*dna=heads.*new:bag"),
        ("vit", "vit", "full", "is no encoder of barcodes.*new:bag"),
        ("vit", "new:tree", "full", "new:bag or new:transformer"),
        ("vit", "new:bag", "image=full,dna=lora", "random weights"),
        ("vit", "bag", "lora", "no attention.*--tune full"),
        ("projected", "bag", "full", "a projection to 12 numbers already.*--width 12"),
    ],
)
def test_what_cannot_be_tuned_is_refused_with_what_to_do(
    place: Path, tmp_path: Path, image: str, dna: str, tune: str, words: str
) -> None:
    with pytest.raises(BiocosmosError, match=words):
        train_contrastive(collection_of(place), settings(place, image, dna, tune), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # so that the next try may say it otherwise


def test_settings_of_tuning_are_refused_where_nothing_is_tuned() -> None:
    for name, value in {"augment": "photo", "size": 64, "crop": 0.5, "mutate": 0.1, "lora_rank": 8, "cache_gb": 1.0}.items():
        with pytest.raises(UnusedSetting, match="--tune"):
            contrastive_settings(**{name: value})
    with pytest.raises(UnusedSetting, match="--augment"):
        contrastive_settings(tune="dna=full", augment="photo")
    assert contrastive_settings(dna="new:bag", crop=0.5).tune_of("dna") == "full"
