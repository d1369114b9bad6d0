"""discover: what is in unlabelled images, what nobody has named, which names are wrong."""

from __future__ import annotations

from types import ModuleType

import typer

from biocosmos.cli.discovery import clusters, duplicates, labels, likeness, queue, unknowns

VERBS: tuple[ModuleType, ...] = (clusters, likeness, duplicates, labels, queue, unknowns)
"""A file each, in the order of the work."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this folder."""
    what = "What is in your images: clusters, duplicates, wrong labels, what to label next, species that nobody has named."
    discover = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    for verb in VERBS:
        verb.register(discover)
    app.add_typer(discover, name="discover")
