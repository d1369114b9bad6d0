"""Rows of a report's tables as a page reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biocosmos.evaluate.pages.svg import percent

Row = dict[str, Any]
ENOUGH = 5
"""Queries a taxon needs to be named among the best and worst."""
EXTREMES = 8
"""Taxa shown at either end."""


def pick(rows: Sequence[Row], **where: Any) -> Row | None:
    """The first row whose columns equal ``where``."""
    return next((row for row in rows if all(row[name] == value for name, value in where.items())), None)


def interval(row: Mapping[str, Any] | None) -> str:
    """ "71.3 % (66.8 % to 75.8 %)"."""
    if row is None or row["value"] is None:
        return "–"
    return percent(row["value"]) + (f" ({ends(row)})" if ends(row) else "")


def ends(row: Mapping[str, Any]) -> str:
    """ "66.8 % to 75.8 %", "" where there is no interval."""
    low = row["low"]
    return "" if low is None or low != low else f"{percent(low)} to {percent(row['high'])}"


def main_target(able: Mapping[str, Row]) -> str:
    """The finest rank that at least half of the queries have; the first target if there is none."""
    good = [name for name, row in able.items() if row["kind"] == "rank" and row["queries"] and row["asked"] >= row["queries"] / 2]
    return good[-1] if good else next(iter(able))
