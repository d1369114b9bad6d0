"""An SQL condition that a person wrote: refused where it would bring the engine down, its faults told in words."""

from __future__ import annotations

import re
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.damage import library_says, reading_error

LONGEST = 1 << 20
MOST_OPERATORS, MOST_CASES, DEEPEST, LONGEST_TERM = 100, 8, 40, 200
"""The engine overflows its stack at some hundred sums in a row, and takes exponential time over CASE within CASE."""
SHOWN = 80
_ABOUT_FILES = re.compile(r"Not found|LanceError\(IO\)|No such file|corrupt|External error|failed to fill|decode", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`")


def check_condition(where: str) -> None:
    """Raises BiocosmosError for a condition that is too long or too deep to be taken apart."""
    if "\0" in where:
        raise BiocosmosError(f"cannot select where {shown(where)}: it holds a NUL")
    if not where.strip():
        raise BiocosmosError("cannot select where '': the condition is empty")
    bare = _QUOTED.sub("?", where)
    depth = deepest = least = 0
    for letter in bare:
        depth += (letter in "([") - (letter in ")]")
        deepest, least = max(deepest, depth), min(least, depth)
    if least < 0:  # the engine would leave out what follows
        raise BiocosmosError(f"cannot select where {shown(where)}: a bracket closes that none opened")
    terms = re.split(r"\b(?:and|or)\b|[(),]", bare, flags=re.IGNORECASE)
    fault = (
        "it is too long"
        if len(where) > LONGEST
        else f"its brackets are nested {deepest:,} deep"
        if deepest > DEEPEST
        else "it has too many operators"
        if len(re.findall(r"[-+*/%|&^~]", bare)) > MOST_OPERATORS
        or len(re.findall(r"\bcase\b", bare, re.IGNORECASE)) > MOST_CASES
        else "a term of it is too long"
        if max(len(term.split()) for term in terms) > LONGEST_TERM
        else None
    )
    if fault:
        raise BiocosmosError(f"cannot select where {shown(where)}: {fault}; add a column that says it, and select by that")


def select_error(path: Path, where: str | None, error: OSError | ValueError) -> BiocosmosError:
    """What went wrong while specimens were selected: the condition, or the files of the collection in ``path``."""
    if where is None or _ABOUT_FILES.search(str(error)):
        return reading_error(path, error)
    said = library_says(error)
    for cut in ("sql parser error: ", "Schema error: ", "Error during planning: "):
        said = said.rpartition(cut)[2]
    return BiocosmosError(f"cannot select where {shown(where)}: {said.rstrip(')') if '(' not in said else said}")


def shown(where: str) -> str:
    """A condition as a message quotes it."""
    return repr(where) if len(where) <= SHOWN else f"{where[:SHOWN]!r}..."
