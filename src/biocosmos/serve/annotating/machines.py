"""What machines said of one specimen: its rows of the identifications that were kept."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import KeptAnswer, answers_of


def answers_to(collection: Collection, id_: str) -> list[dict[str, Any]]:
    """Answers that were kept, oldest first, in the form of :meth:`Annotations.history`. Raises BiocosmosError for a damaged
    file."""
    return [_in_words(answer) for answer in answers_of(collection, id_)]


def _in_words(answer: KeptAnswer) -> dict[str, Any]:
    row, notes = answer.row, []
    if row.get("novel"):
        notes.append("flagged as novel")
    if row.get("taxon") is None and row.get("best_guess"):
        notes.append(f"nothing was sure enough; best guess {row['best_guess']}")
    return {
        "kind": "machine",
        "at": _kept_at(answer),
        "by": answer.method or "machine",
        "model": model_of(answer) or None,
        "taxon": row.get("taxon"),
        "rank": row.get("rank"),
        "status": "predicted",
        "confidence": row.get("confidence"),
        "how": "identify",
        "note": "; ".join(notes),
        "act": answer.name,
        "undoes": None,
        "stands": True,
    }


def model_of(answer: KeptAnswer) -> str:
    """What computed an answer: "efficientnet-lite0 (weights 56ec6cdc2b8e8b2f), biocosmos 0.1.0"."""
    about = answer.about
    encoder = about.get("encoder")
    digest = encoder.get("digest") if isinstance(encoder, dict) else about.get("digest")
    software = about.get("biocosmos") or (about.get("software") or {}).get("biocosmos")
    parts = [f"{answer.encoder}{f' (weights {digest})' if digest else ''}" if answer.encoder else ""]
    parts.append(f"biocosmos {software}" if software else "")
    return ", ".join(part for part in parts if part)


def _kept_at(answer: KeptAnswer) -> str:
    if answer.kept:
        when = datetime.fromisoformat(answer.kept).replace(tzinfo=timezone.utc)
    else:  # somebody gave it a name of their own
        when = datetime.fromtimestamp(answer.written, timezone.utc)
    return when.isoformat(timespec="microseconds")
