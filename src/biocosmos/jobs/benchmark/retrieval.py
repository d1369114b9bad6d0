"""CLIBD's retrieval on BIOSCAN-5M or 1M: one space of image, DNA and names is trained, and each is asked about the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.embed import embed
from biocosmos.encoders.modality import modality_of, towers_of
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.benchmark.report import beside_papers
from biocosmos.evaluate.open_world.published import PUBLISHED as FIGURES
from biocosmos.evaluate.open_world.published import SOURCE_HERE
from biocosmos.jobs.benchmark.download import Benchmarked, Data, opened
from biocosmos.jobs.benchmark.encoders import check_encoder
from biocosmos.jobs.benchmark.parts import CLIBD
from biocosmos.jobs.benchmark.settings import RetrievalSettings
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.evaluate_settings import CROSS_MODAL, EvaluateSettings

SPACE = "space"
CLIBD_RANKS = "order,family,genus,species"
PUBLISHED: dict[str, Any] = {
    "tune": "full",
    "width": 768,
    "hidden": 0,
    "batch_size": 500,
    "lr": 5e-5,
    "temperature": 0.07,
    "text_ranks": CLIBD_RANKS,
}
"""CLIBD's settings (its repository and paper, arXiv:2405.17537): batches of 500 on each of four GPUs."""
EPOCHS = {CLIBD.data: 50}
OTHER_EPOCHS = 20
Row = dict[str, Any]


def benchmark_retrieval(source: Path, folder: Path, settings: RetrievalSettings) -> Benchmarked:
    """From a download or a collection to a report beside the papers' table; goes on in ``folder`` from where it was killed.

    A space is trained in ``folder`` unless one is given: projections of stored vectors, or as published. Raises BiocosmosError
    for encoders that are not there, a space without a tower of images or of barcodes, and as :func:`opened`, before anything is
    read whole.
    """
    if settings.space is not None:
        towers = towers_of(str(settings.space))
        if not {"image", "dna"} <= set(towers):
            what = f"has no tower of {'images' if 'image' not in towers else 'barcodes'}" if towers else "is no space"
            raise BiocosmosError(f"--space {settings.space} {what}: train one with 'biocosmos train contrastive'")
    else:
        check_encoder(settings.image, "image")
        check_encoder(settings.dna, "dna")
        if settings.text not in ("", "tiny") and modality_of(settings.text) not in ("text", "dna"):
            raise BiocosmosError(f"--text {settings.text}: this is no encoder of names")
    wanted = ("unseen_keys", "validation", "unseen_validation")
    needed = ("keys", "seen", "unseen") if settings.space is not None else ("learnt", "keys", "seen", "unseen")
    data = opened(source, folder, settings, needed=needed, wanted=wanted, images=True)
    space = str(settings.space) if settings.space is not None else _trained(data, folder, settings)
    for tower in towers_of(space).values():
        embed(data.collection, tower)
    base = evaluate_collection(data.collection, _asked(data, space, settings))
    report = beside_papers(
        "retrieval",
        f"{data.parts.data}'s retrieval, on {data.collection.path.stem}: {space}",
        base,
        _of_retrieval(base, data),
        parts=data.rows(),
        missing=_missing(data, space),
        notes=data.notes,
    )
    return Benchmarked(report, data.collection)


def _trained(data: Data, folder: Path, settings: RetrievalSettings) -> str:
    """The folder of the space; made once, and gone on with where it was killed."""
    from biocosmos.train.contrastive.settings import ContrastiveSettings
    from biocosmos.train.contrastive.training import train_contrastive

    parts = data.parts
    how: dict[str, Any] = {}
    if settings.as_published:
        how = {**PUBLISHED, "epochs": EPOCHS.get(parts.data, OTHER_EPOCHS)}
    if settings.epochs is not None:
        how["epochs"] = settings.epochs
    told = ContrastiveSettings(
        image=settings.image,
        dna=settings.dna,
        text=settings.text,
        split=parts.spelled(data.there(parts.learnt)),
        validation=parts.spelled([parts.validation]) if data.counts.get(parts.validation) else "",
        seed=settings.seed,
        device=settings.device,
        **how,
    )
    output = folder / SPACE
    train_contrastive(data.collection, told, output)
    return output.as_posix()


def _asked(data: Data, space: str, settings: RetrievalSettings) -> EvaluateSettings:
    parts = data.parts
    unseen_keys = data.there(parts.unseen_keys)
    given: dict[str, Any] = {}
    if unseen_keys:
        given["unseen_keys"] = parts.spelled(unseen_keys)
    for name, part in (("calibration", parts.validation), ("calibration_unseen", parts.unseen_validation)):
        if data.counts.get(part):
            given[name] = parts.spelled([part])
    return EvaluateSettings(
        encoder=(space,),
        protocol=CROSS_MODAL,
        gallery=parts.spelled(data.there(parts.keys)),
        queries=parts.spelled([parts.seen]),
        unseen=parts.spelled([parts.unseen]),
        seed=settings.seed,
        device=settings.device,
        **given,
    )


def _of_retrieval(base: Report, data: Data) -> pa.Table:
    """CLIBD's figures, without those of other benchmarks of barcodes; drawn pictures are told beside every figure of them."""
    rows = [row for row in base.rows("published") if row["measure"].startswith("top-1")]
    told = [row | {"data": data.about(row["data"])} if row["source"] == SOURCE_HERE else row for row in rows]
    return pa.Table.from_pylist(told, FIGURES)


def _missing(data: Data, space: str) -> list[Row]:
    parts = data.parts
    rows = []
    if not data.there(parts.unseen_keys):
        why = f"the data have no specimen of {' or '.join(parts.unseen_keys)}"
        rows.append({"what": "species of unseen species", "why": why, "remedy": ""})
    if not (data.counts.get(parts.validation) and data.counts.get(parts.unseen_validation)):
        why = f"the data lack {parts.validation} or {parts.unseen_validation}, on which the threshold is chosen"
        rows.append({"what": "open-world decisions", "why": why, "remedy": ""})
    if "text" not in towers_of(space):
        rows.append({"what": "images to names", "why": "the space has no tower of names", "remedy": "--text tiny"})
    return rows
