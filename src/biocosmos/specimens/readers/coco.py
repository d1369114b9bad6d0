"""COCO annotations: every box is a specimen, cropped from its image; an annotation without a box is the whole image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_file, is_folder, readable
from biocosmos.specimens.readers import coco_videos
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.boxes import STORED, UPRIGHT, Frames, Size, header, size_of, to_crop, upright_size
from biocosmos.specimens.readers.camera_traps import COLUMNS, moment
from biocosmos.specimens.readers.coco_videos import VIDEO, Videos
from biocosmos.specimens.readers.columns import our_names
from biocosmos.specimens.readers.frame_columns import FRAME_COLUMNS
from biocosmos.specimens.readers.json_fields import MOST_COLUMNS, fitting, type_of
from biocosmos.specimens.readers.json_stream import as_key, as_text, elements
from biocosmos.specimens.readers.lookup import Lookup, Seen
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.places import Inside
from biocosmos.specimens.readers.track_checks import TrackChecks
from biocosmos.specimens.records import ADDED_BY_COLLECTION, STANDARD, Source

IMAGES, CATEGORIES, ANNOTATIONS = "images", "categories", "annotations"
JOINS = {
    IMAGES: {"id", "file_name", "width", "height"},
    CATEGORIES: {"id", "name"},
    ANNOTATIONS: {"image_id", "category_id", "bbox"},
}
OUR_ID, OUR_RANKS = "biocosmos_id", "biocosmos_ranks"
"""Fields of files that we wrote: the specimen's own id, of an annotation or of an image that stands for a specimen without a
name, and in a category which fields are ranks, coarse to fine."""
CAMERA = {"location": "deployment", "seq_id": "sequence", "datetime": "date"}
"""Fields of images in COCO Camera Traps, the form in which camera-trap data sets are published, and what they are here."""
CAMERA_KINDS = COLUMNS | {"date": STANDARD["date"]}
IMAGES_AT_HAND = 1024

Row = tuple[int | None, str | None, dict[str, Any]]


def read(path: Path, options: Options) -> Source:
    """A COCO JSON file, or a folder with one in it. Boxes are clipped to their image; the category is the label.

    Every further field of annotations, images and categories is kept (lists and objects as JSON text), so iNaturalist's
    categories bring their ranks with them.
    """
    file = path if is_file(path) else _json_in(path)
    fields = _Fields(file, options)
    kinds = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label")} | fields.kinds
    ranks = options.ranks
    if ranks is None and fields.ranks is not None and options.taxonomy is None:
        ranks = tuple(rank for rank in fields.ranks if rank in kinds)
    shaper = Shaper(kinds, options.failures, ranks=ranks, taxonomy=options.taxonomy, warn_unlabelled=not fields.has_unnamed)
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
        too_many: set[str] = set()
        self.has_unnamed = False  # images that we wrote of specimens without a name, which nobody need be told of
        self.ranks: tuple[str, ...] | None = None
        for part, element in elements(file, set(JOINS)):
            counts[part] += 1
            if isinstance(element, dict):
                self.has_unnamed = self.has_unnamed or (part == IMAGES and OUR_ID in element)
                if part == CATEGORIES and isinstance(stated := element.get(OUR_RANKS), list):
                    self.ranks = tuple(str(rank) for rank in stated)
                for name, value in element.items():
                    if name in JOINS[part] or name in (OUR_ID, OUR_RANKS):
                        continue
                    if (part, name) not in kinds and len(kinds) >= MOST_COLUMNS:
                        too_many.add(part)
                        continue
                    kinds[part, name] = type_of(kinds.get((part, name)), value)
        if not counts[IMAGES] or not (counts[ANNOTATIONS] or self.has_unnamed):
            raise BiocosmosError(f"{file} has {counts[IMAGES]} images and {counts[ANNOTATIONS]} annotations: is it COCO?")
        for part in sorted(too_many):
            reason = f"{part} have more than {MOST_COLUMNS} different fields: the later ones are left out"
            options.failures.add(reason, stage="read", source=file, severity="warning")
        self.of_camera = (IMAGES, "seq_id") in kinds or {(IMAGES, "location"), (IMAGES, "datetime")} <= kinds.keys()
        for name in CAMERA if self.of_camera else ():
            kinds.pop((IMAGES, name), None)
        self.of_video = (IMAGES, VIDEO) in kinds
        for part, joined in coco_videos.JOINED.items() if self.of_video else ():
            for name in joined:
                kinds.pop((part, name), None)
        given = {**(CAMERA_KINDS if self.of_camera else {}), **(coco_videos.COLUMNS if self.of_video else {})}
        if options.empty:
            given["empty"] = FRAME_COLUMNS["empty"]
        theirs: dict[tuple[str, str], str] = {}
        taken: set[str] = {"label", "crop", *ADDED_BY_COLLECTION, *given}
        for part in (ANNOTATIONS, IMAGES, CATEGORIES):
            for owner, name in kinds:
                if owner == part:
                    plain = f"annotation_{name}" if name in ("id", "category") and part == ANNOTATIONS else readable(name)
                    plain = plain if plain.strip() else "unnamed"
                    while plain in taken:
                        plain = f"{part}_{plain}"
                    theirs[part, name] = plain
                    taken.add(plain)
        ours = our_names(list(theirs.values()), options.columns, str(file))
        # The id is made here, from the image and the annotation.
        self.names = {
            key: f"{name}_source" if name in ("id", "image_path", "label", "crop") else name for key, name in zip(theirs, ours)
        }
        self.kinds = {self.names[key]: kinds[key] or pa.string() for key in theirs}
        self.kinds |= given

    def take(self, part: str, element: dict[str, Any]) -> dict[str, Any]:
        """The element's fields by our names, in the type of their column."""
        taken = {}
        for name, value in element.items():
            ours = self.names.get((part, name))
            if ours is not None and value is not None:
                taken[ours] = fitting(value, self.kinds[ours])
        return taken


