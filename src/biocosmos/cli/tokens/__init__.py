"""tokens: vision transformers that compute with fewer tokens: what reductions keep and cost."""

from __future__ import annotations

from types import ModuleType

import typer

from biocosmos.cli.tokens import study

VERBS: tuple[ModuleType, ...] = (study,)
"""A file each, in the order of the work."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this folder."""
    what = "Vision transformers that compute with fewer tokens: what each reduction keeps, costs and gains on your images."
    tokens = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    tokens.callback()(_nothing)  # a group of one verb is a group all the same
    for verb in VERBS:
        verb.register(tokens)
    app.add_typer(tokens, name="tokens", help=what)


def _nothing() -> None:
    pass
