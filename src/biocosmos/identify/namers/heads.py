"""A trained head as a folder: its weights, its tree, and the encoder it stands on.

A head whose backbone was trained with it shares the folder with that encoder (:mod:`biocosmos.encoders.saving`), so that the
folder is an encoder for every other command as well.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from safetensors.torch import save_file

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.model_folder import refuse_no_number
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import plain_state, weights_digest
from biocosmos.encoders.views import check_views
from biocosmos.encoders.weights import fill, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_versioned
from biocosmos.files import is_there
from biocosmos.identify.attribute_columns import AskedTask
from biocosmos.identify.namer import Said, Specimens
from biocosmos.identify.namers.attribute_heads import (
    asked_of,
    copy_attributes,
    has_attributes,
    load_module,
    mean_probabilities,
    read_attribute_facts,
)
from biocosmos.identify.namers.attribute_model import HeadsModel
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.trained import CPU_BLOCK, TrainedNamer, refuse_unknown_options
from biocosmos.identify.novelty.odin import COLUMN as ODIN
from biocosmos.identify.novelty.odin import STEP, odin_scores
from biocosmos.identify.predictions import Predictions
from biocosmos.nn.heads import make_head
from biocosmos.nn.imbalance import adjusted
from biocosmos.nn.tree import Tree
from biocosmos.provenance import now, package_version
from biocosmos.tables import replacing, write_facts
from biocosmos.taxonomy import Taxonomy

FORMAT = 1
HEAD, WEIGHTS, TAXONOMY, PREDICTIONS = "head.json", "head.safetensors", "head-taxonomy.parquet", "predictions"
_ROOM = 1 << 24
_SIDE = Number(0, 1 << 20, whole=True)
_SHAPE: dict[str, Any] = {
    "format": object,
    "head": str,
    "options": {"hidden?": _SIDE, "dropout?": (None, Number(0, 1)), "extra?": _SIDE, "split_rank?": Number(0, 100, whole=True)},
    "channels": [Number(1, 1 << 20, whole=True)],
    "taps": [Number(0, 1000, whole=True)],
    "classes": [Number(0, 2**31 - 1, whole=True)],
    "frozen": bool,
    "encoder": {"name": str, "trained": str},
    "preprocessing": {},
    "sizes": bool,
    "counts?": (None, [Number(0)]),
    "tau?": Number(-1e6, 1e6),
    "digest": str,
    "training": {"ids?": [str], "settings?": {}},
    "biocosmos": object,
}
"""Of ``head.json``."""
Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]


def torch_tree(taxonomy: Taxonomy, classes: npt.NDArray[Any]) -> Tree:
    """The tree of a head as tensors."""
    return Tree(
        torch.from_numpy(taxonomy.parent.astype(np.int64)),
        torch.from_numpy(taxonomy.rank.astype(np.int64)),
        len(taxonomy.ranks),
        torch.from_numpy(np.asarray(classes, np.int64)),
    )


@dataclass(eq=False)
class TrainedHead(TrainedNamer):
    """A head that was trained, ready to name; get one with :meth:`load`.

    folder: where it lies; model: in evaluation mode; taxonomy, classes: of its tree; preprocessing: of images, None for a head on
    stored vectors that cannot see images by itself; facts: what head.json says; views: of each image, whose probabilities are
    averaged; attributes: what it is asked beside names; gradient: its predictions carry the column of ODIN, which takes a
    gradient through the model.
    """

    name: ClassVar[str] = "head"
    says: ClassVar[str] = "a head trained by 'biocosmos train heads' says"
    folder: Path
    model: HeadModel
    taxonomy: Taxonomy
    classes: Int32
    preprocessing: Preprocessing
    facts: dict[str, Any]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    views: int = 1
    gradient: bool = False
    attributes: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """ "head" and its kind."""
        return f"head {self.facts['head']}"

    @cached_property
    def rank_nodes(self) -> tuple[Int32, ...]:  # type: ignore[override]
        """The nodes that its classifiers of single ranks choose among."""
        return tuple(nodes.cpu().numpy().astype(np.int32) for nodes in self.model.head.tree.nodes_at)  # type: ignore[union-attr]

    def viewed(self, views: int) -> TrainedHead:
        """The same head that looks at so many turned and mirrored views of each image.

        Raises BiocosmosError for more than one view of a head on stored vectors, which are of one.
        """
        self.refuse_views_of_vectors(check_views(views))
        return replace(self, views=views)

    def with_gradient(self) -> TrainedHead:
        """The same head whose predictions carry what a detector needs that takes a gradient through the model.

        Raises BiocosmosError for a head on stored vectors: no image reaches it.
        """
        if self.frozen:
            raise BiocosmosError(
                f"the novelty detector 'odin' takes a gradient from the answer to the pixels, and the head in {self.folder} "
                "stands on stored vectors: choose another detector, or train without --freeze"
            )
        return replace(self, gradient=True)

    def predict(self, specimens: Specimens, **facts: Any) -> Predictions:
        """What it says of one block, with the column of ODIN where that was asked for."""
        found = super().predict(specimens, **facts)
        if not self.gradient:
            return found
        assert specimens.images is not None
        extra = torch.as_tensor(specimens.sizes) if self.wants_sizes else None
        scores = [np.empty(0, np.float32)]
        for start in range(0, len(specimens), CPU_BLOCK):
            rows = slice(start, start + CPU_BLOCK)
            sizes = None if extra is None else extra[rows].to(self.device)
            pixels = specimens.images[rows].to(self.device).float()
            with torch.inference_mode(False):
                scores.append(odin_scores(partial(self._logits, sizes), pixels, step=STEP * 255).cpu().numpy())
        column = pa.array(np.concatenate(scores).astype(np.float64))
        columns = pa.table({}) if found.columns is None else found.columns
        columns = pa.table({ODIN: column}) if not columns.num_columns else columns.append_column(ODIN, column)
        return replace(found, columns=columns)

    @property
    def digest(self) -> str:
        """Of the head's weights and tree and the encoder's weights, 16 hex digits; of the attributes too, where there are any."""
        own = str(self.facts["digest"])
        if self.attributes is None:
            return own
        return hashlib.sha256(f"{own} with {self.attributes['digest']}".encode()).hexdigest()[:16]

    @property
    def asked_tasks(self) -> tuple[AskedTask, ...]:  # type: ignore[override]
        """The attributes it answers beside names."""
        return () if self.attributes is None else asked_of(self.attributes)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> TrainedHead:
        """Read what :func:`save_head` wrote.

        Raises BiocosmosError for a folder that is none, a file that is missing or was changed, and a base encoder that is not
        on this machine or has other weights.
        """
        folder = Path(folder)
        facts = read_head_facts(folder)
        try:
            taxonomy = Taxonomy.load(folder / TAXONOMY)
            weights = read_weights(folder / WEIGHTS)
        except BiocosmosError as error:
            raise BiocosmosError(f"cannot read the head in {folder}: {error}; restore the file, or train again") from error
        trunk = None
        preprocessing = Preprocessing.from_dict(facts["preprocessing"])
        if not facts["frozen"]:
            towers = load_towers(str(folder), named_by=folder / HEAD)
            if towers.digest != facts["encoder"]["trained"]:
                raise BiocosmosError(f"{folder} has another encoder than its head was trained with: train it again")
            trunk = Trunk(towers, taps=facts["taps"] or 1)
        classes = np.array(facts["classes"], np.int32)
        there = sum(tensor.numel() for tensor in weights.values())
        if max(facts["channels"], default=0) * max(1, facts["options"].get("hidden", 1)) > _ROOM + there:
            raise BiocosmosError(f"{folder / HEAD} claims more weights than {WEIGHTS} holds: restore it, or train again")
        head = make_head(facts["head"], torch_tree(taxonomy, classes), facts["channels"], **facts["options"])
        attributes = None
        if has_attributes(folder):
            attributes = read_attribute_facts(folder)
            if not attributes["beside"] or attributes["encoder"]["trained"] != facts["encoder"]["trained"]:
                raise BiocosmosError(f"the attribute heads in {folder} are not of the head beside them: train again")
            model: HeadModel = HeadsModel(trunk, head, load_module(folder, attributes), preprocessing)
        else:
            model = HeadModel(trunk, head, preprocessing)
        fill(model.head, weights, folder / WEIGHTS)
        if _digest(model, taxonomy, facts["encoder"]["trained"]) != facts["digest"]:
            raise BiocosmosError(f"the head in {folder} was changed after it was saved: restore {WEIGHTS}, or train again")
        where = torch.device(choose_device(device))
        return cls(folder, model.to(where).eval(), taxonomy, classes, preprocessing, facts, where, attributes=attributes)

    def _logits(self, sizes: torch.Tensor | None, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images, sizes).logits
        return logits

    @torch.no_grad()
    def said(self, specimens: Specimens) -> Said:
        """Class scores, features and single ranks' own log p of a block, a few images at a time."""
        given: torch.Tensor | Float32 | None = specimens.vectors if self.frozen else specimens.images
        inputs = torch.as_tensor(given)
        if self.wants_sizes and specimens.sizes is None:
            raise BiocosmosError(f"the head in {self.folder} takes the sizes of images too, and these specimens come without")
        extra = torch.as_tensor(specimens.sizes) if self.wants_sizes else None
        together = self.at_once(len(inputs))
        found = []
        for start in range(0, len(inputs), together):
            rows = slice(start, start + together)
            found.append(self._block(inputs[rows].to(self.device), None if extra is None else extra[rows].to(self.device)))
        logits, features, by_rank, attributes = zip(*found, strict=True)
        joined = None if by_rank[0] is None else tuple(map(np.concatenate, zip(*by_rank, strict=True)))
        beside = None if attributes[0] is None else np.concatenate(attributes)
        return Said(np.concatenate(logits), np.concatenate(features), joined, beside)

    def _block(
        self, inputs: torch.Tensor, extra: torch.Tensor | None
    ) -> tuple[Float32, Float32, list[Float32] | None, Float32 | None]:
        """Class scores, features, the ranks' own log p and p of attributes of a block, averaged over views."""
        outputs = [self.model(seen, extra) for seen in self.views_of(inputs)]
        logits = torch.stack([output.logits.float() for output in outputs])
        energy = logits.logsumexp(2, keepdim=True)  # kept, since a softmax does not need it and novelty does
        scores = torch.logsumexp(logits - energy, 0) - math.log(len(outputs)) + energy.mean(0)
        if counts := self.facts.get("counts"):
            scores = adjusted(scores, torch.tensor(counts, device=scores.device), self.facts["tau"])
        features = torch.stack([output.features.float() for output in outputs]).mean(0)
        by_rank: list[Float32] | None = None
        if outputs[0].rank_scores is not None:
            stacked = [
                torch.stack([output.rank_scores[i].float() for output in outputs]) for i in range(len(outputs[0].rank_scores))
            ]
            by_rank = [torch.logsumexp(rank, 0).log_softmax(1).cpu().numpy() for rank in stacked]
        beside = None
        if isinstance(self.model, HeadsModel):
            beside = mean_probabilities([output.attributes for output in outputs], self.model.attributes.tasks)
        return scores.cpu().numpy(), features.cpu().numpy(), by_rank, beside

    def about(self) -> dict[str, Any]:
        """What a table of its answers says about it."""
        return {
            "head": self.facts["head"],
            "ranks": list(self.taxonomy.ranks),
            "classes": len(self.classes),
            **self.of_folder(),
        }


