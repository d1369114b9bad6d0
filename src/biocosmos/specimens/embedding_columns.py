"""One column of vectors per encoder in a Lance dataset, added whole or not at all.

What made the vectors (the digest of the weights above all) is metadata of the column's field: one commit stores both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, misfit, read_facts
from biocosmos.provenance import now
from biocosmos.specimens.damage import library_says
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.specimens.stored_vectors import stored_type
from biocosmos.unfinished import is_full

_UNFINISHED = "~unfinished"
_FACTS = b"biocosmos"
"""Key of the field's metadata that holds what made the column, as JSON."""
MUST_AGREE = ("digest", "dim", "preprocessing")
"""Facts that all vectors of a column share."""
WRITTEN_FROM = "written from"
"""Among the facts of a column of texts, places or files: the stored columns they were written from."""
COMPUTED_WITH = ("precision", "backend", "device", "layout")
"""Facts in which they may differ; the column has all of them."""


def embedding_column(encoder: str) -> str:
    """The name of an encoder's column; Lance column names cannot hold a dot."""
    return EMBEDDING_PREFIX + encoder.replace(".", "_")


def described(field: pa.Field, facts: Mapping[str, Any]) -> pa.Field:
    """The field with what made its vectors."""
    return field.with_metadata({_FACTS: json.dumps(dict(facts), default=str).encode()})


def facts_of_field(field: pa.Field) -> dict[str, Any]:
    """What made the vectors of a column, as its metadata says; empty where it says nothing."""
    return json.loads((field.metadata or {}).get(_FACTS, b"null")) or {}


def joined_facts(values: Iterable[Any]) -> str | None:
    """What all vectors of a column share, or all that some of them have: "openvino, torch"."""
    said = {part for value in values if value is not None for part in str(value).split(", ")}
    return ", ".join(sorted(said)) or None


def _older_facts(path: Path) -> dict[str, Any] | None:
    """What made a column, as an older version wrote it; None for another file. Raises BiocosmosError if it is damaged."""
    remedy = "this collection is damaged: restore it from a copy, or remove it and embed again"
    facts = read_facts(path, {}, what="the description of an embedding", remedy=remedy)
    if "name" not in facts:
        return None
    if fault := misfit(facts, {"name": str, "dim?": Number(1, whole=True)}):
        raise BiocosmosError(f"{path} is not the description of an embedding ({fault}): {remedy}")
    return facts


class EmbeddingColumns:
    """The embeddings of the Lance dataset at ``dataset``; ``folder`` is where older versions described them."""

    def __init__(self, dataset: str, folder: Path) -> None:
        self._path = dataset
        self._folder = folder

    @property
    def _dataset(self) -> lance.LanceDataset:
        return lance.dataset(self._path)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Encoder name to what made its column."""
        schema, found = self._dataset.schema, {}
        for field in schema:
            if field.name.startswith(EMBEDDING_PREFIX) and not field.name.endswith(_UNFINISHED):
                facts = facts_of_field(field)
                if facts:
                    found[facts["name"]] = facts
        return dict(sorted({**self._written_beside(set(schema.names), found), **found}.items()))

    def _written_beside(self, names: set[str], known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Of columns that an older version stored: it kept a JSON file of each beside the dataset."""
        taken = {embedding_column(encoder) for encoder in known}
        files = [facts for path in self._folder.glob("*.json") if (facts := _older_facts(path)) is not None]
        columns = {facts["name"]: embedding_column(facts["name"]) for facts in files}
        files.sort(key=lambda facts: str(facts.get("created")))  # the newest of an encoder last
        return {f["name"]: f for f in files if columns[f["name"]] in names and columns[f["name"]] not in taken}

    def add(self, encoder: str, metadata: Mapping[str, Any], batches: Iterator[pa.Array]) -> None:
        """See :meth:`Collection.add_vectors`."""
        column = embedding_column(encoder)
        if other := [name for name in self.facts() if name != encoder and embedding_column(name) == column]:
            raise BiocosmosError(f"encoders '{encoder}' and '{other[0]}' would share the column '{column}': rename one")
        unfinished = column + _UNFINISHED
        dataset = self._dataset
        if unfinished in dataset.schema.names:
            dataset.drop_columns([unfinished])
        rows = dataset.count_rows()
        kind = stored_type(metadata)
        facts = {"name": encoder, **dict(metadata), "created": now()}
        schema = pa.schema([described(pa.field(unfinished, kind), facts)])

        def counted() -> Iterator[pa.RecordBatch]:
            given = 0
            for vectors in batches:
                given += len(vectors)
                # Lance takes the bytes as they come: another type would be stored as nonsense
                yield pa.RecordBatch.from_arrays([vectors if vectors.type == kind else vectors.cast(kind)], schema=schema)
            if given != rows:
                raise BiocosmosError(f"{given:,} vectors for {rows:,} specimens: embed again")

        try:
            dataset.add_columns(pa.RecordBatchReader.from_batches(schema, counted()))
        except OSError as error:
            full = is_full(error)
            said = "the disk is full: free some space, then run the same command again" if full else library_says(error)
            raise BiocosmosError(f"cannot store the embedding '{encoder}': {said}") from error
        self.finish_interrupted()

    def is_unfinished(self) -> bool:
        """Whether a column is complete and has not got its name yet."""
        return any(name.startswith(EMBEDDING_PREFIX) and name.endswith(_UNFINISHED) for name in self._dataset.schema.names)

    def finish_interrupted(self) -> None:
        """Give a complete new column its name; also what is done after a kill at that moment. With the lock held."""
        for name in list(self._dataset.schema.names):
            if name.startswith(EMBEDDING_PREFIX) and name.endswith(_UNFINISHED):
                column = name.removesuffix(_UNFINISHED)
                if column in self._dataset.schema.names:
                    self._dataset.drop_columns([column])
                self._dataset.alter_columns({"path": name, "name": column})
