"""Priors of places on held-out cells, and on held-out rows beside them, against the overall shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.held_out_places.page import CELLS, FREQUENCY, ROWS, page
from biocosmos.evaluate.held_out_places.scores import Judged, held_out, judged, spread
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.report import Report
from biocosmos.identify.priors.choosing import groups_of
from biocosmos.places import Places

Array = npt.NDArray[Any]
Row = dict[str, Any]
SHARE, SEEDS, DEGREES, FEW = 0.2, 5, 0.1, 20
"""Share of the units that is held out; how often; side of a cell; cells below which intervals say little."""
_ENDS = ("", "_low", "_high", "_sd")
PRIORS = pa.schema(
    [("held_out", pa.string()), ("method", pa.string()), ("seeds", pa.int64()), ("judged", pa.int64()), ("left_out", pa.int64())]
    + [(f"{name}{end}", pa.float64()) for name in ("nll", "top_1") for end in _ENDS]
    + [("mean_average_precision", pa.float64()), ("mean_average_precision_sd", pa.float64())]
)
AGAINST = pa.schema(
    [("held_out", pa.string()), ("method", pa.string()), ("against", pa.string())]
    + [(f"{name}{end}", pa.float64()) for name in ("nll", "top_1") for end in _ENDS[:3]]
)
OF_CELLS = pa.schema(
    [("method", pa.string()), ("judged", pa.int64())]
    + [(name, pa.float64()) for name in ("latitude", "longitude", "nll", "nll_overall")]
)
OF_SEEDS = pa.schema(
    [("held_out", pa.string()), ("method", pa.string()), ("seed", pa.int64()), ("judged", pa.int64()), ("left_out", pa.int64())]
    + [(name, pa.float64()) for name in ("nll", "top_1", "mean_average_precision")]
)


class Shares(Protocol):
    """What a way to fit a prior gives: see :class:`biocosmos.identify.priors.prior.Prior`."""

    @property
    def taxa(self) -> tuple[str, ...]:
        """C taxa."""

    def chances(self, places: Places) -> npt.NDArray[np.float64]:
        """(n, C), rows sum to 1."""


Fit = Callable[[Array, Places, int], Shares]
"""(taxa, places, seed) -> a prior of these specimens."""


def held_out_places(
    taxa: npt.NDArray[np.object_],
    places: Places,
    fits: Mapping[str, Fit],
    *,
    title: str,
    seeds: int = SEEDS,
    share: float = SHARE,
    degrees: float = DEGREES,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """How well n specimens' taxa are foretold by where and when they were collected, nobody having looked at them.

    A share of the cells of ``degrees`` is held out whole, ``seeds`` times, and beside it a share of the rows. Each way of
    ``fits`` learns from the rest; "overall shares" is the base line. A specimen whose taxon is not learnt is left out, and
    counted.

    Tables: priors (-log share of the own taxon in nats, top-1, mean average precision; intervals by drawing cells, or rows, anew;
    deviations over seeds), against (differences to the base line and to the first way, on the same draws), cells, seeds.

    Raises:
        BiocosmosError: fewer than two cells or two taxa, or no held-out specimen whose taxon is learnt.
    """
    groups = groups_of(places, degrees)
    if len(np.unique(groups)) < 2:
        raise BiocosmosError(f"all {len(taxa):,} specimens lie in one cell of {degrees:g} degrees: none can be held out")
    if len(set(taxa.tolist())) < 2:
        raise BiocosmosError(f"all {len(taxa):,} specimens with a place or a date are of one taxon: nothing to tell apart")
    ways = {FREQUENCY: _overall} | dict(fits)
    found: dict[tuple[str, str], list[Judged]] = {}
    for how, units in ((CELLS, groups), (ROWS, np.arange(len(taxa)))):
        for number in range(seed, seed + seeds):
            test = held_out(units, number, share)
            learnt, every = np.flatnonzero(~test), np.flatnonzero(test)
            asked = every[np.isin(taxa[every], taxa[learnt])]
            for name, fit in ways.items():
                prior = fit(taxa[learnt], places.take(learnt), number)
                column = {taxon: at for at, taxon in enumerate(prior.taxa)}
                own = np.array([column[taxon] for taxon in taxa[asked]], np.int64)
                scores = judged(asked, prior.chances(places.take(asked)), own, len(every) - len(asked))
                found.setdefault((how, name), []).append(scores)
    if not sum(len(each.rows) for each in found[CELLS, FREQUENCY]):
        raise BiocosmosError("no held-out specimen is of a taxon that was learnt: name a higher --place-rank")
    units_of, boot = {CELLS: groups, ROWS: np.arange(len(taxa))}, Bootstrap(seed=seed)
    tables = {
        "priors": pa.Table.from_pylist([_row(*key, each, units_of[key[0]], boot) for key, each in found.items()], PRIORS),
        "against": pa.Table.from_pylist(_against(found, list(fits), units_of, boot), AGAINST),
        "cells": pa.Table.from_pylist(_cells(found, list(fits), groups, places), OF_CELLS),
        "seeds": pa.Table.from_pylist(_seeds(found, seed), OF_SEEDS),
    }
    facts = {
        "encoders": {"none, where and when alone": {}},
        "specimens": len(taxa),
        "taxa": len(set(taxa.tolist())),
        "cells": len(np.unique(groups)),
        "degrees": degrees,
        "share_held_out": share,
        "seeds": list(range(seed, seed + seeds)),
        "draws": DRAWS,
        "confidence": CONFIDENCE,
        **(provenance or {}),
    }
    report = Report("held_out_places", title, tables, provenance=facts, page=page)
    report.caveats += _caveats(report, len(np.unique(groups)), degrees)
    return report


class _Overall:
    """The overall shares, wherever."""

    def __init__(self, taxa: Array) -> None:
        known, counts = np.unique(taxa.astype(str), return_counts=True)
        self.taxa = tuple(known.tolist())
        self._base = counts / counts.sum()

    def chances(self, places: Places) -> npt.NDArray[np.float64]:
        return np.tile(self._base, (len(places), 1))


def _overall(taxa: Array, places: Places, seed: int) -> Shares:
    return _Overall(taxa)


def _together(each: list[Judged]) -> tuple[Array, Array, Array]:
    """Rows, -log shares and right ones of all seeds."""
    return (
        np.concatenate([one.rows for one in each]),
        np.concatenate([one.nll for one in each]),
        np.concatenate([one.right for one in each]).astype(np.float64),
    )


def _row(how: str, method: str, each: list[Judged], units: Array, boot: Bootstrap) -> Row:
    rows, nll, right = _together(each)
    row: Row = {"held_out": how, "method": method, "seeds": len(each), "judged": len(rows)}
    row["left_out"] = sum(one.left_out for one in each)
    there = [one for one in each if len(one.rows)]
    for name, values, means in (
        ("nll", nll, [one.nll.mean() for one in there]),
        ("top_1", right, [one.right.mean() for one in there]),
    ):
        _, low, high = boot.mean(values, units[rows])
        row |= {name: float(np.mean(means)), f"{name}_low": low, f"{name}_high": high, f"{name}_sd": spread(means)}
    precisions = [one.precision for one in there]
    return row | {"mean_average_precision": float(np.mean(precisions)), "mean_average_precision_sd": spread(precisions)}


def _against(
    found: Mapping[tuple[str, str], list[Judged]], fits: list[str], units: Mapping[str, Array], boot: Bootstrap
) -> list[Row]:
    pairs = [(name, FREQUENCY) for name in fits] + [(name, fits[0]) for name in fits[1:]]
    rows = []
    for how in (CELLS, ROWS):
        for method, other in pairs:
            (at, nll, right), (_, base, base_right) = _together(found[how, method]), _together(found[how, other])
            row: Row = {"held_out": how, "method": method, "against": other}
            for name, values in (("nll", nll - base), ("top_1", right - base_right)):
                value, low, high = boot.mean(values, units[how][at])
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return rows


def _cells(found: Mapping[tuple[str, str], list[Judged]], fits: list[str], groups: Array, places: Places) -> list[Row]:
    """Every cell that was ever held out, and how the ways did there; in the middle of its specimens."""
    rows: list[Row] = []
    at, base, _ = _together(found[CELLS, FREQUENCY])
    for name in fits:
        _, nll, _ = _together(found[CELLS, name])
        for cell in np.unique(groups[at]):
            own = groups[at] == cell
            where = np.unique(at[own])
            latitude, longitude = places.latitude[where], places.longitude[where]
            known = np.isfinite(latitude).any()
            rows.append(
                {
                    "latitude": float(np.nanmean(latitude)) if known else None,
                    "longitude": float(np.nanmean(longitude)) if known else None,
                    "method": name,
                    "judged": len(where),
                    "nll": float(nll[own].mean()),
                    "nll_overall": float(base[own].mean()),
                }
            )
    return rows


def _seeds(found: Mapping[tuple[str, str], list[Judged]], first: int) -> list[Row]:
    return [
        {
            "held_out": how,
            "method": method,
            "seed": first + number,
            "judged": len(one.rows),
            "left_out": one.left_out,
            "nll": float(one.nll.mean()) if len(one.rows) else None,
            "top_1": float(one.right.mean()) if len(one.rows) else None,
            "mean_average_precision": one.precision,
        }
        for (how, method), each in found.items()
        for number, one in enumerate(each)
    ]


def _caveats(report: Report, cells: int, degrees: float) -> list[str]:
    best = min((row for row in report.rows("priors", held_out=ROWS)), key=lambda row: row["nll"])
    same = report.rows("priors", held_out=CELLS, method=best["method"])[0]
    said = [
        f"Rows leak: specimens of one trap share place and day. By held-out rows {best['method']} seems right in "
        f"{100 * best['top_1']:.1f} %, by held-out cells of {degrees:g} degrees in {100 * same['top_1']:.1f} %; only the cells "
        "say what it is worth at a new place.",
        "A prior of places tells where people collected, not where taxa live: where nobody looked it knows nothing.",
    ]
    if cells < FEW:
        said.append(f"There are {cells} cells: intervals by drawing so few anew say little.")
    if same["left_out"]:
        said.append(
            f"{same['left_out']:,} held-out specimens ({same['judged']:,} judged) are of taxa that were collected in held-out "
            "cells only: no prior can name them, and they are left out."
        )
    return said


__all__ = ["Fit", "Shares", "held_out_places"]
