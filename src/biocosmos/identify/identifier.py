"""The identifier: a namer with all that stands behind it, from specimens to the table of names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.answers import VOTERS, BestPaths, answer_table, check_rank_names, pybioclip_table
from biocosmos.identify.confidence import held_out
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.confidence.held_out import HeldOut
from biocosmos.identify.confidence.promises import Promise, set_apart
from biocosmos.identify.confidence.rollback import check_threshold
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.confidence.sets import PredictionSets
from biocosmos.identify.encoding import encoder_of, refuse_mismatch
from biocosmos.identify.namer import FitOptions, GalleryNamer, Namer, Specimens
from biocosmos.identify.namers import candidates as candidate_taxa
from biocosmos.identify.namers.registry import DEFAULT_NAMER, find_namer
from biocosmos.identify.novelty.alarm import Alarm, sound_alarm
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.runners_up import RunnersUp, path_confidence
from biocosmos.identify.summary import Summary
from biocosmos.progress import progress
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery
from biocosmos.search.hits import Hits
from biocosmos.search.vectors import as_matrix, unit_rows
from biocosmos.specimens import guard
from biocosmos.tables import PROVENANCE_KEY

KEPT_FEATURES = 1000
"""Features of held-out specimens that are kept, to be compared with those of the specimens asked about."""
KEPT_HELD, KEPT_SCORES = 2000, 4_000_000
"""Held-out specimens that are kept with what was said of them, and class scores of all of these together: shares rest on them."""
Ids = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Identifier:
    """Names specimens. Make one with :meth:`fit` on a gallery, :meth:`around` any namer, or :meth:`load` a kept one.

    >>> identifier = Identifier.fit(collection.gallery(split="train"), calibration=collection.gallery(split="val"))
    >>> table = identifier.identify(collection.gallery(split="test"))

    namer: who says it; known: the specimens it learnt from by its features, of which the nearest are shown as evidence (None: its
    features tell nothing); calibration, threshold: where an answer stops; promise: what that threshold promises, or None; alarm:
    novelty, None with too few held-out specimens; sets: or None; calibrated_on: ids that it was calibrated on and that are not
    known ones; features: (m, d) of held-out specimens, m at most :data:`KEPT_FEATURES`; held: what was said of some held-out
    specimens, whose truth is known, or None; settings: what it was made with; notes: sentences that go with its answers;
    failures: names of a taxa list that could not be used; alone: of a namer of images and barcodes, by what a specimen has alone,
    the identifier that answers for it: each stops where its own answers stop being right.
    """

    namer: Namer
    known: Gallery | None
    calibration: Calibration
    threshold: float
    promise: Promise | None
    alarm: Alarm | None
    sets: PredictionSets | None
    calibrated_on: Ids
    features: NDArray[np.float32]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failures: Failures = field(default_factory=Failures)
    alone: Mapping[str, Identifier] = field(default_factory=dict)
    held: Predictions | None = field(default=None, repr=False)

    # ------------------------------------------------------------------ make

    @classmethod
    def fit(
        cls,
        gallery: Gallery,
        *,
        method: str = DEFAULT_NAMER,
        calibration: Gallery | None = None,
        within: str | int | None = None,
        taxa: str | Path | Iterable[str | int] | None = None,
        class_weight: Literal["balanced"] | None = None,
        encoder: Any = None,
        templates: Sequence[str] | None = None,
        seed: int = 0,
        device: str = "cpu",
        **rules: Any,
    ) -> Identifier:
        """Fit a namer on the labelled specimens of ``gallery``, and all that stands behind it.

        Parameters
        ----------
        method: a name of :data:`biocosmos.identify.namers.registry.NAMERS`, or of an installed package's namer.
        calibration: labelled specimens that are not in ``gallery``. Without it the gallery is cross-fitted.
        within: only taxa under this one (name or node id) may be the answer.
        taxa: only taxa under these may: a CSV path, or names. Those not understood go to ``failures``.
        class_weight: "balanced" makes the linear namer weigh taxa alike.
        encoder, templates: text encoder and sentences for "zero-shot", whose candidates are the gallery's taxa and all leaves of
            the taxonomy, those without a specimen too.
        seed: for samples and folds. device: to fit on.
        rules: threshold, error_rate, promise, delta, sets, novelty, false_alarm_rate: see :class:`AnswerRules`.

        Raises BiocosmosError for an empty or unlabelled gallery, fewer than two candidate taxa, ids shared with
        ``calibration``, an unknown ``within``, a taxa list without one usable name, an option that the method does not use, and
        a promise that so few specimens cannot give.
        """
        return cls.fit_and_hold_out(
            gallery,
            method=method,
            calibration=calibration,
            within=within,
            taxa=taxa,
            class_weight=class_weight,
            encoder=encoder,
            templates=templates,
            seed=seed,
            device=device,
            **rules,
        )[0]

    @classmethod
    def fit_and_hold_out(
        cls,
        gallery: Gallery,
        *,
        method: str = DEFAULT_NAMER,
        calibration: Gallery | None = None,
        within: str | int | None = None,
        taxa: str | Path | Iterable[str | int] | None = None,
        class_weight: Literal["balanced"] | None = None,
        encoder: Any = None,
        templates: Sequence[str] | None = None,
        seed: int = 0,
        device: str = "cpu",
        **rules: Any,
    ) -> tuple[Identifier, HeldOut]:
        """As :meth:`fit`, with the held-out specimens that it was calibrated on, as its namer sees them."""
        asked, failures = AnswerRules(**rules), Failures()
        kind = find_namer(method)
        chosen = {"class_weight": class_weight, "templates": templates}
        for name, value in chosen.items():
            if value is not None and name not in kind.options:
                raise BiocosmosError(f"the method {method!r} has no {name}: leave it out, or choose {_with_option(name)}")
        taxa = taxa if taxa is None or isinstance(taxa, (str, Path)) else list(taxa)
        gallery = candidate_taxa.labelled(gallery)
        taxonomy = gallery.taxonomy
        assert taxonomy is not None
        check_rank_names(taxonomy.ranks)
        allowed = candidate_taxa.allowed_nodes(taxonomy, within=within, taxa=taxa, failures=failures)
        gallery = candidate_taxa.narrow(gallery, allowed)
        candidate_taxa.refuse_one_taxon(gallery)
        if calibration is not None:
            refuse_mismatch(gallery.provenance, calibration.provenance, "the calibration specimens")
        options = FitOptions(class_weight, templates, encoder, allowed, device, seed)
        namer = kind.fit(gallery, options)
        if taxa is not None:
            candidate_taxa.note_absent(taxonomy, taxa, namer.classes, failures)
        held = (
            held_out.cross_fitted(namer, gallery, options)
            if calibration is None
            else held_out.calibration_gallery(namer, gallery, calibration, allowed, seed)
        )
        held = on_logit_scale(namer, held, asked, seed)
        settings = {
            "within": within if within is None or isinstance(within, str) else taxonomy.name(within),
            "taxa": str(taxa) if isinstance(taxa, (str, Path)) else taxa,
            "class_weight": class_weight,
            "templates": None if templates is None else list(templates),
        }
        made = cls.around(namer, held, known=gallery, rules=asked, seed=seed, settings=settings, failures=failures)
        made = replace(made, alone=_alone(namer, gallery, asked, seed, settings))
        if calibration is not None or held.unseen is not None:
            return made, held
        return replace(made, notes=(*made.notes, *_unseen_taxa(gallery))), held

    @classmethod
    def around(
        cls,
        namer: Namer,
        held: HeldOut,
        *,
        known: Gallery | None,
        rules: AnswerRules | None = None,
        seed: int = 0,
        settings: dict[str, Any] | None = None,
        failures: Failures | None = None,
    ) -> Identifier:
        """Calibration, promise, novelty and sets for any namer, on held-out specimens as it sees them.

        Raises BiocosmosError for a promise or sets that so few specimens cannot give, naming what they can.
        """
        rules = AnswerRules() if rules is None else rules
        facts = {**(settings or {}), "seed": seed, "rules": vars(rules), "held_out": held.source}
        ranks = namer.taxonomy.ranks
        if not len(held) or not (held.predictions.truth != 0).any():
            if rules.asked_for or rules.sets is not None:
                raise BiocosmosError("a promise needs specimens that can be held out, and every taxon has one only: label more")
            calibration = Calibration.none(ranks, "none: no specimen with a known taxon could be held out")
            notes = ("no specimen could be held out: confidence is not calibrated, and novelty cannot be told",)
            features = np.empty((0, 0), np.float32)
            empty = np.empty(0, object)
            return cls(
                namer, known, calibration, rules.fallback, None, None, None, empty, features, facts, notes, failures or Failures()
            )
        predictions = held.predictions
        fitting, testing = set_apart(predictions.ids, np.flatnonzero(predictions.truth != 0), seed)
        alarm, deepest, said = sound_alarm(held, fitting, _detector(namer, rules, known), rules.false_alarm_rate)
        deepest = _bounded(namer, predictions, deepest)
        calibration, threshold, promise, more = _stops(predictions, rules, seed, deepest, held)
        of_sets = testing if held.unseen is None else testing[~held.unseen[testing]]  # of a hidden taxon no set can hold it
        sets = None if rules.sets is None else PredictionSets.fit(predictions.subset(of_sets), rules.alpha, rules.sets)
        rows = np.sort(np.random.default_rng(seed).permutation(len(predictions))[:KEPT_FEATURES])
        return cls(
            namer,
            known,
            calibration,
            threshold,
            promise,
            alarm,
            sets,
            predictions.ids if held.outside else np.empty(0, object),
            predictions.features[rows],
            facts,
            (*said, *more),
            Failures() if failures is None else failures,
            held=_kept_held(held, seed),
        )

    def with_threshold(self, threshold: float) -> Identifier:
        """The same identifier that answers at another confidence, and promises nothing; nothing is fitted again."""
        return replace(self, threshold=check_threshold(threshold), promise=None)

    # ------------------------------------------------------------------ name

    @property
    def method(self) -> str:
        """Who names, as the answers say."""
        return self.namer.title

    def identify(
        self,
        queries: Gallery | tuple[Sequence[str], Any],
        *,
        image_paths: Sequence[str | None] | None = None,
        provenance: dict[str, Any] | None = None,
        device: str | None = None,
        top: int = 1,
    ) -> pa.Table:
        """Name every query; see :func:`answers.answer_table` for the columns. Rows keep the order of the queries.

        queries: a Gallery (its labels are not looked at), or (ids, vectors (q, d) of any float type and length above zero).
        image_paths: input path per query; default the column ``image_path`` of a query Gallery.
        provenance: what a tuple of queries was embedded with, as a Gallery's provenance says it.
        top: taxa of each rank, the best path's and the next likeliest.

        Raises BiocosmosError for vectors of another dimension or encoder, zero or NaN vectors (naming the ids), and ids that
        the identifier was fitted or calibrated on.
        """
        if self.namer.takes == "both" and isinstance(queries, Gallery):
            return self._identify_both(queries, device, top)
        ids, vectors, paths, facts = self._queries(queries, image_paths, provenance)
        columns = pa.table({"image_path": pa.array(paths, pa.string())})
        blocks = [Specimens(ids, vectors=vectors, columns=columns)]
        tables = []
        with progress("identify", total=len(ids), unit="specimens") as bar:
            for said in self.stream(blocks, device=device, top=top):
                tables.append(said.table)
                bar.advance(len(said.table))
        return self.finished(tables, facts, top=top)

    def _identify_both(self, queries: Gallery, device: str | None, top: int) -> pa.Table:
        """Of a gallery of vectors with a column "barcode"; a row without one of them is named by the other."""
        if self.known is not None:
            refuse_mismatch(self.known.provenance, queries.provenance, "the queries")
        named = [] if queries.columns is None else queries.columns.column_names
        letters = None if queries.columns is None or "barcode" not in named else queries.columns["barcode"]
        columns = None if queries.columns is None else queries.columns.select([name for name in ("image_path",) if name in named])
        barcodes = None if letters is None else np.array(letters.to_pylist(), object)
        block = Specimens(queries.ids, vectors=queries.vectors, barcodes=barcodes, columns=columns)
        said = self.stream([block], device=device, top=top)
        return self.finished([each.table for each in said], queries.provenance, top=top)

    def stream(self, blocks: Iterable[Specimens], *, device: str | None = None, top: int = 1) -> Iterator[Answered]:
        """Name a stream of specimens, of which one block is in memory at a time.

        Raises BiocosmosError for ids that the identifier was fitted or calibrated on.
        """
        for predictions in self.namer.stream(blocks):
            yield self.answered(predictions, device=device, top=top)

    def answered(self, predictions: Predictions, *, device: str | None = None, top: int = 1) -> Answered:
        """The answers to one block, given what the namer says of it; top: taxa of each rank."""
        self.refuse_seen(predictions.ids)
        hits = self.nearest(predictions, device)
        return Answered(self.rows(predictions, hits, top), predictions, hits)

    def rows(
        self,
        predictions: Predictions,
        hits: Hits | None,
        top: int,
        bound: Bound | None = None,
        names: Predictions | None = None,
    ) -> pa.Table:
        """The rows of the table of answers to one block; bound: what is said in place of its own answers, or None; names: the
        same predictions corrected, which names and their confidence are taken from, while novelty is of what the namer said."""
        groups = self._by_evidence(predictions)
        if len(groups) == 1:
            return self._alike(next(iter(groups))._table(predictions, hits, top, bound, names))
        tables = [
            self._alike(
                who._table(predictions.subset(rows), of_rows(hits, rows), top, None if bound is None else bound.take(rows))
            )
            for who, rows in groups.items()
        ]
        order = np.argsort(np.concatenate(list(groups.values())), kind="stable")
        return pa.concat_tables(tables).take(pa.array(order))

    def _alike(self, table: pa.Table) -> pa.Table:
        """With a column of sets where this one has sets, and only there."""
        has, wants = "set" in table.column_names, self.sets is not None
        if has == wants:
            return table
        return table.append_column("set", pa.nulls(len(table), pa.string())) if wants else table.drop_columns(["set"])

    def _by_evidence(self, predictions: Predictions) -> dict[Identifier, NDArray[np.int64]]:
        """Who answers for which rows: this one, and where there are others for what a specimen has alone, these."""
        columns = predictions.columns
        if not self.alone or columns is None or "evidence" not in columns.column_names:
            return {self: np.arange(len(predictions))}
        kinds = np.array(columns["evidence"].to_pylist(), object)
        who = {self: ~np.isin(kinds, list(self.alone))} | {other: kinds == kind for kind, other in self.alone.items()}
        return {other: np.flatnonzero(mine) for other, mine in who.items() if mine.any()} or {self: np.arange(0)}

    def _table(
        self,
        predictions: Predictions,
        hits: Hits | None,
        top: int,
        bound: Bound | None = None,
        names: Predictions | None = None,
    ) -> pa.Table:
        """The rows of one block's table of answers."""
        said = predictions if names is None else names
        nodes, confidence = self.calibration.best_path(said)
        n = len(predictions)
        novelty, p, deepest = np.full(n, np.nan), np.full(n, np.nan), None
        if self.alarm is not None and n:
            novelty, p, deepest = self.alarm.judge(predictions)
        deepest = _bounded(self.namer, predictions, deepest)
        if bound is not None:
            deepest = bound.deepest if deepest is None else np.minimum(deepest, bound.deepest)
            nodes, confidence = bound.led(said, self.calibration, nodes, confidence)
        columns = predictions.columns
        paths = columns["image_path"].to_pylist() if columns is not None and "image_path" in columns.column_names else [None] * n
        others = RunnersUp.of(said, self.calibration, nodes, top) if top > 1 else None
        named = BestPaths(predictions.ids.tolist(), paths, nodes, confidence, novelty, p, hits, deepest, others)
        rate = self.settings["rules"]["false_alarm_rate"]
        table = answer_table(
            named, self.namer.taxonomy, threshold=self.threshold, false_alarm_rate=rate, method=self.method, provenance={}
        )
        for name, values in self.namer.shown(predictions, self.known).items():
            table = table.append_column(name, values)
        if self.sets is not None:
            table = table.append_column("set", pa.array(self.sets.sets(predictions).names(), pa.string()))
        return table

    def nearest(self, predictions: Predictions, device: str | None) -> Hits | None:
        """The nearest known specimens; None where they cannot be told."""
        if self.known is None or not len(predictions):
            return None
        if isinstance(self.namer, GalleryNamer) and (hits := self.namer.nearest(predictions, self.known)) is not None:
            return hits
        if not bool(predictions.features.any(axis=1).all()):
            return None
        return self.known.search(predictions.features, min(VOTERS, len(self.known)), device=device)

    def finished(self, tables: Sequence[pa.Table], queries: dict[str, Any] | None = None, *, top: int = 1) -> pa.Table:
        """The tables of blocks as one, with what made it."""
        facts = json.dumps(self.provenance(queries), default=str).encode()
        if not tables:
            tables = [self.answered(self.namer.nothing(), top=top).table]
        return pa.concat_tables(tables).replace_schema_metadata({PROVENANCE_KEY: facts})

    def summary(self, tables: Iterable[pa.Table], failed: int = 0) -> Summary:
        """What a table of its answers comes to, which may come in pieces; failed: specimens that could not be read."""
        return Summary.streamed(tables, self.namer.taxonomy.ranks, failed)

    def refuse_seen(self, ids: Ids) -> None:
        """Raise BiocosmosError for specimens that were fitted or calibrated on."""
        remedy = "identify specimens of another part of the split, or leave these out of what is known"
        if self.known is not None:
            guard.refuse_shared(ids, self.known.ids, "queries are among the specimens they would be named by", remedy)
        guard.refuse_shared(ids, self.calibrated_on, "queries were used to calibrate", remedy)

    pybioclip_table = staticmethod(pybioclip_table)

    # ------------------------------------------------------------------ describe and keep

    def describe(self) -> str:
        """Where its answers stop and what that is worth, in one sentence."""
        if self.promise is not None:
            return f"promised: {self.promise.describe()}"
        share = f"about {self.threshold:.0%} of answers this sure were right on {self.calibration.source}"
        return f"answers at the lowest rank with a confidence of {self.threshold:g}: {share}"

    def provenance(self, queries: dict[str, Any] | None = None) -> dict[str, Any]:
        """Everything that made the answers, JSON-ready."""
        about = {} if self.known is None else self.known.provenance
        return {
            "method": self.method,
            "threshold": self.threshold if np.isfinite(self.threshold) else None,
            "promise": None if self.promise is None else self.promise.to_dict(),
            "settings": self.settings,
            "calibration": self.calibration.describe(),
            "novelty": {} if self.alarm is None else self.alarm.describe(),
            "encoder": encoder_of(about) or self.namer.about().get("encoder", {}),
            "namer": self.namer.about(),
            "gallery": {
                "specimens": 0 if self.known is None else len(self.known),
                "candidates": len(self.namer.classes),
                **about,
            },
            "queries": queries or {},
            "taxonomy": self.namer.taxonomy.digest,
            "notes": list(self.notes),
            "software": software(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write the identifier to a folder that :meth:`load` reads; an identifier already there is replaced."""
        from biocosmos.identify.keeping import save_identifier

        return save_identifier(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Identifier:
        """Read what :meth:`save` wrote; it gives the same answers. Raises BiocosmosError for another folder, or a changed one."""
        from biocosmos.identify.keeping import load_identifier

        return load_identifier(Path(folder), device=device)

    def _queries(
        self,
        queries: Gallery | tuple[Sequence[str], Any],
        image_paths: Sequence[str | None] | None,
        provenance: dict[str, Any] | None,
    ) -> tuple[Ids, NDArray[np.float32], Sequence[str | None], dict[str, Any]]:
        """Checked ids (q,), unit vectors (q, d) float32, paths (q,) and provenance."""
        if self.namer.takes == "both":
            raise BiocosmosError("the namer 'fused' takes vectors and barcodes: give a Gallery with a column 'barcode'")
        if self.namer.takes != "vectors":
            raise BiocosmosError(f"the namer {self.method!r} takes {self.namer.takes}, not vectors: use stream()")
        if isinstance(queries, Gallery):
            ids, raw, facts = queries.ids, queries.vectors, {**queries.provenance, **(provenance or {})}
            if image_paths is None and queries.columns is not None and "image_path" in queries.columns.column_names:
                image_paths = queries.columns.column("image_path").to_pylist()
        else:
            names, raw = queries
            ids, facts = np.array([str(name) for name in names], object), dict(provenance or {})
        if self.known is not None:
            refuse_mismatch(self.known.provenance, facts, "the queries")
        x = as_matrix(raw, what="query")
        if len(x) != len(ids) or (image_paths is not None and len(image_paths) != len(ids)):
            raise BiocosmosError(f"{len(ids)} query ids for {len(x)} vectors: give one id, and one path if any, for each vector")
        if self.known is not None and len(x) and x.shape[1] != self.known.dim:
            raise BiocosmosError(
                f"the queries have {x.shape[1]} dimensions and the gallery {self.known.dim}: embed both with one encoder"
            )
        x = unit_rows(x, what="query", names=ids)
        return ids, x.cpu().numpy(), image_paths if image_paths is not None else [None] * len(ids), facts


@dataclass(frozen=True)
class Bound:
    """What is said in place of an identifier's own answers. deepest: (n,) int64 the rank below which there is no answer, -1 for
    none at all; through: (n,) int32 the taxon that a path leads to and ends at, -1 where it is free."""

    deepest: NDArray[np.int64]
    through: NDArray[np.int32]

    def take(self, rows: NDArray[np.int64]) -> Bound:
        """Of these rows."""
        return Bound(self.deepest[rows], self.through[rows])

    def led(
        self, predictions: Predictions, calibration: Calibration, nodes: NDArray[np.int32], confidence: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The paths (n, L) that lead through these taxa, and what the calibration makes of them."""
        rows = np.flatnonzero(self.through >= 0)
        if not len(rows):
            return nodes, confidence
        nodes, confidence = nodes.copy(), confidence.copy()
        nodes[rows] = predictions.taxonomy.lineage(self.through[rows])
        confidence[rows] = path_confidence(predictions.subset(rows), calibration, nodes[rows])
        return nodes, confidence


@dataclass(frozen=True)
class Answered:
    """One block: its rows of the table of names, what the namer said, and the nearest known specimens (None: not to be told)."""

    table: pa.Table
    predictions: Predictions
    hits: Any


def _bounded(namer: Namer, predictions: Predictions, deepest: Any) -> Any:
    """The rank below which each specimen is given no answer, by novelty and by the namer itself; None for no bound."""
    own = namer.no_deeper(predictions) if isinstance(namer, GalleryNamer) else None
    return deepest if own is None else own if deepest is None else np.minimum(own, deepest)


def of_rows(hits: Hits | None, rows: NDArray[np.int64]) -> Hits | None:
    """The hits of some queries."""
    return None if hits is None else replace(hits, rows=hits.rows[rows], scores=hits.scores[rows], certified=hits.certified[rows])


def _alone(
    namer: GalleryNamer,
    gallery: Gallery,
    rules: AnswerRules,
    seed: int,
    settings: dict[str, Any],
) -> dict[str, Identifier]:
    """Identifiers for specimens that have one alone of what the namer takes. One that cannot promise what is asked for answers
    nothing, and says so."""
    out: dict[str, Identifier] = {}
    for kind, held in namer.held_out_alone(gallery, seed).items():
        made: Identifier
        about: dict[str, Any] = {"known": gallery, "seed": seed, "settings": settings}
        try:
            made = Identifier.around(namer, held, rules=rules, **about)
        except BiocosmosError as error:
            made = Identifier.around(
                namer, held, rules=replace(rules, error_rate=None, promise=None, delta=None, sets=None), **about
            )
            made = replace(
                made, threshold=float("inf"), promise=None, notes=(f"no answer by the {kind} alone: {error}", *made.notes)
            )
        out[kind] = made
    return out


def _kept_held(held: HeldOut, seed: int) -> Predictions:
    """Held-out specimens with a truth that was not hidden from the namer, as many as are kept."""
    predictions, unseen = held.predictions, held.unseen
    rows = np.flatnonzero(predictions.truth > 0 if unseen is None else (predictions.truth > 0) & ~unseen)
    most = min(KEPT_HELD, KEPT_SCORES // max(1, len(predictions.classes)))
    drawn = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    return replace(predictions.subset(drawn), rank_scores=None, rank_nodes=(), columns=None)


def on_logit_scale(namer: GalleryNamer, held: HeldOut, rules: AnswerRules, seed: int) -> HeldOut:
    """Fit the temperature of a namer whose scores are none; for a promise, on the specimens that do not set its threshold."""
    if namer.own_scale:
        return held
    if not len(held):
        namer.temperature = namer.fallback_temperature
        return held
    found = held.predictions
    rows = np.flatnonzero(found.truth != 0)
    kept = np.zeros(len(found), np.bool_)
    kept[set_apart(found.ids, rows, seed)[0] if rules.promises and len(rows) > FEW else rows] = True
    namer.temperature = held.score_temperature(kept) if kept.any() else namer.fallback_temperature
    return held.tempered(namer.temperature)


def _detector(namer: Namer, rules: AnswerRules, known: Gallery | None) -> str:
    """The novelty detector that is asked for, or the namer's own. Raises BiocosmosError for one that cannot read its features."""
    can: tuple[str, ...] = namer.detectors if isinstance(namer, GalleryNamer) else ()
    if not can and known is not None and known.counts is not None and known.dim > WIDEST:
        can = ("knn", "max-logit", "msp", "energy")  # others invert the covariance of that many numbers
    if not can:
        return rules.detector
    if rules.novelty is not None and rules.novelty not in can:
        raise BiocosmosError(
            f"the novelty detector {rules.novelty!r} does not go with the method {namer.title!r} on k-mers: choose one of "
            f"{', '.join(can)}"
        )
    return rules.novelty or can[0]


WIDEST = 4096
"""Numbers of a vector of k-mers up to which any detector learns from it."""
FEW = 8
"""Held-out specimens of which a quarter is none."""


def _stops(
    predictions: Predictions, rules: AnswerRules, seed: int, deepest: NDArray[np.int64] | None, held: HeldOut
) -> tuple[Calibration, float, Promise | None, list[str]]:
    """Calibration, threshold, promise and notes. A promise that nobody asked for gives way where it is impossible."""
    source = held.source
    if rules.promises:
        try:
            kind: Any = rules.kind
            how: dict[str, Any] = {"delta": rules.given_delta, "seed": seed, "deepest": deepest, "unseen": held.unseen}
            made = Promise.fit(predictions, kind, rules.alpha, **how)
            if np.isfinite(made.threshold) or rules.asked_for:
                return made.calibration, made.threshold, made, list(made.notes)
            note = f"no error rate of {rules.alpha:g} can be promised; answers stop at a confidence of {rules.fallback:g} instead"
            return Calibration.fit(predictions, source), rules.fallback, None, [note]
        except BiocosmosError as error:
            if rules.asked_for:
                raise
            note = f"no error rate is promised ({error}); answers stop at a confidence of {rules.fallback:g} instead"
            return Calibration.fit(predictions, source), rules.fallback, None, [note]
    return Calibration.fit(predictions, source), rules.fallback, None, []


UNSEEN = 0.02
"""Share of specimens of unseen taxa from which on it is said."""


def _unseen_taxa(gallery: Gallery) -> list[str]:
    """How many specimens of taxa that nobody knows must be expected, where this is no small share.

    The share of known specimens that are alone in their taxon estimates it: I. J. Good, The Population Frequencies of Species and
    the Estimation of Population Parameters, Biometrika 1953. Cross-fitting hides no taxon whole, so that it cannot see them. On
    barcodes with 1,342 taxa it says 29.0 %, and 28.7 % of those asked about were of unseen ones.
    """
    alone = int((np.unique(gallery.taxa, return_counts=True)[1] == 1).sum()) if gallery.taxa is not None else 0
    share = alone / len(gallery)
    if share < UNSEEN:
        return []
    return [
        f"{alone:,} of the {len(gallery):,} known specimens are alone in their taxon: of specimens from the same source about "
        f"{share:.0%} will be of taxa that nobody knows here, any name for which is wrong below what they share with known ones; "
        "what is promised is about specimens of known taxa"
    ]


def _with_option(name: str) -> str:
    from biocosmos.identify.namers.registry import NAMERS

    return " or ".join(kind.name for kind in NAMERS.values() if name in kind.options)
