"""Who or what said what a specimen is, and when: the label it came with, corrections, machines, people. Nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from biocosmos.provenance import package_version
from biocosmos.specimens import by_hand
from biocosmos.specimens.care.of_specimen import changes_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import KeptAnswer, answers_of

Kind = Literal["source", "correction", "machine", "person"]


@dataclass(frozen=True)
class Event:
    """One identification, or one that was taken back.

    at: UTC, ISO 8601, "" where it is not known; by: the person or the model; taxon: None where nothing was sure enough; status:
    validated, dubious, predicted, withdrawn, or "" for a label that came with the specimen; how: what for; confidence: of a
    machine, 0 to 1; model: what computed it; note: in words.
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


def history(collection: Collection, id_: str, people: Iterable[Mapping[str, Any]] | None = None) -> list[Event]:
    """What was said of a specimen, oldest first; what has no time comes first.

    people: the rows that people said of it, where somebody holds them in memory; by default they are read.
    """
    if people is None:
        people = by_hand.history(collection, [id_]).to_pylist()
    events = [*_labels(collection, id_), *map(_machine, answers_of(collection, id_)), *map(_person, people)]
    return sorted(events, key=lambda event: event.at)


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


def _machine(answer: KeptAnswer) -> Event:
    row = answer.row
    software = answer.about.get("biocosmos") or (answer.about.get("software") or {}).get("biocosmos") or package_version()
    encoder = answer.about.get("encoder")
    digest = encoder.get("digest") if isinstance(encoder, dict) else answer.about.get("digest")
    weights = f" (weights {digest})" if digest else ""
    model = ", ".join(part for part in (f"{answer.encoder}{weights}" if answer.encoder else "", f"biocosmos {software}") if part)
    notes = ["flagged as novel"] if row.get("novel") else []
    if row.get("taxon") is None and row.get("best_guess"):
        notes.append(f"nothing was sure enough; best guess {row['best_guess']}")
    return Event(
        f"{answer.kept.replace(' ', 'T')}+00:00" if answer.kept else "",
        "machine",
        answer.method,
        row.get("taxon"),
        row.get("rank"),
        "predicted",
        confidence=row.get("confidence"),
        model=model,
        note="; ".join(notes),
    )


def _person(row: Mapping[str, Any]) -> Event:
    at = row["at"]
    when = at.astimezone(timezone.utc).isoformat(timespec="seconds") if isinstance(at, datetime) else str(at or "")
    note = str(row.get("note") or "")
    return Event(
        when, "person", str(row["by"]), row["taxon"], row["rank"], str(row["status"]), str(row.get("how") or ""), note=note
    )


def _utc(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc).isoformat(timespec="seconds")
    except ValueError:
        return text
