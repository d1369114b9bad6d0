"""A view: which specimens, and in which order. It is what stands behind the question mark of an address."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal, cast, get_args
from urllib.parse import parse_qsl, quote, urlencode

from biocosmos.errors import BiocosmosError

State = Literal["unlabelled", "predicted", "dubious", "validated"]
Sort = Literal["stored", "novelty", "confidence", "date", "likeness", "id"]
STATES: tuple[State, ...] = get_args(State)
"""Codes of ``Catalogue.states`` are places in it."""
SORTS: tuple[Sort, ...] = get_args(Sort)
COLUMN = "is."
"""``is.group=copepod``: the column "group" holds "copepod"; an empty value is null or blank."""
COMPANIONS = frozenset(("after", "count", "node", "id", "k", "v", "token"))
"""Parameters of the API that stand beside a view."""
EDGE = 65535
"""Units of a region along each side of the projection."""
MOST_CORNERS, LONGEST = 2000, 20_000
_ORDINARY = ("taxon", "part", "state", "words", "box", "from", "to", "tag", "cluster", "region", "like", "sort", "reverse")
_DAY = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_UNKNOWN = "an address cannot say"


@dataclass(frozen=True)
class View:
    """One selection of specimens and its order; equal views have one address. Made canonical when it is made.

    taxon: a name the taxonomy finds ("Copepoda", "class:Copepoda", "Animalia/Arthropoda"), itself and all below. part: "train" of
    the default split, or "openworld:novel". states: any of these; none stands for all. words: each occurs in the id, or in a name
    or synonym on the way to the taxon; accent- and case-blind. box: west, south, east, north in degrees, west > east across 180°.
    dates: first and last, each a year, month or day; what is dated less exactly must lie within as a whole. tags: all of these.
    columns: (column, value) pairs; of one column any, of several all; "" stands for null and blank. region: corners of a polygon
    on the latest projection, 0..65535. like: the id that the likeness is to.
    """

    taxon: str | None = None
    part: str | None = None
    states: tuple[State, ...] = ()
    words: str = ""
    box: tuple[float, float, float, float] | None = None
    dates: tuple[str | None, str | None] = (None, None)
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    region: tuple[tuple[int, int], ...] | None = None
    like: str | None = None
    sort: Sort = "stored"
    reverse: bool = False

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("taxon", "part", "cluster"):
            put(name, _text(name, getattr(self, name)).strip() or None)
        put("like", _text("like", self.like) or None)  # an id may begin or end with a blank
        put("words", " ".join(_text("words", self.words).split()))
        for state in self.states:
            _one_of("state", state, STATES)
        put("states", tuple(state for state in STATES if state in self.states) if len({*self.states}) < len(STATES) else ())
        put("tags", tuple(sorted({_text("tag", tag).strip() for tag in self.tags})))
        put(
            "columns",
            tuple(sorted({(_text("column", name).strip(), _text(name, value).strip()) for name, value in self.columns})),
        )
        put("box", None if self.box is None else _box(self.box))
        put("dates", tuple(_day(name, text) for name, text in zip(("from", "to"), self.dates, strict=True)))
        put("region", None if self.region is None else _region(self.region))
        if self.like is not None and self.sort == "stored":
            put("sort", "likeness")
        _one_of("sort", self.sort, SORTS)
        if (self.like is None) != (self.sort != "likeness"):
            raise BiocosmosError("a view sorted by likeness says to what: give like=ID with sort=likeness, or neither")

    @classmethod
    def parse(cls, params: Any, also: Collection[str] = ()) -> View:
        """The view of an address: its query as text, pairs, or a (multi-)mapping. An empty value is as if it were not there.

        also: further parameters that are somebody else's, beside :data:`COMPANIONS`. Raises BiocosmosError, which names the
        parameter, for one that is unknown, given twice where once is meant, or malformed.
        """
        given: dict[str, list[str]] = {}
        columns: list[tuple[str, str]] = []
        for name, value in _pairs(params):
            if name.startswith(COLUMN) and len(name) > len(COLUMN):
                columns.append((name.removeprefix(COLUMN), value))
            elif name in _ORDINARY:
                given.setdefault(name, []).extend([value] if value else [])
            elif name not in COMPANIONS and name not in also:
                known = ", ".join((*_ORDINARY, f"{COLUMN}COLUMN"))
                raise BiocosmosError(f"{_UNKNOWN} '{name[:80]}': a view has {known}")
        for name, values in given.items():
            if len(values) > 1 and name not in ("state", "tag"):
                raise BiocosmosError(f"the address gives '{name}' {len(values)} times: once is enough")

        def one(name: str) -> str | None:
            return next(iter(given.get(name, ())), None)

        box, region, reverse = one("box"), one("region"), one("reverse")
        if reverse not in (None, "0", "1"):
            raise BiocosmosError(f"reverse is 1 or is left out, not {reverse[:40]!r}")
        corners = None if region is None else _numbers("region", region)
        if corners is not None and len(corners) % 2:
            raise BiocosmosError("region is x,y of each corner, one after another: a number is missing")
        return cls(
            taxon=one("taxon"),
            part=one("part"),
            states=tuple(cast(State, state) for text in given.get("state", ()) for state in text.split(",")),
            words=one("words") or "",
            box=None if box is None else cast("tuple[float, float, float, float]", tuple(_numbers("box", box))),
            dates=(one("from"), one("to")),
            tags=tuple(given.get("tag", ())),
            cluster=one("cluster"),
            columns=tuple(columns),
            region=None if corners is None else tuple(zip(corners[::2], corners[1::2])),  # type: ignore[arg-type]
            like=one("like"),
            sort=cast(Sort, one("sort") or "stored"),
            reverse=reverse == "1",
        )

    def pairs(self) -> list[tuple[str, str]]:
        """What :meth:`query` encodes, in a fixed order; what is as by default is left out."""
        pairs: list[tuple[str, str | None]] = [("taxon", self.taxon), ("part", self.part)]
        pairs += [("state", state) for state in self.states]
        pairs.append(("words", self.words))
        pairs.append(("box", self.box and ",".join(map(_short, self.box))))
        pairs += [("from", self.dates[0]), ("to", self.dates[1])]
        pairs += [("tag", tag) for tag in self.tags]
        pairs.append(("cluster", self.cluster))
        columns = [(f"{COLUMN}{name}", value) for name, value in self.columns]
        region = None if self.region is None else ",".join(f"{x},{y}" for x, y in self.region)
        last = [("region", region), ("like", self.like), ("sort", None if self.sort == "stored" else self.sort)]
        kept = [(name, value) for name, value in pairs if value]
        kept += columns
        kept += [(name, value) for name, value in last if value]
        return kept + [("reverse", "1")] * self.reverse

    def query(self) -> str:
        """The canonical address: ``View.parse(view.query()) == view``, and equal views have the same; "" for all specimens."""
        return urlencode(self.pairs(), quote_via=quote, safe="/:,")

    def __str__(self) -> str:
        return self.query()

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the fields that leave specimens out."""
        order = ("like", "sort", "reverse")
        return tuple(each.name for each in fields(self) if each.name not in order and getattr(self, each.name) != each.default)