@dataclass(frozen=True)
class _Picture:
    """An image of the file: its record, its name and place, the size it declares; or why it cannot be used."""

    record: dict[str, Any]
    name: str = ""
    path: str = ""
    size: Size | None = None
    problem: str | None = None


PictureOf = Callable[[str], _Picture]
"""The picture of an image by its id, which counts as used from then on."""


@dataclass
class _Categories:
    """Categories by their id; one id for two names is no name."""

    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    doubled: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path, failures: Failures) -> _Categories:
        """Read them; what is no category is recorded."""
        self = cls()
        for number, (_, category) in enumerate(elements(file, {CATEGORIES}), 1):
            key = as_key(category.get("id")) if isinstance(category, dict) else None
            if key is None:
                reason = f"category {number} is not an object with an id: left out"
                failures.add(reason, stage="read", source=file, row=number)
            elif key in self.by_id and self.by_id[key].get("name") != category.get("name"):
                names = self.doubled.setdefault(key, [str(as_text(self.by_id[key].get("name")))])
                names.append(str(as_text(category.get("name"))))
            else:
                self.by_id[key] = category
        return self

    def find(self, given: Any) -> tuple[dict[str, Any] | None, str | None]:
        """(the category of an annotation, what is wrong)."""
        key = as_key(given)
        if key is not None and key in self.doubled:
            return None, f"the category {key} is that of several names ({', '.join(self.doubled[key][:5])}): kept, unlabelled"
        found = self.by_id.get(key) if key is not None else None
        return found, None if found else f"the category {str(as_text(given))[:80]} is not among the categories: kept, unlabelled"


def _rows(file: Path, fields: _Fields, options: Options) -> Iterator[Row]:
    failures = options.failures
    categories = _Categories.of(file, failures)
    with Lookup() as images, Seen() as seen:
        images.fill(_image_entries(file, failures))
        inside = Inside(Resolver(*_folders(file, options)))

        @lru_cache(IMAGES_AT_HAND)
        def picture(key: str) -> _Picture:
            """The boxes of an image mostly come together."""
            found = images.get(key)
            images.use(found)
            return _picture([entry.value for entry in found], inside)

        def others() -> Iterator[tuple[str, Size | None]]:
            for _, image in elements(file, {IMAGES}):
                one = _picture([image], inside) if isinstance(image, dict) else _Picture({})
                if one.path:
                    yield one.path, one.size

        frames = Frames(options.boxes, others)
        told: set[str] = set()
        checks = TrackChecks(file, failures)
        videos = Videos.of(file, checks) if fields.of_video else None
        for number, (_, box) in enumerate(elements(file, {ANNOTATIONS}), 1):
            if not isinstance(box, dict):
                failures.add("the annotation is not an object", stage="read", source=file, row=number)
                continue
            row = _Annotation(box, number, file, failures, told, videos)
            values = row.values(picture, categories, fields, frames, seen)
            if values is not None:
                yield number, None, values
        checks.tell()
        yield from _alone(file, images, picture, fields, failures, seen)
        if options.empty:
            yield from _empty(file, images, picture, fields, failures, seen, videos)
        _close(file, images, inside, frames, failures)


