"""The main job from end to end on the shipped sample: collect, split, embed, identify, evaluate, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.embed import embed
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.identify import identify_collection
from biocosmos.jobs.settings import DemoSettings
from biocosmos.provenance import software
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.sample import sample_citation, sample_source
from biocosmos.tables import write_table

ENCODER = "efficientnet-lite0"
STANDARD = DemoSettings()


@dataclass(frozen=True)
class Demonstration:
    """Where the demo put things, and what it found as (what, value) rows."""

    collection: Path
    identifications: Path
    report: Path
    findings: list[tuple[str, str]]


def run(folder: Path, settings: DemoSettings = STANDARD) -> Demonstration:
    """Run the job into ``folder``; what an earlier run left there is replaced.

    The specimens named are the part "test" of a stratified split; the gallery is "train", cross-fitted to calibrate confidence.
    """
    start = time.perf_counter()
    collection = Collection.create(folder / "plankton.cosmos", overwrite=True)
    added = collection.add(sample_source(), pack=True)
    split = collection.make_split("stratified", seed=settings.seed)
    summary = embed(collection, ENCODER, **settings.how())
    # said in full, so that the evaluation is of this very namer, which is kept with the collection
    named = identify_collection(collection, part="test", known="train", encoder=ENCODER, seed=settings.seed)
    named.kept_with(collection)  # what people review in the browser
    names = write_table(named.table, folder / "identifications.csv", named.identifier.provenance({"part": "test"}))
    report = evaluate_collection(collection, encoder=(ENCODER,), by=("group",), seed=settings.seed)
    page = report.write(folder / "report", thumbnails=collection.picture_bytes)
    (folder / "CITATION.txt").write_text(sample_citation() + "\n", encoding="utf-8")
    seconds = time.perf_counter() - start
    parts = ", ".join(f"{part} {n:,}" for part, n in split.counts().items())
    findings: list[tuple[str, str]] = [
        ("specimens", f"{added.added:,} real plankton images, {len(collection.taxonomy.leaves):,} classes"),
        (
            "split",
            f"{parts} (seed {settings.seed}, hash {split.hash})",
        ),
        ("embedded", f"{summary.images:,} images with {ENCODER}, {summary.images_per_second:,.0f} images/s"),
        *headlines(report),
        ("work", f"{seconds:.0f} s with biocosmos {software()['biocosmos']}"),
    ]
    return Demonstration(collection.path, names, page, findings)


def headlines(report: Any) -> list[tuple[str, str]]:
    """The report's main numbers, as rows to print."""
    return [(row["what"], f"{row['value']} ({row['detail']})") for row in report.headlines()]
