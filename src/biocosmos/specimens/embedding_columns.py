"""One column of vectors per encoder in a Lance dataset, added whole or not at all, with what made it beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.provenance import now
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.tables import file_stem, replacing

_UNFINISHED = "~unfinished"


def embedding_column(encoder: str) -> str:
    """The name of an encoder's column; Lance column names cannot hold a dot."""
    return EMBEDDING_PREFIX + encoder.replace(".", "_")


class EmbeddingColumns:
    """The embeddings of the Lance dataset at ``dataset``; ``folder`` holds one JSON file for each."""

    def __init__(self, dataset: str, folder: Path) -> None:
        self._path = dataset
        self._folder = folder

    @property
    def _dataset(self) -> lance.LanceDataset:
        return lance.dataset(self._path)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Encoder name to what made its column."""
        names = set(self._dataset.schema.names)
        found = {facts["name"]: facts for _, facts in self._files() if embedding_column(facts["name"]) in names}
        return dict(sorted(found.items()))

    def _files(self) -> list[tuple[Path, dict[str, Any]]]:
        """Every file of facts, the newest of an encoder last."""
        found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(self._folder.glob("*.json"))]
        return sorted(found, key=lambda item: str(item[1].get("created")))

    def add(self, encoder: str, metadata: Mapping[str, Any], batches: Iterator[pa.FixedSizeListArray]) -> None:
        """See :meth:`Collection.add_vectors`."""
        column = embedding_column(encoder)
        if other := [name for name in self.facts() if name != encoder and embedding_column(name) == column]:
            raise BiocosmosError(f"encoders '{encoder}' and '{other[0]}' would share the column '{column}': rename one")
        unfinished = column + _UNFINISHED
        dataset = self._dataset
        if unfinished in dataset.schema.names:
            dataset.drop_columns([unfinished])
        rows = dataset.count_rows()
        kind = pa.list_(pa.float32(), int(metadata["dim"]))
        schema = pa.schema([pa.field(unfinished, kind)])

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
            raise BiocosmosError(f"cannot store the embedding '{encoder}': {first_line(error)}") from error
        facts = {"name": encoder, **dict(metadata), "created": now()}
        with replacing(self._folder / f"{file_stem(encoder)}.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
        for path, older in self._files():  # under the name that files had before they were told apart by a digest
            if older["name"] == encoder and path.stem != file_stem(encoder):
                path.unlink()
        self.finish_interrupted()

    def finish_interrupted(self) -> None:
        """Give a complete new column its name; also what opening a collection does after a kill at that moment."""
        for name in list(self._dataset.schema.names):
            if name.startswith(EMBEDDING_PREFIX) and name.endswith(_UNFINISHED):
                column = name.removesuffix(_UNFINISHED)
                if column in self._dataset.schema.names:
                    self._dataset.drop_columns([column])
                self._dataset.alter_columns({"path": name, "name": column})
