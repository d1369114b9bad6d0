"""sequences: pictures in sequence: how good tracks are, and how hard sequences."""

from __future__ import annotations

from types import ModuleType

import typer

from biocosmos.cli.sequences import evaluate

VERBS: tuple[ModuleType, ...] = (evaluate,)
"""A file each, in the order of the work."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this folder."""
    what = "Pictures in sequence: how good the tracks of individuals are."
    sequences = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)

    @sequences.callback()
    def _group() -> None:
        """Keeps the name of a verb that is alone in the group."""

    for verb in VERBS:
        verb.register(sequences)
    app.add_typer(sequences, name="sequences", help=what)
