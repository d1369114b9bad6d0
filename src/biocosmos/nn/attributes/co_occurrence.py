"""Which classes belong together: the graph of CT-GNN from the labels of the training specimens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.tasks import TaskShape, parts_of

AdjacencyKind = Literal["binary", "reweighted", "reweighted-conditional", "dynamic"]
Normalise = Literal["", "Sym", "In"]
ADJACENCIES = ("binary", "reweighted", "reweighted-conditional", "dynamic")
NEIGHBOURS = 0.2
"""p, the published share of a node's new vector that comes from its neighbours."""
ROWS = 65_536


def counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Co-occurrences (C, C) and judgements (C, C), float64, of ``values`` (n, C): 1 true, 0 false, -1 not known.

    Co-occurrences [i, j]: specimens with both classes, those of a class on the diagonal. Judgements [i, j]: specimens of j for
    which i is known; where all is known, the specimens of j.
    """
    classes = values.shape[1]
    together, judged = np.zeros((classes, classes)), np.zeros((classes, classes))
    for start in range(0, len(values), ROWS):
        rows = values[start : start + ROWS]
        true = (rows == 1).astype(np.float64)
        together += true.T @ true
        judged += (rows >= 0).astype(np.float64).T @ true
    return together, judged


def conditional(together: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
    """P_ij = P(class i | class j), float64 (C, C): together / judged, see :func:`counted`; None: the diagonal of ``together``.

    Where nothing was counted, 0; the diagonal is 1, that of a class without specimens too, which so is alone with itself.
    """
    below = np.broadcast_to(np.diag(together), together.shape) if judged is None else judged
    found: np.ndarray = np.divide(together, below, out=np.zeros(together.shape), where=below > 0)
    np.fill_diagonal(found, 1.0)
    return found


def adjacency(
    values: np.ndarray,
    tasks: Sequence[TaskShape],
    *,
    kind: AdjacencyKind = "reweighted",
    tau: float | None = None,
    p: float = NEIGHBOURS,
    normalise: Normalise = "",
) -> np.ndarray:
    """The graph over the classes of all tasks: row i says what class i takes from each class j.

    values: (n, C) int8 of the training specimens, 1 true, 0 false, -1 not known, the tasks' columns side by side.
    kind: with P of :func:`conditional`, "binary" B_ij = 1 where P_ij >= tau; "reweighted" off the diagonal
    p B_ij / sum_j B_ij and 1 - p on it (1 in a row without neighbours), Chen et al. 2019 (arXiv:1904.03582), equation 8;
    "reweighted-conditional" the same with P B for B; "dynamic" all ones: attention decides.
    tau: None is 1 / C_t, chance within the task of row i, as published; else one number above 0, at most 1.
    normalise: "Sym" D^-1/2 A D^-1/2, "In" D^-1 A, D the row sums; "" neither.

    A rank of a taxonomy may be a task: P(parent | child) = 1, so that the graph is the tree, plus the edges of the attributes.
    Returns (C, C) float64, never nan. Raises BiocosmosError where columns and tasks differ, or numbers are out of range.
    """
    classes = sum(task.classes for task in tasks)
    if values.ndim != 2 or values.shape[1] != classes:
        raise BiocosmosError(f"adjacency: labels are {values.shape}, but the tasks have {classes} classes: give (n, {classes})")
    return graph_of(conditional(*counted(values)), tasks, kind=kind, tau=tau, p=p, normalise=normalise)


def graph_of(
    chances: np.ndarray,
    tasks: Sequence[TaskShape],
    *,
    kind: AdjacencyKind = "reweighted",
    tau: float | None = None,
    p: float = NEIGHBOURS,
    normalise: Normalise = "",
) -> np.ndarray:
    """As :func:`adjacency`, from conditional probabilities (C, C) that are there already: those of a taxonomy, or of counts."""
    classes = sum(task.classes for task in tasks)
    if np.shape(chances) != (classes, classes):
        raise BiocosmosError(f"adjacency: probabilities are {np.shape(chances)}, but the tasks have {classes} classes")
    if kind not in ADJACENCIES:
        raise BiocosmosError(f"there is no adjacency '{kind}': choose {', '.join(ADJACENCIES)}")
    if not 0 <= p <= 1 or (tau is not None and not 0 < tau <= 1):
        raise BiocosmosError(f"adjacency: tau {tau} must be above 0 and at most 1, p {p} from 0 to 1")
    if kind == "dynamic":
        return normalised(np.ones((classes, classes)), normalise)
    edges = (chances >= _thresholds(tasks, tau)[:, None]).astype(np.float64)
    if kind == "binary":
        return normalised(edges, normalise)
    return normalised(_reweighted(edges if kind == "reweighted" else chances * edges, p), normalise)


def normalised(matrix: np.ndarray, how: Normalise) -> np.ndarray:
    """A matrix (C, C) divided by its row sums, see :func:`adjacency`; rows of zeros stay so."""
    if how not in ("", "Sym", "In"):
        raise BiocosmosError(f"there is no normalisation '{how}': choose Sym, In or nothing")
    if not how:
        return matrix
    sums = matrix.sum(1)
    power = np.power(sums, -0.5 if how == "Sym" else -1.0, out=np.zeros_like(sums), where=sums > 0)
    scaled: np.ndarray = power[:, None] * matrix * (power[None, :] if how == "Sym" else 1.0)
    return scaled


def _thresholds(tasks: Sequence[TaskShape], tau: float | None) -> np.ndarray:
    found = np.empty(sum(task.classes for task in tasks))
    for task, part in zip(tasks, parts_of(tasks)):
        found[part] = 1 / task.classes if tau is None else tau
    return found


def _reweighted(edges: np.ndarray, p: float) -> np.ndarray:
    others = edges.copy()
    np.fill_diagonal(others, 0.0)
    sums = others.sum(1, keepdims=True)
    shares: np.ndarray = np.divide(others * p, sums, out=np.zeros_like(others), where=sums > 0)
    np.fill_diagonal(shares, np.where(sums[:, 0] > 0, 1 - p, 1.0))
    return shares
