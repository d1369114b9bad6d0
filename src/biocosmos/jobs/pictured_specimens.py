"""Specimens that pictures are made for: read, shared out into parts, and with what each lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.images.invented import Inheritance
from biocosmos.images.invented.chance import chance
from biocosmos.jobs.simulate_pictures import LOOK, PART, PICTURE, SYNTHETIC, WITHOUT, SimulatePicturesSettings
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.creating import is_collection
from biocosmos.specimens.readers import Source, read
from biocosmos.specimens.seen_unseen_split import seen_unseen_parts

DROPPED = ("image", "image_path", "crop", "content_hash", "width", "height", PART, LOOK, PICTURE)
"""Columns of a source that are made anew, or that were of its own images."""


def read_specimens(source: str | Path | None, seed: int) -> tuple[pa.Table, tuple[str, ...], Failures]:
    """Rows with id, barcode and ranks, without images. Raises BiocosmosError where there is no rank or no barcode."""
    if source is not None and is_collection(Path(source)):
        collection = Collection.open(source)
        batches, ranks, failures = list(collection.scan()), collection.ranks, Failures()
    else:
        opened = _opened(simulate_barcodes(seed=seed) if source is None else source)
        batches, ranks, failures = list(opened.batches), tuple(opened.ranks), opened.failures
    what = "the simulated barcodes" if source is None else str(source)
    if not batches:
        why = "".join(f": {reason}" for reason, _ in failures.reasons()[:1])
        raise BiocosmosError(f"{what} has no specimen that can be used{why}")
    table = pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches], promote_options="default").combine_chunks()
    ranks = tuple(rank for rank in ranks if rank in table.column_names and table[rank].null_count < len(table))
    if not ranks:
        raise BiocosmosError(f"{what} has no names at any rank, which traits follow: name its columns family, genus, species")
    if "barcode" not in table.column_names or table["barcode"].null_count == len(table):
        raise BiocosmosError(f"{what} has no barcodes: pictures are made for specimens that have one")
    dropped = [name for name in table.column_names if name in DROPPED]
    return table.drop_columns(dropped), ranks, failures


def _opened(source: Any) -> Source:
    """Raises BiocosmosError as :func:`read`, with a way out where an option is asked for that only ``ingest`` has."""
    try:
        return read(source)
    except BiocosmosError as error:
        if "--" not in str(error):
            raise
        raise BiocosmosError(f"{error} ('biocosmos ingest' has these options: make a collection, and give that)") from error


def planned(
    table: pa.Table, ranks: tuple[str, ...], inheritance: Inheritance, settings: SimulatePicturesSettings
) -> tuple[pa.Table, list[tuple[str | None, ...]], list[str]]:
    """The rows that are drawn with their part, look and what they lack, and the path of each."""
    ids = table["id"].to_pylist()
    names = list(zip(*(table[rank].to_pylist() for rank in ranks)))
    bins = table["dna_bin"].to_pylist() if "dna_bin" in table.column_names else [None] * len(table)
    paths = [inheritance.path(row, bin_ or id_) for row, bin_, id_ in zip(names, bins, ids)]
    lowest = inheritance.used[-1]
    species = ["\x1f".join(map(str, path)) if row[lowest] is not None else None for path, row in zip(paths, names)]
    genera = ["\x1f".join(map(str, path[:-1])) if len(path) > 1 and path[-2] is not None else None for path in paths]
    given = table["split"].to_pylist() if "split" in table.column_names else None
    parts, notes = seen_unseen_parts(table["barcode"].to_pylist(), species, genera, given, seed=settings.seed)
    facts = [inheritance.facts(path) for path in paths]
    looks = ["cryptic" if each.cryptic else "own" if each.look is None else "convergent" for each in facts]
    draws = np.array([chance(settings.seed, "missing", id_).random() for id_ in ids])
    bare = draws < settings.missing_dna
    unseen = ~bare & (draws < settings.missing_dna + settings.missing_image)
    barcode = table["barcode"].to_pylist()
    unseen &= np.array([each is not None for each in barcode])  # never neither
    kept = pa.array([None if no else each for each, no in zip(barcode, bare)], pa.string())
    table = table.set_column(table.column_names.index("barcode"), "barcode", kept)
    for name, values in (
        (PART, pa.array(parts.tolist(), pa.string())),
        (LOOK, pa.array(looks, pa.string())),
        (PICTURE, pa.array([None if no else SYNTHETIC for no in unseen], pa.string())),
        (WITHOUT, pa.array(unseen)),
    ):
        table = table.append_column(name, values)
    if settings.specimens is not None and settings.specimens < len(table):
        order = sorted(range(len(ids)), key=lambda i: chance(settings.seed, "chosen", ids[i]).random())
        chosen = sorted(order[: settings.specimens])
        table, paths = table.take(chosen), [paths[i] for i in chosen]
    return table, paths, notes
