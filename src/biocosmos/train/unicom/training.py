"""UNICOM: train an encoder to tell clusters of its own embedding apart, as if they were classes.

    embedding of the training part -> k-means -> cluster of each image -> margin softmax over cluster centres -> better encoder

An et al., Unicom: Universal and Compact Representation Learning for Image Retrieval, ICLR 2023 (arXiv:2304.05884), and
Multi-label Cluster Discrimination for Visual Representation Learning, ECCV 2024 (arXiv:2407.17331). With ``taxa`` the classes
are the true taxa instead: the supervised reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.base_vectors import embed_base
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import Processes, processes
from biocosmos.train.loop.run_folder import (
    AUDIT,
    LABELS,
    SUMMARY,
    begin_folder,
    finish_run,
    finished_run,
    keep_record,
    refuse_own_folder,
    refuse_trained_validation,
)
from biocosmos.train.unicom.audit import Audit, audit
from biocosmos.train.unicom.clusters import cluster_labels, refuse_too_many, taxon_labels
from biocosmos.train.unicom.labels import ClusterLabels
from biocosmos.train.unicom.settings import UnicomSettings
from biocosmos.train.unicom.tasks import FrozenTask, ImageTask
from biocosmos.train.unicom.validation import Validation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    folder: the encoder; history: figures of every epoch; base: the same figures at the start of the training (with a projection
    that whitens, if it begins with one), at the same input; labels: what was learnt; failures: images that could not be read;
    already_done: nothing was computed; main_process: this process is the one that tells the user.
    """

    folder: Path
    history: History
    base: dict[str, float]
    labels: ClusterLabels
    failures: Failures = field(default_factory=Failures)
    already_done: bool = False
    main_process: bool = True

    def notes(self) -> list[str]:
        """What must be known of the result, in sentences: whether the training was of any use on the validation part."""
        best = self.history.best
        if not best or not self.base:
            return []
        metric, before = next(iter(self.base.items()))
        ends = [row[metric] for row in self.history.epochs if metric in row]
        if best["epoch"] == 0:
            return [
                f"no epoch bettered the start on the validation part ({metric} {before:.3f}, then at most {max(ends):.3f}): the "
                "weights it began with were kept; try a lower --lr, other --clusters or more images"
            ]
        if best[metric] < before:
            return [
                f"the training made it worse on validation ({metric} {before:.3f} at the start, {best[metric]:.3f} kept): "
                "--keep best would keep the start"
            ]
        return []


