"""identify: names for images, as far down the tree as they can be trusted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import refuse, takes
from biocosmos.cli.options import ANY_COLLECTION, ASKED, OUTPUT, STRICT
from biocosmos.cli.printing import failures_beside, finish, say, show_arrow
from biocosmos.cli.verbs import add
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_there
from biocosmos.jobs.identify_settings import IdentifySettings, asks_tool, check_asked

SHOWN = ("id", "taxon", "rank", "confidence", "best_guess", "best_guess_confidence", "novel", "set")


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, identify)


@takes(IdentifySettings)
def identify(
    collection: ANY_COLLECTION,
    settings: IdentifySettings,
    images: ASKED = None,
    output: OUTPUT = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="A page that shows, for some answers, the specimen, the nearest known ones, where their vote splits, and with a "
            "head a heat map.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the names with the collection too; nothing is overwritten.")] = False,
    strict: STRICT = False,
) -> None:
    """Name images, or DNA barcodes, with the labelled specimens of a collection.

    biocosmos identify mine.cosmos new/*.jpg -o names.csv

    biocosmos identify mine.cosmos night1/ --within Insecta --error-rate 0.02 -o names.parquet --report names.html

    biocosmos identify plankton.cosmos images/ --head run/ --error-rate 0.05 -o ids.csv

    biocosmos identify mine.cosmos camera/ --watch -o names.csv

    biocosmos identify coi.cosmos unknown.fasta -o names.csv --report names.html

    biocosmos identify coi.cosmos unknown.fasta --method sintax -o sintax.csv

    Every row has the path, or the id of the sequence, it was asked with, the answer at the lowest rank that can be trusted, a
    name and a confidence at every rank, how novel it looks, and the specimens that support it. Of the answers at most 10 % are
    wrong, with a probability of 90 %, unless --error-rate, --promise or --threshold say otherwise. Kill it and run it again: it
    goes on where it was.
    """
    _check(settings, images or (), output, report, save)
    if settings.watch:
        _watch(collection, settings, images or (), output, strict)
        return
    if asks_tool(settings):
        _by_tool(collection, settings, images or (), output, save, strict)
        return
    from biocosmos.jobs.identify import explain, identifying
    from biocosmos.jobs.who_names import answers_attributes_alone
    from biocosmos.specimens.collection import Collection

    if save and settings.head is not None and answers_attributes_alone(settings.head):
        refuse("save", "with a head that names at ranks, and this one answers attributes alone: write a table with --output")
    opened = Collection.open(collection)
    with identifying(opened, settings, images=images or (), output=output, evidence=report is not None, say=say) as done:
        if output is None:
            from biocosmos.identify.summary import without_empty

            table = without_empty(done.table)
            show_arrow(table, [name for name in SHOWN if name in table.column_names])
        first, *rest = done.summary.lines()
        if done.had is not None:
            first += f"; added to {done.had:,} names"
        for line in (first if output is None else f"{output}: {first}", *rest, done.describe()):
            say(line)
        for note in done.notes:
            say(f"note: {note}")
        if report is not None:
            page, pictures = explain(done, opened, seed=settings.seed)
            say(f"report: {page.html(report, thumbnails=pictures)}")
        if save:
            say(f"kept in {done.kept_with(opened)}")
    there = done.summary.specimens + (done.had or 0)
    finish(done.failures, there, "images, sequences or listed taxa", table=failures_beside(output), strict=strict, written=True)


def _by_tool(
    collection: Path, settings: IdentifySettings, files: Sequence[Path], output: Path | None, save: bool, strict: bool
) -> None:
    from biocosmos.jobs.other_tools import named_by_tool
    from biocosmos.specimens.collection import Collection

    opened = Collection.open(collection)
    with named_by_tool(opened, settings, files=files, output=output, say=say) as done:
        if output is None:
            table = done.table
            show_arrow(table, [name for name in SHOWN if name in table.column_names])
        first, *rest = done.summary.lines()
        for line in (first if output is None else f"{output}: {first}", *rest, done.described):
            say(line)
        for note in done.notes:
            say(f"note: {note}")
        if save:
            say(f"kept in {done.kept_with(opened)}")
    finish(done.failures, done.summary.specimens, "sequences", table=failures_beside(output), strict=strict, written=True)


def _watch(collection: Path, settings: IdentifySettings, images: Sequence[Path], output: Path | None, strict: bool) -> None:
    from biocosmos.jobs.watch import watch
    from biocosmos.specimens.collection import Collection

    assert output is not None
    done = watch(Collection.open(collection), settings, images=images, output=output, say=say)
    say(f"{output}: {done.named:,} images named while it was watched, {done.there:,} in all")
    finish(
        done.failures, done.there, "images, sequences or listed taxa", table=failures_beside(output), strict=strict, written=True
    )
    if done.interrupted:
        raise KeyboardInterrupt


def _check(settings: IdentifySettings, images: Sequence[Path], output: Path | None, report: Path | None, save: bool) -> None:
    """Refuse what cannot be, before anything heavy is imported."""
    check_asked(settings, bool(images), output)
    if images and not settings.watch and not any(os.path.lexists(path) for path in images):
        _nothing_there(images, output)
    if asks_tool(settings) and report is not None:
        refuse("report", "with a method of our own, which says what it stands on")
    for name, given in (("report", report), ("save", save)):
        if settings.watch and given:
            refuse(name, "without --watch, which ends when you end it")


def _nothing_there(images: Sequence[Path], output: Path | None) -> None:
    """Say so, and list them beside the output where it is not there yet."""
    from biocosmos.jobs.listing import listed

    failures = Failures()
    try:
        listed(images, failures)
    except BiocosmosError:
        beside = failures_beside(output)
        if output is not None and beside is not None and not is_there(output):
            from biocosmos.tables import write_table

            write_table(failures.table(), beside)
        raise
