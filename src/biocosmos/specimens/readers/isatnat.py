"""iSatNat: iNaturalist 2021's annotations, and a satellite image of each place, ``{id}_{latitude}_{longitude}.jpeg``.

Sastry et al., TaxaBind, WACV 2025, https://arxiv.org/abs/2411.00683; the names of the files are those that the loaders in
https://github.com/mvrl/TaxaBind ask for. An image and its annotation have one id there, and numbers stand as JSON has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_folder
from biocosmos.specimens.readers import coco
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import Source

SATELLITE = "satellite_path"
FOLDERS = ("satellite", "sentinel", "images/sentinel", "satellite/images/sentinel")
"""Where satellite images may lie, seen from the annotations or the folder above."""
NAMED = re.compile(r".+_-?\d+(?:\.\d+)?_-?\d+(?:\.\d+)?\.jpe?g")
_LOOKED_AT = 64


def satellite_folder(path: Path) -> Path | None:
    """The folder of satellite images that belongs to annotations, or that lies in a folder of such."""
    roots = (path, path.parent) if is_folder(path) else (path.parent, path.parent.parent)
    return next((folder for root in roots for name in FOLDERS if _is_satellite(folder := root / name)), None)


def _is_satellite(folder: Path) -> bool:
    return is_folder(folder) and any(NAMED.fullmatch(entry.name) for entry in islice(folder.iterdir(), _LOOKED_AT))


def read(path: Path, options: Options) -> Source:
    """Annotations as :mod:`biocosmos.specimens.readers.coco` reads them, with the column ``satellite_path``.

    A satellite image that is not there is counted; its specimen is kept. Raises BiocosmosError where no folder of them is found.
    """
    folder = options.beside or satellite_folder(path)
    if folder is None:
        raise BiocosmosError(
            f"{path} has no folder of satellite images beside it ({', '.join(FOLDERS[:2])}): name it with --beside"
        )
    file = path if is_file(path) else _annotations(path)
    source = coco.read(file, replace(options, beside=None))
    images = _Satellite(folder.absolute(), file, options)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches:
            yield images.beside(batch)
        images.tell()

    return replace(source, name=path.name, format="isatnat", batches=batches())


def _annotations(folder: Path) -> Path:
    found = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    if len(found) != 1:
        raise BiocosmosError(f"{folder} has {len(found)} JSON files: name the one with the annotations")
    return found[0]


class _Satellite:
    """Finds satellite images by the id of the annotation and the place."""

    def __init__(self, folder: Path, file: Path, options: Options) -> None:
        self._folder, self._file, self._failures = folder, file, options.failures
        self._placed = self._unplaced = self._lost = 0
        self._first = ""

    def beside(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with ``satellite_path``."""
        there = batch.schema.names
        where = [batch.column(name).to_pylist() if name in there else [None] * len(batch) for name in ("latitude", "longitude")]
        found = [self._find(id_, *map(_number, place)) for id_, *place in zip(batch.column("id").to_pylist(), *where)]
        return batch.append_column(SATELLITE, pa.array(found, pa.string()))

    def _find(self, id_: str, latitude: float | None, longitude: float | None) -> str | None:
        if latitude is None or longitude is None:
            self._unplaced += 1
            return None
        self._placed += 1
        own = PurePath(id_.rpartition("#")[2]).name
        for north in _written(latitude):
            for east in _written(longitude):
                if is_file(path := self._folder / f"{own}_{north}_{east}.jpeg"):
                    return str(path)
        self._lost += 1
        self._first = self._first or f"{own}_{latitude}_{longitude}.jpeg"
        return None

    def tell(self) -> None:
        """Say how many have no satellite image, and why."""
        if self._unplaced:
            reason = f"{self._unplaced:,} specimens have no place, and so no satellite image"
            self._failures.add(reason, stage="read", source=self._file, severity="warning")
        if self._lost:
            reason = f"{self._lost:,} of {self._placed:,} satellite images are not in {self._folder}, {self._first} for one"
            self._failures.add(reason, stage="read", source=self._file, severity="warning")


def _number(value: object) -> float | None:
    """Degrees, also where the file has them as text."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _written(degrees: float) -> tuple[str, ...]:
    """A number as JSON may have had it: 52.0 or 52."""
    return (str(degrees), str(int(degrees))) if degrees == int(degrees) else (str(degrees),)
