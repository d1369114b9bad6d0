"""The page of several reports in one: their cards, sections and caveats one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from biocosmos.evaluate.pages.blocks import Page, Section
from biocosmos.evaluate.pages.pictures import Pictures

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report

T = TypeVar("T")
# Cards of each part after the first: the headline stays readable.
FEW_CARDS = 3


def page(report: Report, pictures: Pictures, facts: Sequence[tuple[str, str]], stamp: str) -> Page:
    """Everything the parts show; what two of them say alike is said once."""
    from biocosmos.evaluate.pages.render import page_of

    pages = [page_of(part.kind)(part, pictures, facts, stamp) for part in report.parts]
    names: list[str] = report.provenance["parts"]
    kinds = [part.kind for part in report.parts]
    repeated = [kind in kinds[:i] for i, kind in enumerate(kinds)]
    sections = [
        Section(f"{_capital(name)}: {section.title[0].lower()}{section.title[1:]}", section.lead, section.blocks)
        for name, made, again in zip(names, pages, repeated)
        for section in made.sections
        if not (again and section.once)
    ]
    alike = any(repeated)
    cards = [
        replace(card, label=f"{card.label}, {name}") if alike else card
        for i, (name, made) in enumerate(zip(names, pages))
        for card in (made.cards if i == 0 else made.cards[:FEW_CARDS])
    ]
    lead = " ".join(f"{_capital(name)}: {made.lead}" for name, made in zip(names, pages))
    return Page(
        report.title, lead, cards, sections, _once(term for made in pages for term in made.terms), report.caveats, facts, stamp
    )


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _once(values: Iterable[T]) -> list[T]:
    out: list[T] = []
    for value in values:
        if value not in out:
            out.append(value)
    return out
