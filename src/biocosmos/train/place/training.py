"""Train a network over places that says which taxa are there.

    specimens -> coordinates on the sphere, two harmonics of the day, depth, rasters -> SINR's network -> a loss -> a prior

Cole et al., Spatial Implicit Neural Representations for Global-Scale Species Mapping, 2023 (arXiv:2306.02564); Mac Aodha et
al., Presence-Only Geographical Priors for Fine-Grained Image Classification, 2019 (arXiv:1906.05272). Adam at 5e-4 that falls by
.98 an epoch, as published. Deviations by default: coordinates on the sphere, so that the poles differ; the day and the depth
beside them; parts of what is known are hidden now and then; smaller batches of small collections, and more epochs, of which
held-out cells choose one. geo_prior's terms for photographers, and its cap of specimens of a taxon, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.places.environment import Environment
from biocosmos.encoders.places.taxa import ARRAYS, WEIGHTS, Seen, TaxonModel, save_taxon_model, seen_of
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.errors import BiocosmosError
from biocosmos.identify.priors.choosing import groups_of
from biocosmos.nn.place.network import PlaceNetwork
from biocosmos.places import Places
from biocosmos.train.batches.drawing import suited_batch
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import processes
from biocosmos.train.loop.run_folder import SUMMARY, begin_folder, finish_run, finished_run, training_facts
from biocosmos.train.place.settings import LARGEST, SOFTMAX, NetworkSettings
from biocosmos.train.place.task import Presences, TaxonTask

LEAVES = (WEIGHTS, ARRAYS, "README.md")


@dataclass(frozen=True)
class NetworkResult:
    """What a training left.

    history: figures of every epoch; learnt, held: ids learnt from, and those of held-out cells that chose the epoch; left_out: of
    these cells, whose taxon was not learnt; base: the mean -log share of the held-out ones by the overall shares.
    """

    folder: Path
    history: History
    learnt: npt.NDArray[np.object_]
    held: npt.NDArray[np.object_]
    left_out: int
    base: float
    already_done: bool = False
    main_process: bool = True


def train_network(
    taxa: npt.NDArray[np.object_],
    places: Places,
    ids: npt.NDArray[np.object_],
    settings: NetworkSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    record: Callable[[npt.NDArray[np.object_], npt.NDArray[np.object_]], None] | None = None,
) -> NetworkResult:
    """Train on n specimens, their taxa (paths), places and ids, and save the network in the folder ``output``.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. record: called by one
    process with the ids learnt from, and with those of held-out cells, before training begins.

    Raises BiocosmosError: fewer than two taxa, or two specimens; settings or specimens other than those the folder was begun
    with; rasters that cannot be read; a loss that is not finite.
    """
    output = Path(output)
    with processes(settings.device) as where:
        if where.device.type == "cpu":
            keep_freed_memory()
        known, taxon = np.unique(taxa.astype(str), return_inverse=True)
        everything = Presences(places, taxon.reshape(-1).astype(np.int64), ids)
        learnt, held, left_out = _parts(everything, settings)
        if len(set(learnt.taxa.tolist())) < 2:
            raise BiocosmosError("fewer than two taxa are left to learn from where cells are held out: give --held-out 0")
        kept, columns = np.unique(learnt.taxa, return_inverse=True)
        counts = np.bincount(columns.reshape(-1)).astype(np.float64)
        renumbered = np.full(len(known), -1, np.int64)
        renumbered[kept] = np.arange(len(kept))
        learnt, held = (replace(part, taxa=renumbered[part.taxa]) for part in (learnt, held))
        base = -float(np.log(counts[held.taxa] / counts.sum()).mean()) if len(held) else float("nan")
        begin_folder(output, settings, where, overwrite=overwrite, leaves=LEAVES)
        if (output / SUMMARY).exists():
            history, _ = finished_run(output)
            return NetworkResult(output, history, learnt.ids, held.ids, left_out, base, True, where.first)
        if where.first and record is not None:
            record(learnt.ids, held.ids)
        model = _new(settings, known[kept].tolist(), counts, learnt)
        size = suited_batch(settings.batch_size, len(learnt), where.size, LARGEST[settings.method])
        task = TaxonTask(replace(settings, batch_size=size), where, model, learnt, held)
        history = fit(task, settings, output, where)
        model.whole.to("cpu")
        if where.first:
            what = f"A network over places and {len(kept):,} taxa, {settings.method}, trained on {len(learnt):,} specimens "
            facts = {"what": f"{what}(biocosmos train place).", **training_facts(settings, history)}
            save_taxon_model(output, model, training=facts)
            finish_run(output, history)
        where.barrier()
        return NetworkResult(output, history, learnt.ids, held.ids, left_out, base, main_process=where.first)


def _parts(everything: Presences, settings: NetworkSettings) -> tuple[Presences, Presences, int]:
    """What is learnt from, and what of the held-out cells is judged; how many there are of a taxon that is not learnt."""
    groups = groups_of(everything.places)
    shuffled = np.random.default_rng(settings.seed).permutation(np.unique(groups))
    chosen = np.isin(groups, shuffled[: int(len(shuffled) * settings.held_out)])
    learnt, held = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    known = np.isin(everything.taxa[held], everything.taxa[learnt])
    return everything.take(learnt), everything.take(held[known]), int((~known).sum())


def _new(settings: NetworkSettings, taxa: list[str], counts: npt.NDArray[np.float64], learnt: Presences) -> TaxonModel:
    """A network with random weights of the seed."""
    places, published = learnt.places, settings.inputs == "published"
    known = bool(places.has_day.any()), bool(np.isfinite(places.depth).any())
    seen = Seen(published, *known, settings.hide > 0, *(() if published else Seen.extent(places)))
    environment = Environment.of(settings.rasters, method="bilinear", zeros=True) if settings.rasters else None
    inputs = int(seen_of(places.take(slice(0, 1)), seen, environment).shape[1])
    torch.manual_seed(settings.seed)
    whole = PlaceNetwork(inputs, len(taxa), width=settings.width, blocks=settings.blocks, dropout=settings.dropout)
    weight = 0.0 if settings.loss == SOFTMAX else settings.positive_weight or float(len(taxa))
    return TaxonModel(whole, seen, settings.loss, weight, tuple(taxa), counts, learnt.ids, environment)


__all__ = ["NetworkResult", "train_network"]
