"""What EcoTaxa's import validation refuses, written down from its published rules, to try our zips on.

Of ecotaxa/ecotaxa_back: py/BO/TSVFile.py (validate_structure, validate_content, validate_line), py/BO/Mappings.py,
py/BO/Image.py, the topology of samples and acquisitions, and the tables of py/DB, as they stood on 2026-11-29. Nothing here is
shared with the package.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

TEXTS = {
    *("object_annotation_category", "object_annotation_date", "object_annotation_person_name", "object_annotation_status"),
    *("object_id", "sample_id", "acq_id", "process_id", "object_date", "object_time", "object_link", "img_file_name"),
    *("sample_dataportal_descriptor", "acq_instrument", "object_annotation_time", "object_annotation_person_email"),
}
NUMBERS = {
    *("object_lat", "object_lon", "object_depth_min", "object_depth_max", "img_rank", "object_annotation_category_id"),
}
TABLES = ("object", "sample", "acq", "process")
PLACES = {"object[f]": 500, "object[t]": 20, "sample[t]": 30, "acq[t]": 30, "process[t]": 30}
LONGEST = {"object_id": 255, "sample_id": 255, "acq_id": 255, "process_id": 255, "object_link": 255, "img_file_name": 255}
LONGEST |= {"acq_instrument": 255, "sample_dataportal_descriptor": 8000}
FREE_LONGEST = 250
STATES = {"predicted", "validated", "dubious", "discarded"}
FORMATS = {"PNG", "JPEG", "GIF"}
MOST_TABLES = 1000


@dataclass
class Verdict:
    """errors: what EcoTaxa would say; rows: the objects' cells by EcoTaxa's names."""

    errors: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)


def validate(path: Path) -> Verdict:
    """Everything EcoTaxa would refuse in a zip, imported into an empty project."""
    verdict = Verdict()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        tables = [n for n in names if re.fullmatch(r"ecotaxa.*\.(txt|tsv)", PurePosixPath(n).name)]
        if not tables or len(tables) > MOST_TABLES:
            verdict.errors.append(f"{len(tables)} tables")
        if len(set(names)) != len(names):
            verdict.errors.append("two files of one name")
        seen: set[tuple[str, str]] = set()
        samples: dict[str, set[str]] = {}
        for table in tables:
            _table(archive, table, verdict, seen, samples)
    if not verdict.rows:
        verdict.errors.append("no object to import")
    return verdict


def _table(
    archive: zipfile.ZipFile, name: str, verdict: Verdict, seen: set[tuple[str, str]], samples: dict[str, set[str]]
) -> None:
    raw = archive.read(name)
    text = raw.decode("utf-8-sig") if raw.startswith(b"\xef\xbb\xbf") else raw.decode("latin-1")
    reader = csv.DictReader(io.StringIO(text), delimiter="\t", quotechar='"')  # universal line ends, as open() has them
    header = list(reader.fieldnames or ())
    clean = {given: given.strip(" \t").lower() for given in header}
    types = {clean[given]: kind for given, kind in next(reader, {}).items() if given is not None}
    kinds = _structure(header, clean, types, verdict)
    folder = PurePosixPath(name).parent
    for line, row in enumerate(reader, 3):
        if None in row:
            verdict.errors.append(f"line {line}: values without a header")
            continue
        cells = {clean[given]: (cell or "").strip() for given, cell in row.items()}
        for column, cell in cells.items():
            if cell:
                said = _cell(column, cell, kinds.get(column, "t"))
                if said:
                    verdict.errors.append(f"line {line}: {said}")
        # these are looked up by the name as it is written, not as it is cleaned
        if not (row.get("object_id") or "").strip():
            verdict.errors.append(f"line {line}: no object_id")
        image = (row.get("img_file_name") or "").strip()
        _image(archive, str(folder / image), line, verdict)
        if (cells.get("object_id", ""), image) in seen:
            verdict.errors.append(f"line {line}: duplicate object and image")
        seen.add((cells.get("object_id", ""), image))
        sample, acquisition = cells.get("sample_id", ""), cells.get("acq_id", "")
        if sample and acquisition and acquisition in samples and sample not in samples[acquisition]:
            verdict.errors.append(f"line {line}: acquisition {acquisition!r} of several samples")
        samples.setdefault(acquisition, set()).add(sample)
        category = (row.get("object_annotation_category", row.get("object_annotation_category_id", "")) or "").strip()
        state = row.get("object_annotation_status", "") or ""
        if bool(category) != bool(state):
            verdict.errors.append(f"line {line}: category {category!r} with status {state!r}")
        verdict.rows.append(cells)


def _structure(header: list[str], clean: dict[str, str], types: dict[str, str], verdict: Verdict) -> dict[str, str]:
    kinds, taken = dict.fromkeys(NUMBERS, "n"), dict.fromkeys(PLACES, 0)
    if len(set(clean.values())) != len(header):
        verdict.errors.append(f"columns that are one: {sorted(header)}")
    prefixes: dict[str, set[str]] = {}
    for name in clean.values():
        prefix, _, rest = name.partition("_")
        if not rest and "_" not in name:
            verdict.errors.append(f"header {name!r} has no prefix")
            continue
        prefixes.setdefault(prefix, set()).add(name)
        if name in TEXTS | NUMBERS:
            continue
        if prefix not in TABLES:
            verdict.errors.append(f"header {name!r}: unknown prefix")
            continue
        kind = types[name] if prefix == "object" else "[t]"
        if kind not in ("[f]", "[t]"):
            verdict.errors.append(f"type {kind!r} of {name!r}")
            continue
        kinds[name] = "n" if kind == "[f]" else "t"
        taken[prefix + kind] += 1
        if taken[prefix + kind] > PLACES[prefix + kind]:
            verdict.errors.append(f"no place for {name!r}")
    for prefix, names in prefixes.items():
        if prefix in TABLES and f"{prefix}_id" not in names:
            verdict.errors.append(f"{prefix}_id is mandatory: {sorted(names)}")
    return kinds


def _cell(name: str, cell: str, kind: str) -> str | None:
    if kind == "n":
        if cell.lower() in ("nan", "na"):
            return None
        try:
            number = float(cell)
        except ValueError:
            return f"{name} {cell!r} is no number"
        if number == float("-inf") or abs(number) > {"object_lat": 90, "object_lon": 180}.get(name, float("inf")):
            return f"{name} {cell!r} is out of range"
        return None
    try:
        if name in ("object_date", "object_annotation_date"):
            parts = (cell[:4], cell[5:7], cell[8:10]) if cell[4:5] == cell[7:8] == "-" else (cell[:4], cell[4:6], cell[6:8])
            datetime.date(*map(int, parts))
        elif name in ("object_time", "object_annotation_time"):
            digits = (cell.zfill(4) if len(cell) < 4 else cell).replace(":", "").ljust(6, "0")
            datetime.time(int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return f"{name} {cell!r} is impossible"
    if name == "object_annotation_status" and cell.lower() not in STATES:
        return f"status {cell!r}"
    longest = LONGEST.get(name, 10**9 if name in TEXTS else FREE_LONGEST)  # the database refuses longer texts
    return f"{name} is longer than {longest}" if len(cell) > longest else None


def _image(archive: zipfile.ZipFile, name: str, line: int, verdict: Verdict) -> None:
    try:
        content = archive.read(name)
    except KeyError:
        verdict.errors.append(f"line {line}: missing image {name!r}")
        return
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.format not in FORMATS:
                verdict.errors.append(f"line {line}: image format {image.format}")
    except Exception as error:
        verdict.errors.append(f"line {line}: {error}")
