"""The report on what speaks for a head's answers."""

from __future__ import annotations

from typing import Any

from biocosmos.evaluate.evidence.page import page
from biocosmos.evaluate.report import Report
from biocosmos.identify.evidence.gather import Evidence
from biocosmos.identify.evidence.heat_maps import GRAD_CAM, LAYER_CAM, ROLL_OUT


def evidence_report(evidence: Evidence, *, title: str = "Why these answers", provenance: dict[str, Any] | None = None) -> Report:
    """Tables ``shown`` and ``splits`` of an ``Evidence``; its page shows them with pictures:
    ``report.html(path, thumbnails=evidence.thumbnails(collection.image_bytes))``.

    provenance: that of the answers: head, promise, encoders, split_hash.
    """
    caveats = [
        "Neighbours and heat maps are evidence beside the answer, for a person to judge; the answer was not made from them.",
        "A vote that does not split is no proof: neighbours can agree and be wrong together, above all on a taxon that is not "
        "among the training specimens.",
    ]
    if evidence.method in (GRAD_CAM, LAYER_CAM):
        caveats.append(
            "A heat map shows which places raise the score of the named taxon, on a grid of a few cells; it does not show "
            "why, and heat beside the specimen is a sign of a learnt background."
        )
    if evidence.method == ROLL_OUT:
        caveats.append(
            "Attention roll-out shows what the model looked at, whatever it answered; two taxa of one image have the same map."
        )
    if evidence.note:
        caveats.append(f"There are no heat maps: {evidence.note}.")
    if not evidence.voters:
        caveats.append("The head's features of these specimens are empty, so that no neighbours can be shown.")
    facts = {
        "queries": evidence.queries,
        "voters": evidence.voters,
        "heat_maps": evidence.method or "none",
        **(provenance or {}),
    }
    return Report("evidence", title, {"shown": evidence.shown, "splits": evidence.splits}, caveats, facts, page)
