"""search: nearest specimens to images, text or specimens of the collection."""

from __future__ import annotations

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
    SPLIT,
    STRICT,
    WHERE,
    WITHIN,
)
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, search)


def search(
    collection: COLLECTION,
    images: IMAGES = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="Words (open_clip encoders).", show_default=False)] = None,
    id: Annotated[list[str] | None, typer.Option("--id", help="A specimen of the collection.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    encoder: ENCODER = None,
    split: SPLIT = None,
    within: WITHIN = None,
    where: WHERE = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Lance's vector index, for collections larger than memory.")
    ] = False,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    backend: BACKEND = "auto",
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Find the specimens most like an image, a text or another specimen.

    biocosmos search mine.cosmos unknown.jpg

    biocosmos search mine.cosmos photos/ -k 5 --within Copepoda -o neighbours.csv

    biocosmos search mine.cosmos --text "a copepod with eggs" --encoder open_clip:hf-hub:imageomics/bioclip-2
    """
    from biocosmos.jobs.search import search_collection
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    table, failures, provenance = search_collection(
        opened,
        images=images or (),
        texts=text or (),
        ids=id or (),
        k=k,
        encoder=encoder,
        split=split,
        within=within,
        where=where,
        approximate=approximate,
        device=device,
        precision=precision,
        backend=backend,
    )
    if output is None:
        show_arrow(table)
    else:
        write_table(table, output, provenance)
        say(f"{output}: {table.num_rows:,} neighbours")
    finish(failures, table.num_rows, "images", table=failures_beside(output), strict=strict)
