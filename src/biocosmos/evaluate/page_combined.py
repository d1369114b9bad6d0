"""The page of several reports in one: their cards, sections and caveats one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from biocosmos.evaluate.blocks import Page, Section
from biocosmos.evaluate.pictures import Pictures

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report

T = TypeVar("T")
# Cards of each part after the first: the headline stays readable.
FEW_CARDS = 3


def page(report: Report, pictures: Pictures, facts: Sequence[tuple[str, str]], stamp: str) -> Page:
    """Everything the parts show; what two of them say alike is said once."""
    pages: list[Page] = [
        import_module(f"biocosmos.evaluate.page_{part.kind}").page(part, pictures, facts, stamp) for part in report.parts
    ]
    sections = [
        Section(f"{part.kind.capitalize()}: {section.title[0].lower()}{section.title[1:]}", section.lead, section.blocks)
        for part, made in zip(report.parts, pages)
        for section in made.sections
    ]
    cards = [card for i, made in enumerate(pages) for card in (made.cards if i == 0 else made.cards[:FEW_CARDS])]
    lead = " ".join(f"{part.kind.capitalize()}: {made.lead}" for part, made in zip(report.parts, pages))
    return Page(
        report.title, lead, cards, sections, _once(term for made in pages for term in made.terms), report.caveats, facts, stamp
    )


def _once(values: Iterable[T]) -> list[T]:
    out: list[T] = []
    for value in values:
        if value not in out:
            out.append(value)
    return out
