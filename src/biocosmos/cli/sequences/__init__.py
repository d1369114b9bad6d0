"""sequences: pictures in sequence: how hard they are to track, and how good tracks are."""

from __future__ import annotations

from types import ModuleType

import typer

from biocosmos.cli.sequences import difficulty, evaluate

VERBS: tuple[ModuleType, ...] = (difficulty, evaluate)
"""A file each, in the order of the work."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this folder."""
    what = (
        "Pictures in sequence, as nights of a camera trap: how hard it is to follow their individuals, and how well it was done."
    )
    sequences = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    for verb in VERBS:
        verb.register(sequences)
    app.add_typer(sequences, name="sequences", help=what)
