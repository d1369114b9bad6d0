"""Who named a specimen, a person or a machine, and how far down: told apart once, for every format."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biocosmos.provenance import package_version
from biocosmos.specimens.readers.ecotaxa_table import CATEGORY, STATES, STATUS

ANSWER = ("rank", "confidence", "method")
"""Columns that a machine's answers have beside the name, which is in ``taxon``, or in ``label`` once they were ingested."""
GUESSES = ("best_guess", "novelty", "novel")
"""Of these at least one is there too: a collection may have a label, a sampling method and somebody's confidence."""
UNANSWERED = ("best_guess", "best_guess_confidence", "method")
"""What is left of answers none of which was sure, where empty columns were left out."""
PREDICTED, VALIDATED = "predicted", "validated"
VERIFICATION = "identificationVerificationStatus"
BY_MACHINE, BY_HUMAN = "PredictedByMachine", "ValidatedByHuman"
MACHINES_WORDS = ("machine", "predicted", "computer", "automat", "algorithm")


@dataclass(frozen=True)
class Named:
    """name: None where nobody was sure enough; rank: of the name, where it is told; state: one of EcoTaxa's, None without a name.

    unknown: a state that was told and is none of EcoTaxa's.
    """

    name: str | None
    rank: str | None
    state: str | None
    unknown: str | None = None

    @property
    def by_machine(self) -> bool:
        """Whether no person has confirmed the name."""
        return self.state == PREDICTED


def is_answer_table(names: Collection[str]) -> bool:
    """Whether a table holds a machine's answers, as :meth:`Identifier.identify` gives them, or as they are once ingested."""
    there = set(names)
    has_names = set(ANSWER) <= there and bool({"taxon", "label"} & there) and bool(set(GUESSES) & there)
    return has_names or set(UNANSWERED) <= there


def answered_ranks(names: Sequence[str]) -> tuple[str, ...]:
    """The rank columns of a table of answers, coarse to fine: each has its confidence beside it, as runners-up (genus_2) have."""
    sure = [name for name in names if f"{name}_confidence" in names and name not in GUESSES]
    return tuple(name for name in sure if re.sub(r"_\d+$", "", name) not in {*sure} - {name})


def software_of(provenance: Mapping[str, Any]) -> str:
    """ "biocosmos 0.1.0, encoder efficientnet-lite0 (weights 1a2b3c)", from a table's provenance."""
    version = str(provenance.get("biocosmos") or (provenance.get("software") or {}).get("biocosmos") or package_version())
    encoder = provenance.get("encoder")
    facts = encoder if isinstance(encoder, dict) else {"name": encoder, "digest": provenance.get("digest")}
    weights = f" (weights {facts['digest']})" if facts.get("digest") else ""
    return f"biocosmos {version}" + (f", encoder {facts['name']}{weights}" if facts.get("name") else "")


def says(value: Any) -> bool:
    """Whether a cell holds more than blanks."""
    return value is not None and bool(str(value).strip())


class Naming:
    """Says of each row who named it. names: the table's columns; ranks: coarse to fine."""

    def __init__(self, names: Collection[str], ranks: Sequence[str]) -> None:
        self.ranks = tuple(ranks)
        self.has_answers = is_answer_table(names)
        self.has_names = self.has_answers or bool({"label", CATEGORY, *self.ranks} & set(names))
        self._taxon = "taxon" if "taxon" in names else "label"

    def is_answer(self, row: dict[str, Any]) -> bool:
        """Whether a row is a machine's answer: others may stand in one collection with it."""
        return self.has_answers and row.get("method") is not None

    def of(self, row: dict[str, Any]) -> Named:
        """Who named this row. Of a machine's answer the ranks below the one that was sure enough are blanked in the row."""
        if self.is_answer(row):
            return self._answer(row)
        ranked = (row.get(rank) for rank in reversed(self.ranks))
        name = next((str(said) for said in (row.get("label"), row.get(CATEGORY), *ranked) if says(said)), None)
        if name is None:
            return Named(None, None, None)
        told = str(row.get(STATUS) or "").strip().lower()
        if told in STATES and not self._corrected(row):
            return Named(name, None, told)
        verified = str(row.get(VERIFICATION) or "").lower()
        if any(word in verified for word in MACHINES_WORDS):
            return Named(name, None, PREDICTED)
        if self._corrected(row):
            return Named(name, None, VALIDATED)
        if told or says(row.get(CATEGORY)):  # EcoTaxa's own, and nobody says that it was looked at
            return Named(name, None, PREDICTED, told or None)
        return Named(name, None, VALIDATED)

    def _answer(self, row: dict[str, Any]) -> Named:
        taxon, rank = row.get(self._taxon), row.get("rank")
        taxon = taxon if says(taxon) else None
        sure = self.ranks.index(rank) + 1 if taxon is not None and rank in self.ranks else 0
        for finer in self.ranks[sure:]:
            if finer != self._taxon:
                row[finer] = None
        return Named(None, None, None) if taxon is None else Named(str(taxon), rank, PREDICTED)

    def _corrected(self, row: dict[str, Any]) -> bool:
        """Whether somebody has given another label than EcoTaxa had."""
        return says(row.get(CATEGORY)) and says(row.get("label")) and row["label"] != row[CATEGORY]


__all__ = ["BY_HUMAN", "BY_MACHINE", "PREDICTED", "VALIDATED", "VERIFICATION", "Named", "Naming", "answered_ranks", "software_of"]
