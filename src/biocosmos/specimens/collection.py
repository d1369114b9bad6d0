"""A collection: a Lance dataset of specimens, with its splits, embeddings and failures beside it.

On disk a collection is a folder::

    plankton.cosmos/
        specimens.lance     one row a specimen, one more column per encoder
        collection.json     ranks and format version
        splits/             saved splits, Parquet
        embeddings/         quantised models, and what made the columns of older versions
        identifications/    append-only tables, Parquet
        discoveries/        clusters, projections, groups of duplicates ..., Parquet; see biocosmos.discover.kept
        models/             heads that were fitted for it; see biocosmos.jobs.models
        reports/            pages of evaluations, each one HTML file
        web/                what the web application keeps: jobs, small pictures, tags
        failures.parquet    everything that was refused or converted, by any command
        lock                held by whoever changes it; see biocosmos.specimens.lock
        checksums.json      of every data file; see biocosmos.specimens.checksums
        history/            every change: who, when, old and new values; see biocosmos.specimens.care
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file
from biocosmos.provenance import encoder_name
from biocosmos.specimens import failures_kept, given_vectors
from biocosmos.specimens.checksums import check_opening
from biocosmos.specimens.creating import Occupied, is_collection, make
from biocosmos.specimens.damage import reading
from biocosmos.specimens.embedded_spaces import AROUND, spaces_among, tower_among
from biocosmos.specimens.given_vectors import GivenSummary, Ids, Vectors
from biocosmos.specimens.identical import identical_groups
from biocosmos.specimens.ingest import AddSummary, Ingest
from biocosmos.specimens.joined_groups import joined_groups
from biocosmos.specimens.lock import LockBusy, ReadOnly, is_held, locked
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.specimens.records import Source
from biocosmos.specimens.selecting import Selecting
from biocosmos.specimens.split_files import read_parts
from biocosmos.specimens.splits import Split, make_split
from biocosmos.tables import write_table, write_tables

if TYPE_CHECKING:
    from biocosmos.search.gallery import Gallery
    from biocosmos.specimens.care.change import ChangeSummary
    from biocosmos.specimens.care.entry import Entry
    from biocosmos.specimens.care.merge import MergeSummary
    from biocosmos.specimens.image_dataset import ImageDataset


GROUPS = "discovered groups"
"""What a split says it was grouped by, where that is no column."""


class Collection(Selecting):
    """Specimens in a folder; open one with :meth:`open`, begin one with :meth:`create`.

    What it says of itself stands in :class:`biocosmos.specimens.opened.Opened`, how specimens are selected in
    :class:`biocosmos.specimens.selecting.Selecting`.
    """

    interrupted: Entry | None = None
    """The last change, if the process that made it was killed meanwhile: whoever asks for it again is told that it is done."""

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
        collection._check_ranks(dataset)
        if collection._finish_interrupted():
            collection._check_ranks(collection.dataset)
        return collection

    def _finish_interrupted(self) -> bool:
        """Finish what a killed process had begun and meant; whether there was any. Never waits: a reader does without."""
        from biocosmos.specimens.care.apply import is_pending

        if not (is_held(self.path) or is_pending(self.path) or self._embeddings.is_unfinished()):
            return False
        try:
            with suppress(LockBusy, ReadOnly), self.writing("finish", wait=0):
                pass
        except BiocosmosError as error:  # who only reads can do so; who changes it is refused
            print(f"warning: {error}", file=sys.stderr)
        return True

    def describe(self) -> dict[str, Any]:
        """Counts of specimens, images, names per rank, and what splits and embeddings there are."""
        from biocosmos.specimens.description import describe

        return describe(self)

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
        if isinstance(source, Collection) or (isinstance(source, str | Path) and is_file(Path(source) / "collection.json")):
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

            attributes = joined_groups(self.attribute_groups, source.attributes, str(self.path))
            ingest = Ingest(self._lance, source, pack=pack, id_prefix=id_prefix, before_first=take_ranks)
            origin = None if source.origin is None else f"{id_prefix}{source.origin.resolve()}"
            whole = False
            try:
                ingest.run()
                if ingest.moved.paths:
                    note = f"{len(ingest.moved.paths):,} image files were found elsewhere by their content"
                    self.change(ingest.moved.table(), verb="moved", note=note, arguments={"source": str(source.origin)})
                whole = True
                if attributes != self.attribute_groups and len(self):
                    self.save_facts(attributes={name: group.as_facts() for name, group in attributes.items()})
            finally:
                failures_kept.record_reading(self.path, ingest.summary.failures, origin, whole=whole)
        return ingest.summary

    def _set_ranks(self, ranks: tuple[str, ...]) -> None:
        missing = [rank for rank in ranks if rank not in self.dataset.schema.names]
        if missing:
            self.dataset.add_columns(pa.schema([pa.field(rank, pa.string()) for rank in missing]))
        if ranks != self.ranks:
            self.save_facts(ranks=list(ranks))

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

    def images(self, rank: str | None = None, **how: Any) -> ImageDataset:
        """The images and their classes at a rank as a torch Dataset; arguments as for :class:`ImageDataset`.

        >>> DataLoader(collection.images("genus", split="train", transform=transform), batch_size=64, shuffle=True)
        """
        from biocosmos.specimens.image_dataset import ImageDataset

        return ImageDataset(self, rank, **how)

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
        groups: pa.Table | None = None,
        files: Path | None = None,
    ) -> Split:
        """Make a split (see :func:`biocosmos.specimens.splits.make_split`) and save it with the collection.

        ``rank``: stratify or hold out at this rank; default the lowest name of each specimen. ``groups``: for "grouped", in place
        of a column, a table of ``id`` and ``group`` (null: alone), as ``discover duplicates`` finds them. ``files``: for "files",
        the folder with one for each part.
        """
        with self.writing("split"):
            listed, told = read_parts(Path(files)) if files is not None else ({}, [])
            more = [column, "barcode" if method == "bioscan" else None]
            columns = list(dict.fromkeys(["id", *self.ranks, *(name for name in more if name is not None)]))
            table = self.table(columns, where=where)
            if groups is not None:
                column = GROUPS
                place = pc.index_in(table["id"], value_set=groups["id"].cast(pa.string()).combine_chunks())
                table = table.append_column(column, groups["group"].take(place))
            taxa: list[str | None] | None = None
            taxonomy = self.taxonomy if self.ranks else None  # once: to ask for it is to open the data set
            if taxonomy is not None:
                nodes = taxonomy.index(table)
                if rank is not None:
                    nodes = taxonomy.ancestor(nodes, rank)
                # paths, not names: homonyms under different parents are different taxa
                distinct, inverse = np.unique(nodes, return_inverse=True)
                paths = [None if node <= 0 else taxonomy.path_text(int(node)) for node in distinct]
                taxa = [paths[i] for i in inverse]
            if not isinstance(held_out, (int, float)):
                taxonomy = self.taxonomy if taxonomy is None else taxonomy
                held_out = [taxonomy.path_text(taxonomy.find(taxon)) for taxon in held_out]
            split = make_split(
                table,
                method,
                name=name,
                seed=seed,
                fractions=fractions,
                taxa=taxa,
                column=column,
                held_out=held_out,
                listed=listed,
            )
            split = replace(split, notes=(*split.notes, *told))
            self.save_split(split)
            return split

    # ------------------------------------------------------------------ embeddings

    def add_vectors(self, encoder: str, metadata: Mapping[str, Any], batches: Iterator[pa.Array]) -> None:
        """Store one vector (or null) per specimen, in the order stored, as the column of ``encoder``; all or nothing.

        An embedding that is there is replaced; the first stays the default when a second comes. Raises BiocosmosError if the
        vectors do not count as many as the specimens.
        """
        with self.writing(f"embed {encoder}"):
            before = self.default_encoder
            self._embeddings.add(encoder, metadata, batches)
            if before is not None and self.default_encoder is None and self.encoders[before].get("modality") not in AROUND:
                self.save_facts(default_encoder=before)

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

    def vectors(self, encoder: str | None = None, **selection: Any) -> Vectors:
        """Ids (n,) and unit vectors (n, dim) float32 of the selected specimens that have one, in the order they were stored.

        ``encoder`` may be left out when there is only one embedding; the rest as for :meth:`scan`.
        """
        from biocosmos.specimens.galleries import vectors_of

        return vectors_of(self, self.encoder_name(encoder), **selection)

    @property
    def default_encoder(self) -> str | None:
        """The embedding that is used where none is named: the one that was chosen, or the only one; None if there is no such.

        Vectors of places, satellite images and sounds count only where there are no others.
        """
        have = self.encoders
        chosen = self._facts.get("default_encoder")
        own = [name for name, facts in have.items() if facts.get("modality") not in AROUND] or list(have)
        return chosen if chosen in have else own[0] if len(own) == 1 else None

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
        if encoder is not None and (towers := self.spaces().get(encoder_name(encoder))):
            return next(iter(towers.values()))
        shown = ", ".join(have) or "none"
        which = "which encoder?" if encoder is None else f"no embedding '{encoder}'"
        embed = f"make one with 'biocosmos embed {self.path}{'' if encoder is None else f' --encoder {encoder}'}'"
        choose = f"name one with --encoder, or choose it for good with 'biocosmos encoders {self.path} --default NAME'"
        raise BiocosmosError(f"{which}: {self.path} has {shown}" + (f"; {choose}" if have and encoder is None else f"; {embed}"))

    def spaces(self) -> dict[str, dict[str, str]]:
        """Space -> modality -> embedding, of the embeddings here that towers of one space made, image before DNA before text.

        Embeddings of two trainings that wrote the same folder are not of one space: only the newest are told.
        """
        return spaces_among(self.encoders)

    def tower(self, encoder: str | None, modality: str) -> str:
        """The embedding of this modality in the space that ``encoder`` is, or is of; None for the only space here.

        Raises BiocosmosError where there is no such space or tower, or no choice, with the command that helps.
        """
        return tower_among(self.encoders, str(self.path), encoder, modality)

    def gallery(
        self,
        encoder: str | None = None,
        *,
        split: str | None = None,
        within: str | None = None,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        also: str | None = None,
    ) -> Gallery:
        """The vectors of the selected specimens that have one, in depth-first taxonomy order, ready to be searched.

        ``encoder`` may be left out when there is only one embedding; ``columns`` limits what is carried beside the vectors (id
        and ranks always are), which by default is every column but the images; ``also``: specimens without a vector are there too
        where they have something in this column, with a vector of zeros; the rest as for :meth:`scan`.
        """
        from biocosmos.specimens.galleries import build_gallery

        return build_gallery(
            self, self.encoder_name(encoder), split=split, within=within, where=where, columns=columns, also=also
        )

    # ------------------------------------------------------------------ failures and identifications

    @property
    def failures(self) -> pa.Table:
        """Every error and warning recorded, oldest first."""
        return failures_kept.read_failures(self.path)

    def record_failures(self, failures: Failures, *, of_change: int | None = None, whole: bool = True) -> None:
        """Append to the failures table; those of a change in place of what it has there. Not ``whole``: only rows that are not
        there yet, as of a run that goes on where another was killed."""
        if len(failures) or of_change is not None:
            with locked(self.path, "failures"):
                if of_change is None and whole:
                    failures_kept.record(self.path, failures)
                else:
                    origin = None if of_change is None else f"change {of_change}"
                    failures_kept.record_reading(self.path, failures, origin, whole=whole)

    def add_identifications(self, tables: pa.Table | Iterable[pa.Table], schema: pa.Schema | None = None) -> Path:
        """Keep a table of identifications, or a stream of its pieces with its schema; nothing kept before is changed."""
        folder = self.path / "identifications"
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        path = folder / f"{stamp}.parquet"
        return write_table(tables, path) if schema is None else write_tables(tables, schema, path)
