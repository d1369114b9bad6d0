"""BIOSCAN-5M's zero-shot clustering: images, barcodes and both side by side, by UMAP and Ward's tree, against taxa and BINs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.discover.extras import load
from biocosmos.embed import embed
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.benchmark.report import beside_papers
from biocosmos.evaluate.open_world.published import measured, published_table
from biocosmos.jobs.benchmark.download import Benchmarked, Data, opened
from biocosmos.jobs.benchmark.encoders import check_encoder
from biocosmos.jobs.benchmark.settings import PHOTOS, SHORT_KMERS, ClusteringSettings
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import CLUSTERING, EvaluateSettings
from biocosmos.settings import names_in
from biocosmos.specimens.records import BINS

AMI = "AMI"
Row = dict[str, Any]


def benchmark_clustering(source: Path, folder: Path, settings: ClusteringSettings) -> Benchmarked:
    """From a download or a collection to a report beside the papers' table; goes on in ``folder`` from where it was killed.

    Raises BiocosmosError for an encoder that is not there or takes something else, without umap-learn where UMAP is asked for,
    and as :func:`opened`, before anything is read.
    """
    _check(settings)
    data = opened(source, folder, settings, needed=(), wanted=("seen", "unseen"), images=bool(settings.image))
    parts, collection = data.parts, data.collection
    there = data.there((parts.seen, parts.unseen))
    if not there:
        raise BiocosmosError(f"{source} has no specimen of part {parts.seen} or {parts.unseen}, which this benchmark clusters")
    pictured = collection.count(split=parts.spelled(there), where="content_hash IS NOT NULL")
    images = list(settings.image) or ([PHOTOS] if pictured else [])
    dna = list(settings.dna) or [SHORT_KMERS]
    for name in [*images, *dna]:
        embed(collection, name, device=settings.device)
    joined = [f"{image}+{barcode}" for image in images for barcode in dna] if settings.joined else []
    bins = next((name for name in BINS if name in collection.stored_columns), None)
    base = evaluate_collection(
        collection,
        EvaluateSettings(
            encoder=(*images, *dna, *joined),
            protocol=CLUSTERING,
            queries=parts.spelled(there),
            reducer=settings.reducer,
            clusterer="ward",
            by=() if bins is None else (bins,),
            seed=settings.seed,
            device=settings.device,
        ),
    )
    report = beside_papers(
        "clustering",
        f"{parts.data}'s zero-shot clustering, on {collection.path.stem}: {', '.join((*images, *dna))}",
        base,
        _figures(base, data.about(f"{collection.path.stem}: {'+'.join(there)}")),
        parts=data.rows(),
        missing=_missing(data, images, joined, bins, settings),
        notes=data.notes,
    )
    return Benchmarked(report, collection)


def _check(settings: ClusteringSettings) -> None:
    """Refuse encoders that are not there, or that take something else, and a reducer that is not installed."""
    if any(name.partition(":")[0] == "umap" for name in names_in(settings.reducer)):
        load("umap", "zero-shot clustering")
    for name in settings.image:
        check_encoder(name, "image")
    for name in settings.dna:
        check_encoder(name, "dna")


def _figures(base: Report, data: str) -> pa.Table:
    """A row an encoder, setting and rank that has two taxa at least; several settings are told apart by the model's name."""
    rows = [row for row in base.rows("scores") if row["taxa"] > 1]
    several = len({row["setting"] for row in rows}) > 1
    ranks = list(dict.fromkeys(row["rank"] for row in rows))
    found = []
    for row in sorted(rows, key=lambda row: ranks.index(row["rank"])):
        model = f"{row['encoder']}, {row['setting']}" if several else row["encoder"]
        found.append(measured(row["rank"], data, model, AMI, row["ami"]))
    return published_table(found, modalities=())


def _missing(data: Data, images: list[str], joined: list[str], bins: str | None, settings: ClusteringSettings) -> list[Row]:
    parts = data.parts
    rows = [
        {"what": f"part {name}", "why": "the data have no specimen of it", "remedy": ""}
        for name in (parts.seen, parts.unseen)
        if not data.counts.get(name)
    ]
    if not images:
        rows.append(
            {
                "what": "images, and images with barcodes",
                "why": "no specimen of these parts has an image",
                "remedy": "fetch the image package cropped_256, or name the folder with --images",
            }
        )
    elif not joined:
        rows.append({"what": "images with barcodes", "why": "it was not asked for", "remedy": "leave --no-joined out"})
    if bins is None:
        rows.append({"what": "BINs", "why": f"there is no column {' or '.join(BINS)}", "remedy": ""})
    return rows
