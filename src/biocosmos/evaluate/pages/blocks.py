"""What a page is made of: headline cards, sections, and in them words, figures, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A headline number: what it is, the number, and what it rests on."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str
    block: str = "words"


@dataclass(frozen=True)
class Figure:
    """A chart with the sentence that explains it; ``wide``: one whose words would be too small on a phone, where it is moved
    sideways instead."""

    svg: str
    caption: str
    wide: bool = False
    block: str = "figure"


@dataclass(frozen=True)
class Grid:
    """A table to read: column names, rows of cells as text; ``left`` is how many first columns hold words; folded under
    ``summary`` if given."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    summary: str = ""
    left: int = 1
    block: str = "grid"


@dataclass(frozen=True)
class Picture:
    """A specimen: data URI ("" for none), its name, a line below, and "right", "wrong" or "" for its frame."""

    uri: str
    name: str
    note: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Strip:
    """A query and what was found for it."""

    query: Picture
    found: Sequence[Picture]
    text: str = ""


@dataclass(frozen=True)
class Strips:
    """Rows of pictures under a heading; ``wide`` false puts two in a row."""

    heading: str
    strips: Sequence[Strip]
    caption: str = ""
    wide: bool = True
    block: str = "strips"


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: pictures in rows under a heading, in the order given."""

    heading: str
    pictures: Sequence[Picture]
    caption: str = ""
    block: str = "sheet"


Block = Paragraph | Figure | Grid | Strips | Sheet


@dataclass(frozen=True)
class Section:
    """A heading, what it asks in plain words, and its blocks; ``once``: where a page has two reports of one kind, only the first
    shows it."""

    title: str
    lead: str
    blocks: Sequence[Block]
    once: bool = False


@dataclass(frozen=True)
class Page:
    """What one kind of report shows, in order; lead: a paragraph a line; terms: words and what they mean."""

    lead: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    terms: Sequence[tuple[str, str]]
