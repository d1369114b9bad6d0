"""How far the shares that each method tells lie from the true ones, sample by sample.

The error of a community is what a user has, not that of an image (González et al. 2017, Validation methods for plankton image
classification systems). Made communities have other shares than any part of a split, so that a method shows how it does where the
community changed; they are drawn from few specimens each class, with replacement, and all of them by one instrument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.communities_told.page import MADE, page
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, Bootstrap
from biocosmos.evaluate.report import Report
from biocosmos.identify.quantification import Validation, Verdict, by_group, corrected, quantify
from biocosmos.identify.quantification.by_sample import errors, made_communities
from biocosmos.identify.quantification.gate import FEWEST
from biocosmos.identify.share_methods import METHODS

Row = dict[str, Any]
DRAWS = 2000
WITH_INTERVALS = 20
"""Communities of which the intervals of the shares are judged: each takes a hundred draws of its own."""
ERRORS = ("bray_curtis", "shannon", "richness")
_ENDS = ("", "_low", "_high")
OF_METHODS = pa.schema(
    [("what", pa.string()), ("method", pa.string()), ("samples", pa.int64())]
    + [(f"{name}{end}", pa.float64()) for name in ERRORS for end in _ENDS]
    + [(name, pa.float64()) for name in ("right_before", "right_after", "held", "width")]
)
OF_GATES = pa.schema([("what", pa.string()), ("samples", pa.int64()), ("open", pa.int64()), ("severe", pa.int64())])
OF_SAMPLES = pa.schema(
    [("what", pa.string()), ("sample", pa.string()), ("specimens", pa.int64()), ("gate", pa.string())]
    + [(name, pa.float64()) for name in ("after", "moved", *METHODS)]
)


def communities_told(
    posteriors: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    features: npt.NDArray[np.float32],
    validation: Validation,
    *,
    title: str,
    samples: npt.NDArray[np.object_] | None = None,
    communities: int = 100,
    specimens: int = 500,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """Every method on made communities of n held-out specimens, and on real samples.

    posteriors: (n, C); truth: (n,) their classes; features: (n, d) for the gate; samples: (n,) names of the samples that they are
    of, None for none. Tables: methods (mean error of the samples, with intervals by drawing samples anew), gates, samples.

    Raises BiocosmosError for fewer than two classes among the specimens.
    """
    if len(np.unique(truth)) < 2:
        raise BiocosmosError("communities take specimens of two taxa that the namer knows: name another part with --queries")
    groups: dict[str, dict[str, npt.NDArray[np.int64]]] = {MADE: {}}
    drawn = made_communities(truth, count=communities, specimens=specimens, seed=seed)
    groups[MADE] = {f"community {number + 1}": rows for number, rows in enumerate(drawn)}
    few = 0
    if samples is not None:
        real = {str(name): np.flatnonzero(samples == name) for name in dict.fromkeys(samples.tolist()) if name not in (None, "")}
        few = sum(len(rows) < FEWEST for rows in real.values())
        if kept := {name: rows for name, rows in real.items() if len(rows) >= FEWEST}:
            groups["samples"] = kept
    methods, gates, told = [], [], []
    for what, those in groups.items():
        found = [_judged(what, name, posteriors[rows], truth[rows], features[rows], validation) for name, rows in those.items()]
        told += [row for row, _, _ in found]
        verdicts = [verdict for _, verdict, _ in found if verdict is not None]
        gates.append(
            {"what": what, "samples": len(verdicts)}
            | {"open": sum(one.open for one in verdicts), "severe": sum(one.severe for one in verdicts)}
        )
        for method in METHODS:
            row = _of_method(what, method, [scores[method] for _, _, scores in found], seed)
            if method == "emq":
                row |= _intervals(list(those.values())[:WITH_INTERVALS], method, posteriors, truth, validation)
            methods.append(row)
    tables = {
        "methods": pa.Table.from_pylist(methods, OF_METHODS),
        "gates": pa.Table.from_pylist(gates, OF_GATES),
        "samples": pa.Table.from_pylist(told, OF_SAMPLES),
    }
    facts = {
        "specimens": len(truth),
        "taxa": len(validation.prior),
        "validation": len(validation),
        "prior": validation.held,
        "communities": communities,
        "specimens_each": specimens,
        "draws": DRAWS,
        "confidence": CONFIDENCE,
        "with_intervals": WITH_INTERVALS,
        **(provenance or {}),
    }
    report = Report("communities_told", title, tables, provenance=facts, page=page)
    report.caveats += _caveats(gates, few)
    return report


def _judged(
    what: str,
    name: str,
    said: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    features: npt.NDArray[np.float32],
    validation: Validation,
) -> tuple[Row, Verdict | None, dict[str, Row]]:
    """(row of the sample, verdict, the errors of each method)."""
    true = np.bincount(truth, minlength=said.shape[1]) / len(truth)
    verdict = None if validation.gate is None else validation.gate.judge(features, said)
    row: Row = {"what": what, "sample": name, "specimens": len(truth), "gate": None}
    if verdict is not None:
        row |= {"gate": "open" if verdict.open else "shut", "after": verdict.after}
        row |= {"moved": None if np.isnan(verdict.moved) else verdict.moved}
    scores: dict[str, Row] = {}
    for method in METHODS:
        shares = quantify(method, said, validation.prior, confusion=validation.confusion(method)).values
        scores[method] = dict(errors(shares, true))
        row[method] = scores[method]["bray_curtis"]
        if method not in ("cc", "pcc"):
            anew = corrected(said, validation.prior, np.maximum(shares, 1e-9))
            scores[method] |= {"right_before": float((said.argmax(1) == truth).mean())}
            scores[method] |= {"right_after": float((anew.argmax(1) == truth).mean())}
    return row, verdict, scores


def _of_method(what: str, method: str, scores: list[Row], seed: int) -> Row:
    row: Row = {"what": what, "method": method, "samples": len(scores)}
    boot = Bootstrap(DRAWS, seed=seed)
    for name in ERRORS:
        value, low, high = boot.mean(np.array([each[name] for each in scores]))
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    for name in ("right_before", "right_after"):
        if name in scores[0]:
            row[name] = float(np.mean([each[name] for each in scores]))
    return row


def _intervals(
    those: list[npt.NDArray[np.int64]],
    method: str,
    posteriors: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
    validation: Validation,
) -> Row:
    """How often the interval of a share holds the true one, over all classes of the samples, and how wide it is."""
    held, width = [], []
    for rows in those:
        one = by_group(posteriors[rows], np.zeros(len(rows)), validation, method, gate=False, level=CONFIDENCE).samples[0]
        true = np.bincount(truth[rows], minlength=posteriors.shape[1]) / len(rows)
        held.append(float(((one.low <= true + 1e-12) & (true <= one.high + 1e-12)).mean()))
        width.append(float((one.high - one.low).mean()))
    return {"held": float(np.mean(held)), "width": float(np.mean(width))}


def _caveats(gates: list[Row], few: int) -> list[str]:
    told = []
    for row in gates:
        shut = row["samples"] - row["open"]
        if row["what"] == MADE and shut:
            told.append(
                f"The gate stays shut before {shut:,} of {row['samples']:,} made communities, of images of one part: the images "
                "of this part differ from the validation specimens, or these are few."
            )
        elif shut:
            told.append(
                f"The gate stays shut before {shut:,} of {row['samples']:,} real samples: their shares would only be counted."
            )
    if few:
        told.append(f"{few:,} samples with fewer than {FEWEST} specimens are left out: whether images changed cannot be told.")
    return told
