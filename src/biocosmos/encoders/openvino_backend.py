"""Run an image tower on the CPU with OpenVINO (extra ``[openvino]``): 2 to 4 times torch, in float32, bfloat16 or int8.

The converted model is kept in the user's cache (``$XDG_CACHE_HOME/biocosmos/openvino``), since converting takes longer than
loading. OpenVINO reports usage to its makers unless told not to; here it is told not to.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from biocosmos.encoders.encoder import Layout, Normalised, Precision
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.segments import Segment, code_digest, is_adaptive, reduced_vit, segments
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_there
from biocosmos.machine import usable_cores, user_cache
from biocosmos.unfinished import remove, unfinished_path

BATCH = 4
CALIBRATION_IMAGES = 128
"""Images that set the ranges of activations for int8."""
_HINT = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


@dataclass(frozen=True)
class Calibration:
    """What int8 needs: typical images, and where the quantised model is kept so that it is made once.

    ``images``: preprocessing -> (n, 3, size, size) uint8. ``folder``: None is the user's cache, by the images' digest.
    """

    images: Callable[[Preprocessing], torch.Tensor]
    folder: Path | None = None

    @staticmethod
    def from_files(sources: Iterable[bytes | str | Path]) -> Calibration:
        """Typical images from files or their bytes; about :data:`CALIBRATION_IMAGES` are enough."""
        kept = list(sources)
        return Calibration(lambda p: torch.stack([p.read(source) for source in kept]))


class OpenVinoBackend:
    """The model compiled for this CPU, one stream per core; see :class:`biocosmos.encoders.encoder.Backend`."""

    name = "openvino"
    device = "cpu"
    layout: Layout | None = None
    batch_size = BATCH

    def __init__(
        self,
        model: Normalised,
        preprocessing: Preprocessing,
        digest: str,
        *,
        precision: Precision,
        calibration: Calibration | None,
    ) -> None:
        ov, core = _openvino(), _core()
        self.precision: Precision = precision
        self.streams = usable_cores()
        facts: tuple[Any, ...] = (digest, preprocessing, BATCH, ov.__version__, torch.__version__)
        if (vit := reduced_vit(model.tower)) is not None:
            if is_adaptive(vit):
                raise BiocosmosError(
                    f"OpenVINO runs networks of fixed shapes, and reduction {vit.reduction} keeps more tokens of one image than "
                    "of another: use --backend torch, or a reduction of a fixed number, such as topk or atc"
                )
            facts = (*facts, str(vit.reduction), code_digest())  # its operations are of this package
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        parts = segments(model)
        self._stages = [part.answered for part in parts[:-1]]
        if precision == "int8":
            if parts:
                raise BiocosmosError(
                    f"int8 is not for reduction {parts[0].vit.reduction}, whose network runs in {len(parts)} parts: "
                    "use --precision bfloat16, or float32"
                )
            paths = [_int8_model(ov, core, model, preprocessing, key, calibration)]
        else:
            paths = _float_models(ov, parts or [model], preprocessing, key)
        settings = {
            "NUM_STREAMS": str(self.streams),
            "INFERENCE_NUM_THREADS": str(self.streams),
            "INFERENCE_PRECISION_HINT": _HINT[precision],
        }
        self._compiled = [core.compile_model(str(path), "CPU", settings) for path in paths]
        self._requests = threading.local()
        self._threads = torch.get_num_threads()

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor:
        requests = getattr(self._requests, "own", None)
        if requests is None:
            requests = self._requests.own = [compiled.create_infer_request() for compiled in self._compiled]
        inputs = [batch.contiguous().numpy()]
        for stage, request in zip([*self._stages, None], requests):
            request.infer(inputs, share_inputs=True)
            if stage is not None:
                x, asked, *size = (output.data for output in request.output_tensors)
                inputs = [x, stage(torch.from_numpy(asked)).numpy(), *size]
        return torch.from_numpy(requests[-1].get_output_tensor(0).data.copy())

    def dim(self, size: int) -> int:
        """Length of the vectors."""
        return int(self._compiled[-1].output(0).partial_shape[1].get_length())

    def enter_thread(self) -> None:
        """Each thread has its own request; only torch's part, the resizing, must not start threads of its own."""
        torch.set_num_threads(1)

    def leave_thread(self) -> None:
        """Nothing is left behind but torch's setting."""
        torch.set_num_threads(self._threads)