def _unused(file: Path, images: Lookup) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(place in the file, id, image) of the images that no annotation used."""
    unused = {key for key, _ in images.unused()}
    for number, (_, image) in enumerate(elements(file, {IMAGES}) if unused else (), 1):
        key = as_key(image.get("id")) if isinstance(image, dict) else None
        if key is not None and key in unused:
            yield number, key, image


def _alone(file: Path, images: Lookup, picture_of: PictureOf, fields: _Fields, failures: Failures, seen: Seen) -> Iterator[Row]:
    """Specimens without a name, in files that we wrote: their images, whole."""
    for number, key, image in _unused(file, images):
        own = image.get(OUR_ID)
        if not isinstance(own, str) or not own.strip():
            continue
        picture = picture_of(key)
        if picture.problem is not None or seen.count(own) > 1:
            reason = f"its image {picture.problem}" if picture.problem is not None else "the id came before"
            failures.add(reason, stage="read", source=file, row=number, id=own)
            continue
        yield number, None, {**fields.take(IMAGES, image), "id": own, "image_path": picture.path, "crop": None, "label": None}


def _empty(
    file: Path, images: Lookup, picture_of: PictureOf, fields: _Fields, failures: Failures, seen: Seen, videos: Videos | None
) -> Iterator[Row]:
    """Images without an annotation, whole."""
    for number, key, image in _unused(file, images):
        picture = picture_of(key)
        if picture.problem is not None or seen.count(picture.name) > 1:
            reason = f"the image {picture.problem}" if picture.problem is not None else "an image of this name came before"
            failures.add(reason, stage="read", source=file, row=number, id=picture.name or None)
            continue
        values = {**fields.take(IMAGES, image), "id": picture.name, "image_path": picture.path}
        if fields.of_camera:
            values |= taken_at(image)[0]
        yield number, None, {**values, **(videos.frame(image) if videos is not None else {}), "empty": True}


def taken_at(image: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """(where and when a camera trap took a picture, what is wrong with the date)."""
    date, time, problem = moment(image.get("datetime"))
    where = {"deployment": as_key(image.get("location")), "sequence": as_key(image.get("seq_id"))}
    return {**where, "date": date, "time": time}, problem


def _close(file: Path, images: Lookup, inside: Inside, frames: Frames, failures: Failures) -> None:
    inside.resolver.tell(failures, source=file)
    if frames.turned:
        reason = f"{frames.turned} boxes are of photos as stored, which EXIF turns: turned with them"
        failures.add(reason, stage="read", source=file, severity="warning")
    empty = sum(1 for _ in images.unused())
    if empty:
        failures.add(
            f"{empty} images have no annotation: left out (--empty keeps them)", stage="read", source=file, severity="warning"
        )


def _image_entries(file: Path, failures: Failures) -> Iterator[tuple[str, int | None, Any]]:
    for number, (_, image) in enumerate(elements(file, {IMAGES}), 1):
        key = as_key(image.get("id")) if isinstance(image, dict) else None
        if key is None:
            reason = f"image {number} is not an object with an id: left out"
            failures.add(reason, stage="read", source=file, row=number)
        else:
            yield key, number, image


def _picture(records: list[dict[str, Any]], inside: Inside) -> _Picture:
    if not records:
        return _Picture({}, problem="is not among the images")
    names = {str(as_text(record.get("file_name")) or "") for record in records}
    if len(names) > 1:
        return _Picture(
            {}, problem=f"is that of {len(records)} images ({', '.join(sorted(names)[:5])}): which one is not certain"
        )
    name, record = names.pop(), records[0]
    if not name.strip():
        return _Picture(record, problem="has no file_name")
    path, problem = inside.find(name)
    if problem is not None:
        return _Picture(record, name, problem=f"cannot be used: {problem}")
    return _Picture(record, name, path, size_of(record.get("width"), record.get("height")))


def _folders(file: Path, options: Options) -> list[Path]:
    """Where images may lie: as asked, beside the file, or beside its folder; also in "images" or COCO's "train2017"."""
    if options.images is not None:
        return [options.images.absolute()]
    part = file.stem.rsplit("_", 1)[-1]
    roots = [file.parent.absolute(), file.parent.absolute().parent]
    return [
        folder for root in roots for folder in (root, root / "images", root / part, root / "images" / part) if is_folder(folder)
    ]


