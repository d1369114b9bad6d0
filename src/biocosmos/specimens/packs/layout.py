"""What lies where in a pack, and what its ``pack.json`` says.

flowers.pack/
    README.md                what it is, for people and for the Hugging Face hub
    pack.json                format, name, licence, encoder, counts, how much the vectors lost
    SHA256SUMS               of every other file; 'sha256sum -c SHA256SUMS' reads it too
    taxonomy.parquet         the tree
    classes.parquet          a row for each class: its names, how many specimens were learnt from, their share
    statistics.safetensors   mean and variance of the vectors of each class
    specimens.parquet        id, label, names at every rank, which pack each comes from
    vectors.safetensors      a row for each of them
    identifier/              who names: see biocosmos.identify.keeping
    tests.json, tests.safetensors   vectors to ask with, and what must be answered
    encoder/                 with --weights, the encoder's own folder
    thumbnails.parquet       with --thumbnails, a small picture of each specimen
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from biocosmos.facts import Number
from biocosmos.files import is_file, is_folder, is_there

FORMAT = 1
FACTS, SUMS, CARD = "pack.json", "SHA256SUMS", "README.md"
TAXONOMY, CLASSES, STATISTICS = "taxonomy.parquet", "classes.parquet", "statistics.safetensors"
SPECIMENS, VECTORS, THUMBNAILS = "specimens.parquet", "vectors.safetensors", "thumbnails.parquet"
TESTS, ASKED = "tests.json", "tests.safetensors"
IDENTIFIER, ENCODER = "identifier", "encoder"
SUFFIX, ZIP = ".pack", ".zip"
SOURCE = "from_pack"
"""Column of specimens: the pack or collection that each comes from."""
KINDS = ("float32", "float16", "int8", "none")
"""How vectors may be kept."""
_COUNT = Number(0, 1 << 40, whole=True)
SHAPE: dict[str, Any] = {
    "format": Number(1, whole=True),
    "name": str,
    "licence": str,
    "biocosmos": str,
    "encoder": {
        "name": str,
        "digest": str,
        "dim": Number(1, 1 << 20, whole=True),
        "modality?": str,
        "preprocessing?": (None, {}),
        "folder": bool,
        "licence": (None, str),
    },
    "ranks": [str],
    "specimens": _COUNT,
    "classes": _COUNT,
    "least": Number(1, whole=True),
    "vectors": {"kind": KINDS, "recall": (None, {str: object})},
    "columns": [str],
    "weights": bool,
    "thumbnails": (None, _COUNT),
    "method": str,
    "sources": [{"name": str, "digest": (None, str), "specimens": _COUNT}],
    "made_from": {str: object},
}
"""Of ``pack.json``. encoder.folder: whether its name is that of a trained encoder's folder, and of no published one; thumbnails:
pixels of their longer side; recall: what :func:`biocosmos.specimens.packs.vectors.measured` found."""
_PATH = re.compile(r"[A-Za-z0-9_+=,-][A-Za-z0-9._+=, -]*(/[A-Za-z0-9_+=,-][A-Za-z0-9._+=, -]*){0,2}")
"""Of a file of a pack: plain letters, three deep at the most, nothing hidden, nothing that leads out."""


def is_pack_path(name: str) -> bool:
    """Whether a file of a pack may be called so."""
    return len(name) < 200 and _PATH.fullmatch(name) is not None and ".." not in name


def is_pack(path: Path) -> bool:
    """Whether this is meant to be a pack, and no collection: by its name or by what lies in it; nothing is believed yet."""
    if is_folder(path):
        return not is_there(path / "collection.json") and (path.suffix == SUFFIX or is_there(path / FACTS))
    return path.suffix == SUFFIX or (path.suffix == ZIP and is_file(path))