def _float_models(ov: Any, parts: Sequence[nn.Module], preprocessing: Preprocessing, key: str) -> list[Path]:
    """The model, or its segments, converted if they were not before."""
    names = [f"{key}-f32"] if len(parts) == 1 else [f"{key}-f32-{i}of{len(parts)}" for i in range(1, len(parts) + 1)]
    paths = [_cache() / f"{name}.xml" for name in names]
    if all(is_there(path) for path in paths):
        return paths
    inputs: tuple[torch.Tensor, ...] = (torch.zeros((BATCH, 3, preprocessing.size, preprocessing.size), dtype=torch.uint8),)
    for part, path in zip(parts, paths):
        _save(ov, _converted(ov, part, inputs), path)
        if isinstance(part, Segment) and part.last is not None:
            with torch.inference_mode():
                x, asked, *size = part(*inputs)
                inputs = (x, part.answered(asked), *size)
    return paths


def _int8_model(
    ov: Any, core: Any, model: Normalised, preprocessing: Preprocessing, key: str, calibration: Calibration | None
) -> Path:
    if calibration is None:
        raise BiocosmosError(
            "int8 is calibrated on typical images: use 'biocosmos embed --backend openvino --precision int8', "
            "or give load_encoder calibration=Calibration.from_files(images)"
        )
    path = None if calibration.folder is None else calibration.folder / f"{key}-int8.xml"
    if path is None or not is_there(path):
        images = calibration.images(preprocessing)
        if path is None:
            path = _cache() / f"{key}-int8-{hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]}.xml"
        if not is_there(path):
            floats = core.read_model(str(_float_models(ov, [model], preprocessing, key)[0]))
            _save(ov, _quantised(floats, images, _is_transformer(model)), path)
    return path


def _converted(ov: Any, part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            example = inputs if len(inputs) > 1 else inputs[0]
            return ov.convert_model(part.eval(), example_input=example, input=[tuple(tensor.shape) for tensor in inputs])
    except Exception as error:  # the tracer and the converter raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise BiocosmosError(f"OpenVINO cannot convert this encoder ({reason}): use backend torch") from error


def _quantised(model: Any, images: torch.Tensor, transformer: bool) -> Any:
    try:
        with _no_telemetry():
            nncf: Any = importlib.import_module("nncf")
    except ImportError:
        raise BiocosmosError("int8 needs nncf: pip install 'biocosmos[openvino]'") from None
    logging.getLogger("nncf").setLevel(logging.ERROR)
    whole = len(images) // BATCH * BATCH
    if whole == 0:
        raise BiocosmosError(f"int8 is calibrated on at least {BATCH} readable images: there are {len(images)}")
    batches = [images[start : start + BATCH].numpy() for start in range(0, whole, BATCH)]
    with redirect_stdout(io.StringIO()):  # nncf draws bars of its own on the output that a pipe reads
        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        )


def _is_transformer(model: nn.Module) -> bool:
    return any("Attention" in type(module).__name__ for module in model.modules())


def _save(ov: Any, model: Any, path: Path) -> None:
    """The weights beside the description, which takes its name last: a crash leaves nothing that looks whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished_path(path)
    temporary.mkdir()
    try:
        ov.save_model(model, str(temporary / path.name), compress_to_fp16=False)
        (temporary / path.name).with_suffix(".bin").replace(path.with_suffix(".bin"))
        (temporary / path.name).replace(path)
    finally:
        remove(temporary)


def _cache() -> Path:
    return user_cache() / "openvino"


@cache
def _core() -> Any:
    """One for the life of the process.

    A core's plugin for the CPU moves the main thread's stack of signals into memory of its own. Where several come and go, the
    stack stays set when its memory is gone, and the next Ctrl-C or SIGTERM ends in a segmentation fault (OpenVINO 2026.4).
    """
    return _openvino().Core()


def _openvino() -> Any:
    try:
        with _no_telemetry():
            import openvino
    except ImportError:
        raise BiocosmosError("the OpenVINO backend is not installed: pip install 'biocosmos[openvino]'") from None
    return openvino


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """OpenVINO sends usage data without asking if ``openvino_telemetry`` can be imported; without it, it has a silent stub."""
    before = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules["openvino_telemetry"]
        else:
            sys.modules["openvino_telemetry"] = before
