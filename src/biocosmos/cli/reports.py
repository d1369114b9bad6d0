"""Reports of verbs that judge: where they go, and their headlines for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from biocosmos.cli.printing import show_table

if TYPE_CHECKING:
    from biocosmos.evaluate import Report
    from biocosmos.evaluate.pages.pictures import Thumbnails

FOLDER = Path("report")


def report_places(output: Path | None, page: Path | None, tables: str | None) -> tuple[Path | None, Path | None]:
    """The folder and the page that --output and --report name, the folder of their help where neither does.

    What may not be written to is refused, before any work is done.
    """
    from biocosmos.outputs import place_of

    page = None if page is None else place_of(page)
    folder = FOLDER if output is None and page is None else output
    if tables is not None and folder is None:
        raise typer.BadParameter("tables are written into a folder: name one with -o", param_hint="--tables")
    if folder is not None:
        place_of(folder)
    return folder, page


def write_report(
    report: Report, folder: Path | None, page: Path | None, tables: str | None, thumbnails: Thumbnails | None = None
) -> str:
    """The report in ``folder``, the page at ``page``, and the headlines for people. Returns what was written, for people too."""
    written = [] if folder is None else [report.write(folder, thumbnails=thumbnails, tables=tables)]
    written += [] if page is None else [report.html(page, thumbnails=thumbnails)]
    show_headlines(report)
    return f"report: {', '.join(map(str, written))}"


def show_headlines(report: Report) -> None:
    """What a report comes to, as a table."""
    rows = [(row["what"], row["value"], row["detail"]) for row in report.headlines()]
    show_table(("what", "value", "of what"), rows, title=report.title)