@dataclass
class _Annotation:
    """One annotation of the file on its way to a specimen; ``told`` are the images whose size was spoken of."""

    box: dict[str, Any]
    number: int
    file: Path
    failures: Failures
    told: set[str]
    videos: Videos | None = None
    id: str = ""

    def say(self, reason: str, warning: bool = False) -> None:
        """Add a row about this annotation."""
        severity = "warning" if warning else "error"
        self.failures.add(reason, stage="read", source=self.file, row=self.number, id=self.id or None, severity=severity)  # type: ignore[arg-type]

    def values(
        self, picture: PictureOf, categories: _Categories, fields: _Fields, frames: Frames, seen: Seen
    ) -> dict[str, Any] | None:
        """The specimen by our names; None, and a row that says why, where it cannot be one."""
        own = as_key(self.box.get("id"))
        self.id = f"annotation {self.number if own is None else own}"[:200]
        key = as_key(self.box.get("image_id"))
        image = picture(key) if key is not None else _Picture({}, problem="is not among the images")
        if image.problem is not None:
            self.say(f"its image {str(as_text(self.box.get('image_id')))[:80]} {image.problem}")
            return None
        self._name(image.name, own, seen)
        crop = None
        if self.box.get("bbox") and not self._is_whole(image):
            crop = self._crop(image, frames)
            if crop is None:
                return None
        category, problem = categories.find(self.box.get("category_id"))
        if problem is not None:
            self.say(problem, warning=True)
        label = as_text((category or {}).get("name"))
        taken = {
            **fields.take(CATEGORIES, category or {}),
            **fields.take(IMAGES, image.record),
            **fields.take(ANNOTATIONS, self.box),
        }
        if fields.of_camera:
            taken |= self._taken_at(image.record)
        if self.videos is not None:
            frame = self.videos.frame(image.record)
            individual = self.videos.individual(self.box, frame, self.number)
            if individual is None:
                return None
            taken |= frame | individual
        return {**taken, "id": self.id, "image_path": image.path, "crop": crop, "label": label}

    def _taken_at(self, image: dict[str, Any]) -> dict[str, Any]:
        """Where and when a camera trap took the picture."""
        values, problem = taken_at(image)
        if problem is not None:
            self.say(problem, warning=True)
        return values

    def _name(self, image: str, own: str | None, seen: Seen) -> None:
        """file#id, or file#row without an id; a second one of the same name gets one of its own, with a word."""
        if "id" in self.box and own is None:
            self.say("its id is neither a number nor text: numbered by its place in the file", warning=True)
        given = self.box.get(OUR_ID)
        first = given if isinstance(given, str) and given.strip() else f"{image}#{self.number if own is None else own}"
        self.id = first
        if seen.count(first) == 1:
            return
        self.id = next(name for n in count(2) if seen.count(name := f"{first}-{n}") == 1)
        self.say(f"a further annotation with the id {str(own)[:80]}: called {self.id!r}", warning=True)

    def _is_whole(self, image: _Picture) -> bool:
        """Whether the box is our way to say that a specimen has no crop."""
        return OUR_ID in self.box and image.size is not None and self.box["bbox"] == [0, 0, *image.size]

    def _crop(self, image: _Picture, frames: Frames) -> list[float] | None:
        info, box = header(image.path), self.box["bbox"]
        frame, doubt = frames.of(info, image.size) if info is not None else (UPRIGHT, None)
        if info is not None and image.path not in self.told:
            self.told.add(image.path)
            if doubt is not None:
                self.say(doubt, warning=True)
            own = (info.width, info.height) if frame == STORED else upright_size(info)
            if image.size is not None and image.size != own:
                said, real = (f"{a:g} x {b:g}" for a, b in (image.size, own))
                self.say(f"the image is said to have {said} pixels, its file has {real}: its boxes may be off", warning=True)
        crop, reason, clipped = to_crop(box, info, image.size, frame)
        if crop is None:
            self.say(str(reason))
            return None
        if clipped:
            self.say(f"the box {str(box)[:80]} reaches outside the image: clipped", warning=True)
        return crop
