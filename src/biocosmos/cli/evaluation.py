"""evaluate: a report on embeddings and on whatever names, on one split, or a comparison of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, REPORT, REPORT_FOLDER, TABLES
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.evaluate_settings import EvaluateSettings

if TYPE_CHECKING:
    from biocosmos.evaluate import Report
    from biocosmos.specimens.collection import Collection

FOLDER = Path("report")


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, evaluate)


@takes(EvaluateSettings)
def evaluate(
    collection: COLLECTION,
    settings: EvaluateSettings,
    output: REPORT_FOLDER = None,
    report: REPORT = None,
    tables: TABLES = None,
) -> None:
    """Measure an embedding and the names given with it, a trained head, or several of them, on one split.

    biocosmos evaluate mine.cosmos -o report/

    biocosmos evaluate mine.cosmos -e efficientnet-lite0 -e run/ --by group --report compare.html

    biocosmos evaluate mine.cosmos --method linear,nearest,simpleshot --protocol ranks --report methods.html

    biocosmos evaluate mine.cosmos --queries all --protocol all-vs-all

    biocosmos evaluate plankton.cosmos --head run/ --error-rate 0.02

    biocosmos evaluate plankton.cosmos --head run/ --protocol leave-one-class-out --report novelty.html

    Writes one HTML page that opens without a network, all tables in one Parquet file, and where the numbers come from.
    """
    from biocosmos.jobs.evaluate import evaluate_collection
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    folder = FOLDER if output is None and report is None else output
    if tables is not None and folder is None:
        raise typer.BadParameter("tables are written into a folder: name one with -o", param_hint="--tables")
    if folder is not None:
        place_of(folder)
    found = evaluate_collection(opened, settings, output=folder)
    _write(found, opened, folder, report, tables)


def _write(report: Report, collection: Collection, folder: Path | None, page: Path | None, tables: str | None) -> None:
    """The report in ``folder``, the page at ``page``, and the headlines for people."""
    written = []
    if folder is not None:
        written.append(report.write(folder, thumbnails=collection.picture_bytes, tables=tables))
    if page is not None:
        written.append(report.html(page, thumbnails=collection.picture_bytes))
    rows = [(row["what"], row["value"], row["detail"]) for row in report.headlines()]
    show_table(("what", "value", "of what"), rows, title=report.title)
    say(f"report: {', '.join(map(str, written))}")
