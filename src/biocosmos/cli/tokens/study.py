"""tokens study: reductions of tokens side by side."""

from __future__ import annotations

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, REPORT
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.tokens.settings import TokensStudySettings


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    add(app, study)


@takes(TokensStudySettings)
def study(
    collection: COLLECTION,
    settings: TokensStudySettings,
    output: OUTPUT = None,
    report: REPORT = None,
) -> None:
    """Measure reductions of a vision transformer's tokens on your images: right answers, speed, and what each keeps.

    biocosmos tokens study mine.cosmos -e run/ --report tokens.html

    biocosmos tokens study mine.cosmos -e run/ --methods topk,tome,atc --keep 0.5,0.7 --limit 500 -o tokens.csv

    Encoders that were trained with a reduction, beside the dense one: biocosmos tokens study mine.cosmos -e run,run-atc,run-topk

    Kill it and run it again: it goes on. Nothing is written into the collection's columns.
    """
    from biocosmos.jobs.tokens.study import study_tokens
    from biocosmos.outputs import place_of
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    report = None if report is None else place_of(report)
    opened = Collection.open(collection)
    found = study_tokens(opened, settings)
    columns = ("setting", "accuracy", "accuracy_low", "accuracy_high", "lost", "images_s", "speedup", "tokens", "cosine", "front")
    rows = [tuple(row[name] for name in columns) for row in found.rows("settings", status="measured")]
    show_table(
        ("setting", "right", "low", "high", "lost", "images/s", "speed-up", "tokens", "cosine", "front"), rows, found.title
    )
    for row in found.rows("settings", status="left out"):
        say(f"left out: {row['setting']}: {row['why']}")
    for row in found.headlines():
        say(f"{row['what']}: {row['value']} ({row['detail']})")
    if output is not None:
        say(f"table: {write_table(found.table('settings'), output, found.provenance)}")
    if report is not None:
        say(f"page: {found.html(report, thumbnails=opened.picture_bytes)}")
