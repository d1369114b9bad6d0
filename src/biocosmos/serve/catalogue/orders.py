"""The order in which a view shows its specimens, and where in it a specimen stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue import days
from biocosmos.serve.catalogue.masks import Plugs
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.view import View

Int32 = npt.NDArray[np.int32]
DESCENDING = ("novelty", "likeness")
"""Sorts that begin with the largest: the most novel, the most alike. Confidence begins with the least sure."""


@dataclass(frozen=True)
class Order:
    """rows: (n,) int32, all specimens in their order, None for that of storage; place: (n,) int32, where each row stands."""

    rows: Int32 | None
    place: Int32 | None

    def sorted(self, mask: npt.NDArray[np.bool_] | None, count: int) -> Int32:
        """Rows of the mask (of all ``count`` for None), in order."""
        if self.rows is None:
            return np.arange(count, dtype=np.int32) if mask is None else np.flatnonzero(mask).astype(np.int32)
        return self.rows if mask is None else self.rows[mask[self.rows]]

    def after(self, rows: Int32, row: int) -> int:
        """The first place in ``rows``, which are in this order, that comes after ``row``, whether or not it is among them."""
        low, high = 0, len(rows)
        limit = row if self.place is None else int(self.place[row])
        while low < high:
            middle = (low + high) // 2
            at = int(rows[middle]) if self.place is None else int(self.place[rows[middle]])
            low, high = (middle + 1, high) if at <= limit else (low, middle)
        return low


def order_of(moment: Moment, plugs: Plugs, view: View) -> Order:
    """The order of a view; specimens that lack what is sorted by come last, equals as they are stored."""
    if view.sort == "stored" and not view.reverse:
        return Order(None, None)
    key = ("order", view.sort, view.reverse, view.like, plugs.version("like") if view.like else None, id(moment.answers))
    return moment.stored.orders.get(key, lambda: _made(moment, plugs, view))


def _made(moment: Moment, plugs: Plugs, view: View) -> Order:
    rows: npt.NDArray[Any]
    if view.sort == "stored":
        rows = np.arange(len(moment), dtype=np.int32)[::-1]
    elif view.sort == "id":
        rows = moment.stored.id_order[::-1] if view.reverse else moment.stored.id_order
    else:
        values = _values(moment, plugs, view)
        if (view.sort in DESCENDING) != view.reverse:
            values = -values
        rows = np.argsort(values, kind="stable")  # NaN is last either way
    ordered: Int32 = np.ascontiguousarray(rows, np.int32)
    place = np.empty(len(ordered), np.int32)
    place[ordered] = np.arange(len(ordered), dtype=np.int32)
    return Order(ordered, place)


def _values(moment: Moment, plugs: Plugs, view: View) -> npt.NDArray[Any]:
    if view.sort == "likeness":
        return np.asarray(plugs.ask("like", view.like, len(moment)), np.float32)
    if view.sort == "date":
        first = moment.stored.days[0]
        return np.where(first == days.NONE, np.float32(np.nan), first.astype(np.float32))  # days are exact in float32
    return moment.confidence if view.sort == "confidence" else moment.novelty
