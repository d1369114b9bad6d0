"""COCO annotations: every box is a specimen, cropped from its image; an annotation without a box is the whole image."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver
from biocosmos.specimens.readers.archive import leads_outside
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.columns import our_names
from biocosmos.specimens.readers.json_stream import elements
from biocosmos.specimens.readers.lookup import Lookup
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import ADDED_BY_COLLECTION, STANDARD, Source

IMAGES, CATEGORIES, ANNOTATIONS = "images", "categories", "annotations"
JOINS = {
    IMAGES: {"id", "file_name", "width", "height"},
    CATEGORIES: {"id", "name"},
    ANNOTATIONS: {"image_id", "category_id", "bbox"},
}
IMAGES_AT_HAND = 1024
CLIPPED_FROM = 1.0  # pixels outside the image that are worth a word; less is rounding


def read(path: Path, options: Options) -> Source:
    """A COCO JSON file, or a folder with one in it. Boxes are clipped to their image; the category is the label.

    Every further field of annotations, images and categories is kept (lists and objects as JSON text), so iNaturalist's
    categories bring their ranks with them.
    """
    file = path if path.is_file() else _json_in(path)
    fields = _Fields(file, options)
    kinds = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label")} | fields.kinds
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy)
    blocks = gather(_rows(file, fields, options), list(kinds), str(file))
    return Source(path.name, "coco", shaper.batches(blocks), shaper.rank_columns, options.failures)


def _json_in(folder: Path) -> Path:
    found = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    if len(found) != 1:
        what = (
            f"{len(found)} JSON files: name one of {', '.join(map(str, found[:5]))}" if found else "no JSON file with annotations"
        )
        raise BiocosmosError(f"{folder} has {what}")
    return found[0]


class _Fields:
    """Which fields there are beyond COCO's joins, under which names, and of which type; from one pass over the file."""

    def __init__(self, file: Path, options: Options) -> None:
        kinds: dict[tuple[str, str], pa.DataType | None] = {("categories", "supercategory"): None}
        counts: Counter[str] = Counter()
        for part, element in elements(file, set(JOINS)):
            counts[part] += 1
            if isinstance(element, dict):
                for name, value in element.items():
                    if name not in JOINS[part]:
                        kinds[part, name] = _merge(kinds.get((part, name)), value)
        if not counts[ANNOTATIONS] or not counts[IMAGES]:
            raise BiocosmosError(f"{file} has {counts[IMAGES]} images and {counts[ANNOTATIONS]} annotations: is it COCO?")
        theirs: dict[tuple[str, str], str] = {}
        taken: set[str] = {"label", "crop", *ADDED_BY_COLLECTION}
        for part in (ANNOTATIONS, IMAGES, CATEGORIES):
            for owner, name in kinds:
                if owner == part:
                    plain = f"annotation_{name}" if name in ("id", "category") and part == ANNOTATIONS else name
                    plain = plain if plain not in taken else f"{part}_{name}"
                    theirs[part, name] = plain
                    taken.add(plain)
        ours = our_names(list(theirs.values()), options.columns, str(file))
        # The id is made here, from the image and the annotation.
        self.names = {
            key: f"{name}_source" if name in ("id", "image_path", "label", "crop") else name for key, name in zip(theirs, ours)
        }
        self.kinds = {self.names[key]: kinds[key] or pa.string() for key in theirs}

    def take(self, part: str, element: dict[str, Any]) -> dict[str, Any]:
        """The element's fields by our names, in the type of their column."""
        taken = {}
        for name, value in element.items():
            ours = self.names.get((part, name))
            if ours is not None and value is not None:
                kind = self.kinds[ours]
                if pa.types.is_string(kind) and not isinstance(value, str):
                    value = json.dumps(value, ensure_ascii=False)
                taken[ours] = value
        return taken


def _merge(kind: pa.DataType | None, value: Any) -> pa.DataType | None:
    if value is None:
        return kind
    if isinstance(value, bool):
        found = pa.bool_()
    elif isinstance(value, int) and abs(value) < 2**63:
        found = pa.int64()
    elif isinstance(value, float):
        found = pa.float64()
    else:
        return pa.string()
    if kind is None or kind == found:
        return found
    return pa.float64() if {kind, found} == {pa.int64(), pa.float64()} else pa.string()


