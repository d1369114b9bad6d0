"""The prose of a page: a file ``words.toml`` beside its page.py, in which jinja expressions stand for what is filled in.

    [sections.taxa]
    title = "Which taxa at {{ main }} are hard?"
    lead = "By F1, among the answerable taxa with at least {{ enough }} specimens."
    top = "Mean over {{ row.taxa | count }} taxa: {{ row | interval }}."

``words.section("taxa", blocks, main=main, enough=5)`` makes the section, ``words("taxa.top", row=row)`` the sentence. Terms stand
under ``[terms]``. Filters: percent, count (1,234), interval (of a row), ends (of its interval), points (of a difference).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import resources
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.blocks import Block, Card, Figure, Grid, Section, Strips
from biocosmos.evaluate.pages.rows import ends, interval
from biocosmos.evaluate.pages.svg import percent, points_of

FILE = "words.toml"


class Words:
    """The prose of the page in the package ``home``: ``WORDS = Words(__package__)``."""

    def __init__(self, home: str | None) -> None:
        self.home = str(home)

    @cached_property
    def _said(self) -> Mapping[str, Any]:
        found: dict[str, Any] = tomllib.loads(resources.files(self.home).joinpath(FILE).read_text(encoding="utf-8"))
        return found

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return self._find(key) is not None

    def __call__(self, key: str, /, **facts: Any) -> str:
        """The sentence under ``sections.<key>``, or at the top of the file, with ``facts`` filled in."""
        text = self._find(key)
        if text is None:
            raise BiocosmosError(f"{self.home} has no words for {key!r}")
        return " ".join(_template(text).render(**facts).split())

    def section(self, key: str, blocks: Sequence[Block], /, *, once: bool = False, **facts: Any) -> Section:
        """A section by its ``title`` and ``lead``."""
        return Section(self(f"{key}.title", **facts), self(f"{key}.lead", **facts), blocks, once)

    def figure(self, key: str, svg: str, /, **facts: Any) -> Figure:
        """A chart and its sentence."""
        return Figure(svg, self(key, **facts))

    def card(self, key: str, value: str, /, **facts: Any) -> Card:
        """A headline: its label under ``<key>.label``, what it rests on under ``<key>.detail``."""
        return Card(self(f"{key}.label", **facts), value, self(f"{key}.detail", **facts))

    def grid(
        self, key: str, rows: Sequence[Any], columns: Columns, /, *, fold: bool = False, left: int = 1, **facts: Any
    ) -> Grid:
        """A table of ``rows`` by :func:`cells`; its words stand below it, or fold it."""
        words = self(key, **facts)
        return grid(rows, columns, "" if fold else words, words if fold else "", left)

    def strips(self, key: str, strips: Sequence[Any], /, *, wide: bool = True, **facts: Any) -> Strips:
        """Rows of pictures: their heading under ``<key>.title``, a line below under ``<key>.caption``."""
        return Strips(self(f"{key}.title", **facts), strips, self(f"{key}.caption", **facts), wide)

    @property
    def terms(self) -> list[tuple[str, str]]:
        """Words and what they mean, in the order of the file."""
        return list(self._said.get("terms", {}).items())

    def _find(self, key: str) -> str | None:
        for root in (self._said.get("sections", {}), self._said):
            node: Any = root
            for part in key.split("."):
                node = node.get(part) if isinstance(node, Mapping) else None
            if isinstance(node, str):
                return node
        return None


Columns = Sequence[tuple[str, Any]]
"""(heading, what stands there): a key of the row, (key, format), or a function of the row."""


def grid(rows: Sequence[Any], columns: Columns, caption: str = "", summary: str = "", left: int = 1) -> Grid:
    """Rows as a table to read; ``left`` first columns hold words; folded under ``summary`` if given."""
    return Grid([heading for heading, _ in columns], [cells(row, columns) for row in rows], caption, summary, left)


def cells(row: Any, columns: Columns) -> list[str]:
    """One row as text: whole numbers as 1,234, shares by :func:`percent`, None as a dash."""
    return [_cell(row, how) for _, how in columns]


def _cell(row: Any, how: Any) -> str:
    if callable(how):
        return text_of(how(row))
    key, shape = how if isinstance(how, tuple) else (how, text_of)
    return "–" if row is None or row.get(key) is None else str(shape(row[key]))


def text_of(value: Any) -> str:
    """A cell: words as they are, 1234 as "1,234", a share as percent."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return percent(value) if isinstance(value, float) else str(value)


@cache
def _environment() -> Any:
    import jinja2

    # The page escapes what it shows; sentences are made before that.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "percent": percent,
        "count": lambda value: f"{value:,}",
        "interval": interval,
        "ends": ends,
        "points": points_of,
        "capital": lambda text: text[:1].upper() + text[1:],
    }
    return environment


@cache
def _template(text: str) -> Any:
    return _environment().from_string(text)
