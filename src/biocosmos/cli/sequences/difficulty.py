"""sequences difficulty: how hard nights are to track."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import OUTPUT, REPORT, STRICT
from biocosmos.cli.printing import failures_beside, finish, say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.difficulty.settings import DifficultySettings

SHOWN = ("sequence", "site", "ocom", "mcom", "vcom", "motcom", "boxes", "tracks", "density", "pairs")


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, difficulty)


@takes(DifficultySettings)
def difficulty(
    sequences: Annotated[
        list[Path],
        typer.Argument(help="MOTChallenge trees, other files with frames and tracks, or collections.", show_default=False),
    ],
    settings: DifficultySettings,
    output: OUTPUT = None,
    report: REPORT = None,
    strict: STRICT = False,
) -> None:
    """Measure how hard it is to follow the individuals of each sequence: occlusion, motion, looks, and MOTCOM, their mean.

    biocosmos sequences difficulty mot/ --report difficulty.html

    biocosmos sequences difficulty meadow/ forest/ --interval 60 -o nights.csv --report sites.html

    biocosmos sequences difficulty nights.cosmos --occlusion boxes -e efficientnet-lite0

    The figures of the public code: biocosmos sequences difficulty mot/ --mode release --vectors features.npz

    Individuals must be known: ground truth, or what 'biocosmos track' wrote. Kill it and run it again: it goes
    on where it was, with --report, -o or --work.
    """
    from biocosmos.errors import BiocosmosError, Failures
    from biocosmos.jobs.difficulty.sequences import measure_difficulty
    from biocosmos.outputs import place_of
    from biocosmos.tables import write_table

    report = None if report is None else place_of(report)
    if report is not None and report.is_dir():
        raise BiocosmosError(f"--report {report}: it is a folder; give the name of a file, such as difficulty.html")
    failures = Failures()
    found = measure_difficulty(settings, failures=failures, beside=report or output)
    rows = sorted(found.rows("sequences"), key=lambda row: (row["motcom"] is None, -(row["motcom"] or 0.0)))
    show_table(SHOWN, [tuple(row[name] for name in SHOWN) for row in rows], found.title)
    if output is not None:
        say(f"table: {write_table(found.table('sequences'), output, found.provenance)}")
    if report is not None:
        say(f"page: {found.html(report)}")
    finish(failures, len(rows), "sequences", table=failures_beside(output or report), strict=strict)
