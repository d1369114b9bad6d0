"""Who may name an upload, and what is promised of the answers: from the words of a form to settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.rollback import DEFAULT_THRESHOLD
from biocosmos.identify.namers.heads import HEAD
from biocosmos.jobs.identify_settings import IdentifySettings, stops_of
from biocosmos.jobs.queries import encoder_for
from biocosmos.outputs import MODELS
from biocosmos.serve.asking.limits import NAMER_BYTES
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.stored_vectors import holds_kmers
from biocosmos.trust import refuse_code

BYTES_OF_COUNTS = 2 * 658
"""Of a whole barcode of COI as k-mers."""
MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
PROMISES = {
    "": "at most 10 % of the answers are wrong, if the collection has enough specimens for it",
    "1": "at most 1 % of the answers are wrong",
    "5": "at most 5 % of the answers are wrong",
    "10": "at most 10 % of the answers are wrong",
    "20": "at most 20 % of the answers are wrong",
    "none": f"nothing is promised: answers at the lowest rank with a confidence of {DEFAULT_THRESHOLD:.0%}",
}
"""What a form may say, and what it means."""


@dataclass(frozen=True)
class HowToName:
    """promise: a key of :data:`PROMISES`; model: the name of a trained head of the collection, None for its vectors; encoder: by
    which vectors, None for the default."""

    promise: str = ""
    model: str | None = None
    encoder: str | None = None

    def settings(self, collection: Collection) -> IdentifySettings:
        """As the command line has them. Raises BiocosmosError for a promise or a model that there is not."""
        if self.promise not in PROMISES:
            raise BiocosmosError(f"no promise {self.promise[:20]!r}: choose 1, 5, 10, 20 or none")
        told: dict[str, Any] = {}
        if self.promise:
            told |= stops_of(self.promise)
        if self.model is not None:
            there = models_of(collection)
            if self.model not in there:
                raise BiocosmosError(f"there is no model {self.model[:50]!r}: there is {', '.join(there) or 'none'}")
            told["head"] = collection.path / MODELS / self.model
        elif self.encoder is not None:
            told["encoder"] = collection.encoder_name(self.encoder)
            refuse_code(told["encoder"], collection.path)  # named in a browser, and by nobody who could know what it runs
        return IdentifySettings(**told)


def models_of(collection: Collection) -> list[str]:
    """Names of the trained heads of a collection, the latest first."""
    folder = collection.path / MODELS
    if not folder.is_dir():
        return []
    there = [path for path in folder.iterdir() if _is_model(path)]
    return [path.name for path in sorted(there, key=lambda path: (-(path / HEAD).stat().st_mtime_ns, path.name))]


def _is_model(path: Path) -> bool:
    return bool(MODEL.fullmatch(path.name)) and not path.is_symlink() and (path / HEAD).is_file()


def too_large(collection: Collection, how: HowToName, *, barcodes: bool = False) -> bool:
    """Whether the namer's known specimens would not fit into the server beside everything else: a job names then."""
    if how.model is not None:
        return False
    facts = collection.encoders[encoder_for(collection, how.encoder, "sequences" if barcodes else "images")]
    if holds_kmers(facts):
        return len(collection) * BYTES_OF_COUNTS > NAMER_BYTES
    return 4 * len(collection) * int(facts["dim"]) > NAMER_BYTES
