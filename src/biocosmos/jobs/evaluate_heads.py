"""Evaluate trained heads: rank by rank, beside one another, by what they promise, and on taxa that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report, combine, naming
from biocosmos.evaluate.promises.report import FEWEST, promise_report
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.compare_heads import compare_heads
from biocosmos.jobs.leave_out_heads import leave_out_heads
from biocosmos.jobs.predict import predict_part
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

LEAVE_OUT = ("leave-one-class-out", "leave-one-group-out")
PROTOCOLS = ("ranks", "promises", *LEAVE_OUT)


def evaluate_heads(
    collection: Collection,
    heads: Sequence[Path],
    *,
    protocol: str | None = None,
    part: str = "test",
    where: str | None = None,
    groups: Sequence[str] = (),
    views: int = 1,
    seed: int = 0,
    device: str = "cpu",
    output: Path | None = None,
    folds: int | None = None,
    most: int | None = None,
    far: Sequence[Path] = (),
) -> Report:
    """A report on the heads in the folders, with the specimens of ``part``.

    One head: its ranks and its promises, or one of these by ``protocol``. Several: their table, side by side. Nothing is chosen
    on the part asked. Raises BiocosmosError for an unknown protocol, several heads where one is asked for, and specimens that a
    head was trained on.

    "leave-one-class-out" and "leave-one-group-out" train the head again without some taxa, in the folder ``output``; folds, most
    and far as in :func:`biocosmos.jobs.leave_out_heads.leave_out_heads`.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise BiocosmosError(f"no protocol '{protocol}' for heads: choose {', '.join(PROTOCOLS)}")
    if len(heads) > 1 and protocol not in (None, "ranks"):
        raise BiocosmosError(f"--protocol {protocol} is of one head: name one with --head")
    guard.refuse_part(collection, part, *heads, where=where)
    if protocol in LEAVE_OUT:
        if output is None:
            raise BiocosmosError(
                f"--protocol {protocol} trains again for each taxon and keeps what it made: name a folder with -o"
            )
        head = TrainedHead.load(heads[0], device=device)
        whole = protocol == LEAVE_OUT[1]
        return leave_out_heads(
            collection, head, output, whole_groups=whole, folds=folds, most=most, far=far, part=part, seed=seed
        )
    loaded = {str(folder): TrainedHead.load(folder, device=device).viewed(views) for folder in heads}
    found = {name: predict_part(collection, head, part, where=where, columns=groups) for name, head in loaded.items()}
    if len(found) > 1:
        return compare_heads(collection, _named(found), seed=seed)
    (head,) = loaded.values()
    (asked,) = found.values()
    reports = {}
    if protocol != "promises":
        reports["ranks"] = naming(asked, seed=seed)
    if protocol != "ranks":
        calibration = head.facts["training"]["settings"]["validation"]
        if not calibration and protocol == "promises":
            raise BiocosmosError(
                f"the head in {head.folder} was trained without a validation part: nothing was kept to calibrate on"
            )
        if calibration:
            pooled = predict_part(collection, head, calibration, where=where, columns=groups)
            more = pooled.subset(~np.isin(pooled.ids.astype(str), asked.ids.astype(str)))  # no specimen on both sides of a draw
            pooled = more.joined(asked) if len(more) else asked
            reports |= _promises(pooled, groups, seed, required=protocol == "promises")
    next(iter(reports.values())).caveats += guard.told(collection, asked.ids, head.folder)
    if len(reports) == 1:
        return next(iter(reports.values()))
    title = f"{collection.path.stem}: a {head.facts['head']} head"
    return combine(*reports.values(), title=title, names=list(reports))


def _promises(pooled: Predictions, groups: Sequence[str], seed: int, *, required: bool) -> dict[str, Report]:
    """The report on promises; nothing where there are too few specimens for one and it is not what was asked for."""
    if not required and int((pooled.truth != 0).sum()) < 2 * FEWEST:
        return {}
    return {"promises": promise_report(pooled, groups=groups or None, seed=seed)}


def _named(found: dict[str, Predictions]) -> dict[str, Predictions]:
    """The heads by the last part of their folder's name where that tells them apart."""
    short = [Path(name).name for name in found]
    return dict(zip(short, found.values())) if len(set(short)) == len(short) else found
