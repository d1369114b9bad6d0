"""A collection that is open: what it says of itself, its dataset, its ranks, its columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_facts
from biocosmos.specimens.attribute_groups import GROUPS_SHAPE, Group, groups_from
from biocosmos.specimens.checksums import check_vectors
from biocosmos.specimens.creating import FACTS, FORMAT
from biocosmos.specimens.damage import damaged, reading
from biocosmos.specimens.embedding_columns import EmbeddingColumns, embedding_column
from biocosmos.specimens.lock import locked
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.tables import replacing
from biocosmos.taxonomy import Taxonomy

_FACTS = {
    "format": Number(1, whole=True),
    "ranks": [str],
    "default_encoder?": (str, None),
    "attributes?": GROUPS_SHAPE,
}


class Opened:
    """The collection in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] = _read_facts(path)
        self._taxonomy: tuple[int, Taxonomy] | None = None
        self._checked: dict[str, int] = {}
        self._lance = str(path / "specimens.lance")
        self._embeddings = EmbeddingColumns(self._lance, path / "embeddings")

    @property
    def dataset(self) -> lance.LanceDataset:
        """The Lance dataset at its latest version."""
        with reading(self.path):
            return lance.dataset(self._lance)

    def __len__(self) -> int:
        return int(self.dataset.count_rows())

    def __repr__(self) -> str:
        return f"<Collection {self.path}: {len(self):,} specimens>"

    @property
    def stored_columns(self) -> list[str]:
        """Names of all columns but the embeddings."""
        return [name for name in self.dataset.schema.names if not name.startswith(EMBEDDING_PREFIX)]

    @property
    def ranks(self) -> tuple[str, ...]:
        """Rank columns from coarse to fine."""
        return tuple(self._facts["ranks"])

    @property
    def attribute_groups(self) -> dict[str, Group]:
        """Groups of columns that are one task together, by name, as readers declared them; see ``specimens.attributes``."""
        return groups_from(self._facts.get("attributes", {}))

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree over all specimens, built from the rank columns when first asked for.

        Raises BiocosmosError if no specimen was ever given a name.
        """
        dataset = self.dataset
        if not self.ranks:
            raise BiocosmosError(f"{self.path} has no names at any rank: ingest labels, with sub-folders, a table or --taxonomy")
        if self._taxonomy is None or self._taxonomy[0] != dataset.version:
            paths: list[pa.Table] = []
            with reading(self.path):
                for batch in dataset.to_batches(columns=list(self.ranks)):
                    paths.append(pa.Table.from_batches([batch]).group_by(list(self.ranks)).aggregate([]))
            table = pa.concat_tables(paths) if paths else pa.table({rank: pa.array([], pa.string()) for rank in self.ranks})
            self._taxonomy = (dataset.version, Taxonomy.from_table(table, ranks=self.ranks))
        return self._taxonomy[1]

    def filled_columns(self) -> list[str]:
        """The stored columns in which at least one specimen has a value; the id and the ranks are always among them."""
        dataset, always = self.dataset, {"id", *self.ranks}

        def has_values(column: str) -> bool:
            return bool(dataset.scanner(columns=["id"], filter=f"`{column}` IS NOT NULL", limit=1).to_table().num_rows > 0)

        return [name for name in self.stored_columns if name in always or has_values(name)]

    def reload(self) -> None:
        """Take over what another process wrote since this was opened."""
        self._facts = _read_facts(self.path)

    def facts_now(self) -> dict[str, Any]:
        """What ``collection.json`` says at this moment, whoever wrote it."""
        return _read_facts(self.path)

    def save_facts(self, **changed: Any) -> None:
        """Change what ``collection.json`` says."""
        path = self.path / "collection.json"
        with locked(self.path, "set"), replacing(path) as temporary:
            self._facts = _read_facts(self.path) | changed  # what another process wrote since stays
            temporary.write_text(json.dumps(self._facts, indent=1) + "\n")

    def finish_embeddings(self) -> None:
        """Name the columns of vectors that are complete; with the lock held."""
        if self._embeddings.is_unfinished():
            self._embeddings.finish_interrupted()

    def _check_ranks(self, dataset: lance.LanceDataset) -> None:
        if lacking := [rank for rank in self.ranks if rank not in dataset.schema.names]:
            raise damaged(self.path, FACTS, f"names the rank {lacking[0]!r}, and there is no such column")

    @staticmethod
    def embedding_column(encoder: str) -> str:
        """The name of the column with an encoder's vectors."""
        return embedding_column(encoder)

    @property
    def encoders(self) -> dict[str, dict[str, Any]]:
        """Encoder name to what made its column: digest, dimension, preprocessing, precision, backend, time."""
        return self._embeddings.facts()

    def check_vectors(self, *encoders: str) -> None:
        """Compare stored vectors with their checksums, once. Raises BiocosmosError, with the file, where they differ."""
        dataset = self.dataset
        asked = {embedding_column(encoder): encoder for encoder in encoders}
        new = {column: encoder for column, encoder in asked.items() if self._checked.get(column) != dataset.version}
        if new:
            with reading(self.path):
                check_vectors(self.path, dataset, new)
            self._checked.update(dict.fromkeys(new, dataset.version))

    def _check_columns(self, names: Sequence[str]) -> None:
        if any(name.startswith(EMBEDDING_PREFIX) for name in names):
            self.check_vectors(*(encoder for encoder in self.encoders if embedding_column(encoder) in names))

    def chosen_columns(self, columns: Sequence[str] | None) -> list[str]:
        """The columns asked for, all but images and embeddings for None. Raises BiocosmosError for one that is not there."""
        if columns is None:
            return [name for name in self.stored_columns if name != "image"]
        have = self.dataset.schema.names
        if missing := [name for name in columns if name not in have]:
            shown = ", ".join(self.stored_columns)
            raise BiocosmosError(f"the collection has no column '{missing[0]}': it has {shown}")
        return list(columns)


def _read_facts(path: Path) -> dict[str, Any]:
    """What ``collection.json`` says. Raises BiocosmosError if it is damaged, or a newer biocosmos wrote it."""
    file = path / FACTS
    remedy = f"this collection is damaged: restore {file} from a copy"
    facts = read_facts(file, _FACTS, what="the description of a collection", remedy=remedy)
    if facts["format"] > FORMAT:
        raise BiocosmosError(f"{path} was written by a newer biocosmos (format {facts['format']}): update biocosmos")
    return facts
