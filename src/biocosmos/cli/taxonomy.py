"""taxa: list the names a collection knows, look names up in a checklist, move to a new release of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from biocosmos.cli.options import COLLECTION, OUTPUT, STRICT, WITHIN
from biocosmos.cli.printing import counted, failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add

CHECKLIST = Annotated[
    Path,
    typer.Option(
        help="ColDP, GBIF backbone, WoRMS export or a table of id, parent, rank and name: a file, zip or folder.",
        show_default=False,
    ),
]
COLUMN = Annotated[
    list[str] | None,
    typer.Option(
        help="A column of the checklist, ours=theirs: --column parent_id=Eltern; ours are id, parent_id, accepted_id, name, "
        "authorship, rank, status.",
        show_default=False,
    ),
]
SHOWN_COLUMNS = ("name", "status", "match", "accepted", "candidates", "reason")


class _ListByDefault(TyperGroup):
    """``biocosmos taxa mine.cosmos`` is ``biocosmos taxa list mine.cosmos``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "The taxa of a collection: list them, look names up in a checklist."
    taxa = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what, cls=_ListByDefault)
    add(taxa, list_taxa, name="list")
    add(taxa, check, update)
    app.add_typer(taxa, name="taxa")


def list_taxa(
    collection: COLLECTION,
    rank: Annotated[str | None, typer.Option(help="Only taxa of this rank.", show_default=False)] = None,
    within: WITHIN = None,
    output: OUTPUT = None,
) -> None:
    """List the taxa of a collection with their specimens; the word list may be left out.

    biocosmos taxa list mine.cosmos --rank family

    biocosmos taxa mine.cosmos --within Copepoda -o copepods.csv

    The CSV can be cut down and given to 'biocosmos identify --taxa'.
    """
    from biocosmos.specimens.census import count_taxa
    from biocosmos.specimens.collection import Collection
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    table = count_taxa(opened, rank=rank, within=within)
    if output is None:
        show_arrow(table, title=f"{table.num_rows:,} taxa of {opened.path}")
    else:
        write_table(table, output)
        say(f"{output}: {table.num_rows:,} taxa")


def check(
    names: Annotated[Path, typer.Argument(help="A collection, or a file of names: one a line, or a table.", show_default=False)],
    checklist: CHECKLIST,
    column: COLUMN = None,
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Look names up in a checklist: matched, synonym, ambiguous or unknown, with candidates and the reason.

    biocosmos taxa check mine.cosmos --checklist WoRMS/ -o names.csv

    biocosmos taxa check names.txt --checklist backbone.zip

    A name counts only where it is spelt as in the list, and one taxon alone fits; what is only spelt alike is a candidate.
    A table of names may have columns authorship, rank, kingdom, family ...: they tell homonyms apart.
    """
    from biocosmos.jobs.check_names import check_names
    from biocosmos.specimens.settings import renamed_columns
    from biocosmos.tables import write_table

    done = check_names(names, checklist, columns=renamed_columns(column))
    if output is None:
        show_arrow(done.table, SHOWN_COLUMNS, title=f"{done.table.num_rows:,} names in {checklist}")
    else:
        facts = {"checklist": str(checklist), "checklist_sha256": done.digest, "names": str(names)}
        write_table(done.table, output, facts)
    counts = ", ".join(f"{count:,} {status}" for status, count in done.counts.items())
    say(f"{output or names}: {done.table.num_rows:,} names: {counts}")
    finish(done.failures, done.table.num_rows, "rows", table=failures_beside(output), strict=strict)


def update(
    collection: COLLECTION,
    checklist: CHECKLIST,
    column: COLUMN = None,
    review: Annotated[
        Path | None, typer.Option(help="The table of an earlier run, edited: its column use decides.", show_default=False)
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Change the collection; without it only say what would change.")] = False,
    by: Annotated[str | None, typer.Option(help="Who makes the change.", show_default=False)] = None,
    note: Annotated[str | None, typer.Option(help="Why.", show_default=False)] = None,
    output: OUTPUT = None,
    strict: STRICT = False,
) -> None:
    """Bring a collection to a new release of a checklist: synonyms are renamed, taxa that moved move, the rest is reviewed.

    biocosmos taxa update mine.cosmos --checklist coldp-2026.zip -o review.csv

    biocosmos taxa update mine.cosmos --checklist coldp-2026.zip --review review.csv --apply --by Ada

    Splits, lumps, ambiguous and unknown names stay as they are until the column use of the review table says what they become: an
    id or a name of the checklist. Blank, also where it was filled, is: leave it. One change, taken back with biocosmos undo.
    """
    from biocosmos.jobs.update_taxa import COLUMNS, update_taxa
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.settings import renamed_columns
    from biocosmos.tables import write_table

    opened = Collection.open(collection)
    done = update_taxa(opened, checklist, columns=renamed_columns(column), review=review, apply=apply, by=by, note=note)
    if output is None:
        show_arrow(done.review, list(COLUMNS), title=f"taxa of {opened.path}")
    else:
        write_table(done.review, output)
    say(f"{output or opened.path}: {', '.join(f'{count:,} {action}' for action, count in done.counts.items())}")
    changed = f"{counted(done.change.specimens, 'specimen')}, {counted(done.change.cells, 'cell')}"
    say(f"{opened.path}: {changed} {'changed' if apply else 'would change: --apply changes them'}")
    if done.change.entry is not None:
        say(f"take it back: biocosmos undo {opened.path} {done.change.entry.number}")
    done.failures.extend(done.change.failures)
    finish(done.failures, done.review.num_rows, "rows", table=failures_beside(output), strict=strict)
