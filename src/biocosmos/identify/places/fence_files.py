"""Files of geofences and checklists: CSV that people edit, a row a rule."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.places.fences import STAGE, Checklist, Fences, FenceWay, Rule
from biocosmos.identify.places.polygons import Polygons
from biocosmos.identify.places.small_tables import rows_of
from biocosmos.places import country_and_region
from biocosmos.taxonomy.name_lists import NAME_COLUMNS, content_of

RULES = ("rule", "does", "action")
COUNTRIES = ("country", "countrycode", "country_code", "iso")
REGIONS = ("region", "admin1", "state", "stateprovince", "province")
POLYGONS = ("polygon", "wkt", "footprintwkt", "geometry", "geojson")
WORDS = {"allow": "allow", "allowed": "allow", "block": "block", "blocked": "block", "deny": "block"}


def read_fences(
    fences: Iterable[str | Path], checklists: Iterable[str | Path], failures: Failures, *, way: FenceWay = "renormalise"
) -> Fences:
    """The rules of some files. Rows that cannot be understood go to ``failures`` and are left out.

    A fence has columns taxon, rule (allow or block; nothing: block), country (a code or name; NL, US-CA), region (the part of the
    country, as after the hyphen of ISO 3166-2), polygon (WKT or GeoJSON); a checklist the same without rule. What is left out of
    country, region and polygon is everywhere.

    Raises BiocosmosError for a file that cannot be read, has no column of taxa, or no row that can be understood.
    """
    rules: list[Rule] = []
    lists: list[Checklist] = []
    files: dict[str, str] = {}
    for path in fences:
        rules += _rules(Path(path), failures, files, "block")
    for path in checklists:
        lists.append(Checklist(tuple(_rules(Path(path), failures, files, "allow", told=False)), Path(path).name))
    return Fences(tuple(rules), tuple(lists), way, files)


def _rules(path: Path, failures: Failures, files: dict[str, str], does: str, *, told: bool = True) -> list[Rule]:
    content = content_of(path)
    files[str(path)] = hashlib.sha256(content).hexdigest()
    header, rows = rows_of(path, content)
    column = _columns(path, header, told)
    found, first = [], None
    for line, cells in rows:
        cell = _cell(cells, column)
        if not any(each.strip() for each in cells):
            continue
        try:
            found.append(_rule(cell, does, f"{path.name}:{line}"))
        except BiocosmosError as error:
            first = first or f"line {line}: {error}"
            failures.add(str(error), stage=STAGE, source=path, row=line, id=cell("taxon") or None, severity="warning")
    if not found:
        raise BiocosmosError(
            f"{path} has no rule that can be understood{f' ({first})' if first else ''}: write taxon,rule,country"
        )
    return found


def _rule(cell: Callable[[str], str], does: str, where: str) -> Rule:
    taxon, word, country, polygon = cell("taxon"), cell("rule").lower(), cell("country"), cell("polygon")
    if not taxon:
        raise BiocosmosError("no taxon in this row: name one, or remove the row")
    if word and word not in WORDS:
        raise BiocosmosError(f"{word[:40]!r} is no rule: write allow or block")
    code, region = country_and_region(country)
    if country and code is None:
        raise BiocosmosError(f"{country[:40]!r} is no country of ISO 3166: write NL, NLD or Netherlands, or US-CA for a part")
    region = (cell("region") or region or "").upper().rpartition("-")[2].strip()
    if region and code is None:
        raise BiocosmosError(f"region {region[:40]!r} of which country? fill in the country too")
    return Rule(
        WORDS[word] if word else does,  # type: ignore[arg-type]
        taxon,
        code,
        region or None,
        Polygons.parse(polygon) if polygon else None,
        where,
    )


def _columns(path: Path, header: list[str], told: bool) -> dict[str, int]:
    found = {}
    for name, known in {
        "taxon": NAME_COLUMNS,
        "rule": RULES if told else (),
        "country": COUNTRIES,
        "region": REGIONS,
        "polygon": POLYGONS,
    }.items():
        place = next((header.index(each) for each in known if each in header), None)
        if place is not None:
            found[name] = place
    if "taxon" not in found:
        raise BiocosmosError(f"{path} has no column of taxa in its first line: write taxon,{'rule,' if told else ''}country")
    if told and "rule" not in found:
        raise BiocosmosError(
            f"{path} does not say whether its taxa are allowed or blocked: write taxon,rule,country, or give it as --checklist"
        )
    return found


def _cell(cells: list[str], column: Mapping[str, int]) -> Callable[[str], str]:
    def cell(name: str) -> str:
        at = column.get(name)
        return cells[at] if at is not None and at < len(cells) else ""

    return cell