def train_unicom(
    collection: Collection | str | Path,
    settings: UnicomSettings,
    output: str | Path,
    *,
    labels: ClusterLabels | None = None,
    overwrite: bool = False,
    tell: Callable[[Audit], None] | None = None,
) -> TrainResult:
    """Train an encoder and save it in the folder ``output``, by which every other command takes it.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. Under torchrun all
    processes call it alike. ``labels``: in place of those the settings describe; ``tell`` is called with the
    audit of new labels, by one process, before training begins.

    Raises BiocosmosError: settings other than those the folder was begun with; fewer images than clusters; one class; ids of
    another part among the labels; a loss that is not finite; and what the encoder or collection refuse.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    with processes(settings.device) as where:
        return _Training(collection, settings, Path(output), where, labels, overwrite, tell).run()


class _Training:
    def __init__(
        self,
        collection: Collection,
        settings: UnicomSettings,
        output: Path,
        where: Processes,
        labels: ClusterLabels | None,
        overwrite: bool,
        tell: Callable[[Audit], None] | None,
    ) -> None:
        self.collection, self.settings, self.output, self.where = collection, settings, output, where
        self.given, self.overwrite, self.tell = labels, overwrite, tell
        if where.device.type == "cpu":
            keep_freed_memory()

    def run(self) -> TrainResult:
        self._refuse_early()
        begin_folder(self.output, self.settings, self.where, overwrite=self.overwrite)
        towers = load_towers(self.settings.encoder)
        self._refuse_tower(towers)
        embed_base(self.collection, self.settings.encoder, towers.digest, self.where)
        labels = self._labels()
        summary = self.output / SUMMARY
        if summary.exists():
            history, facts = finished_run(self.output)
            base_figures = facts.get("base") or {}
            return TrainResult(self.output, history, base_figures, labels, already_done=True, main_process=self.where.first)
        base = self.collection.gallery(self.settings.encoder, split=self.settings.split, columns=())
        means = class_means(base, labels)
        validation = self._validation(means, labels)
        if self.where.first:
            held = () if validation is None else validation.gallery.ids
            keep_record(self.output, f"the encoder in {self.output}", self.settings, self.collection, labels.ids, held)
        torch.manual_seed(self.settings.seed)
        task = (FrozenTask if self.settings.freeze else ImageTask)(
            self.collection, self.settings, self.where, towers, base, labels, means, validation
        )
        del base  # as large as the training part
        task.model.to(self.where.device)
        before = task.validate(task.model.eval()) if self.where.first else {}
        history = fit(task, self.settings, self.output, self.where, start=before)
        result = TrainResult(self.output, history, before, labels, task.failures, main_process=self.where.first)
        if self.where.first:
            self._save(task, result)
            self.collection.record_failures(task.failures)
        self.where.barrier()
        return result

    def _refuse_early(self) -> None:
        """What would fail after hours fails now."""
        settings = self.settings
        refuse_own_folder(settings.encoder, self.output)
        name, _, part = settings.split.rpartition(":")
        images = len(self.collection.split(name or "default").part(part))
        if settings.taxa is None and settings.labels is None and self.given is None:
            refuse_too_many(settings.clusters, images, "images", part)

    def _refuse_tower(self, towers: Towers) -> None:
        settings = self.settings
        if settings.freeze:
            return
        if towers.projection is not None and settings.dim:
            raise BiocosmosError(f"'{settings.encoder}' has a projection already: give --dim 0 to train that one")
        if towers.architecture["kind"] == "none":
            raise BiocosmosError(f"'{settings.encoder}' cannot be built again from a folder: train a projection of it (--freeze)")

    def _labels(self) -> ClusterLabels:
        path, settings = self.output / LABELS, self.settings
        if self.where.first and not path.exists():
            if self.given is not None:
                labels = self.given
            elif settings.labels is not None:
                labels = ClusterLabels.load(settings.labels)
            elif settings.taxa is not None:
                labels = taxon_labels(self.collection, encoder=settings.encoder, rank=settings.taxa, split=settings.split)
            else:
                labels = cluster_labels(
                    self.collection,
                    clusters=settings.clusters,
                    encoder=settings.encoder,
                    source=settings.source,  # type: ignore[arg-type]
                    text_encoder=settings.text_encoder,
                    split=settings.split,
                    seed=settings.seed,
                    views=settings.views,
                    size=settings.size,
                    whiten=settings.whiten,
                )
            self._check(labels)
            found = audit(self.collection, labels)
            found.write(self.output / AUDIT)
            if self.tell is not None:
                self.tell(found)
            labels.save(path)
        self.where.barrier()
        labels = ClusterLabels.load(path)
        self._check(labels)
        return labels

    def _check(self, labels: ClusterLabels) -> None:
        name, _, part = self.settings.split.rpartition(":")
        guard.refuse_outside(labels.ids, self.collection.split(name or "default"), part, "labelled ids")
        if labels.count < 2:
            what = labels.names[0] if labels.names else "one cluster"
            raise BiocosmosError(f"all {len(labels):,} training images are of one class ({what}): there is nothing to tell apart")

    def _validation(self, means: Array, labels: ClusterLabels) -> Validation | None:
        settings = self.settings
        name, _, part = settings.validation.rpartition(":")
        held: Gallery | None = None
        if part and self.collection.split(name or "default").has(part):
            held = self.collection.gallery(settings.encoder, split=settings.validation, columns=())
        if held is not None:
            refuse_trained_validation(held.ids, labels.ids, settings.validation)
        if held is not None and len(held) > 1:
            found = Validation(held, means, labels, monitor=settings.monitor, seed=settings.seed)
            if found.metrics:
                return found
        if settings.patience is not None:
            raise BiocosmosError(
                f"--patience watches the part '{part}', which the split does not have or which has nothing to recall: "
                "make one, or name another"
            )
        return None

    def _save(self, task: FrozenTask | ImageTask, result: TrainResult) -> None:
        settings, labels, history = self.settings, result.labels, result.history
        what = _learnt(labels, settings)
        facts = {
            "what": f"{settings.encoder}, trained to tell apart {what} ({len(labels):,} images; biocosmos train unicom).",
            "collection": self.collection.path.name,
            "split": "{name}, part {part}, hash {hash}".format(**labels.facts["split"])
            if "split" in labels.facts
            else "not known",
            "labels": f"{labels.count:,} classes, digest {labels.digest}; {LABELS} has them and what made them",
            "images": len(labels),
            "settings": asdict(settings),
            "metrics": [{"epoch": 0, **result.base}, *history.epochs],
            "kept": history.best,
            "steps": history.steps,
            "computed in": history.computing,
            "seconds": round(history.seconds, 1),
        }
        task.save(self.output, facts)
        finish_run(self.output, history, base=result.base, labels=labels.digest)


def _learnt(labels: ClusterLabels, settings: UnicomSettings) -> str:
    """What the classes are, for the model card."""
    if labels.names is not None:
        return f"the taxa of {labels.facts.get('rank', 'the collection')}"
    source = labels.facts.get("source", "image")
    if source != "image":
        return f"{labels.count:,} clusters of {source} vectors (captions that name the species make them partly supervised)"
    own = labels.facts.get("encoder") in (None, settings.encoder)
    return f"{labels.count:,} clusters of {'its own' if own else 'another'} embedding, without labels"


def class_means(base: Gallery, labels: ClusterLabels) -> Array:
    """(k, dim) float32: mean of each class's vectors in the embedding ``base``, made unit length."""
    rows = labels.rows_of(base.ids)
    there = rows >= 0
    sums = np.zeros((labels.count, base.dim), np.float64)
    np.add.at(sums, labels.labels[rows[there]], base.vectors[there])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums[lengths[:, 0] == 0, 0] = 1.0  # a class of texts without images: any direction will do
    return np.asarray(sums / np.where(lengths > 0, lengths, 1.0), np.float32)
