"""The ways an encoder can be computed here (backend, precision, memory layout), and the fastest of them by measurement.

``--precision auto`` keeps the numbers of float32, so that a figure does not depend on the processor it was computed on, and takes
the backend and layout that are fastest for them. ``fast`` takes the fastest of all whose vectors agree with torch in float32.
A folder may tell a way of its own, which ``auto`` then takes (``biocosmos tokens dial`` writes such folders).
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from biocosmos import machine
from biocosmos.encoders.encoder import Backend, Layout, Normalised, Precision
from biocosmos.encoders.openvino_backend import Calibration, OpenVinoBackend
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.segments import is_adaptive
from biocosmos.encoders.settings import PRECISIONS
from biocosmos.encoders.torch_backend import TorchBackend
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError

TIMED_IMAGES = 4
"""Images that each way is timed on, on a CPU."""
GPU_IMAGES = 64
CLEAR_GAIN = 1.5
"""A faster precision is worth a word when it is at least so many times as fast."""
LEAST_COSINE = 0.999
"""Mean cosine with torch in float32, on generated pictures, that ``fast`` asks of a way before it is taken."""


@dataclass(frozen=True)
class Way:
    """backend: "torch" or "openvino"; layout: of the maps in memory, torch alone has a choice."""

    backend: str
    precision: Precision
    layout: Layout = "channels last"

    @property
    def name(self) -> str:
        """As it is recorded and told: "torch-float32", "torch-float32-contiguous", "openvino-bfloat16"."""
        return f"{self.backend}-{self.precision}" + ("-contiguous" if self.layout == "contiguous" else "")


@dataclass(frozen=True)
class Chosen:
    """How a way was chosen.

    way: taken; asked: the precision asked for; source: "measured", "remembered", "told", "folder" (the encoder's own says it) or
    "default" (without a measurement); milliseconds: per image and thread of each way that was timed; faster: another precision
    that is clearly faster, and how many times; missing: what the folder asks for and this machine has not.
    """

    way: Way
    asked: str
    source: str = "default"
    milliseconds: dict[str, float] = field(default_factory=dict)
    faster: tuple[str, float] | None = None
    missing: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the metadata of an embedding."""
        return {"way": self.way.name, "asked": self.asked, "source": self.source, "milliseconds per image": self.milliseconds}

    @property
    def hint(self) -> str | None:
        """What ``auto`` leaves on the table, in one line."""
        if self.missing is not None:
            return self.missing
        if self.faster is None:
            return None
        return f"{self.faster[0]} would be {self.faster[1]:.1f} times as fast here: --precision fast"


def choose_way(
    towers: Towers,
    preprocessing: Preprocessing,
    *,
    device: str,
    precision: str,
    backend: str,
    layout: Layout | None = None,
    measure: bool = False,
    calibration: Calibration | None = None,
) -> tuple[Backend, Chosen]:
    """The backend that runs an encoder.

    Args:
        device: as :func:`biocosmos.encoders.torch_backend.choose_device` gives it.
        precision: one of :data:`biocosmos.encoders.settings.PRECISIONS`; backend: "auto", "torch" or "openvino".
        layout: None is the usual one, or the fastest if it is measured.
        measure: time the ways that are open, if this machine has not done so before; ``fast`` always does.

    Raises:
        BiocosmosError: a precision or backend that is not known, not installed, or not for this device.
    """
    build = _Builder(towers, preprocessing, device, calibration)
    if (told := _told_by_folder(towers, precision, backend, device)) is not None:
        return _as_told(build, told, precision, backend)
    wanted = _wanted(precision, towers)
    every = _ways(towers, device, backend, layout)
    if wanted == "int8":
        way = Way("torch" if backend == "torch" else "openvino", "int8")  # torch says that it has none
        return build(way), Chosen(way, precision)
    eligible = [way for way in every if wanted == "fast" or way.precision == wanted]
    if not measure and wanted != "fast":
        way = next(way for way in eligible if way.backend == ("openvino" if backend == "openvino" else "torch"))
        return build(way), Chosen(way, precision, "default" if machine.told("embed.precision") is None else "told")
    if towers.takes_bytes:  # whatever else it does at other precisions, it is not asked for here
        every = eligible = [way for way in every if way.precision == "float32"]
    images = _pictures(preprocessing.size, TIMED_IMAGES if device == "cpu" else GPU_IMAGES)
    calls = {way.name: _Timed(build, way, images) for way in every}
    choice = machine.choose("embed.way", calls, about=f"{_architecture(towers)} {preprocessing.size} px on {device}")
    way = _best(choice, eligible, build, preprocessing, gate=wanted == "fast")
    milliseconds = {name: round(seconds * 1000 / len(images), 2) for name, seconds in choice.seconds.items()}
    chosen = Chosen(way, precision, choice.source, milliseconds, _faster(choice, way, every, build, preprocessing))
    made = calls[way.name].backend
    return made if made is not None else build(way), chosen


def _told_by_folder(towers: Towers, precision: str, backend: str, device: str) -> Way | None:
    """The way that the encoder's folder asks for (``way`` in ``biocosmos.json``), None without one.

    An option or the environment comes before it.
    """
    own = towers.facts.get("way")
    if own is None or "auto" not in (precision, backend) or precision in ("fast", "int8"):
        return None
    if precision == "auto" and machine.told("embed.precision") is not None:
        return None
    wanted: Precision = own["precision"] if precision == "auto" else precision  # type: ignore[assignment]
    _wanted(wanted, towers)
    return Way(own["backend"] if backend == "auto" else backend, wanted)


def _as_told(build: _Builder, told: Way, precision: str, backend: str) -> tuple[Backend, Chosen]:
    """That way; by torch in the same precision, with a hint, where this machine cannot go it and no backend was asked for."""
    if told.backend == "torch" or backend != "auto":
        return build(told), Chosen(told, precision, "folder")
    reason = f"OpenVINO computes on the cpu, not on '{build.device}'" if build.device != "cpu" else "OpenVINO is not installed"
    if build.device == "cpu" and openvino_is_here():
        try:
            return build(told), Chosen(told, precision, "folder")
        except BiocosmosError as error:
            reason = str(error)
    other = Way("torch", told.precision)
    missing = f"its folder asks for {told.backend} in {told.precision}, and torch computes it here: {reason}"
    return build(other), Chosen(other, precision, "folder", missing=missing)


def _wanted(precision: str, towers: Towers) -> str:
    """The precision that is meant: "fast", or one by name. A callable of the user's decides for itself."""
    if precision not in PRECISIONS:
        raise BiocosmosError(f"precision '{precision}' is not known: choose {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if precision == "auto":
        return "float32" if towers.takes_bytes else machine.told("embed.precision") or "float32"
    return precision


def _ways(towers: Towers, device: str, backend: str, layout: Layout | None) -> list[Way]:
    """What may be tried, the ones taken without a measurement first."""
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    if towers.takes_bytes and backend != "openvino":
        return [Way("torch", precision) for precision in precisions]
    layouts: tuple[Layout, ...] = ("channels last",) if layout is None else (layout,)
    if layout is None and _is_convolutional(towers.image):
        layouts = ("channels last", "contiguous")
    torch_ways = [Way("torch", precision, place) for precision in precisions for place in layouts]
    openvino_ways = [Way("openvino", precision) for precision in precisions]
    no_openvino = device != "cpu" or not openvino_is_here() or layout is not None or is_adaptive(towers.image)
    if backend == "torch" or (backend == "auto" and no_openvino):
        return torch_ways
    return openvino_ways if backend == "openvino" else torch_ways + openvino_ways


def openvino_is_here() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


def _is_convolutional(model: nn.Module) -> bool:
    """Whether the layout of maps can matter: more convolutions than the one that cuts a transformer's patches."""
    return sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 1


def _best(choice: machine.Choice, eligible: list[Way], build: _Builder, preprocessing: Preprocessing, *, gate: bool) -> Way:
    """The fastest eligible way; the first one unless another is clearly faster, as everywhere."""
    told = next((way for way in eligible if way.name == choice.answer), None)
    if not choice.seconds:
        if told is None:
            raise BiocosmosError(f"{machine.CHOOSE} asks for the way {choice.answer}, which is not of this precision or backend")
        return told
    timed = [way for way in eligible if way.name in choice.seconds]
    order = sorted(timed, key=lambda way: choice.seconds[way.name])
    if order and choice.seconds[order[0].name] > machine.CLEARLY * choice.seconds[timed[0].name]:
        order.insert(0, timed[0])
    for way in order:
        if not gate or (way.backend, way.precision) == ("torch", "float32") or _agrees(way, build, preprocessing):
            return way
    raise BiocosmosError("no way to compute this encoder works here: choose --precision float32 --backend torch")


def _faster(
    choice: machine.Choice, way: Way, every: list[Way], build: _Builder, preprocessing: Preprocessing
) -> tuple[str, float] | None:
    """Another precision that is clearly faster than the way taken, and agrees with it."""
    mine = choice.seconds.get(way.name)
    others = [other for other in every if other.name in choice.seconds and other.precision != way.precision]
    if mine is None or way.precision != "float32":
        return None
    for other in sorted(others, key=lambda other: choice.seconds[other.name]):
        times = mine / choice.seconds[other.name]
        if times < CLEAR_GAIN:
            break
        if _agrees(other, build, preprocessing):
            return other.precision, times
    return None


def _agrees(way: Way, build: _Builder, preprocessing: Preprocessing) -> bool:
    """Whether the way gives torch's float32 vectors, to a mean cosine, on a few generated pictures."""
    images = _pictures(preprocessing.size, TIMED_IMAGES)
    exact, mine = (_encoded(build(one), images) for one in (Way("torch", "float32"), way))
    return bool((exact * mine).sum(dim=1).mean() >= LEAST_COSINE)


def _encoded(backend: Backend, images: torch.Tensor) -> torch.Tensor:
    size = backend.batch_size
    blocks = [images[start : start + size] for start in range(0, len(images), size)]
    filled = [torch.cat([block, block.new_zeros(size - len(block), *block.shape[1:])]) for block in blocks]
    return torch.cat([backend(block)[: len(rows)] for block, rows in zip(filled, blocks)])


def _pictures(size: int, count: int) -> torch.Tensor:
    """(count, 3, size, size) uint8 smooth random pictures, always the same."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    return smooth.clamp(0, 255).to(torch.uint8)


def _architecture(towers: Towers) -> str:
    """What speed depends on: the model's kind and shape, not its weights."""
    said = {key: value for key, value in towers.architecture.items() if key in ("kind", "name", "model")}
    weights = sum(parameter.numel() for parameter in towers.whole.parameters())
    name = said.get("name") or json.dumps(said, sort_keys=True, default=str)[:120]
    return f"{name} {weights} weights" + ("" if towers.reduction is None else f" {towers.reduction}")


class _Builder:
    """Makes the backend of a way. The towers stay as they are, but that they move to the device of a GPU in float32."""

    def __init__(self, towers: Towers, preprocessing: Preprocessing, device: str, calibration: Calibration | None) -> None:
        # a copy of the projection, since stored vectors are projected in float32 on the CPU
        self._towers = replace(towers, projection=copy.deepcopy(towers.projection))
        self._preprocessing, self.device, self._calibration = preprocessing, device, calibration

    def __call__(self, way: Way) -> Backend:
        towers, preprocessing = self._towers, self._preprocessing
        if way.backend == "openvino":
            model = Normalised(towers.image, preprocessing, towers.takes_bytes, towers.projection)
            return OpenVinoBackend(model, preprocessing, towers.digest, precision=way.precision, calibration=self._calibration)
        if (way.precision, way.layout) != ("float32", "channels last"):
            # the image tower alone, copied: text towers and whatever else holds these weights keep theirs
            image = copy.deepcopy(getattr(towers.image, "trained_part", towers.image))
            towers = replace(towers, image=image, projection=copy.deepcopy(towers.projection))
        model = Normalised(towers.image, preprocessing, towers.takes_bytes, towers.projection)
        return TorchBackend(model, device=self.device, precision=way.precision, layout=way.layout)


class _Timed:
    """A call that encodes a few images one way; what it takes is made at the first call, which is not timed."""

    def __init__(self, build: Callable[[Way], Backend], way: Way, images: torch.Tensor) -> None:
        self._build, self._way, self._images = build, way, images
        self.backend: Backend | None = None

    def __call__(self) -> None:
        if self.backend is None:
            self.backend = self._build(self._way)
        backend, images = self.backend, self._images
        backend.enter_thread()  # a thread has a batch to itself when a collection is embedded
        try:
            for start in range(0, len(images), backend.batch_size):
                backend(images[start : start + backend.batch_size])
        finally:
            backend.leave_thread()
