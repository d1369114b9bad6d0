"""One class's specimens in the order of their scores, and the precision along it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Ranking:
    """One class's known specimens by falling score, ready to be counted anew; equal scores are one cut.

    scores, labels: (n,), labels of 1, 0 and -1.
    """

    def __init__(self, scores: Array, labels: Array) -> None:
        rows = np.flatnonzero(labels >= 0)
        self._order = rows[np.argsort(-scores[rows], kind="stable")]
        self._true = labels[self._order] == 1
        sorted_ = scores[self._order]
        self._last = np.append(np.flatnonzero(np.diff(sorted_)), len(sorted_) - 1) if len(rows) else np.zeros(0, np.int64)

    def precision(self, times: Array) -> float:
        """Average precision with each specimen counted so many times (n,); NaN without a true one."""
        counted = times[self._order]
        ranked, right = np.cumsum(counted)[self._last], np.cumsum(counted * self._true)[self._last]
        if not len(right) or not right[-1]:
            return float("nan")
        share = np.divide(right, ranked, out=np.zeros(len(right)), where=ranked > 0)
        return float((np.diff(right, prepend=0) * share).sum() / right[-1])
