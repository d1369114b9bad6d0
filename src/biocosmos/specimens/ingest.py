"""From a reader's batches to specimens: images checked and hashed, what is there already told apart, the rest stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures, ImageError, Severity
from biocosmos.images import check_image, crop_inside, file_bytes, file_size, inspect_image
from biocosmos.progress import progress
from biocosmos.specimens.appending import Appending
from biocosmos.specimens.identical import identical_groups
from biocosmos.specimens.known import Known
from biocosmos.specimens.moved import Moved
from biocosmos.specimens.records import BESIDE, Source
from biocosmos.specimens.there_already import Again, differences

STAGE = "ingest"
CHECK_THREADS = 8
LARGE_FILE = 16 << 20
"""Image files up to this are read whole by each thread; larger ones only where they are packed."""
PACKED_BYTES = 64 << 20
"""Of image files that are packed from one batch at a time."""
HASH_BYTES = 16


@dataclass
class AddSummary:
    """What :meth:`Collection.add` did.

    Attributes:
        added: specimens stored.
        known: specimens that were there already, the same in all that the source says (an interrupted add goes on so).
        repeated: rows that say again what an earlier row of the source said.
        different: rows whose id is there, or stands earlier in the source, with something else; not stored, each is an error in
            ``failures`` that says what differs.
        moved: specimens whose image file was gone and was found again, by its content, where the source has it.
        refused: rows not stored, each with its reason in ``failures``.
        identical: specimens of the source whose image is byte for byte that of an earlier one, each a warning in ``failures``.
        failures: every error and warning of reading and storing.
    """

    added: int = 0
    known: int = 0
    repeated: int = 0
    different: int = 0
    moved: int = 0
    identical: int = 0
    failures: Failures = field(default_factory=Failures)

    @property
    def refused(self) -> int:
        """Rows not stored."""
        return self.failures.errors


@dataclass(frozen=True)
class _Checked:
    """What reading one row's image gave: ``problem`` is set when the row must be refused."""

    problem: str | None = None
    notes: tuple[str, ...] = ()
    content: bytes | None = None
    content_hash: str | None = None
    width: int | None = None
    height: int | None = None


def check_row(path: str | None, image: bytes | None, keep: bool = True) -> _Checked:
    """Read, hash and decode one image; a row without any image is fine, it may be a barcode or a text.

    keep: hand its bytes back; where they are not wanted, a large file is hashed and decoded without ever being in memory whole.
    """
    if image is None and path is None:
        return _Checked()
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    try:
        if image is None and (keep or file_size(str(path)) <= LARGE_FILE):
            image = file_bytes(str(path))
        source: bytes | str = str(path) if image is None else image
        info = inspect_image(source)
        notes = check_image(source)
        if image is not None:
            digest.update(image)
        else:
            with Path(str(path)).open("rb") as file:
                while chunk := file.read(LARGE_FILE):
                    digest.update(chunk)
    except ImageError as error:
        return _Checked(problem=str(error))
    except OSError as error:
        return _Checked(problem=f"cannot read the file: {error.strerror or error}")
    return _Checked(None, tuple(notes), image if keep else None, digest.hexdigest(), info.width, info.height)


def check_rows(paths: Sequence[Any], images: Sequence[Any], pool: ThreadPoolExecutor, *, keep: bool) -> list[_Checked]:
    """:func:`check_row` of every row; a file that several rows are cut from is read once."""
    files = list(dict.fromkeys(path for path, image in zip(paths, images) if image is None))
    of_file = dict(zip(files, pool.map(lambda path: check_row(path, None, keep), files)))
    packed = iter(pool.map(lambda image: check_row(None, image, keep), [image for image in images if image is not None]))
    return [of_file[path] if image is None else next(packed) for path, image in zip(paths, images)]


