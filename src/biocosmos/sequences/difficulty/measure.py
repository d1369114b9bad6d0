"""OCOM, MCOM, VCOM and MOTCOM of one sequence, as the public code gives them or with its errors mended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.difficulty.appearance import appearance
from biocosmos.sequences.difficulty.motion import displacement, motion, release_displacement
from biocosmos.sequences.difficulty.occlusion import annotated_occlusion, covered_occlusion
from biocosmos.sequences.difficulty.prepared import Prepared, prepare
from biocosmos.sequences.frames import Boxes

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating]
Mode = Literal["corrected", "release"]
Occlusion = Literal["visibility", "boxes", "order"]
RELEASE_CLASSES = ("1",)
"""The public code counts pedestrians only."""
MOST_STEPS = 10_000


@dataclass(frozen=True)
class Measuring:
    """How difficulty is measured.

    mode: "release" gives the numbers of the public code with its errors (a box covers itself, every box is taken for the one
    before it, missing frames do not count, pairs end at the first frame without a next one); "corrected" mends them.
    occlusion: "visibility" as annotated, "boxes" that cover others, or in "order" of their lower edges; None: visibility where
    any is known, else boxes (in release mode always visibility). classes: of MOTChallenge, or labels; None: class 1 in release
    mode, else all. ratios, betas: (first, last, step) of VCOM's and MCOM's. interval: seconds apart to which MCOM is brought,
    None: as frames come. mot15: as the public code reads MOT15, without classes and all visible. Raises BiocosmosError.
    """

    mode: Mode = "corrected"
    occlusion: Occlusion | None = None
    classes: tuple[str, ...] | None = None
    ratios: tuple[float, float, float] = (0.01, 1.0, 0.01)
    betas: tuple[float, float, float] = (0.01, 1.0, 0.01)
    interval: float | None = None
    mot15: bool = False

    def __post_init__(self) -> None:
        if self.interval is not None and (self.mode == "release" or not 0 < self.interval < np.inf):
            raise BiocosmosError("an interval is a number of seconds above 0, and the public code knows none: use mode corrected")
        for name in ("ratios", "betas"):
            spaced(getattr(self, name), name)

    @property
    def release(self) -> bool:
        """Whether the public code's errors are kept."""
        return self.mode == "release"

    def prepared(self, boxes: Boxes) -> Prepared:
        """The boxes that take part."""
        classes = self.classes if self.classes is not None else RELEASE_CLASSES if self.release else ()
        if self.classes is None and boxes.raw is None:
            classes = ()
        return prepare(boxes, classes=classes, release=self.release, unannotated=self.mot15)


@dataclass(frozen=True)
class Features:
    """What individuals look like: frame (n,) int64 number of the frame, track (n,) of the individual, vectors (n, dim) floats."""

    frame: np.ndarray
    track: np.ndarray
    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.frame) == len(self.track) == len(self.vectors):
            raise BiocosmosError(
                f"features need a frame, an individual and a vector each, not {len(self.frame):,}, {len(self.track):,} and an "
                f"array of {self.vectors.shape}"
            )


@dataclass(frozen=True)
class Difficulty:
    """What was found for one sequence.

    ocom, mcom, vcom, motcom: from 0 to 1, larger is harder; nan what cannot be measured. strayed: D of MCOM. pairs: of frames
    that VCOM rests on. frames, boxes, tracks: those that took part. density: boxes a frame. occlusion: how OCOM was found.
    left_out: reason -> boxes. notes: sentences on what could not be measured.
    """

    name: str
    ocom: float
    mcom: float
    vcom: float
    frames: int
    boxes: int
    tracks: int
    pairs: int
    strayed: float
    occlusion: Occlusion
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def motcom(self) -> float:
        """Mean of the three parts; nan where one is."""
        return float(np.mean([self.ocom, self.mcom, self.vcom]))

    @property
    def density(self) -> float:
        """Boxes a frame."""
        return self.boxes / self.frames if self.frames else float("nan")


