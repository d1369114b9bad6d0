"""sequences evaluate: tracks of individuals against the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.options import REPORT, REPORT_FOLDER, TABLES
from biocosmos.cli.printing import finish, say
from biocosmos.cli.reports import report_places, write_report
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, evaluate)


def evaluate(
    truth: Annotated[
        Path,
        typer.Argument(
            help="True tracks: a MOTChallenge tree or its gt.txt, a collection, or any file with frames and tracks.",
            show_default=False,
        ),
    ],
    tracks: Annotated[
        list[Path],
        typer.Argument(
            help="Tracks to judge, in the same formats or as 'track --boxes' writes them; several trackers' too.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(help="Of the files on both sides, as for 'biocosmos ingest'; found from the path.", show_default=False),
    ] = None,
    output: REPORT_FOLDER = None,
    report: REPORT = None,
    tables: TABLES = None,
) -> None:
    """Judge tracks of individuals against the true ones: HOTA, IDF1, MOTA, switches, and how far the count is off.

    biocosmos sequences evaluate mot/ boxes.csv --report tracks.html

    biocosmos sequences evaluate night1/gt/gt.txt ours.txt theirs.txt -o report/

    Needs trackeval: pip install 'biocosmos[sequences]'. Sequences are told apart by their names, frames by their numbers. Where
    boxes have labels on both sides, each label is judged for itself too.
    """
    from biocosmos.jobs.evaluate_tracks import evaluate_tracks

    folder, page = report_places(output, report, tables)
    done = evaluate_tracks(truth, tracks, format=format)
    written = write_report(done.report, folder, page, tables)
    if done.failures.errors:
        finish(done.failures, done.boxes, "boxes", written=True)
    say(written)
