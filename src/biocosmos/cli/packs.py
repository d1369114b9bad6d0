"""pack: what a collection has learnt, in one file or folder that others name by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.options import COLLECTION, STRICT
from biocosmos.cli.printing import finish, say, show_table, size
from biocosmos.cli.verbs import add
from biocosmos.jobs.packs.settings import BuildSettings

PACK = Annotated[Path, typer.Argument(help="NAME.pack or NAME.zip.", show_default=False)]
NEW = Annotated[Path, typer.Option("--output", "-o", help="NAME.pack, a folder, or NAME.zip.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    what = "Hand on what a collection has learnt: packs that others name by."
    pack = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    add(pack, build, verify)
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
    facts = made.facts
    parts = ", ".join(f"{name} {size(count)}" for name, count in sorted(made.sizes.items(), key=lambda part: -part[1])[:4])
    say(f"{output}: {facts['specimens']:,} specimens of {facts['classes']:,} classes, {facts['licence']}; {parts}")
    if recall := made.recall:
        say(
            f"vectors as {facts['vectors']['kind']}: recall@1 {recall['recall@1']:.4f} -> {recall['recall@1 kept']:.4f} "
            f"(loss {recall['loss']:.4f}) for {recall['asked']:,} specimens, the nearest is the same for {recall['same']:.2%}"
        )
    say(f"Next: biocosmos pack verify {output}")
    finish(failures, facts["specimens"], "pictures", strict=strict)


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
