"""What the caller asked of a reader, the same for every format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biocosmos.barcodes.rules import Rules
from biocosmos.errors import Failures
from biocosmos.specimens.readers.label_options import LabelColumns
from biocosmos.specimens.readers.taxonomy_table import Taxa

MAX_IMAGE_BYTES = 512 << 20


@dataclass(frozen=True)
class Options:
    """Arguments of :func:`biocosmos.specimens.readers.read`, checked and with the taxonomy loaded."""

    failures: Failures = field(default_factory=Failures)
    ranks: tuple[str, ...] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    metadata: Path | None = None
    taxonomy: Taxa | None = None
    encoding: str | None = None
    separator: str | None = None
    images: Path | None = None
    """The folder that relative image names start from."""
    beside: Path | None = None
    """The folder of satellite images or of sounds that belong to the rows."""
    size: str | None = None
    """Which of several sizes of the images (BIOSCAN: cropped_256 ...)."""
    rows: tuple[str, Collection[str]] | None = None
    """A column and its values: rows with any other are passed over, unsaid."""
    boxes: str | None = None
    """Whether boxes count pixels of photos as they are "stored" or set "upright" by EXIF; None: told from the file."""
    confidence: float | None = None
    """Detections of less are left out; None: what the file says is typical of its detector."""
    empty: bool = False
    """Keep pictures in which nothing was detected, whole."""
    rules: Rules = field(default_factory=Rules)
    """What is done to barcodes."""
    pattern: str | None = None
    """How the first line of a sequence is read: a regular expression with named groups."""
    marker: str | None = None
    """Only sequences of this marker."""
    keep_personal: bool = False
    """Keep columns about people."""
    provisional: bool = False
    """Names such as "Culex sp. 1" are species."""
    labels: LabelColumns = field(default_factory=LabelColumns)
    """Columns of 0 and 1 that are one attribute, and columns that list several values."""
    max_image_bytes: int = MAX_IMAGE_BYTES
    """A larger file inside an archive is refused unread."""

    def shaping(self) -> dict[str, Any]:
        """What a Shaper is told of barcodes, people and names."""
        return {"rules": self.rules, "personal": True if self.keep_personal else None, "provisional": self.provisional}
