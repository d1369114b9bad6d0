"""BIOSCAN-5M's benchmark of models of barcodes: species fine-tuned and linear, the genus of unseen species by the nearest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.embed import embed
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.evaluate import Report
from biocosmos.evaluate.benchmark.report import beside_papers
from biocosmos.evaluate.open_world.published import GENUS_OF_UNSEEN, SPECIES_FINE_TUNED, SPECIES_LINEAR
from biocosmos.jobs.benchmark.download import Benchmarked, Data, opened
from biocosmos.jobs.benchmark.settings import KMERS, BarcodesSettings
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import OPEN_WORLD, EvaluateSettings
from biocosmos.tables import file_stem

TRAINED = "fine_tuned"
RATE, BATCH = 1e-4, 64
"""BarcodeBERT's rate for each 64 barcodes of its pre-training; that of its fine-tuning was not at hand."""
Row = dict[str, Any]


def benchmark_barcodes(source: Path, folder: Path, settings: BarcodesSettings) -> Benchmarked:
    """From a download or a collection to a report beside the papers' table; goes on in ``folder`` from where it was killed.

    Raises BiocosmosError for an encoder that is not there or is not of barcodes, and as :func:`opened`, before anything is read.
    """
    chosen = [str(name) for name in settings.encoder] or [KMERS]
    for name in [*chosen, *map(str, settings.fine_tune)]:
        load_barcode_encoder(name, device="cpu")
    data = opened(source, folder, settings, needed=("named", "seen", "unseen"), wanted=("validation",), images=False)
    parts, collection = data.parts, data.collection
    named = parts.spelled(data.there(parts.named))
    tuned = [_fine_tuned(data, named, start, folder, settings) for start in settings.fine_tune]
    encoders = list(dict.fromkeys([*chosen, *tuned]))
    for name in encoders:
        embed(collection, name, device=settings.device)
    counted = any(load_barcode_encoder(name, device="cpu").stored == "k-mers" for name in encoders)
    asked = EvaluateSettings(
        encoder=tuple(encoders),
        protocol=OPEN_WORLD,
        gallery=named,
        queries=parts.spelled([parts.seen]),
        unseen=parts.spelled([parts.unseen]),
        linear=settings.linear,
        aligned=settings.aligned and counted,
        seed=settings.seed,
        device=settings.device,
    )
    base = evaluate_collection(collection, asked)
    report = beside_papers(
        "barcodes",
        f"{parts.data}'s benchmark of barcodes, on {collection.path.stem}: {', '.join(encoders)}",
        base,
        _of_the_three(base),
        parts=data.rows(),
        missing=_missing(base, settings, counted),
        notes=data.notes,
        facts={"fine_tuned_from": dict(zip(tuned, map(str, settings.fine_tune)))},
    )
    return Benchmarked(report, collection)


def _fine_tuned(data: Data, named: str, start: Path, folder: Path, settings: BarcodesSettings) -> str:
    """The folder of ``start`` fine-tuned to the species of the training part; made once, and gone on with where it was killed."""
    from biocosmos.train.barcode.settings import BarcodeSettings
    from biocosmos.train.barcode.training import train_barcode

    output = folder / TRAINED / file_stem(start.name or start.absolute().name)
    told = BarcodeSettings(
        encoder=str(start),
        objective="species",
        split=named,
        validation=data.parts.spelled([data.parts.validation]) if data.counts.get(data.parts.validation) else "",
        epochs=settings.epochs,
        lr=RATE,
        batch_size=BATCH,
        seed=settings.seed,
        device=settings.device,
    )
    train_barcode(data.collection, told, output)
    return str(output)


def _of_the_three(base: Report) -> pa.Table:
    """The published figures of the three tasks on any data, and what was measured here of them."""
    table = base.table("published")
    wanted = pa.array([task in (SPECIES_FINE_TUNED, SPECIES_LINEAR, GENUS_OF_UNSEEN) for task in table["task"].to_pylist()])
    return table.filter(wanted)


def _missing(base: Report, settings: BarcodesSettings, counted: bool) -> list[Row]:
    found = {row["task"] for row in base.rows("published") if row["measured_here"] is not None}
    reasons: Mapping[str, tuple[str, str]] = {
        SPECIES_FINE_TUNED: ("no encoder was fine-tuned to species", "--fine-tune BarcodeBERT/"),
        SPECIES_LINEAR: ("it was not asked for", "leave --no-linear out"),
        GENUS_OF_UNSEEN: ("no unseen specimen has a genus that the training part has", ""),
    }
    rows = [{"what": task, "why": why, "remedy": how} for task, (why, how) in reasons.items() if task not in found]
    if not (settings.aligned and counted):
        why = "it was not asked for" if counted else "no encoder that counts k-mers was named"
        rows.append({"what": "what stands for BLAST", "why": why, "remedy": "leave --no-aligned out, with -e kmer:7"})
    return rows
