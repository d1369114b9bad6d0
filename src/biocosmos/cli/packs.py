"""pack: what a collection has learnt, in one file or folder that others name by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, OUTPUT, STRICT
from biocosmos.cli.printing import counted, failures_beside, finish, say, show_table, size
from biocosmos.cli.verbs import add
from biocosmos.jobs.packs.settings import BuildSettings, JoinSettings

if TYPE_CHECKING:
    from biocosmos.jobs.packs.content import Written

SHOWN = 20
"""Differences that are listed."""
PACK = Annotated[Path, typer.Argument(help="NAME.pack or NAME.zip.", show_default=False)]
NEW = Annotated[Path, typer.Option("--output", "-o", help="NAME.pack, a folder, or NAME.zip.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "Hand on what a collection has learnt: packs that others name by."
    pack = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(pack, build, verify, merge, diff)
    app.add_typer(pack, name="pack")


@takes(BuildSettings)
def build(collection: COLLECTION, output: NEW, settings: BuildSettings, strict: STRICT = False) -> None:
    """Make a pack of a collection: classes, vectors, who names, tests, checksums, a card for the Hugging Face hub.

    biocosmos pack build mine.cosmos -o flowers.pack --licence cc-by-4.0

    biocosmos pack build mine.cosmos -e run/ --weights -o flowers.zip --licence cc0-1.0 --vectors int8 --thumbnails 96

    biocosmos pack build mine.cosmos -o rare.pack --licence cc-by-4.0 --vectors none --least 5

    Nothing of this machine is in it, and no picture unless --thumbnails asks. What keeping the vectors smaller costs in recall is
    measured, printed and written down. Equal input gives equal bytes.
    """
    from biocosmos.errors import Failures
    from biocosmos.jobs.packs.build import build_pack
    from biocosmos.specimens.collection import Collection

    failures = Failures()
    made = build_pack(Collection.open(collection), output, settings, failures)
    _tell(output, made)
    say(f"Next: biocosmos pack verify {output}")
    finish(failures, made.facts["specimens"], "pictures", strict=strict)


def verify(pack: PACK) -> None:
    """Check every file of a pack, read all of it, and ask it what it was asked when it was made.

    biocosmos pack verify flowers.pack
    """
    from biocosmos.jobs.packs.verify import verify_pack

    done = verify_pack(pack)
    show_table((str(pack), ""), done.rows)
    for line in done.differing:
        say(line)
    if done.differing:
        say(f"{pack} answers otherwise here than where it was made: another version of biocosmos or of a library may be why")
        raise typer.Exit(1)


@takes(JoinSettings)
def merge(
    packs: Annotated[list[Path], typer.Argument(help="Two packs or more.", show_default=False)],
    output: NEW,
    settings: JoinSettings,
    strict: STRICT = False,
) -> None:
    """Join packs of one encoder; every row keeps the pack it comes from, and who names is fitted on all of them.

    biocosmos pack merge north.pack south.pack -o both.pack

    biocosmos pack merge a.pack b.zip c.pack -o all.zip --licence cc-by-4.0 --vectors int8

    A specimen that two packs have under one id, with one vector, is kept once; another specimen of an id that is taken gets its
    pack's name before it; two ids with one vector are told and kept. All are listed beside the pack, in NAME.failures.csv.
    """
    from biocosmos.errors import Failures
    from biocosmos.jobs.packs.merge import merge_packs

    failures = Failures()
    done = merge_packs(packs, output, settings, failures)
    _tell(output, done.written)
    if done.repeated or done.renamed or done.alike:
        say(
            f"{counted(done.repeated, 'specimen')} in two packs, kept once; {done.renamed:,} of an id that was taken; "
            f"{done.alike:,} with the vector of another id"
        )
    say(f"Next: biocosmos pack verify {output}")
    beside = failures_beside(output.with_suffix(".csv"))
    finish(failures, done.written.facts["specimens"], "specimens", table=beside, strict=strict)


def diff(
    first: PACK,
    second: PACK,
    output: OUTPUT = None,
) -> None:
    """Compare two packs: taxa and specimens gained and lost, and how both name the same vectors.

    biocosmos pack diff flowers-2025.pack flowers-2026.pack

    biocosmos pack diff flowers-2025.pack flowers-2026.pack -o changes.csv
    """
    from biocosmos.jobs.packs.diff import CHANGED, GAINED, LOST, SPECIMEN, TAXON, diff_packs

    found = diff_packs(first, second)
    table = found.table()
    if output is not None:
        from biocosmos.tables import write_table

        write_table(table, output)
        say(f"{output}: {counted(len(table), 'difference')}")
    else:
        show_table(("what", "name", "how", "before", "after"), found.rows[:SHOWN])
        if len(found.rows) > SHOWN:
            say(f"and {len(found.rows) - SHOWN:,} more differences: all of them with -o changes.csv")
    for what, several in ((TAXON, "taxa"), (SPECIMEN, "specimens")):
        told = ", ".join(
            f"{found.count(what, how):,} {how}" for how in (GAINED, LOST, CHANGED) if what == SPECIMEN or how != CHANGED
        )
        say(f"{several}: {told}")
    if found.measured:
        show_table(("on the shared tests", str(first), str(second)), found.measured)
    for note in found.notes:
        say(f"note: {note}")


def _tell(output: Path, made: Written) -> None:
    """What was written, and what it lost."""
    facts = made.facts
    parts = ", ".join(f"{name} {size(count)}" for name, count in sorted(made.sizes.items(), key=lambda part: -part[1])[:4])
    say(f"{output}: {facts['specimens']:,} specimens of {facts['classes']:,} classes, {facts['licence']}; {parts}")
    if recall := made.recall:
        say(
            f"vectors as {facts['vectors']['kind']}: recall@1 {recall['recall@1']:.4f} -> {recall['recall@1 kept']:.4f} "
            f"(loss {recall['loss']:.4f}) for {recall['asked']:,} specimens, the nearest is the same for {recall['same']:.2%}"
        )
