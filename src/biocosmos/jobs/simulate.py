"""Write simulated barcodes as a file: FASTA, or a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from biocosmos.errors import BiocosmosError
from biocosmos.outputs import place_of
from biocosmos.settings import check, setting

if TYPE_CHECKING:
    import pyarrow as pa

FASTA = (".fasta", ".fa", ".fna")
HIDDEN = 0.1
"""Part of the specimens, and of the species, that ``unknown`` takes."""
_COUNTS, _READING = "How many", "What sequencing does"


@dataclass(frozen=True)
class SimulateSettings:
    """What :func:`biocosmos.barcodes.simulate.simulate_barcodes` takes."""

    seed: int = setting(0, "Seed of every random choice.", low=0)
    species: int = setting(60, "Species in all.", low=1, panel=_COUNTS)
    genera: int | None = setting(None, "Genera in all.", low=1, unset="a third of the species", panel=_COUNTS)
    families: int | None = setting(None, "Families in all.", low=1, unset="a third of the genera", panel=_COUNTS)
    orders: int | None = setting(None, "Orders in all.", low=1, unset="a third of the families", panel=_COUNTS)
    specimens: int | None = setting(None, "Specimens in all.", low=1, unset="eight for each species", panel=_COUNTS)
    short: float = setting(0.1, "Part of the barcodes that lost an end.", low=0, high=1, panel=_READING)
    unsure: float = setting(0.05, "Part of the barcodes with some N.", low=0, high=1, panel=_READING)
    shared: float = setting(
        0.0, "Part of the pairs of sister species that no barcode tells apart.", low=0, high=1, panel=_READING
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Simulated:
    """What was written: number of specimens, of different names at each rank, and of specimens that are to be named."""

    specimens: int
    taxa: dict[str, int]
    unknown: int = 0


def simulate(
    output: str | Path,
    settings: SimulateSettings | None = None,
    *,
    metadata: str | Path | None = None,
    unknown: str | Path | None = None,
) -> Simulated:
    """Write barcodes to ``output``: .fasta, .fa, .fna, or a table (.csv, .tsv, .parquet, .json, .jsonl).

    FASTA has its lineage in the header, as ``vsearch --sintax`` reads it. With ``metadata``, a table of the ids, bins and names,
    the headers are ids alone. unknown: a FASTA file of its own for what is to be named: about one specimen in ten, and all
    specimens of about one species in ten, with their true lineage in the header. The files depend on the settings alone.

    Raises BiocosmosError for names and counts that cannot be.
    """
    import numpy as np
    import pyarrow as pa

    from biocosmos.barcodes.simulate import RANKS, SCHEMA, stream_barcodes
    from biocosmos.tables import SUFFIXES, write_tables

    settings = settings or SimulateSettings()
    output, suffix = place_of(output), Path(output).suffix.lower()
    if suffix not in (*FASTA, *SUFFIXES):
        raise BiocosmosError(f"cannot write barcodes to {output}: the name must end in one of {', '.join((*FASTA, *SUFFIXES))}")
    if metadata is not None and suffix not in FASTA:
        raise BiocosmosError(f"--metadata does nothing here: {output} has the names in its columns; it is used with a FASTA file")
    written = [output, *(place_of(path) for path in (metadata, unknown) if path is not None)]
    if len({path.resolve() for path in written}) < len(written):
        raise BiocosmosError(f"one file would replace another ({', '.join(map(str, written))}): give each a name of its own")
    names: dict[str, set[str]] = {rank: set() for rank in RANKS}
    rows = 0
    hidden = list[pa.Table]()
    random = np.random.default_rng([settings.seed, 1])

    def parts() -> Iterator[pa.Table]:
        nonlocal rows
        for table in stream_barcodes(**asdict(settings)):
            if unknown is not None:
                apart = (random.random(len(table)) < HIDDEN) | np.array(list(map(_is_hidden, table["species"].to_pylist())))
                hidden.append(table.filter(pa.array(apart)))
                table = table.filter(pa.array(~apart))
            rows += len(table)
            for rank in RANKS:
                names[rank].update(table[rank].unique().to_pylist())
            yield table

    provenance = {"simulated": asdict(settings), "by": "biocosmos.barcodes.simulate"}
    if suffix not in FASTA:
        write_tables(parts(), SCHEMA, output, provenance)
    elif metadata is None:
        _write_fasta(parts(), output, lineage=True)
    else:
        columns = [name for name in SCHEMA.names if name != "barcode"]
        beside = (part.select(columns) for part in _write_passing(parts(), output))
        write_tables(beside, SCHEMA.remove(SCHEMA.get_field_index("barcode")), place_of(metadata), provenance)
    if unknown is not None:
        _write_fasta(iter(hidden), place_of(unknown), lineage=True)
    return Simulated(rows, {rank: len(found) for rank, found in names.items()}, sum(map(len, hidden)))


def _is_hidden(species: str) -> bool:
    """Whether a species is among those of which nothing is known."""
    return int(hashlib.sha256(species.encode()).hexdigest(), 16) % round(1 / HIDDEN) == 0


def _write_fasta(tables: Iterator[pa.Table], path: Path, *, lineage: bool) -> None:
    for _ in _write_passing(tables, path, lineage=lineage):
        pass


def _write_passing(tables: Iterator[pa.Table], path: Path, *, lineage: bool = False) -> Iterator[pa.Table]:
    """Write each table to a FASTA file and pass it on; the file is there when the last was taken."""
    from biocosmos.tables import replacing

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        for table in tables:
            headers = _lineages(table) if lineage else table["id"].to_pylist()
            out.writelines(f">{name}\n{barcode}\n" for name, barcode in zip(headers, table["barcode"].to_pylist()))
            yield table


def _lineages(table: pa.Table) -> list[str]:
    """ "SIM0-000001;tax=k:Animalia,p:Arthropoda,...,s:Bramorus_lecinata" of every row: no space, where programs cut."""
    from biocosmos.barcodes.simulate import RANKS

    cells = [[f"{rank[0]}:{name.replace(' ', '_')}" for name in table[rank].to_pylist()] for rank in RANKS]
    return [f"{id_};tax={','.join(row)}" for id_, row in zip(table["id"].to_pylist(), zip(*cells))]
