"""Several reports in one, and on one page: their cards, sections and caveats one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.blocks import Page, Section
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.evaluate.report import Report

T = TypeVar("T")
FEW_CARDS = 3
"""Cards of each part of another kind than those before: the headline stays readable. What is set side by side has all."""


def combine(*reports: Report, title: str | None = None, names: Sequence[str] | None = None) -> Report:
    """One report, and one page, of several: tables are named ``<name>_<table>``, the first report's main table first.

    names: of the parts, their kinds by default. Raises BiocosmosError without a report, and with two of one name.
    """
    kinds = list(names or [report.kind for report in reports])
    if not reports or len(kinds) != len(reports) or len(set(kinds)) < len(kinds):
        raise BiocosmosError(f"cannot combine reports of {', '.join(kinds) or 'no kind'}: pass one of each kind, or names=")
    tables = {f"{name}_{key}": table for name, report in zip(kinds, reports) for key, table in report.tables.items()}
    caveats = _once(caveat for report in reports for caveat in report.caveats)
    facts = [{key: value for key, value in report.provenance.items() if key != "software"} for report in reports]
    provenance: dict[str, Any] = {
        "protocol": " and ".join(kinds),
        "parts": kinds,
        "split_hash": next((fact["split_hash"] for fact in facts if fact.get("split_hash")), None),
        **dict(zip(kinds, facts)),
    }
    title = title or "; ".join(report.title for report in reports)
    return Report("combined", title, tables, caveats, provenance, page, list(reports))


def together(reports: Mapping[str, Report], title: str) -> Report:
    """One report of those that were made, under their names; a single one stays as it is."""
    if len(reports) == 1:
        return next(iter(reports.values()))
    return combine(*reports.values(), title=title, names=list(reports))


def page(report: Report, pictures: Pictures) -> Page:
    """Everything the parts show; what two of them say alike is said once."""
    pages = [part.page(part, pictures) for part in report.parts if part.page is not None]
    names: list[str] = report.provenance["parts"]
    kinds = [part.kind for part in report.parts]
    repeated = [kind in kinds[:i] for i, kind in enumerate(kinds)]
    sections = [
        Section(f"{_capital(name)}: {section.title[0].lower()}{section.title[1:]}", section.lead, section.blocks)
        for name, made, again in zip(names, pages, repeated)
        for section in made.sections
        if not (again and section.once)
    ]
    cards = [
        replace(card, label=f"{card.label}, {name}") if any(repeated) else card
        for i, (name, made) in enumerate(zip(names, pages))
        for card in (made.cards if i == 0 or repeated[i] else made.cards[:FEW_CARDS])
    ]
    lead = "\n".join(f"{_capital(name)}: {made.lead}" for name, made in zip(names, pages))
    return Page(lead, cards, sections, _once(term for made in pages for term in made.terms))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _once(values: Iterable[T]) -> list[T]:
    out: list[T] = []
    for value in values:
        if value not in out:
            out.append(value)
    return out
