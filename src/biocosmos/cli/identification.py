"""identify: names for images, as far down the tree as they can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.options import (
    BACKEND,
    COLLECTION,
    DEVICE,
    ENCODER,
    IMAGES,
    OUTPUT,
    PRECISION,
    SEED,
    SPLIT,
    STRICT,
    WHERE,
    WITHIN,
)
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add

METHODS = "linear, nearest, class-mean, nearest-euclidean, class-mean-euclidean, centroid, simpleshot or zero-shot"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, identify)


def identify(
    collection: COLLECTION,
    images: IMAGES = None,
    part: Annotated[
        str | None, typer.Option("--part", help="Name this part of the collection instead: test.", show_default=False)
    ] = None,
    output: OUTPUT = None,
    method: Annotated[str, typer.Option(help=f"{METHODS}.")] = "linear",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Answer at the lowest rank with this confidence.")] = 0.9,
    encoder: ENCODER = None,
    split: SPLIT = None,
    within: WITHIN = None,
    where: WHERE = None,
    taxa: Annotated[
        Path | None, typer.Option("--taxa", help="Only the taxa in this CSV (see 'biocosmos taxa').", show_default=False)
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the names with the collection too; nothing is overwritten.")] = False,
    seed: SEED = 0,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    backend: BACKEND = "auto",
    strict: STRICT = False,
) -> None:
    """Name images with the labelled specimens of a collection.

    biocosmos identify mine.cosmos new/*.jpg -o names.csv

    biocosmos identify mine.cosmos night1/ --within Insecta --threshold 0.95 -o names.parquet

    Every row has the path it was asked with, the answer at the lowest rank that can be trusted, a name and a confidence at
    every rank, how novel it looks, and the specimens that support it.
    """
    from biocosmos.jobs.identifying import identify_collection
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import table_suffix, write_table

    if output is not None:
        table_suffix(output)
    opened = Collection.open(collection)
    done = identify_collection(
        opened,
        images=images or (),
        part=part,
        encoder=encoder,
        split=split,
        where=where,
        method=method,
        threshold=threshold,
        within=within,
        taxa=taxa,
        seed=seed,
        device=device,
        precision=precision,
        backend=backend,
    )
    if output is None:
        show_arrow(done.table, ["id", "taxon", "rank", "confidence", "novelty", "novel"])
    else:
        write_table(done.table, output, done.identifier.provenance())
        say(f"{output}: {done.table.num_rows:,} specimens named")
    specimens = done.identifier.calibration.specimens
    if specimens and (specimens + 1) / (specimens + 2) < threshold:
        say(f"only {specimens} labelled specimens to calibrate on: no confidence can reach {threshold}; label more, or lower it")
    if save:
        say(f"kept in {opened.add_identifications(done.table)}")
    finish(done.failures, done.table.num_rows, "images or listed taxa", table=failures_beside(output), strict=strict)
