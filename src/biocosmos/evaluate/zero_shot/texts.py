"""What a text tower reads: sentences with a taxon's names in them, and their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.text import TextEncoder, read_templates
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.taxon_texts import Wording
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
# What stands for a taxon in a sentence; "X with common name Y" as in BioCLIP's training texts (arXiv:2311.18803).
TEXT_TYPES = {
    "sci": "scientific name",
    "com": "common name",
    "taxon": "taxonomic string",
    "sci_com": "scientific + common name",
    "taxon_com": "taxonomic string + common",
}
NAME = "{name}"
"""The one sentence for a text tower that was trained on names."""
_TEXTS = 256


def sentences() -> tuple[str, ...]:
    """The 80 sentences that come with the package."""
    text = resources.files("biocosmos.evaluate.zero_shot").joinpath("sentences.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def read_sentences(path: str | Path) -> tuple[str, ...]:
    """Sentences from a file, one a line with {name} in each. Raises BiocosmosError."""
    found = read_templates(path)
    for template in found:
        if "{name}" not in template:
            raise BiocosmosError(f"{path}: {template!r} has no {{name}}: here {{name}} stands for every text type")
    return found


def names_of(taxonomy: Taxonomy, nodes: Array, common: Mapping[str, str], wording: Wording | None = None) -> dict[str, list[str]]:
    """For each text type what stands for each of the nodes; "common" has the common name itself, "" where there is none.

    sci: the name, with the genus before it where a species has only its epithet; taxon: the names from the first rank down,
    without a genus that its species repeats. Underscores of label names become spaces. wording: of a text tower that was trained
    on names, whose "taxon" is the text as it was trained on.
    """
    out: dict[str, list[str]] = {kind: [] for kind in ("common", *TEXT_TYPES)}
    for node in nodes:
        path = taxonomy.path(int(node))
        named = [(rank, name.replace("_", " ")) for rank, name in zip(taxonomy.ranks, path) if name is not None]
        rank, scientific = named[-1]
        genus = dict(named).get("genus")
        if rank == "species" and genus:
            if " " not in scientific:
                scientific = f"{genus} {scientific}"
            if scientific.startswith(f"{genus} "):
                named = [pair for pair in named if pair[0] != "genus"]
        written = None if wording is None else wording.text(path, taxonomy.ranks)
        string = written or " ".join([*(name for _, name in named[:-1]), scientific])
        vernacular = common.get(str(path[taxonomy.ranks.index(rank)]), "").strip()
        out["common"].append(vernacular)
        out["sci"].append(scientific)
        out["com"].append(vernacular or scientific)
        out["taxon"].append(string)
        out["sci_com"].append(f"{scientific} with common name {vernacular}" if vernacular else scientific)
        out["taxon_com"].append(f"{string} with common name {vernacular}" if vernacular else string)
    return out


def text_vectors(encoder: TextEncoder, names: Sequence[str], templates: Sequence[str]) -> Array:
    """(names, d) float32 unit vectors: the mean of each name's sentences."""
    each = max(1, _TEXTS // len(templates))
    parts = []
    with progress("encode taxon names", total=len(names), unit="taxa") as bar:
        for start in range(0, len(names), each):
            batch = names[start : start + each]
            texts = [template.replace("{name}", name) for name in batch for template in templates]
            vectors = np.asarray(encoder.encode_texts(texts), np.float32).reshape(len(batch), len(templates), -1)
            parts.append((vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).mean(axis=1))
            bar.advance(len(batch))
    means = np.concatenate(parts)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise BiocosmosError("zero-shot: the text encoder returned a zero or NaN vector; try another encoder or precision")
    unit: Array = (means / norms).astype(np.float32)
    return unit


def common_names(galleries: Mapping[str, Gallery], common: str | Mapping[str, str] | None) -> dict[str, str]:
    """Finest name of a specimen -> its most frequent common name."""
    if common is None or isinstance(common, Mapping):
        return dict(common or {})
    found: dict[str, dict[str, int]] = {}
    for gallery in galleries.values():
        if gallery.columns is None or common not in gallery.columns.column_names or gallery.taxa is None:
            continue
        assert gallery.taxonomy is not None
        for node, name in zip(gallery.taxa, gallery.columns[common].to_pylist()):
            if name and node > 0:
                counts = found.setdefault(str(gallery.taxonomy.names[node]), {})
                counts[str(name).strip()] = counts.get(str(name).strip(), 0) + 1
    return {taxon: max(sorted(counts), key=lambda name: counts[name]) for taxon, counts in found.items()}
