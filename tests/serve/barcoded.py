"""Collections of simulated barcodes for the tests of the web application: without an image, and with both."""

from __future__ import annotations

import shutil
from pathlib import Path

import biocosmos as bc
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.specimens.records import Source

KMER = "kmer:7"


def barcodes_alone(folder: Path, *, embedded: bool = True, specimens: int = 240) -> bc.Collection:
    """Barcodes of 24 species without an image."""
    table = simulate_barcodes(seed=2, species=24, specimens=specimens, shared=0.1)
    collection = bc.Collection.create(folder / "coi.cosmos")
    collection.add(Source("coi", "table", table.to_batches(), RANKS))
    if embedded:
        collection.make_split("stratified", seed=0)
        bc.embed(collection, KMER)
    return collection


def with_barcodes(embedded: bc.Collection, folder: Path) -> bc.Collection:
    """A copy of a collection of images in which every tenth specimen has a barcode too, embedded both ways."""
    shutil.copytree(embedded.path, folder / "both.cosmos")
    collection = bc.Collection.open(folder / "both.cosmos")
    ids = collection.table(["id"])["id"].to_pylist()[::10]
    barcodes = simulate_barcodes(seed=4, species=6, specimens=len(ids))["barcode"].to_pylist()
    for id_, barcode in zip(ids, barcodes, strict=True):
        collection.dataset.update({"barcode": f"'{barcode}'"}, where=f"id = '{id_}'")
    collection = bc.Collection.open(collection.path)
    bc.embed(collection, KMER)
    return collection
