"""Made-up pictures for specimens with real or simulated barcodes: a collection with both, or image files and a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.outputs import place_of, refuse_inside
from biocosmos.settings import check, setting

if TYPE_CHECKING:
    import pyarrow as pa

    from biocosmos.images.invented import Inheritance

PART, LOOK, PICTURE = "part", "look", "picture"
"""Columns that are written: the part of the split, what can be seen of the species, and that the picture is none of an animal."""
SYNTHETIC = "synthetic"
WITHOUT = "_no_picture"
"""A column while the work is done: which specimens are to have no picture."""
_ROWS = 256
"""Pictures that are in memory at a time."""


@dataclass(frozen=True)
class SimulatePicturesSettings:
    """What is drawn, of which specimens."""

    seed: int = setting(0, "Seed of every random choice.", low=0)
    size: int = setting(160, "Pixels of a side.", low=32, high=1024)
    specimens: int | None = setting(None, "Only so many specimens, drawn at random.", low=1, unset="all")
    missing_dna: float = setting(0.0, "Part of the specimens that get no barcode.", low=0, high=1)
    missing_image: float = setting(0.0, "Part of the specimens that get no picture.", low=0, high=1)

    def __post_init__(self) -> None:
        check(self)
        if self.missing_dna + self.missing_image > 1:
            raise BiocosmosError(
                f"--missing-dna {self.missing_dna:g} and --missing-image {self.missing_image:g} leave specimens with neither: "
                "they may add up to 1"
            )


STANDARD = SimulatePicturesSettings()


@dataclass(frozen=True)
class Drawn:
    """What was written: specimens, pictures, barcodes; specimens of each part; what to know; rows that could not be used."""

    specimens: int
    pictures: int
    barcodes: int
    parts: dict[str, int]
    notes: list[str]
    failures: Failures


def simulate_pictures(
    source: str | Path | None,
    output: str | Path,
    settings: SimulatePicturesSettings = STANDARD,
    *,
    images: str | Path | None = None,
    facts: str | Path | None = None,
    overwrite: bool = False,
) -> Drawn:
    """Draw a picture for every specimen of a table or a collection with barcodes and ranks, and write both.

    Args:
        source: what :func:`biocosmos.read` reads, or a collection, whose own images are not taken over; None for simulated
            barcodes of 60 species.
        output: a new collection with the split "default" (:mod:`biocosmos.specimens.seen_unseen_split`); or, by its suffix, a
            table (.csv, .tsv, .parquet ...), which ``ingest`` reads.
        images: the image files go to this folder; by default they are packed into the collection, or lie in a folder beside the
            table that is called like it.
        facts: write a table of species here: whether an eye can tell it, and what it looks like by no kinship.
        overwrite: a collection or a table that is there is replaced; image files never are.

    A picture depends on the seed, the names and the id of its specimen alone. Raises BiocosmosError without ranks, without any
    barcode, and where something is in the place of an output.
    """
    from biocosmos.images.invented import Inheritance
    from biocosmos.jobs.pictured_specimens import planned, read_specimens
    from biocosmos.specimens.creating import make
    from biocosmos.tables import SUFFIXES

    output = Path(output)
    as_table = output.suffix.lower() in SUFFIXES
    output = place_of(output) if as_table else output
    beside = output.with_suffix("") if as_table else None
    folder = beside if images is None else place_of(images)
    _refuse_taken(output, folder, None if facts is None else place_of(facts), None if source is None else Path(source), overwrite)
    table, ranks, failures = read_specimens(source, settings.seed)
    inheritance = Inheritance(settings.seed, ranks)
    table, paths, notes = planned(table, ranks, inheritance, settings)
    if not as_table:
        make(output, overwrite=overwrite)  # refused before the work is done
    batches = _batches(table, paths, inheritance, settings, folder, output.parent if as_table else None)
    if as_table:
        _write_table(batches, table, output, settings)
    else:
        _write_collection(batches, output, ranks, failures, settings)
    if facts is not None:
        _write_facts(Path(facts), table, ranks, paths, inheritance, settings)
    parts = table[PART].to_pylist()
    counted = {part: parts.count(part) for part in dict.fromkeys(parts) if part is not None}
    pictures = len(table) - int(table[WITHOUT].to_numpy(zero_copy_only=False).sum())
    return Drawn(len(table), pictures, len(table) - table["barcode"].null_count, counted, notes, failures)


def _refuse_taken(output: Path, images: Path | None, facts: Path | None, source: Path | None, overwrite: bool) -> None:
    """Refuse what would take the place of something; a folder of image files is never written into, since whose are those?"""
    from biocosmos.files import is_folder, is_there

    refuse_inside(output)
    for written in [path for path in (output, facts) if path is not None]:
        if source is not None and is_there(written) and source.resolve() == written.resolve():
            raise BiocosmosError(f"cannot write to {written}: it is what is read; choose another name")
    for path, may_replace in ((output, overwrite), (facts, overwrite), (images, False)):
        if path is None or may_replace or not is_there(path) or (is_folder(path) and not any(path.iterdir())):
            continue
        remedy = "choose another folder with --images, or empty it" if path == images else "choose another name, or --overwrite"
        raise BiocosmosError(f"{path} exists already: {remedy}")


def _batches(
    table: pa.Table,
    paths: list[tuple[str | None, ...]],
    inheritance: Inheritance,
    settings: SimulatePicturesSettings,
    folder: Path | None,
    beside: Path | None,
) -> Iterator[pa.Table]:
    """Rows with their pictures: bytes, or with ``folder`` written there, and the path (relative to ``beside``)."""
    import os

    import pyarrow as pa

    from biocosmos.images.invented import picture_of
    from biocosmos.progress import progress
    from biocosmos.tables import replacing

    ids, without = table["id"].to_pylist(), table[WITHOUT].to_pylist()
    names = _file_names(ids)
    with progress("drawing", total=len(table), unit="pictures") as bar:
        for start in range(0, len(table), _ROWS):
            cells: list[Any] = []
            for i in range(start, min(len(table), start + _ROWS)):
                if without[i]:
                    cells.append(None)
                    continue
                file = picture_of(inheritance, paths[i], ids[i], settings.size)
                if folder is not None:
                    place = folder / names[i]
                    with replacing(place) as temporary:
                        temporary.write_bytes(file)
                cells.append(
                    file if folder is None else str(place.resolve()) if beside is None else os.path.relpath(place, beside)
                )
            part = table.slice(start, _ROWS).drop_columns([WITHOUT])
            kind = ("image", pa.large_binary()) if folder is None else ("image_path", pa.string())
            yield part.append_column(kind[0], pa.array(cells, kind[1]))
            bar.advance(len(cells))


def _file_names(ids: Sequence[str]) -> list[str]:
    """Names that any file system takes, one for each id; unlike ids have unlike names, also where case does not count."""
    import hashlib

    names, taken = [], set[str]()
    for id_ in ids:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", id_)[:80]
        if plain != id_ or plain.startswith((".", "-")) or plain.lower() in taken:
            plain = f"{plain.lstrip('.-')}-{hashlib.blake2b(id_.encode('utf-8', 'surrogatepass'), digest_size=5).hexdigest()}"
        taken.add(plain.lower())
        names.append(f"{plain}.jpg")
    return names


def _provenance(settings: SimulatePicturesSettings) -> dict[str, Any]:
    return {"pictures": SYNTHETIC, "simulated": asdict(settings), "by": "biocosmos simulate pictures"}


def _write_collection(
    batches: Iterator[pa.Table], output: Path, ranks: tuple[str, ...], failures: Failures, settings: SimulatePicturesSettings
) -> None:
    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.records import Source

    collection = Collection.open(output)
    rows = (batch for part in batches for batch in part.combine_chunks().to_batches())
    collection.add(Source(str(output), "simulated pictures", rows, ranks, failures), pack=False)
    collection.save_facts(simulated=_provenance(settings))
    collection.make_split("column", column=PART)


def _write_table(batches: Iterator[pa.Table], table: pa.Table, output: Path, settings: SimulatePicturesSettings) -> None:
    import pyarrow as pa

    from biocosmos.tables import write_tables

    schema = table.drop_columns([WITHOUT]).schema.append(pa.field("image_path", pa.string()))
    write_tables(batches, schema, output, _provenance(settings))


def _write_facts(
    path: Path,
    table: pa.Table,
    ranks: tuple[str, ...],
    paths: list[tuple[str | None, ...]],
    inheritance: Inheritance,
    settings: SimulatePicturesSettings,
) -> None:
    """A row a species: its names, its specimens, whether it is cryptic, and the look that it shares with species of no kin."""
    import pyarrow as pa

    from biocosmos.tables import write_table

    counts: dict[tuple[str | None, ...], int] = {}
    for each in paths:
        counts[each] = counts.get(each, 0) + 1
    rows = []
    for each, count in counts.items():
        known = inheritance.facts(each)
        names = {ranks[place]: name for place, name in zip(inheritance.used, each)}
        rows.append(
            {
                **names,
                "specimens": count,
                "cryptic": known.cryptic,
                "convergent_look": known.look,
                "plan": inheritance.of(each).plan.name,
            }
        )
    write_table(pa.Table.from_pylist(rows), place_of(path), _provenance(settings))
