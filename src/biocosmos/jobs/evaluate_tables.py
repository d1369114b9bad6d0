"""Judge tables of names by the collection that has the truth: our own, those of other tools, whatever has an id and ranks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.told_names.report import told_names
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.names_table import NamesTable
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.conditions import shown
from biocosmos.tables import PROVENANCE_KEY, read_provenance
from biocosmos.taxonomy import Taxonomy

OF_ATTRIBUTES = "probabilities of attributes are judged with --attributes"
NUMBERS = ("confidence", "novelty", "novelty_p")


def judge_tables(collection: Collection, settings: EvaluateSettings) -> Report:
    """The tables in ``settings.names`` against each other, on the part ``queries``; seen is a species that ``gallery`` has.

    A specimen of the part that a table says nothing of counts as one without an answer; rows of other specimens are left out,
    and both are told. Raises BiocosmosError for a file that is no table of names, one that names a specimen twice, and one that
    has no specimen of the part.
    """
    ranks = list(collection.ranks)
    if not ranks:
        raise BiocosmosError(f"{collection.path} has no taxa to judge names by: {OF_ATTRIBUTES}")
    truth = collection.table(["id", *ranks], split=settings.queries, where=settings.where)
    known = collection.table(["id", *ranks], split=settings.gallery)
    tables, caveats = dict[str, pa.Table](), list[str]()
    for name, path in called(settings.names, [path.stem for path in settings.names], "a table of names").items():
        table = _read(path, collection.taxonomy)
        tables[name], notes = _of_part(table, truth["id"], path, settings.queries)
        caveats += [f"{name}: {note}" for note in [*notes, *_other_gallery(path, settings.gallery)]]
    split = collection.split_of(settings.gallery).identity()
    parts = {"queries": settings.queries, "gallery": settings.gallery}
    facts = {"split": split, "split_hash": split["hash"], "parts": parts}
    report = told_names(tables, truth, known, collection.taxonomy, provenance=facts, seed=settings.seed)
    report.caveats[:0] = caveats
    if settings.where is not None:
        report.caveats.append(f"Only specimens where {shown(settings.where)}.")
    return report


def called(paths: Sequence[Path], short: Sequence[str], what: str) -> dict[str, Path]:
    """Each one's name: the short one, the whole path where two are called alike. Raises BiocosmosError for one given twice."""
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise BiocosmosError(f"{what} is given twice ({', '.join(names)}): give each once")
    return dict(zip(names, paths, strict=True))


def _read(path: Path, taxonomy: Taxonomy) -> pa.Table:
    """A table of names with the columns that are judged, and what its file says of it."""
    file, ranks = NamesTable(path), taxonomy.ranks
    columns = ["id", "taxon", "rank", "novel", "method", *NUMBERS]
    columns += [name for rank in ranks for name in (rank, f"{rank}_confidence")]
    schema = pa.schema([(name, _type(name)) for name in columns])
    pieces = [_typed(table, schema) for table in file.tables(schema, columns)]
    if not pieces:
        raise BiocosmosError(f"{path} has no names in it")
    table = pa.concat_tables(pieces)
    missing = "id" if "id" not in table.column_names else "" if set(ranks) & {*table.column_names} else ranks[-1]
    if missing:
        shown_ = ", ".join(table.column_names[:8])
        raise BiocosmosError(f"{path} is no table of names: it has no column '{missing}' ({shown_}): {OF_ATTRIBUTES}")
    table = _with_what_stands_above(table, taxonomy)
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    if table["rank"].null_count == len(table) and table["confidence"].null_count == len(table):
        table = table.set_column(table.column_names.index("rank"), "rank", _finest(table, ranks))
    if table["method"].null_count:
        method = pc.fill_null(table["method"], path.stem)
        table = table.set_column(table.column_names.index("method"), "method", method)
    facts = json.dumps(read_provenance(path) or {}, default=str).encode()
    return table.select(columns).replace_schema_metadata({PROVENANCE_KEY: facts})


def _type(name: str) -> pa.DataType:
    if name == "novel":
        return pa.bool_()
    return pa.float64() if name in NUMBERS or name.endswith("_confidence") else pa.string()


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.table({name: table[name].cast(schema.field(name).type) for name in table.column_names})


def _with_what_stands_above(table: pa.Table, taxonomy: Taxonomy) -> pa.Table:
    """A table that lacks ranks of the tree, with those above the finest name of each row, where one taxon alone is called so."""
    there = [rank for rank in taxonomy.ranks if rank in table.column_names]
    if len(there) == len(taxonomy.ranks):
        return table
    nodes = np.zeros(len(table), np.int32)
    for rank in reversed(there):
        of_rank = taxonomy.at_rank(rank)
        names = pa.array(taxonomy.names[of_rank], pa.string())
        once = np.isin(np.arange(len(names)), np.unique(names.dictionary_encode().indices.to_numpy(), return_index=True)[1])
        repeated = pc.is_in(names, value_set=names.filter(pa.array(~once))).to_numpy(zero_copy_only=False)
        at = pc.index_in(table[rank].combine_chunks(), value_set=names).fill_null(-1).to_numpy()
        found = (at >= 0) & (nodes == 0)
        found[found] = ~repeated[at[found]]
        nodes[found] = of_rank[at[found]]
    filled = taxonomy.rank_table(np.where(nodes > 0, nodes, -1))
    for rank in taxonomy.ranks:
        if rank not in there:
            table = table.append_column(rank, filled[rank])
    return table


def _finest(table: pa.Table, ranks: Sequence[str]) -> pa.Array:
    """The finest rank that each row names, for a table that does not say where its answers stop."""
    found = pa.nulls(len(table), pa.string())
    for rank in ranks:
        found = pc.if_else(pc.is_valid(table[rank]).combine_chunks(), rank, found)
    return found


def _of_part(table: pa.Table, wanted: pa.ChunkedArray, path: Path, part: str) -> tuple[pa.Table, list[str]]:
    """The rows of a part in its order, with empty ones for what the table says nothing of; and what to tell."""
    ids = table["id"].combine_chunks()
    counted = ids.value_counts()
    twice = counted.filter(pc.greater(counted.field("counts"), 1))
    if len(twice):
        raise BiocosmosError(f"{path} names {len(twice):,} specimens twice ({twice.field('values')[0]}): keep one row of each")
    at = pc.index_in(wanted.combine_chunks(), value_set=ids)
    there = len(at) - at.null_count
    if not there:
        raise BiocosmosError(f"{path} names no specimen of part '{part}': its ids must be those of the collection ({ids[0]})")
    notes = []
    if at.null_count:
        notes.append(
            f"{at.null_count:,} of {len(at):,} specimens of part '{part}' are not in {path.name}: counted as without an answer."
        )
    if len(ids) > there:
        notes.append(f"{len(ids) - there:,} rows of {path.name} are of no specimen of part '{part}' and are left out.")
    kept = table.take(at)
    kept = kept.set_column(0, "id", wanted)
    method = pc.fill_null(kept["method"], table["method"][0].as_py())
    return kept.set_column(kept.column_names.index("method"), "method", method), notes


def _other_gallery(path: Path, gallery: str) -> list[str]:
    facts: dict[str, Any] = (read_provenance(path) or {}).get("gallery") or {}
    selection = facts.get("selection")
    if not isinstance(selection, dict) or selection.get("split") in (gallery, f"default:{gallery}"):
        return []
    by = "all labelled specimens" if selection.get("split") is None else f"the part '{selection['split']}'"
    return [f"was named by {by}, and seen is counted by the part '{gallery}': give the same part with --gallery or --known."]
