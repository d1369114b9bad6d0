"""Sub-folders of BIOSCAN-5M's images, by the vectors of its paper's code; and tables that have lost them."""

from __future__ import annotations

from pathlib import Path

import pytest

from biocosmos.specimens.readers import read
from biocosmos.specimens.readers.bioscan import chunk_of

VECTORS = [
    ("AACTA1040-20", "pretrain", "00"),
    ("YGEN2059-22", "pretrain", "fe"),
    ("AACTA1026-20", "train", "0"),
    ("YGEN986-22", "train", "f"),
    ("ABSSI1639-22", "other_heldout", "0"),
    ("YDBB6502-21", "other_heldout", "f"),
    ("YDBB6502-21", "val", ""),
    ("YDBB6502-21", "test_unseen", ""),
]


@pytest.mark.parametrize(("process_id", "part", "chunk"), VECTORS)
def test_published_vectors(process_id: str, part: str, chunk: str) -> None:
    assert chunk_of(process_id, part) == chunk


@pytest.mark.parametrize("said", ["right", "as a number", "no column"])
def test_images_are_found_whatever_the_table_says_of_chunks(tmp_path: Path, said: str) -> None:
    lines = ["processid,species,dna_barcode,split" + ("" if said == "no column" else ",chunk")]
    for process_id, part, chunk in VECTORS[:-2]:
        image = tmp_path / "cropped_256" / part / chunk / f"{process_id}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"a picture")
        cell = {"right": f",{chunk}", "as a number": f",{chunk.lstrip('0') or '0'}", "no column": ""}[said]
        lines.append(f"{process_id},Apis mellifera,{'ACGTTGCA' * 80},{part}{cell}")
    table = tmp_path / "metadata.csv"
    table.write_text("\n".join(lines) + "\n")
    rows = [row for batch in read(table).batches for row in batch.to_pylist()]
    assert [Path(row["image_path"]).parent.name for row in rows] == [chunk for *_, chunk in VECTORS[:-2]]
