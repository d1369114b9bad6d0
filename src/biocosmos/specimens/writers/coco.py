"""COCO JSON out: every crop a box, every image once, categories with what stands above them."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from biocosmos.errors import Failures, ImageError
from biocosmos.images import image_size
from biocosmos.specimens.readers.coco import ANNOTATIONS, CATEGORIES, IMAGES, JOINS, OUR_ID, OUR_RANKS
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.records import ADDED_BY_COLLECTION
from biocosmos.specimens.writers.naming import BY_MACHINE, VERIFICATION, Named, Naming, says
from biocosmos.specimens.writers.pictures import image_of
from biocosmos.specimens.writers.tabular import is_binary, rows_of, written_beside
from biocosmos.tables import replacing

NOT_FIELDS = {"id", "image", "image_path", "crop", "label", "supercategory", *ADDED_BY_COLLECTION}
STRUCTURED = ("segmentation", "keypoints")
"""Fields of COCO's that are lists, which a collection keeps as JSON."""
COPY_BYTES = 1 << 20


def write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, failures: Failures, ranks: Sequence[str], software: str = ""
) -> int:
    """Write ``path`` and, in ``<name>_images`` beside it, the images that do not lie below its folder; returns the rows written.

    A specimen that has a name is an annotation: its crop the box, in pixels of the upright image, the whole image without a crop.
    Its label is the category, with its ranks and, as supercategory, the taxon above; a machine's name has its confidence as
    score. All other columns are fields of the annotation. Of a specimen without a name only the image is written, and how many
    these are is told. A specimen without an image that can be read is left out and recorded.
    """
    folder = path.parent
    with (
        replacing(path) as temporary,
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as images,
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as annotations,
        Seen() as names,
    ):
        made = _Coco(schema, path, failures, ranks, names, images, annotations)
        for row in rows_of(batches):
            made.add(row)
        if made.copied:
            reason = f"{made.copied:,} images that do not lie below {folder} are copied to {path.stem}_images"
            failures.add(reason, stage="write", source=path, severity="warning")
        if made.nameless:
            reason = f"specimens without a name, which COCO has no annotation for: {made.nameless:,}; their images are written"
            failures.add(reason, stage="write", source=path, severity="warning")
        with temporary.open("w", encoding="utf-8") as out:
            out.write(f'{{"info": {json.dumps({"description": path.stem, "contributor": software})},\n"{IMAGES}": [')
            _append(images, out)
            out.write(f'],\n"{ANNOTATIONS}": [')
            _append(annotations, out)
            out.write(f'],\n"{CATEGORIES}": [\n')
            out.write(",\n".join(json.dumps(category, ensure_ascii=False) for category in made.categories.values()))
            out.write("\n]}\n")
        return made.rows


def _append(part: IO[str], out: IO[str]) -> None:
    part.flush()
    part.seek(0)
    shutil.copyfileobj(part, out, COPY_BYTES)


