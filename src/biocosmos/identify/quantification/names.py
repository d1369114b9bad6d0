"""Names by what a community holds: predictions as they are under its shares, and shares at any rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification.methods import Float64, quantify
from biocosmos.taxonomy import Taxonomy

LEAST = 1e-9
"""Share of a class that EM found none of: its logit stays a number."""
NO_PROMISE = (
    "names are corrected by the shares of this community: what was promised of the uncorrected names does not hold for them"
)


def corrected_predictions(
    predictions: Predictions, prior: npt.ArrayLike, shares: npt.ArrayLike, *, scale: float = 1.0
) -> Predictions:
    """The predictions where the classes have ``shares`` (C,) in place of the training's ``prior`` (C,): logits + T log q / π.

    scale: T, the temperature at which the logits are posteriors.

    Roll-back, sets and pages read them as any others; see :data:`NO_PROMISE`. Raises BiocosmosError for other numbers of classes
    and for a class without a share in training.
    """
    old, new = np.asarray(prior, np.float64), np.asarray(shares, np.float64)
    if old.shape != predictions.classes.shape or new.shape != old.shape or not (old > 0).all():
        raise BiocosmosError(f"shares of {len(new)} classes do not go with predictions of {len(predictions.classes)}")
    step = np.log(np.maximum(new, LEAST)) - np.log(old)
    logits = (predictions.logits + scale * step).astype(np.float32)
    return replace(predictions, logits=logits, rank_scores=None, rank_nodes=()).described(corrected="community")


def rolled_up(taxonomy: Taxonomy, classes: npt.NDArray[np.int32], shares: npt.ArrayLike, rank: str) -> dict[str | None, float]:
    """Shares of the taxa of a rank; what its classes have no name for at this rank is under None, homonyms under their paths.

    Raises BiocosmosError for a rank that the taxonomy has not.
    """
    nodes, values = taxonomy.ancestor(classes, rank), np.asarray(shares, np.float64)
    several = set(taxonomy.homonyms().tolist())
    found: dict[str | None, float] = {}
    for node in np.unique(nodes).tolist():
        path = taxonomy.path_text(node) if node in several else None
        found[path or taxonomy.name(node)] = float(values[nodes == node].sum())
    return found


def bootstrapped(method: str, posteriors: npt.ArrayLike, prior: npt.ArrayLike, *, draws: int = 100, seed: int = 0) -> Float64:
    """(draws, C) shares of resampled specimens (cc, pcc, emq): their quantiles say what the number of specimens leaves open."""
    said, rng = np.asarray(posteriors, np.float64), np.random.default_rng(seed)
    rows = (rng.integers(0, len(said), len(said)) for _ in range(draws))
    return np.stack([quantify(method, said[drawn], prior, close=1e-5).values for drawn in rows])
