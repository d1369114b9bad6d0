"""One specimen: its traits, its pose, its photograph."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from biocosmos.images.invented.chance import chance
from biocosmos.images.invented.drawing import draw
from biocosmos.images.invented.photograph import Pixels, jpeg_of, photograph
from biocosmos.images.invented.pose import pose_of
from biocosmos.images.invented.traits import Inheritance, with_means


def draw_specimen(inheritance: Inheritance, path: tuple[str | None, ...], id_: str, pixels: int) -> Pixels:
    """(pixels, pixels, 3) uint8 RGB of one specimen of the species at ``path``: the same for the same seed, path and id."""
    traits = with_means(inheritance.specimen(path, id_))
    random = chance(inheritance.seed, "pose", id_)
    pose = pose_of(random)
    return photograph(draw(traits, pose, random), pose, traits.number("size"), pixels, random)


def picture_of(inheritance: Inheritance, path: tuple[str | None, ...], id_: str, pixels: int) -> bytes:
    """:func:`draw_specimen` as a JPEG file."""
    return jpeg_of(draw_specimen(inheritance, path, id_, pixels))


def with_pictures(table: pa.Table, ranks: Sequence[str], *, seed: int = 0, size: int = 64) -> pa.Table:
    """A table of specimens with a picture each in the column ``image``, files of ``size`` x ``size`` pixels; about 7 ms each.

    table: with ``id`` and the columns ``ranks``, coarse to fine. Where a bin is known (``dna_bin``), specimens without a species
    that share one look like one species.
    """
    inheritance = Inheritance(seed, ranks)
    rows = table.to_pylist()
    paths = [inheritance.path([row[rank] for rank in ranks], row.get("dna_bin") or row["id"]) for row in rows]
    files = [picture_of(inheritance, path, row["id"], size) for path, row in zip(paths, rows)]
    return table.append_column("image", pa.array(files, pa.large_binary()))
