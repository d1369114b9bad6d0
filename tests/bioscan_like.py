"""Folders that look like BIOSCAN-5M, BIOSCAN-1M, CLIBD's partition of it and Canadian Invertebrates, of invented insects."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.specimens.bioscan_split import bioscan_parts
from biocosmos.specimens.readers.bioscan import chunk_of

RANKS = ("phylum", "class", "order", "family", "subfamily", "genus", "species")
COLUMNS_5M = (
    *("processid", "sampleid", "taxon", *RANKS, "dna_bin", "dna_barcode", "country", "province_state", "coord-lat", "coord-lon"),
    *("image_measurement_value", "area_fraction", "scale_factor", "inferred_ranks", "split", "index_bioscan_1M_insect", "chunk"),
)
PARTITIONS = [f"{size}_{task}" for size in ("large", "medium", "small") for task in ("diptera_family", "insect_order")]
COLUMNS_1M = (
    *("sampleid", "processid", "uri", "name", "phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species"),
    *("subspecies", "nucraw", "image_file", *PARTITIONS, "chunk_number"),
)
NONE = "not_classified"
Row = dict[str, Any]


def insects(seed: int = 0, *, species: int = 24, specimens: int = 480) -> list[Row]:
    """Rows of processid, the ranks, dna_bin, dna_barcode and split; every third species is unnamed, some rows have no species."""
    rng = np.random.default_rng(seed)
    table = simulate_barcodes(seed=seed, species=species, specimens=specimens, genera=species // 4, families=4, orders=2)
    first = table["order"][0].as_py()
    numbers = {name: i for i, name in enumerate(dict.fromkeys(table["species"].to_pylist()))}
    rows = []
    for i, row in enumerate(table.to_pylist()):
        number = numbers[row["species"]]
        row["order"] = "Diptera" if row["order"] == first else row["order"]
        row["subfamily"] = ""
        if number % 3 == 2:
            row["species"] = f"{row['genus']} sp. {number}"
        if rng.random() < 0.1:
            row["species"] = ""
        row |= {"processid": f"FAKE{i:05d}-26", "dna_barcode": row.pop("barcode") + "N" * int(rng.integers(3))}
        rows.append(row)
    columns = [pa.array([row[name] for row in rows], pa.string()) for name in ("dna_barcode", "species", "genus")]
    for row, part in zip(rows, bioscan_parts(*columns)[0]):
        row["split"] = part
    return rows


def write_5m(folder: Path, rows: Sequence[Row], *, images: bool = True) -> Path:
    """``metadata/csv/...csv`` with its 23 columns and ``images/cropped_256/{split}/{chunk}/{processid}.jpg``; the table."""
    told = []
    for row in rows:
        taxon = next(row[rank] for rank in reversed(RANKS) if row[rank])
        more = {
            "sampleid": f"S-{row['processid']}",
            "taxon": taxon,
            "country": "Costa Rica",
            "coord-lat": 10.8,
            "coord-lon": -85.6,
        }
        more |= {"image_measurement_value": 900, "area_fraction": 0.25, "scale_factor": 0.5, "inferred_ranks": 0}
        told.append({**row, **more, "chunk": chunk_of(row["processid"], row["split"])})
        if images:
            place = folder / "images" / "cropped_256" / row["split"] / told[-1]["chunk"]
            picture(place / f"{row['processid']}.jpg", row)
    return _table(folder / "metadata" / "csv" / "BIOSCAN_5M_Insect_Dataset_metadata.csv", COLUMNS_5M, told, ",")


def write_1m(folder: Path, rows: Sequence[Row], *, seed: int = 0) -> Path:
    """A TSV with "not_classified" and six stratified partitions, and ``original_256/part{chunk_number}/{image_file}``."""
    rng = np.random.default_rng(seed)
    told = []
    for i, row in enumerate(rows):
        drawn = {name: str(rng.choice(["train", "validation", "test"], p=[0.6, 0.2, 0.2])) for name in PARTITIONS}
        if row["order"] != "Diptera":
            drawn |= {name: "no_split" for name in PARTITIONS if name.endswith("family")}
        facts = {rank: row[rank] or NONE for rank in RANKS} | {"tribe": NONE, "subspecies": NONE, "name": row["order"]}
        facts |= {"processid": row["processid"], "sampleid": f"S{i}", "uri": row["dna_bin"], "nucraw": row["dna_barcode"]}
        told.append({**facts, **drawn, "image_file": f"{4900000 + i}.jpg", "chunk_number": 18})
        picture(folder / "original_256" / "part18" / f"{4900000 + i}.jpg", row)
    return _table(folder / "BIOSCAN_Insect_Dataset_metadata.tsv", COLUMNS_1M, told, "\t")


def write_clibd(folder: Path, rows: Sequence[Row]) -> Path:
    """One file of sampleids, as :func:`write_1m` gives them, for each part of CLIBD's partition, and two unions."""
    named = {"pretrain": "no_split", "train": "train_seen", "val": "val_seen", "test": "test_seen"}
    named |= {"val_unseen": "val_unseen", "test_unseen": "test_unseen", "other_heldout": "single_species"}
    parts: dict[str, list[str]] = {name: [] for name in (*named.values(), "seen_keys", "val_unseen_keys", "test_unseen_keys")}
    for i, row in enumerate(rows):
        name = named.get(row["split"]) or ("val_unseen_keys", "test_unseen_keys")[i % 2]
        parts["seen_keys" if name == "train_seen" and i % 2 else name].append(f"S{i}")
    parts["all_keys"] = parts["seen_keys"] + parts["val_unseen_keys"] + parts["test_unseen_keys"]
    parts["no_split_and_seen_train"] = parts["no_split"] + parts["train_seen"]
    folder.mkdir(parents=True)
    for name, ids in parts.items():
        (folder / f"{name}.txt").write_text("".join(f"{id_}\n" for id_ in ids))
    return folder


def write_canadian(path: Path, rows: Sequence[Row]) -> Path:
    """Canadian Invertebrates: barcodes alone, under other names of columns."""
    told = [{**row, "bin_uri": row["dna_bin"], "nucleotides": row["dna_barcode"]} for row in rows]
    return _table(path, ("processid", "sampleid", "bin_uri", *RANKS, "nucleotides", "split"), told, ",")


def picture(path: Path, row: Row, side: int = 48) -> None:
    """A small photo whose colours tell the order and the family."""
    rng = np.random.default_rng(list(row["processid"].encode()))
    pixels = rng.integers(0, 60, (side, side, 3))
    for channel, rank in enumerate(("order", "family")):
        pixels[..., channel] += sum(map(ord, row[rank])) * 37 % 180
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)


def _table(path: Path, columns: Sequence[str], rows: Iterable[Row], separator: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=separator, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path
