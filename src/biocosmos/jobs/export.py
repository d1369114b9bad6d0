"""Write specimens, a machine's names, or vectors as files that other programs read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file, is_there
from biocosmos.jobs.export_current import export_current
from biocosmos.jobs.named_specimens import PREFIXED, ROWS, Answers, answered, batches_of, joined, joined_schema, own_names
from biocosmos.jobs.names_table import NamesTable
from biocosmos.outputs import place_of, refuse_source
from biocosmos.progress import progress
from biocosmos.settings import SettingError, UnusedSetting, flag
from biocosmos.specimens.attributes import attributes_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.given_vectors import Vectors, write_vectors
from biocosmos.specimens.identifications import answered_ranks, read_kept, read_names
from biocosmos.specimens.settings import ExportSettings
from biocosmos.specimens.survey_settings import COUNTED, SURVEYS
from biocosmos.specimens.writers import Written, format_of, provenance_of, write
from biocosmos.specimens.writers.wide import write_wide

OF_COLLECTIONS = ("ecotaxa", "coco", *SURVEYS)
"""Formats that need what the collection knows beside names: pictures, packed and cut out; samples, places and volumes."""


def export(source: str | Path, output: str | Path, settings: ExportSettings | None = None) -> Written:
    """Write what ``settings`` asks for of a collection, or of a table of names that identify wrote.

    Raises BiocosmosError for a source that is neither, an unclear format, and an option that does not go with the source.
    """
    settings = ExportSettings() if settings is None else settings
    source, output = Path(source), place_of(output)
    refuse_names(output, settings)
    had_names = NamesTable(output).is_of_identify
    written = _exported(source, output, settings)
    if had_names:
        NamesTable(output).forget()
    return written


def _exported(source: Path, output: Path, settings: ExportSettings) -> Written:
    if is_file(source):
        for name in ("split", "within", "where", "identifications", "current", "attributes"):
            if getattr(settings, name):
                raise UnusedSetting(name, f"--{name}", f"with a collection, and {source} is a table of names")
        table, beside = read_names(source), source.absolute().parent
        named = _collection_named(table, beside) if format_of(output, settings.format) in OF_COLLECTIONS else None
        return _names(table, output, settings, beside) if named is None else _identified(named, table, output, settings)
    collection = Collection.open(source)
    refuse_source(output, _image_paths(collection))
    if settings.attributes:
        return _attributes(collection, output, settings)
    if settings.current:
        return _as_of_now(collection, output, settings)
    if settings.identifications is not None:
        return _identified(collection, read_kept(collection, settings.identifications), output, settings)
    return _specimens(collection, output, settings)


def _attributes(collection: Collection, output: Path, settings: ExportSettings) -> Written:
    """What is known of some attributes, as a wide table."""
    if format_of(output, settings.format) not in ("csv", "parquet"):
        raise BiocosmosError(f"attributes are written as CSV or Parquet, not as {output.name}: end the name in .csv or .parquet")
    failures = Failures()
    found = attributes_of(collection, settings.attributes, split=settings.split, where=settings.where, failures=failures)
    if not len(found):
        raise BiocosmosError(f"nothing to write to {output}: no specimens are selected")
    return Written(write_wide(found, output), failures)


def _as_of_now(collection: Collection, output: Path, settings: ExportSettings) -> Written:
    """The selected specimens as they are called now."""
    ids: list[str] | None = None
    if settings.ids is not None:
        ids = _ids_in(settings.ids)
    if any(value is not None for value in settings.selected().values()):
        there = [id_ for batch in collection.scan(["id"], **settings.selected()) for id_ in batch.column("id").to_pylist()]
        chosen = set(there)
        ids = there if ids is None else [id_ for id_ in ids if id_ in chosen]
    images = not settings.without_images
    return export_current(
        collection,
        output,
        ids=ids,
        format=settings.format,
        images=images,
        spreadsheet=settings.spreadsheet,
        survey=settings.survey(),
    )


def _ids_in(path: Path) -> list[str]:
    """Ids of a file, one a line, or a JSON list of them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix.lower() == ".json" else text.split("\n")
    except (OSError, ValueError, RecursionError) as error:
        raise BiocosmosError(f"cannot read ids from {path}: {first_line(error)}") from error
    if not isinstance(found, list):
        raise BiocosmosError(f'{path} is no list of ids: one a line, or JSON: ["a", "b"]')
    return [id_ for id_ in (str(each).rstrip("\r") for each in found) if id_.strip()]


