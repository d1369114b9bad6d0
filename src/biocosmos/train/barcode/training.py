"""Train an encoder of barcodes, from nothing or from a trained one.

    barcodes of the training part -> tokens -> transformer or CNN -> objective -> a folder that is an encoder

Arias et al., BarcodeBERT, 2023 (arXiv:2311.02401); Safari et al., BarcodeMAE, 2025 (arXiv:2502.18405). Deviations from
BarcodeBERT's pre-training: AdamW's decay spares biases and norms; the number of hidden tokens of a barcode is exact and not
binomial; small widths and few epochs by default, since a processor trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from biocosmos.encoders.barcode_models import HEAD, WEIGHTS, BarcodeModel, load_barcode_model
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.specimens.collection import Collection
from biocosmos.train.barcode.settings import TOKENWISE, BarcodeSettings
from biocosmos.train.barcode.specimens import BarcodeRows, barcode_rows
from biocosmos.train.barcode.tasks import BarcodeTask, SpeciesTask, TokenTask, VectorTask, new_model
from biocosmos.train.batches.taxa import save_taxa
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import Processes, processes
from biocosmos.train.loop.run_folder import (
    LABELS,
    SUMMARY,
    begin_folder,
    finish_run,
    finished_run,
    keep_record,
    part_facts,
    refuse_own_folder,
    refuse_trained_validation,
    training_facts,
)


@dataclass(frozen=True)
class BarcodeResult:
    """What a training left.

    folder: the encoder; history: figures of every epoch; rows: what was learnt from; failures: none so far; already_done: nothing
    was computed; main_process: this process is the one that tells the user.
    """

    folder: Path
    history: History
    rows: BarcodeRows
    failures: Failures = field(default_factory=Failures)
    already_done: bool = False
    main_process: bool = True


def train_barcode(
    collection: Collection | str | Path,
    settings: BarcodeSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[BarcodeRows, BarcodeModel], None] | None = None,
) -> BarcodeResult:
    """Train an encoder of barcodes and save it in the folder ``output``, by which every other command takes it.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. Under torchrun all
    processes call it alike. ``tell`` is called with what is learnt from, by one process, before training begins.

    Raises BiocosmosError: settings other than those the folder was begun with; a part that is held out, or without barcodes or
    names; a CNN or a model with windows to hide tokens of; a loss that is not finite.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    output = Path(output)
    if settings.encoder:
        refuse_own_folder(settings.encoder, output)
    with processes(settings.device) as where:
        if where.device.type == "cpu":
            keep_freed_memory()
        return _train(collection, settings, output, where, overwrite, tell)


def _train(
    collection: Collection,
    settings: BarcodeSettings,
    output: Path,
    where: Processes,
    overwrite: bool,
    tell: Callable[[BarcodeRows, BarcodeModel], None] | None,
) -> BarcodeResult:
    ranks = _ranks(collection, settings)
    rows = barcode_rows(collection, settings.split, named_at=ranks)
    if settings.objective == "species" and len(set(rows.labels(settings.rank).tolist())) < 2:
        raise BiocosmosError(f"part '{settings.split}' has one {settings.rank}: there is nothing to tell apart")
    torch.manual_seed(settings.seed)
    made = load_barcode_model(settings.encoder) if settings.encoder else new_model(settings)
    _refuse_network(made, settings)
    begin_folder(output, settings, where, overwrite=overwrite, leaves=(WEIGHTS, HEAD))
    if (output / SUMMARY).exists():
        history, _ = finished_run(output)
        return BarcodeResult(output, history, rows, already_done=True, main_process=where.first)
    held = _held(collection, settings, rows)
    if where.first:
        save_taxa(output / LABELS, rows.ids, rows.nodes, rows.taxonomy)
        watched = () if held is None else held.specimens
        keep_record(output, f"the encoder in {output}", settings, collection, rows.specimens, watched)
        if tell is not None:
            tell(rows, made)
    made.head = made.classes = None
    kind = TokenTask if settings.objective in TOKENWISE else SpeciesTask if settings.objective == "species" else VectorTask
    task: BarcodeTask = kind(settings, where, made, rows, held)
    task.model.to(where.device)
    before = task.validate(task.model.eval()) if where.first else {}
    history = fit(task, settings, output, where, start=before)
    if where.first:
        task.save(output, _facts(collection, settings, rows, made, history))
        finish_run(output, history, base=before)
    where.barrier()
    return BarcodeResult(output, history, rows, task.failures, main_process=where.first)


def _ranks(collection: Collection, settings: BarcodeSettings) -> tuple[str, ...]:
    """The ranks at one of which a specimen must have a name to be learnt from; none for tokens and neighbours."""
    asked = {"contrastive": tuple(settings.rank_weights()), "species": (settings.rank,)}.get(settings.objective, ())
    for rank in asked:
        if rank not in collection.ranks:
            known = ", ".join(collection.ranks) or "none"
            raise BiocosmosError(
                f"{collection.path} has no rank '{rank}', its ranks are: {known}; say others with "
                f"{'--ranks' if settings.objective == 'contrastive' else '--rank'}, or --objective masked, which needs no names"
            )
    return asked


def _refuse_network(made: BarcodeModel, settings: BarcodeSettings) -> None:
    if settings.objective not in TOKENWISE:
        return
    if isinstance(made.network, BarcodeCNN):
        raise BiocosmosError(f"'{settings.encoder}' is a CNN, which has no tokens to hide: use --objective contrastive")
    network = made.network
    if isinstance(network, BarcodeEmbedder) and (network.window > 1 or network.bag):
        raise BiocosmosError(
            f"'{settings.encoder}' sums tokens in windows, none of which can be hidden alone: use --objective contrastive"
        )


def _held(collection: Collection, settings: BarcodeSettings, rows: BarcodeRows) -> BarcodeRows | None:
    """The validation part's barcodes; None without such a part."""
    name, _, part = settings.validation.rpartition(":")
    if not part or part not in collection.split(name or "default").counts():
        if settings.patience is not None:
            raise BiocosmosError(
                f"--patience watches the part '{part}', which the split does not have: make one, or name another"
            )
        return None
    held = barcode_rows(collection, settings.validation)
    refuse_trained_validation(held.specimens, rows.specimens, settings.validation)
    return held


_DID = {
    "masked": "by predicting hidden tokens (BarcodeBERT)",
    "mae": "as a masked autoencoder (BarcodeMAE)",
    "contrastive": "to have barcodes of one taxon together (supervised contrastive)",
    "distil": "to have the neighbours that k-mer counts have",
    "species": "to tell taxa apart",
}


def _facts(
    collection: Collection, settings: BarcodeSettings, rows: BarcodeRows, made: BarcodeModel, history: History
) -> dict[str, Any]:
    """What the model card and ``biocosmos.json`` say of the training."""
    network = "A CNN" if isinstance(made.network, BarcodeCNN) else "A transformer"
    if isinstance(made.network, BarcodeEmbedder) and not made.network.encoder.layers:
        network = "A bag of k-mers"
    start = f", from {settings.encoder}" if settings.encoder else ""
    return {
        "what": f"{network} over barcodes, trained {_DID[settings.objective]} on {len(rows):,} barcodes{start} "
        "(biocosmos train barcode).",
        **part_facts(collection, settings),
        "rows": rows.facts,
        **training_facts(settings, history),
    }
