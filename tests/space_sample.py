"""A collection of made-up specimens with pictures and barcodes, and a space over it whose towers are random projections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.modality import Modality
from biocosmos.encoders.projected_barcodes import save_projected_barcodes
from biocosmos.encoders.registry import DEFAULT, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.spaces import save_space
from biocosmos.nn.projection import Projection

SPECIMENS, WIDTH = 48, 16


def both(
    folder: Path,
    *,
    seed: int = 0,
    specimens: int = SPECIMENS,
    embedded: bool = True,
    species_count: int = 8,
    unseen_parts: Sequence[str] = ("key_unseen", "test_unseen"),
) -> bc.Collection:
    """``folder``/both.cosmos: pictures of 48 px that differ by species, barcodes, ranks, and a split train, val, test, and of the
    last quarter of the species ``unseen_parts``; with efficientnet-lite0 and kmer:5 embedded."""
    table = simulate_barcodes(specimens=specimens, species=species_count, genera=4, families=2, orders=2, seed=seed)
    rng = np.random.default_rng(seed)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    species = table["species"].to_pylist()
    names = sorted(set(species))
    colours = {name: tuple(rng.integers(0, 255, 3).tolist()) for name in names}
    paths, parts = [], []
    for row, (id_, name) in enumerate(zip(table["id"].to_pylist(), species)):
        image = Image.new("RGB", (48, 48), (230, 230, 225))
        place = rng.integers(4, 14, 2).tolist()
        ImageDraw.Draw(image).ellipse((*place, place[0] + 24, place[1] + 12 + 2 * names.index(name)), fill=colours[name])
        path = pictures / f"{id_}.png"
        image.save(path)
        paths.append(f"pictures/{id_}.png")
        unseen = names.index(name) >= 3 * len(names) // 4
        parts.append(unseen_parts[row % len(unseen_parts)] if unseen else ("train", "train", "train", "val", "test")[row % 5])
    table = table.append_column("image_path", [paths]).append_column("part", [parts])
    numbers = np.array([names.index(name) for name in species])
    found = np.random.default_rng([seed, 1])  # where each species lives, and when it flies
    where = {
        "latitude": 51 + 0.4 * numbers + found.normal(0, 0.05, len(table)),
        "longitude": 5 + 0.3 * (numbers % 3) + found.normal(0, 0.05, len(table)),
        "date": [f"2024-{1 + number % 8:02d}-{1 + day:02d}" for number, day in zip(numbers, found.integers(0, 27, len(table)))],
    }
    for column, values in where.items():
        table = table.append_column(column, [values])
    from biocosmos.tables import write_table

    csv = folder / "both.csv"
    write_table(table, csv)
    collection = bc.Collection.create(folder / "both.cosmos")
    collection.add(bc.read(csv))
    collection.make_split("column", column="part")
    if embedded:
        bc.embed(collection, DEFAULT)
        bc.embed(collection, "kmer:5")
    return collection


def space(folder: Path, *, seed: int = 0, width: int = WIDTH) -> str:
    """``folder``: a space of an image tower over efficientnet-lite0 and a DNA tower over kmer:5; returns its digest."""
    torch.manual_seed(seed)
    digests: dict[Modality, str] = {}
    towers = load_towers(DEFAULT)
    projection = Projection(1280, width)
    digests["image"] = save_encoder(folder / "image", towers, base=DEFAULT, projection=projection, frozen=True)
    base = load_barcode_encoder("kmer:5")
    digests["dna"] = save_projected_barcodes(folder / "dna", base, Projection(base.dim, width), training={})
    return save_space(folder, digests, dim=width, training={"what": "random projections, for tests"})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of every tower of a space."""
    files = sorted(folder.glob("*/*.safetensors"))
    return {f"{file.parent.name} {name}": tensor for file in files for name, tensor in load_file(file).items()}


def same(a: Path, b: Path) -> bool:
    """Whether the towers of two spaces have the same weights, to the bit."""
    mine, others = weights(a), weights(b)
    return bool(mine) and mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)
