"""How a function becomes a verb."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer


def add(app: typer.Typer, *functions: Callable[..., Any]) -> None:
    """Register functions as verbs; a paragraph of a docstring is one paragraph of help, however its lines are broken."""
    for function in functions:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        app.command(help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(function)
