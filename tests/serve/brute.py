"""What views mean, written out row by row: the oracle of the catalogue's tests."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

import biocosmos as bc
from biocosmos.serve.catalogue import STATES, View
from biocosmos.specimens.records import Source

RANKS = ("kingdom", "class", "genus")
Row = dict[str, Any]


def collection_of(path: Path, rows: Sequence[Mapping[str, Any]], ranks: Sequence[str] = RANKS) -> bc.Collection:
    """A collection of these rows; what a row does not say is null."""
    collection = bc.Collection.create(path)
    if rows:
        names = list(dict.fromkeys(["id", *ranks, *(name for row in rows for name in row)]))
        numbers = ("latitude", "longitude")
        kinds = {name: pa.float64() if name in numbers else pa.string() for name in names}
        columns = {name: pa.array([row.get(name) for row in rows], kinds[name]) for name in names}
        collection.add(Source("rows", "rows", pa.table(columns).to_batches(), tuple(ranks)))
    return collection


def plain(text: str) -> str:
    """Without accents and letter case."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold().split())


def path_of(row: Row, ranks: Sequence[str] = RANKS) -> list[tuple[str, str]]:
    """(rank, name) of the ranks that a row has, coarsest first."""
    return [(rank, row[rank]) for rank in ranks if row.get(rank)]


def span(text: str | None) -> tuple[date, date] | None:
    """First and last day of 2019, 2019-05 or 2019-05-31, also with a time behind it."""
    if not text:
        return None
    parts = [int(part) for part in text[:10].split("-")]
    first = date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
    if len(parts) == 3:
        return first, first
    after = date(first.year + 1, 1, 1) if len(parts) == 1 or first.month == 12 else date(first.year, first.month + 1, 1)
    return first, after - timedelta(days=1)


def leaves(view: View, row: Row) -> bool:
    """Whether a view leaves this row. ``row``: as it is stored, and "state", "part"; a taxon of the view is rank:name."""
    if view.taxon is not None and tuple(view.taxon.split(":", 1)) not in path_of(row):
        return False
    if view.states and row["state"] not in view.states:
        return False
    if view.part is not None and row["part"] != view.part:
        return False
    texts = [plain(row["id"]), *(plain(name) for _, name in path_of(row))]
    if any(not any(word in text for text in texts) for word in plain(view.words).split()):
        return False
    if view.box is not None:
        west, south, east, north = view.box
        x, y = row.get("longitude"), row.get("latitude")
        if x is None or y is None or not south <= y <= north:
            return False
        if not (west <= x <= east if west <= east else x >= west or x <= east):
            return False
    first, last = (span(day) for day in view.dates)
    days = span(row.get("date"))
    if (first or last) and days is None:
        return False
    if (first and days[0] < first[0]) or (last and days[1] > last[1]):
        return False
    wanted: dict[str, set[str]] = {}
    for name, value in view.columns:
        wanted.setdefault(name, set()).add(value)
    return all((row.get(name) or "").strip() in values for name, values in wanted.items())


def ids_of(view: View, rows: Iterable[Row]) -> list[str]:
    """Ids of a view that is as stored, by id, or by date, in its order."""
    found = [row for row in rows if leaves(view, row)]
    if view.sort == "stored":
        return [row["id"] for row in (found[::-1] if view.reverse else found)]
    if view.sort == "id":
        return sorted((row["id"] for row in found), key=str.encode, reverse=view.reverse)
    days = {row["id"]: span(row.get("date")) for row in found}
    dated = [row["id"] for row in found if days[row["id"]]]
    sign = -1 if view.reverse else 1
    dated.sort(key=lambda id_: sign * days[id_][0].toordinal())  # stable: equals stay as they are stored
    return dated + [row["id"] for row in found if not days[row["id"]]]


def state_of(row: Row) -> str:
    """The state of a row that nobody but its source said anything of."""
    return STATES[3] if path_of(row) else STATES[0]
