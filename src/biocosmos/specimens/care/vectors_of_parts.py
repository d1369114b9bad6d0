"""Which vectors of the parts stand in one column of the whole: those of the same weights and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from biocosmos.specimens.care.parts import Part
from biocosmos.specimens.embedding_columns import COMPUTED_WITH, MUST_AGREE, described, embedding_column, joined_facts
from biocosmos.specimens.given_vectors import GIVEN
from biocosmos.specimens.stored_vectors import stored_type


@dataclass
class Columns:
    """The columns of vectors of the whole.

    Attributes:
        fields: column -> its field, with what made it.
        sources: column -> for each part, the column of that part that goes into it, or None.
        notes: what is not taken over, in words.
    """

    fields: dict[str, pa.Field] = field(default_factory=dict)
    sources: dict[str, list[str | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def columns_of_vectors(parts: Sequence[Part], there: Mapping[str, Mapping[str, Any]]) -> Columns:
    """there: what made the columns that the whole has already, by encoder."""
    found = Columns()
    had = [part.collection.encoders for part in parts]
    for name in dict.fromkeys([*there, *(name for encoders in had for name in encoders)]):
        first = there.get(name) or next(encoders[name] for encoders in had if name in encoders)
        column, joined = embedding_column(name), dict(first)
        sources: list[str | None] = []
        for part, encoders in zip(parts, had):
            facts = encoders.get(name)
            if facts is None:
                sources.append(None)
                if part.dataset.count_rows():
                    found.notes.append(f"{part.name} has no vectors of '{name}': 'biocosmos embed' makes them")
                continue
            if any(facts.get(key) != first.get(key) for key in MUST_AGREE):
                sources.append(None)
                why = _difference(facts, first)
                found.notes.append(f"the vectors of '{name}' in {part.name} were left out: {why}")
                continue
            part.collection.check_vectors(name)  # damage does not get a new checksum
            sources.append(embedding_column(name))
            for key in COMPUTED_WITH:
                joined[key] = joined_facts([joined.get(key), facts.get(key)])
        if any(sources) or name in there:
            found.sources[column] = sources
            found.fields[column] = described(pa.field(column, stored_type(first)), joined)
    return found


def _difference(facts: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    if GIVEN in (facts.get("backend"), first.get("backend")):
        return "they were made elsewhere, and nothing says that they are of the same model; add them with embed --from"
    key = next(key for key in MUST_AGREE if facts.get(key) != first.get(key))
    return f"their {key} is another ({facts.get(key)}, not {first.get(key)})"