def refuse_names(output: Path, settings: ExportSettings) -> None:
    """Refuse to write over names of a machine's: what made them may have taken hours. Raises SettingError."""
    if not settings.overwrite and NamesTable(output).is_of_identify:
        remedy = f"write to another {flag('output')}, or over it with --overwrite"
        raise SettingError(f"{output} holds names that 'biocosmos identify' wrote: {remedy}")


def export_vectors(source: str | Path, output: str | Path, settings: ExportSettings) -> tuple[str, Vectors]:
    """Write ids and the vectors of ``settings.vectors``, with what made them; embed --from takes them as that encoder's again.
    Returns (the embedding, its vectors)."""
    output = place_of(output)
    refuse_names(output, settings)
    collection = Collection.open(source)
    refuse_source(output, _image_paths(collection))
    name = collection.encoder_name(settings.vectors)
    found = collection.vectors(name, **settings.selected())
    write_vectors(found, output, collection.encoders[name])
    return name, found


def _image_paths(collection: Collection) -> Iterator[str | None]:
    """Of all specimens, selected or not."""
    return (path for batch in collection.scan(["image_path"]) for path in batch.column("image_path").to_pylist())


def _specimens(collection: Collection, output: Path, settings: ExportSettings) -> Written:
    columns, total = filled(collection, settings)
    rows = _counted(collection.scan(columns, batch_size=ROWS, **settings.selected()), total, output)
    return _write(rows, output, settings, collection.ranks)


def filled(collection: Collection, settings: ExportSettings) -> tuple[list[str], int]:
    """(the columns that say something of the selected specimens, how many these are); no pictures where they are only counted."""
    names = [name for name in collection.filled_columns() if name != "image" or settings.format not in COUNTED]
    open_ones, total = {name for name in names if name != "image"}, 0
    for batch in collection.scan(sorted({*open_ones, "id"}), **settings.selected()):
        total += batch.num_rows
        open_ones -= {name for name in open_ones if batch.column(name).null_count < batch.num_rows}
    return [name for name in names if name not in open_ones or name == "id"], total


def _counted(batches: Iterator[pa.RecordBatch], total: int, output: Path) -> Iterator[pa.RecordBatch]:
    with progress(f"export {output.name}", total, "specimens") as bar:
        for batch in batches:
            yield batch
            bar.advance(batch.num_rows)


def _write(
    rows: Any, output: Path, settings: ExportSettings, ranks: Sequence[str], identifications: pa.Table | None = None, **more: Any
) -> Written:
    return write(
        rows,
        output,
        format=settings.format,
        ranks=ranks,
        identifications=identifications,
        spreadsheet=settings.spreadsheet,
        survey=settings.survey(),
        **more,
    )


# ---------------------------------------------------------------------- a machine's names


def _names(table: pa.Table, output: Path, settings: ExportSettings, beside: Path | None = None) -> Written:
    """A table of names by itself: the images are the files that were named."""
    ranks = answered_ranks(table.column_names)
    if beside is not None and "image_path" in table.column_names:
        paths = [_found(path, beside) for path in table["image_path"].to_pylist()]
        table = table.set_column(table.column_names.index("image_path"), "image_path", pa.array(paths, pa.string()))
    format, failures = format_of(output, settings.format), Failures()
    if format == "ecotaxa":
        table = _spelt_apart(table, ranks, {})
    if format == "darwin-core":
        table = answered(table, failures, output)
        if not len(table):
            raise BiocosmosError(f"{output} is not written: no name was sure enough, so nothing in the table is an occurrence")
    return _write(table, output, settings, ranks, failures=failures)


def _collection_named(table: pa.Table, beside: Path) -> Collection | None:
    """The collection whose own specimens a table names, if it is where it was, from here or from where the table lies."""
    queries = provenance_of(table.schema).get("queries")
    path = _found(str(queries["collection"]), beside) if isinstance(queries, dict) and queries.get("collection") else None
    return Collection.open(path) if path is not None and is_there(path) else None


