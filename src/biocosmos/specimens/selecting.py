"""Specimens selected: by a part of a split, a taxon, a condition, or by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.barcodes.stripes import stripes
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_there
from biocosmos.places.filters import Condition, spelt_out
from biocosmos.search.conditions import all_of, quoted, within_condition
from biocosmos.specimens.conditions import check_condition, select_error
from biocosmos.specimens.damage import reading
from biocosmos.specimens.lock import locked
from biocosmos.specimens.opened import Opened
from biocosmos.specimens.placed import place_columns
from biocosmos.specimens.splits import Split, check_name, is_name

if TYPE_CHECKING:
    import pandas
    import polars


class Selecting(Opened):
    """A collection whose specimens are asked for."""

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
            where: an SQL condition on columns: "latitude > 40 AND \\"group\\" = 'copepod'"; it may hold the functions of
                :mod:`biocosmos.places.filters`: "near(52.05, 5.05, 10)".
            with_row: add the column ``_rowid``.

        Raises:
            BiocosmosError: unknown part, taxon or column, ambiguous taxon, malformed condition.
        """
        plain = None if where is None else self.condition(where)[0]
        dataset = self.dataset
        names = self.chosen_columns(columns)
        self._check_columns(names)
        wanted = None if split is None else self._part(split)
        read = names if wanted is None or "id" in names else [*names, "id"]
        taxon = None if within is None else within_condition(self.taxonomy, within)
        try:
            batches = dataset.to_batches(columns=read, filter=all_of(taxon, plain), batch_size=batch_size, with_row_id=with_row)
            for batch in batches:
                if wanted is not None:
                    batch = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
                    if read is not names:
                        batch = batch.drop_columns(["id"])
                if batch.num_rows:
                    yield batch
        except (OSError, ValueError) as error:
            raise select_error(self.path, where, error) from error

    def condition(self, where: str) -> tuple[str, tuple[Condition, ...]]:
        """(a condition as plain SQL on this collection's columns, what its functions of places and seasons ask for).

        Raises BiocosmosError for one that cannot be taken apart, and for a function without its column.
        """
        check_condition(where)
        columns = place_columns(self.stored_columns)

        def countries() -> list[str]:
            return [each for each in pc.unique(self.table([columns["country"]])[columns["country"]]).to_pylist() if each]

        return spelt_out(where, columns, countries)

    def not_known(self, where: str) -> list[tuple[str, int, int]]:
        """(what, how many specimens do not say it, of how many) for each of the things that the functions of a condition ask for
        and that some do not say."""
        _, asked = self.condition(where)
        total, found = self.dataset.count_rows(), []
        for known, what in dict.fromkeys((each.known, each.what) for each in asked):
            with reading(self.path):
                missing = total - self.dataset.count_rows(filter=known)
            if missing:
                found.append((what, missing, total))
        return found

    def table(self, columns: Sequence[str] | None = None, **selection: Any) -> pa.Table:
        """The selected specimens as one Arrow table; arguments as for :meth:`scan`."""
        stored = self.dataset.schema
        schema = pa.schema([stored.field(name) for name in self.chosen_columns(columns)])
        batches = list(self.scan(columns, **selection))
        return pa.Table.from_batches(batches) if batches else schema.empty_table()

    def to_pandas(self, columns: Sequence[str] | None = None, **selection: Any) -> pandas.DataFrame:
        """The selected specimens as a pandas data frame; arguments as for :meth:`scan`. :meth:`add` takes such a frame back."""
        return self.table(columns, **selection).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None, **selection: Any) -> polars.DataFrame:
        """The selected specimens as a polars data frame, as :meth:`to_pandas`."""
        import polars

        return polars.DataFrame(self.table(columns, **selection))

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

    def picture_bytes(self, id_: str) -> bytes | None:
        """What stands for one specimen on a page: its image, else its barcode as stripes, a PNG; None if it has neither."""
        image = self.image_bytes(id_)
        barcode = None if image is not None else next(iter(self.take([id_], columns=["barcode"])["barcode"].to_pylist()), None)
        return stripes(barcode) if barcode else image

    def _part(self, split: str) -> pa.Array:
        name, _, part = split.rpartition(":")
        return self.split(name or "default").part(part)

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
        if not is_name(name) or not is_there(path):
            have = ", ".join(self.split_names) or "none"
            raise BiocosmosError(f"no split {name!r} in {self.path} (saved: {have}): make it with 'biocosmos split {self.path}'")
        return Split.load(path)

    def split_of(self, part: str) -> Split:
        """The split that a part is of: "openworld" for "openworld:novel", "default" for "train". Raises as :meth:`split`."""
        return self.split(part.rpartition(":")[0] or "default")
