"""Splits: a seeded, hashed, saved assignment of specimen ids to parts, so that every model is compared on the same one.

The assignment depends on the ids, the seed and the method only, never on the order of rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import parse_facts
from biocosmos.tables import replacing

METHODS = ("random", "stratified", "open-world", "grouped", "column", "bioscan", "files")
DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
NOVEL_PART = "novel"
"""The part that holds the taxa held out whole by an open-world split: no other part has a specimen of them."""

LONGEST_NAME = 100
"""Letters of a split's name."""
RESERVED_NAMES = ("all", ".", "..", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)))
"""What stands for the whole collection, and what no file can be called somewhere."""

_KEY = b"biocosmos.split"
_FACTS = {"name": str, "method": str, "seed": int, "parameters": object, "hash": str, "notes": [str]}
_Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Split:
    """Which part each specimen belongs to.

    Attributes:
        name: how the collection calls it.
        method: one of :data:`METHODS`.
        seed: of the pseudo-random generator (numpy PCG64).
        parameters: fractions, column and what else made it.
        ids: specimen ids, sorted.
        parts: part name per id.
        notes: what a reader of results must know (how singletons were treated, rows left out).
    """

    name: str
    method: str
    seed: int
    parameters: dict[str, Any]
    ids: pa.Array
    parts: pa.Array
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over every "id, part" pair: equal hashes mean equal splits."""
        digest = hashlib.sha256()
        for id_, part in zip(self.ids.to_pylist(), self.parts.to_pylist()):
            digest.update(f"{id_}\x1f{part}\n".encode())
        return digest.hexdigest()[:16]

    def part(self, name: str) -> pa.Array:
        """Ids of one part, or of several together: "test+test_unseen". Raises BiocosmosError if there is no such part."""
        counts = self.counts()
        names = [name] if name in counts else [each.strip() for each in name.split("+")]
        for each in names:
            if each not in counts:
                raise BiocosmosError(f"split '{self.name}' has no part '{each}': it has {', '.join(counts)}")
        return self.ids.filter(pc.is_in(self.parts, value_set=pa.array(names, self.parts.type)))

    def has(self, name: str) -> bool:
        """Whether :meth:`part` knows it."""
        counts = self.counts()
        return name in counts or all(each.strip() in counts for each in name.split("+"))

    def counts(self) -> dict[str, int]:
        """Specimens per part, largest part first."""
        counts = {row["values"]: row["counts"] for row in pc.value_counts(self.parts).to_pylist()}
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def identity(self) -> dict[str, Any]:
        """What tells it from another: its name, method, seed and hash."""
        return {"name": self.name, "method": self.method, "seed": self.seed, "hash": self.hash}

    def describe(self) -> dict[str, Any]:
        """What a report prints about it."""
        return {
            "name": self.name,
            "method": self.method,
            "seed": self.seed,
            "parameters": self.parameters,
            "parts": self.counts(),
            "hash": self.hash,
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> None:
        """Write as Parquet: columns id and part, the rest in the file's metadata."""
        facts = json.dumps(self.describe()).encode()
        table = pa.table({"id": self.ids, "part": self.parts}).replace_schema_metadata({_KEY: facts})
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read a saved split. Raises BiocosmosError if it is damaged, or its content does not match its hash."""
        remedy = "make the split again"
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            told = (table.schema.metadata or {}).get(_KEY)
            table = table.select(["id", "part"]).cast(pa.schema([("id", pa.string()), ("part", pa.string())]))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(f"{path} is damaged ({first_line(error)}): {remedy}") from error
        facts = parse_facts(told, _FACTS, where=str(path), what="a saved split", remedy=remedy)
        split = cls(
            facts["name"],
            facts["method"],
            facts["seed"],
            facts["parameters"],
            table["id"].combine_chunks(),
            table["part"].combine_chunks(),
            tuple(facts["notes"]),
        )
        if split.hash != facts["hash"]:
            raise BiocosmosError(f"{path}: the split does not match its own hash, the file was changed: make the split again")
        return split


def is_name(name: str) -> bool:
    """Whether a split can be called so: it becomes the name of a file, on any system."""
    taken = name.lower() in RESERVED_NAMES
    if taken or not name.isprintable() or name != name.strip() or set(name) & set(':/\\*?"<>|'):
        return False
    return 0 < len(name) <= LONGEST_NAME and len(name.encode()) <= 2 * LONGEST_NAME


def check_name(name: str) -> None:
    """Raises BiocosmosError if no split can be called so."""
    if not is_name(name):
        shown = repr(name) if len(name) <= 40 else f"{name[:40]!r}..."
        raise BiocosmosError(
            f"a split cannot be called {shown}: at most {LONGEST_NAME} letters, digits, blanks, '-', '_' and '.', not "
            f"{', '.join(RESERVED_NAMES[:3])}"
        )


def make_split(
    table: pa.Table,
    method: str = "stratified",
    *,
    name: str = "default",
    seed: int = 0,
    fractions: Mapping[str, float] | None = None,
    taxa: Sequence[Any] | None = None,
    column: str | None = None,
    held_out: float | Sequence[Any] = 0.1,
    listed: Mapping[str, str] | None = None,
) -> Split:
    """Assign every row of ``table`` (column ``id``) to a part.

    Args:
        method: "random"; "stratified": every taxon is shared out in the same proportions; "open-world": a share of whole
            taxa goes to the part "novel" and the rest is stratified; "grouped": rows of equal ``column`` stay together;
            "column": parts are the values of ``column``; "bioscan": the rules of BIOSCAN-5M, see
            :mod:`biocosmos.specimens.bioscan_split`; "files": parts are ``listed``.
        fractions: part name to share, adding up to 1; the first part is the one trained on. Default 0.7/0.15/0.15.
        taxa: one hashable per row, for "stratified" and "open-world" (None = unlabelled, shared out as one taxon).
        column: for "grouped" and "column"; for "files" the one that ``listed`` names, default "id".
        held_out: for "open-world": a share of the taxa, or the taxa themselves.
        listed: for "files": value of ``column`` -> part, see :func:`biocosmos.specimens.split_files.read_parts`.

    Raises:
        BiocosmosError: unknown method, missing column, fractions that do not add up, nothing to split.

    A taxon with a single specimen goes to the first part, where it can be found but is never asked for; one with
    fewer specimens than parts fills the first part, then the last. The split's notes say how many there were.
    """
    if method not in METHODS:
        raise BiocosmosError(f"unknown split method '{method}': choose one of {', '.join(METHODS)}")
    check_name(name)
    if seed < 0:
        raise BiocosmosError(f"the seed of a split is a whole number from 0 on, not {seed}")
    if table.num_rows == 0:
        raise BiocosmosError("nothing to split: no specimen was selected")
    shares = dict(fractions or DEFAULT_FRACTIONS)
    if any(share < 0 for share in shares.values()) or not np.isclose(sum(shares.values()), 1.0):
        raise BiocosmosError(f"split fractions {shares} must be positive and add up to 1")
    shares = {part: share for part, share in shares.items() if share > 0}
    order = pc.sort_indices(table["id"])
    table = table.take(order)
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    parameters: dict[str, Any] = {"fractions": shares}
    if method in ("stratified", "open-world"):
        if taxa is None:
            raise BiocosmosError(f"a split '{method}' needs labelled specimens")
        keys = _objects([taxa[i] for i in order.to_pylist()])
        if method == "stratified":
            parts = _stratified(keys, shares, rng, notes)
        else:
            parts, names = _open_world(keys, shares, held_out, rng, notes)
            parameters["held_out"] = names
    elif method == "random":
        parts = _shared_out(table.num_rows, shares, rng)
    elif method == "bioscan":
        parts, parameters, notes = _by_bioscan_rules(table, seed)
    elif method == "files":
        parts = _listed(table, column or "id", listed or {}, notes)
        parameters = {"column": column or "id"}
    else:
        if column is None or column not in table.column_names:
            raise BiocosmosError(f"a split '{method}' needs a column of the collection, not {column!r}")
        parameters["column"] = column
        values = _objects(table[column].to_pylist())
        if method == "grouped":
            parts = _grouped(values, shares, rng, notes)
        else:
            del parameters["fractions"]
            parts = _objects([None if value is None else str(value).strip() or None for value in values])
    kept = np.array([part is not None for part in parts], bool)
    if not kept.all():
        why = "in none of the files" if method == "files" else f"without a value in '{column}'"
        notes.append(f"{int((~kept).sum()):,} specimens {why} belong to no part")
    ids = table["id"].combine_chunks().filter(pa.array(kept))
    return Split(name, method, seed, parameters, ids, pa.array(parts[kept].tolist(), pa.string()), tuple(notes))


def _by_bioscan_rules(table: pa.Table, seed: int) -> tuple[_Objects, dict[str, Any], list[str]]:
    from biocosmos.specimens.bioscan_split import bioscan_parts

    for name in ("species", "barcode"):
        if name not in table.column_names:
            raise BiocosmosError(
                f"a split 'bioscan' needs a column '{name}' of the collection: give it at ingest, --column {name}=..."
            )
    genera = table["genus"] if "genus" in table.column_names else None
    return bioscan_parts(table["barcode"], table["species"], genera, seed=seed)


def _listed(table: pa.Table, column: str, listed: Mapping[str, str], notes: list[str]) -> _Objects:
    if column not in table.column_names:
        raise BiocosmosError(f"a split 'files' needs a column of the collection, not {column!r}")
    values = [None if value is None else str(value).strip() for value in table[column].to_pylist()]
    parts = _objects([None if value is None else listed.get(value) for value in values])
    missing = sorted(set(listed) - set(values))
    if len(missing) == len(listed):
        raise BiocosmosError(
            f"no '{column}' of the collection is in the files, which have {', '.join(missing[:3])}: name another"
        )
    if missing:
        notes.append(f"{len(missing):,} lines of the files are no '{column}' of the collection: {', '.join(missing[:3])} ...")
    return parts


def _objects(values: Sequence[Any]) -> _Objects:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _quotas(count: int, shares: Mapping[str, float], rng: np.random.Generator) -> list[int]:
    """Whole numbers in proportion to the shares, by largest remainder; equal remainders are drawn."""
    exact = np.array(list(shares.values())) * count
    whole = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.lexsort((rng.random(len(whole)), -(exact - whole)))
    whole[by_remainder[: count - whole.sum()]] += 1
    return [int(n) for n in whole]


def _shared_out(count: int, shares: Mapping[str, float], rng: np.random.Generator) -> _Objects:
    parts = np.repeat(_objects(list(shares)), _quotas(count, shares, rng))
    return parts[rng.permutation(count)]


def _rows_by_key(keys: _Objects) -> dict[Any, list[int]]:
    rows: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return rows


def _stratified(keys: _Objects, shares: Mapping[str, float], rng: np.random.Generator, notes: list[str]) -> _Objects:
    parts = np.empty(len(keys), object)
    names = list(shares)
    singletons = small = 0
    for key, rows in _rows_by_key(keys).items():
        if key is not None and len(rows) < len(names):
            # the first part must be able to answer, the last part asks
            filled = [names[0], names[-1], *names[1:-1]][: len(rows)]
            singletons += len(rows) == 1
            small += len(rows) > 1
            parts[rng.permutation(rows)] = filled
            continue
        quotas = _quotas(len(rows), shares, rng)
        if quotas[0] == 0:
            quotas[0], quotas[int(np.argmax(quotas))] = 1, max(quotas) - 1
        parts[rng.permutation(rows)] = np.repeat(_objects(names), quotas)
    if singletons:
        notes.append(
            f"{singletons:,} taxa with a single specimen are whole in '{names[0]}': they can be found but are never asked for"
        )
    if small:
        notes.append(f"{small:,} taxa with fewer specimens than parts fill '{names[0]}' first, then '{names[-1]}'")
    return parts


def _open_world(
    keys: _Objects, shares: Mapping[str, float], held_out: float | Sequence[Any], rng: np.random.Generator, notes: list[str]
) -> tuple[_Objects, list[str]]:
    known = sorted({key for key in keys if key is not None}, key=str)
    if isinstance(held_out, (int, float)):
        if not 0 < held_out < 1:
            raise BiocosmosError(f"held_out is a share of the taxa between 0 and 1, not {held_out}")
        count = min(max(1, round(held_out * len(known))), max(len(known) - 1, 0))
        novel = {known[i] for i in rng.permutation(len(known))[:count]}
    else:
        novel = set(held_out)
        if missing := sorted(map(str, novel - set(known))):
            raise BiocosmosError(f"cannot hold out taxa that have no specimen: {', '.join(missing[:5])}")
    is_novel = np.array([key in novel for key in keys], bool)
    parts = _objects([NOVEL_PART] * len(keys))
    parts[~is_novel] = _stratified(keys[~is_novel], shares, rng, notes)
    notes.append(f"{len(novel):,} of {len(known):,} taxa ({int(is_novel.sum()):,} specimens) are only in '{NOVEL_PART}'")
    return parts, sorted(map(str, novel))


def _grouped(values: _Objects, shares: Mapping[str, float], rng: np.random.Generator, notes: list[str]) -> _Objects:
    # a missing value says nothing about belonging together: such a row is a group of its own
    keys = _objects([("row", i) if value is None else ("value", value) for i, value in enumerate(values)])
    alone = sum(value is None for value in values)
    groups = list(_rows_by_key(keys).values())
    names = list(shares)
    room = np.array(list(shares.values())) * len(values)
    parts = np.empty(len(values), object)
    # largest groups first, each to the part with most room left: the shares come out as near as whole groups allow
    drawn = rng.permutation(len(groups))
    for g in sorted(drawn, key=lambda g: -len(groups[g])):
        part = int(np.argmax(room))
        room[part] -= len(groups[g])
        parts[groups[g]] = names[part]
    notes.append(f"{len(groups) - alone:,} groups stay whole")
    if alone:
        notes.append(f"{alone:,} specimens without a group are groups of their own")
    return parts
