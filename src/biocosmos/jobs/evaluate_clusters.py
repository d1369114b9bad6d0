"""Clusters of a collection's embeddings against its taxa."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biocosmos.discover.clusters.spaces import standardised
from biocosmos.encoders.reduction.spec import split_name
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.evaluate import Report
from biocosmos.evaluate.clustering.grid import FIXED, FROM_ANOTHER, FROM_LABELS, FROM_NO_LABELS, grid
from biocosmos.evaluate.clustering.report import Count, clustering_report, common_rows, main_of, targets_of
from biocosmos.evaluate.numbers.targets import rank_targets
from biocosmos.files import is_folder
from biocosmos.jobs.evaluate_settings import CHOSEN, GALLERY, TAXA, EvaluateSettings
from biocosmos.search.gallery import Gallery
from biocosmos.settings import names_in
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

FOLDER = "clustering"
WORK = "work"


def judge_clusters(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    """Cluster the part that asks by every encoder and setting, and compare with its taxa; goes on where it was killed, from what
    is kept in the collection's folder.

    Raises BiocosmosError as :func:`clustering_report`, and where the number of clusters is to be that of a part without a name at
    the rank.
    """
    parts = list(dict.fromkeys(part for name in encoders for part in parts_of(collection, name)))
    ways = grid(names_in(settings.reducer), names_in(settings.clusterer), seed=settings.seed)
    for name in settings.by:
        if name not in collection.dataset.schema.names:
            raise BiocosmosError(f"the collection has no column '{name}' to compare clusters with")
    pick: dict[str, Any] = {"where": settings.where, "columns": settings.by}
    asked = {}
    for name in encoders:
        galleries = {part: collection.gallery(part, split=settings.part, **pick) for part in parts_of(collection, name)}
        asked[name] = galleries[name] if name in galleries else fused(name, galleries)
    first = asked[encoders[0]]
    number, by = _count(collection, first, parts[0], settings)
    work, unkept = _work(collection)
    report = clustering_report(
        asked,
        ways,
        clusters=number,
        counted=by,
        groups=settings.by,
        seed=settings.seed,
        work=work,
    )
    report.caveats += unkept + guard.told(collection, first.ids, *parts)
    return report


def parts_of(collection: Collection, name: str) -> list[str]:
    """The embeddings that "efficientnet-lite0+kmer:5" names together; one that is called so, or a folder, is itself."""
    if "+" not in name or name in collection.encoders or is_folder(name):
        return [name]
    parts: list[str] = []
    for part in name.split("+"):
        if parts and split_name(f"{parts[-1]}+{part}")[1] is not None:  # "run+atc-0.5" is one encoder
            parts[-1] += f"+{part}"
        elif part:
            parts.append(part)
    return parts


def fused(name: str, galleries: Mapping[str, Gallery]) -> Gallery:
    """One gallery of the specimens that all have: every dimension to mean 0 and deviation 1, then side by side.

    BIOSCAN-5M joins images and barcodes so before it clusters them ("elementwise z-score"). Its vectors are not of unit length.
    """
    together = common_rows(galleries)
    first = next(iter(together.values()))
    vectors = np.concatenate([standardised(each.vectors, "zscore") for each in together.values()], axis=1)
    made = {part: each.provenance for part, each in together.items()}
    provenance = {**first.provenance, "encoder": {"name": name}, "fused": made}
    return Gallery(first.ids, vectors, first.taxa, first.taxonomy, provenance, first.columns)


def _work(collection: Collection) -> tuple[Path | None, list[str]]:
    """The folder to go on from, and what is to be said where there can be none: a collection may be read-only."""
    folder = collection.path / WORK / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return None, [f"{folder} cannot be written ({first_line(error)}): nothing was kept to go on from."]
    return folder, []


def _count(collection: Collection, asked: Gallery, encoder: str, settings: EvaluateSettings) -> tuple[Count, str]:
    """How many clusters, and where that comes from."""
    if settings.clusters == TAXA:
        return "taxa", FROM_LABELS
    if settings.clusters == CHOSEN:
        return "chosen", FROM_NO_LABELS
    if settings.clusters != GALLERY:
        return int(settings.clusters), FIXED
    main = main_of(targets_of(asked, None, settings.by))
    other = collection.gallery(encoder, split=settings.gallery, where=settings.where, columns=())
    found = rank_targets(other, other, [main.name]) if main.kind == "rank" else []
    if not found:
        raise BiocosmosError(f"no specimen of '{settings.gallery}' has a name at {main.name}: give --clusters a number")
    return len(found[0]), f"{FROM_ANOTHER} ({settings.gallery})"
