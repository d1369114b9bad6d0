"""A JSON of ours, read and checked against its shape before anything believes it.

    FACTS = {"format": 1, "digest": str, "size": Number(1, 8192, whole=True), "files": [FILE_NAME], "note?": (str, None)}
    facts = read_facts(folder / "facts.json", FACTS, what="the description of an encoder", remedy="restore it")

A file may be cut, garbled, of another version or from somebody with other plans: whatever is in it, what comes back has the
shape, or one BiocosmosError says which value of which file is wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from biocosmos.errors import BiocosmosError, first_line

MOST_BYTES = 1 << 28
"""Of one JSON: the ids of ten million specimens fit; Python needs about ten times as much memory to hold it."""
MOST_WHOLE = 1 << 63
"""Whole numbers stay below it, as in every table."""
_SHOWN = 60
_SURROGATE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


@dataclass(frozen=True)
class Number:
    """A finite number, or a whole one, in low..high."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False


@dataclass(frozen=True)
class Several:
    """A list of ``count`` things of one shape."""

    of: Any
    count: int


@dataclass(frozen=True)
class Named:
    """A shape that a function says: ``fits(value)``, in ``words``."""

    words: str
    fits: Any


def is_file_name(value: Any) -> bool:
    """Whether this names a file beside the one that says it: no folder, nothing that leads out."""
    plain = isinstance(value, str) and 0 < len(value.encode("utf-8", "replace")) < 256
    return plain and value not in (".", "..") and not set(value) & {"/", "\\", "\0", ":"}


FILE_NAME = Named("the plain name of a file", is_file_name)
Shape: TypeAlias = Any
"""``object``: anything; ``str bool int float None``; a text or number: itself; ``[shape]``: a list; ``(a, b)``: one of them;
``{"key": shape, "key?": shape}``: an object with these keys, those with ? optional, others let be; ``{str: shape}``: any keys;
:class:`Number`, :class:`Several`, :class:`Named`."""


def read_facts(path: str | Path, shape: Shape, *, what: str, remedy: str) -> dict[str, Any]:
    """The object in the JSON file ``path``. what: the file is meant to be; remedy: ends the message.

    Raises BiocosmosError, one line, if the file cannot be read or is not of this shape.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise OSError("it is missing" if not path.exists() else "it is no file")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than {MOST_BYTES:,}")
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise BiocosmosError(f"{path} is not {what} ({reason}): {remedy}") from error
    found: dict[str, Any] = parse_facts(text, shape, where=str(path), what=what, remedy=remedy)
    return found


def read_versioned(path: str | Path, shape: Shape, version: int, *, what: str, remedy: str) -> dict[str, Any]:
    """As :func:`read_facts`, of a file whose ``format`` says how the rest is to be read.

    Raises BiocosmosError for another format too, whatever else the file holds.
    """
    found = read_facts(path, {"format": object}, what=what, remedy=remedy)["format"]
    if found != version:
        raise BiocosmosError(f"{path} has format {str(found)[:40]}, this version of biocosmos reads {version}: update biocosmos")
    return read_facts(path, shape, what=what, remedy=remedy)


def parse_facts(text: bytes | str | None, shape: Shape, *, where: str, what: str, remedy: str) -> Any:
    """As :func:`read_facts`, of a text that stands in something else: the metadata of a table, a line of a file."""
    try:
        if text is None:
            raise ValueError("it says nothing")
        found = load_json(text)
    except ValueError as error:
        raise BiocosmosError(f"{where} is not {what} ({first_line(error)}): {remedy}") from error
    if fault := misfit(found, shape):
        raise BiocosmosError(f"{where} is not {what} ({fault}): {remedy}")
    return found


def load_json(text: bytes | str) -> Any:
    """What a JSON text says. Raises ValueError for anything else: nested too deep, endless numbers, text that is no text."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    try:
        found = json.loads(raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    if _SURROGATE.search(raw) and any(_no_text(each) for each in _texts(found)):
        raise ValueError("a text in it holds half a character or a NUL")
    return found


def misfit(value: Any, shape: Shape, at: str = "") -> str | None:
    """What keeps a value from being of a shape, in words that name the place; None if it is."""
    if shape is object:
        return None
    if isinstance(shape, tuple):
        faults = [misfit(value, each, at) for each in shape]
        if None in faults:
            return None
        alike = [fault for fault, each in zip(faults, shape) if isinstance(value, dict if isinstance(each, Mapping) else ())]
        return alike[0] if len(alike) == 1 else _wrong(at, " or ".join(map(words, shape)), value)
    if isinstance(shape, Mapping):
        return _misfit_object(value, shape, at)
    if isinstance(shape, (list, Several)):
        inner = shape[0] if isinstance(shape, list) else shape.of
        if not isinstance(value, list) or (isinstance(shape, Several) and len(value) != shape.count):
            return _wrong(at, words(shape), value)
        return next((fault for i, each in enumerate(value) if (fault := misfit(each, inner, f"{at}[{i}]"))), None)
    return None if _is(value, shape) else _wrong(at, words(shape), value)


def words(shape: Shape) -> str:
    """A shape in words."""
    if isinstance(shape, Number):
        kind = "a whole number" if shape.whole else "a number"
        low, high = (f"{bound:g}" for bound in (shape.low, shape.high))
        return kind + ("" if (low, high) == ("-inf", "inf") else f" from {low} on" if high == "inf" else f" in {low} to {high}")
    if isinstance(shape, Named):
        return shape.words
    if isinstance(shape, (list, Several)):
        return f"a list of {shape.count}" if isinstance(shape, Several) else "a list"
    if isinstance(shape, Mapping):
        return "an object"
    if not isinstance(shape, type):
        return "null" if shape is None else repr(shape)
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number"}[shape]


def _is(value: Any, shape: Shape) -> bool:
    if shape in (int, float):
        shape = Number(whole=shape is int)
    if isinstance(shape, Number):
        number = isinstance(value, int) or (isinstance(value, float) and not shape.whole and math.isfinite(value))
        return number and not isinstance(value, bool) and abs(value) < MOST_WHOLE and shape.low <= value <= shape.high
    if isinstance(shape, Named):
        return bool(shape.fits(value))
    if isinstance(shape, type):
        return isinstance(value, shape)
    return value is None if shape is None else type(value) is type(shape) and value == shape


def _misfit_object(value: Any, shape: Mapping[Any, Shape], at: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(at, "an object", value)
    if str in shape:
        return next((fault for key, each in value.items() if (fault := misfit(each, shape[str], f"{at}.{_short(key)}"))), None)
    for name, inner in shape.items():
        key = name.removesuffix("?")
        place = f"{at}.{key}" if at else key
        if key not in value:
            if key == name:
                return f"it does not say '{place}'"
        elif fault := misfit(value[key], inner, place):
            return fault
    return None


def _wrong(at: str, wanted: str, value: Any) -> str:
    shown = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else _short(value)
    place = f"'{at}'" if at else "it"
    return f"{place} must be {wanted}, not {shown}"


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except ValueError:
        text = "an endless number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _texts(value: Any) -> Iterator[str]:
    """Every text in a parsed JSON, keys too, without recursion."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one


def _no_text(text: str) -> bool:
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


__all__ = ["FILE_NAME", "Named", "Number", "Several", "is_file_name", "load_json", "misfit", "parse_facts", "read_facts"]
