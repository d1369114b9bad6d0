"""Rows of a report's tables as a page reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def of_column(row: Mapping[str, Any], name: str, shown: Callable[[float], str] = percent) -> str:
    """As :func:`interval`, of the columns NAME, NAME_low and NAME_high; shown: a number in words."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None or value != value:
        return "–"
    return shown(value) + (f" ({shown(low)} to {shown(high)})" if low is not None and low == low else "")


def decimal(value: float | None) -> str:
    """0.0725 -> "0.073"; None and NaN -> an en dash."""
    return "–" if value is None or value != value else f"{value:.3f}"


def main_target(able: Mapping[str, Row]) -> str:
    """The finest rank that at least half of the queries have; the first target if there is none."""
    good = [name for name, row in able.items() if row["kind"] == "rank" and row["queries"] and row["asked"] >= row["queries"] / 2]
    return good[-1] if good else next(iter(able))
