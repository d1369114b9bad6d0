"""What an embedding did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from biocosmos.errors import Failures


@dataclass
class EmbedSummary:
    """What an embedding did.

    Attributes:
        unit: what is embedded, "images" or "barcodes", which the other names below say "images" for; lacking: what specimens
            without one are without, "an image".
        images: vectors made for the column, those of an interrupted run before this one included.
        failed: images that could not be read; each is in ``failures``.
        without_image: specimens that have no image.
        kept: specimens that had a vector before.
        projected: of ``images``, those computed from the vectors of ``base``, which is then set, without opening an image.
        resumed: of ``images``, those that an interrupted run had made.
        seconds, images_per_second: of this run, from the first image to the stored column.
        column: name of the column in the dataset.
        beside: what was embedded with the other towers, where the encoder is a space.
        computed_with: precision, backend and device in words; hint: how much faster another precision would be, if clearly.
    """

    encoder: str
    column: str
    images: int = 0
    failed: int = 0
    without_image: int = 0
    kept: int = 0
    resumed: int = 0
    projected: int = 0
    base: str | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    computed_with: str = ""
    hint: str | None = None
    unit: str = "images"
    lacking: str = "an image"
    failures: Failures = field(default_factory=Failures)
    beside: list[EmbedSummary] = field(default_factory=list)
