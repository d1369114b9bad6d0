"""update, relabel, remove, merge, history, undo: what is in a collection, corrected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, STRICT
from biocosmos.cli.printing import counted, finish, say, show_arrow, tell_merger
from biocosmos.cli.verbs import add
from biocosmos.settings import SettingError
from biocosmos.specimens.care.settings import Chosen, MergeSettings, RelabelSettings, RemoveSettings, UpdateSettings

if TYPE_CHECKING:
    from biocosmos.errors import Failures
    from biocosmos.specimens.care.change import ChangeSummary

SHOWN = 12
"""Changed cells that are listed."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, update, relabel, remove, merge, history, undo)


@takes(UpdateSettings)
def update(
    collection: COLLECTION,
    settings: UpdateSettings,
    table: Annotated[
        Path | None, typer.Argument(help="CSV, TSV or Parquet with a column id and what is to change.", show_default=False)
    ] = None,
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Correct labels and fields of specimens that are there, by id.

    biocosmos update mine.cosmos corrections.csv --dry-run

    biocosmos update mine.cosmos corrections.csv --column id=Barcode --column label=Determination

    biocosmos update mine.cosmos --taxonomy tree.csv

    Blank cells leave a value alone; a new column is added. A label brings its ranks along. Vectors stay, but for specimens
    whose image or crop changes: 'biocosmos embed' makes those anew. With -o every changed cell is written as a table.
    """
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    summary = opened.update(table, **settings.updating())
    _tell_cells(summary, collection, output, dry_run=settings.dry_run)
    finish(summary.failures, summary.specimens + summary.unchanged, "rows", strict=strict)


@takes(RelabelSettings)
def relabel(
    collection: COLLECTION,
    settings: RelabelSettings,
    old: Annotated[
        str | None, typer.Argument(help="The taxon: Copepoda, class:Copepoda, Plantae/Morus.", show_default=False)
    ] = None,
    new: Annotated[str | None, typer.Argument(help="What it is called from now on.", show_default=False)] = None,
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Rename a taxon, merge it with another, or split it.

    biocosmos relabel mine.cosmos copepod_calanoid "Calanus finmarchicus"

    biocosmos relabel mine.cosmos genus:Stegomyia Aedes --dry-run

    biocosmos relabel mine.cosmos Aedes Ochlerotatus --where "latitude > 60"

    biocosmos relabel mine.cosmos --from renames.csv

    A new name that is there already is joined, with its ranks. Labels that say the old name follow; vectors stay. A table of
    old and new names is applied at once, one of id and new splits a taxon.
    """
    from biocosmos.errors import Failures
    from biocosmos.specimens.collection import Collection

    failures = Failures()
    opened = Collection.open(collection)
    how = {**settings.selected(), **settings.changing(), "ids": _ids(settings, failures)}
    summary = opened.relabel(old, new, table=settings.table, columns=settings.columns(), **how)
    _tell_cells(summary, collection, output, dry_run=settings.dry_run)
    failures.extend(summary.failures)
    finish(failures, summary.specimens, "renames", strict=strict)


@takes(RemoveSettings)
def remove(collection: COLLECTION, settings: RemoveSettings, strict: STRICT = False) -> None:
    """Take specimens out of a collection, with their vectors and packed images.

    biocosmos remove mine.cosmos --where "label = 'detritus_blob'" --dry-run

    biocosmos remove mine.cosmos --ids bad.txt --yes

    Image files are left where they lie. 'biocosmos undo mine.cosmos' brings the specimens back.
    """
    from biocosmos.errors import Failures
    from biocosmos.specimens.collection import Collection

    failures = Failures()
    opened = Collection.open(collection)
    asked = _ids(settings, failures)
    how = {**settings.selected(), **settings.changing()}
    if not settings.yes or settings.dry_run:
        would = opened.remove(asked, **{**how, "dry_run": True})
        assert would.ids is not None
        names = ", ".join(would.ids[:SHOWN].to_pylist()) + (
            f" and {len(would.ids) - SHOWN:,} more" if len(would.ids) > SHOWN else ""
        )
        say(f"{collection}: {counted(would.specimens, 'specimen')} of {len(opened):,} would be removed: {names}")
        for note in would.notes:
            say(f"  {note}")
        if settings.dry_run:
            failures.extend(would.failures)
            finish(failures, would.specimens, "ids", strict=strict)
            return
        if would.entry is None:
            _ask("remove them?")
    summary = opened.remove(asked, **how)
    failures.extend(summary.failures)
    say(f"{collection}: {counted(summary.specimens, 'specimen')} removed, {len(opened):,} left")
    for note in summary.notes:
        say(f"  {note}")
    _tell_undo(summary, collection)
    finish(failures, summary.specimens, "ids", strict=strict)


@takes(MergeSettings)
def merge(
    collections: Annotated[list[Path], typer.Argument(help="Folders of collections.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new collection.", show_default=False)],
    settings: MergeSettings,
    strict: STRICT = False,
) -> None:
    """Put collections together into a new one.

    biocosmos merge north.cosmos south.cosmos -o all.cosmos

    biocosmos merge north.cosmos south.cosmos -o all.cosmos --id-prefix south.cosmos=south-

    Packed images stay, vectors of the same encoders too, and specimens are in the part of a split that they were in. The same
    specimen in two collections stands once. Kill it and run it again: it goes on. To add to a collection that is there, use
    'biocosmos ingest other.cosmos -o mine.cosmos'.
    """
    from biocosmos.specimens.collection import Collection

    whole, summary = Collection.merged(collections, output, id_prefix=settings.prefixes(), by=settings.by, note=settings.note)
    tell_merger(" + ".join(map(str, collections)), summary)
    finish(summary.failures, summary.added + summary.known, "specimens", strict=strict)
    say(f"{output}: {len(whole):,} specimens")


def history(collection: COLLECTION, output: OUTPUT = None) -> None:
    """List what was changed in a collection, by whom and when.

    biocosmos history mine.cosmos

    biocosmos history mine.cosmos -o history.csv
    """
    from biocosmos.specimens.care.undo import history_table
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    table = history_table(Collection.open(collection))
    if output is None:
        show_arrow(table)
    else:
        write_table(table, output)
        say(f"{output}: {counted(table.num_rows, 'change')}")


def undo(
    collection: COLLECTION,
    number: Annotated[
        int | None, typer.Argument(help="Of the change, as history lists it; the last one.", show_default=False)
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who undoes it.", show_default=False)] = None,
) -> None:
    """Write back a change: what was corrected, removed or merged is as it was.

    biocosmos undo mine.cosmos

    biocosmos undo mine.cosmos 3

    To undo an undo is to do the change again. A change that a later one builds on is not undone before that one.
    """
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    summary = opened.undo(number, by=by)
    assert summary.entry is not None
    undone = next(entry for entry in opened.history() if entry.number == summary.entry.undoes)
    say(f"{collection}: {undone.verb} of {undone.time} by {undone.by} undone ({_what(summary)})")
    for note in summary.notes:
        say(f"  {note}")


def _ids(settings: Chosen, failures: Failures) -> list[str] | None:
    """The ids that were given one by one and in a file; None where there were none."""
    from biocosmos.specimens.care.corrections import read_ids

    if not settings.id and settings.ids is None:
        return None
    return [*settings.id, *(read_ids(settings.ids, failures) if settings.ids is not None else [])]


def _tell_cells(summary: ChangeSummary, collection: Path, output: Path | None, *, dry_run: bool) -> None:
    """Say what changed, or would change; list the first cells, and write all where it was asked for."""
    from biocosmos.specimens.care.cells import LONG
    from biocosmos.tables import write_tables

    kept = f", {counted(summary.unchanged, 'cell')} so already" if summary.unchanged else ""
    if dry_run:
        first = next(iter(summary.changes()), None)
        if first is not None:
            shown = first.slice(0, SHOWN)
            show_arrow(shown)
            if summary.cells > len(shown):
                say(f"and {summary.cells - len(shown):,} more ({output or '-o FILE'} has all)")
    say(f"{collection}: {'would change: ' if dry_run else ''}{_what(summary)}{kept}")
    for column, count in summary.columns.items():
        say(f"  {column}: {counted(count, 'cell')}")
    for note in summary.notes:
        say(f"  {note}")
    if summary.vectors:
        anew = f"make the vectors anew with biocosmos embed {collection}"
        say(f"  {counted(summary.vectors, 'specimen')} with another image, crop or barcode: {anew}")
    if output is not None:
        write_tables(summary.changes(), LONG, output)
        say(f"{output}: {counted(summary.cells, 'changed cell')}")
    _tell_undo(summary, collection)


def _what(summary: ChangeSummary) -> str:
    cells = f", {counted(summary.cells, 'cell')}" if summary.columns else ""
    return f"{counted(summary.specimens, 'specimen')}{cells}"


def _tell_undo(summary: ChangeSummary, collection: Path) -> None:
    if summary.entry is not None:
        say(f"this is change {summary.entry.number}; to take it back: biocosmos undo {collection} {summary.entry.number}")


def _ask(question: str) -> None:
    """Go on only after a yes. Raises SettingError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise SettingError("nothing was done: say --yes to do it, or --dry-run to see what it would do")
    if not typer.confirm(question, err=True):
        say("nothing was done")
        raise typer.Exit(1)