def _found(path: str | None, beside: Path) -> str | None:
    """A path as it was asked with: from here, or from where the table lies."""
    if path is None or is_there(path) or not is_there(beside / path):
        return path
    return str(beside / path)


def _identified(collection: Collection, table: pa.Table, output: Path, settings: ExportSettings) -> Written:
    """The specimens that ``table`` names, with all that the collection knows of them; what is not in it is a file that was named.

    EcoTaxa's objects that a person has looked at keep that name. In a Darwin Core Archive a specimen's own name stays, and the
    machine's becomes a part of its identification history.
    """
    format = format_of(output, settings.format)
    ranks = answered_ranks(table.column_names)
    selection = settings.selected()
    columns = [name for name in filled(collection, ExportSettings(format=settings.format))[0] if name not in ("id",)]
    names = [name for name in columns if name not in table.column_names or name in PREFIXED]
    if format == "ecotaxa":
        table = _spelt_apart(table, ranks, _ecotaxas_names(collection))
    failures = Failures()
    answers = Answers(table, failures, output)
    keeps = own_names(collection, columns, selection, answers.row_of.keys(), format)
    for id in sorted(keeps) if format in ("ecotaxa", *SURVEYS) else ():
        reason = "a person has named it in EcoTaxa: that name stays, the machine's is left out"
        failures.add(reason, stage="write", source=output, id=id, severity="warning")
    history = None
    if format == "darwin-core" and keeps:
        history = table.filter(pc.is_in(table["id"], value_set=pa.array(sorted(keeps), pa.string())))
    schema = joined_schema(collection, table, names)

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in collection.scan(["id", *columns], batch_size=ROWS, **selection):
            own = [row for row in batch.to_pylist() if row["id"] in answers.row_of]
            said = answers.take([row["id"] for row in own])
            together = [row if row["id"] in keeps else joined(row, answer) for row, answer in zip(own, said)]
            yield from batches_of(together, schema)
        if all(value is None for value in selection.values()):  # what was named and is no specimen is an image file
            yield from (batch for part in answers.left(collection, format == "darwin-core") for batch in batches_of(part, schema))

    kept_ranks = [*collection.ranks] if format in ("darwin-core", *SURVEYS) and keeps else []
    used = [*ranks, *(rank for rank in kept_ranks if rank not in ranks)]
    return _write(_counted(rows(), len(answers.row_of), output), output, settings, used, history, failures=failures)


def _ecotaxas_names(collection: Collection) -> dict[tuple[str, ...], str]:
    """Path of a taxon -> the name by which EcoTaxa tells it from its homonyms: "egg<other"."""
    if "label" not in collection.stored_columns:
        return {}
    found: dict[tuple[str, ...], str] = {}
    ranks = [rank for rank in collection.ranks if rank != "label"]
    for batch in collection.scan([*ranks, "label"]):
        for row in batch.to_pylist():
            label = row["label"]
            path = tuple(row[rank] for rank in ranks if row[rank])
            if label and "<" in label and path and path[-1] == label.split("<")[0].strip():
                found[path] = label
    return found


def _spelt_apart(table: pa.Table, ranks: Sequence[str], known: dict[tuple[str, ...], str]) -> pa.Table:
    """Answers of one name and several parents as EcoTaxa tells them apart, "name<parent"; ``known``: as it did before."""
    columns = {name: table[name].to_pylist() for name in ("taxon", "rank", *ranks)}
    paths: list[tuple[str, ...]] = []
    parents: dict[str, set[str]] = defaultdict(set)
    for i, (taxon, rank) in enumerate(zip(columns["taxon"], columns["rank"])):
        down_to = ranks[: ranks.index(rank) + 1] if rank in ranks else ()
        path = tuple(columns[each][i] for each in down_to if columns[each][i])
        paths.append(path)
        if taxon is not None and len(path) > 1:
            parents[taxon].add(path[-2])
    spelt = [
        known.get(path, f"{taxon}<{path[-2]}" if taxon is not None and len(path) > 1 and len(parents[taxon]) > 1 else taxon)
        for taxon, path in zip(columns["taxon"], paths)
    ]
    if spelt == columns["taxon"]:
        return table
    return table.set_column(table.column_names.index("taxon"), "taxon", pa.array(spelt, pa.string()))
