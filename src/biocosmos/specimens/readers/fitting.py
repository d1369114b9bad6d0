"""What a collection can hold: names of columns, types and texts; everything else is renamed, converted or refused aloud."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.files import readable
from biocosmos.specimens.readers.columns import SOURCE_SUFFIX
from biocosmos.specimens.readers.encoding import has_surrogate
from biocosmos.specimens.records import ADDED_BY_COLLECTION, EMBEDDING_PREFIX, STANDARD

RESERVED = frozenset(
    {"_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version", "_distance", "_score", "*"}
)
"""What Lance calls columns of its own."""
MOST_LETTERS = 200
_UNFIT = re.compile(r"[.`\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EPOCH = datetime(1970, 1, 1)
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400


def fitting_name(name: str) -> str:
    """A column name that Lance and its filters take: without dots, backticks and control characters, not one of its own.

    >>> fitting_name("leaf.length"), fitting_name("_rowid"), fitting_name("leaf length")
    ('leaf_length', '_rowid_source', 'leaf length')
    """
    fit = _UNFIT.sub("_", name)[:MOST_LETTERS].strip() or "_"
    if fit.startswith(EMBEDDING_PREFIX):
        fit = fit.replace("/", "_", 1)
    return fit + SOURCE_SUFFIX if fit.lower() in RESERVED else fit


def fitting_names(names: Sequence[str]) -> dict[str, str]:
    """Name -> the name it is kept under; those that fit stay, those that do not make way for them.

    The columns that a collection fills in itself are renamed too, unless all of them are there: then it is one of our exports.
    """
    own = set() if set(ADDED_BY_COLLECTION) <= set(names) else set(ADDED_BY_COLLECTION)
    kept = {name: name for name in names if fitting_name(name) == name and name not in own}
    taken = {name.lower() for name in [*kept, *ADDED_BY_COLLECTION]}
    for name in names:
        if name in kept:
            continue
        fit = fitting_name(name)
        while fit.lower() in taken:
            fit += SOURCE_SUFFIX
        kept[name] = fit
        taken.add(fit.lower())
    return {name: kept[name] for name in names}


def fitting_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that values of ``kind`` are kept in: views, dictionaries and nanoseconds are undone; None if no type will do."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return fitting_type(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return fitting_type(kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us" if kind.unit == "ns" else kind.unit, _zone(kind))
    if types.is_time64(kind) or types.is_duration(kind):
        return pa.time64("us") if types.is_time64(kind) else pa.duration("us" if kind.unit == "ns" else kind.unit)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        value = fitting_type(kind.value_type)
        return None if value is None else pa.list_(value)
    if types.is_fixed_size_list(kind):
        value = fitting_type(kind.value_type)
        return None if value is None else pa.list_(value, kind.list_size)
    if types.is_struct(kind):
        inner = [(field.name, fitting_type(field.type)) for field in kind]
        return None if any(value is None for _, value in inner) or not inner else pa.struct(inner)
    if types.is_map(kind):
        pair = fitting_type(kind.key_type), fitting_type(kind.item_type)
        return None if None in pair else pa.map_(*pair)
    return None if types.is_union(kind) or types.is_interval(kind) else kind


def _zone(kind: pa.DataType) -> str | None:
    """The time zone of a type, UTC for one that this machine does not know."""
    try:
        pa.scalar(0, kind).as_py()
    except (pa.ArrowException, ValueError, KeyError, OSError):
        return "UTC"
    return str(kind.tz) if kind.tz is not None else None


def fitted(array: pa.Array, kind: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """(the values in the type ``kind``, row from 0 -> why its value was left out: no such moment in Python, no UTF-8)."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    bad: dict[int, str] = {}
    if pa.types.is_string(kind) and not pa.types.is_string_view(array.type):
        array, bad = _as_utf_8(array)
    if array.type != kind:
        array = _cast(array, kind)
    bounds = _bounds(kind)
    if bounds is None or not len(array):
        return array, bad
    low, high, whole = bounds
    numbers = array.cast(whole)
    outside = pc.fill_null(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)), False)
    rows = pc.indices_nonzero(outside).to_pylist()
    if not rows:
        return array, bad
    return pc.if_else(outside, pa.scalar(None, kind), array), dict.fromkeys(rows, "outside the years 1 to 9999")


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        cast = array.cast(kind, safe=False)
        cast.validate()  # Arrow 26 makes lists of views without their offsets
    except pa.ArrowException:
        return pa.array(array.to_pylist(), kind)
    return cast


def _as_utf_8(array: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Strings without those that are no UTF-8, which Parquet does not check."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raw = array.cast(pa.large_binary()).to_pylist()
        texts = [None if value is None else _decoded(value) for value in raw]
        bad = {i: "not valid UTF-8" for i, (text, value) in enumerate(zip(texts, raw)) if text is None and value is not None}
        return pa.array(texts, pa.string()), bad
    return array, {}


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _bounds(kind: pa.DataType) -> tuple[int, int, pa.DataType] | None:
    """(least, greatest, integer type) of what Python can say of a moment or a time span of this type."""
    first, last = datetime.min - _EPOCH, datetime.max - _EPOCH
    if pa.types.is_date32(kind):
        return first.days, last.days, pa.int32()
    if pa.types.is_date64(kind):
        return first.days * _DAY * 1000, last.days * _DAY * 1000, pa.int64()
    if pa.types.is_timestamp(kind):
        a_day = _DAY if kind.tz is not None else 0  # a zone moves the moment by hours
        unit = _UNITS[kind.unit]
        return int(first.total_seconds() + a_day) * unit, int(last.total_seconds() - a_day) * unit, pa.int64()
    if pa.types.is_duration(kind):
        most = min(int(timedelta.max.total_seconds()) * _UNITS[kind.unit], 2**63 - 1)
        return -most, most, pa.int64()
    return None


def as_text(values: Iterable[Any]) -> list[Any]:
    """Moments as ISO 8601 text, midnight as the day alone; other values as they are."""
    return [_iso(value) if hasattr(value, "isoformat") else value for value in values]


def _iso(value: Any) -> str:
    text = str(value.isoformat())
    return text.removesuffix("T00:00:00") if isinstance(value, datetime) else text


def is_scalar_text(kind: pa.DataType) -> bool:
    """Whether values of this type can be an id, a name, a label: no lists, structs, maps or bytes."""
    fit = fitting_type(kind)
    return fit is not None and not pa.types.is_nested(fit) and not pa.types.is_binary(fit) and not pa.types.is_large_binary(fit)


def unreadable(text: str) -> str | None:
    """Why a text cannot be stored, or None."""
    if "\0" in text:
        return "a NUL character, which no text has"
    return "half a character (a lone surrogate)" if has_surrogate(text) else None


def refuse_ranks(ranks: Iterable[str]) -> None:
    """Raise BiocosmosError for a rank whose name cannot be that of a column."""
    for rank in ranks:
        if fitting_name(rank) != rank or (rank in STANDARD and rank != "label") or rank in ADDED_BY_COLLECTION:
            raise BiocosmosError(f"a rank cannot be called {readable(rank)!r}: name its column otherwise with --column")
