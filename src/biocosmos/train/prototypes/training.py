"""Train one embedding and one prototype for each taxon, so that taxa without a single training image can be answered too.

    collection -> seen, chosen-on and unseen taxa -> geometry of all of them -> embedding and prototypes of the seen
        -> prototypes of the others where the geometry says -> handicap of the seen -> an encoder folder with prototypes

The multi-task model of the OceanIA deck: classification, supervised contrastive loss, prototypes and a Gromov-Wasserstein term.
The folder is an encoder for every other command; :class:`biocosmos.identify.namers.placed_prototypes.PlacedPrototypes` reads the
prototypes beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import keep_freed_memory
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, PROTOTYPES, SEEN, TREE, PlacedPrototypes
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.base_vectors import embed_base
from biocosmos.train.batches.taxa import save_taxa
from biocosmos.train.batches.text_vectors import text_vectors
from biocosmos.train.loop.loop import History, fit
from biocosmos.train.loop.processes import Processes, processes
from biocosmos.train.loop.run_folder import (
    LABELS,
    SUMMARY,
    begin_folder,
    finish_run,
    finished_run,
    keep_record,
    refuse_own_folder,
    refuse_trained_validation,
    training_facts,
)
from biocosmos.train.prototypes.geometry import Geometry, geometry
from biocosmos.train.prototypes.handicap import best_handicap
from biocosmos.train.prototypes.held_out_taxa import LabelledPart, TaxaRoles, labelled_part, taxa_roles
from biocosmos.train.prototypes.settings import ZeroShotSettings
from biocosmos.train.prototypes.tasks import FrozenZeroShotTask, ImageZeroShotTask, ZeroShotTask

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ZeroShotTraining:
    """What a training left.

    folder: the encoder, with the prototypes; prototypes; taxa: who was seen; history: figures of every epoch; already_done:
    nothing was computed; main_process: this process is the one that tells the user.
    """

    folder: Path
    prototypes: PlacedPrototypes
    taxa: TaxaRoles
    history: History
    failures: Failures = field(default_factory=Failures)
    already_done: bool = False
    main_process: bool = True


def train_zero_shot(
    collection: Collection | str | Path,
    settings: ZeroShotSettings,
    output: str | Path,
    *,
    overwrite: bool = False,
    tell: Callable[[TaxaRoles, Array], None] | None = None,
) -> ZeroShotTraining:
    """Train and save in the folder ``output``.

    Interrupted, it goes on from its last checkpoint when called again, and ends with the same weights. ``tell`` is called with
    the taxa and the training specimens of each, by one process, before training begins.

    Raises BiocosmosError: settings other than those the folder was begun with; taxa that cannot be held out; a geometry without
    its table or text encoder; a loss that is not finite; and what the encoder or collection refuse.
    """
    collection = collection if isinstance(collection, Collection) else Collection.open(collection)
    with processes(settings.device) as where:
        return _Training(collection, settings, Path(output), where).run(overwrite, tell)


class _Training:
    def __init__(self, collection: Collection, settings: ZeroShotSettings, output: Path, where: Processes) -> None:
        self.collection, self.settings, self.output, self.where = collection, settings, output, where
        if where.device.type == "cpu":
            keep_freed_memory()

    def run(self, overwrite: bool, tell: Callable[[TaxaRoles, Array], None] | None) -> ZeroShotTraining:
        settings, output = self.settings, self.output
        refuse_own_folder(settings.encoder, output)
        taxa = roles_of(self.collection, settings)
        begin_folder(output, settings, self.where, overwrite=overwrite, leaves=(PROTOTYPES, TREE))
        summary = output / SUMMARY
        if summary.exists() and (output / PROTOTYPES).exists():
            history, _ = finished_run(output)
            placed = PlacedPrototypes.load(output)
            return ZeroShotTraining(output, placed, taxa, history, already_done=True, main_process=self.where.first)
        parts = self._parts(taxa)
        if self.where.first:
            learnt = np.concatenate([parts[name].ids for name in ("train", "chosen") if name in parts])
            held = parts["held"].ids if "held" in parts else ()
            keep_record(output, f"the prototypes in {output}", settings, self.collection, learnt, held)
        if tell is not None and self.where.first:
            every = np.concatenate([part.taxa for name, part in parts.items() if name != "held"])
            tell(taxa, np.bincount(every, minlength=len(taxa.nodes)))
        known = geometry_of(settings, taxa)
        towers = load_towers(settings.encoder)
        embed_base(self.collection, self.settings.encoder, towers.digest, self.where)
        torch.manual_seed(settings.seed)
        task = self._task(taxa, known, parts, towers)
        history = fit(task, settings, output, self.where)
        if self.where.first:
            self._finish(task, taxa, history)
        self.where.barrier()
        placed = PlacedPrototypes.load(output)
        return ZeroShotTraining(output, placed, taxa, history, task.failures, main_process=self.where.first)

    def _parts(self, taxa: TaxaRoles) -> dict[str, LabelledPart]:
        """The specimens that are trained on, those of chosen-on taxa in the training part, and those that are watched."""
        settings = self.settings
        own = labelled_part(self.collection, taxa, settings.split)
        parts = {"train": own.only(taxa.of(SEEN))}
        if taxa.of(CHOSEN_ON).any():
            parts["chosen"] = own.only(taxa.of(CHOSEN_ON))
        name, _, part = settings.validation.rpartition(":")
        if part and self.collection.split(name or "default").has(part):
            held = labelled_part(self.collection, taxa, settings.validation)
            refuse_trained_validation(held.ids, own.ids, settings.validation)
            parts["held"] = held.only(taxa.of(SEEN, CHOSEN_ON))
        elif settings.patience is not None:
            raise BiocosmosError(
                f"--patience watches the part '{part}', which the split does not have: make one, or name another"
            )
        return parts

    def _task(self, taxa: TaxaRoles, known: Geometry, parts: dict[str, LabelledPart], towers: Towers) -> ZeroShotTask:
        settings, own = self.settings, self.collection
        train = own.gallery(settings.encoder, split=settings.split, columns=())
        if not settings.freeze:
            return ImageZeroShotTask(own, settings, self.where, taxa, known, parts, towers, train)
        galleries = {"train": train}
        if "held" in parts:
            galleries["held"] = own.gallery(settings.encoder, split=settings.validation, columns=())
        preprocessing = Preprocessing.from_dict(own.encoders[settings.encoder]["preprocessing"])
        return FrozenZeroShotTask(settings, self.where, taxa, known, parts, towers, galleries, preprocessing)

    def _finish(self, task: ZeroShotTask, taxa: TaxaRoles, history: History) -> None:
        """Save the encoder and the prototypes; taxa that were chosen on now stand at the mean of their training images."""
        settings, best = self.settings, history.best or {}
        model = task.model.to(self.where.device).eval()
        points = task.placed(model)
        handicaps = taxa.of(SEEN) * np.float32(best.get("handicap", 0.0))
        if taxa.of(CHOSEN_ON).any():
            own = task.vectors(model, "chosen"), task.parts["chosen"].taxa
            held = (task.vectors(model, "held"), task.parts["held"].taxa) if "held" in task.parts else None
            points, handicaps = known_again(points, handicaps, taxa, own, held)
        name, _, part = settings.split.rpartition(":")
        split = self.collection.split(name or "default").describe()
        facts: dict[str, Any] = {
            "what": f"{settings.encoder}, with prototypes of {int(taxa.of(SEEN).sum())} taxa (biocosmos train zero-shot).",
            "collection": self.collection.path.name,
            "split": f"{split['name']}, part {part}, hash {split['hash']}",
            "unseen": taxa.named("unseen"),
            "chosen_on": taxa.named(CHOSEN_ON),
            "images": len(task.parts["train"].ids),
            **training_facts(settings, history),
        }
        learnt = [task.parts[name] for name in ("train", "chosen") if name in task.parts]  # they place a prototype too
        nodes = taxa.nodes[np.concatenate([part.taxa for part in learnt])].astype(np.int64)
        save_taxa(self.output / LABELS, np.concatenate([part.ids for part in learnt]), nodes, taxa.taxonomy)
        digest = task.save(self.output, facts)
        facts = {key: facts[key] for key in ("collection", "split")}
        facts |= {"encoder": settings.encoder, "digest": digest, "folder": str(self.output), "geometry": settings.geometry}
        placed = PlacedPrototypes(taxa.taxonomy, taxa.nodes, points, taxa.roles, handicaps, settings.scale, facts)
        placed.save(self.output)
        finish_run(self.output, history)
        self.collection.record_failures(task.failures)


def roles_of(collection: Collection, settings: ZeroShotSettings) -> TaxaRoles:
    """Who is seen, chosen on and unseen by the settings."""
    return taxa_roles(
        collection,
        ranks=settings.ranks,
        hold_out=settings.hold_out,
        choose_on=settings.choose_on,
        draw=settings.draw,
        split=settings.split,
    )


def geometry_of(settings: ZeroShotSettings, taxa: TaxaRoles) -> Geometry:
    """What the settings say is known of the taxa."""
    stated = settings.text_encoder

    def encode(texts: list[str]) -> Array:
        return text_vectors(str(stated), texts, None, {})

    return geometry(
        taxa.taxonomy,
        taxa.nodes,
        settings.geometry,
        attributes=settings.attributes,
        encode=encode if stated else None,
    )


def known_again(
    points: Array, handicaps: Array, taxa: TaxaRoles, own: tuple[Array, Array], held: tuple[Array, Array] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Prototypes (K, d) and handicaps (K,) once the taxa that were chosen on may be used: at the mean of their training images.

    A mean is nearer to its images than a prototype that was pushed away from others, so these taxa have a handicap of their own
    on top of that of the seen, by which they and the seen ones do best together on the validation images.
    own: vectors (n, d) and taxa (n,) of their training images; held: of the validation images of both.
    """
    points = means_of(*own, points)
    seen, chosen = taxa.of(SEEN), taxa.of(CHOSEN_ON)
    more = 0.0 if held is None else best_handicap(*held, points, chosen, seen).handicap
    of_seen = handicaps[seen].max(initial=0.0)
    return points, np.where(chosen, of_seen + more, handicaps).astype(np.float32)


def means_of(vectors: Array, taxa: Array, points: Array) -> npt.NDArray[np.float32]:
    """``points`` (K, d), where a taxon has vectors (n, d) replaced by their mean, made unit length."""
    sums = np.zeros(points.shape, np.float64)
    np.add.at(sums, taxa, vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1.0), points).astype(np.float32)


VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "without contrastive": {"contrastive": 0.0},
    "without Gromov-Wasserstein": {"gromov": 0.0},
}
"""What an ablation leaves out, as settings."""


def variant_of(settings: ZeroShotSettings, name: str) -> ZeroShotSettings:
    """The settings with one part left out, see :data:`VARIANTS`."""
    return replace(settings, **VARIANTS[name])
