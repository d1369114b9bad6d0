"""Which code may run: what a person types may, what a file names may not.

The folder of a model, a collection or a file of settings often comes from somebody else, and is data. Where one names an encoder
that is Python code, loading it is refused, with the code that would run, unless that was allowed:

    biocosmos embed mine.cosmos --encoder theirs/ --allow-code
    load_encoder("theirs/", allow_code=True)
    with allowing_code(): ...                      # everything that is loaded within
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.plugins import plug_ins

PYTHON = "python"
"""Before the colon of an encoder that is a callable of the user's: python:package.module:name."""
_ALL = None
_ALLOWED: ContextVar[frozenset[str] | None] = ContextVar("allowed code", default=frozenset())


@contextmanager
def allowing_code(names: Iterable[str] | None = None) -> Iterator[None]:
    """Within it, files may name code to run: the encoders ``names`` alone, or any if None."""
    before = _ALLOWED.get()
    token = _ALLOWED.set(_ALL if names is None or before is _ALL else before | frozenset(names))
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def code_of(name: str) -> str | None:
    """The code that loading the encoder ``name`` would run, in words; None where it is data."""
    kind, colon, place = name.partition(":")
    if kind == PYTHON and colon:
        module, _, call = place.partition(":")
        return f"import the Python module '{module}' and call its '{call}'"
    plug_in = plug_ins("encoders").get(kind)
    return None if plug_in is None else f"run {plug_in.entry.value} of the package {plug_in.package}"


def refuse_code(name: str, named_by: str | Path) -> None:
    """Raise BiocosmosError if the encoder ``name``, which the file or folder ``named_by`` names, is code that may not run."""
    allowed = _ALLOWED.get()
    if allowed is _ALL or name in allowed:
        return
    if (code := code_of(name)) is not None:
        raise BiocosmosError(
            f"{named_by} names the encoder '{name}', which would {code}: nothing was run; if you trust who made it, "
            "say --allow-code (from Python allow_code=True)"
        )


__all__ = ["allowing_code", "code_of", "refuse_code"]
