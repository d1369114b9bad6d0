"""The report as one HTML file without a single outside resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from biocosmos.evaluate.pages.blocks import Block, Card, Page, flat_facts
from biocosmos.evaluate.pages.pictures import Pictures
from biocosmos.identify.encoding import encoder_of
from biocosmos.tables import replacing

if TYPE_CHECKING:
    from biocosmos.evaluate.report import Report


def write_page(report: Report, path: Path, thumbnails: Callable[[str], bytes | None] | None) -> Path:
    """Write ``report`` as HTML; see :meth:`Report.html`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("biocosmos.evaluate.pages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"groupby_run": _runs, "breakable": _breakable}
    template = environment.get_template("report.html.j2")
    html = template.render(page=_page(report, Pictures(thumbnails)))
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def _runs(blocks: Sequence[Block]) -> list[list[Block]]:
    """Neighbouring blocks of one kind together, so that figures stand side by side."""
    return [list(run) for _, run in groupby(blocks, key=lambda block: block.block)]


def _breakable(name: str) -> Markup:
    """A label that may be broken after its underscores."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def cards(report: Report) -> Sequence[Card]:
    """The headline cards of a report."""
    return _page(report, Pictures(None)).cards


def _page(report: Report, pictures: Pictures) -> Page:
    made: Page = page_of(report.kind)(report, pictures, flat_facts(report.provenance), stamp(report))
    return made


def page_of(kind: str) -> Callable[..., Page]:
    """The function that lays out the reports of one kind."""
    home = "pages.combined" if kind == "combined" else f"{kind}.page"
    make: Callable[..., Page] = import_module(f"biocosmos.evaluate.{home}").page
    return make


def stamp(report: Report) -> str:
    """One line under every table: what made its numbers."""
    facts = report.provenance
    whole = report.parts[0].provenance if report.parts else facts
    made = encoder_of(whole.get("gallery") or whole.get("identifier", {}).get("gallery", {}))
    encoder = made.get("name") or ", ".join(whole.get("encoders", {})) or "not recorded"
    parts = [f"encoder {encoder}"]
    if made.get("digest"):
        parts.append(f"weights {made['digest']}")
    parts.append(f"split {facts.get('split_hash') or 'not recorded'}")
    parts.append(f"biocosmos {facts['software']['biocosmos']}")
    return " · ".join(parts)
