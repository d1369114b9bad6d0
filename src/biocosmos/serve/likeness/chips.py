"""The filters of a view one by one, in words, each with the view that is left without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biocosmos.serve.catalogue import View


def chips(view: View) -> list[dict[str, str]]:
    """says and without (a query) of every filter, in the order of a view."""
    found: list[tuple[str, View]] = []
    if view.taxon:
        found.append((view.taxon, replace(view, taxon=None)))
    if view.part:
        found.append((f"part {view.part}", replace(view, part=None)))
    for state in view.states:
        found.append((state, replace(view, states=tuple(each for each in view.states if each != state))))
    if view.words:
        found.append((f"“{view.words}”", replace(view, words="")))
    if view.box:
        west, south, east, north = view.box
        says = f"{_degrees(south, 'NS')} to {_degrees(north, 'NS')}, {_degrees(west, 'EW')} to {_degrees(east, 'EW')}"
        found.append((says, replace(view, box=None)))
    if any(view.dates):
        first, last = view.dates
        says = f"{first} to {last}" if first and last else f"from {first}" if first else f"until {last}"
        found.append((says if first != last else str(first), replace(view, dates=(None, None))))
    for tag in view.tags:
        found.append((f"tag {tag}", replace(view, tags=tuple(each for each in view.tags if each != tag))))
    if view.cluster:
        found.append((f"cluster {view.cluster}", replace(view, cluster=None)))
    for pair in view.columns:
        says = f"{pair[0]}: {pair[1] or 'nothing'}"
        found.append((says, replace(view, columns=tuple(each for each in view.columns if each != pair))))
    if view.region:
        found.append(("lasso on the map of likeness", replace(view, region=None)))
    return [{"says": says, "without": left.query()} for says, left in found]


def _degrees(value: float, letters: str) -> str:
    return f"{abs(value):.4g}°{letters[0] if value > 0 else letters[1] if value < 0 else ''}"
