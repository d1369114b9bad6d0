"""evaluate: a report on embeddings and on whatever names, on one split, or a comparison of several."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, REPORT, REPORT_FOLDER, TABLES
from biocosmos.cli.printing import say
from biocosmos.cli.reports import report_places, write_report
from biocosmos.cli.verbs import add
from biocosmos.jobs.evaluate_settings import EvaluateSettings


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
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    folder, page = report_places(output, report, tables)
    found = evaluate_collection(opened, settings, output=folder)
    say(write_report(found, folder, page, tables, opened.picture_bytes))
