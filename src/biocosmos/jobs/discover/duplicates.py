"""Find pictures that are the same, or nearly, or were taken moments apart."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import extras, kept
from biocosmos.discover.duplicates import Groups, Links, bursts, by_content, by_hash, by_vectors, grouped
from biocosmos.discover.duplicates.hashing import RECORD, perceptual_hash
from biocosmos.embed.reader import StoredImages
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.evaluate.discovery.duplicates.report import duplicates_report
from biocosmos.evaluate.report import Report
from biocosmos.images import read_image
from biocosmos.jobs.discover.duplicates_settings import DuplicatesSettings
from biocosmos.progress import progress
from biocosmos.provenance import package_version, software
from biocosmos.settings import told
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing

Array = npt.NDArray[Any]
WORK = Path("work") / "hashes"
BLOCK = 2048
"""Images hashed before the hashes are kept."""
LONG_SIDE = 128
"""Pixels to which an image is decoded for its hash, which looks at 32."""
COLUMNS = ("id", "content_hash", "crop", "width", "height", "date")


@dataclass(frozen=True)
class Duplicates:
    """What was found. table: id, group, representative, kinds, alike; failures: images that could not be hashed; notes: what was
    left out, and why."""

    table: pa.Table
    report: Report
    kept: kept.Discovery
    failures: Failures
    notes: list[str]


def discover_duplicates(collection: Collection, settings: DuplicatesSettings | None = None, **options: Any) -> Duplicates:
    """Groups of specimens that are one picture, kept with the collection; nothing is removed.

    settings, or as options: see :class:`DuplicatesSettings`. Hashes are kept in the collection's folder: killed and run again it
    goes on, and later only new images are hashed.

    Raises BiocosmosError where nothing was selected, for a column or split that is not there, and without imagehash where
    perceptual was asked for by name.
    """
    settings = told(DuplicatesSettings, **options) if settings is None else settings
    for column in settings.by:
        if column not in collection.dataset.schema.names:
            raise BiocosmosError(f"the collection has no column '{column}' to tell a series by")
    columns = list(dict.fromkeys([*COLUMNS, *settings.by]))
    table = collection.table(columns, **settings.selected())
    if not len(table):
        raise BiocosmosError(f"there is nothing to compare: no specimen of {collection.path} was selected")
    notes, failures = [], Failures()
    links = [by_content(_content(table))] if "identical" in settings.chosen else []
    if "perceptual" in settings.chosen:
        if extras.has("imagehash"):
            hashes, known = _hashes(collection, table, failures)
            links.append(by_hash(hashes, known, settings.bits))
        elif settings.kinds != DuplicatesSettings.kinds:
            extras.load("imagehash", "--kinds perceptual")
        else:
            notes.append("perceptual duplicates were not looked for: pip install 'biocosmos[discover]' brings imagehash")
    encoder = _embedded(collection, settings, table, links, notes)
    area = np.nan_to_num(_numbers(table, "width") * _numbers(table, "height"))
    groups = grouped(len(table), links, prefer=area)
    series = np.full(len(table), -1, np.int64)
    if "series" in settings.chosen:
        keys = list(zip(*(table[name].to_pylist() for name in settings.by))) if settings.by else [()] * len(table)
        series, left = bursts(keys, table["date"].to_pylist(), settings.minutes)
        if left:
            what = " and a time of day" if settings.minutes is not None else ""
            notes.append(f"{left:,} specimens are in no series: {', '.join(settings.by) or 'date'}{what} is not known of them")
    parts = None if settings.leaks is None else _parts(collection, settings.leaks, table["id"])
    facts = {"settings": asdict(settings), "software": software(), "split": settings.leaks}
    if encoder is not None:
        facts["encoders"] = {encoder: collection.encoders[encoder]}
    if settings.leaks is not None:
        facts["split_hash"] = collection.split(settings.leaks).hash
    found = _table(table["id"], groups, series, "series" in settings.chosen)
    title = f"{collection.path.stem}: pictures that are one"
    report = duplicates_report(found, links, parts=parts, title=title, notes=notes, provenance=facts)
    if len(failures):
        collection.record_failures(failures, whole=False)
    return Duplicates(found, report, kept.keep(collection, "duplicates", found, report.provenance), failures, notes)


def _embedded(
    collection: Collection, settings: DuplicatesSettings, table: pa.Table, links: list[Links], notes: list[str]
) -> str | None:
    """Links of vectors, of one picture for each content: copies are linked by their bytes."""
    if "embedding" not in settings.chosen:
        return None
    if not collection.encoders and settings.encoder is None:
        notes.append(f"vectors were not compared: there are none yet, 'biocosmos embed {collection.path}' makes them")
        return None
    name = collection.encoder_name(settings.encoder)
    ids, matrix = collection.vectors(name, **settings.selected())
    rows = pc.index_in(pa.array(ids.tolist(), pa.string()), value_set=table["id"].combine_chunks())
    rows = rows.to_numpy(zero_copy_only=False).astype(np.int64)
    copies = np.concatenate([link.second for link in links if link.kind == "identical"] or [np.empty(0, np.int64)])
    single = ~np.isin(rows, copies)
    links.append(by_vectors(np.ascontiguousarray(matrix[single]), settings.cosine, rows=rows[single]))
    if len(ids) < len(table):
        notes.append(f"{len(table) - len(ids):,} specimens have no vector of {name} and were not compared by it")
    return name


def _content(table: pa.Table) -> pa.Array:
    """What the bytes of an image and its crop are, as one text; null without an image."""
    crops = pa.array([str(crop) for crop in table["crop"].to_pylist()], pa.string())
    return pc.binary_join_element_wise(table["content_hash"].combine_chunks(), crops, "|", null_handling="emit_null")


def _hashes(collection: Collection, table: pa.Table, failures: Failures) -> tuple[Array, Array]:
    """((n,) records, (n,) bool known) of perceptual hashes; an image whose content was hashed before is not read again."""
    content = [None if text is None else hashlib.sha256(text.encode()).hexdigest()[:32] for text in _content(table).to_pylist()]
    done = _Kept(collection.path / WORK)
    first = {key: row for row, key in reversed([*enumerate(content)]) if key is not None and key not in done.hashes}
    waiting = sorted(first.values())  # copies are hashed once
    ids = table["id"].to_pylist()
    with progress("hash", total=len(waiting), unit="images") as bar:
        for start in range(0, len(waiting), BLOCK):
            part = waiting[start : start + BLOCK]
            source = StoredImages(collection, [ids[row] for row in part])
            made: dict[str, Array] = {}
            for row, image in zip(part, source.fetch(np.arange(len(part)))):
                try:
                    if image.source is None:
                        raise ImageError("the image is not there")
                    pixels = read_image(image.source, crop=image.crop, long_side=LONG_SIDE).pixels
                    made[str(content[row])] = perceptual_hash(pixels)
                except ImageError as error:
                    failures.add(str(error), stage="discover duplicates", id=ids[row])
                bar.advance()
            done.add(made)
    known = np.array([key in done.hashes for key in content], bool)
    records = np.zeros(len(table), RECORD)
    for place in np.flatnonzero(known).tolist():
        records[place] = done.hashes[str(content[place])]
    return records, known


class _Kept:
    """Hashes by content, in files of a block each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"phash-{package_version()}"
        self.hashes: dict[str, Array] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(path) as block:
                    self.hashes |= dict(zip(block["content"].tolist(), block["hash"].astype(RECORD, casting="no")))
            except (OSError, ValueError, TypeError, KeyError, EOFError):  # damaged: hashed again
                continue

    def add(self, made: dict[str, Array]) -> None:
        """Keep some more."""
        if made:
            self.hashes |= made
            path = self.folder / f"{next(iter(made))}.npz"
            with replacing(path) as temporary, temporary.open("wb") as out:
                np.savez(out, content=np.array([*made], str), hash=np.array([*made.values()], RECORD))


def _parts(collection: Collection, name: str, ids: pa.ChunkedArray) -> tuple[str, list[str | None]]:
    """(the part that is learnt from, the part of each specimen)."""
    split = collection.split(name)
    place = pc.index_in(ids.combine_chunks(), value_set=split.ids)
    parts: list[str | None] = split.parts.take(place).to_pylist()
    counts = split.counts()
    return ("train" if "train" in counts else next(iter(counts), "")), parts


def _table(ids: pa.ChunkedArray, groups: Groups, series: Array, with_series: bool) -> pa.Table:
    alone = groups.group < 0
    columns = {
        "id": ids,
        "group": pa.array(groups.group, pa.int64(), mask=alone),
        "representative": pa.array(groups.stands, pa.bool_()),
        "kinds": pa.array(["+".join(kinds) or None for kinds in groups.kinds], pa.string()),
        "alike": pa.array(groups.alike, pa.float64(), mask=np.isnan(groups.alike)),
    }
    if with_series:
        columns["series"] = pa.array(series, pa.int64(), mask=series < 0)
    return pa.table(columns)


def _numbers(table: pa.Table, name: str) -> Array:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
