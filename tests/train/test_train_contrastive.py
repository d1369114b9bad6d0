"""One space trained on made-up specimens, as a user trains, kills, resumes and refuses."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from killed_training import kill

import biocosmos as bc
import warm
from biocosmos.encoders.spaces import read_space
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.train.contrastive.settings import contrastive_settings
from biocosmos.train.contrastive.specimens import modal_rows, resolved
from biocosmos.train.contrastive.task import ModalTask
from biocosmos.train.contrastive.towers.choosing import make_sources
from biocosmos.train.contrastive.training import ContrastiveResult, train_contrastive
from biocosmos.train.loop.processes import Processes
from space_sample import both, same, weights

SMALL: dict[str, Any] = {
    "dna": "kmer:5",
    "text": "",
    "targets": "specimen",
    "width": 16,
    "hidden": 8,
    "epochs": 2,
    "device": "cpu",
    "batch_size": 16,
}
SPECIMENS = 72
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def _collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """Vectors of pictures are made up, by species: an encoder would take most of the time of these tests."""
    made = both(tmp_path_factory.mktemp("space"), specimens=SPECIMENS, embedded=False)
    bc.embed(made, "kmer:5")
    encoder = bc.load_encoder("efficientnet-lite0", device="cpu")
    species = np.unique(made.table(["species"])["species"].to_pylist(), return_inverse=True)[1]
    rng = np.random.default_rng(0)
    found = rng.normal(size=(species.max() + 1, encoder.dim))[species] + rng.normal(size=(len(species), encoder.dim))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(found.astype(np.float32).reshape(-1)), encoder.dim)
    made.add_vectors("efficientnet-lite0", encoder.metadata(), iter([column]))
    return made


@pytest.fixture
def collection(_collection: bc.Collection, tmp_path: Path) -> bc.Collection:
    shutil.copytree(_collection.path, tmp_path / "both.cosmos")
    return bc.Collection.open(tmp_path / "both.cosmos")


def train(collection: bc.Collection, folder: Path, **given: Any) -> ContrastiveResult:
    return train_contrastive(collection, contrastive_settings(**{**SMALL, **given}), folder)


def command(collection: bc.Collection, folder: Path, **given: Any) -> list[str]:
    options = [part for name, value in {**SMALL, **given}.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return ["train", "contrastive", str(collection.path), "-o", str(folder), *options]


def without(collection: bc.Collection, column: str, ids: list[str]) -> None:
    """Take a modality from some specimens."""
    empty = pa.table({"id": ids, column: pa.nulls(len(ids), pa.string())})
    collection.change(empty, verb="update", clear=True)


def test_pictures_and_barcodes_are_brought_into_one_space(collection: bc.Collection, tmp_path: Path) -> None:
    result = train(collection, tmp_path / "run", epochs=8, lr=0.003)
    best = result.history.best
    assert best is not None and best["image to dna, species"] > max(0.5, result.base["image to dna, species"])
    space = read_space(tmp_path / "run")
    assert set(space.towers) == {"image", "dna"} and space.dim == 16
    for tower in space.towers.values():
        bc.embed(collection, tower)
        assert collection.encoders[tower]["space"] == space.digest
    assert train(collection, tmp_path / "run", epochs=8, lr=0.003).already_done
    image, dna = (collection.vectors(f"{tmp_path}/run/{name}", split="val")[1] for name in ("image", "dna"))
    own = (image * dna).sum(1).mean()
    assert own > (image @ np.roll(dna, 3, 0).T).mean()


def test_what_was_learnt_is_never_judged_by_any_tower_and_held_out_parts_are_never_learnt(
    collection: bc.Collection, tmp_path: Path
) -> None:
    train(collection, tmp_path / "run", epochs=1)
    for folder in ("run", "run/image", "run/dna"):
        learnt = guard.Fitted.load(tmp_path / folder).used("fitted").to_pylist()
        assert learnt == sorted(collection.split().part("train").to_pylist())
        with pytest.raises(BiocosmosError, match="trained"):
            guard.refuse_part(collection, "train", tmp_path / folder)
        guard.refuse_part(collection, "test", tmp_path / folder)
    with pytest.raises(BiocosmosError, match="held out"):
        contrastive_settings(split="test_unseen")


@pytest.mark.parametrize("given", [{}, {"targets": "species", "as_published": True}, {"targets": "bin", "within": 0.0}])
def test_specimens_that_lack_a_modality_take_part_with_what_they_have(
    collection: bc.Collection, tmp_path: Path, given: dict[str, Any]
) -> None:
    ids = sorted(collection.split().part("train").to_pylist())
    without(collection, "barcode", ids[::3])
    result = train(collection, tmp_path / "run", **given)
    facts = result.rows.facts
    assert facts["with"]["dna"] == len(ids) - len(ids[::3])
    # by specimen a picture without its barcode has nothing to go with; by species it has the barcodes of others
    assert facts["specimens"] > facts["with"]["dna"] if given else facts["specimens"] == facts["with"]["dna"]
    assert all(np.isfinite(row["retrieval"]) for row in result.history.epochs)


def test_a_batch_is_the_same_whenever_it_is_asked_for(collection: bc.Collection) -> None:
    settings, _ = resolved(collection, contrastive_settings(**SMALL))
    rows = modal_rows(collection, settings)
    failures = Failures()
    task = ModalTask(settings, ALONE, rows, make_sources(rows, settings, ALONE, failures), failures)
    first, again = (list(task.batches(1, start)) for start in (0, 1))
    assert len(first) == task.batches_per_epoch == len(again) + 1
    for name, tensor in first[1].inputs.items():
        assert torch.equal(tensor, again[0].inputs[name])
    seen = {id_ for batch in first for id_ in batch.ids}
    assert seen == set(rows.ids[: rows.learnt])


def test_a_killed_training_goes_on_to_the_same_weights(collection: bc.Collection, tmp_path: Path) -> None:
    more = {"epochs": 16, "checkpoint_steps": 2}
    train(collection, tmp_path / "whole", **more)
    kill(command(collection, tmp_path / "killed", **more), tmp_path / "killed")
    assert not (tmp_path / "killed" / "biocosmos.json").exists()
    result = train(collection, tmp_path / "killed", **more)
    assert 0 < result.history.resumed_at < result.history.steps
    assert same(tmp_path / "whole", tmp_path / "killed")
    with pytest.raises(BiocosmosError, match="begun with --width 16, not 8"):
        train(collection, tmp_path / "killed", **more, width=8)


def test_two_processes_learn_what_one_does(collection: bc.Collection, tmp_path: Path) -> None:
    """A part of the barcodes is missing, so that processes hold unlike numbers of rows, and some none."""
    ids = sorted(collection.split().part("train").to_pylist())
    without(collection, "barcode", [id_ for number, id_ in enumerate(ids) if number % 4])
    shared = {"targets": "species", "epochs": 2, "hidden": 0, "keep": "last", "precision": "float32"}  # rounding decides nothing
    train(collection, tmp_path / "one", **shared, batch_size=8)
    warm.torchrun(*command(collection, tmp_path / "two", **{**shared, "batch_size": 4}))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dna": "", "text": ""}, "needs two modalities, and here it has image"),
        ({"bind_to": "text"}, "--bind-to text: no such modality is trained, only image and dna"),
        ({"drop": "image-text"}, "--drop must name pairs of what is trained"),
        ({"drop": "image-dna"}, "leave image without a pair"),
        ({"tune": "some"}, "--tune must be heads, lora or full"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        contrastive_settings(**{**SMALL, **given})


def test_a_collection_without_barcodes_is_told_so(collection: bc.Collection, tmp_path: Path) -> None:
    without(collection, "barcode", collection.table(["id"])["id"].to_pylist())
    with pytest.raises(BiocosmosError, match=r"no specimen of part 'train' of .* has a barcode: leave it out with --dna ''"):
        train(collection, tmp_path / "run", text="auto")
    assert not (tmp_path / "run").exists()
    settings, notes = resolved(collection, contrastive_settings())
    assert settings.kinds == ("image", "text") and "trained without --dna" in notes[0]
    with pytest.raises(BiocosmosError, match="has a picture of its specimens and nothing else"):
        train(collection, tmp_path / "run", dna="auto")


def test_one_paired_specimen_is_too_few(collection: bc.Collection, tmp_path: Path) -> None:
    without(collection, "barcode", sorted(collection.split().part("train").to_pylist())[1:])
    with pytest.raises(BiocosmosError, match="1 specimen of part 'train' has a picture and also a barcode"):
        train(collection, tmp_path / "run")


def test_vectors_of_other_weights_are_refused(collection: bc.Collection, tmp_path: Path) -> None:
    for encoder in ("kmer:5", "efficientnet-lite0"):
        facts = {**collection.encoders[encoder], "digest": "0123456789abcdef"}
        column = collection.dataset.to_table(columns=[collection.embedding_column(encoder)]).column(0)
        whole = bc.Collection.open(collection.path)
        whole.add_vectors(encoder, facts, iter(column.chunks))
        with pytest.raises(BiocosmosError, match=f"vectors of '{encoder}' by other weights"):
            train(whole, tmp_path / encoder.replace(":", ""))
        if encoder == "kmer:5":
            bc.embed(collection, encoder, overwrite=True)


def test_a_training_into_its_own_tower_is_refused(collection: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="cannot be trained into its own folder"):
        train(collection, tmp_path / "run", image=str(tmp_path / "run"))


def test_without_ranks_each_specimen_is_looked_for(collection: bc.Collection, tmp_path: Path) -> None:
    table = collection.table(["id", "image_path", "barcode", "part"])
    plain = bc.Collection.create(tmp_path / "plain.cosmos")
    plain.add(table.to_pandas())
    plain.make_split("column", column="part")
    result = train(plain, tmp_path / "run", epochs=1)
    assert list(result.base) == ["retrieval", "image to dna, itself"]
    with pytest.raises(BiocosmosError, match=r"--targets species: .* has no such rank, its ranks are none"):
        train(plain, tmp_path / "other", targets="species")


def test_the_command_tells_what_it_learns_from_and_what_came_of_it(collection: bc.Collection, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "biocosmos", *command(collection, tmp_path / "run", epochs=1)]
    told = warm.run(run, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert "with image and dna\t" in told.stdout and "image to dna, species\t" in told.stdout
    assert f"Next: biocosmos embed {collection.path} -e {tmp_path / 'run'}" in told.stderr
    assert json.loads((tmp_path / "run" / "biocosmos.json").read_text())["training"]["rows"]["specimens"] > 0
