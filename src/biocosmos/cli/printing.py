"""Tables and counts on standard output: rich on a terminal, plain tab-separated text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from biocosmos.errors import Failures
    from biocosmos.specimens.care.merge import MergeSummary

SHOWN_REASONS = 5


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print rows: a rich table with a title on a terminal, a header line and tab-separated cells in a pipe."""
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join(_plain(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    cells = [list(row) for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[i], (int, float)) or row[i] is None for row in cells)
        table.add_column(column, justify="right" if numeric else "left")
    for row in cells:
        table.add_row(*[Text(_pretty(cell)) for cell in row])
    Console().print(table)


def _plain(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell).replace("\t", " ").replace("\n", " ")


def _pretty(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def show_arrow(table: pa.Table, columns: Sequence[str] | None = None, title: str | None = None) -> None:
    """Print an Arrow table, or some of its columns."""
    names = list(columns or table.column_names)
    show_table(names, zip(*[table[name].to_pylist() for name in names]), title)


def say(line: str) -> None:
    """A line for people: to standard error, so that standard output stays a table."""
    print(line, file=sys.stderr)


def counted(number: int, noun: str) -> str:
    """ "1 epoch", "3 epochs", "3 boxes"."""
    several = "es" if noun.endswith("x") else "s"
    return f"{number:,} {noun}{'' if number == 1 else several}"


def size(number: int) -> str:
    """Bytes in the unit that shows them: "812 kB", "3.4 MB"."""
    unit, name = next(((each, name) for each, name in ((1e9, "GB"), (1e6, "MB")) if number >= each), (1e3, "kB"))
    return f"{number / unit:,.1f} {name}"


def trained(output: Path, collection: Path, result: Any) -> None:
    """Say what a training did, how fast, and what it could not read. result: of any recipe."""
    h = result.history
    if result.already_done:
        say(f"{output} was trained already; --overwrite begins anew")
    else:
        early = ", stopped early since the validation no longer improved" if h.stopped_early else ""
        speed = f"{h.seconds:,.0f} s, {h.images_per_second:,.0f} specimens/s"
        say(f"{output}: trained {counted(len(h.epochs), 'epoch')}, {counted(h.steps, 'step')}, in {speed}{early}")
    if unread := result.failures.errors:
        say(f"{counted(unread, 'image')} could not be read: biocosmos failures {collection}")
    if warned := result.failures.warnings:
        say(f"{counted(warned, 'warning')}, kept with the collection: biocosmos failures {collection}")


def tell_merger(source: object, summary: MergeSummary) -> None:
    """Say what was taken over from a collection, and what was not."""
    known = f", {summary.known:,} were there already" if summary.known else ""
    say(f"{source}: {summary.added:,} specimens added{known}")
    for name, count in summary.vectors.items():
        say(f"  {count:,} vectors of '{name}' were kept")
    for note in summary.notes:
        say(f"  {note}")


def finish(
    failures: Failures, done: int, what: str, *, table: Path | None = None, strict: bool = False, written: bool = False
) -> None:
    """End a command: say how many items failed and why, write them as a table, and choose the exit code.

    Exit code 1 when nothing could be done, or when something failed and ``strict``. written: the job wrote the table itself.
    """
    if len(failures):
        where = ""
        if table is not None:
            if not written:
                from biocosmos.tables import write_table

                write_table(failures.table(), table)
            where = f", all in {table}"
        failed = _one_of(what) if failures.errors == 1 else what
        say(f"{failures.errors:,} {failed} failed, {counted(failures.warnings, 'warning')}{where}; the most frequent reasons:")
        for reason, count in failures.reasons()[:SHOWN_REASONS]:
            say(f"  {count:,} x {reason}")
    elif table is not None and not written:
        _forget(table)
    if (failures.errors and done == 0) or (failures.errors and strict):
        raise typer.Exit(1)


def _one_of(what: str) -> str:
    """The singular of what failed: a row, a box."""
    return what.removesuffix("es" if what.endswith("xes") else "s")


def _forget(table: Path) -> None:
    """Remove the failures of an earlier run, which are not those of this one; a file of somebody else's stays."""
    from biocosmos.errors import Failures

    try:
        with table.open(encoding="utf-8") as file:
            is_ours = file.readline().strip() == ",".join(f'"{name}"' for name in Failures().table().column_names)
        if is_ours:
            table.unlink()
    except (OSError, UnicodeDecodeError):
        pass


def failures_beside(output: Path | None) -> Path | None:
    """``names.csv`` has its failures in ``names.failures.csv``."""
    return None if output is None else output.with_name(f"{output.stem}.failures.csv")
