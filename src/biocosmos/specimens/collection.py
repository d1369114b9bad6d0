"""A collection: a Lance dataset of specimens, with its splits, embeddings and failures beside it.

On disk a collection is a folder::

    plankton.cosmos/
        specimens.lance     one row a specimen, one more column per encoder
        collection.json     ranks and format version
        splits/             saved splits, Parquet
        embeddings/         quantised models, and what made the columns of older versions
        identifications/    append-only tables, Parquet
        failures.parquet    everything that was refused or converted, by any command
        history/            every change: who, when, old and new values; see biocosmos.specimens.care
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.facts import Number, read_facts
from biocosmos.provenance import encoder_name
from biocosmos.search.conditions import quoted, within_condition
from biocosmos.specimens import failures_kept, given_vectors
from biocosmos.specimens.checksums import check_opening, check_vectors
from biocosmos.specimens.conditions import check_condition, select_error
from biocosmos.specimens.creating import FACTS, FORMAT, Occupied, is_collection, make
from biocosmos.specimens.damage import damaged, reading
from biocosmos.specimens.embedding_columns import EmbeddingColumns, embedding_column
from biocosmos.specimens.given_vectors import GivenSummary, Ids, Vectors
from biocosmos.specimens.identical import identical_groups
from biocosmos.specimens.ingest import AddSummary, Ingest
from biocosmos.specimens.lock import LockBusy, ReadOnly, is_held, locked
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.specimens.records import EMBEDDING_PREFIX, Source
from biocosmos.specimens.splits import Split, check_name, is_name, make_split
from biocosmos.tables import replacing, write_table, write_tables
from biocosmos.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas
    import polars

    from biocosmos.search.gallery import Gallery
    from biocosmos.specimens.care.change import ChangeSummary
    from biocosmos.specimens.care.entry import Entry
    from biocosmos.specimens.care.merge import MergeSummary
    from biocosmos.specimens.image_dataset import ImageDataset

_FACTS = {"format": Number(1, whole=True), "ranks": [str], "default_encoder?": (str, None)}


class Collection:
    """Specimens in a folder; open one with :meth:`open`, begin one with :meth:`create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] = _read_facts(path)
        self._taxonomy: tuple[int, Taxonomy] | None = None
        self._checked: dict[str, int] = {}
        self._lance = str(path / "specimens.lance")
        self._embeddings = EmbeddingColumns(self._lance, path / "embeddings")

    # ------------------------------------------------------------------ open and describe

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> Collection:
        """Begin an empty collection in a new folder. Raises BiocosmosError if something is there and not ``overwrite``."""
        make(Path(path), overwrite=overwrite)
        return cls(Path(path))

    @classmethod
    def open_or_create(cls, path: str | Path) -> Collection:
        """Open a collection, or begin one where there is none, also where another process was killed while it began one."""
        path = Path(path)
        if not is_collection(path):
            try:
                return cls.create(path)
            except Occupied:
                if not is_collection(path):
                    raise
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Collection:
        """Open a collection. Raises BiocosmosError if there is none, or if a newer biocosmos wrote it."""
        path = Path(path)
        if not is_collection(path):
            raise BiocosmosError(f"no collection at {path}: make one with 'biocosmos ingest IMAGES -o {path}'")
        collection = cls(path)
        with reading(path):
            dataset = collection.dataset
            check_opening(path, dataset)
        if lacking := [rank for rank in collection.ranks if rank not in dataset.schema.names]:
            raise damaged(path, FACTS, f"names the rank {lacking[0]!r}, and there is no such column")
        collection._finish_interrupted()
        collection._check_ranks()
        return collection

    def _check_ranks(self) -> None:
        try:
            columns = self.stored_columns
        except BiocosmosError:  # the store says so when it is read
            return
        if lacking := [rank for rank in self.ranks if rank not in columns]:
            raise damaged(self.path, "collection.json", f"names the rank '{lacking[0]}', which is no column")

    def _finish_interrupted(self) -> None:
        """Finish what a process that was killed had begun and meant. Never waits: a reader does without."""
        from biocosmos.specimens.care.apply import is_pending

        if is_held(self.path) or is_pending(self.path) or self._embeddings.is_unfinished():
            try:
                with suppress(LockBusy, ReadOnly), self.writing("finish", wait=0):
                    pass
            except BiocosmosError as error:  # who only reads can do so; who changes it is refused
                print(f"warning: {error}", file=sys.stderr)

    def finish_embeddings(self) -> None:
        """Name the columns of vectors that are complete; with the lock held."""
        if self._embeddings.is_unfinished():
            self._embeddings.finish_interrupted()

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

    def describe(self) -> dict[str, Any]:
        """Counts of specimens, images, names per rank, and what splits and embeddings there are."""
        from biocosmos.specimens.description import describe

        return describe(self)

    def filled_columns(self) -> list[str]:
        """The stored columns in which at least one specimen has a value; the id and the ranks are always among them."""
        always = {"id", *self.ranks}
        filled = (name for name in self.stored_columns if name in always or self._has_values(name))
        return list(filled)

    def _has_values(self, column: str) -> bool:
        rows = self.dataset.scanner(columns=["id"], filter=f"`{column}` IS NOT NULL", limit=1).to_table()
        return bool(rows.num_rows > 0)

    # ------------------------------------------------------------------ add

    def add(self, source: Source | Any, *, pack: bool = False, id_prefix: str = "") -> AddSummary:
        """Store the specimens of a source, as they are read, a commit for many rows.

        Every image is read and decoded once. One that cannot be used becomes a row of the failures table, and so does every row
        whose id is there already with something else than it says; the rest goes on. Running an interrupted add again skips what
        is stored and goes on, and ends with the same failures. A specimen whose image file is gone, and which the source has
        elsewhere with the same content, gets the new path, in the history too.

        Args:
            source: from :func:`biocosmos.read`, or what that function takes: a path, a data frame. Or another collection, which
                is taken in as :meth:`merge` does.
            pack: keep the images' bytes in the dataset, so that the files are no longer needed. Images that come out of an
                archive are always packed.
            id_prefix: stands before every id, for files of the same names in two folders.
        """
        if isinstance(source, Collection) or (isinstance(source, str | Path) and (Path(source) / "collection.json").is_file()):
            if pack:
                raise BiocosmosError("the images of a collection are packed, or not, as they are there: leave out pack")
            taken = self.merge(source, id_prefix=id_prefix)
            return AddSummary(added=taken.added, known=taken.known, failures=taken.failures)
        if not isinstance(source, Source):
            from biocosmos.specimens.readers import read

            source = read(source)
        with self.writing("ingest"):
            ranks = merge_orders(self.ranks, tuple(source.ranks))

            def take_ranks() -> None:
                self._set_ranks(ranks)

            ingest = Ingest(self._lance, source, pack=pack, id_prefix=id_prefix, before_first=take_ranks)
            origin = None if source.origin is None else f"{id_prefix}{source.origin.resolve()}"
            whole = False
            try:
                ingest.run()
                if ingest.moved.paths:
                    note = f"{len(ingest.moved.paths):,} image files were found elsewhere by their content"
                    self.change(ingest.moved.table(), verb="moved", note=note, arguments={"source": str(source.origin)})
                whole = True
            finally:
                failures_kept.record_reading(self.path, ingest.summary.failures, origin, whole=whole)
        return ingest.summary

    def _set_ranks(self, ranks: tuple[str, ...]) -> None:
        missing = [rank for rank in ranks if rank not in self.dataset.schema.names]
        if missing:
            self.dataset.add_columns(pa.schema([pa.field(rank, pa.string()) for rank in missing]))
        if ranks != self.ranks:
            self.save_facts(ranks=list(ranks))

    def reload(self) -> None:
        """Take over what another process wrote since this was opened."""
        self._facts = _read_facts(self.path)

    def save_facts(self, **changed: Any) -> None:
        """Change what ``collection.json`` says."""
        path = self.path / "collection.json"
        with locked(self.path, "set"), replacing(path) as temporary:
            self._facts = _read_facts(self.path) | changed  # what another process wrote since stays
            temporary.write_text(json.dumps(self._facts, indent=1) + "\n")

    def identical_images(self) -> list[list[str]]:
        """Groups of ids whose image files are equal byte for byte (and cropped alike), first stored first."""
        return [[id_ for _, id_ in group] for group in identical_groups(self.dataset)]

    def writing(self, verb: str, *, wait: float | None = None) -> AbstractContextManager[None]:
        """Hold the collection's lock, to change it: others wait, and are told that ``verb`` is going on. Readers never wait.

        What an interrupted change left is finished first; within another ``writing`` of the same thread it does nothing.
        """
        from biocosmos.specimens.care.writing import writing

        return writing(self, verb, wait=wait)

    # ------------------------------------------------------------------ correct (see biocosmos.specimens.care)

    def change(self, table: Any, *, verb: str, **how: Any) -> ChangeSummary:
        """Set cells of specimens by id, as one change of the history that can be undone; arguments as for
        :func:`biocosmos.specimens.care.change.change`."""
        from biocosmos.specimens.care.change import change

        return change(self, table, verb=verb, **how)

    def update(self, table: Any | None = None, **how: Any) -> ChangeSummary:
        """Correct labels and fields from a table, by id, and give ranks to what is there; arguments as for
        :func:`biocosmos.specimens.care.update.update`."""
        from biocosmos.specimens.care.update import update

        return update(self, table, **how)

    def relabel(self, old: str | None = None, new: str | None = None, **how: Any) -> ChangeSummary:
        """Rename, merge or split taxa; arguments as for :func:`biocosmos.specimens.care.relabel.relabel`."""
        from biocosmos.specimens.care.relabel import relabel

        return relabel(self, old, new, **how)

    def remove(self, ids: Sequence[str] | None = None, **how: Any) -> ChangeSummary:
        """Take specimens out, by id or by a selection; arguments as for :func:`biocosmos.specimens.care.remove.remove`."""
        from biocosmos.specimens.care.remove import remove

        return remove(self, ids, **how)

    def merge(self, other: str | Path | Collection, **how: Any) -> MergeSummary:
        """Add the specimens of another collection, with their packed images and vectors of the same encoders; arguments as for
        :func:`biocosmos.specimens.care.merge.take_in`."""
        from biocosmos.specimens.care.merge import take_in

        return take_in(self, other if isinstance(other, Collection) else Collection.open(other), **how)

    @classmethod
    def merged(
        cls, collections: Sequence[str | Path | Collection], output: str | Path, **how: Any
    ) -> tuple[Collection, MergeSummary]:
        """Make one new collection of several; arguments as for :func:`biocosmos.specimens.care.merge.merge`."""
        from biocosmos.specimens.care.merge import merge

        return merge(collections, output, **how)

    def history(self) -> list[Entry]:
        """Every change that was made, oldest first: who, when, what."""
        from biocosmos.specimens.care.undo import history

        return history(self)

    def undo(self, number: int | None = None, *, by: str | None = None) -> ChangeSummary:
        """Write back a change, by default the last one that is not undone; this is a change too.

        Raises BiocosmosError where there is none, and, with the ids, where a later change touched what it did.
        """
        from biocosmos.specimens.care.undo import undo

        return undo(self, number, by=by)

    # ------------------------------------------------------------------ select

    def scan(
        self,
        columns: Sequence[str] | None = None,
        *,
        split: str | None = None,
        within: str | None = None,
        where: str | None = None,
        batch_size: int = 1024,
        with_row: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the selected specimens in the order they were stored.

        Args:
            columns: which columns; default all but images and embeddings.
            split: a part of the default split ("train"), or of a named one ("openworld:novel").
            within: a taxon at any rank: "Copepoda", or "class:Copepoda", or a path "Animalia/Arthropoda" for homonyms.
            where: an SQL condition on columns: "latitude > 40 AND \\"group\\" = 'copepod'".
            with_row: add the column ``_rowid``.

        Raises:
            BiocosmosError: unknown part, taxon or column, ambiguous taxon, malformed condition.
        """
        if where is not None:
            check_condition(where)
        dataset = self.dataset
        names = self.chosen_columns(columns)
        self._check_columns(names)
        wanted = None if split is None else self._part(split)
        read = names if wanted is None or "id" in names else [*names, "id"]
        taxon = None if within is None else within_condition(self.taxonomy, within)
        conditions = [f"({condition})" for condition in (taxon, where) if condition]
        try:
            batches = dataset.to_batches(
                columns=read, filter=" AND ".join(conditions) or None, batch_size=batch_size, with_row_id=with_row
            )
            for batch in batches:
                if wanted is not None:
                    batch = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
                    if read is not names:
                        batch = batch.drop_columns(["id"])
                if batch.num_rows:
                    yield batch
        except (OSError, ValueError) as error:
            raise select_error(self.path, where, error) from error

    def table(self, columns: Sequence[str] | None = None, **selection: Any) -> pa.Table:
        """The selected specimens as one Arrow table; arguments as for :meth:`scan`."""
        schema = pa.schema([self.dataset.schema.field(name) for name in self.chosen_columns(columns)])
        batches = list(self.scan(columns, **selection))
        return pa.Table.from_batches(batches) if batches else schema.empty_table()

    def to_pandas(self, columns: Sequence[str] | None = None, **selection: Any) -> pandas.DataFrame:
        """The selected specimens as a pandas data frame; arguments as for :meth:`scan`. :meth:`add` takes such a frame back."""
        return self.table(columns, **selection).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None, **selection: Any) -> polars.DataFrame:
        """The selected specimens as a polars data frame, as :meth:`to_pandas`."""
        import polars

        return polars.DataFrame(self.table(columns, **selection))

    def images(self, rank: str | None = None, **how: Any) -> ImageDataset:
        """The images and their classes at a rank as a torch Dataset; arguments as for :class:`ImageDataset`.

        >>> DataLoader(collection.images("genus", split="train", transform=transform), batch_size=64, shuffle=True)
        """
        from biocosmos.specimens.image_dataset import ImageDataset

        return ImageDataset(self, rank, **how)

    def count(self, **selection: Any) -> int:
        """How many specimens a selection has; arguments as for :meth:`scan`."""
        return sum(batch.num_rows for batch in self.scan(["id"], **selection))

    def take(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The specimens with these ids, in the order of ``ids``; ids that are not there are left out."""
        names = ["id", *[name for name in self.chosen_columns(columns) if name != "id"]]
        self._check_columns(names)
        parts = []
        for start in range(0, len(ids), 4096):
            listed = ", ".join(quoted(str(id_)) for id_ in ids[start : start + 4096])
            with reading(self.path):
                parts.append(self.dataset.to_table(columns=names, filter=f"id IN ({listed})"))
        if not parts:
            return self.dataset.to_table(columns=names, limit=0)
        table = pa.concat_tables(parts)
        row_of = {id_: row for row, id_ in enumerate(table["id"].to_pylist())}
        return table.take(pa.array([row_of[id_] for id_ in ids if id_ in row_of], pa.int64()))

    @staticmethod
    def image_source(batch: pa.RecordBatch, row: int) -> bytes | str | None:
        """The image of one row of a batch with the columns ``image`` and ``image_path``: packed bytes, or a path, or None."""
        image = batch.column("image")[row]
        if image.is_valid:
            return bytes(image.as_py())
        path = batch.column("image_path")[row].as_py()
        return None if path is None else str(path)

    def image_bytes(self, id_: str) -> bytes | None:
        """The image file of one specimen as bytes, or None if it has none or its file is gone."""
        table = self.take([id_], columns=["image", "image_path"])
        source = self.image_source(table.to_batches()[0], 0) if table.num_rows else None
        if isinstance(source, str):
            try:
                return Path(source).read_bytes()
            except OSError:
                return None
        return source

    def chosen_columns(self, columns: Sequence[str] | None) -> list[str]:
        """The columns asked for, all but images and embeddings for None. Raises BiocosmosError for one that is not there."""
        if columns is None:
            return [name for name in self.stored_columns if name != "image"]
        have = self.dataset.schema.names
        if missing := [name for name in columns if name not in have]:
            shown = ", ".join(self.stored_columns)
            raise BiocosmosError(f"the collection has no column '{missing[0]}': it has {shown}")
        return list(columns)

    def _part(self, split: str) -> pa.Array:
        name, _, part = split.rpartition(":")
        return self.split(name or "default").part(part)

    # ------------------------------------------------------------------ splits

    def make_split(
        self,
        method: str = "stratified",
        *,
        name: str = "default",
        seed: int = 0,
        fractions: Mapping[str, float] | None = None,
        rank: str | None = None,
        column: str | None = None,
        held_out: float | Sequence[str] = 0.1,
        where: str | None = None,
    ) -> Split:
        """Make a split (see :func:`biocosmos.specimens.splits.make_split`) and save it with the collection.

        ``rank``: stratify or hold out at this rank; default the lowest name of each specimen.
        """
        with self.writing("split"):
            return self._make_split(method, name, seed, fractions, rank, column, held_out, where)

    def _make_split(
        self,
        method: str,
        name: str,
        seed: int,
        fractions: Mapping[str, float] | None,
        rank: str | None,
        column: str | None,
        held_out: float | Sequence[str],
        where: str | None,
    ) -> Split:
        columns = ["id", *self.ranks]
        if column is not None and column not in columns:
            columns.append(column)
        table = self.table(columns, where=where)
        taxa: list[str | None] | None = None
        if self.ranks:
            nodes = self.taxonomy.index(table)
            if rank is not None:
                nodes = self.taxonomy.ancestor(nodes, rank)
            # paths, not names: homonyms under different parents are different taxa
            distinct, inverse = np.unique(nodes, return_inverse=True)
            paths = [None if node <= 0 else "/".join(name for name in self.taxonomy.path(int(node)) if name) for node in distinct]
            taxa = [paths[i] for i in inverse]
        if not isinstance(held_out, (int, float)):
            held = [self.taxonomy.path(self.taxonomy.find(taxon)) for taxon in held_out]
            held_out = ["/".join(name for name in path if name) for path in held]
        split = make_split(table, method, name=name, seed=seed, fractions=fractions, taxa=taxa, column=column, held_out=held_out)
        self.save_split(split)
        return split

    def save_split(self, split: Split) -> None:
        """Keep a split under its name; one that is there is replaced."""
        check_name(split.name)
        with locked(self.path, "split"):
            split.save(self.path / "splits" / f"{split.name}.parquet")

    @property
    def split_names(self) -> list[str]:
        """Names of the saved splits."""
        return sorted(path.stem for path in (self.path / "splits").glob("*.parquet"))

    def split(self, name: str = "default") -> Split:
        """A saved split. Raises BiocosmosError if there is none of that name."""
        path = self.path / "splits" / f"{name}.parquet"
        if not is_name(name) or not path.exists():
            have = ", ".join(self.split_names) or "none"
            raise BiocosmosError(f"no split {name!r} in {self.path} (saved: {have}): make it with 'biocosmos split {self.path}'")
        return Split.load(path)

    # ------------------------------------------------------------------ embeddings

    @staticmethod
    def embedding_column(encoder: str) -> str:
        """The name of the column with an encoder's vectors."""
        return embedding_column(encoder)

    @property
    def encoders(self) -> dict[str, dict[str, Any]]:
        """Encoder name to what made its column: digest, dimension, preprocessing, precision, backend, time."""
        return self._embeddings.facts()

    def add_vectors(self, encoder: str, metadata: Mapping[str, Any], batches: Iterator[pa.FixedSizeListArray]) -> None:
        """Store one vector (or null) per specimen, in the order stored, as the column of ``encoder``; all or nothing.

        An embedding that is there is replaced. Raises BiocosmosError if the vectors do not count as many as the specimens.
        """
        with self.writing(f"embed {encoder}"):
            self._embeddings.add(encoder, metadata, batches)

    def add_embedding(self, name: str, ids: Ids, vectors: Any, *, overwrite: bool = False) -> GivenSummary:
        """Store vectors that were made elsewhere, each with the specimen of its id; no model is needed.

        They are made unit length. An id that no specimen has, one given twice, and a vector that is zero or not finite become
        rows of the failures table; specimens without a vector are left out of galleries.

        Args:
            name: what the embedding is called from now on, as an encoder is.
            ids: n, of the specimens.
            vectors: (n, dim) of any number type.
            overwrite: replace an embedding of this name.

        Raises:
            BiocosmosError: the name is taken, ids and vectors differ in number, or nothing can be stored.
        """
        with self.writing(f"add {name}"):
            return given_vectors.add(self, name, ids, vectors, overwrite=overwrite)

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

    def vectors(self, encoder: str | None = None, **selection: Any) -> Vectors:
        """Ids (n,) and unit vectors (n, dim) float32 of the selected specimens that have one, in the order they were stored.

        ``encoder`` may be left out when there is only one embedding; the rest as for :meth:`scan`.
        """
        from biocosmos.specimens.galleries import vectors_of

        return vectors_of(self, self.encoder_name(encoder), **selection)

    @property
    def default_encoder(self) -> str | None:
        """The embedding that is used where none is named: the one that was chosen, or the only one; None if there is no such."""
        have = list(self.encoders)
        chosen = self._facts.get("default_encoder")
        return chosen if chosen in have else have[0] if len(have) == 1 else None

    def set_default_encoder(self, encoder: str) -> None:
        """Choose the embedding that is used where none is named. Raises BiocosmosError if the collection does not have it."""
        self.save_facts(default_encoder=self.encoder_name(encoder))

    def encoder_name(self, encoder: str | None = None) -> str:
        """The name of the embedding asked for, or the default one. Raises BiocosmosError if there is none or no choice."""
        have = list(self.encoders)
        if encoder is None and self.default_encoder is not None:
            return self.default_encoder
        if encoder in have:
            return str(encoder)
        if encoder is not None and encoder_name(encoder) in have:
            return encoder_name(encoder)
        shown = ", ".join(have) or "none"
        which = "which encoder?" if encoder is None else f"no embedding '{encoder}'"
        embed = f"make one with 'biocosmos embed {self.path}{'' if encoder is None else f' --encoder {encoder}'}'"
        choose = f"name one with --encoder, or choose it for good with 'biocosmos encoders {self.path} --default NAME'"
        raise BiocosmosError(f"{which}: {self.path} has {shown}" + (f"; {choose}" if have and encoder is None else f"; {embed}"))

    def gallery(
        self,
        encoder: str | None = None,
        *,
        split: str | None = None,
        within: str | None = None,
        where: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Gallery:
        """The vectors of the selected specimens that have one, in depth-first taxonomy order, ready to be searched.

        ``encoder`` may be left out when there is only one embedding; ``columns`` limits what is carried beside the vectors (id
        and ranks always are), which by default is every column but the images; the rest as for :meth:`scan`.
        """
        from biocosmos.specimens.galleries import build_gallery

        return build_gallery(self, self.encoder_name(encoder), split=split, within=within, where=where, columns=columns)

    # ------------------------------------------------------------------ failures and identifications

    @property
    def failures(self) -> pa.Table:
        """Every error and warning recorded, oldest first."""
        return failures_kept.read_failures(self.path)

    def record_failures(self, failures: Failures) -> None:
        """Append to the failures table."""
        if len(failures):
            with locked(self.path, "failures"):
                failures_kept.record(self.path, failures)

    def add_identifications(self, tables: pa.Table | Iterable[pa.Table], schema: pa.Schema | None = None) -> Path:
        """Keep a table of identifications, or a stream of its pieces with its schema; nothing kept before is changed."""
        folder = self.path / "identifications"
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        path = folder / f"{stamp}.parquet"
        return write_table(tables, path) if schema is None else write_tables(tables, schema, path)


def _read_facts(path: Path) -> dict[str, Any]:
    """What ``collection.json`` says. Raises BiocosmosError if it is damaged, or a newer biocosmos wrote it."""
    file = path / FACTS
    remedy = f"this collection is damaged: restore {file} from a copy"
    facts = read_facts(file, _FACTS, what="the description of a collection", remedy=remedy)
    if facts["format"] > FORMAT:
        raise BiocosmosError(f"{path} was written by a newer biocosmos (format {facts['format']}): update biocosmos")
    return facts