def _rows(file: Path, fields: _Fields, options: Options) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    failures = options.failures
    categories: dict[Any, dict[str, Any]] = {}
    with Lookup() as images:
        images.fill((str(image.get("id")), None, image) for part, image in elements(file, {IMAGES}) if isinstance(image, dict))
        for _, category in elements(file, {CATEGORIES}):
            categories[category.get("id")] = category
        resolver = Resolver(*_folders(file, options))

        @lru_cache(IMAGES_AT_HAND)
        def place(image_id: str) -> tuple[dict[str, Any] | None, str]:
            """(image, where it lies); the boxes of an image mostly come together."""
            found = images.get(image_id)
            images.use(found)
            image = found[0].value if found else None
            name = str((image or {}).get("file_name") or "").strip()
            return image, resolver.find(name).path if name and not leads_outside(name) else str(Path(resolver.roots[0], name))

        for number, (_, box) in enumerate(elements(file, {ANNOTATIONS}), 1):
            values = _row(box, number, file, place, categories, fields, failures)
            if values is not None:
                yield number, None, values
        resolver.tell(failures, source=file)
        empty = sum(1 for _ in images.unused())
        if empty:
            failures.add(f"{empty} images have no annotation: left out", stage="read", source=file, severity="warning")


def _folders(file: Path, options: Options) -> list[Path]:
    """Where images may lie: as asked, beside the file, or beside its folder; also in "images" or COCO's "train2017"."""
    if options.images is not None:
        return [options.images.absolute()]
    part = file.stem.rsplit("_", 1)[-1]
    roots = [file.parent.absolute(), file.parent.absolute().parent]
    return [
        folder for root in roots for folder in (root, root / "images", root / part, root / "images" / part) if folder.is_dir()
    ]


def _row(
    box: Any,
    number: int,
    file: Path,
    place: Callable[[str], tuple[dict[str, Any] | None, str]],
    categories: dict[Any, dict[str, Any]],
    fields: _Fields,
    failures: Failures,
) -> dict[str, Any] | None:
    if not isinstance(box, dict):
        failures.add("the annotation is not an object", stage="read", source=file, row=number)
        return None
    own = box.get("id", number)
    id = f"annotation {own}"

    def say(reason: str, warning: bool = False) -> None:
        failures.add(reason, stage="read", source=file, row=number, id=id, severity="warning" if warning else "error")

    image, path = place(str(box.get("image_id")))
    name = str((image or {}).get("file_name") or "").strip()
    if image is None or not name:
        say(f"its image {box.get('image_id')!r} is not among the images" if image is None else "its image has no file_name")
        return None
    if leads_outside(name):
        say(f"the image name {name!r} leads outside the folder: refused")
        return None
    id = f"{name}#{own}"
    crop = None
    if box.get("bbox"):
        crop, reason, clipped = clip(box["bbox"], image.get("width"), image.get("height"))
        if crop is None:
            say(str(reason))
            return None
        if clipped:
            say(f"the box {box['bbox']} reaches outside the image: clipped", warning=True)
    category = categories.get(box.get("category_id"))
    if category is None:
        say(f"the category {box.get('category_id')!r} is not among the categories: kept, unlabelled", warning=True)
    values = {**fields.take(CATEGORIES, category or {}), **fields.take(IMAGES, image), **fields.take(ANNOTATIONS, box)}
    return {**values, "id": id, "image_path": path, "crop": crop, "label": (category or {}).get("name")}


def clip(box: Any, width: Any, height: Any) -> tuple[list[float] | None, str | None, bool]:
    """([x, y, width, height] inside the image, why there is none, whether more than rounding was cut off)."""
    try:
        x, y, w, h = (float(value) for value in box)
    except (TypeError, ValueError):
        return None, f"the box {box!r} is not [x, y, width, height]", False
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        return None, f"the box {box} has no area", False
    right = min(x + w, float(width)) if width else x + w
    bottom = min(y + h, float(height)) if height else y + h
    left, top = max(x, 0.0), max(y, 0.0)
    if right <= left or bottom <= top:
        return None, f"the box {box} lies outside the image of {width} x {height}", False
    cut = max(left - x, top - y, x + w - right, y + h - bottom)
    return [left, top, right - left, bottom - top], None, cut >= CLIPPED_FROM
