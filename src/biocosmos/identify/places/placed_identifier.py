"""An identifier that counts place and season in where they are known, and stops where fences stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.held_out import HeldOut
from biocosmos.identify.confidence.promises import set_apart
from biocosmos.identify.confidence.rules import AnswerRules
from biocosmos.identify.identifier import Answered, Bound, Identifier, of_rows
from biocosmos.identify.namer import GalleryNamer
from biocosmos.identify.places.fences import BoundFences, Fenced
from biocosmos.identify.places.placing import Placing, held_out_shares, known_taxa, paths_of
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.priors.prior import Prior
from biocosmos.identify.runners_up import path_confidence
from biocosmos.places import Places
from biocosmos.search.hits import Hits
from biocosmos.specimens import guard

Ids = npt.NDArray[np.object_]
Int32 = npt.NDArray[np.int32]
WITHOUT = "without_place"
"""End of the columns that say what the answer is without the prior."""
PUBLISHED = "score_inaturalist"
"""End of the columns of scores as iNaturalist publishes them, which do not add up over ranks."""
PLACE, FENCES = "place", "fences"
"""Columns of the evidence: what the prior did, and what fences and checklists did."""
_ANSWER = ("taxon", "rank", "confidence", "best_guess")


@dataclass(frozen=True, eq=False)
class Found:
    """Where and when specimens were found. places: n; regions: (n,) the part of the country after the hyphen of ISO 3166-2."""

    places: Places
    regions: Sequence[str | None]

    def take(self, rows: npt.NDArray[np.int64]) -> Found:
        """These rows."""
        return Found(self.places.take(rows), [self.regions[row] for row in rows])


Where = Callable[[Ids], Found]
Shares = Callable[[Ids, Places], npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class PlacedIdentifier(Identifier):
    """Two identifiers: specimens of which nothing is known that the prior looks at are named by the plain one, as if there was
    no prior.

    Its own fields are those of the one that answers for specimens with a place. plain: the identifier without place; combined:
    the same namer, calibrated on what the prior makes of held-out specimens (None: no prior is counted in); where: of specimens,
    where they were found; fences: applied to what is said, or None; held_out: where those asked are judged, shares by a prior
    that was not fitted on them.
    """

    plain: Identifier = field(kw_only=True)
    where: Where = field(kw_only=True)
    combined: Identifier | None = field(default=None, kw_only=True)
    placing: Placing | None = field(default=None, kw_only=True)
    fences: BoundFences | None = field(default=None, kw_only=True)
    held_out: Shares | None = field(default=None, kw_only=True)

    @classmethod
    def of(
        cls,
        plain: Identifier,
        where: Where,
        *,
        combined: Identifier | None = None,
        placing: Placing | None = None,
        fences: BoundFences | None = None,
        held_out: Shares | None = None,
    ) -> PlacedIdentifier:
        """With what the combined identifier promises, where there is one."""
        base = plain if combined is None else combined
        made = cls(
            **{each.name: getattr(base, each.name) for each in fields(Identifier)},
            plain=plain,
            where=where,
            combined=combined,
            placing=placing,
            fences=fences,
            held_out=held_out,
        )
        return replace(made, notes=tuple(made._notes()))

    def _notes(self) -> list[str]:
        said = [*(self.plain if self.combined is None else self.combined).notes]
        if self.placing is not None and self.combined is not None:
            said.insert(0, self.placing.note())
        if self.fences is not None and self.promise is not None:
            said.append("what is promised is of answers before fences and checklists")
        return said

    # ------------------------------------------------------------------ name

    def answered(self, predictions: Predictions, *, device: str | None = None, top: int = 1) -> Answered:
        """As of any identifier, and beside the confidence at each rank the one without place; columns ``place`` and ``fences``
        say what was done, null where nothing was."""
        self.refuse_seen(predictions.ids)
        hits = self.nearest(predictions, device)
        found = self.where(predictions.ids)
        # the plain one is asked about the whole block, as where there is no prior: its last bits depend on how many come together
        fenced, said = self._fenced(self.plain, predictions, hits, found, top)
        elsewhere = self._with_fences(fenced, said)
        if self.combined is None:
            return Answered(elsewhere, predictions, hits)
        assert self.placing is not None
        told = self.placing.prior.known(found.places)
        placed, others = np.flatnonzero(told), np.flatnonzero(~told)
        elsewhere = self._with_nulls(elsewhere.take(pa.array(others)))
        if not len(placed):
            return Answered(elsewhere, predictions, hits)
        plain = fenced if said is None else self.plain.rows(predictions, hits, top)
        asked = predictions if told.all() else predictions.subset(placed)
        table = self._placed(asked, of_rows(hits, placed), found.take(placed), top, plain.take(pa.array(placed)))
        order = np.argsort(np.concatenate([placed, others]), kind="stable")
        return Answered(pa.concat_tables([table, elsewhere]).take(pa.array(order)), predictions, hits)

    def _placed(self, predictions: Predictions, hits: Hits | None, found: Found, top: int, plain: pa.Table) -> pa.Table:
        """Rows of specimens with a place; plain: the same without it."""
        assert self.combined is not None and self.placing is not None
        shares = self._shares(predictions, found.places)
        with_place = self.placing.combine(predictions, found.places, shares)
        table, said = self._fenced(self.combined, with_place, hits, found, top)
        nodes, confidence = self.combined.calibration.best_path(with_place if said is None else said.predictions)
        if said is not None:
            bound = Bound(said.cut, said.through)
            nodes, _ = bound.led(said.predictions, self.combined.calibration, nodes, confidence)
        table = self._with_fences(table, said)
        confidence = path_confidence(predictions, self.plain.calibration, nodes)
        for rank, values in zip(self.namer.taxonomy.ranks, confidence.T, strict=True):
            table = table.append_column(f"{rank}_confidence_{WITHOUT}", pa.array(values, pa.float64(), from_pandas=True))
        for name in _ANSWER:
            table = table.append_column(f"{name}_{WITHOUT}", plain[name])
        if self.placing.way == "inaturalist":
            for rank, values in zip(
                self.namer.taxonomy.ranks, self.placing.published(predictions, nodes, found.places, shares).T, strict=True
            ):
                table = table.append_column(f"{rank}_{PUBLISHED}", pa.array(values, pa.float64(), from_pandas=True))
        evidence = self.placing.evidence(
            predictions.taxonomy, _last(nodes), found.places, shares, held_out=self.held_out is not None
        )
        return table.append_column(PLACE, pa.array(evidence, pa.string()))

    def _shares(self, predictions: Predictions, places: Places) -> npt.NDArray[np.float64]:
        """What the prior says, or one that was not fitted on those asked about."""
        assert self.placing is not None
        return self.placing.prior.shares(places) if self.held_out is None else self.held_out(predictions.ids, places)

    def with_place(self, predictions: Predictions, places: Places) -> Predictions:
        """What the prior makes of what the namer says; of rows without a place the same."""
        if self.placing is None or self.combined is None:
            return predictions
        return self.placing.combine(predictions, places, self._shares(predictions, places))

    def _with_nulls(self, table: pa.Table) -> pa.Table:
        """Rows of specimens without a place, with the columns of those that have one."""
        numbers, texts = pa.nulls(len(table), pa.float64()), pa.nulls(len(table), pa.string())
        for rank in self.namer.taxonomy.ranks:
            table = table.append_column(f"{rank}_confidence_{WITHOUT}", numbers)
        for name in _ANSWER:
            table = table.append_column(f"{name}_{WITHOUT}", numbers if name == "confidence" else texts)
        if self.placing is not None and self.placing.way == "inaturalist":
            for rank in self.namer.taxonomy.ranks:
                table = table.append_column(f"{rank}_{PUBLISHED}", numbers)
        return table.append_column(PLACE, texts)

    def _fenced(
        self, who: Identifier, predictions: Predictions, hits: Hits | None, found: Found, top: int
    ) -> tuple[pa.Table, Fenced | None]:
        if self.fences is None:
            return who.rows(predictions, hits, top), None
        said = self.fences.apply(predictions, found.places, found.regions)
        return who.rows(said.predictions, hits, top, Bound(said.cut, said.through)), said

    def _with_fences(self, table: pa.Table, said: Fenced | None) -> pa.Table:
        if said is None:
            return table
        texts = ["; ".join(lines) or None for lines in said.said]
        return table.append_column(FENCES, pa.array(texts, pa.string()))

    def refuse_seen(self, ids: Ids) -> None:
        """Raise BiocosmosError for specimens that were fitted or calibrated on, by the namer or by the prior."""
        super().refuse_seen(ids)
        if self.placing is not None and self.combined is not None and self.held_out is None:
            remedy = "train the prior on another part ('biocosmos train place --split train'), or name with --prior none"
            guard.refuse_shared(ids, self.placing.prior.learnt, "queries are among the specimens of the prior of places", remedy)

    # ------------------------------------------------------------------ describe and keep

    def provenance(self, queries: dict[str, Any] | None = None) -> dict[str, Any]:
        """Everything that made the answers, JSON-ready."""
        about = super().provenance(queries)
        if self.placing is not None:
            about["place"] = {**self.placing.about(), "table": getattr(self.where, "about", None)}
        if self.fences is not None:
            about["fences"] = {"way": self.fences.fences.way, "files": self.fences.fences.files}
        return about

    def save(self, folder: str | Path) -> Path:
        """Not by itself: raises BiocosmosError."""
        raise BiocosmosError("an identifier with places is not kept by itself: save the plain one and the prior")


def around(
    plain: Identifier, held: HeldOut, prior: Prior, where: Where, *, way: Any = "leaves", seed: int = 0
) -> tuple[Identifier | None, Placing]:
    """The identifier for specimens with a place, and how the prior is combined with what its namer says.

    held: what calibrated the plain one. Of its specimens with a place, and shares by a prior that was not fitted on them, a part
    chooses floor and exponent, and all together calibrate what comes out; those that set a promise's threshold choose nothing,
    nor do those whose whole taxon was hidden: no place brings back a taxon that the namer does not have. None where no exponent
    is better than 0, so that place changes nothing.

    Raises BiocosmosError where no such specimen is held out, and for a promise that was asked for and cannot be given.
    """
    names = paths_of(plain.namer.taxonomy, plain.namer.classes)
    if not any(known_taxa(prior.taxa).members(name) for name in names):
        raise BiocosmosError(
            f"the prior knows none of the {len(names):,} taxa that are named here ({names[0]}; it has {prior.taxa[0]}): train it "
            "on this collection ('biocosmos train place')"
        )
    rules = AnswerRules(**plain.settings["rules"])
    held, places, shares, by = _judged(held, prior, where, seed)
    if not len(held):
        raise BiocosmosError(
            "no specimen that can be held out has a place that the prior was not fitted on: how much place counts for cannot be "
            "chosen; train the prior on a part ('biocosmos train place --split train'), or name with --prior none"
        )
    predictions = held.predictions
    choosing, _ = set_apart(predictions.ids, np.flatnonzero(predictions.truth != 0), seed)
    told = choosing if (predictions.truth[choosing] > 0).sum() >= FEW else np.arange(len(predictions))
    unseen = None if held.unseen is None else held.unseen[told]
    placing = Placing(prior, way).choose(predictions.subset(told), places.take(told), shares[told], by, unseen)
    if placing.exponent == 0:
        return None, placing
    source = f"{held.source}, {len(predictions):,} of them with a place, judged by {by} that the prior was fitted without"
    how: dict[str, Any] = {"known": plain.known, "seed": seed, "settings": plain.settings}
    made = Identifier.around(
        plain.namer, _weighed(held, placing, places, shares, source), rules=rules, failures=plain.failures, **how
    )
    return replace(made, alone=_alone(plain, placing, where, rules, how)), placing


def _judged(held: HeldOut, prior: Prior, where: Where, seed: int) -> tuple[HeldOut, Places, npt.NDArray[np.float64], str]:
    """Those with a place that a prior which was not fitted on them can judge, where they were found, its shares, and by what."""
    ids = held.predictions.ids
    places = where(ids).places if len(ids) else Places.nowhere(0)
    shares, by = held_out_shares(prior, ids, places, seed)
    kept = prior.known(places) & ~np.isnan(shares).all(axis=1)
    return held.subset(kept), places.take(kept), shares[kept], by


def _weighed(held: HeldOut, placing: Placing, places: Places, shares: npt.NDArray[np.float64], source: str) -> HeldOut:
    parts, start = [], 0
    for part in held.parts:
        rows = slice(start, start + len(part.asked))
        start += len(part.asked)
        parts.append(replace(part, asked=placing.combine(part.asked, places.take(rows), shares[rows])))
    return HeldOut(tuple(parts), source, held.outside)


def _alone(plain: Identifier, placing: Placing, where: Where, rules: AnswerRules, how: dict[str, Any]) -> dict[str, Identifier]:
    """Of a namer of images and barcodes, who answers for a specimen with one alone and a place; with too few such specimens to
    calibrate on, nobody."""
    if not plain.alone or not isinstance(plain.namer, GalleryNamer) or plain.known is None:
        return {}
    found = {}
    for kind, held in plain.namer.held_out_alone(plain.known, how["seed"]).items():
        held, places, shares, by = _judged(held, placing.prior, where, how["seed"])
        try:
            weighed = _weighed(held, placing, places, shares, f"{held.source}, judged by {by}")
            found[kind] = Identifier.around(plain.namer, weighed, rules=rules, **how)
        except BiocosmosError as error:
            silent = replace(plain.alone[kind], threshold=float("inf"), promise=None)
            found[kind] = replace(silent, notes=(f"no answer by the {kind} alone with a place: {error}", *silent.notes))
    return found


FEW = 20
"""Named specimens below which those that set the threshold choose floor and exponent too."""


def _last(nodes: Int32) -> Int32:
    """(n,) the deepest node of paths (n, L), 0 for none."""
    end = np.where(nodes >= 0, np.arange(nodes.shape[1]), -1).max(axis=1, initial=-1)
    return np.where(end >= 0, nodes[np.arange(len(nodes)), np.maximum(end, 0)], 0).astype(np.int32)
