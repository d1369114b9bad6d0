"""VLM4Bio: datasets/{Fish,Bird,Butterfly} with images or chunk_* folders and a table of names in metadata/.

The names of the files differ between its README and its download, so several are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import alike, is_file, is_folder, is_image_name, walk
from biocosmos.specimens.readers.blocks import Shaper, as_it_is, gather
from biocosmos.specimens.readers.columns import SCIENTIFIC_NAME, check_header, our_names, shown
from biocosmos.specimens.readers.lookup import Lookup, Seen
from biocosmos.specimens.readers.names import clean
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.records import Source
from biocosmos.taxonomy.scientific_names import parse

GROUPS = ("Fish", "Bird", "Butterfly")
TABLES = ("metadata_10k.csv", "{group}_metadata_10k.csv", "metadata.csv", "{group}_metadata.csv", "metadata_500.csv")
LISTS = ("imagelist_10k.txt", "imagelist.txt")
NOT_IMAGES = {"metadata"}


@dataclass(frozen=True)
class _Group:
    name: str
    folder: Path
    table: Path
    columns: tuple[str, ...]  # our names


def read(path: Path, options: Options) -> Source:
    """All groups that are there. ``category`` is the group; genus and species come from scientificName."""
    root = path / "datasets" if is_folder(path / "datasets") else path
    groups, kinds = (
        [],
        {name: pa.string() for name in ("id", "image_path", "label", SCIENTIFIC_NAME, "category", "genus", "species")},
    )
    for name in GROUPS:
        folder = next((p for p in (root / name, root / name.lower()) if is_folder(p)), None)
        if folder is None:
            continue
        table = _find(folder / "metadata", TABLES, name.lower())
        if table is None:
            reason = f"no table of names ({', '.join(TABLES[:2]).format(group=name.lower())}, ...): the group is left out"
            options.failures.add(reason, stage="read", source=folder / "metadata")
            continue
        with open_table(table, encoding=options.encoding) as opened:
            check_header(opened.header, str(table))
            names = our_names(opened.header, options.columns, str(table))
        if "image_path" not in names:
            raise BiocosmosError(f"{table} has no column fileNameAsDelivered; it has: {shown(opened.header)}")
        groups.append(_Group(name, folder, table, tuple(names)))
        kinds |= dict.fromkeys(names, pa.string())
    if not groups:
        raise BiocosmosError(f"{path} has none of the folders {', '.join(GROUPS)} with a table in metadata/: is it VLM4Bio?")
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, label_is_rank=False)

    def batches() -> Iterator[pa.RecordBatch]:
        for group in groups:
            yield from shaper.batches(gather(_rows(group, options), list(kinds), str(group.table)))

    return Source(path.name, "vlm4bio", batches(), shaper.rank_columns, options.failures)


def _find(folder: Path, candidates: tuple[str, ...], group: str) -> Path | None:
    for name in candidates:
        for wanted in (name.format(group=group), name.format(group=group).capitalize()):
            if is_file(folder / wanted):
                return folder / wanted
    return None


def _rows(group: _Group, options: Options) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    failures = options.failures
    with closing(_images(group.folder, failures)) as images, Seen() as seen:
        with open_table(group.table, encoding=options.encoding, failures=failures) as table:
            for number, fields in table.rows():
                values: dict[str, Any] = {name: text.strip() or None for name, text in zip(group.columns, fields)}
                name = as_it_is(values.get("image_path"))
                if name is None:
                    failures.add("the name of the image is blank", stage="read", source=group.table, row=number)
                    continue
                row = _row(group, name, images, seen, failures, group.table, number)
                if row is not None:
                    scientific = tidy(values.get(SCIENTIFIC_NAME))
                    values |= {**row, SCIENTIFIC_NAME: scientific, "label": scientific}
                    if scientific is not None and " " not in scientific:
                        values["genus"] = scientific  # "gambusia": a genus counted among the species
                    yield number, str(row["id"]), values
        listed = _find(group.folder / "metadata", LISTS, group.name.lower())
        if listed is not None:
            yield from _only_listed(group, listed, images, seen, options)


def _images(folder: Path, failures: Failures) -> Lookup:
    """Where each file name lies, by its name in lower case and by that without suffix (.JPG and .jpg mix)."""
    lookup = Lookup()
    names = (name for name in walk(folder, failures) if is_image_name(name) and name.split("/")[0] not in NOT_IMAGES)
    lookup.fill((key, None, name) for name in names for key in _keys(name))
    return lookup


def _keys(name: str) -> tuple[str, ...]:
    base = alike(name.replace("\\", "/").rsplit("/", 1)[-1])
    stem = base.rsplit(".", 1)[0] if is_image_name(base) else base
    return tuple(dict.fromkeys((base, stem)))


def _row(
    group: _Group, name: str, images: Lookup, seen: Seen, failures: Failures, source: Path, number: int
) -> dict[str, Any] | None:
    """id, image_path and category of an image name, or None when it has to be left out (which is recorded)."""
    found = next((rows for key in _keys(name) if (rows := images.get(key))), None)
    if found is None:
        failures.add(f"no image {name!r} in {group.folder}", stage="read", source=source, row=number, id=name)
        return None
    if len(found) > 1:
        reason = f"{len(found)} images are called {name!r}: the first, {found[0].value}, is used"
        failures.add(reason, stage="read", source=source, row=number, id=name, severity="warning")
    place = str(found[0].value)
    if seen.count(place) > 1:
        failures.add(f"a second row for the image {place}", stage="read", source=source, row=number, id=name)
        return None
    base = place.rsplit("/", 1)[-1]
    return {"id": f"{group.name}/{base}", "image_path": str((group.folder / place).absolute()), "category": group.name}


def _only_listed(
    group: _Group, listed: Path, images: Lookup, seen: Seen, options: Options
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    """Images of the image list that the table of names lacks: kept, unlabelled."""
    with listed.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            name = line.strip()
            found = next((rows for key in _keys(name) if (rows := images.get(key))), None) if name else None
            if not name or (found is not None and seen.count(str(found[0].value)) > 1):
                continue
            if found is None:
                options.failures.add(f"no image {name!r} in {group.folder}", stage="read", source=listed, row=number, id=name)
                continue
            place = str(found[0].value)
            row = {"id": f"{group.name}/{place.rsplit('/', 1)[-1]}", "image_path": str((group.folder / place).absolute())}
            yield number, row["id"], {**row, "category": group.name}


def tidy(name: Any) -> str | None:
    """A scientific name with its case put right: "gambusia Affinis " -> "Gambusia affinis"; anything else as it is."""
    text = clean(name)
    if text is None:
        return None
    words = text.replace("_", " ").split()
    tidied = " ".join([words[0].capitalize(), *(word.lower() for word in words[1:])])
    return tidied if len(words) == 1 or parse(tidied).genus else text
