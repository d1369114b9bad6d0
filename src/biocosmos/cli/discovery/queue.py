"""discover queue: what to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT
from biocosmos.cli.printing import counted, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.jobs.discover.queue_settings import QueueSettings

SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, queue)


@takes(QueueSettings)
def queue(
    collection: COLLECTION,
    settings: QueueSettings,
    output: OUTPUT = None,
    report: Annotated[Path | None, typer.Option(help="Write a contact sheet here, as one HTML file.", show_default=False)] = None,
) -> None:
    """What to label next: the specimens whose names would tell most.

    biocosmos discover queue mine.cosmos -n 100 -o next.csv

    biocosmos discover queue mine.cosmos --strategy typicality -n 50 --report next.html

    biocosmos discover queue mine.cosmos --strategy disagreement --split train

    A linear head is fitted on what has a name and asked about what has none; where little is named yet, the pictures alone say
    what is typical. The queue is kept with the collection; docs/discover.md says what each strategy gained over random.
    """
    from biocosmos.evaluate.discovery.queues import report_on
    from biocosmos.jobs.discover.queue import queue_collection
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import table_suffix, write_table

    if output is not None:
        table_suffix(output)
    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = queue_collection(opened, settings)
    show_arrow(found.table.slice(0, SHOWN))
    say(f"{counted(len(found), 'specimen')} to label next, by {settings.strategy}: {found.provenance['says']}")
    if output is not None:
        say(f"written: {write_table(found.table, output, found.provenance)}")
    if report is not None:
        say(f"report: {report_on(found).html(report, thumbnails=opened.picture_bytes)}")
