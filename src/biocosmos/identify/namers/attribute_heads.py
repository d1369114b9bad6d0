"""Trained attribute heads as a folder: their weights, the questions, and the encoder they stand on.

attributes.json           what they are asked, and how they were trained
attributes.safetensors    their weights

They lie beside a head over the ranks (:mod:`biocosmos.identify.namers.heads`), or alone; the encoder that was trained with them
shares the folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.model_folder import refuse_no_number
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import plain_state, weights_digest
from biocosmos.encoders.views import check_views
from biocosmos.encoders.weights import filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number, read_versioned
from biocosmos.files import is_there
from biocosmos.identify.attribute_columns import AskedTask, predictions_of
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.identify.namer import Said, Specimens
from biocosmos.identify.namers.attribute_model import AttributesOnTaps
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.trained import TrainedNamer, refuse_unknown_options
from biocosmos.nn.attributes import ATTRIBUTE_HEADS, AttributeOutput, TaskShape, probabilities
from biocosmos.provenance import now, package_version
from biocosmos.tables import replacing, write_facts
from biocosmos.taxonomy import Taxonomy

FORMAT = 1
ATTRIBUTES, WEIGHTS = "attributes.json", "attributes.safetensors"
_SIZE = Number(1, 1 << 20, whole=True)
_OPTIONS: dict[str, Any] = {
    "graph?": str,
    "layers?": Number(1, 1000, whole=True),
    "channels?": _SIZE,
    "attention_heads?": _SIZE,
    "bottleneck?": _SIZE,
    "shared_bottleneck?": bool,
    "shared_output?": bool,
    "residual?": str,
    "skip?": bool,
    "dropout?": Number(0, 1),
    "hidden?": [_SIZE],
    "standardised?": bool,
}
_SHAPE: dict[str, Any] = {
    "format": object,
    "kind": str,
    "options": _OPTIONS,
    "channels": [_SIZE],
    "tasks": [{"name": str, "classes": [str], "several": bool, "rank": bool, "asked": str, "thresholds?": (None, [Number()])}],
    "beside": bool,
    "frozen": bool,
    "encoder": {"name": str, "trained": str},
    "preprocessing": {},
    "sizes": bool,
    "digest": str,
    "training": {"ids?": [str], "settings?": {}},
    "biocosmos": object,
}
"""Of ``attributes.json``."""

Float32 = npt.NDArray[np.float32]


def without_ranks() -> Taxonomy:
    """The tree of a head that names at no rank: the root alone."""
    return Taxonomy((), np.empty((0, 0), np.int32), [])


@dataclass(eq=False)
class AttributeHead(TrainedNamer):
    """Attribute heads that were trained, ready to be asked; get them with :meth:`load`.

    tasks: the questions; gate: heads that are asked first, see :meth:`gated`. The rest is as in :class:`TrainedNamer`. As a namer
    it names at no rank; what it says of attributes goes with its predictions.
    """

    name: ClassVar[str] = "attributes"
    says: ClassVar[str] = "attribute heads trained by 'biocosmos train heads --attributes' say"
    folder: Path
    model: HeadModel
    tasks: tuple[AskedTask, ...]
    preprocessing: Preprocessing
    facts: dict[str, Any]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    views: int = 1
    gate: AttributeHead | None = None
    taxonomy: Taxonomy = field(default_factory=without_ranks, repr=False)
    classes: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32), repr=False)

    @property
    def title(self) -> str:
        """ "attributes" and the kind of the heads."""
        return f"attributes {self.facts['kind']}"

    @property
    def asked_tasks(self) -> tuple[AskedTask, ...]:  # type: ignore[override]
        """The questions it answers."""
        return self.tasks

    @property
    def digest(self) -> str:
        """Of weights, questions and the encoder's weights, 16 hex digits; of both stages where a gate is asked first."""
        own = str(self.facts["digest"])
        return own if self.gate is None else hashlib.sha256(f"{own} after {self.gate.digest}".encode()).hexdigest()[:16]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Its own, and that of a gate that is asked first."""
        return super().folders if self.gate is None else (*super().folders, *self.gate.folders)

    def viewed(self, views: int) -> AttributeHead:
        """The same heads that look at so many turned and mirrored views of each image. Raises BiocosmosError on vectors."""
        self.refuse_views_of_vectors(check_views(views))
        gate = None if self.gate is None else self.gate.viewed(views)
        return replace(self, views=views, gate=gate)

    def gated(self, gate: AttributeHead) -> AttributeHead:
        """The second of two stages: a specimen that ``gate`` is sure has nothing, since its one class stays under its threshold,
        has no class of the tasks here of which several may be true; their probabilities are 0. The other tasks stay.

        Raises BiocosmosError for a gate with other than one class, or one that does not see the same images or vectors, and where
        nothing could be gated.
        """
        if len(gate.tasks) != 1 or len(gate.tasks[0].classes) != 1 or not gate.tasks[0].several:
            asked = ", ".join(f"{task.name} ({len(task.classes)} classes)" for task in gate.tasks)
            raise BiocosmosError(
                f"{gate.folder} answers {asked}: a gate answers one column of 0 and 1, trained with --attributes any=COLUMN"
            )
        if not any(task.several for task in self.tasks):
            raise BiocosmosError(f"{self.folder} has no attribute of several classes, so that a gate has nothing to keep back")
        mine, theirs = (_seen(head) for head in (self, gate))
        if mine != theirs:
            raise BiocosmosError(
                f"{gate.folder} takes {theirs}, and {self.folder} takes {mine}: train both on the same, or with the same --size"
            )
        return replace(self, gate=gate)

    @torch.no_grad()
    def probabilities(self, specimens: Specimens) -> Float32:
        """(n, C) of all tasks side by side."""
        self.refuse_without(specimens)
        inputs = torch.as_tensor(specimens.vectors if self.frozen else specimens.images)
        together, found = self.at_once(len(inputs)), [np.empty((0, sum(len(task.classes) for task in self.tasks)), np.float32)]
        for start in range(0, len(inputs), together):
            seen = inputs[start : start + together].to(self.device)
            outputs = [self.model(one) for one in self.views_of(seen)]
            found.append(mean_probabilities(outputs, self.model.head.tasks))  # type: ignore[arg-type]
        own = np.concatenate(found)
        if self.gate is None:
            return own
        (first,) = self.gate.attributes(specimens).tasks
        several = np.concatenate([np.full(len(task.classes), task.several) for task in self.tasks])
        return np.where((first.probabilities < first.cuts) & several, np.float32(0), own)

    def said(self, specimens: Specimens) -> Said:
        """No names; the probabilities of all attributes."""
        nothing = np.empty((len(specimens), 0), np.float32)
        return Said(nothing, nothing, attributes=self.probabilities(specimens))

    def attributes(self, specimens: Specimens) -> AttributePredictions:
        """What is said of one block."""
        return predictions_of(specimens.ids, self.tasks, self.probabilities(specimens))

    def about(self) -> dict[str, Any]:
        """What a table of its answers says about it."""
        return {
            "head": self.facts["kind"],
            "attributes": [asdict(task) for task in self.tasks],
            **self.of_folder(),
            "gate": None if self.gate is None else self.gate.about(),
        }

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> AttributeHead:
        """Read what :func:`save_attributes` wrote; of a folder with a head over the ranks too, the attributes alone.

        Raises BiocosmosError for a folder that has none, a file that is missing or was changed, and a base encoder that is not on
        this machine or has other weights.
        """
        folder = Path(folder)
        facts = read_attribute_facts(folder)
        module = load_module(folder, facts)
        preprocessing = Preprocessing.from_dict(facts["preprocessing"])
        trunk = None
        if not facts["frozen"]:
            towers = load_towers(str(folder), named_by=folder / ATTRIBUTES)
            if towers.digest != facts["encoder"]["trained"]:
                raise BiocosmosError(f"{folder} has another encoder than its attribute heads were trained with: train them again")
            trunk = Trunk(towers, taps=1)
        where = torch.device(choose_device(device))
        model = HeadModel(trunk, module, preprocessing)
        return cls(folder, model.to(where).eval(), asked_of(facts), preprocessing, facts, where)


def mean_probabilities(outputs: Sequence[AttributeOutput], tasks: Sequence[TaskShape]) -> Float32:
    """(n, C) of all tasks side by side, averaged over the views of an image."""
    stacked = torch.stack([torch.cat(probabilities(output, tasks), 1) for output in outputs])
    return stacked.mean(0).cpu().numpy()


def has_attributes(folder: str | Path) -> bool:
    """Whether trained attribute heads lie in a folder."""
    return is_there(Path(folder) / ATTRIBUTES)


def asked_of(facts: dict[str, Any]) -> tuple[AskedTask, ...]:
    """The questions that a description names."""
    return tuple(
        AskedTask(
            task["name"],
            tuple(task["classes"]),
            task["several"],
            None if task.get("thresholds") is None else tuple(map(float, task["thresholds"])),
            task["rank"],
            task["asked"],
        )
        for task in facts["tasks"]
    )


def load_module(folder: Path, facts: dict[str, Any]) -> AttributesOnTaps:
    """The heads with their weights. Raises BiocosmosError for a file that is missing, does not fit or was changed."""
    weights = read_weights(folder / WEIGHTS)
    shapes = [TaskShape(task.name, len(task.classes), task.several) for task in asked_of(facts)]
    classes = sum(shape.classes for shape in shapes)

    def build() -> AttributesOnTaps:
        graph = torch.ones(classes, classes) if facts["kind"] == "ctgnn" else None
        return AttributesOnTaps(facts["kind"], shapes, facts["channels"], adjacency=graph, options=facts["options"])

    there = sum(tensor.numel() for tensor in weights.values())
    if classes > there:
        raise BiocosmosError(f"{folder / ATTRIBUTES} claims more classes than {WEIGHTS} holds: restore it, or train again")
    module = filled(build, weights, folder / WEIGHTS)
    if _digest(module, facts["tasks"], facts["encoder"]["trained"]) != facts["digest"]:
        raise BiocosmosError(
            f"the attribute heads in {folder} were changed after they were saved: restore {WEIGHTS}, or train again"
        )
    return module


def read_attribute_facts(folder: str | Path) -> dict[str, Any]:
    """What attributes.json says. Raises BiocosmosError where there is none, or one of another format."""
    path = Path(folder) / ATTRIBUTES
    if not is_there(path):
        raise BiocosmosError(f"{folder} holds no attribute heads: make them with 'biocosmos train heads --attributes'")
    facts = read_versioned(path, _SHAPE, FORMAT, what="the description of attribute heads", remedy="restore it, or train again")
    if facts["kind"] not in ATTRIBUTE_HEADS or not facts["tasks"] or not facts["channels"]:
        raise BiocosmosError(f"{path} describes no attribute heads that there are: restore it, or train again")
    for task in facts["tasks"]:
        cuts = task.get("thresholds")
        if not task["classes"] or (cuts is not None and len(cuts) != len(task["classes"])):
            raise BiocosmosError(
                f"{path}: the attribute '{task['name'][:40]}' lacks classes or thresholds: restore it, or train again"
            )
    refuse_unknown_options(path, facts["options"], _OPTIONS)
    return facts


def save_attributes(
    folder: str | Path,
    module: AttributesOnTaps,
    *,
    kind: str,
    options: dict[str, Any],
    channels: Sequence[int],
    tasks: Sequence[AskedTask],
    beside: bool,
    frozen: bool,
    encoder: dict[str, Any],
    preprocessing: Preprocessing,
    training: dict[str, Any],
) -> dict[str, Any]:
    """Write the heads; the encoder, if it was trained too, is already in the folder.

    options: what :func:`biocosmos.nn.attributes.make_attribute_head` was called with; beside: a head over the ranks lies there
    too; encoder: as in :func:`biocosmos.identify.namers.heads.save_head`. attributes.json is written last. Raises BiocosmosError
    for weights that are no number.
    """
    folder = Path(folder)
    state = plain_state(module)
    refuse_no_number(folder, state, "of the attributes")
    described = [
        {
            "name": task.name,
            "classes": list(task.classes),
            "several": task.several,
            "rank": task.rank,
            "asked": task.asked or task.name,
            "thresholds": None if task.thresholds is None else list(task.thresholds),
        }
        for task in tasks
    ]
    facts = {
        "format": FORMAT,
        "kind": kind,
        "options": options,
        "channels": list(channels),
        "tasks": described,
        "beside": beside,
        "frozen": frozen,
        "encoder": encoder,
        "preprocessing": preprocessing.as_dict(),
        "sizes": False,
        "digest": _digest(module, described, encoder["trained"]),
        "training": training,
        "biocosmos": package_version(),
        "created": now(),
    }
    (folder / ATTRIBUTES).unlink(missing_ok=True)
    with replacing(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_facts(folder / ATTRIBUTES, facts)
    return facts


def copy_attributes(source: str | Path, folder: str | Path, trained: str) -> None:
    """Write attribute heads beside another encoder of the same features, whose digest is ``trained``."""
    source, folder = Path(source), Path(folder)
    facts = read_attribute_facts(source)
    module = load_module(source, facts)
    (folder / ATTRIBUTES).unlink(missing_ok=True)
    with replacing(folder / WEIGHTS) as temporary:
        shutil.copyfile(source / WEIGHTS, temporary)
    facts["encoder"] = {**facts["encoder"], "trained": trained}
    facts["digest"] = _digest(module, facts["tasks"], trained)
    write_facts(folder / ATTRIBUTES, facts)


def _digest(module: AttributesOnTaps, tasks: Sequence[dict[str, Any]], encoder: str) -> str:
    asked = json.dumps(list(tasks), sort_keys=True)
    return hashlib.sha256(f"{weights_digest(plain_state(module))} {asked} {encoder}".encode()).hexdigest()[:16]


def _seen(head: AttributeHead) -> str:
    """What a head is given, in words."""
    if head.frozen:
        return f"vectors of {head.encoder}"
    how = head.preprocessing  # colours are normalised in the model
    return f"images of {how.size} pixels, {how.resize}, {how.interpolation}, {how.background}, {how.crop_fraction:g}"
