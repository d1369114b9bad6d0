"""evaluate: honest numbers and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.options import COLLECTION, SEED, WHERE, names
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add

METHODS = "linear, nearest, class-mean, nearest-euclidean, class-mean-euclidean, centroid or simpleshot"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, evaluate)


def evaluate(
    collection: COLLECTION,
    encoder: Annotated[
        list[str] | None,
        typer.Option("--encoder", "-e", help="Once for each embedding; two or more are compared.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables and report.html.")] = Path("report"),
    protocol: Annotated[
        str, typer.Option(help="query-gallery: the queries are asked of the gallery; all-vs-all: the queries of each other.")
    ] = "query-gallery",
    queries: Annotated[str, typer.Option(help="The part that asks.")] = "test",
    gallery: Annotated[str, typer.Option(help="The part that answers.")] = "train",
    by: Annotated[str | None, typer.Option(help="Columns to group results by, comma-separated.", show_default=False)] = None,
    identify: Annotated[
        bool, typer.Option(help="Also evaluate names, confidence and novelty (one encoder, query-gallery).")
    ] = True,
    method: Annotated[str, typer.Option(help=f"How to name: {METHODS}.")] = "linear",
    where: WHERE = None,
    seed: SEED = 0,
) -> None:
    """Measure an embedding, or compare several, on one split.

    biocosmos evaluate mine.cosmos -o report/

    biocosmos evaluate mine.cosmos -e efficientnet-lite0 -e timm:vit_small_patch14_dinov2 --by group

    Writes every table as CSV and JSON, and one HTML page that opens without a network.
    """
    from biocosmos.jobs.evaluating import evaluate_collection
    from biocosmos.jobs.identifying import identify_collection
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    encoders = encoder or [opened.encoder_name()]
    identified = None
    if identify and len(encoders) == 1 and protocol == "query-gallery":
        identified = identify_collection(opened, part=queries, encoder=encoders[0], method=method, where=where, seed=seed)
    report = evaluate_collection(
        opened,
        encoders=encoders,
        protocol=protocol,
        queries=queries,
        gallery=gallery,
        groups=names(by) or (),
        identified=identified,
        where=where,
        seed=seed,
    )
    page = report.write(output, thumbnails=opened.image_bytes)
    show_table(("what", "value"), [(row["what"], row["value"]) for row in report.headlines()], title=report.title)
    say(f"report: {page}")
