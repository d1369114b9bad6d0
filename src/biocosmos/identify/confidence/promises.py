"""Roll-back with a promise: how deep may answers go so that no more than a stated share of them is wrong?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr  # the binomial distribution; importing scipy.stats takes a second

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.calibration import Calibration, fit_calibration
from biocosmos.identify.confidence.rollback import lowest_sure_rank, pick
from biocosmos.identify.confidence.temperature import Float64, Int32, Int64, walk
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

Kind = Literal["mean", "answered"]
KINDS: dict[str, str] = {
    "mean": "the expected share of wrong answers among all specimens is at most alpha",
    "answered": "with probability 1 - delta, the share of wrong answers among the answered specimens is at most alpha",
}
DEFAULT_ALPHA, DEFAULT_DELTA = 0.05, 0.1
# Share of the calibration specimens that confidence, and the order of tests, are fitted on; the others set the threshold.
FITTING_SHARE = 0.25
# Thresholds tried by the second promise: quantiles of the confidences of the fitting specimens.
_GRID = 200
# alpha (n + 1) is a whole number in arithmetic and a hair less in floating point: 0.29 * 100.
_HAIR = 1e-9
# Taxa named in a note.
_NAMED = 5


class Answers(NamedTuple):
    """nodes: (n,) int32, 0 where nothing is answered; ranks: (n,) int64 index of the rank, -1 there; confidence: (n,) float64 of
    the node, NaN there."""

    nodes: Int32
    ranks: Int64
    confidence: Float64


SEEN, UNSEEN = "known taxa", "taxa that were hidden whole"


@dataclass(frozen=True)
class Group:
    """Testing specimens that a promise holds for by themselves: name; specimens; answered, wrong: how many of them at its
    threshold."""

    name: str
    specimens: int
    answered: int
    wrong: int

    @classmethod
    def of(cls, name: str, outcomes: Outcomes, threshold: float) -> Group:
        """At a threshold."""
        answered, wrong = outcomes.at(np.array([threshold]))
        return cls(name, len(outcomes.answered), int(answered[0]), int(wrong[0]))


@dataclass(frozen=True)
class Promise:
    """A threshold on the confidence, and what was promised with it. Make one with :meth:`fit`.

    The answer to a specimen is the lowest node of its best path whose confidence is at least the threshold, or
    nothing (the root). It is wrong when it is no ancestor-or-self of the truth; nothing is never wrong. Two kinds:

    "mean": E[wrong] <= alpha over all specimens asked about, answered or not. Angelopoulos, Bates, Fisch, Lei, Schuster:
        Conformal Risk Control, ICLR 2024, arXiv:2208.02814: the lowest t with (n R(t) + 1) / (n + 1) <= alpha, R the share of
        wrong answers among n calibration specimens. It needs a loss that never falls as t falls: confidence never rises down a
        path and below a wrong node every node is wrong, so the loss is its own running maximum. The mean is over calibration
        parts and specimens; one calibration part may do worse.
    "answered": P(share of wrong answers among the answered <= alpha) >= 1 - delta over calibration parts. Angelopoulos, Bates,
        Candes, Jordan, Lei: Learn then Test, 2021, arXiv:2110.01052: exact binomial p-values of "the share is above alpha" at a
        sequence of thresholds, from the safest down, until the first that is not under delta. What is wrong among the answered
        need not fall with t, hence the tests.

    Both rest on exchangeability: specimens asked about are like the calibration specimens, as if drawn from one bag; a threshold
    of 0 means that the namer keeps the promise by answering always. A quarter of the calibration specimens, drawn by the
    seed, serves the calibration, and for "answered" the thresholds to test and where to begin; the others, which nothing was
    fitted on, set the threshold. However badly the quarter fits, the promise stands, only fewer answers are given.

    What cannot be told counts as wrong, which can cost answers and never the promise: an answer below a truth that is known to
    a coarser rank only, an answer beside a null rank (truth without status, answer "living"), any answer to a specimen
    whose path is not in the namer's tree (truth -1). Specimens of which nothing is known (truth 0) are left out.

    Where groups are given (:class:`Group`: known taxa, and taxa that were hidden whole), the promise is made for each by itself:
    the threshold of "mean" is the largest of theirs, that of "answered" goes down while the test of each passes, so that it
    holds whatever the share of either among the specimens asked about.

    kind; alpha; delta (None for "mean"); threshold: inf when nothing may be answered; calibration; specimens: those that set the
    threshold; seed; head, tree: digests of what it was fitted for; notes: sentences to show with it;
    groups: those it holds for, each by itself.
    """

    kind: Kind
    alpha: float
    delta: float | None
    threshold: float
    calibration: Calibration
    specimens: int
    seed: int = 0
    head: str | None = None
    tree: str = ""
    notes: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    @classmethod
    def fit(
        cls,
        predictions: Predictions,
        kind: Kind = "mean",
        alpha: float = DEFAULT_ALPHA,
        *,
        delta: float = DEFAULT_DELTA,
        seed: int = 0,
        deepest: Int64 | None = None,
        unseen: NDArray[np.bool_] | None = None,
    ) -> Promise:
        """Set the threshold on calibration specimens that the namer was neither fitted nor chosen on.

        deepest: (n,) the rank below which each is given no answer, -1 for none at all: what :func:`roll_back` is told too.
        unseen: (n,) whether the whole taxon of each was hidden from the namer: then the promise is made for these and for the
        others, each by itself; None where none was.

        Raises BiocosmosError: alpha or delta not between 0 and 1; no specimen with a known taxon; alpha is impossible with so
        few specimens (the smallest possible is named).
        """
        check_promise(kind, alpha, delta)
        known = predictions.truth != 0
        if not known.any():
            raise BiocosmosError(
                f"none of the {len(predictions):,} calibration specimens has a known taxon: a promise needs labelled specimens"
            )
        fitting, testing = set_apart(predictions.ids, np.flatnonzero(known), seed)
        split = {"": np.ones(len(testing), np.bool_)} if unseen is None else {SEEN: ~unseen[testing], UNSEEN: unseen[testing]}
        split = {name: mine for name, mine in split.items() if mine.any()}
        fewest = min((int(mine.sum()) for mine in split.values()), default=0)
        check_possible(kind, alpha, delta, fewest, len(fitting) + len(testing))
        walked = walk(predictions, fitting=True)
        mask = np.zeros(len(predictions), np.bool_)
        mask[fitting] = True
        calibration = fit_calibration(predictions, walked, mask, f"{len(fitting):,} of the calibration specimens")
        nodes, confidence = cut_off(walked.nodes, calibration.confidence(walked), deepest)
        outcomes = Outcomes.of(predictions.taxonomy, nodes, confidence, predictions.truth)
        tested = {name: outcomes.rows(testing[mine]) for name, mine in split.items()}
        threshold = promised_threshold(kind, alpha, delta, outcomes.rows(fitting), list(tested.values()))
        groups = () if unseen is None else tuple(Group.of(name, tested[name], threshold) for name in tested)
        return cls(
            kind,
            float(alpha),
            None if kind == "mean" else float(delta),
            threshold,
            calibration,
            len(testing),
            seed,
            _digest(predictions),
            predictions.taxonomy.digest,
            (*calibration_notes(predictions, walked.nodes), *_reached(kind, alpha, threshold), *_of_groups(groups)),
            groups,
        )

    def describe(self) -> str:
        """The promise in one sentence."""
        if self.kind == "mean":
            said = f"the expected share of wrong answers among all specimens is at most {self.alpha:.4g}"
        else:
            said = f"with probability {1 - (self.delta or 0):.4g}, at most {self.alpha:.4g} of the answers are wrong"
        if not np.isfinite(self.threshold):
            return f"{said}: kept only by answering nothing, as {self.specimens:,} calibration specimens show"
        each = " and ".join(f"{group.specimens:,} of {group.name}" for group in self.groups)
        for_each = f", for each of these by itself: {each}" if each else ""
        limit = f"threshold {self.threshold:.4f} set on" if self.threshold >= 0.00005 else "no threshold was needed on"
        return f"{said} ({limit} {self.specimens:,} calibration specimens{for_each})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` reads it. A threshold of inf is null."""
        facts = {**vars(self), "calibration": self.calibration.to_dict(), "notes": list(self.notes)}
        facts["groups"] = [vars(group) for group in self.groups]
        return {**facts, "threshold": self.threshold if np.isfinite(self.threshold) else None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Promise:
        """Read what :meth:`to_dict` wrote."""
        threshold = float("inf") if data["threshold"] is None else float(data["threshold"])
        calibration = Calibration.from_dict(data["calibration"])
        groups = tuple(Group(**group) for group in data.get("groups", ()))
        told = {**data, "threshold": threshold, "notes": tuple(data["notes"]), "groups": groups}
        return cls(**{**told, "calibration": calibration})


def roll_back(predictions: Predictions, promise: Promise, deepest: Int64 | None = None) -> Answers:
    """The answers to n specimens that keep the promise; deepest as in :meth:`Promise.fit`.

    Raises BiocosmosError when the predictions are of another head, or over another tree, than the promise was made for.
    """
    refuse_other_head(predictions, promise.head, promise.tree)
    nodes, confidence = cut_off(*promise.calibration.best_path(predictions), deepest)
    return answers_at(nodes, confidence, promise.threshold)


def cut_off(nodes: Int32, confidence: Float64, deepest: Int64 | None) -> tuple[Int32, Float64]:
    """Paths (n, L) without what is below the rank ``deepest`` (n,), where a specimen is outside the known; whole for None."""
    if deepest is None:
        return nodes, confidence
    below = np.arange(nodes.shape[1]) > deepest[:, None]
    return np.where(below, -1, nodes).astype(np.int32), np.where(below, np.nan, confidence)


def answers_at(nodes: Int32, confidence: Float64, threshold: float) -> Answers:
    """The lowest node of each path (n, L) whose confidence is at least the threshold."""
    rank = lowest_sure_rank(confidence, threshold)
    return Answers(pick(nodes, rank, 0).astype(np.int32), rank, pick(confidence, rank, np.nan).astype(np.float64))


def is_wrong(taxonomy: Taxonomy, answers: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) whether each answer is no ancestor-or-self of the truth; nothing (0) never is, anything for a truth of -1 is."""
    return np.asarray((answers > 0) & ~taxonomy.is_ancestor(answers, truth))


@dataclass(frozen=True)
class Outcomes:
    """Of each specimen, at which thresholds it is answered, and wrongly: (n,) float64 each.

    answered: it is at t <= answered; wrong: it is wrong at t <= wrong (-inf never), the confidence of the first wrong node.
    confidence: (n, L) of the path.
    """

    answered: Float64
    wrong: Float64
    confidence: Float64

    @classmethod
    def of(cls, taxonomy: Taxonomy, nodes: Int32, confidence: Float64, truth: NDArray[Any]) -> Outcomes:
        """Judge paths: nodes and confidence (n, L), truth (n,)."""
        bad = is_wrong(taxonomy, nodes, np.asarray(truth)[:, None])
        # the deepest node that is sure enough is answered: a wrong node is avoided only above the confidence of all wrong ones
        wrong = np.where(bad, confidence, -np.inf).max(axis=1, initial=-np.inf)
        return cls(np.nan_to_num(confidence, nan=-np.inf).max(axis=1, initial=-np.inf), wrong, confidence)

    def rows(self, rows: Int64) -> Outcomes:
        """Those of some specimens."""
        return Outcomes(self.answered[rows], self.wrong[rows], self.confidence[rows])

    def at(self, thresholds: NDArray[Any]) -> tuple[Int64, Int64]:
        """How many are answered, and wrong, at each threshold: (t,) int64 each."""
        return _at_least(self.answered, thresholds), _at_least(self.wrong, thresholds)


def promised_threshold(kind: Kind, alpha: float, delta: float, fitting: Outcomes, testing: Sequence[Outcomes]) -> float:
    """The lowest threshold that each group of testing specimens allows; see :class:`Promise`. inf when none but answering
    nothing."""
    if kind == "mean":
        return max(mean_threshold(group.wrong, alpha) for group in testing)
    return answered_threshold(fitting, testing, alpha, delta)


def mean_threshold(wrong: Float64, alpha: float) -> float:
    """Conformal risk control: the lowest t at which wrong answers + 1 are at most alpha (n + 1); wrong (n,) of Outcomes.

    At most k - 1 errors are allowed, k = floor(alpha (n + 1)): so t is just above the k-th largest ``wrong``, which keeps all
    that tie with it out. The loss is right-continuous in t when t is read as "confidence > the k-th largest", as the proof asks.
    """
    allowed = allowed_errors(alpha, len(wrong))
    if allowed < 1:
        return float("inf")
    if allowed > len(wrong):
        return 0.0
    edge = np.partition(wrong, len(wrong) - allowed)[len(wrong) - allowed]
    return float(np.nextafter(edge, np.inf)) if edge >= 0 else 0.0


def answered_threshold(fitting: Outcomes, testing: Sequence[Outcomes], alpha: float, delta: float) -> float:
    """Learn then Test by fixed sequence: the last threshold of the sequence before the first that fails.

    The sequence is fixed by the fitting specimens alone, so each p-value is exact: of the m testing specimens answered at a
    fixed t, the number that is wrong is binomial, and P(Bin(m, alpha) <= wrong) is under delta with probability at most delta
    where the true share is above alpha; the first such t of the sequence is one fixed t. It begins where the fitting specimens
    speak loudest for safety: at the very highest confidences so few are answered that one error would end it. Of several groups
    the largest p-value decides: "some group is above alpha" is refuted where it is of each (Berger, Technometrics 1982).
    """
    seen = fitting.confidence[np.isfinite(fitting.confidence)]
    levels = np.quantile(seen, np.linspace(1, 0, _GRID)) if len(seen) else seen
    grid = np.unique(np.append(levels, 0.0))[::-1]
    begin = int(np.argmin(risk_p_values(fitting, grid, alpha)))
    passed = passed_in_sequence(np.max([risk_p_values(group, grid[begin:], alpha) for group in testing], axis=0), delta)
    return float(grid[begin + passed - 1]) if passed else float("inf")


def passed_in_sequence(p: Float64, delta: float) -> int:
    """Fixed sequence testing: how many of the p-values (m,), in order, are at most delta before the first that is not."""
    return int(np.argmax(np.append(p > delta, True)))


def risk_p_values(outcomes: Outcomes, thresholds: Float64, alpha: float) -> Float64:
    """Of "more than alpha of what is answered at t is wrong": P(Bin(answered, alpha) <= wrong), 1 without an answer."""
    answered, wrong = outcomes.at(thresholds)
    return np.asarray(bdtr(wrong, answered, alpha), np.float64)


def smallest_alpha(kind: Kind, n: int, delta: float = DEFAULT_DELTA) -> float:
    """The smallest alpha that can be promised with n specimens that set the threshold, were none of them wrong."""
    return 1 / (n + 1) if kind == "mean" else 1 - delta ** (1 / max(n, 1))


def rounded_up(alpha: float) -> str:
    """An error rate in words, never below itself: the smallest possible must be possible."""
    return f"{np.ceil(alpha * 1e5) / 1e5:.5f}"


def allowed_errors(alpha: float, n: int) -> int:
    """floor(alpha (n + 1)): the error count among n + 1 exchangeable specimens that keeps the expected share at alpha."""
    return int(np.floor(alpha * (n + 1) + _HAIR))


def refuse_other_head(predictions: Predictions, head: str | None, tree: str) -> None:
    """Refuse predictions over another tree, or of a head with another digest, than something was fitted for."""
    mine = _digest(predictions)
    if predictions.taxonomy.digest != tree or (mine and head and mine != head):
        raise BiocosmosError(
            f"the promise was made for the namer {head or 'of another tree'}, these predictions are of {mine or 'another one'}: "
            "fit it on calibration specimens of the same namer"
        )


def check_promise(kind: str, alpha: float, delta: float = DEFAULT_DELTA) -> None:
    """Refuse an unknown kind, or shares that are none."""
    if kind not in KINDS:
        raise BiocosmosError(f"no promise {kind!r}: choose {' or '.join(KINDS)}")
    for name, value in (("error rate", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise BiocosmosError(f"{name} {value} must be between 0 and 1, for example 0.05")


def check_possible(kind: Kind, alpha: float, delta: float, n: int, calibration: int) -> None:
    """Refuse an alpha that n specimens cannot vouch for, naming the smallest that they can."""
    least = smallest_alpha(kind, n, delta)
    if n == 0 or alpha < least - _HAIR:
        raise BiocosmosError(
            f"an error rate of {alpha:g} cannot be promised with {calibration:,} calibration specimens, of which {n:,} set the "
            f"threshold: the smallest possible is {rounded_up(least)}; ask for that much, or calibrate on more"
        )


def set_apart(ids: NDArray[np.object_], rows: Int64, seed: int) -> tuple[Int64, Int64]:
    """Split rows into those that are fitted on and those that set the threshold; by seed and ids, whatever the order of rows."""
    ordered = rows[np.argsort(ids[rows].astype(str), kind="stable")]
    drawn = np.random.default_rng(seed).permutation(ordered)
    count = int(FITTING_SHARE * len(rows))
    return np.sort(drawn[:count]), np.sort(drawn[count:])


def calibration_notes(predictions: Predictions, nodes: Int32) -> list[str]:
    """Sentences on what a user should know about the calibration specimens; nodes (n, L): their best paths."""
    tax, truth, notes = predictions.taxonomy, predictions.truth, []
    absent = _absent(predictions)
    if len(absent):
        names = ", ".join(tax.names[absent[:_NAMED]]) + (", ..." if len(absent) > _NAMED else "")
        notes.append(
            f"{len(absent):,} of {len(predictions.classes):,} classes have no calibration specimen ({names}): the promise holds "
            "over the mixture of taxa seen in calibration and says nothing about these; where they are common, it may fail"
        )
    if nameless := int((truth == 0).sum()):
        notes.append(f"{nameless:,} calibration specimens have no known taxon and were left out")
    if outside := int((truth < 0).sum()):
        notes.append(f"{outside:,} calibration specimens are of taxa that the namer lacks: any answer to them counts as wrong")
    deepest = nodes.max(axis=1, initial=0)
    finer = int(((truth > 0) & (deepest > truth) & tax.is_ancestor(truth, deepest)).sum())
    if finer:
        notes.append(
            f"{finer:,} calibration specimens are known to a coarser rank than the namer could answer: answers finer than what "
            "is known count as wrong, since they might be; the promise holds, with fewer answers than if they were known"
        )
    return notes


def _absent(predictions: Predictions) -> Int32:
    """The classes at or under which no specimen is."""
    truth = np.sort(predictions.truth)
    first, end = predictions.classes, predictions.taxonomy.end[predictions.classes]
    return np.asarray(first[np.searchsorted(truth, end) == np.searchsorted(truth, first)])


def _reached(kind: Kind, alpha: float, threshold: float) -> list[str]:
    if np.isfinite(threshold) and threshold <= 1:
        return []
    among = "all" if kind == "mean" else "the answered"
    return [
        f"no confidence from which on at most {alpha:g} of {among} are wrong: too few calibration specimens show it, or too "
        "many confident names are wrong; nothing is answered: allow more with --error-rate, ask for --promise mean, or stop "
        "at a confidence with --threshold"
    ]


def _of_groups(groups: Sequence[Group]) -> list[str]:
    return [
        f"of {group.specimens:,} held-out specimens of {group.name}, {group.answered:,} are answered at this threshold and "
        f"{group.wrong:,} of these wrongly ({group.wrong / group.specimens:.1%} of all of them)"
        for group in groups
    ]


def _digest(predictions: Predictions) -> str | None:
    digest = predictions.facts.get("digest")
    return None if digest is None else str(digest)


def _at_least(values: Float64, thresholds: NDArray[Any]) -> Int64:
    ordered = np.sort(values)
    return np.asarray(len(ordered) - np.searchsorted(ordered, thresholds, side="left"), np.int64)
