"""tokens: vision transformers that compute with fewer tokens: what reductions keep and cost, and which to take."""

from __future__ import annotations

from types import ModuleType

import typer

from biocosmos.cli.tokens import dial, study

VERBS: tuple[ModuleType, ...] = (study, dial)
"""A file each, in the order of the work."""


def register(app: typer.Typer) -> None:
    """Add the verbs of this folder."""
    what = "Vision transformers that compute with fewer tokens: what each reduction keeps, costs and gains on your images."
    tokens = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=what)
    for verb in VERBS:
        verb.register(tokens)
    app.add_typer(tokens, name="tokens", help=what)
