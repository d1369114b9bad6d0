"""doctor, check: whether this machine, and a collection, are well."""

from __future__ import annotations

import json as encoding
from typing import Annotated

import typer

from biocosmos.cli.options import COLLECTION
from biocosmos.cli.printing import say, show_table
from biocosmos.cli.verbs import add


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, doctor, check)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON, to be sent with a question.")] = False,
) -> None:
    """Say what this machine has: processor, GPU, packages, weights, and how fast each way to compute is here.

    biocosmos doctor

    biocosmos doctor --json > machine.json

    The ways to compute are timed where they were not before, which takes some seconds; exit code 1 if something does not work.
    """
    from biocosmos.jobs.doctor import examine, report

    if json:
        found = report()
        print(encoding.dumps(found, indent=1))
        raise typer.Exit(1 if found["broken"] else 0)
    findings = examine()
    show_table(("about", "what", "found"), [(each.section, each.what, each.value) for each in findings])
    broken = [each for each in findings if not each.well]
    for each in broken:
        say(f"{each.section} does not work: {each.value}")
    raise typer.Exit(1 if broken else 0)


def check(collection: COLLECTION) -> None:
    """Look at every file of a collection and say which are damaged, and what to do; exit code 1 if one is.

    biocosmos check mine.cosmos

    All data is read once and compared with the checksums that were kept when it was written.
    """
    from biocosmos.specimens.checking import check as look

    found = look(collection)
    show_table(("what", "well", "found"), [(each.what, "yes" if each.well else "NO", each.said) for each in found])
    broken = [each for each in found if not each.well]
    for each in broken:
        say(f"{each.what}: {each.said}")
    raise typer.Exit(1 if broken else 0)
