"""The images of a table's rows: where they lie, what part of them is meant, and what a row without an id is called by them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.files import Resolver, readable
from biocosmos.specimens.readers.archive import Archive
from biocosmos.specimens.readers.blocks import Block
from biocosmos.specimens.readers.columns import IMAGE_URL
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.media import ADDRESSES
from biocosmos.specimens.readers.options import Options

CONTENT = ("image_path", "image", "barcode", "text", IMAGE_URL)
BARCODE_ALONE = "kept with its barcode alone"


class RowImages:
    """Finds the images of blocks of rows, one source at a time; close it (or use ``with``) when the last row is read.

    A row without an id is called by its image; the second and later rows of an image are called image#2, image#3 and so on, in
    the order of the table, so that reading it again gives the same ids.
    """

    def __init__(
        self,
        options: Options,
        source: str | Path,
        resolver: Resolver | None = None,
        archive: tuple[Archive, str] | None = None,
        *,
        records: bool = False,
    ) -> None:
        """resolver: finds the files that names mean; None where paths are those of the disk already, or in an archive.

        archive: the images are in it, by names that start from a folder of it. records: the rows are records of occurrences,
        which are kept without an image, barcode or text.
        """
        self.options, self.source, self._resolver, self._archive = options, source, resolver, archive
        self._records = records
        self._seen = Seen()
        self._on_web = 0

    def finish(self, block: Block) -> Iterator[Block]:
        """The block with images and crops resolved; rows whose image cannot be had are left out and recorded."""
        columns, bad = block.columns, set[int]()
        if "image_path" in columns:
            self._find(block, bad)
        if not self._records:
            self._refuse_empty(block, bad)
        if "crop" in columns and isinstance(columns["crop"], list):
            self._crops(block, bad)
        if IMAGE_URL in columns:
            self._count_on_web(block)
        if bad:
            block = without(block, bad)
        if block.rows:
            yield block

    def close(self) -> None:
        """Tell in how many names the table and the files differ, and how many images are on the web only."""
        if self._resolver is not None:
            self._resolver.tell(self.options.failures, source=self.source)
        tell_on_web(self._on_web, self.source, self.options.failures)
        self._on_web = 0
        self._seen.close()

    def __enter__(self) -> RowImages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._seen.close()

    def _find(self, block: Block, bad: set[int]) -> None:
        columns = block.columns
        packed = columns.get("image")
        names = [None if value is None or not str(value).strip() else str(value) for value in columns["image_path"]]
        paths: list[str | None] = list(names)
        unpacked: list[bytes | None] = [None] * len(names)
        for i, name in enumerate(names):
            if packed is not None and packed[i] is not None and getattr(packed[i], "is_valid", True):
                continue
            if name is None:
                if _filled(columns, "barcode", i) and not _filled(columns, IMAGE_URL, i):
                    self._fail(block, i, f"the name of the image is blank: {BARCODE_ALONE}", warning=True)
                elif self._records and not any(_filled(columns, other, i) for other in ("text", IMAGE_URL)):
                    self._fail(block, i, "the name of the image is blank: kept without an image", warning=True)
                continue
            if name.strip().lower().startswith(ADDRESSES):
                problem: str | None = f"the image is a web address ({readable(name)}): download it first"
            else:
                paths[i], unpacked[i], problem = self._place(name, must_be_there=_filled(columns, "barcode", i))
            if problem is not None and _filled(columns, "barcode", i):
                self._fail(block, i, f"{problem}: {BARCODE_ALONE}", warning=True)
                paths[i] = None
            elif problem is not None:
                self._fail(block, i, problem)
                bad.add(i)
        columns["image_path"] = paths
        if self._archive is not None:
            columns["image"] = unpacked
        if block.fallback_ids is None:
            block.fallback_ids = self._called(columns.get("id"), names, bad)

    def _refuse_empty(self, block: Block, bad: set[int]) -> None:
        """Record the rows in which every column of images, barcodes and texts is blank; a table of records has none at all."""
        filled = [_there(block.columns[name]) for name in CONTENT if name in block.columns]
        if not filled or not {*CONTENT[:-1]} & set(block.columns):
            return
        for i, any_there in enumerate(map(any, zip(*filled))):
            if not any_there and i not in bad:
                self._fail(block, i, "no image, no barcode and no text")
                bad.add(i)

    def _place(self, name: str, *, must_be_there: bool) -> tuple[str | None, bytes | None, str | None]:
        """(path, bytes, why neither) of the image that a name means; one that is not there is else found out when it is read."""
        if self._archive is not None:
            archive, folder = self._archive
            member, reason = archive.find(name, folder)
            if member is None:
                return None, None, reason
            content, path, reason = archive.image(member)
            return path, content, None if reason is None else f"{readable(name)}: {reason}"
        if self._resolver is None:
            return name, None, None
        found = self._resolver.find(name)
        if must_be_there and not found.there and not found.ambiguous:
            return None, None, f"there is no image file {readable(name)!r}"
        return found.path, None, found.problem if found.ambiguous else None

    def _called(self, ids: Any, names: list[str | None], bad: set[int]) -> list[str | None]:
        called: list[str | None] = []
        for i, name in enumerate(names):
            own = None if ids is None else ids[i]
            if name is None or i in bad or (own is not None and str(own).strip()):
                called.append(name)
                continue
            times = self._seen.count(name)
            unique = name if times == 1 else f"{name}#{times}"
            while times > 1 and self._seen.count(unique) > 1:  # a file that is itself called so
                times = self._seen.count(name)
                unique = f"{name}#{times}"
            called.append(unique)
        return called

    def _crops(self, block: Block, bad: set[int]) -> None:
        crops: list[list[float] | None] = []
        for i, value in enumerate(block.columns["crop"]):
            crop, reason = crop_of(value)
            if reason and i not in bad:
                self._fail(block, i, reason)
                bad.add(i)
            crops.append(crop)
        block.columns["crop"] = crops

    def _count_on_web(self, block: Block) -> None:
        columns = block.columns
        for i in range(len(block.rows)):
            if _filled(columns, IMAGE_URL, i) and not _filled(columns, "image_path", i):
                self._on_web += 1

    def _fail(self, block: Block, i: int, reason: str, warning: bool = False) -> None:
        id = block.columns["id"][i] if "id" in block.columns else None
        self.options.failures.add(
            reason,
            stage="read",
            source=block.source,
            row=block.rows[i],
            id=None if id is None else str(id),
            severity="warning" if warning else "error",
        )


def tell_on_web(count: int, source: str | Path, failures: Failures) -> None:
    """Warn of specimens whose image is on the web only, if there are any."""
    if count:
        specimens = "1 specimen has its image" if count == 1 else f"{count} specimens have their image"
        reason = f"{specimens} on the web: the address is kept as {IMAGE_URL}, nothing was fetched"
        failures.add(reason, stage="read", source=source, severity="warning")


def without(block: Block, bad: set[int]) -> Block:
    """The block without some of its rows (positions from 0)."""
    keep = [i for i in range(len(block.rows)) if i not in bad]
    columns: dict[str, Any] = {
        name: values.take(pa.array(keep, pa.int64())) if isinstance(values, pa.Array) else [values[i] for i in keep]
        for name, values in block.columns.items()
    }
    fallback = None if block.fallback_ids is None else [block.fallback_ids[i] for i in keep]
    return Block(columns, [block.rows[i] for i in keep], block.source, fallback)


def _filled(columns: dict[str, Any], name: str, i: int) -> bool:
    if name not in columns:
        return False
    value = columns[name][i]
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    return value is not None and bool(str(value).strip())


def _there(values: Any) -> list[bool]:
    """Which values are neither null nor blank."""
    if isinstance(values, pa.Array) and not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return list(values.is_valid().to_pylist())
    cells = values.to_pylist() if isinstance(values, pa.Array) else values
    return [cell is not None and (not isinstance(cell, str) or bool(cell.strip())) for cell in cells]


def crop_of(value: Any) -> tuple[list[float] | None, str | None]:
    """([x, y, width, height] or None, what is wrong or None)."""
    if value is None:
        return None, None
    try:
        numbers = [float(part) for part in json.loads(value)] if isinstance(value, str) else [float(part) for part in value]
    except (TypeError, ValueError):
        return None, f"the crop {value!r} is not [x, y, width, height]"
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or numbers[2] <= 0 or numbers[3] <= 0:
        return None, f"the crop {value!r} is not [x, y, width, height] with a positive size"
    return numbers, None
