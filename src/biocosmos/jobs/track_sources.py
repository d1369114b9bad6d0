"""Where the boxes to track come from: files, with or without vectors of their crops, or a collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError, Failures, ImageError, first_line
from biocosmos.files import is_folder, is_there
from biocosmos.images import read_image
from biocosmos.jobs.track_settings import TrackSettings
from biocosmos.progress import progress
from biocosmos.sequences import Boxes, read_sequences, sequences_of
from biocosmos.sequences.tracking.colours import LEVELS, colours
from biocosmos.settings import flag
from biocosmos.specimens import readers
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.creating import is_collection
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.stored_vectors import read_dense

Vectors = NDArray[np.float32]
OF_COLLECTIONS = ("where", "encoder", "head", "method")
"""Settings that need specimens with vectors."""
DETECTIONS = "det"


class Source(Protocol):
    """Sequences, one at a time; vectors of their boxes; notes: what a user should know; collection: whose they are, or None."""

    notes: list[str]

    @property
    def collection(self) -> Collection | None: ...

    def sequences(self) -> Iterator[Boxes]: ...

    def vectors(self, boxes: Boxes) -> Vectors | None:
        """(n, d) of the boxes of a sequence, nan where there is none; None where appearance is not compared."""


def source_of(path: Path, settings: TrackSettings, failures: Failures) -> Source:
    """What is at a path: a collection, or files. Raises BiocosmosError for what is not there, or has an option of the other."""
    if not is_there(path):
        raise BiocosmosError(f"there is nothing at {path}: give a collection, a file of detections, or a folder and --detections")
    if is_collection(path):
        for name in ("detections", "format"):
            if getattr(settings, name) is not None:
                raise BiocosmosError(f"{flag(name)} is about files, and {path} is a collection: leave it out")
        return OfCollection(Collection.open(path), settings)
    for name in OF_COLLECTIONS:
        if getattr(settings, name) is not None:
            raise BiocosmosError(
                f"{flag(name)} needs a collection: 'biocosmos ingest {settings.detections or path} -o night.cosmos', 'biocosmos "
                f"embed night.cosmos', then 'biocosmos track night.cosmos {flag(name)} ...'"
            )
    return OfFiles(path, settings, failures)


class OfFiles:
    """Boxes in files: a table or JSON with the folder of its pictures, or a MOTChallenge tree."""

    collection: Collection | None = None

    def __init__(self, path: Path, settings: TrackSettings, failures: Failures) -> None:
        self.notes: list[str] = []
        self._appearance, self._failures = settings.appearance, failures
        table, images = path, None
        if settings.detections is not None:
            if not is_folder(path):
                raise BiocosmosError(f"{path} is no folder of pictures: give it with --detections, or the file of boxes alone")
            table, images = settings.detections, path
        format = settings.format or readers.detect(table)
        if format == "folder":
            raise BiocosmosError(f"{path} holds pictures without boxes: give the boxes with --detections")
        self._read: list[Boxes] = []
        if format == "mot":
            self._read = self._mot(table, images, failures)
        else:
            self._read = read_sequences(table, format=format, images=images, failures=failures)

    def _mot(self, table: Path, images: Path | None, failures: Failures) -> list[Boxes]:
        """What a detector found; where there is the truth alone, its boxes."""
        try:
            return read_sequences(table, which=DETECTIONS, images=images, failures=failures)
        except BiocosmosError:
            found = read_sequences(table, images=images, failures=failures)
            self.notes.append("there are no detections: the boxes of the ground truth are tracked")
            return found

    def sequences(self) -> Iterator[Boxes]:
        """In the order of the files."""
        return iter(self._read)

    def vectors(self, boxes: Boxes) -> Vectors | None:
        """The colours of the crops, where there are pictures."""
        if not self._appearance or not any(file is not None for file in boxes.frames.files):
            return None
        blocks = []
        with progress(f"colours {boxes.name}", total=len(boxes.frames), unit="frames") as bar:
            for place, file in enumerate(boxes.frames.files):
                blocks.append(self._colours(file, boxes.box[boxes.at(place)]))
                bar.advance()
        return np.concatenate([*blocks, np.empty((0, LEVELS**3), np.float32)])

    def _colours(self, file: str | None, box: NDArray[Any]) -> Vectors:
        nothing = np.full((len(box), LEVELS**3), np.nan, np.float32)
        if file is None or not len(box):
            return nothing
        try:
            return colours(np.asarray(read_image(Path(file).read_bytes()).pixels), box)
        except (ImageError, OSError) as error:
            reason = f"the picture cannot be read, its animals are told apart without it: {first_line(error)}"
            self._failures.add(reason, stage="track", source=file, severity="warning")
            return nothing


@dataclass
class OfCollection:
    """Specimens of sequences, with the vectors of an encoder."""

    collection: Collection
    settings: TrackSettings

    def __post_init__(self) -> None:
        self.notes: list[str] = []
        self._encoder: str | None = None
        if self.settings.encoder is not None:
            self._encoder = self.collection.encoder_name(self.settings.encoder)
        elif self.settings.appearance and self.collection.encoders:
            self._encoder = self.collection.default_encoder
        if self._encoder is None and self.settings.appearance:
            self.notes.append(
                "animals are told apart by place, size and time alone: 'biocosmos embed' gives them vectors, and --encoder names "
                "one of several embeddings"
            )

    def sequences(self) -> Iterator[Boxes]:
        """In the order of their first specimen; labels are left out where names are asked for, since who names must be the same
        for nights that nobody has labelled."""
        for boxes in sequences_of(self.collection, where=self.settings.where):
            yield replace(boxes, label=None) if self.settings.names else boxes

    def vectors(self, boxes: Boxes) -> Vectors | None:
        """By the ids of the boxes."""
        if self._encoder is None or boxes.ids is None:
            return None
        return stored_vectors(self.collection, self._encoder, boxes.ids)


def stored_vectors(collection: Collection, encoder: str, ids: NDArray[Any]) -> Vectors:
    """(n, d) float32 of specimens, in the order of the ids; nan for one without a vector."""
    facts, column = collection.encoders[encoder], collection.embedding_column(encoder)
    out = np.full((len(ids), int(facts["dim"])), np.nan, np.float32)
    if not len(ids):
        return out
    places = positions_of(collection.dataset, ids.tolist())
    stored = collection.dataset.take(places.tolist(), columns=[column])[column].combine_chunks()
    there = stored.is_valid().to_numpy(zero_copy_only=False)
    if there.any():
        out[there] = read_dense(stored.filter(pa.array(there)), facts)
    return out
