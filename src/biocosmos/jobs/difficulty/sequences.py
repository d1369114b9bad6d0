"""How hard it is to follow the individuals of each sequence: read, looked at by an encoder where asked, measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biocosmos.embed.parts import locked_work
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.difficulty.report import Night, difficulty_report
from biocosmos.evaluate.report import Report
from biocosmos.jobs.difficulty.settings import BLURRED, CORRECTED, RELEASE, DifficultySettings, steps
from biocosmos.progress import Progress, progress
from biocosmos.sequences import Boxes, read_sequences, sequences_of
from biocosmos.sequences.difficulty.given import GivenFeatures
from biocosmos.sequences.difficulty.looking import STAGE, AsReleased, Looking, look
from biocosmos.sequences.difficulty.measure import Difficulty, Features, Measuring, Vectors, measure
from biocosmos.sequences.files import MOT
from biocosmos.settings import told
from biocosmos.specimens import readers
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.creating import is_collection
from biocosmos.specimens.galleries import vectors_of
from biocosmos.specimens.readers.mot_tree import sequences_at
from biocosmos.tables import file_stem
from biocosmos.unfinished import remove

if TYPE_CHECKING:
    from biocosmos.embed.parts import Work

NO_PICTURES = "no pictures: VCOM cannot be measured; give --images, --vectors or a collection with an embedding"


@dataclass(frozen=True)
class _Source:
    """Where sequences are from: its path, the site they share, the collection there if it is one, else the format, and of a tree
    the folder of each sequence, below its path."""

    path: Path
    site: str
    collection: Collection | None = None
    format: str | None = None
    folders: Mapping[str, str] = field(default_factory=dict)

    def site_of(self, name: str, pattern: str | None) -> str:
        """The site of a sequence, "" where there is none."""
        where = self.folders.get(name, name)
        if pattern is not None:
            found = re.search(pattern, where)
            return "" if found is None else (found[1] if found.re.groups else found[0]) or ""
        return self.site or ("" if self._share_a_folder else where.rpartition("/")[0])

    @cached_property
    def _share_a_folder(self) -> bool:
        return len({folder.rpartition("/")[0] for folder in self.folders.values()}) == 1


def measure_difficulty(
    settings: DifficultySettings | None = None,
    *,
    failures: Failures | None = None,
    beside: Path | None = None,
    **options: Any,
) -> Report:
    """A report of kind "difficulty" with OCOM, MCOM, VCOM and MOTCOM of every sequence.

    settings, or as options: see :class:`DifficultySettings`. failures: takes rows, frames and sequences that are no good; the
    others go on. beside: a file beside which an encoder's vectors wait until the report is made, should the job be killed.

    Raises BiocosmosError where no sequence can be measured, and for a source, an encoder or vectors that are not there.
    """
    settings = told(DifficultySettings, **options) if settings is None else settings
    failures = Failures() if failures is None else failures
    if not settings.sequences:
        raise BiocosmosError("name the sequences: a MOTChallenge tree, a file with frames, or a collection")
    places = [path.resolve() for path in settings.sequences]
    if again := [path for i, path in enumerate(settings.sequences) if places[i] in places[:i]]:
        raise BiocosmosError(f"{again[0]} is named twice: its sequences would count twice, so name it once")
    sources = [_source(path, len(settings.sequences) > 1) for path in settings.sequences]
    nights: list[Night] = []
    with _looks(settings, sources, failures, beside) as looks:
        for source in sources:
            for boxes in _read(source, settings, failures):
                looks.prepare(boxes, source)
                try:
                    found = looks.measured(boxes, source)
                except BiocosmosError as error:
                    failures.add(str(error), stage=STAGE, source=source.path, id=boxes.name)
                    continue
                nights.append(Night(source.site_of(boxes.name, settings.site), found))
                looks.tell(found, source)
        if not nights:
            first = next((row.reason for row in failures if row.severity == "error"), "no sequence of frames is there")
            raise BiocosmosError(f"nothing of {', '.join(map(str, settings.sequences))} could be measured: {first}")
        return difficulty_report(nights, looks.facts())


def _source(path: Path, several: bool) -> _Source:
    site = (path.resolve().stem or str(path)) if several else ""
    if is_collection(path):
        return _Source(path, site, Collection.open(path))
    format = readers.detect(path)
    if format not in MOT or not path.is_dir():
        return _Source(path, site, format=format)
    found = sequences_at(path, None, None, Failures())  # what is wrong with them is told when they are read
    tables = {sequence.name: sequence.table for sequence in found if sequence.table is not None}
    folders = {name: table.parent.parent.relative_to(path).as_posix() for name, table in tables.items()}
    return _Source(path, site, format=format, folders=folders)


def _read(source: _Source, settings: DifficultySettings, failures: Failures) -> Iterator[Boxes]:
    if source.collection is not None:
        yield from sequences_of(source.collection)
        return
    raw = source.format in MOT
    yield from read_sequences(source.path, format=source.format, raw=raw, images=settings.images, failures=failures)


@contextmanager
def _looks(settings: DifficultySettings, sources: list[_Source], failures: Failures, beside: Path | None) -> Iterator[_Looks]:
    """What knows the looks of individuals; a folder of vectors that wait is removed once all went well, unless it was named."""
    folder = settings.work or (None if beside is None else beside.with_name(f"{beside.stem}.difficulty-work"))
    looks = _Looks(settings, sources, failures, folder)
    with progress("measuring difficulty", unit="boxes") as bar:
        looks.bar = bar
        yield looks
    if folder is not None and settings.work is None and folder.exists():
        remove(folder)


class _Looks:
    """Measures sequences, with the vectors that the settings name."""

    bar: Progress

    def __init__(
        self,
        settings: DifficultySettings,
        sources: list[_Source],
        failures: Failures,
        folder: Path | None,
    ) -> None:
        self.settings, self.failures = settings, failures
        self._folder = folder
        self._given = None if settings.vectors is None else GivenFeatures(settings.vectors)
        self._alone = len(sources) == 1
        self._looking: Looking | None = None
        self._stored: dict[Path, tuple[dict[str, int], np.ndarray]] = {}
        self._encoders: dict[str, Any] = {}
        self.how = Measuring(
            mode="release" if settings.mode == RELEASE else "corrected",
            occlusion=settings.occlusion,  # type: ignore[arg-type]
            classes=settings.chosen_classes,
            ratios=steps(settings.ratios, "ratios"),
            betas=steps(settings.betas, "betas"),
            interval=settings.interval,
            mot15=settings.mot15,
        )

    def prepare(self, boxes: Boxes, source: _Source) -> None:
        """Load what the looks of its individuals need, once. Raises BiocosmosError where that is not there: no sequence can
        go on then."""
        if not self.settings.appearance or self._given is not None:
            return
        if source.collection is not None:
            self._load_stored(source.collection)
        elif self._looking is None and any(boxes.frames.files):
            self._looking = self._load()

    def measured(self, boxes: Boxes, source: _Source) -> Difficulty:
        """The difficulty of one sequence. Raises BiocosmosError."""
        features, unknown = self._features(boxes, source)
        found = measure(boxes, features, self.how)
        return found if unknown is None else replace(found, notes=(*found.notes, unknown))

    def tell(self, found: Difficulty, source: _Source) -> None:
        """What was left out or cannot be measured, as warnings."""
        for reason, count in found.left_out.items():
            who = f"{found.name}: {count:,} {'box' if count == 1 else 'boxes'}"
            self.failures.add(f"boxes left out: {reason}", stage=STAGE, source=source.path, id=who, severity="warning")
        for note in found.notes:
            self.failures.add(note, stage=STAGE, source=source.path, id=found.name, severity="warning")

    def facts(self) -> dict[str, Any]:
        """What decides the figures."""
        shown = self.settings.picture if self._looking is not None else "crop" if self._stored else None
        return {
            "protocol": "difficulty",
            "encoders": self._encoders,
            "options": {
                "mode": self.settings.mode,
                "occlusion": self.settings.occlusion or "visibility where known, else boxes",
                "classes": self.settings.classes,
                "interval": self.settings.interval,
                "ratios": self.settings.ratios,
                "betas": self.settings.betas,
                "picture": shown,
                "vectors": None if self._given is None else self._given.path.name,
                "blur": [self.settings.blur_size, self.settings.blur_sigma] if shown in (BLURRED, RELEASE) else None,
                "appearance": self.settings.appearance,
                "mot15": self.settings.mot15 if self.settings.mode != CORRECTED else None,
            },
            "sequences": [str(path) for path in self.settings.sequences],
        }

    def _are_looked_at(self, boxes: Boxes, source: _Source) -> bool:
        """Whether an encoder looks at the pictures of a sequence."""
        unknown = self.settings.appearance and self._given is None and source.collection is None
        return unknown and any(boxes.frames.files)

    def _features(self, boxes: Boxes, source: _Source) -> tuple[Features | Vectors | None, str | None]:
        """What individuals look like, and where that was asked for and is not known, why."""
        if self._are_looked_at(boxes, source):
            return self._looked(boxes), None
        self.bar.advance(len(boxes))
        if not self.settings.appearance:
            return None, None
        if self._given is not None:
            given = self._given.of(boxes.name, only=self._alone)
            return given, f"{self._given.path.name} has no vectors of it" if given is None else None
        if source.collection is not None:
            return self._of_collection(boxes, source.collection), None
        return None, NO_PICTURES

    def _load_stored(self, collection: Collection) -> None:
        if collection.path not in self._stored:
            name = collection.encoder_name(self.settings.encoder)
            ids, vectors = vectors_of(collection, name)
            self._stored[collection.path] = ({str(id_): i for i, id_ in enumerate(ids)}, vectors)
            self._encoders[name] = dict(collection.encoders[name])

    def _of_collection(self, boxes: Boxes, collection: Collection) -> Vectors:
        place, vectors = self._stored[collection.path]
        out = np.full((len(boxes), vectors.shape[1]), np.nan, np.float32)
        rows = [] if boxes.ids is None else [place.get(str(id_), -1) for id_ in boxes.ids]
        at = np.array(rows, np.int64)
        if len(at):
            out[at >= 0] = vectors[at[at >= 0]]
        return out

    def _looked(self, boxes: Boxes) -> Vectors:
        assert self._looking is not None
        kept = self.how.prepared(boxes)
        with self._work(boxes.name) as work:
            vectors = look(kept, boxes.frames, self._looking, failures=self.failures, work=work, told=self.bar.advance)
        out = np.full((len(boxes), self._looking.encoder.dim), np.nan, np.float32)
        out[kept.rows] = vectors
        return out

    def _load(self) -> Looking:
        from biocosmos.encoders.registry import DEFAULT, load_encoder, load_towers

        settings, name = self.settings, self.settings.encoder or DEFAULT
        blur = (settings.blur_size, settings.blur_sigma)
        if settings.picture == RELEASE:
            towers = load_towers(name)
            released = AsReleased(name, towers)
            self._encoders[name] = {"name": name, "digest": towers.digest, "preprocessing": "whole frames, ImageNet"}
            return Looking(released, "release", blur)
        encoder = load_encoder(name, **settings.how())
        self._encoders[name] = encoder.metadata()
        return Looking(encoder, "blurred" if settings.picture == BLURRED else "crop", blur)

    def _work(self, name: str) -> AbstractContextManager[Work | None]:
        if self._folder is None:
            return nullcontext()
        made = [self._encoders, self.settings.picture, self.settings.blur_size, self.settings.blur_sigma]
        digest = hashlib.sha256(repr(made).encode()).hexdigest()[:12]
        folder = self._folder / f"{file_stem(name)}-{digest}"
        return locked_work(folder, doing="looking at these boxes")
