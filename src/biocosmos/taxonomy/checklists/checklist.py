"""A checklist ready to be looked up: its tree, and its names folded and sorted, on disk and mapped into memory."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_there
from biocosmos.machine import user_cache
from biocosmos.taxonomy.checklists.files import tables_in
from biocosmos.taxonomy.checklists.folding import folded
from biocosmos.taxonomy.checklists.formats import MISAPPLIED, UNPLACED, read_usages
from biocosmos.taxonomy.checklists.hashing import UInt64, hashes
from biocosmos.taxonomy.checklists.joined import Joined, join
from biocosmos.taxonomy.scientific_names import parse

VERSION = 1  # of the compiled form; another one is compiled anew
USAGES, KEYS, FACTS, FAULTS = "usages.arrow", "keys.arrow", "facts.json", "faults.json"
CACHE = "checklists"
CACHED_ROWS = 20_000  # a smaller checklist is compiled faster than it is looked for

Int32 = npt.NDArray[np.int32]


class Checklist:
    """Names, their accepted taxa and the tree above them; open one with :meth:`open`.

    Attributes:
        ids, names, authorships, ranks, statuses: (rows,) text of every usage.
        parent, accepted: (rows,) int32 rows, -1 for none; ``accepted`` is the row itself for an accepted taxon.
        rank_columns: ranks that taxa of the list have, coarse to fine.
        keys: (distinct folded names,) sorted; start: (keys + 1,) int32 into ``rows``, the usages of each key.
        source, format, digest: the file, what it was read as, and the sha256 of its tables.
    """

    def __init__(self, usages: pa.Table, keys: pa.Table, facts: Mapping[str, Any]) -> None:
        usages, keys = usages.combine_chunks(), keys.combine_chunks()
        self.ids, self.names, self.authorships, self.ranks, self.statuses = (
            _array(usages[name]) for name in ("id", "name", "authorship", "rank", "status")
        )
        self.parent: Int32 = _array(usages["parent"]).to_numpy()
        self.accepted: Int32 = _array(usages["accepted"]).to_numpy()
        self.rows: Int32 = _array(usages["by_key"]).to_numpy()
        self.keys: pa.Array = _array(keys["key"])
        self._hashes: UInt64 = _array(keys["hash"]).to_numpy()
        self._by_hash: Int32 = _array(keys["by_hash"]).to_numpy()
        self.start: Int32 = np.append(_array(keys["start"]).to_numpy(), np.int32(len(self.rows)))
        self.rank_columns: tuple[str, ...] = tuple(facts["ranks"])
        self.source, self.format, self.digest = str(facts["source"]), str(facts["format"]), str(facts["digest"])

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        failures: Failures | None = None,
        cache: Path | None = None,
    ) -> Checklist:
        """Read a checklist: ColDP, the GBIF backbone, a WoRMS export or a table of parents; a file, a zip or a folder.

        columns: their column -> ours, for a table with names of its own. cache: the folder for compiled checklists, by default
        ``checklists`` among the user's caches; a list is compiled once and then mapped. Faults of a published list go to
        ``failures``. Raises BiocosmosError for what is no checklist, or a table whose tree is broken.
        """
        path, failures = Path(path), Failures() if failures is None else failures
        digest = _digest(path, columns)
        folder = (user_cache() / CACHE if cache is None else cache) / digest[:32]
        if is_there(folder / FACTS) and (opened := cls._mapped(folder, str(path), failures)) is not None:
            return opened
        faults = Failures()
        joined = join(read_usages(path, faults, columns), faults)
        failures.extend(faults)
        facts = {"version": VERSION, "ranks": joined.ranks, "source": str(path), "format": joined.format, "digest": digest}
        made = cls(*compiled(joined), facts)
        if len(made.names) >= CACHED_ROWS:
            made._keep(folder, facts, faults)
        return made

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<Checklist {self.source}: {len(self):,} names, {self.format}>"

    @cached_property
    def genera(self) -> tuple[pa.Array, Int32]:
        """(first words of the keys, sorted; (genera + 1,) int32 keys at which each begins)."""
        first = pc.replace_substring_regex(self.keys, r"\s.*", "")
        runs = pc.run_end_encode(first, run_end_type=pa.int32())
        ends = runs.run_ends.to_numpy()
        return runs.values, np.concatenate([[0], ends]).astype(np.int32)

    @cached_property
    def unusual(self) -> npt.NDArray[np.bool_]:
        """(rows,) whether a usage is misapplied or has no place in the tree."""
        found = pc.is_in(self.statuses, value_set=pa.array([MISAPPLIED, UNPLACED]))
        return np.asarray(found.to_numpy(zero_copy_only=False))

    def find(self, names: pa.Array) -> Int32:
        """(n,) int32 places among ``keys`` of names folded; -1 for null and for what is not there."""
        place = np.full(len(names), -1, np.int32)
        rows = np.flatnonzero(names.is_valid().to_numpy(zero_copy_only=False))
        texts = names.take(pa.array(rows)).to_pylist()
        asked = hashes(texts)
        low, high = np.searchsorted(self._hashes, asked, "left"), np.searchsorted(self._hashes, asked, "right")
        for row, text, first, last in zip(rows.tolist(), texts, low.tolist(), high.tolist()):
            for at in self._by_hash[first:last].tolist():
                if self.keys[at].as_py() == text:
                    place[row] = at
        return place

    def rows_of_key(self, key: int) -> Int32:
        """The usages of a key, by its place among ``keys``."""
        return self.rows[self.start[key] : self.start[key + 1]]

    def lineages(self, rows: Int32) -> dict[str, list[str | None]]:
        """The name of each row's taxon at every rank of ``rank_columns``, its own included."""
        names: dict[str, list[str | None]] = {rank: [None] * len(rows) for rank in self.rank_columns}
        above = np.asarray(rows, np.int32).copy()
        while (here := np.flatnonzero(above >= 0)).size:
            taken = pa.array(above[here])
            for i, rank, name in zip(here.tolist(), self.ranks.take(taken).to_pylist(), self.names.take(taken).to_pylist()):
                if rank in names and names[rank][i] is None:
                    names[rank][i] = name
            above[here] = self.parent[above[here]]
        return names

    def rank_place(self, row: int) -> int:
        """The place of a row's rank among ``rank_columns``, 0 the coarsest; their number for another rank."""
        rank = self.ranks[row].as_py()
        return self.rank_columns.index(rank) if rank in self.rank_columns else len(self.rank_columns)

    def is_within(self, row: int, other: int) -> bool:
        """Whether taxon ``row`` is ``other`` or below it."""
        while row >= 0 and row != other:
            row = int(self.parent[row])
        return row >= 0

    # ---- on disk -----------------------------------------------------------------------------------------------------

    @classmethod
    def _mapped(cls, folder: Path, source: str, failures: Failures) -> Checklist | None:
        """The compiled checklist, or None when it cannot be read (another version, or cut off by a crash)."""
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            if facts["version"] != VERSION:
                return None
            tables = [pa.ipc.open_file(pa.memory_map(str(folder / name))).read_all() for name in (USAGES, KEYS)]
            opened = cls(tables[0], tables[1], {**facts, "source": source})
            for fault in json.loads((folder / FAULTS).read_text(encoding="utf-8")):
                failures.add(**fault)
        except (OSError, pa.ArrowInvalid, ValueError, KeyError, TypeError):
            return None
        return opened

    def _keep(self, folder: Path, facts: Mapping[str, Any], faults: Failures) -> None:
        """Keep the compiled form for the next time, whole or not at all; a full or read-only disk only costs the next time."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(mkdtemp(prefix=".making-", dir=folder.parent))
        except OSError:
            return
        try:
            for name, table in ((USAGES, self._usages()), (KEYS, self._keys())):
                with pa.OSFile(str(temporary / name), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
                    writer.write_table(table)
            listed = [{"reason": f.reason, "stage": f.stage, "source": f.source, "row": f.row, "id": f.id,
                       "severity": f.severity} for f in faults]  # fmt: skip
            (temporary / FAULTS).write_text(json.dumps(listed), encoding="utf-8")
            (temporary / FACTS).write_text(json.dumps(dict(facts)), encoding="utf-8")
            if is_there(folder):
                shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
        except OSError:
            pass
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _keys(self) -> pa.Table:
        return pa.table({"key": self.keys, "start": self.start[:-1], "hash": self._hashes, "by_hash": self._by_hash})

    def _usages(self) -> pa.Table:
        text = ("id", self.ids), ("name", self.names), ("authorship", self.authorships), ("rank", self.ranks)
        numbers = ("parent", self.parent), ("accepted", self.accepted), ("by_key", self.rows)
        return pa.table({**dict(text), "status": self.statuses, **{name: pa.array(values) for name, values in numbers}})


def compiled(joined: Joined) -> tuple[pa.Table, pa.Table]:
    """(usages, keys) as :class:`Checklist` takes them."""
    names, authorships = split_authors(joined.table["name"].combine_chunks(), joined.table["authorship"].combine_chunks())
    key = folded(names)
    order = pc.sort_indices(key).to_numpy().astype(np.int32)
    order = order[: len(order) - key.null_count]
    runs = pc.run_end_encode(key.take(pa.array(order)), run_end_type=pa.int32())
    start = np.concatenate([[0], runs.run_ends.to_numpy()[:-1]]).astype(np.int32) if len(order) else np.array([], np.int32)
    by_key = np.concatenate([order, np.zeros(len(key) - len(order), np.int32)])  # a usage without a name has no key
    usages = pa.table(
        {
            "id": joined.table["id"],
            "name": names,
            "authorship": authorships,
            "rank": joined.table["rank"],
            "status": joined.table["status"],
            "parent": joined.parent,
            "accepted": joined.accepted,
            "by_key": by_key,
        }
    )
    hashed = hashes(runs.values.to_pylist())
    by_hash = np.argsort(hashed, kind="stable").astype(np.int32)
    return usages, pa.table({"key": runs.values, "start": start, "hash": hashed[by_hash], "by_hash": by_hash})


AUTHOR = r"[\s][(\p{Lu}]|\d{4}|\s(de|van|von|d')\s"


def split_authors(names: pa.Array, authorships: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Names without their authors, and the authors: those that stand behind a name without a column for them are cut off."""
    inside = pc.and_(pc.is_null(authorships), pc.fill_null(pc.match_substring_regex(names, AUTHOR), False))
    behind = pc.fill_null(_ends_with(names, authorships), False)
    if pc.any(behind).as_py():
        letters = pc.subtract(pc.utf8_length(names), pc.utf8_length(authorships))
        rows = pc.indices_nonzero(behind)
        cut = [name[:n].rstrip(" ,") for name, n in zip(names.take(rows).to_pylist(), letters.take(rows).to_pylist())]
        names = pc.replace_with_mask(names, behind, pa.array(cut, pa.string()))
    if pc.any(inside).as_py():
        rows = pc.indices_nonzero(inside)
        found = [parse(name) for name in names.take(rows).to_pylist()]
        clear = [name.canonical is not None and name.authorship is not None for name in found]
        mask = inside.to_numpy(zero_copy_only=False).copy()
        mask[mask] = clear
        kept = [name for name, good in zip(found, clear) if good]
        names = pc.replace_with_mask(names, pa.array(mask), pa.array([name.canonical for name in kept], pa.string()))
        authorships = pc.replace_with_mask(authorships, pa.array(mask), pa.array([n.authorship for n in kept], pa.string()))
    return names, authorships


def _ends_with(names: pa.Array, authorships: pa.Array) -> pa.Array:
    length = pc.subtract(pc.utf8_length(names), pc.utf8_length(authorships))
    short = pc.greater(length, 0)
    joined = pc.fill_null(short, False)
    rows = pc.indices_nonzero(joined)
    ends = [name.endswith(" " + author) for name, author in zip(names.take(rows).to_pylist(), authorships.take(rows).to_pylist())]
    mask = np.zeros(len(names), bool)
    mask[rows.to_numpy()] = ends
    return pa.array(mask)


def _digest(path: Path, columns: Mapping[str, str] | None) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, sorted((columns or {}).items())]).encode())
    for file in {table.path: None for table in tables_in(path)}:
        digest.update(file.name.encode())
        try:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 22):
                    digest.update(chunk)
        except OSError as error:
            raise BiocosmosError(f"cannot read {file}: {error.strerror or error}") from error
    return digest.hexdigest()


def _array(values: pa.ChunkedArray) -> pa.Array:
    """One array of a column of a combined table."""
    if values.num_chunks == 1:
        return values.chunk(0)
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
