"""MegaDetector results: every animal found in a camera-trap picture is a specimen, cropped from it.

Both files of that name are read: the format of run_detector_batch and of what builds on it (AddaxAI, Timelapse), versions
1.0 to 1.6 (https://lila.science/megadetector-output-format: boxes as shares of the picture), and the list of Microsoft's
own command line (https://microsoft.github.io/MegaDetector/output_format: corners in pixels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import Resolver, is_file, is_folder
from biocosmos.images import ImageInfo
from biocosmos.specimens.readers.archive import leads_outside
from biocosmos.specimens.readers.blocks import Shaper, gather
from biocosmos.specimens.readers.boxes import UPRIGHT, header, to_crop
from biocosmos.specimens.readers.camera_traps import COLUMNS, is_film, moment, share_to_crop
from biocosmos.specimens.readers.frame_columns import FRAME_COLUMNS
from biocosmos.specimens.readers.json_fields import JsonFields
from biocosmos.specimens.readers.json_stream import as_key, as_number, as_text, parts
from biocosmos.specimens.readers.lookup import Seen
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.places import Inside
from biocosmos.specimens.records import STANDARD, Source

IMAGES = "images"
DETECTIONS, CLASSES, DESCRIPTIONS = "detection_categories", "classification_categories", "classification_category_descriptions"
CONFIDENCE = 0.2
"""What the authors of MegaDetector 5 and later advise, where the file does not say what is typical of its model."""
NO_ANIMALS = frozenset({"person", "people", "human", "vehicle", "empty", "blank", "no detection", "none"})
JOINED = frozenset({"file", "detections", "failure", "max_detection_conf", "datetime", "width", "height"})
SEQUENCE_NAMES = ("seq_id", "sequence_id", "sequence", "seqid", "sequenceid", "eventid")
USUAL = {"1": "animal", "2": "person", "3": "vehicle"}
OWN: dict[str, pa.DataType] = {
    "detection": pa.string(),
    "detection_confidence": pa.float64(),
    "classification_confidence": pa.float64(),
    "classifications": pa.string(),
    "station": pa.string(),
}

Row = tuple[int | None, str | None, dict[str, Any]]


def read(path: Path, options: Options) -> Source:
    """A results file. Animals from a confidence on become crops, with ids file#1, file#2 ...; people and vehicles are counted.

    The label is the first classification where there are any. The folder a picture lies in is its ``deployment``, the first
    folder of its path its ``station``. Fields of the pictures are kept as columns.
    """
    results = _Results.of(path)
    kinds = {name: STANDARD[name] for name in ("id", "image_path", "crop", "label", "date")} | COLUMNS | OWN
    results.fields.call(list(results.fields.kinds), {*kinds, *STANDARD, "empty"})
    kinds |= results.fields.columns()
    if options.empty:
        kinds["empty"] = FRAME_COLUMNS["empty"]
    shaper = Shaper(kinds, options.failures, ranks=options.ranks, taxonomy=options.taxonomy, warn_unlabelled=False)
    blocks = gather(_rows(path, results, options), list(kinds), str(path))
    return Source(path.name, "megadetector", shaper.batches(blocks), shaper.rank_columns, options.failures)


@dataclass
class _Results:
    """What stands around the pictures, and which fields they have; from one pass over the file."""

    names: dict[str, dict[str, Any]] = field(default_factory=dict)
    typical: float | None = None
    images: int = 0
    fields: JsonFields = field(default_factory=JsonFields)

    @classmethod
    def of(cls, file: Path) -> _Results:
        """Raises BiocosmosError for a file of another kind."""
        self = cls({DETECTIONS: USUAL})
        for key, value in parts(file, {IMAGES}, listed=IMAGES):
            if key == IMAGES:
                self.images += 1
                if isinstance(value, dict):
                    others = {n: v for n, v in value.items() if n not in JOINED and n.lower() not in SEQUENCE_NAMES}
                    self.fields.add(others)
            elif key in (DETECTIONS, CLASSES, DESCRIPTIONS) and isinstance(value, dict):
                self.names[key] = value
            elif key == "info" and isinstance(value, dict):
                advice = value.get("detector_metadata")
                self.typical = as_number(advice.get("typical_detection_threshold")) if isinstance(advice, dict) else None
        if not self.images:
            raise BiocosmosError(f"{file} has no images: is it a file of MegaDetector?")
        return self

    def name(self, kind: str, category: Any) -> str | None:
        """What a category of DETECTIONS or CLASSES is called; the newer files have names in its place."""
        key = as_key(category)
        if key is None:
            return None
        return as_text(self.names.get(kind, {}).get(key)) or (None if key.isdigit() else key)


@dataclass
class _Counts:
    """What is said once for the whole file."""

    empty: int = 0
    below: int = 0
    others: Counter[str] = field(default_factory=Counter)

    def tell(self, file: Path, least: float, kept: bool, failures: Failures) -> None:
        """Add a warning for each."""
        said = [f"{count:,} detections of {what}: left out" for what, count in sorted(self.others.items())]
        if self.below:
            said.append(f"{self.below:,} detections of less confidence than {least:g}: left out (--confidence)")
        if self.empty and not kept:
            said.append(f"{self.empty:,} pictures without an animal: left out (--empty keeps them)")
        for reason in said:
            failures.add(reason, stage="read", source=file, severity="warning")


def _rows(file: Path, results: _Results, options: Options) -> Iterator[Row]:
    failures, counts = options.failures, _Counts()
    typical = results.typical if results.typical is not None and 0 <= results.typical <= 1 else CONFIDENCE
    least = typical if options.confidence is None else options.confidence
    roots = [options.images] if options.images is not None else [file.parent, file.parent.parent, *_beside(file)]
    inside = Inside(Resolver(*roots))
    with Seen() as seen:
        number = 0
        for key, image in parts(file, {IMAGES}, listed=IMAGES):
            if key != IMAGES:
                continue
            number += 1
            picture = _Picture(image, number, file, results, options, counts, least)
            yield from picture.rows(inside, seen)
    inside.resolver.tell(failures, source=file)
    counts.tell(file, least, options.empty, failures)


def _beside(file: Path) -> list[Path]:
    return [folder for folder in (file.parent / "images", file.parent.parent / "images") if is_folder(folder)]


@dataclass
class _Picture:
    """One picture of the file on its way to specimens."""

    image: Any
    number: int
    file: Path
    results: _Results
    options: Options
    counts: _Counts
    least: float
    name: str = ""

    def _say(self, reason: str, warning: bool = False, id: str | None = None) -> None:
        severity = "warning" if warning else "error"
        where = id or self.name or None
        self.options.failures.add(reason, stage="read", source=self.file, row=self.number, id=where, severity=severity)  # type: ignore[arg-type]

    def rows(self, inside: Inside, seen: Seen) -> Iterator[Row]:
        """(number, None, values) of every animal."""
        name = as_text(self.image.get("file")) if isinstance(self.image, dict) else None
        if name is None or not name.strip():
            self._say("the picture has no file name" if isinstance(self.image, dict) else "the picture is not an object")
            return
        self.name = name
        detections = self._detections()
        if detections is None:
            return
        if seen.count(name) > 1:
            self._say("this picture has come before: its second record is left out")
            return
        path, problem = inside.find(name)
        if problem is not None:
            self._say(problem)
            return
        shared = {**self._shared(path), "image_path": path}
        before = self.counts.below
        animals = [self._specimen(detection, f"{name}#{place}", path) for place, detection in enumerate(detections, 1)]
        for values in animals:
            if values is not None:
                yield self.number, None, {**shared, **values, "empty": False}
        if self.counts.below - before == len(detections):
            self.counts.empty += 1
            if self.options.empty:
                yield self.number, None, {**shared, "id": name, "detection": "empty", "empty": True}

    def _detections(self) -> list[Any] | None:
        """Those of the picture; None, with a row, where it was not looked at or is a film."""
        failure, detections = self.image.get("failure"), self.image.get("detections")
        if failure:
            self._say(f"MegaDetector could not look at it: {str(as_text(failure))[:200]}")
        elif not isinstance(detections, list):
            self._say("it has no list of detections")
        elif is_film(self.name) or "frame_rate" in self.image:
            self._say(f"a film: {len(detections)} detections in its frames are left out; save the frames as pictures")
        else:
            return detections
        return None

    def _shared(self, path: str) -> dict[str, Any]:
        """What all specimens of the picture have."""
        *folders, _ = (part for part in self.name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        if leads_outside(self.name):  # the folders of a whole computer
            folders = folders[-1:]
        exif = self.image.get("exif_metadata")
        taken = self.image.get("datetime") or (exif.get("DateTimeOriginal") if isinstance(exif, dict) else None)
        if not taken and (info := header(path)) is not None:
            taken = info.taken
        date, time, problem = moment(taken)
        if problem is not None:
            self._say(problem, warning=True)
        sequence = next((value for key, value in self.image.items() if key.lower() in SEQUENCE_NAMES), None)
        values, _ = self.results.fields.take(self.image)
        return {
            **values,
            "date": date,
            "time": time,
            "sequence": as_key(sequence),
            "deployment": "/".join(folders) or None,
            "station": folders[0] if folders else None,
        }

    def _specimen(self, detection: Any, id: str, path: str) -> dict[str, Any] | None:
        if not isinstance(detection, dict):
            self._say("the detection is not an object", id=id)
            return None
        what = self.results.name(DETECTIONS, detection.get("category"))
        corners = "confidence" in detection and "conf" not in detection
        confidence = as_number(detection.get("confidence" if corners else "conf"))
        if confidence is None or not 0 <= confidence <= 1:
            self._say(f"its confidence {str(detection.get('conf'))[:40]} is no number from 0 to 1", id=id)
            return None
        if confidence < self.least:
            self.counts.below += 1
            return None
        if what is None or what.lower() in NO_ANIMALS:
            self.counts.others[what or f"the unknown category {str(as_text(detection.get('category')))[:40]}"] += 1
            return None
        crop = self._crop(detection.get("bbox"), corners, path, id)
        if crop is None and is_file(path):
            return None
        label, share, ranked = self._classes(detection, id)
        return {
            "id": id,
            "crop": crop,
            "label": label,
            "detection": what,
            "detection_confidence": confidence,
            "classification_confidence": share,
            "classifications": ranked,
        }

    def _crop(self, box: Any, corners: bool, path: str, id: str) -> list[float] | None:
        info = header(path)
        if info is None:  # ingest says what is wrong with the file
            if is_file(path):
                self._say("the picture cannot be read, so that its box cannot be cut", id=id)
            return None
        frame = self.options.boxes or UPRIGHT
        crop, reason, clipped = _from_corners(box, info, frame) if corners else share_to_crop(box, info, frame)
        if crop is None:
            self._say(str(reason), id=id)
        elif clipped and corners:
            self._say(f"the box {str(box)[:80]} reaches outside the image: clipped", warning=True, id=id)
        return crop

    def _classes(self, detection: dict[str, Any], id: str) -> tuple[str | None, float | None, str | None]:
        """(the best class, its confidence, all as JSON)."""
        given = detection.get("classifications")
        if not isinstance(given, list) or not given:
            return None, None, None
        ranked: list[tuple[float, str]] = []
        for pair in given:
            share = as_number(pair[1]) if isinstance(pair, list) and len(pair) == 2 else None
            name = self.results.name(CLASSES, pair[0]) if share is not None else None
            if name is None or share is None or share != share:
                self._say(f"the classification {str(pair)[:60]} names no class of the file: left out", warning=True, id=id)
                continue
            ranked.append((share, name))
        if not ranked:
            return None, None, None
        best = max(ranked, key=lambda one: one[0])
        return best[1], best[0], as_text([[name, share] for share, name in ranked])


def _from_corners(box: Any, info: ImageInfo, frame: str) -> tuple[list[float] | None, str | None, bool]:
    """A box of two corners in pixels, [x1, y1, x2, y2]."""
    numbers = [as_number(side) for side in box] if isinstance(box, list) else []
    if len(numbers) != 4 or any(number is None for number in numbers):
        return None, f"the box {str(box)[:80]} is not [x1, y1, x2, y2]", False
    left, top, right, bottom = (number or 0.0 for number in numbers)
    return to_crop([left, top, right - left, bottom - top], info, None, frame)