def _outside(crop: Sequence[float] | None, found: _Checked) -> str | None:
    """What is wrong with the crop of an image, or None."""
    if crop is None or found.width is None or found.height is None:
        return None
    try:
        crop_inside((crop[0], crop[1], crop[2], crop[3]), found.height, found.width)
    except ImageError as error:
        return str(error)
    return None


def in_memory(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in parts whose image files, which will be packed, are not too much to hold at once."""
    start, size = 0, 0
    for row, path in enumerate(_cells(batch, "image_path")):
        try:
            size += file_size(path) if path is not None else 0
        except ImageError:  # said when it is read
            continue
        if size >= PACKED_BYTES:
            yield batch.slice(start, row + 1 - start)
            start, size = row + 1, 0
    if start < batch.num_rows:
        yield batch.slice(start)


def located(batch: pa.RecordBatch, origin: Path | None) -> pa.RecordBatch:
    """The batch with the files that lie beside specimens (:data:`BESIDE`) named whole: a name is one of the source's folder."""
    if origin is None:
        return batch
    folder = (origin if origin.is_dir() else origin.parent).absolute()
    for name in BESIDE:
        if name in batch.schema.names and pa.types.is_string(batch.schema.field(name).type):
            said = [None if value is None or not value.strip() else value.strip() for value in batch.column(name).to_pylist()]
            whole = pa.array([None if value is None else str(folder / value) for value in said], pa.string())
            batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), whole)
    return batch


@dataclass(frozen=True)
class _Seen:
    """A row whose specimen is there: at ``place`` of the dataset, -1 for an earlier row of the batch; ``stored`` as what."""

    id: str | None
    path: str | None
    content_hash: str | None
    place: int
    stored: dict[str, Any]
    difference: str | None


