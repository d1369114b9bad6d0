"""Who names the individuals of a collection: the namer of its crops, fused over tracks, with a promise by held-out tracks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.encoders.torch_backend import choose_device
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.confidence.rollback import DEFAULT_THRESHOLD
from biocosmos.identify.namer import Namer, Specimens
from biocosmos.identify.namers.trained import TrainedNamer
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.tracks.fusion import without_scores
from biocosmos.identify.tracks.naming import TrackNaming
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import embed_alike, part_blocks
from biocosmos.jobs.track_settings import TrackSettings
from biocosmos.jobs.track_sources import stored_vectors
from biocosmos.jobs.who_names import CALIBRATION, TRAIN, embedding_of, head_of, identifier_of
from biocosmos.sequences import Boxes
from biocosmos.settings import told
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.image_sizes import image_sizes

Int64 = NDArray[np.int64]


class TrackNamer:
    """Names the tracks of sequences of a collection. Call :meth:`calibrate` once, then :meth:`table` for each sequence.

    Specimens that the namer learnt from, and those whose tracks set the promise, get no name: they have one.
    """

    def __init__(self, collection: Collection, settings: TrackSettings, failures: Failures) -> None:
        self.collection, self.settings, self.failures = collection, settings, failures
        parts = collection.split("default").counts() if "default" in collection.split_names else {}
        self.part = settings.calibration or (CALIBRATION if CALIBRATION in parts else None)
        if settings.head is not None:
            self.namer: Namer = head_of(settings.head, device=choose_device(settings.device), views=1, novelty=None)
            self._of_crops = Calibration.none(self.namer.taxonomy.ranks), DEFAULT_THRESHOLD
            learnt: list[str] = []
        else:
            known = settings.known or (TRAIN if TRAIN in parts else None)
            asked: dict[str, Any] = {"method": settings.method, "known": known, "encoder": settings.encoder}
            how = told(IdentifySettings, **asked, seed=settings.seed, device=settings.device)
            identifier = identifier_of(collection, how, failures)
            self.namer, self._of_crops = identifier.namer, (identifier.calibration, identifier.threshold)
            learnt = [] if identifier.known is None else identifier.known.ids.tolist()
        self._encoder = ""
        if isinstance(self.namer, TrainedNamer) and self.namer.takes == "vectors":
            embed_alike(collection, self.namer)
            self._encoder = self.namer.encoder
        elif self.namer.takes == "vectors":
            self._encoder = embedding_of(collection, how)
        self._learnt = {*map(str, learnt), *map(str, self.namer.learnt)}
        self._held: set[str] = set()
        if self.part is not None:
            self._held = set(map(str, collection.table(["id"], split=self.part)["id"].to_pylist()))
            if leaked := sorted(self._held & self._learnt):
                raise BiocosmosError(
                    f"--calibration {self.part}: {len(leaked):,} of its specimens ({leaked[0]} ...) are among those the namer "
                    "learnt from: name another part, or say with --known which part names"
                )
        self.naming: TrackNaming | None = None

    def calibrate(self, tracked: Iterable[Boxes]) -> None:
        """Set the promise by the held-out tracks. tracked: the sequences with their tracks."""
        why = "there is no part of labelled specimens that the namer did not learn from: name one with --calibration"
        found: list[Predictions] = []
        tracks: list[Int64] = []
        names: list[str] = []
        for boxes in tracked if self._held else ():
            ids, own, listed = _crops(boxes)
            held = np.array([id_ in self._held for id_ in ids.tolist()], bool)
            if not held.any():
                continue
            whole = np.bincount(own[~held], minlength=len(listed)) == 0  # of other specimens none
            kept = held & whole[own]
            if not kept.any():
                continue
            said, rows = self._said(ids[kept])
            found.append(without_scores(said))
            renumbered, place = np.unique(own[kept][rows], return_inverse=True)
            tracks.append(place.astype(np.int64) + len(names))
            names += [f"{boxes.name}/{listed[number]}" for number in renumbered.tolist()]
        if self._held:
            why = f"no track of part '{self.part}' has a name: it needs labelled sequences"
        if found:
            predictions, track = Predictions.concatenate(found), np.concatenate(tracks)
            if (predictions.truth != 0).any():
                settings = self.settings
                self.naming = TrackNaming.fit(
                    predictions,
                    track,
                    names,
                    kind=settings.promise,  # type: ignore[arg-type]
                    alpha=settings.error_rate,
                    delta=settings.delta,
                    seed=settings.seed,
                )
                return
        self.naming = TrackNaming.of_crops(*self._of_crops, why)

    def table(self, boxes: Boxes) -> pa.Table:
        """One row a track with what it is called, ``sequence`` and ``track`` first; one without a crop to name is left out."""
        assert self.naming is not None
        ids, track, names = _crops(boxes)
        asked = np.array([id_ not in self._learnt and id_ not in self._held for id_ in ids.tolist()], bool)
        said, rows = self._said(ids[asked])
        of = track[asked][rows]
        present, place = np.unique(of, return_inverse=True)
        table = self.naming.table(said, place.astype(np.int64), [names[number] for number in present.tolist()])
        return table.add_column(0, "sequence", pa.array([boxes.name] * len(table), pa.string()))

    def _said(self, ids: NDArray[Any]) -> tuple[Predictions, Int64]:
        """What the namer says of specimens that it can look at, and their rows in ``ids``."""
        row_of = {str(id_): row for row, id_ in enumerate(ids.tolist())}
        blocks = list(self.namer.stream(self._blocks(ids)))
        said = Predictions.concatenate(blocks) if blocks else self.namer.nothing()
        return said, np.array([row_of[str(id_)] for id_ in said.ids.tolist()], np.int64)

    def _blocks(self, ids: NDArray[Any]) -> Iterable[Specimens]:
        if self.namer.takes != "vectors":
            return part_blocks(self.collection, self.namer, None, only=ids.tolist(), failures=self.failures)
        vectors = stored_vectors(self.collection, self._encoder, ids)
        there = np.isfinite(vectors).all(axis=1)
        for id_ in ids[~there].tolist():
            self.failures.add(f"no vector of {self._encoder}: run 'biocosmos embed' first", stage="track", id=str(id_))
        if not there.any():
            return ()
        mine, truth = ids[there].tolist(), None
        ranks = self.namer.taxonomy.ranks
        if set(ranks) <= set(self.collection.stored_columns):  # nights that nobody has named need not have them
            truth = self.namer.taxonomy.index(self.collection.take(mine, columns=["id", *ranks]))
        sizes = image_sizes(self.collection, mine, stage="track") if self.namer.wants_sizes else None
        return [Specimens(ids[there], vectors=vectors[there], truth=truth, sizes=sizes)]


def _crops(boxes: Boxes) -> tuple[NDArray[Any], Int64, list[str]]:
    """Specimens of tracks, the number of the track of each, and the names of the tracks."""
    names = list(boxes.tracks())
    number = {name: place for place, name in enumerate(names)}
    if boxes.track is None or boxes.ids is None:
        return np.empty(0, object), np.empty(0, np.int64), names
    rows = [row for row, name in enumerate(boxes.track) if name is not None]
    return boxes.ids[rows], np.array([number[boxes.track[row]] for row in rows], np.int64), names
