"""Make the sample that biocosmos ships from PlanktonSet 1.0: about 2,000 real images of 60 classes in at most 6 MB.

    python tools/make_sample.py ../shared/data/planktonset src/biocosmos/specimens/data

Deterministic: the same input gives the same file. How it chooses:

* Classes: the groups of taxonomy.csv (copepod, detritus, "no group" ...) take turns, each giving its most numerous class
  not yet taken, until 60 are chosen: every group is there, living, non-living and unknown.
* Images per class: in proportion to the square root of the class's size, so that the tail stays a tail.
* Images within a class: those with the smallest SHA-256 of their id. Files over 8 kB are left out to keep the wheel small,
  which leaves out the largest jellies: the sample is for demonstrations and tests, not for comparing published figures.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

CLASSES, IMAGES, LARGEST_FILE, LARGEST_SAMPLE = 60, 2000, 8_000, 6_000_000
RANKS = ("status", "kingdom", "phylum", "class", "order", "family", "genus")
METADATA = {
    "title": "A sample of PlanktonSet 1.0",
    "citation": (
        "Cowen, Robert K.; Sponaugle, S.; Robinson, K.L.; Luo, J.; Guigand, C. (2015). PlanktonSet 1.0: Plankton imagery data "
        "collected from F.G. Walton Smith in Straits of Florida from 2014-06-03 to 2014-06-06 and used in the 2015 National "
        "Data Science Bowl (NCEI Accession 0127422). NOAA National Centers for Environmental Information. Dataset."
    ),
    "licence_note": (
        "Published as open data by NOAA NCEI, Accession 0127422, which asks that the data set be cited. The images are unchanged "
        "JPEG files of In Situ Ichthyoplankton Imaging System (ISIIS) segments. The Apache-2.0 licence of biocosmos covers the "
        "software, not these images."
    ),
    "made_by": "tools/make_sample.py",
}


def choose_classes(sizes: dict[str, int], groups: dict[str, str | None]) -> list[str]:
    """Let groups take turns, most numerous class first, until there are CLASSES classes."""
    queues: dict[str, list[str]] = defaultdict(list)
    for label in sorted(sizes, key=lambda label: (-sizes[label], label)):
        queues[groups[label] or ""].append(label)
    chosen: list[str] = []
    while len(chosen) < CLASSES:
        for group in sorted(queues):
            if queues[group] and len(chosen) < CLASSES:
                chosen.append(queues[group].pop(0))
    return sorted(chosen)


def images_per_class(sizes: dict[str, int]) -> dict[str, int]:
    """Share IMAGES in proportion to the square root of each class's size."""
    total = sum(n**0.5 for n in sizes.values())
    return {label: min(n, round(IMAGES * n**0.5 / total)) for label, n in sizes.items()}


def main(source: Path, target: Path) -> None:
    images = pq.read_table(source / "planktonset.parquet")
    text = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True)
    taxonomy = {row["label"]: row for row in pyarrow.csv.read_csv(source / "taxonomy.csv", convert_options=text).to_pylist()}
    images = images.filter(pc.less_equal(pc.binary_length(images["image"]), LARGEST_FILE))
    rows_of: dict[str, list[int]] = defaultdict(list)
    ids = [str(i) for i in images["image_id"].to_pylist()]
    for row, label in enumerate(images["label"].to_pylist()):
        rows_of[label].append(row)
    sizes = {label: len(rows) for label, rows in rows_of.items()}
    classes = choose_classes(sizes, {label: taxonomy[label]["group"] for label in sizes})
    wanted = images_per_class({label: sizes[label] for label in classes})
    rows: list[int] = []
    for label in classes:
        rows += sorted(rows_of[label], key=lambda row: hashlib.sha256(ids[row].encode()).digest())[: wanted[label]]
    rows.sort(key=lambda row: hashlib.sha256(ids[row].encode()).digest())
    kept = images.take(rows)
    labels = kept["label"].to_pylist()
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "id": pa.array([f"planktonset-{ids[row]}" for row in rows]),
        "label": kept["label"].cast(pa.string()),
        "group": pa.array([taxonomy[label]["group"] for label in labels], pa.string()),
    }
    columns |= {rank: pa.array([taxonomy[label][rank] for label in labels], pa.string()) for rank in RANKS}
    columns["source_split"] = kept["split"].cast(pa.string())
    columns["image"] = kept["image"].cast(pa.binary())
    table = pa.table(columns).replace_schema_metadata(METADATA)
    path = target / "planktonset_sample.parquet"
    target.mkdir(parents=True, exist_ok=True)
    # JPEG does not compress further; small row groups let a reader stream
    pq.write_table(
        table, path, compression={name: "zstd" for name in columns if name != "image"} | {"image": "none"}, row_group_size=512
    )
    size = path.stat().st_size
    print(f"{path}: {table.num_rows:,} images of {len(classes)} classes, {size / 1e6:.2f} MB")
    if size > LARGEST_SAMPLE:
        sys.exit(f"larger than {LARGEST_SAMPLE / 1e6:.0f} MB: lower IMAGES or LARGEST_FILE")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
