"""The shipped sample: real, small, cited, and with the gaps that real taxonomies have."""

from __future__ import annotations

from importlib.resources import files

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.images import read_image
from biocosmos.specimens.sample import SAMPLE_RANKS, sample_citation

MEGABYTE = 1_000_000


def test_it_is_small_enough_to_ship() -> None:
    path = files("biocosmos.specimens") / "data" / "planktonset_sample.parquet"
    assert len(path.read_bytes()) <= 6 * MEGABYTE


def test_it_has_about_two_thousand_images_of_sixty_classes(sample_table: pa.Table) -> None:
    assert 1900 <= sample_table.num_rows <= 2100
    assert pc.count_distinct(sample_table["label"]).as_py() == 60
    assert pc.count_distinct(sample_table["id"]).as_py() == sample_table.num_rows


def test_living_and_not_living_and_nobody_knows(sample_table: pa.Table) -> None:
    assert set(sample_table["status"].to_pylist()) == {"living", "non-living", None}


def test_a_label_has_one_place_in_the_tree_and_ranks_have_gaps(sample_table: pa.Table) -> None:
    places: dict[str, set[tuple[str | None, ...]]] = {}
    for row in sample_table.select(SAMPLE_RANKS).to_pylist():
        places.setdefault(row["label"], set()).add(tuple(row.values()))
    assert all(len(paths) == 1 for paths in places.values())
    # a genus without a family named above it, or a class without an order: null in the middle of a path
    paths = [path for (path,) in places.values()]
    assert any(None in path[1:-1] and path[1] is not None for path in paths)


def test_every_image_decodes_to_pixels(sample_table: pa.Table) -> None:
    for image in sample_table["image"].to_pylist():
        decoded = read_image(image)
        assert decoded.pixels.ndim == 3
        assert decoded.pixels.shape[2] == 3
        assert not decoded.notes


def test_it_says_whom_to_cite_and_under_what_terms(sample_table: pa.Table) -> None:
    assert "0127422" in sample_citation()
    assert "Cowen" in sample_citation()
    assert b"NOAA" in sample_table.schema.metadata[b"licence_note"]
