"""discover unknowns: groups that no known taxon fits."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import counted, say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.discover.unknowns_settings import UnknownsSettings

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, unknowns)


@takes(UnknownsSettings)
def unknowns(
    collection: COLLECTION,
    settings: UnknownsSettings,
    output: OUTPUT = None,
    report: REPORT = None,
) -> None:
    """Groups of unnamed specimens that no known taxon fits, each with a dossier and a name that stays.

    biocosmos discover unknowns mine.cosmos --report unknowns.html -o unknowns.csv

    biocosmos discover unknowns mine.cosmos --queries test --false-discoveries 0.1

    biocosmos discover unknowns mine.cosmos --name "BC-001=Oithona davisae" --by "Ada"

    biocosmos export mine.cosmos -o new.zip --format darwin-core --identifications unknowns.csv
    """
    from biocosmos.jobs.discover.unknowns import discover_unknowns, name_candidates
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    if settings.name:
        if output is not None or report is not None:
            raise typer.BadParameter("it names candidates of the last run: leave out -o and --report", param_hint="--name")
        recorded, failures = name_candidates(opened, settings.name, by=settings.by)
        say(f"{collection}: {counted(recorded, 'identification')} by hand recorded")
        for failure in list(failures)[:SHOWN]:
            say(f"  not taken: {failure.id}: {failure.reason}")
        return
    report = None if report is None else place_of(report)
    found = discover_unknowns(opened, settings)
    rows = [
        (row["morphospecies"], row["specimens"], row["taxon"], row["nearest"], row["p"])
        for row in found.report.rows("candidates")[:SHOWN]
    ]
    show_table(("candidate", "specimens", "belongs to", "looks like", "p"), rows, found.report.title)
    about = found.report.provenance
    say(f"{about['candidates']:,} of {about['groups']:,} groups are unlike every known taxon")
    if output is not None:
        say(f"table: {write_table(found.table, output, about)}")
    if report is not None:
        say(f"page: {found.report.html(report, thumbnails=opened.picture_bytes)}")
    say(f"kept with the collection as unknowns {found.kept.name}")
