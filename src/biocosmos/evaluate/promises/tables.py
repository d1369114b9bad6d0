"""The tables of a report on promises, and what cannot be concluded from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.pages.svg import percent
from biocosmos.identify.confidence.promises import allowed_errors, rounded_up, smallest_alpha

Array = npt.NDArray[Any]
Row = dict[str, Any]
# Issue 4: "mean observed error within two standard errors of alpha", "a one-sided binomial test at 5 % rejecting in at most 2 of
# 20 resplits".
ERRORS, LEVEL, REJECTED_SHARE = 2.0, 0.05, 0.1
NOTHING = "nothing"
KEPT, BROKEN, FREE, IMPOSSIBLE = "kept", "broken", "kept, nothing held back", "impossible"


@dataclass(frozen=True)
class Run:
    """One promise in one resplit. row: of the table resplits; shares: (1 + ranks,) of the specimens answered with nothing and at
    each rank; groups: name -> (3, values) specimens, answered, wrong; free: the threshold held nothing back."""

    row: Row
    shares: Array
    groups: Mapping[str, Array]
    free: bool

    @property
    def possible(self) -> bool:
        """Whether the promise could be made with so few specimens."""
        return self.row["error"] is not None


def summary_rows(runs: Sequence[Run], delta: float, n: int, sizes: Mapping[str, int]) -> list[Row]:
    """Promised and observed; n: specimens that set a threshold; sizes: of the sides of a resplit."""
    rows = []
    for (kind, alpha), mine in _by_promise(runs):
        row: Row = {
            "promise": kind,
            "alpha": alpha,
            "delta": None if kind == "mean" else delta,
            **sizes,
            "threshold_specimens": n,
        }
        row["smallest_alpha"] = smallest_alpha(kind, n, delta)
        errors = np.array([run.row["error"] for run in mine if run.possible], np.float64)
        if len(errors) < 2:
            rows.append({**row, "verdict": IMPOSSIBLE})
            continue
        rejected = sum(run.row["p"] <= LEVEL for run in mine)
        mean, deviation = float(errors.mean()), float(errors.std(ddof=1))
        standard = deviation / np.sqrt(len(errors))
        free = float(np.mean([run.free for run in mine]))
        row |= {
            "resplits": len(errors),
            "observed": mean,
            "deviation": deviation,
            "standard_error": standard,
            "lowest": float(errors.min()),
            "highest": float(errors.max()),
            # without ties, and where the threshold holds something back, the mean is this very number
            "expected": allowed_errors(alpha, n) / (n + 1) if kind == "mean" else None,
            "above": int((errors > alpha).sum()),
            "rejected": rejected,
            "held_nothing_back": free,
            "answered": float(np.mean([run.row["answered"] / run.row["queries"] for run in mine])),
        }
        kept = mean <= alpha + ERRORS * standard if kind == "mean" else rejected <= REJECTED_SHARE * len(errors)
        row["within_two_errors"] = bool(abs(mean - alpha) <= ERRORS * standard) if kind == "mean" else None
        row["verdict"] = (FREE if free == 1 else KEPT) if kept else BROKEN
        rows.append(row)
    return rows


def answered_rows(runs: Sequence[Run], ranks: Sequence[str]) -> list[Row]:
    """Share of all specimens answered at each rank, and with nothing: mean and deviation over resplits."""
    rows = []
    for (kind, alpha), mine in _by_promise(runs):
        shares = np.array([run.shares for run in mine if run.possible])
        if len(shares) < 2:
            continue
        for i, name in enumerate([NOTHING, *ranks]):
            mean, deviation = float(shares[:, i].mean()), float(shares[:, i].std(ddof=1))
            rows.append({"promise": kind, "alpha": alpha, "rank": name, "share": mean, "deviation": deviation})
    return rows


def group_rows(runs: Sequence[Run], names: Mapping[str, Sequence[str]]) -> list[Row]:
    """Observed error of each group: wrong among all of it ("mean") or among its answered; pooled over resplits."""
    rows = []
    for (kind, alpha), mine in _by_promise(runs):
        possible = [run for run in mine if run.possible]
        for by, values in names.items():
            if not possible:
                continue
            counts = np.array([run.groups[by] for run in possible])  # (resplits, 3, values)
            among = counts[:, 0 if kind == "mean" else 1]
            with np.errstate(invalid="ignore", divide="ignore"):
                each = counts[:, 2] / among
                pooled = counts[:, 2].sum(axis=0) / among.sum(axis=0)
            for i, value in enumerate(values):
                seen = each[~np.isnan(each[:, i]), i]
                rows.append(
                    {
                        "promise": kind,
                        "alpha": alpha,
                        "by": by,
                        "group": value,
                        "specimens": float(counts[:, 0, i].mean()),
                        "answered": float(counts[:, 1, i].sum() / max(counts[:, 0, i].sum(), 1)),
                        "error": None if np.isnan(pooled[i]) else float(pooled[i]),
                        "deviation": float(seen.std(ddof=1)) if len(seen) > 1 else None,
                    }
                )
    return rows


_FLOAT, _INT, _TEXT = pa.float64(), pa.int64(), pa.string()
_PROMISE = [("promise", _TEXT), ("alpha", _FLOAT)]
SCHEMAS = {
    "summary": pa.schema(
        [
            *_PROMISE,
            ("delta", _FLOAT),
            ("verdict", _TEXT),
            ("observed", _FLOAT),
            ("standard_error", _FLOAT),
            ("deviation", _FLOAT),
            ("lowest", _FLOAT),
            ("highest", _FLOAT),
            ("expected", _FLOAT),
            ("within_two_errors", pa.bool_()),
            ("above", _INT),
            ("rejected", _INT),
            ("resplits", _INT),
            ("answered", _FLOAT),
            ("held_nothing_back", _FLOAT),
            ("calibration", _INT),
            ("threshold_specimens", _INT),
            ("test", _INT),
            ("smallest_alpha", _FLOAT),
        ]
    ),
    "resplits": pa.schema(
        [
            *_PROMISE,
            ("resplit", _INT),
            ("threshold", _FLOAT),
            ("queries", _INT),
            ("answered", _INT),
            ("wrong", _INT),
            ("error", _FLOAT),
            ("p", _FLOAT),
        ]
    ),
    "answered_at": pa.schema([*_PROMISE, ("rank", _TEXT), ("share", _FLOAT), ("deviation", _FLOAT)]),
    "groups": pa.schema(
        [
            *_PROMISE,
            ("by", _TEXT),
            ("group", _TEXT),
            ("specimens", _FLOAT),
            ("answered", _FLOAT),
            ("error", _FLOAT),
            ("deviation", _FLOAT),
        ]
    ),
    "calibration": pa.schema(
        [
            ("rank", _TEXT),
            ("temperature", _FLOAT),
            ("before", _FLOAT),
            ("after", _FLOAT),
            ("after_deviation", _FLOAT),
            ("said_before", _FLOAT),
            ("said", _FLOAT),
            ("right", _FLOAT),
            ("answers", _INT),
        ]
    ),
    "sets": pa.schema(
        [
            ("rank", _TEXT),
            ("alpha", _FLOAT),
            ("covered", _FLOAT),
            ("standard_error", _FLOAT),
            ("mean_size", _FLOAT),
            ("single", _FLOAT),
        ]
    ),
}


def table(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as the table called ``name``, missing cells null."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])


def caveats(tables: Mapping[str, Sequence[Row]], nameless: int, resplits: int, delta: float, notes: Sequence[str]) -> list[str]:
    """Sentences for the report, the gravest first."""
    out = []
    for row in tables["summary"]:
        what = f"the promise “{row['promise']}” at {row['alpha']:g}"
        if row["verdict"] == BROKEN:
            out.append(
                f"Not kept: {what}; observed {percent(row['observed'], 2)}, rejected in {row['rejected']} of {row['resplits']} "
                "resplits. Were specimens exchangeable, this would be rare: look for duplicates, or for an order in the data."
            )
        elif row["verdict"] == IMPOSSIBLE:
            out.append(
                f"Impossible: {what}, with {row['threshold_specimens']:,} specimens that set the threshold; the smallest is "
                f"{rounded_up(row['smallest_alpha'])}."
            )
    out += [f"{note[0].upper()}{note[1:]}." for note in notes]
    out.append(
        "The promises assume exchangeability: specimens asked about are like the calibration specimens, as if drawn from one "
        "bag. Resplits of one pool make this true by drawing, so this page tests the method, and not whether next year's "
        "samples are alike."
    )
    out.append(
        "They hold over the mixture, not within a group: one group can be wrong more often than promised while others are less."
    )
    out.append(
        "The first promise is about the mean: a single calibration part may do worse, and about half of them do. The second "
        f"holds for all but {percent(delta, 0)} of calibration parts."
    )
    out.append(
        f"Given the pool, the {resplits} resplits are independent draws, so their standard error tests what the draw guarantees. "
        "They share specimens: it is no standard error over collections. Even where a promise is kept to the letter, the mean "
        "leaves two standard errors about once in twenty."
    )
    if nameless:
        out.append(f"{nameless:,} specimens of which nothing is known were left out.")
    return out


def _by_promise(runs: Sequence[Run]) -> Iterator[tuple[tuple[Any, float], list[Run]]]:
    for key, mine in groupby(runs, key=lambda run: (run.row["promise"], run.row["alpha"])):
        yield key, list(mine)
