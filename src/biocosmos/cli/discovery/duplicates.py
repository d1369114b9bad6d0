"""discover duplicates: pictures that are one, or nearly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.discover.duplicates_settings import DuplicatesSettings


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, duplicates)


@takes(DuplicatesSettings)
def duplicates(
    collection: COLLECTION,
    settings: DuplicatesSettings,
    output: OUTPUT = None,
    report: REPORT = None,
    spare: Annotated[
        Path | None,
        typer.Option(
            help="Write the ids of all but one of each group here, one a line, for 'biocosmos remove'.", show_default=False
        ),
    ] = None,
) -> None:
    """Find pictures that are the same or nearly, series, and what a split tears apart; nothing is removed.

    biocosmos discover duplicates mine.cosmos --report duplicates.html

    biocosmos discover duplicates mine.cosmos --leaks default

    biocosmos discover duplicates mine.cosmos --kinds identical,series --by sample_id --minutes 5 -o groups.csv

    A split that keeps groups whole: biocosmos split mine.cosmos --method grouped --duplicates
    """
    from biocosmos.jobs.discover.duplicates import discover_duplicates
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import replacing, write_table

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = discover_duplicates(opened, settings)
    rows = [(row["kind"], row["pairs"], row["specimens"], row["only_so"]) for row in found.report.rows("kinds")]
    show_table(("kind", "pairs", "specimens", "by this kind alone"), rows, found.report.title)
    about = found.report.provenance
    say(f"{about['groups']:,} groups of {about['in_groups']:,} specimens, of {about['specimens']:,}")
    if "leaks" in found.report.tables:
        say(f"{about['torn']:,} specimens are in groups that lie in several parts of split '{settings.leaks}'")
    for note in found.notes:
        say(f"note: {note}")
    if len(found.failures):
        say(f"{len(found.failures):,} images could not be read: biocosmos failures {collection}")
    if output is not None:
        say(f"table: {write_table(found.table, output, about)}")
    if report is not None:
        say(f"page: {found.report.html(report, thumbnails=opened.picture_bytes)}")
    if spare is not None:
        ids = [
            id_
            for id_, group, stands in zip(*(found.table[name].to_pylist() for name in ("id", "group", "representative")))
            if group is not None and not stands
        ]
        with replacing(spare) as temporary:
            temporary.write_text("".join(f"{id_}\n" for id_ in ids), encoding="utf-8")
        say(f"{len(ids):,} ids in {spare}; look at the page first, then: biocosmos remove {collection} --ids {spare}")
    say(f"kept with the collection as duplicates {found.kept.name}")
