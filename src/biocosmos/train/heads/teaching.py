"""What a student learns beside its labels: a trained head's soft labels, and the stored vectors of another encoder.

Both are had once, before training: the teacher sees each training specimen as it is, not as it is changed in a step. The soft
labels are kept in the run's folder, so that a run that is killed goes on with the same ones.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from biocosmos.arrays import read_array
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.facts import read_facts
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.nn.distillation import Standardised, matching_loss, soft_label_loss
from biocosmos.nn.heads import HeadOutput
from biocosmos.progress import progress
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.train.batches.base_vectors import stored_vectors
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import Images
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import HeadTargets
from biocosmos.train.loop.processes import Processes

SOFT_LABELS, TEACHER = "teacher.npy", "teacher.json"
LEAVES = (SOFT_LABELS, TEACHER)
"""What is kept in the run's folder."""
BLOCK = 64
_REMEDY = "begin anew with --overwrite"
_SHAPE = {"teacher": (None, str), "match": (None, str), "ids": str}

Array = npt.NDArray[Any]


class StudentModel(HeadModel):
    """A backbone and a head, and a linear layer to the vectors its features are matched to, which is not kept afterwards."""

    def __init__(
        self,
        trunk: Trunk,
        head: nn.Module,
        preprocessing: Preprocessing,
        *,
        norms_still: bool,
        width: int,
    ) -> None:
        """width: length of the vectors."""
        super().__init__(trunk, head, preprocessing, norms_still=norms_still)
        self.matching = nn.Linear(trunk.channels[-1], width)

    def answer(self, taps: list[Tensor], extra: Tensor | None) -> HeadOutput:
        """The head's output, and what the features are as vectors of the other encoder."""
        output = super().answer(taps, extra)
        return StudentOutput(output.log_p, output.logits, output.rank_scores, output.features, self.matching(taps[-1]))


@dataclass(eq=False)
class StudentOutput(HeadOutput):
    """matched: (n, d) the features through the linear layer."""

    matched: Tensor


class Teaching:
    """The part of the loss that labels do not give; for specimens of the training part by their row.

    soft: (n, C) float16 scores of the student's classes, nan where the teacher saw no specimen; None without a teacher.
    vectors: (n, d) float32 stored vectors, nan where there are none; None where nothing is matched.
    """

    def __init__(self, settings: HeadSettings, soft: Array | None, vectors: Array | None) -> None:
        self.settings, self._soft = settings, soft
        self._vectors = None if vectors is None else torch.from_numpy(vectors)
        self._standard: Standardised | None = None
        if self._vectors is not None:
            self._standard = Standardised(self._vectors[self._vectors[:, 0].isfinite()])

    @property
    def width(self) -> int | None:
        """Length of the vectors that are matched; None without."""
        return None if self._vectors is None else self._vectors.shape[1]

    def loss(self, labels: Tensor, output: HeadOutput, rows: Array) -> Tensor:
        """The whole loss of a batch. labels: the loss by its labels, a scalar; output: of its n specimens; rows: (n,) int64 of
        the training part, -1 for those that are not in it (outliers), which have no teacher."""
        s, device = self.settings, output.logits.device
        known = torch.from_numpy(rows >= 0)
        loss = labels
        if self._soft is not None:
            soft = torch.from_numpy(self._soft[np.maximum(rows, 0)].astype(np.float32))
            there = known & soft.isfinite().all(1)
            taught = soft_label_loss(output.logits, soft.nan_to_num().to(device), s.teacher_temperature, there.to(device))
            loss = (1 - s.teacher_weight) * loss + s.teacher_weight * taught
        if self._vectors is not None and self._standard is not None and isinstance(output, StudentOutput):
            vectors = self._vectors[torch.from_numpy(np.maximum(rows, 0))]
            there = known & vectors[:, 0].isfinite()
            wanted = self._standard(vectors.nan_to_num()).to(device)
            loss = loss + s.match_weight * matching_loss(output.matched, wanted, s.match_loss, there.to(device))  # type: ignore[arg-type]
        return loss


def teaching_of(
    collection: Collection,
    settings: HeadSettings,
    targets: HeadTargets,
    output: Path,
    where: Processes,
    failures: Failures,
) -> Teaching | None:
    """What the settings' teacher and vectors say of the training specimens; None without either. All processes call it alike.

    Raises BiocosmosError: a teacher that does not know a class of the student, or is another one than the run was begun with; an
    embedding the collection has not.
    """
    if not settings.teacher and not settings.match:
        return None
    teacher = TrainedHead.load(settings.teacher, device=str(where.device)) if settings.teacher else None
    match = collection.encoder_name(settings.match) if settings.match else None
    if where.first:
        _begin(output, teacher, None if match is None else collection.encoders[match], targets)
        if teacher is not None and not (output / SOFT_LABELS).exists():
            made = _soft_labels(collection, teacher, targets, where, failures)
            with replacing(output / SOFT_LABELS) as temporary, temporary.open("wb") as file:
                np.save(file, made)
    where.barrier()
    soft: Array | None = None
    vectors: Array | None = None
    if match is not None:
        vectors = _all_rows(*stored_vectors(collection, match, where)(targets.ids))
        if missing := int(np.isnan(vectors[:, 0]).sum()):
            failures.add(f"{missing:,} training specimens have no vector of {match}", stage="train", severity="warning")
    if teacher is not None:
        soft = read_array(output / SOFT_LABELS, ("f", 2), what="soft labels", remedy=_REMEDY, mapped=True)
        if soft.shape != (len(targets), len(targets.classes)):
            raise BiocosmosError(f"{output / SOFT_LABELS} is of other specimens or classes than the run: {_REMEDY}")
    return Teaching(settings, soft, vectors)