def save_head(
    folder: str | Path,
    model: HeadModel,
    *,
    kind: str,
    options: dict[str, Any],
    channels: Sequence[int],
    taps: Sequence[int],
    taxonomy: Taxonomy,
    classes: npt.NDArray[Any],
    encoder: dict[str, Any],
    preprocessing: Preprocessing,
    sizes: bool,
    counts: Sequence[int] | None = None,
    tau: float = 1.0,
    training: dict[str, Any],
) -> dict[str, Any]:
    """Write the head; the encoder, if it was trained too, is already in the folder.

    taps: numbers of the stages whose maps the head takes; options: what :func:`biocosmos.nn.heads.make_head` was called with;
    encoder: ``name`` that training began from, its ``digest``, and the digest of the weights the head stands on, ``trained``;
    counts: (C,) training specimens of each class, if the scores are to be adjusted as if all classes were equally frequent, by
    ``tau`` (:func:`biocosmos.nn.imbalance.adjusted`).
    Returns the facts that were written; head.json is written last, so that a folder with one is whole. Raises BiocosmosError for
    weights that are no number.
    """
    folder = Path(folder)
    state = plain_state(model.head)
    refuse_no_number(folder, state, "of the head")
    facts = {
        "format": FORMAT,
        "head": kind,
        "options": options,
        "channels": list(channels),
        "taps": list(taps),
        "classes": [int(node) for node in classes],
        "frozen": model.trunk is None,
        "encoder": encoder,
        "preprocessing": preprocessing.as_dict(),
        "sizes": sizes,
        "counts": None if counts is None else list(counts),
        "tau": tau,
        "digest": _digest(model, taxonomy, encoder["trained"]),
        "training": training,
        "biocosmos": package_version(),
        "created": now(),
    }
    (folder / HEAD).unlink(missing_ok=True)
    taxonomy.save(folder / TAXONOMY)
    with replacing(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_facts(folder / HEAD, facts)
    return facts


def copy_head(head: TrainedHead, folder: str | Path, trained: str) -> str:
    """Write a head beside another encoder of the same features, one that computes with fewer tokens say.

    trained: the digest of that encoder, which is in the folder already. Returns the digest of the head there. Its own weights,
    tree and training stay what they are; head.json is written last.
    """
    folder = Path(folder)
    (folder / HEAD).unlink(missing_ok=True)
    for name in (TAXONOMY, WEIGHTS):
        with replacing(folder / name) as temporary:
            shutil.copyfile(head.folder / name, temporary)
    facts = read_head_facts(head.folder)
    facts["encoder"] = {**facts["encoder"], "trained": trained}
    facts["digest"] = _digest(head.model, head.taxonomy, trained)
    if has_attributes(head.folder):
        copy_attributes(head.folder, folder, trained)
    write_facts(folder / HEAD, facts)
    return str(facts["digest"])


def read_head_facts(folder: str | Path) -> dict[str, Any]:
    """What head.json says. Raises BiocosmosError when the folder holds no trained head, or one of another format."""
    path = Path(folder) / HEAD
    if not is_there(path) and has_attributes(folder):
        raise BiocosmosError(
            f"{folder} answers attributes and names at no rank, which is asked here: train it with --ranks and a head over them"
        )
    if not is_there(path):
        raise BiocosmosError(f"{folder} holds no trained head: make one with 'biocosmos train heads'")
    told = {"what": "the description of a trained head", "remedy": "restore it, or train again"}
    facts = read_versioned(path, _SHAPE, FORMAT, **told)
    counts = facts.get("counts")
    if counts is not None and len(counts) != len(facts["classes"]):
        raise BiocosmosError(f"{path} has {len(counts)} counts of {len(facts['classes'])} classes: restore it, or train again")
    refuse_unknown_options(path, facts["options"], _SHAPE["options"])
    return facts


def _digest(model: HeadModel, taxonomy: Taxonomy, encoder: str) -> str:
    return hashlib.sha256(f"{weights_digest(plain_state(model.head))} {taxonomy.digest} {encoder}".encode()).hexdigest()[:16]
