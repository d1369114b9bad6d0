"""Which specimens have an image, a barcode or both, and what each of two namers is given of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.fusion.pool import Int64
from biocosmos.search.gallery import Gallery

IMAGE, DNA, BOTH = "image", "dna", "image+dna"
"""What the row of a specimen says it was named by."""
BARCODE = "barcode"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Modalities:
    """image, dna: (n,) bool, of the rows of a gallery."""

    image: Mask
    dna: Mask

    @classmethod
    def of(cls, gallery: Gallery) -> Self:
        """Raises BiocosmosError for a gallery of barcodes, without barcodes, and without a specimen that has both."""
        columns = gallery.columns
        if gallery.counts is not None:
            raise BiocosmosError(
                "the method 'fused' takes an embedding of images, and this is one of DNA barcodes, which it reads by itself: "
                "name the images' with --encoder"
            )
        if columns is None or BARCODE not in columns.column_names:
            raise BiocosmosError(
                "the method 'fused' joins images and DNA barcodes, and these specimens have no column 'barcode': ingest their "
                "barcodes first, or choose another method"
            )
        image = np.asarray(gallery.vectors.any(axis=1), np.bool_)
        dna = has_letters(columns[BARCODE].to_pylist())
        for mask, what in ((image, "vector of an image"), (dna, "DNA barcode"), (image & dna, "image and DNA barcode together")):
            if not mask.any():
                raise BiocosmosError(
                    f"none of the {len(gallery):,} known specimens has a {what}: the method 'fused' learns from specimens that "
                    "have both how much each counts; name by one of them, with --method linear or --method barcode"
                )
        return cls(image, dna)

    @cached_property
    def dna_rows(self) -> Int64:
        """Rows with a barcode."""
        return np.flatnonzero(self.dna)

    def of_images(self, gallery: Gallery, without: Mask | None = None) -> Gallery:
        """The part with images."""
        return gallery.subset(self.image if without is None else self.image & ~without)

    def of_barcodes(self, gallery: Gallery) -> Gallery:
        """The part with barcodes, without vectors."""
        rows = self.dna_rows
        assert gallery.columns is not None and gallery.taxa is not None
        columns = gallery.columns.take(pa.array(rows))
        none = np.zeros((len(rows), 0), np.float32)
        return Gallery(gallery.ids[rows], none, gallery.taxa[rows], gallery.taxonomy, dict(gallery.provenance), columns)


def has_letters(barcodes: Any) -> Mask:
    """(n,) bool, which of some barcodes is there."""
    return np.array([bool(each) for each in barcodes], np.bool_)
