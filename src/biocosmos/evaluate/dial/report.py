"""The report of the dial: every way that was tried, what it gains and loses, and why it was taken or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from biocosmos.evaluate.dial.page import page
from biocosmos.evaluate.report import Report


@dataclass(frozen=True)
class Line:
    """One way that was tried.

    Attributes:
        tokens: the reduction, or "all tokens"; precision, backend: how it is computed.
        times: as many images a second as the encoder with all tokens in float32 at its fastest; images_per_second: of
            the model; None where it cannot be computed so here.
        choosing_loss: share that is lost on the choosing specimens, None where it was not looked at.
        loss, low, high: on the judging specimens, and the ends of its interval: above the first and below the second with 95 %
            confidence each, taken alone; losses, gains, judged: specimens that only all tokens, only this way got right, all.
        probability: of the test that no more than is allowed is lost; None where it was not made.
        taken: whether it is the one; why: a sentence.
    """

    tokens: str
    precision: str
    backend: str
    times: float | None = None
    images_per_second: float | None = None
    choosing_loss: float | None = None
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    losses: int | None = None
    gains: int | None = None
    judged: int | None = None
    probability: float | None = None
    taken: bool = False
    why: str = ""


WAYS = pa.schema(
    [(name, pa.string()) for name in ("tokens", "precision", "backend")]
    + [(name, pa.float64()) for name in ("times", "images_per_second", "choosing_loss", "loss", "low", "high")]
    + [(name, pa.int64()) for name in ("losses", "gains", "judged")]
    + [("probability", pa.float64()), ("taken", pa.bool_()), ("why", pa.string())]
)


def dial_report(
    lines: Sequence[Line], dense: float, measure: str, rank: str | None, margin: float, facts: Mapping[str, Any]
) -> Report:
    """A report of kind "dial"; table ways: a row for each way, in the order they were tried.

    dense: share of the judging specimens that is right with all tokens; measure: accuracy, recall or agreement; margin: what may
    be lost; facts: encoder, encoders, processor, choosing and judging (who, specimens), options.
    """
    table = pa.Table.from_pylist([asdict(line) for line in lines], WAYS)
    judging, choosing = facts["judging"], facts["choosing"]
    caveats = [
        f"The promise is of specimens like the {judging['specimens']:,} of {judging['who']}: of another kind, place or "
        "instrument it says nothing. What the encoder is worth, a test part says that is asked once ('biocosmos evaluate').",
        f"Speed was measured on {facts['processor']}, the model alone, without reading images: another machine may order the "
        "ways otherwise, and a slow disk may hide all of it.",
    ]
    if measure == "agreement":
        caveats.append(
            "Without labels, what is measured is whether the nearest specimen is the same one as with all tokens: that is "
            "stricter than whether it is of the same taxon, and says nothing of who is right."
        )
    if measure == "accuracy":
        caveats.append("A head computes in float32 by torch, so nothing else was tried: 'embed' is told the same.")
    if facts.get("split_hash") is None:
        caveats.append(
            f"The collection has no split: {choosing['who']} answered {judging['who']}, a random choice. Pictures of one "
            "individual may be in both, which flatters every way alike."
        )
    provenance = {**facts, "measure": measure, "rank": rank, "margin": margin, "dense": dense}
    return Report("dial", f"The dial: {facts['encoder']} on {facts['collection']}", {"ways": table}, caveats, provenance, page)