class _Coco:
    """Writes one row after the other, each image once."""

    def __init__(
        self,
        schema: pa.Schema,
        path: Path,
        failures: Failures,
        ranks: Sequence[str],
        names: Seen,
        images: IO[str],
        annotations: IO[str],
    ) -> None:
        self.path, self.failures, self.names = path, failures, names
        self.ranks, self.naming = [rank for rank in ranks if rank != "label"], Naming(schema.names, ranks)
        self.label_is_rank = "label" in ranks
        self.images, self.annotations = images, annotations
        self.rows = self.copied = self.nameless = 0
        self.categories: dict[tuple[str | None, ...], dict[str, Any]] = {}
        self.image_ids: dict[str, tuple[int, int, int]] = {}
        left = NOT_FIELDS | set(self.ranks) | ({"taxon"} if self.naming.has_answers else set())
        self.fields = [field.name for field in schema if field.name not in left and not is_binary(field.type)]

    def add(self, row: dict[str, Any]) -> None:
        """Write one annotation, and its image if it is the first of it."""
        id = str(row["id"])
        named, is_answer = self.naming.of(row), self.naming.is_answer(row)
        image, reason = self._image(row, named.name is None)
        if image is None:
            self.failures.add(reason or "no image: COCO has none without", stage="write", source=self.path, id=id)
            return
        if named.name is None:
            self.nameless += 1
            return
        number, width, height = image
        crop = row.get("crop") or (0, 0, width, height)
        self.rows += 1
        box: dict[str, Any] = {"id": self.rows, "image_id": number, "category_id": self._category(row, named), OUR_ID: id}
        box["bbox"] = [float(f"{number:.9g}") for number in crop]  # as many digits as float32 holds
        box["area"] = float(f"{crop[2] * crop[3]:.9g}")
        box["iscrowd"] = 0
        if is_answer:
            box |= {"score": row.get("confidence"), VERIFICATION: BY_MACHINE}
        for name in self.fields:
            value = self._value(name, row.get(name), id)
            if value is not None:
                box[f"{name}_source" if name in JOINS[ANNOTATIONS] else name] = value
        _write(self.annotations, {name: value for name, value in box.items() if value is not None}, self.rows == 1)

    def _image(self, row: dict[str, Any], alone: bool) -> tuple[tuple[int, int, int] | None, str | None]:
        """(id, width and height of the image, why there is none); alone: it stands for a specimen without an annotation."""
        packed = row.get("image")
        if packed is not None:
            key = str(row.get("content_hash") or hashlib.blake2b(packed, digest_size=16).hexdigest())
        else:
            key = str(row.get("image_path") or "")
        if key in self.image_ids:
            return self.image_ids[key], None
        content, reason = image_of(row)
        if content is None:
            return None, reason
        try:
            height, width = image_size(content)
        except ImageError as error:
            return None, str(error)
        number = len(self.image_ids) + 1
        found = self.image_ids[key] = (number, width, height)
        record = {"id": number, "file_name": self._name(row, content), "width": width, "height": height}
        record |= {OUR_ID: str(row["id"])} if alone else {}
        _write(self.images, record, number == 1)
        return found, None

    def _name(self, row: dict[str, Any], content: bytes) -> str:
        """The image's file, from the folder of the JSON; one that lies elsewhere is copied there, to be handed on with it."""
        if row.get("image") is None:
            try:
                return Path(str(row["image_path"])).absolute().relative_to(self.path.parent.absolute()).as_posix()
            except ValueError:
                self.copied += 1
        return written_beside(self.path, str(row["id"]), content, self.names)

    def _category(self, row: dict[str, Any], named: Named) -> int:
        """The id of the category of this name and these ranks."""
        ranks = {rank: row[rank] for rank in self.ranks if says(row.get(rank))}
        key = (named.name, *(ranks.get(rank) for rank in self.ranks))
        if key not in self.categories:
            above = [name for name in ranks.values() if name != named.name]
            category: dict[str, Any] = {"id": len(self.categories) + 1, "name": named.name}
            category |= {"supercategory": above[-1]} if above else {}
            if not self.categories and (self.ranks or self.label_is_rank):
                category[OUR_RANKS] = [*self.ranks, *(["label"] if self.label_is_rank else [])]
            self.categories[key] = category | ranks
        return int(self.categories[key]["id"])

    def _value(self, name: str, value: Any, id: str) -> Any:
        """A cell as JSON has it; numbers that JSON lacks are told."""
        if isinstance(value, float) and not math.isfinite(value):
            if not math.isnan(value):
                reason = f"{name} is {value}, which JSON has no number for: left out"
                self.failures.add(reason, stage="write", source=self.path, id=id, severity="warning")
            return None
        if name in STRUCTURED and isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value


def _write(out: IO[str], record: dict[str, Any], is_first: bool) -> None:
    out.write(("\n" if is_first else ",\n") + json.dumps(record, ensure_ascii=False, default=str))
