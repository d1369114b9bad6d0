"""All fields of a specimen, its way down the taxonomy, and its place in the view that it was opened from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from biocosmos.serve.catalogue import Catalogue, View
from biocosmos.serve.catalogue.cards import Card
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.taxa import address
from biocosmos.serve.catalogue.tree import way_to
from biocosmos.serve.specimen.barcode import Barcode
from biocosmos.serve.specimen.tiles import tiles
from biocosmos.specimens.records import ADDED_BY_COLLECTION

LONGEST = 20_000
"""Letters of a field that are shown."""
_PLACE, _SIZE = ("latitude", "longitude", "date"), ("width", "height")
_NOT_FIELDS = ("id", "image", "crop", *ADDED_BY_COLLECTION)


@dataclass(frozen=True)
class Field:
    """A field with a value. link: where the value is an address of the web, to be followed."""

    name: str
    value: str
    link: str | None = None


@dataclass(frozen=True)
class Step:
    """A taxon on the way to what the specimen is called. taxon: its address in a view."""

    rank: str
    name: str
    taxon: str


@dataclass(frozen=True)
class Place:
    """Where a specimen stands in a view. number: from 1, None where it is not in it (any more); previous, next: ids."""

    number: int | None
    total: int
    previous: str | None
    next: str | None


@dataclass(frozen=True)
class About:
    """tile: as in a grid; steps: its taxon, coarse to fine; fields: those with a value, as stored; empty: names of the others;
    width, height: of its whole image in pixels, None without one; crop: x, y, width, height of the part that it is, or None;
    place: in the view; latitude, longitude: degrees, None where unknown; confidence, novelty: of the latest answer kept;
    barcode: None without one."""

    tile: Card
    steps: tuple[Step, ...]
    fields: tuple[Field, ...]
    empty: tuple[str, ...]
    width: int | None
    height: int | None
    crop: tuple[float, ...] | None
    place: Place
    latitude: float | None
    longitude: float | None
    confidence: float | None
    novelty: float | None
    barcode: Barcode | None

    @property
    def placed(self) -> bool:
        """Whether there is something to say of where, when or how deep it was found."""
        return self.around is not None or any(field.name in ("date", "depth_min", "depth_max") for field in self.fields)

    @property
    def around(self) -> str | None:
        """A box of a degree around its place, as a view takes it."""
        if self.latitude is None or self.longitude is None:
            return None
        west, east = (((self.longitude + by + 180) % 360) - 180 for by in (-0.5, 0.5))
        south, north = max(self.latitude - 0.5, -90.0), min(self.latitude + 0.5, 90.0)
        return f"{west:.6g},{south:.6g},{east:.6g},{north:.6g}"


def about(catalogue: Catalogue, id_: str, view: View) -> About:
    """All about one specimen. Raises BiocosmosError for an id that none has, and for a view that names what is not there."""
    moment = catalogue.now
    row = catalogue.row_of(id_, moment)
    columns = [name for name in moment.stored.dataset.schema.names if _is_field(name)]
    cells = moment.stored.table([row], [*columns, "crop", *_SIZE]).to_pylist()[0]
    fields = [Field(name, shown(cells[name]), web_address(cells[name])) for name in columns if _says(cells[name])]
    return About(
        tiles(moment, [row])[0],
        steps_to(moment, int(moment.nodes[row])),
        tuple(fields),
        tuple(name for name in columns if not _says(cells[name])),
        cells["width"],
        cells["height"],
        None if cells["crop"] is None else tuple(cells["crop"]),
        place_in(catalogue, moment, row, view),
        _finite(moment.stored.latitude[row]),
        _finite(moment.stored.longitude[row]),
        _finite(moment.confidence[row]),
        _finite(moment.novelty[row]),
        Barcode.of(cells.get("barcode")),
    )


def steps_to(moment: Moment, node: int) -> tuple[Step, ...]:
    """The taxa from the top down to a node, without labels that repeat the taxon above them."""
    tree = moment.taxonomy
    way = [each for each in way_to(moment, node) if each == node or not tree.repeats[each]]
    return tuple(Step(tree.ranks[int(tree.rank[each])], str(tree.names[each]), address(tree, each)) for each in way)


def place_in(catalogue: Catalogue, moment: Moment, row: int, view: View) -> Place:
    """Where a specimen stands in a view; of one that is not in it (any more), what it would stand between."""
    rows = catalogue.rows(view, moment)
    here, is_there = index_in(catalogue, moment, row, view)
    before, after = here - 1, here + 1 if is_there else here
    ids = [str(moment.stored.ids[int(rows[at])]) if 0 <= at < len(rows) else None for at in (before, after)]
    return Place(here + 1 if is_there else None, len(rows), *ids)


def index_in(catalogue: Catalogue, moment: Moment, row: int, view: View) -> tuple[int, bool]:
    """(place in a view from 0, whether the specimen is in it); of one that is not, the place where it would be."""
    rows = catalogue.rows(view, moment)
    there = np.flatnonzero(rows == row)
    if len(there):
        return int(there[0]), True
    following = catalogue.page(view, str(moment.stored.ids[row]), 1, moment).rows if len(rows) else rows
    return (int(np.flatnonzero(rows == following[0])[0]) if len(following) else len(rows)), False


def shown(value: Any) -> str:
    """A cell as text."""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = ", ".join(map(shown, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} letters)"


def web_address(value: Any) -> str | None:
    """The value, where it is the address of a web page and nothing else; only http and https are followed."""
    if not isinstance(value, str) or len(value) > 2000 or any(letter.isspace() or not letter.isprintable() for letter in value):
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return None
    return value if usable and value.lower().startswith(("http://", "https://")) else None


def _is_field(name: str) -> bool:
    return name not in _NOT_FIELDS and not name.startswith("embedding/")


def _says(value: Any) -> bool:
    return value is not None and value != [] and str(value).strip() != ""


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
