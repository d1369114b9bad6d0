"""demo: the main job on the shipped sample."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from biocosmos.cli.generated import takes
from biocosmos.cli.printing import show_table
from biocosmos.cli.verbs import add
from biocosmos.jobs.settings import DemoSettings


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    add(app, demo)


@takes(DemoSettings)
def demo(
    settings: DemoSettings,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all it makes.")] = Path("demo"),
) -> None:
    """Run the whole job on 1,996 real plankton images: collect, embed, identify, evaluate, report.

    biocosmos demo

    Needs no network and no server; takes under a minute on two cores. Open the report it names in a browser.
    """
    from biocosmos.jobs.demo import run

    result = run(output, settings)
    show_table(("what", "value"), result.findings, title="biocosmos demo")
    print(f"\nreport: {result.report}\nnames:  {result.identifications}\ncollection: {result.collection}")
    print(f"\nin the browser: {_typed()} serve {shlex.quote(str(result.collection))}")


def _typed() -> str:
    """The program as it can be typed here: by its name where the shell finds it, else as it was started."""
    found = shutil.which("biocosmos")
    started = Path(sys.argv[0])
    if started.name != "biocosmos":
        return "biocosmos" if found else "python -m biocosmos"
    return "biocosmos" if found and Path(found).resolve() == started.resolve() else shlex.quote(str(started))
