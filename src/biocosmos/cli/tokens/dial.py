"""tokens dial: the fastest way to compute an encoder that loses no more than is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, REPORT
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.tokens.dial_settings import DialSettings


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, dial)


@takes(DialSettings)
def dial(
    collection: COLLECTION,
    settings: DialSettings,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the encoder that was chosen into this folder.", show_default=False),
    ] = None,
    report: REPORT = None,
) -> None:
    """Compute an encoder as fast as may be, losing no more than you allow, measured on your own images.

    biocosmos tokens dial mine.cosmos -e run/ --lose-at-most 0.01 -o run-fast/ --report dial.html

    biocosmos tokens dial mine.cosmos -e timm:vit_small_patch16_224 --methods atc,tome --keep 0.7,0.5 --backend torch

    Tries reductions of tokens, precisions and backends; takes the fastest that loses at most so much with 95 % confidence, and
    writes it as an encoder folder that every command takes. Kill it and run it again: it goes on where it was.
    """
    from biocosmos.jobs.tokens.dial import turn
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = turn(opened, settings, output)
    rows = [
        (
            row["tokens"],
            row["precision"],
            row["backend"],
            row["times"],
            row["choosing_loss"],
            row["loss"],
            row["high"],
            row["why"],
        )
        for row in found.report.rows("ways")
    ]
    columns = ("tokens", "precision", "backend", "times as fast", "lost (choosing)", "lost", "at most", "why")
    show_table(columns, rows, found.report.title)
    say(f"taken: {found.way.name}")
    if found.folder is not None:
        say(f"encoder: {found.folder}")
    if report is not None:
        say(f"page: {found.report.html(report)}")
