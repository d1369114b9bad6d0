"""The identifier: from query vectors to names, with confidence, novelty and evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.answers import EVIDENCE, Answers, answer_table, check_rank_names, pybioclip_table
from biocosmos.identify.blocks import BLOCK_ELEMENTS, block_rows
from biocosmos.identify.confidence import holdout
from biocosmos.identify.confidence.curves import Calibration, ScoredChunks, calibrate, held_out_paths, uncalibrated
from biocosmos.identify.confidence.guarantee import threshold_for_risk
from biocosmos.identify.confidence.rollback import DEFAULT_THRESHOLD, check_threshold
from biocosmos.identify.encoding import encoder_of, refuse_mismatch
from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.identify.namers import candidates as candidate_taxa
from biocosmos.identify.namers.registry import DEFAULT_NAMER, NAMERS, find_namer
from biocosmos.identify.namers.rules import RULES
from biocosmos.identify.namers.storage import load_folder, save_folder
from biocosmos.identify.namers.text import TEMPLATES, TextEncoder
from biocosmos.identify.novelty import distances as novelty
from biocosmos.identify.paths import CandidateTree, probabilities
from biocosmos.progress import progress
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery
from biocosmos.search.vectors import as_matrix, unit_rows
from biocosmos.specimens import guard

METHODS = tuple(NAMERS)
DEFAULT_METHOD = DEFAULT_NAMER
# Used only where no specimen can be held out (every taxon has one specimen). CLIP's logit scale ends at 100, its inverse is
# 0.01; logits are on the scale of a softmax already; differences of cosines are a few hundredths.
_TEMPERATURE = {"zero-shot": 0.01, "linear": 1.0}
_OTHER_TEMPERATURE = 0.05


@dataclass(frozen=True)
class Identifier:
    """Names queries by a gallery. Make one with :meth:`fit`, or :meth:`load` a saved one.

    >>> identifier = Identifier.fit(gallery, method="linear", calibration=collection.gallery(encoder, split="val"))
    >>> table = identifier.identify(queries)

    ``failures`` holds names of a taxa list that could not be used.
    """

    method: str
    gallery: Gallery
    scorer: GalleryNamer
    tree: CandidateTree
    calibration: Calibration
    threshold: float
    neighbours: int
    known_distances: NDArray[np.float64]
    false_alarm_rate: float
    calibration_ids: NDArray[np.object_]
    settings: dict[str, Any] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)

    @classmethod
    def fit(
        cls,
        gallery: Gallery,
        *,
        method: str = DEFAULT_METHOD,
        calibration: Gallery | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        within: str | int | None = None,
        taxa: str | Path | Iterable[str | int] | None = None,
        k: int | None = None,
        false_alarm_rate: float = novelty.DEFAULT_FALSE_ALARM_RATE,
        class_weight: Literal["balanced"] | None = None,
        encoder: TextEncoder | None = None,
        templates: Sequence[str] = TEMPLATES,
        risk: float | None = None,
        delta: float = 0.1,
        seed: int = 0,
        device: str = "cpu",
    ) -> Identifier:
        """Fit on the labelled specimens of ``gallery``.

        Parameters
        ----------
        method: one of :data:`METHODS`.
        calibration: labelled specimens that are not in ``gallery``. Without it, confidence is calibrated on the gallery itself:
            leave-one-out by id for the neighbour rules, folds for "simpleshot" and "linear", directly for "zero-shot".
        threshold: confidence, in (0, 1], that the roll-back's answer must reach.
        within: only taxa under this one (name or node id) may be the answer.
        taxa: only taxa under these may: a CSV path, or names. Those not understood go to ``failures``.
        k: neighbours for novelty; default the square root of the median class size.
        false_alarm_rate: share of known specimens that ``novel`` may flag.
        class_weight: "balanced" makes the linear head weigh classes alike.
        encoder, templates: text encoder and sentences for "zero-shot", whose candidates are the gallery's taxa and all leaves of
            the taxonomy, those without a specimen too.
        risk, delta: choose the threshold so that, with probability 1 - delta, at most this share of the answers is wrong; needs
            ``calibration``, one half of which fits the curves and the other tests the threshold.
        seed: for samples and folds.

        Raises BiocosmosError for an empty or unlabelled gallery, fewer than two candidate taxa, ids shared with
        ``calibration``, an unknown ``within``, a taxa list without one usable name.
        """
        find_namer(method)
        threshold = check_threshold(threshold)
        if risk is not None and calibration is None:
            raise BiocosmosError("a promised risk needs specimens that nothing was fitted on: give a calibration gallery")
        if k is not None and k < 1:
            raise BiocosmosError(f"k = {k}: novelty needs at least one neighbour")
        failures = Failures()
        taxa = taxa if taxa is None or isinstance(taxa, (str, Path)) else list(taxa)
        gallery = candidate_taxa.labelled(gallery)
        taxonomy = gallery.taxonomy
        assert taxonomy is not None
        check_rank_names(taxonomy.ranks)
        allowed = candidate_taxa.allowed_nodes(taxonomy, within=within, taxa=taxa, failures=failures)
        gallery = candidate_taxa.narrow(gallery, allowed)
        assert gallery.taxa is not None
        known = np.unique(gallery.taxa)
        if len(known) < 2:
            name = taxonomy.names[int(known[0])]
            raise BiocosmosError(
                f"all specimens of the gallery are {name}: naming needs at least two taxa; widen the gallery or the taxa"
            )
        if calibration is not None:
            refuse_mismatch(gallery.provenance, calibration.provenance, "the calibration specimens")

        kind = find_namer(method)
        chosen = FitOptions(class_weight, templates, encoder, allowed, device, seed)

        def fitted(on: Gallery) -> GalleryNamer:
            return kind.fit(on, chosen)

        scorer = fitted(gallery)
        if taxa is not None:
            candidate_taxa.note_absent(taxonomy, taxa, scorer.classes, failures)
        held = _hold_out(method, scorer, fitted, gallery, calibration, allowed, seed)
        tree = CandidateTree(taxonomy, scorer.classes)
        curve, threshold, promise = _calibrated(method, tree, held, threshold, risk, delta, seed)
        k = k or novelty.neighbour_count(gallery.taxa)
        rows = held.rows()
        hide = held.gallery.ids[rows] if held.gallery is gallery else None
        distances = novelty.neighbour_distance(gallery, held.gallery.vectors[rows], k, hide)
        settings = {
            "within": within if within is None or isinstance(within, str) else taxonomy.name(within),
            "taxa": str(taxa) if isinstance(taxa, (str, Path)) else taxa,
            "seed": seed,
            "class_weight": class_weight,
            "templates": list(templates) if method == "zero-shot" else None,
            "promise": promise,
        }
        outside = held.gallery.ids[rows] if held.gallery is not gallery else np.empty(0, object)
        return cls(
            method,
            gallery,
            scorer,
            tree,
            curve,
            threshold,
            k,
            distances[~np.isnan(distances)],
            false_alarm_rate,
            outside,
            settings,
            failures,
        )

    def identify(
        self,
        queries: Gallery | tuple[Sequence[str], Any],
        *,
        image_paths: Sequence[str | None] | None = None,
        provenance: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> pa.Table:
        """Name every query; see :func:`answers.answer_table` for the columns. Rows keep the order of the queries.

        queries: a Gallery (its labels are not looked at), or (ids, vectors (q, d) of any float type and length above zero).
        image_paths: input path per query; default the column ``image_path`` of a query Gallery.
        provenance: what a tuple of queries was embedded with, as a Gallery's provenance says it.

        Raises BiocosmosError for vectors of another dimension or encoder, zero or NaN vectors (naming the ids), and ids that
        the identifier was fitted or calibrated on.
        """
        ids, vectors, paths, facts = self._queries(queries, image_paths, provenance)
        refuse_mismatch(self.gallery.provenance, facts, "the queries")
        remedy = "identify specimens of another part of the split, or leave these out of the gallery"
        guard.refuse_shared(ids, self.gallery.ids, "queries are in the gallery they would be named by", remedy)
        guard.refuse_shared(ids, self.calibration_ids, "queries were used to calibrate", remedy)
        hits = self.gallery.search(vectors, max(self.neighbours, EVIDENCE), device=device) if len(ids) else None
        distance = np.empty(0) if hits is None else novelty.kth_distance(hits.scores, self.neighbours)
        nodes, confidence = self._paths(vectors)
        answers = Answers(
            ids.tolist(), paths, nodes, confidence, distance, novelty.p_values(distance, self.known_distances), hits
        )
        return answer_table(
            answers,
            self.tree.taxonomy,
            threshold=self.threshold,
            false_alarm_rate=self.false_alarm_rate,
            method=self.method,
            provenance=self.provenance(facts),
        )

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities over ``scorer.classes``, before calibration: (q, d) float32 unit vectors -> (q, C) float64, whole."""
        return probabilities(self.scorer.scores(vectors), self.calibration.temperature)

    def provenance(self, queries: dict[str, Any] | None = None) -> dict[str, Any]:
        """Everything that made the answers, JSON-ready."""
        about = self.gallery.provenance
        return {
            "method": self.method,
            "threshold": self.threshold,
            "settings": self.settings,
            "calibration": self.calibration.describe(),
            "novelty": {
                "score": "distance to the k-th neighbour",
                "k": self.neighbours,
                "false_alarm_rate": self.false_alarm_rate,
                "calibration_specimens": len(self.known_distances),
            },
            "encoder": encoder_of(about),
            "gallery": {"specimens": len(self.gallery), "candidates": len(self.scorer.classes), **about},
            "queries": queries or {},
            "taxonomy": self.tree.taxonomy.digest,
            "software": software(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write the identifier to a folder that :meth:`load` reads; an identifier already there is replaced."""
        state = {
            "method": self.method,
            "threshold": self.threshold,
            "neighbours": self.neighbours,
            "false_alarm_rate": self.false_alarm_rate,
            "settings": self.settings,
            "calibration": self.calibration.to_dict(),
            "calibration_ids": [str(name) for name in self.calibration_ids],
        }
        arrays = {**self.scorer.arrays(), "candidates": self.scorer.classes, "known_distances": self.known_distances}
        return save_folder(folder, state, arrays, self.gallery)

    @classmethod
    def load(cls, folder: str | Path) -> Identifier:
        """Read what :meth:`save` wrote; it gives the same answers."""
        state, arrays, gallery = load_folder(folder)
        assert gallery.taxonomy is not None
        known = np.asarray(arrays.pop("known_distances"), np.float64)
        scorer = find_namer(state["method"]).restore(gallery, np.asarray(arrays["candidates"], np.int32), arrays)
        return cls(
            method=state["method"],
            gallery=gallery,
            scorer=scorer,
            tree=CandidateTree(gallery.taxonomy, scorer.classes),
            calibration=Calibration.from_dict(state["calibration"]),
            threshold=state["threshold"],
            neighbours=state["neighbours"],
            known_distances=known,
            false_alarm_rate=state["false_alarm_rate"],
            calibration_ids=np.array(state["calibration_ids"], object),
            settings=state["settings"],
        )

    def with_threshold(self, threshold: float) -> Identifier:
        """The same identifier that answers at another confidence; nothing is fitted again."""
        return replace(self, threshold=check_threshold(threshold))

    pybioclip_table = staticmethod(pybioclip_table)

    def _paths(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Best paths (q, R) int32 and calibrated confidences (q, R) float64, in chunks of queries."""
        width = len(self.tree.taxonomy.ranks)
        nodes, confidence = np.full((len(vectors), width), -1, np.int32), np.full((len(vectors), width), np.nan)
        size = block_rows(len(self.scorer.classes))
        with progress("identify", total=len(vectors), unit="specimens") as bar:
            for a in range(0, len(vectors), size):
                rows = slice(a, min(a + size, len(vectors)))
                nodes[rows], p = self.tree.best_path(self.scores(vectors[rows]))
                confidence[rows] = self.calibration.confidence(p)
                bar.advance(rows.stop - rows.start)
        return nodes, confidence

    def _queries(
        self,
        queries: Gallery | tuple[Sequence[str], Any],
        image_paths: Sequence[str | None] | None,
        provenance: dict[str, Any] | None,
    ) -> tuple[NDArray[np.object_], NDArray[np.float32], Sequence[str | None], dict[str, Any]]:
        """Checked ids (q,), unit vectors (q, d) float32, paths (q,) and provenance."""
        if isinstance(queries, Gallery):
            ids, raw, facts = queries.ids, queries.vectors, {**queries.provenance, **(provenance or {})}
            if image_paths is None and queries.columns is not None and "image_path" in queries.columns.column_names:
                image_paths = queries.columns.column("image_path").to_pylist()
        else:
            names, raw = queries
            ids, facts = np.array([str(name) for name in names], object), dict(provenance or {})
        x = as_matrix(raw, what="query")
        if len(x) != len(ids) or (image_paths is not None and len(image_paths) != len(ids)):
            raise BiocosmosError(f"{len(ids)} query ids for {len(x)} vectors: give one id, and one path if any, for each vector")
        if len(x) and x.shape[1] != self.gallery.dim:
            raise BiocosmosError(
                f"the queries have {x.shape[1]} dimensions and the gallery {self.gallery.dim}: embed both with one encoder"
            )
        x = unit_rows(x, what="query", names=ids)
        return ids, x.cpu().numpy(), image_paths if image_paths is not None else [None] * len(ids), facts


def _hold_out(
    method: str,
    scorer: GalleryNamer,
    fitted: Callable[[Gallery], GalleryNamer],
    gallery: Gallery,
    calibration: Gallery | None,
    allowed: NDArray[np.bool_] | None,
    seed: int,
) -> holdout.HeldOut:
    if calibration is not None:
        return holdout.from_gallery(scorer, gallery, calibration, allowed, seed)
    if method in RULES:
        return holdout.leave_one_out(scorer, gallery, seed)
    if method == "zero-shot":
        return holdout.unseen(scorer, gallery, seed)
    return holdout.folds(fitted, gallery, seed)


def _repeatable(held: holdout.HeldOut, tree: CandidateTree) -> ScoredChunks:
    """Passes over the held-out scores: kept in memory where they are small, computed again where not."""
    if len(held) * len(tree.candidates) > BLOCK_ELEMENTS:
        return held.chunks
    kept = list(held.chunks())
    return lambda: kept


def _calibrated(
    method: str, tree: CandidateTree, held: holdout.HeldOut, threshold: float, risk: float | None, delta: float, seed: int
) -> tuple[Calibration, float, dict[str, float] | None]:
    """The calibration, the threshold, and the promise it carries if a risk was asked for."""
    if not len(held):
        temperature = _TEMPERATURE.get(method, _OTHER_TEMPERATURE)
        return uncalibrated(tree.taxonomy.ranks, temperature, "none: every taxon has one specimen"), threshold, None
    if risk is None:
        return calibrate(tree, _repeatable(held, tree), held.source), threshold, None
    fitting = np.random.default_rng(seed).permutation(len(held)) % 2 == 0
    curve = calibrate(tree, _repeatable(held.part(fitting), tree), f"half of {held.source}")
    p, right = held_out_paths(tree, held.part(~fitting).chunks, curve.temperature)
    return curve, threshold_for_risk(curve.confidence(p), right, risk, delta), {"risk": risk, "delta": delta}
