"""What every novelty detector is: something fitted on known specimens that scores how unlike them a specimen is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.predictions import Predictions

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Hidden = npt.NDArray[np.int64]

NAMER_FACTS = ("namer", "encoder", "digest")
"""Facts that predictions of one namer share; queries with others are from another model."""


class Detector:
    """Scores specimens by a head's predictions: (n,) float64, higher is more novel, NaN where it cannot be told.

    A child overrides :meth:`_fit` if it learns something, and :meth:`_scores`. ``name`` is what a user types, ``says`` one line.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    needs_gradient: ClassVar[bool] = False
    """Whether it needs a gradient through the model that named, and so its images."""
    _like: Predictions | None = None

    def fit(self, train: Predictions, held_out: Predictions | None = None) -> Self:
        """Learn what is known.

        train: predictions of the specimens the head was trained on. held_out: of known specimens it was not trained on, a
        validation part; scores that a network has pushed to their ends on its training specimens are scaled by them, and by
        the training specimens where there are none. Returns self. Raises BiocosmosError without a specimen of a known class,
        and where ``held_out`` comes from another head.
        """
        if not (class_columns(train) >= 0).any():
            raise BiocosmosError(f"detector {self.name!r} needs training specimens of known classes, and there is none")
        if held_out is not None:
            check_same_head(train, held_out)
        self._like = train.subset(np.arange(0))
        self._fit(train, held_out)
        return self

    def scores(self, predictions: Predictions, without: Int32 | None = None) -> Float64:
        """(n,) float64, higher is more novel. Raises BiocosmosError before :meth:`fit`, and for predictions of another head.

        without: (n,) int32, a node for each specimen whose classes are taken as unknown, as if the head had never seen them; 0 or
        -1 for none. That is how a specimen of an unseen taxon would score, but for what the features learnt from it.
        """
        if self._like is None:
            raise BiocosmosError(f"detector {self.name!r} has learnt nothing yet: call fit(train) first")
        check_same_head(self._like, predictions)
        if not len(predictions):
            return np.empty(0)
        if without is None:
            return self._scores(predictions, None)
        hidden = hidden_columns(predictions, without)
        return self._scores(without_classes(predictions, hidden), hidden)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What :meth:`fit` learnt, as arrays to save; nothing for a detector that learns nothing."""
        return {}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what :meth:`arrays` gave; a detector that learns something overrides both."""

    def restored(self, arrays: Mapping[str, npt.NDArray[Any]], like: Predictions) -> Self:
        """The fitted detector again, from its arrays; like: predictions of the namer, of no specimen. Returns self."""
        self._like = like
        self._restore(arrays)
        return self

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        pass

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        """hidden: (n, 2) int64, classes ``hidden[i, 0] <= c < hidden[i, 1]`` unknown to specimen i, whose scores are -inf."""
        raise NotImplementedError


def check_same_head(first: Predictions, second: Predictions) -> None:
    """Refuse two tables of predictions that are not from one head."""
    for fact in NAMER_FACTS:
        mine, other = first.facts.get(fact), second.facts.get(fact)
        if mine is not None and other is not None and mine != other:
            raise BiocosmosError(
                f"these predictions are of {fact} {other}, the detector knows {fact} {mine}: use one head for both"
            )
    widths = (first.features.shape[1], second.features.shape[1])
    if not np.array_equal(first.classes, second.classes) or widths[0] != widths[1]:
        raise BiocosmosError(
            f"these predictions have {len(second.classes)} classes and {widths[1]} features, the detector knows "
            f"{len(first.classes)} classes and {widths[0]} features: use one head for both"
        )


def class_columns(predictions: Predictions) -> Int64:
    """(n,) int64 column of each specimen's own class, -1 where its deepest known node is no class of the head."""
    return columns_of(predictions.classes, predictions.truth)


def columns_of(classes: Int32, nodes: Int32) -> Int64:
    """(n,) int64 where each node stands among ``classes``, which ascend; -1 where it is none of them."""
    inside = np.minimum(np.searchsorted(classes, nodes), len(classes) - 1)
    return np.where(classes[inside] == nodes, inside, -1).astype(np.int64)


def hidden_columns(predictions: Predictions, nodes: Int32) -> Hidden:
    """The classes at or under each node as a range of columns (n, 2) int64; empty for nodes 0 and -1.

    Raises BiocosmosError where nothing would be left.
    """
    start = np.searchsorted(predictions.classes, np.maximum(nodes, 0))
    stop = np.searchsorted(predictions.classes, predictions.taxonomy.end[np.maximum(nodes, 0)])
    hidden = np.stack([start, np.where(nodes > 0, stop, start)], axis=1).astype(np.int64)
    if (hidden[:, 1] - hidden[:, 0] >= len(predictions.classes)).any():
        raise BiocosmosError("all classes would be unknown: the first rank has one taxon only, so nothing stands beside it")
    return hidden


def without_classes(predictions: Predictions, hidden: Hidden) -> Predictions:
    """The same predictions where the hidden classes of each specimen have score -inf and p 0."""
    column = np.arange(len(predictions.classes))
    gone = (column >= hidden[:, :1]) & (column < hidden[:, 1:])
    logits = np.where(gone, np.float32(-np.inf), predictions.logits)
    return replace(predictions, logits=logits, rank_scores=None)


def known_only(predictions: Predictions) -> Predictions:
    """The specimens of a known class."""
    return predictions.subset(class_columns(predictions) >= 0)
