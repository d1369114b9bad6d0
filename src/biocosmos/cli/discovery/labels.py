"""discover labels: which labels are probably wrong, and the corrections that a person accepts."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import counted, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.jobs.discover.labels_settings import LabelsSettings

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, labels)


@takes(LabelsSettings)
def labels(
    collection: COLLECTION,
    settings: LabelsSettings,
    output: OUTPUT = None,
    report: REPORT = None,
) -> None:
    """Which labels are probably wrong; and, with --accept, the corrections that a person found right.

    biocosmos discover labels mine.cosmos --report suspects.html -o suspects.csv

    biocosmos discover labels mine.cosmos --accept suspects.csv --by "Ada"

    No label is changed: what is accepted is recorded as an identification by hand, beside the label. --to-labels makes these the
    labels too, and 'biocosmos undo' takes that back.
    """
    from biocosmos.jobs.discover.labels import accept_labels, discover_labels
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    if settings.accept is not None:
        if output is not None or report is not None:
            raise typer.BadParameter(
                "--accept takes corrections and writes none: leave out -o and --report", param_hint="--accept"
            )
        done = accept_labels(opened, settings.accept, by=settings.by, to_labels=settings.to_labels)
        say(f"{collection}: {counted(done.recorded, 'identification')} by hand recorded")
        for failure in list(done.failures)[:SHOWN]:
            say(f"  not taken: {failure.id}: {failure.reason}")
        if done.change is not None:
            say(f"  {counted(done.change.specimens, 'specimen')} relabelled; 'biocosmos undo {collection}' takes it back")
        if not done.recorded:
            raise typer.Exit(1)
        return
    report = None if report is None else place_of(report)
    found = discover_labels(opened, settings)
    columns = ["id", "label", "proposal", "score", "p_label", "p_proposal", "parts_at"]
    show_arrow(found.table.slice(0, SHOWN), columns, found.report.title)
    about = found.report.provenance
    say(f"{about['suspects']:,} suspects among {about['audited']:,} labelled specimens; no label was changed")
    if output is not None:
        say(f"table: {write_table(found.table, output, about)}")
    if report is not None:
        say(f"page: {found.report.html(report, thumbnails=opened.picture_bytes)}")
    say(f"kept with the collection as suspects {found.kept.name}")
