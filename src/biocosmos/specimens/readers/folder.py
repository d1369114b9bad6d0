"""A folder of images: the folders are the labels or the ranks, a table beside it may say more."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import alike, image_names, is_junk
from biocosmos.specimens.readers.blocks import Block, Shaper, gather
from biocosmos.specimens.readers.columns import check_header, our_names, shown
from biocosmos.specimens.readers.lookup import Lookup
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.readers.row_images import RowImages
from biocosmos.specimens.readers.textfile import open_table
from biocosmos.specimens.readers.typing_of_text import TypeFinder, typed
from biocosmos.specimens.records import STANDARD, Source

SPLIT_FOLDERS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def read(path: Path, options: Options) -> Source:
    """Every image below ``path``; ``options.ranks`` names the levels of nested folders, coarse to fine.

    Without ranks the label is the folder an image lies in. A first level of train, val and test folders becomes the column
    ``split``. The id is the path below ``path``.
    """
    splits = _has_split_folders(path)
    folders = [e.name for e in os.scandir(path) if not is_junk(e.name) and e.is_dir()]
    nested = bool(folders) and not (splits and not any(_subfolders(path / name) for name in folders))
    kinds: dict[str, pa.DataType] = {"id": pa.string(), "image_path": pa.string()}
    if nested:
        kinds["label"] = pa.string()
    if splits:
        kinds["split"] = pa.string()
    table = None
    if options.metadata is not None:
        table = Metadata(options.metadata, options)
        kinds |= {name: kind for name, kind in table.kinds.items() if name != "image_path"}
    levels = options.ranks or ()
    if set(levels) & set(kinds):  # the table's columns, then, not the folders' levels
        levels = ()
    kinds |= {level: pa.string() for level in levels}
    shaper = Shaper(
        kinds,
        options.failures,
        ranks=options.ranks,
        taxonomy=options.taxonomy,
        label_is_rank=True if table is None and options.ranks is None and nested else None,
        warn_unlabelled="label" in kinds,
    )
    rows = _rows(path.absolute(), options, splits=splits, nested=nested, levels=levels, table=table)

    def blocks() -> Iterator[Block]:
        with RowImages(options, path) as images:
            for block in gather(rows, list(kinds), str(path)):
                yield from images.finish(block) if table is not None else [block]

    return Source(path.name or str(path), "folder", shaper.batches(blocks()), shaper.rank_columns, options.failures)


def _subfolders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in os.scandir(folder) if not is_junk(entry.name))


def _has_split_folders(path: Path) -> bool:
    names = [entry.name for entry in os.scandir(path) if entry.is_dir() and not is_junk(entry.name)]
    return len(names) > 1 and all(name.lower() in SPLIT_FOLDERS for name in names)


def _rows(
    root: Path, options: Options, *, splits: bool, nested: bool, levels: tuple[str, ...], table: Metadata | None
) -> Iterator[tuple[int | None, str | None, dict[str, Any]]]:
    ignored = () if options.metadata is None else (options.metadata,)
    if table is not None:
        table.load(options)
    try:
        for number, name in enumerate(image_names(root, options.failures, ignored=ignored), 1):
            file = root / name
            folders = name.split("/")[:-1]
            values: dict[str, Any] = {"image_path": str(file)}
            if splits and folders:
                values["split"] = folders.pop(0)
            if levels:
                values |= _ranks(folders, levels, file, number, options.failures)
            if nested:
                values["label"] = folders[-1] if folders else None
            if table is not None:
                values = {**values, **table.of(name, number, options.failures)}
            yield number, unicodedata.normalize("NFC", name), values
        if table is not None:
            table.report_unused(options.failures)
    finally:
        if table is not None:
            table.close()


def _ranks(folders: list[str], ranks: tuple[str, ...], file: Path, number: int, failures: Failures) -> dict[str, str]:
    if len(folders) > len(ranks):
        failures.add(
            f"lies {len(folders)} folders deep, but there are {len(ranks)} ranks: the deeper folders are not used",
            stage="read",
            source=file,
            row=number,
            severity="warning",
        )
    return dict(zip(ranks, folders))


class Metadata:
    """A table about the images of a folder, found again by relative path, by file name, or by name without suffix."""

    def __init__(self, path: Path, options: Options) -> None:
        with open_table(path, encoding=options.encoding, separator=options.separator) as table:
            check_header(table.header, str(path))
            self.names = our_names(table.header, options.columns, str(path))
            if "image_path" not in self.names:
                self.names = self._by_id(table.header, path)
            finder = TypeFinder(self.names)
            finder.add_all(fields for _, fields in table.rows())
            self.kinds = {name: STANDARD.get(name, kind) for name, kind in finder.types().items()}
            self._texts = {name for name in self.names if name in STANDARD}
        self.path = path
        self._lookup: Lookup | None = None
        self._spelt: Lookup | None = None

    def _by_id(self, header: list[str], path: Path) -> list[str]:
        if "id" not in self.names:
            raise BiocosmosError(
                f"{path} has no column with the file names: say --column image_path=NAME; its columns: {shown(header)}"
            )
        return ["image_path" if name == "id" else name for name in self.names]

    def load(self, options: Options) -> None:
        """Read the table into the join; rows without a file name become failures."""
        self._lookup, self._spelt = Lookup(), Lookup()
        at = self.names.index("image_path")

        def entries() -> Iterator[tuple[str, int | None, dict[str, str]]]:
            with open_table(
                self.path, encoding=options.encoding, separator=options.separator, failures=options.failures
            ) as table:
                for number, fields in table.rows():
                    key = _key(fields[at])
                    if not key:
                        options.failures.add("the name of the image is blank", stage="read", source=self.path, row=number)
                        continue
                    yield key, number, {n: v for i, (n, v) in enumerate(zip(self.names, fields)) if i != at}

        self._lookup.fill(entries())
        self._spelt.fill((alike(key), None, key) for key in self._lookup.every_key())

    def of(self, name: str, number: int, failures: Failures) -> dict[str, Any]:
        """The table's values for the image ``name`` (relative path); what does not fit exactly once is recorded."""
        assert self._lookup is not None
        key = _key(name)
        base = key.rsplit("/", 1)[-1]
        candidates = dict.fromkeys((key, base, base.rsplit(".", 1)[0]))
        for candidate in (*candidates, *self._spelt_otherwise(candidates)):
            rows = self._lookup.get(candidate)
            if not rows:
                continue
            if self._lookup.use(rows) and candidate != key:
                self._warn(failures, f"shares the metadata of another image called {base!r}", name, number)
            if len(rows) > 1:
                self._warn(failures, f"{len(rows)} rows of {self.path.name}: the first is used", name, number)
            texts = rows[0].value
            return {
                n: (text if text.strip() else None) if n in self._texts else typed([text], self.kinds[n])[0]
                for n, text in texts.items()
                if text.strip() or n not in ("label", "split")
            }
        self._warn(failures, f"no row in {self.path.name}: kept without metadata", name, number)
        return {}

    def _spelt_otherwise(self, names: Iterable[str]) -> Iterator[str]:
        """What the table calls the names that differ in letter case or blanks, if one name alone does."""
        assert self._spelt is not None
        for name in names:
            found = {str(entry.value) for entry in self._spelt.get(alike(name))}
            if len(found) == 1:
                yield found.pop()

    def report_unused(self, failures: Failures) -> None:
        """Record the rows that no image was found for."""
        assert self._lookup is not None
        for key, number in self._lookup.unused():
            failures.add(f"no image called {key!r} in the folder", stage="read", source=self.path, row=number)

    def close(self) -> None:
        """Let the join go."""
        for lookup in (self._lookup, self._spelt):
            if lookup is not None:
                lookup.close()

    def _warn(self, failures: Failures, reason: str, name: str, number: int) -> None:
        failures.add(reason, stage="read", source=name, row=number, severity="warning")


def _key(name: str) -> str:
    """A file name as a join key: forward slashes, no leading "./", composed accents."""
    key = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    while key.startswith("./"):
        key = key[2:]
    return key
