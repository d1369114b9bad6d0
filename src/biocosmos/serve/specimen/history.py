"""Who or what said what a specimen is, and when: the label it came with, corrections, machines, people. Nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from biocosmos.specimens.care.of_specimen import changes_of
from biocosmos.specimens.collection import Collection

Kind = Literal["source", "correction", "machine", "person"]


@dataclass(frozen=True)
class Event:
    """One identification, or one that was taken back.

    at: UTC, ISO 8601, "" where it is not known; by: the person or the model; taxon: None where nothing was sure enough; status:
    validated, dubious, predicted, withdrawn, or "" for a label that came with the specimen; how: what for; confidence: of a
    machine, 0 to 1; model: what computed it; note: in words; stands: whether it was not taken back.
    """

    at: str
    kind: Kind
    by: str
    taxon: str | None
    rank: str | None = None
    status: str = ""
    how: str = ""
    confidence: float | None = None
    model: str = ""
    note: str = ""
    stands: bool = True


def history(collection: Collection, id_: str, said: Iterable[Mapping[str, Any]]) -> list[Event]:
    """All that was said of a specimen, oldest first; what has no time comes first.

    said: by people and machines, as :meth:`biocosmos.serve.annotating.Annotations.history` tells it.
    """
    return sorted([*_labels(collection, id_), *map(_told, said)], key=lambda event: event.at)


def _labels(collection: Collection, id_: str) -> list[Event]:
    """The label that the specimen came with, and its corrections."""
    ranks = [*collection.ranks]
    names = ["label", *(rank for rank in ranks if rank != "label")]
    row = collection.take([id_], names).to_pylist()[0]
    changes = changes_of(collection, id_, names)
    first = dict(row)
    for change in reversed(changes):
        first |= {name: old for name, (old, _) in change.cells.items()}
    found = [Event("", "source", "the source", *_finest(first, ranks))] if _finest(first, ranks)[0] else []
    for change in changes:
        entry = change.entry
        said = ", ".join(f"{name}: {old or 'nothing'} → {new or 'nothing'}" for name, (old, new) in change.cells.items())
        now = dict(first) | {name: new for name, (_, new) in change.cells.items()}
        first = now
        taxon, rank = _finest(now, ranks)
        note = f"{said}. {entry.note}" if entry.note else said
        found.append(Event(_utc(entry.time), "correction", entry.by, taxon, rank, how=entry.verb, note=note))
    return found


def _finest(cells: Mapping[str, Any], ranks: list[str]) -> tuple[str | None, str | None]:
    for rank in [*(["label"] if "label" not in ranks else []), *reversed(ranks)]:
        if cells.get(rank):
            return str(cells[rank]), rank
    return None, None


def _told(row: Mapping[str, Any]) -> Event:
    return Event(
        _utc(str(row["at"])),
        row["kind"],
        str(row["by"]),
        row["taxon"],
        row["rank"],
        str(row["status"]),
        str(row.get("how") or ""),
        row.get("confidence"),
        str(row.get("model") or ""),
        str(row.get("note") or ""),
        bool(row.get("stands", True)),
    )


def _utc(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc).isoformat(timespec="seconds")
    except ValueError:
        return text