def refuse_what_saw(settings: HeadSettings, held: HeadTargets | None) -> None:
    """Raise BiocosmosError where the teacher was fitted on validation specimens: it passes on what it knows of them."""
    for who in (settings.teacher, settings.match):
        if who and held is not None:
            remedy = f"they would judge what '{who}' passed on; train it without them, or name another --validation"
            guard.refuse(held.ids, who, asked="validation specimens", remedy=remedy)


def _begin(output: Path, teacher: TrainedHead | None, matched: dict[str, Any] | None, targets: HeadTargets) -> None:
    """Write what the run is taught by, or see that it is still the same."""
    facts = {
        "teacher": None if teacher is None else teacher.digest,
        "match": None if matched is None else str(matched.get("digest")),
        "ids": hashlib.sha256("\x1f".join(map(str, targets.ids)).encode()).hexdigest()[:16],
    }
    path = output / TEACHER
    if path.exists():
        before = read_facts(path, _SHAPE, what="what a run is taught by", remedy=_REMEDY)
        words = {"teacher": "another teacher", "match": "other vectors to match", "ids": "other training specimens"}
        for name, told in words.items():
            if before[name] != facts[name]:
                raise BiocosmosError(f"{output} was begun with {told}: restore them, use another --output, or --overwrite")
    else:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _soft_labels(
    collection: Collection, teacher: TrainedHead, targets: HeadTargets, where: Processes, failures: Failures
) -> npt.NDArray[np.float16]:
    """(n, C) scores by the teacher for the classes of the student, each row less its largest; nan where it saw nothing."""
    columns = _columns(teacher, targets)
    ids = [str(id_) for id_ in targets.ids]
    sizes = image_sizes(collection, ids) if teacher.wants_sizes else None
    soft = np.full((len(ids), len(columns)), np.nan, np.float16)
    with progress(f"soft labels of {teacher.folder}", len(ids), "specimens") as bar, torch.no_grad():
        for rows, given in _blocks(collection, teacher, targets, where, failures):
            block = Specimens(targets.ids[rows], sizes=None if sizes is None else sizes[rows], **given)
            scores = teacher.said(block).logits[:, columns]
            soft[rows] = scores - scores.max(1, keepdims=True)
            bar.advance(len(rows))
    return soft


def _blocks(collection: Collection, teacher: TrainedHead, targets: HeadTargets, where: Processes, failures: Failures) -> Any:
    """(rows, what the teacher takes of them) of the specimens that have it."""
    if not teacher.frozen:
        images = Images(collection, [str(id_) for id_ in targets.ids], teacher.preprocessing, failures=failures)
        for rows, pixels, good in images.blocks(BLOCK):
            if good.any():
                yield rows[good], {"images": pixels[torch.from_numpy(good)]}
        return
    there, vectors = stored_vectors(collection, teacher.encoder, where)(targets.ids)
    stored, trained = collection.encoders[teacher.encoder].get("digest"), teacher.facts["encoder"]["trained"]
    if stored != trained:
        raise BiocosmosError(
            f"the teacher in {teacher.folder} was trained on vectors of '{teacher.encoder}' by other weights ({trained}) than "
            f"{collection.path} has ({stored}): embed again, or train the teacher again"
        )
    rows = np.flatnonzero(there)
    for start in range(0, len(rows), 16 * BLOCK):
        yield rows[start : start + 16 * BLOCK], {"vectors": vectors[start : start + 16 * BLOCK]}


def _columns(teacher: TrainedHead, targets: HeadTargets) -> Array:
    """(C,) column of the teacher's scores that is each class of the student, told by the names on its path."""
    place = {_names(teacher.taxonomy, int(node)): column for column, node in enumerate(teacher.classes)}
    found = [place.get(_names(targets.taxonomy, int(node))) for node in targets.classes]
    if None in found:
        lacking = targets.names()[found.index(None)]
        raise BiocosmosError(
            f"the teacher in {teacher.folder} has no class '{lacking}' at these ranks: train it with the same --ranks and classes"
        )
    return np.array(found, np.int64)


def _names(taxonomy: Any, node: int) -> tuple[tuple[str, str | None], ...]:
    return tuple(zip(taxonomy.ranks, taxonomy.path(node)))


def _all_rows(there: Array, vectors: Array) -> npt.NDArray[np.float32]:
    """(n, d) with nan where there is no vector."""
    found = np.full((len(there), vectors.shape[1]), np.nan, np.float32)
    found[there] = vectors
    return found