def _pairs(params: Any) -> Iterable[tuple[str, str]]:
    if isinstance(params, str):
        return parse_qsl(params.removeprefix("?"), keep_blank_values=True, max_num_fields=1000)
    if hasattr(params, "multi_items"):
        return cast("list[tuple[str, str]]", params.multi_items())
    if isinstance(params, Mapping):
        return [(name, each) for name, said in params.items() for each in ([said] if isinstance(said, str) else said)]
    return cast("Iterable[tuple[str, str]]", params)


def _text(name: str, value: str | None) -> str:
    value = value or ""
    if len(value) > LONGEST:
        raise BiocosmosError(f"'{name[:80]}' is {len(value):,} letters long: at most {LONGEST:,}")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BiocosmosError(f"'{name[:80]}' holds a letter that no text has")
    return value


def _one_of(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise BiocosmosError(f"no {name} {value[:80]!r}: it is one of {', '.join(choices)}")


def _numbers(name: str, text: str) -> list[float]:
    parts = text.split(",", 2 * MOST_CORNERS + 1)
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise BiocosmosError(f"{name} is numbers with commas between, not {text[:80]!r}") from None
    if not all(map(math.isfinite, numbers)):
        raise BiocosmosError(f"{name} holds a number that is not finite: {text[:80]!r}")
    return numbers


def _box(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    if len(box) != 4:
        raise BiocosmosError(f"box is west,south,east,north, not {len(box)} numbers")
    west, south, east, north = (float(number) + 0.0 for number in box)
    if not (-90 <= south <= north <= 90):
        raise BiocosmosError(f"box has latitudes from {_short(south)} to {_short(north)}: -90 <= south <= north <= 90")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise BiocosmosError(f"box has longitudes {_short(west)} and {_short(east)}: each from -180 to 180")
    return west, south, east, north


def _region(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[int, int], ...]:
    if not 3 <= len(corners) <= MOST_CORNERS:
        raise BiocosmosError(f"region has {len(corners):,} corners: from 3 to {MOST_CORNERS:,}")
    if any(not 0 <= number <= EDGE or number != int(number) for corner in corners for number in corner):
        raise BiocosmosError(f"region has corners outside the map: whole numbers from 0 to {EDGE}")
    return tuple((int(x), int(y)) for x, y in corners)


def _day(name: str, text: str | None) -> str | None:
    if not text:
        return None
    if span_of_day(text) is None:
        raise BiocosmosError(f"{name} is a year, month or day as 2019, 2019-05 or 2019-05-31, not {text[:40]!r}")
    return text


def span_of_day(text: str) -> tuple[date, date] | None:
    """First and last day of a year, a month or a day, written as ISO 8601; None for anything else.

    >>> span_of_day("2019-02")
    (datetime.date(2019, 2, 1), datetime.date(2019, 2, 28))
    """
    found = _DAY.fullmatch(text)
    if found is None or not text.isascii():
        return None
    year, month, day = (None if part is None else int(part) for part in found.groups())
    assert year is not None
    try:
        first = date(year, month or 1, day or 1)
        if day is not None:
            return first, first
        last_month = month or 12
        return first, date(year, last_month, _days_in(year, last_month))
    except ValueError:
        return None


def _days_in(year: int, month: int) -> int:
    return 31 if month == 12 else (date(year, month + 1, 1) - date(year, month, 1)).days


def _short(number: float) -> str:
    """The shortest text that reads as this number."""
    return str(int(number)) if number == int(number) else repr(number)