def spaced(parts: tuple[float, float, float], name: str) -> Floats:
    """(first, last, step) as ascending values. Raises BiocosmosError."""
    first, last, step = parts
    if not (0 < first <= last < np.inf and step > 0 and (last - first) / step < MOST_STEPS):
        raise BiocosmosError(
            f"{name} must rise from above 0 to a larger number by a step above 0, at most {MOST_STEPS:,} of them"
        )
    count = int((last - first) / step + 1e-9) + 1
    return np.arange(first, last + step, step)[:count]


def measure(boxes: Boxes, features: Features | Vectors | None = None, how: Measuring | None = None) -> Difficulty:
    """The difficulty of one sequence.

    features: what individuals look like, or an array (n, dim) with a vector for each box of ``boxes``, nan where there is none;
    None: VCOM and MOTCOM are nan. how: by default corrected. Raises BiocosmosError for boxes without tracks, an array of another
    length, and for what the public code refuses in release mode.
    """
    how = how or Measuring()
    kept = how.prepared(boxes)
    by, ocom, notes = occlusion_of(kept, how)
    if how.release:
        strayed = release_displacement(kept.track, kept.number, kept.box)
    else:
        strayed = displacement(kept.track, kept.number, kept.box, seconds=kept.seconds, interval=how.interval)
    if not len(kept):
        notes = (*notes, "no box of an individual took part")
        ocom = ocom if how.release else float("nan")
    elif kept.tracks == len(kept) and not how.release:
        notes = (*notes, "no individual is in two frames: MCOM cannot be measured")
        strayed = float("nan")
    vcom, pairs = float("nan"), 0
    if features is not None:
        vcom, pairs = appearance_of(kept, features, how)
        if not pairs and len(kept):
            notes = (*notes, "no individual with features is in two neighbouring frames: VCOM cannot be measured")
    mcom = motion(strayed, spaced(how.betas, "betas"))
    return Difficulty(boxes.name, ocom, mcom, vcom, kept.frames, len(kept), kept.tracks, pairs, strayed, by, kept.left_out, notes)


def occlusion_of(kept: Prepared, how: Measuring) -> tuple[Occlusion, float, tuple[str, ...]]:
    """How OCOM is found, OCOM, and what is to be said of it."""
    notes: tuple[str, ...] = ()
    by = how.occlusion
    visibility = kept.visibility
    if not how.release:
        strange = (visibility < 0) | (visibility > 1)
        if strange.any():
            visibility = np.where(strange, np.nan, visibility)
            notes = (f"{int(strange.sum()):,} visibilities are not from 0 to 1: taken for unknown",)
    if by is None:
        by = "visibility" if how.release or np.isfinite(visibility).any() else "boxes"
    if by == "visibility":
        ocom = annotated_occlusion(kept.track, visibility)
        if np.isnan(ocom):
            notes = (*notes, "no visibility is known: OCOM cannot be measured so, use --occlusion boxes")
        return by, ocom, notes
    order: Literal["release", "nearer"] | None = None
    if by == "order":
        order = "release" if how.release else "nearer"
    return by, covered_occlusion(kept.number, kept.track, kept.box, order=order, itself=how.release), notes


def appearance_of(kept: Prepared, features: Features | Vectors, how: Measuring) -> tuple[float, int]:
    """VCOM, and the pairs of frames it rests on."""
    if not isinstance(features, Features):
        if features.ndim != 2 or (len(kept.rows) and len(features) <= kept.rows.max()):
            raise BiocosmosError(f"sequence '{kept.name}' needs a vector for each box, not an array of {features.shape}")
        features = Features(kept.number, kept.track, features[kept.rows])
    known = np.isfinite(features.vectors).all(axis=1)
    frame = np.asarray(features.frame, np.int64)[known]
    track = np.unique(np.asarray(features.track)[known], return_inverse=True)[1].astype(np.int64)
    ratios = spaced(how.ratios, "ratios")
    return appearance(frame, track, features.vectors[known], ratios, step=kept.step, release=how.release)
