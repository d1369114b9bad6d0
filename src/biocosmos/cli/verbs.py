"""How a function becomes a verb."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer


def add(app: typer.Typer, *functions: Callable[..., Any], name: str | None = None) -> None:
    """Register functions as verbs, of their own names or of one given.

    A paragraph of a docstring is one paragraph of help, however its lines are broken.
    """
    for function in functions:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(function)
