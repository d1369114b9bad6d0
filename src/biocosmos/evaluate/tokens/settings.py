"""One measured setting: an encoder with one reduction, what it answered, how fast, and what it kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.tokens.groups import agreement
from biocosmos.evaluate.tokens.kept import iou

Array = npt.NDArray[Any]
Kind = Literal["dense", "prune", "merge"]
DENSE = "dense"
LAST = "last"
MEAN = "mean"
HERE, IMAGES = "here", "images"
"""Of maps: those of the specimens asked about; of pairs of maps: that they differ in the images alone."""


@dataclass(frozen=True)
class Traced:
    """What a reduction did to n images, in the order of ``ids``.

    grid: rows and columns of patches; blocks: of each stage, from 0; depth: blocks of the encoder.
    sources: a stage each, (n, patches) int64, the patch token that each patch is in, -1 dropped.
    kept: a stage each, (n, patches) bool, the patches that still have a token of their own; empty for what merges.
    features: a stage each and then the encoder's own, (n, d) float32: the class token, or the mean of the tokens.
    """

    ids: Sequence[str]
    grid: tuple[int, int]
    blocks: Sequence[int]
    depth: int
    sources: Sequence[Array]
    kept: Sequence[Array]
    features: Sequence[Array]

    def stages(self) -> list[str]:
        """Names of the stages with features: "1", "2", ..., "last"."""
        return [*(str(stage + 1) for stage in range(len(self.blocks))), LAST]


@dataclass(frozen=True)
class Measured:
    """name: of the whole, "run+atc-0.5"; encoder: without the reduction; method: "atc", "dense"; keep: share, or what was asked
    for ("r16"); kind: does it drop patches or merge them.

    recall: (queries,) float64, is the nearest specimen of the query's own taxon, NaN where none could be; label: as well for the
    names of the trained head in the encoder's folder, None without one.
    cosine: (queries,) with the dense encoder's vector. speedup: over the dense encoder, both timed in turn; dense_images_s: the
    dense encoder's own rate. tokens: patch tokens left after each stage, mean over images.
    """

    name: str
    encoder: str
    method: str
    keep: str
    kind: Kind
    recall: Array
    label: Array | None
    cosine: Array
    speedup: float
    dense_images_s: float
    tokens: Sequence[float]
    traced: Traced | None = None
    notes: Sequence[str] = ()

    @property
    def images_s(self) -> float:
        """Images a second: the dense encoder's rate times the speed-up, so that load at one time does not decide."""
        return self.dense_images_s * self.speedup

    @property
    def told_by(self) -> str:
        """What its accuracy is: "label" of the trained head, or "recall@1"."""
        return "recall@1" if self.label is None else "label"

    @property
    def right(self) -> Array:
        """(queries,) float64 1 right, 0 wrong, NaN not asked."""
        return self.recall if self.label is None else self.label


@dataclass(frozen=True)
class LeftOut:
    """A setting that was not measured, and why."""

    name: str
    encoder: str
    method: str
    keep: str
    why: str


@dataclass(frozen=True)
class Overlaid:
    """A picture to draw on: its id, its taxon, and (size, size, 3) uint8 pixels as the encoder saw them."""

    id: str
    taxon: str
    pixels: Array = field(repr=False)


def pairs(measured: Sequence[Measured]) -> Iterator[tuple[int, int, str]]:
    """(first, second, over what they differ) of settings that differ in one thing: the method, the keep rate or the encoder.

    The dense encoder is compared with every reduction of it.
    """
    for (i, a), (j, b) in combinations(enumerate(measured), 2):
        if a.encoder == b.encoder and DENSE in (a.method, b.method):
            yield i, j, DENSE
            continue
        differs = [name for name in ("encoder", "method", "keep") if getattr(a, name) != getattr(b, name)]
        if len(differs) == 1:
            yield i, j, differs[0]


def kept_alike(one: Traced, two: Traced) -> list[Array]:
    """(n,) IoU of the kept sets at each stage; empty where one of both merges, or they have other patches or stages."""
    if not one.kept or not two.kept or one.grid != two.grid or len(one.kept) != len(two.kept):
        return []
    return [iou(a, b) for a, b in zip(one.kept, two.kept)]


def merged_alike(one: Traced, two: Traced) -> list[dict[str, Array]]:
    """(n,) homogeneity, completeness and V-measure at each stage, by name; empty where one of both drops patches."""
    if one.kept or two.kept or one.grid != two.grid or len(one.sources) != len(two.sources):
        return []
    return [agreement(a, b)._asdict() for a, b in zip(one.sources, two.sources)]


def label_or_recall(measured: Sequence[Measured]) -> str:
    """What all settings are judged by: the trained head's labels where every encoder has one, else recall@1."""
    return "label" if measured and all(one.label is not None for one in measured) else "recall@1"


def accuracy_of(one: Measured, by: str) -> float:
    """The share of right answers; NaN without any."""
    right = one.label if by == "label" else one.recall
    right = np.empty(0) if right is None else right[np.isfinite(right)]
    return float(right.mean()) if len(right) else float("nan")


def called(one: Measured, several: bool) -> str:
    """What a figure calls a setting of one keep rate; several: encoders are told apart."""
    return f"{one.encoder} {one.method}" if several else one.method


def keeps_in_order(keeps: Iterable[str]) -> list[str]:
    """The keep rates there are, gentlest first; those that are no share last, as they come."""
    found = list(dict.fromkeys(keep for keep in keeps if keep))

    def place(keep: str) -> tuple[int, float]:
        try:
            return 0, -float(keep)
        except ValueError:
            return 1, 0.0

    return sorted(found, key=place)
