"""What an encoder takes, told by its name: nothing is imported for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from biocosmos.files import is_file

KMER = "kmer"
TRAINED = "biocosmos.json"
"""In the folder of an encoder that this package trained."""
CONFIG = "config.json"
BARCODE = "barcode"
"""What the description of a trained folder says its kind is."""
Modality = Literal["image", "dna"]


def modality_of(name: object) -> Modality:
    """What an encoder of this name, or a loaded one, takes; a look at a file at most, and "image" for what is not known."""
    if isinstance(name, str):
        return "dna" if name.partition(":")[0] == KMER or is_barcode_folder(Path(name)) else "image"
    return "dna" if getattr(name, "modality", None) == "dna" else "image"


def is_barcode_folder(folder: Path) -> bool:
    """Whether a folder holds a model of barcodes: trained here, or a BERT of k-mers."""
    for file, key, value in ((TRAINED, "kind", BARCODE), (CONFIG, "model_type", "bert")):
        if is_file(folder / file):
            try:
                facts = json.loads((folder / file).read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(facts, dict) and facts.get(key) == value:
                return True
    return False
