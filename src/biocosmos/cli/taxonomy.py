"""taxa: list the names a collection knows."""

from __future__ import annotations

from typing import Annotated

import typer

from biocosmos.cli.options import COLLECTION, OUTPUT, WITHIN
from biocosmos.cli.printing import say, show_arrow
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, taxa)


def taxa(
    collection: COLLECTION,
    rank: Annotated[str | None, typer.Option(help="Only taxa of this rank.", show_default=False)] = None,
    within: WITHIN = None,
    output: OUTPUT = None,
) -> None:
    """List the taxa of a collection with their specimens.

    biocosmos taxa mine.cosmos --rank family

    biocosmos taxa mine.cosmos --within Copepoda -o copepods.csv

    The CSV can be cut down and given to 'biocosmos identify --taxa'.
    """
    from biocosmos.specimens.census import count_taxa
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    table = count_taxa(opened, rank=rank, within=within)
    if output is None:
        show_arrow(table, title=f"{table.num_rows:,} taxa of {opened.path}")
    else:
        write_table(table, output)
        say(f"{output}: {table.num_rows:,} taxa")
