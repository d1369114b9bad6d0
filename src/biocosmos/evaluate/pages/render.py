"""A page as one HTML file without a single outside resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from biocosmos.evaluate.pages.blocks import Block, Page
from biocosmos.tables import replacing

CHARTS = "serve/static/charts.css"
"""Styles of the charts, which the browser's pages use too."""


@dataclass(frozen=True)
class Frame:
    """What stands around every page alike.

    caveats: what cannot be concluded; facts: provenance as (name, value); stamp: one line under every table; tables: (name, rows)
    of the report; beside: the file next to the page that has them, None where the page is alone.
    """

    title: str
    caveats: Sequence[str]
    facts: Sequence[tuple[str, str]]
    stamp: str
    tables: Sequence[tuple[str, int]]
    beside: str | None = None


def write_page(page: Page, frame: Frame, path: Path) -> Path:
    """Write a page as HTML, whole or not at all."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("biocosmos.evaluate.pages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"groupby_run": _runs, "breakable": _breakable}
    environment.globals["charts_css"] = resources.files("biocosmos").joinpath(CHARTS).read_text(encoding="utf-8")
    html = environment.get_template("report.html.j2").render(page=page, frame=frame)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def flat_facts(provenance: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (dotted name, value) pairs."""
    if isinstance(provenance, dict):
        return [pair for key, value in provenance.items() for pair in flat_facts(value, f"{prefix}{'.' if prefix else ''}{key}")]
    if isinstance(provenance, (list, tuple)):
        provenance = ", ".join(map(str, provenance))
    return [(prefix, "–" if provenance in (None, "") else str(provenance))]


def _runs(blocks: Sequence[Block]) -> list[list[Block]]:
    """Neighbouring blocks of one kind together, so that figures stand side by side."""
    return [list(run) for _, run in groupby(blocks, key=lambda block: block.block)]


def _breakable(name: str) -> Markup:
    """A label that may be broken after its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))
