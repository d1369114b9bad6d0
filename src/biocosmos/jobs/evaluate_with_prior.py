"""evaluate --prior: each namer beside itself with a prior of places, by cells that the prior was fitted without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.prior_changes import Changes, prior_changes
from biocosmos.evaluate.report import Report
from biocosmos.identify.places.placed_identifier import PlacedIdentifier
from biocosmos.identify.places.placing import held_out_shares
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.placed_names import Stored, identifiers_with_prior
from biocosmos.places import Places
from biocosmos.places.kernel import KernelPrior
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

if TYPE_CHECKING:
    from biocosmos.jobs.evaluate_names import Judged

CELLS, ROWS = "place, cells held out", "place, by rows"


def with_prior(collection: Collection, one: Judged, settings: EvaluateSettings) -> list[Judged]:
    """The namer, and itself with the prior: by shares of a kernel prior without the cells of those asked; where the prior has not
    learnt them, also by the prior as it is, which knows their neighbours.

    Raises BiocosmosError where a prior that is no kernel was fitted on some of those asked.
    """
    if one.asked is None:
        one.notes.append("it gives no answers here, so that it is not judged with the prior")
        return [one]
    asked = replace(one.asked, prior=settings.prior, prior_way=settings.prior_way)
    plain, combined, placing = identifiers_with_prior(collection, asked, Failures())
    if combined is None:
        one.notes.append(placing.note())
        return [one]
    ids = np.array(collection.table(["id"], split=settings.queries, where=settings.where)["id"].to_pylist(), object)
    where = Stored(collection, settings.queries, settings.where)
    learnt = len(guard.common(ids, placing.prior.learnt))
    prior = placing.prior
    if learnt and not isinstance(prior, KernelPrior):
        raise BiocosmosError(
            f"{learnt:,} of the {len(ids):,} specimens of part '{settings.queries}' trained the prior in {settings.prior}: train "
            "it on another part ('biocosmos train place --split train')"
        )
    ways: list[tuple[str, Any]] = [] if learnt else [(ROWS, None)]
    if isinstance(prior, KernelPrior):
        ways.insert(0, (CELLS, _cells(prior, ids, where(ids).places, settings.seed)))
    named: list[Judged] = []
    for name, held in ways:
        who = PlacedIdentifier.of(plain, where, combined=combined, placing=placing, held_out=held)
        through = _through(who)
        changes = Changes(one.name) if not named else None
        notes = [placing.note()] if not named else []
        named.append(
            replace(one, name=f"{one.name}, {name}", identifier=who, held=None, notes=notes, through=through, changes=changes)
        )
    return [one, *named]


def changed_names(namers: Sequence[Judged], settings: EvaluateSettings) -> dict[str, Report]:
    """What the prior changed, a report a namer."""
    found = {}
    told = [one for one in namers if one.changes is not None and one.changes.right]
    for one in told:
        assert one.changes is not None
        name = "place" if len(told) == 1 else f"place, {one.changes.name}"
        note = one.notes[0] if one.notes else ""
        about: dict[str, Any] = {
            "prior": settings.prior,
            "part": settings.queries,
            "encoders": {str(one.encoder or one.name): {}},
        }
        found[name] = prior_changes(one.changes, title="What the prior changed", seed=settings.seed, note=note, provenance=about)
    return found


def _cells(prior: KernelPrior, ids: npt.NDArray[np.object_], places: Places, seed: int) -> Any:
    """Shares of all asked at once, so that each fold of cells is fitted once; looked up by id."""
    shares, _ = held_out_shares(prior, ids, places, seed)
    row = {str(id_): number for number, id_ in enumerate(ids)}

    def of(asked: npt.NDArray[np.object_], _: Places) -> npt.NDArray[np.float64]:
        return np.asarray(shares[[row[str(id_)] for id_ in asked]])

    return of


def _through(who: PlacedIdentifier) -> Any:
    def through(predictions: Predictions) -> Predictions:
        return who.with_place(predictions, who.where(predictions.ids).places)

    return through


__all__ = ["changed_names", "with_prior"]
