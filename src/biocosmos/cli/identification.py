"""identify: names for images, as far down the tree as they can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, IMAGES, OUTPUT, STRICT
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.jobs.identify_settings import IdentifySettings

SHOWN = ("id", "taxon", "rank", "confidence", "best_guess", "best_guess_confidence", "novel", "set")


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, identify)


@takes(IdentifySettings)
def identify(
    collection: COLLECTION,
    settings: IdentifySettings,
    images: IMAGES = None,
    output: OUTPUT = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="A page that shows, for some answers, the specimen, the nearest known ones, where their vote splits, and with a "
            "head a heat map.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the names with the collection too; nothing is overwritten.")] = False,
    strict: STRICT = False,
) -> None:
    """Name images with the labelled specimens of a collection.

    biocosmos identify mine.cosmos new/*.jpg -o names.csv

    biocosmos identify mine.cosmos night1/ --within Insecta --error-rate 0.02 -o names.parquet --report names.html

    biocosmos identify plankton.cosmos images/ --head run/ --error-rate 0.05 -o ids.csv

    Every row has the path it was asked with, the answer at the lowest rank that can be trusted, a name and a confidence at
    every rank, how novel it looks, and the specimens that support it. Of the answers at most 10 % are wrong, with a probability
    of 90 %, unless --error-rate, --promise or --threshold say otherwise.
    """
    from biocosmos.identify.summary import without_empty
    from biocosmos.jobs.identify import explain, identify_collection
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import PROVENANCE_KEY, table_suffix, write_table

    if output is not None:
        table_suffix(output)
    opened = Collection.open(collection)
    done = identify_collection(opened, settings, images=images or (), evidence=report is not None)
    table = without_empty(done.table)
    if output is None:
        show_arrow(table, [name for name in SHOWN if name in table.column_names])
    else:
        write_table(table, output, json.loads(table.schema.metadata[PROVENANCE_KEY]))
    first, *rest = done.summary.lines()
    for line in (first if output is None else f"{output}: {first}", *rest, done.identifier.describe()):
        say(line)
    for note in done.notes:
        say(f"note: {note}")
    if report is not None:
        page, pictures = explain(done, opened, seed=settings.seed)
        say(f"report: {page.html(report, thumbnails=pictures)}")
    if save:
        say(f"kept in {opened.add_identifications(done.table)}")
    finish(done.failures, done.table.num_rows, "images or listed taxa", table=failures_beside(output), strict=strict)
