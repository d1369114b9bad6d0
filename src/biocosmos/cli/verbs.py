"""How a function becomes a verb."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from biocosmos.errors import BiocosmosError

_FROM_STORE = re.compile(r"LanceError|/rust/lance|specimens\.lance")
"""In what Lance says, which raises errors of Python's and of Arrow's own kinds."""


def add(app: typer.Typer, *functions: Callable[..., Any], name: str | None = None) -> None:
    """Register functions as verbs, of their own names or of one given.

    A paragraph of a docstring is one paragraph of help, however its lines are broken.
    """
    for function in functions:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(_telling_damage(function))


def _telling_damage(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb; where the store of its collection cannot be read, wherever it was come upon, that is said in our words."""

    @wraps(verb)
    def run(*arguments: Any, **given: Any) -> Any:
        try:
            return verb(*arguments, **given)
        except Exception as error:
            collection = given.get("collection")
            if isinstance(error, BiocosmosError) or not isinstance(collection, Path) or not _FROM_STORE.search(str(error)):
                raise
            from biocosmos.specimens.damage import reading_error

            raise reading_error(collection, error) from error

    return run