class Ingest:
    """One source on its way into the dataset at ``path``, with the collection's lock held.

    Args:
        pack: keep the images' bytes. id_prefix: stands before every id.
        before_first: called once, before the first commit.
    """

    def __init__(
        self, path: str, source: Source, *, pack: bool, id_prefix: str = "", before_first: Callable[[], None] | None = None
    ) -> None:
        self.source, self.summary = source, AddSummary(failures=source.failures)
        self._path, self._pack, self._prefix = path, pack, id_prefix
        self._rows = Appending(path, source.failures, stage=STAGE, before_first=before_first)
        dataset = lance.dataset(path)
        self._known = Known(dataset)
        self.moved = Moved(dataset, self._known)
        self._mine = np.zeros(self._rows.first, bool)
        """Specimens that were there and that the source has too, unchanged."""

    def run(self) -> None:
        """Read the source to its end; what was stored when this is stopped stays."""
        source, summary = self.source, self.summary
        try:
            with (
                ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check") as pool,
                progress(f"ingest {source.name}", unit="specimens") as bar,
            ):
                for batch in source.batches:
                    if batch.num_rows == 0:
                        continue
                    if "id" not in batch.schema.names:
                        raise BiocosmosError(f"{source.name}: the reader '{source.format}' gave no column 'id'")
                    for part in in_memory(batch) if self._pack else [batch]:
                        self._batch(part, pool)
                    bar.advance(batch.num_rows)
            self._rows.commit()
        finally:
            summary.added = self._rows.added
        self._tell_identical()

    def _batch(self, batch: pa.RecordBatch, pool: ThreadPoolExecutor) -> None:
        ids = [self._id(id_) for id_ in batch.column("id").to_pylist()]
        batch = self._rows.fitted(located(batch, self.source.origin), ids)
        paths, images, crops = (_cells(batch, name) for name in ("image_path", "image", "crop"))
        checked = check_rows(paths, images, pool, keep=self._pack)
        batch = _with_checks(batch, ids, checked)
        again = Again(self._known.positions(ids))
        kept: list[int] = []
        here: dict[str, int] = {}
        refused: dict[int, str] = {}
        for row, (id_, found) in enumerate(zip(ids, checked)):
            if not id_:
                refused[row] = "blank id"
            elif found.problem is not None:
                refused[row] = found.problem
            elif (outside := _outside(crops[row], found)) is not None:
                refused[row] = outside
            elif again.positions[row] >= 0 or id_ in here:
                again.add(row, here.get(id_))
            elif (place := self.moved.place_of(batch, row)) is not None:
                again.positions[row] = place
                again.add(row, None)
            else:
                here[id_] = row
                self._known.remember(id_, len(self._rows) + len(kept))
                kept.append(row)
                continue
        there = again.specimens(batch, self._rows) if again.rows else None
        differing = {} if there is None else differences(batch, again, there)
        stored = {} if there is None else again.named(there)
        for row, (id_, found) in enumerate(zip(ids, checked)):
            if row in refused:
                self._tell(refused[row], paths[row], id_)
                continue
            if row in stored:
                seen = _Seen(id_, paths[row], found.content_hash, int(again.positions[row]), stored[row], differing.get(row))
                if not self._is_first(seen):
                    continue
            for note in found.notes:
                self._tell(note, paths[row], id_, "warning")
        if kept:
            self._rows.put(self._stored(batch, kept, checked))

    def _is_first(self, row: _Seen) -> bool:
        """Count a row whose specimen is there, and say what differs; whether it is the source's first one of it, and the same."""
        place, difference = row.place, row.difference
        twice = place < 0 or place >= len(self._mine) or bool(self._mine[place])
        if difference is not None:
            self.summary.different += 1
            remedy = "give each specimen an id of its own" if twice else self._remedy(difference)
            where = "stands earlier in this source" if twice else "is there already"
            self._tell(f"duplicate id: it {where}, with {difference}: {remedy}", row.path, row.id)
        elif twice:
            self.summary.repeated += 1
        else:
            self.summary.known += 1
            self._mine[place] = True
        if not twice and self.moved.note(row.stored, row.path, row.content_hash):
            self.summary.moved += 1
        return difference is None and not twice

    def _remedy(self, difference: str) -> str:
        correct = "correct it with 'biocosmos update'"
        return f"{correct}, or --id-prefix if it is another specimen" if difference.startswith("another image") else correct

    def _id(self, id_: Any) -> str | None:
        text = "" if id_ is None else str(id_)
        return None if not text.strip() else self._prefix + text

    def _tell(self, reason: str, path: str | None, id_: str | None, severity: Severity = "error") -> None:
        self.summary.failures.add(reason, stage=STAGE, source=path or self.source.name, id=id_, severity=severity)

    def _stored(self, batch: pa.RecordBatch, kept: list[int], checked: list[_Checked]) -> pa.RecordBatch:
        out = batch if len(kept) == batch.num_rows else batch.take(pa.array(kept))
        if not self._pack:
            return out
        columns = {name: out.column(name) for name in out.schema.names}
        columns["image"] = pa.array([checked[row].content for row in kept], pa.large_binary())
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

    def _tell_identical(self) -> None:
        """Warn of images of this source that are those of earlier specimens too."""
        dataset = lance.dataset(self._path)
        mine = np.ones(dataset.count_rows(), bool)
        mine[: len(self._mine)] = self._mine
        if not mine.any():
            return
        for (_, first), *others in identical_groups(dataset):
            for place, id_ in others:
                if mine[place]:
                    self.summary.identical += 1
                    reason = f"byte-identical to the image of '{first}'"
                    self.summary.failures.add(reason, stage=STAGE, id=id_, severity="warning")


def _cells(batch: pa.RecordBatch, name: str) -> list[Any]:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows


def _with_checks(batch: pa.RecordBatch, ids: list[str | None], checked: list[_Checked]) -> pa.RecordBatch:
    """The batch with final ids, and what is known of each image."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["id"] = pa.array(ids, pa.string())
    columns["content_hash"] = pa.array([found.content_hash for found in checked], pa.string())
    columns["width"] = pa.array([found.width for found in checked], pa.int32())
    columns["height"] = pa.array([found.height for found in checked], pa.int32())
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
