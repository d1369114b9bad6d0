"""Which specimens a view leaves: a mask for each of its filters, kept for as long as nothing that it stands on has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import days
from biocosmos.serve.catalogue.parts import Parts
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.synonyms import synonyms_of
from biocosmos.serve.catalogue.taxa import resolve
from biocosmos.serve.catalogue.view import STATES, View, span_of_day
from biocosmos.serve.catalogue.words import fold, fold_all

Bool = npt.NDArray[np.bool_]
Kind = Literal["tag", "cluster", "region", "like"]
_OF_LABELS = ("taxon", "states", "words")
"""Filters whose answer changes when a person names something."""


class Plugs:
    """What other rooms know of specimens: a callable for each kind, asked for one value of a view.

    "tag", "cluster", "region": value -> (n,) bool or rows; "like": id -> (n,) float32 likeness, NaN where there is none.
    """

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Callable[[Any], Any], Callable[[], Hashable]]] = {}
        self._lock = threading.Lock()
        self.wait: Callable[[], None] = lambda: None
        """Called for a kind that nobody answers, who may still come."""

    def register(self, kind: Kind, ask: Callable[[Any], Any], version: Callable[[], Hashable] | None = None) -> None:
        """version: something that is another whenever an answer may be; without it every question is asked anew."""
        if kind not in get_args(Kind):
            raise ValueError(f"no filter '{kind}': {', '.join(get_args(Kind))}")
        with self._lock:
            self._asked[kind] = (ask, version or object)

    def ask(self, kind: Kind, value: Any, count: int) -> npt.NDArray[Any]:
        """The answer, as a mask or as numbers of all ``count`` specimens. Raises BiocosmosError where nobody knows the kind."""
        if not self._is_known(kind):
            raise BiocosmosError(f"this view asks for a {kind}, and there is none here: leave it out")
        said = np.asarray(self._asked[kind][0](value))
        if kind == "like" or said.dtype == bool:
            if len(said) != count:  # the collection grew between two questions
                raise BiocosmosError(f"the {kind} is that of another version of the collection: load the page again")
            return said
        mask = np.zeros(count, bool)
        mask[said[(said >= 0) & (said < count)]] = True
        return mask

    def version(self, kind: Kind) -> Hashable:
        return self._asked[kind][1]() if self._is_known(kind) else None

    def _is_known(self, kind: Kind) -> bool:
        if kind not in self._asked:
            self.wait()
        return kind in self._asked


def mask_of(moment: Moment, plugs: Plugs, parts: Parts, view: View, without: Iterable[str] = ()) -> Bool | None:
    """(n,) which specimens the view leaves, not looking at the filters ``without``; None for all."""
    found: Bool | None = None
    for name in view.filters:
        if name not in without:
            each = _filter(moment, plugs, parts, name, getattr(view, name))
            found = each if found is None else found & each
    return found


def _filter(moment: Moment, plugs: Plugs, parts: Parts, name: str, value: Any) -> Bool:
    if name == "tags":
        return np.asarray(np.logical_and.reduce([_plugged(moment, plugs, "tag", tag) for tag in value]))
    if name in ("cluster", "region"):
        return _plugged(moment, plugs, cast(Kind, name), value)
    if name == "part":
        codes, code = parts.of(moment.stored, value)
        return _kept(moment, (name, value, id(codes)), lambda: codes == code)
    return _kept(moment, (name, value), lambda: _MAKE[name](moment, value), labels=name in _OF_LABELS)


def _plugged(moment: Moment, plugs: Plugs, kind: Kind, value: Any) -> Bool:
    return _kept(moment, (kind, value, plugs.version(kind)), lambda: plugs.ask(kind, value, len(moment)))


def _kept(moment: Moment, key: Hashable, make: Callable[[], Bool], *, labels: bool = False) -> Bool:
    def frozen() -> Bool:
        mask = make()
        mask.setflags(write=False)
        return mask

    return (moment.kept if labels else moment.stored.masks).get(key, frozen)


def _taxon(moment: Moment, taxon: str) -> Bool:
    node = resolve(moment.taxonomy, taxon)
    end = int(moment.taxonomy.end[node])
    return np.asarray((moment.nodes >= node) & (moment.nodes < end))


def _states(moment: Moment, states: tuple[str, ...]) -> Bool:
    return np.asarray(np.array([state in states for state in STATES])[moment.states])


def _box(moment: Moment, box: tuple[float, float, float, float]) -> Bool:
    west, south, east, north = (np.float32(edge) for edge in box)
    latitude, longitude = moment.stored.latitude, moment.stored.longitude
    east_of, west_of = longitude >= west, longitude <= east
    across = east_of & west_of if west <= east else east_of | west_of
    return np.asarray(across & (latitude >= south) & (latitude <= north))


def _dates(moment: Moment, dates: tuple[str | None, str | None]) -> Bool:
    first, last = (None if text is None else span_of_day(text) for text in dates)
    first_day, last_day = moment.stored.days
    mask: Bool = np.asarray(first_day != days.NONE)
    if first is not None:
        mask &= first_day >= days.day_number(first[0])
    if last is not None:
        mask &= last_day <= days.day_number(last[1])
    return mask


def _columns(moment: Moment, columns: tuple[tuple[str, str], ...]) -> Bool:
    mask = np.ones(len(moment), bool)
    for name in dict.fromkeys(name for name, _ in columns):
        column = moment.stored.column(name)
        codes = [column.code(value) for each, value in columns if each == name]
        mask &= np.logical_or.reduce([column.codes == code for code in codes])
    return mask


def _words(moment: Moment, words: str) -> Bool:
    """Every word occurs in the id, or in a name or synonym on the way from the root."""
    tree = moment.taxonomy
    names = tree_names(moment)
    texts, nodes, _ = synonyms_of(moment)
    mask = np.ones(len(moment), bool)
    for word in fold(words).split():
        hit = _has(names, word)
        hit[nodes[_has(texts, word)]] = True
        hit[0] = False  # "Life" is no name that anybody gave
        begins = np.zeros(len(tree) + 1, np.int32)
        found = np.flatnonzero(hit)
        np.add.at(begins, found, 1)
        np.add.at(begins, tree.end[found], -1)
        below = np.cumsum(begins[:-1]) > 0
        ids = _ids_with(moment, word)
        mask &= below[moment.nodes] | ids
    return mask


def _ids_with(moment: Moment, word: str) -> Bool:
    return _kept(moment, ("id has", word), lambda: _has(moment.stored.folded_ids, word))


def tree_names(moment: Moment) -> pa.Array:
    """Folded names of the nodes."""
    return moment.stored.of_tree(moment.taxonomy, "names", lambda: fold_all(moment.taxonomy.name_array))


def _has(texts: pa.Array, word: str) -> Bool:
    found: Bool = pc.fill_null(pc.match_substring(texts, word), False).to_numpy(zero_copy_only=False)
    return found.copy()


_MAKE: dict[str, Callable[[Moment, Any], Bool]] = {
    "taxon": _taxon,
    "states": _states,
    "box": _box,
    "dates": _dates,
    "columns": _columns,
    "words": _words,
}
