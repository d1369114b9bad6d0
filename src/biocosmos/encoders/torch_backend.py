"""Run an image tower with torch, on CPU, CUDA or MPS."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from functools import cache

import torch

from biocosmos.encoders.encoder import Layout, Normalised, Precision
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.machine import usable_cores

CPU_BATCH = 8
"""Measured on a Zen 3: larger batches leave the caches and are slower (benchmarks/bench_embed.py)."""
GPU_BATCH = 128
_FORMATS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


class TorchBackend:
    """The model on one device in one precision; see :class:`biocosmos.encoders.encoder.Backend`."""

    name = "torch"

    def __init__(self, model: Normalised, *, device: str, precision: Precision, layout: Layout = "channels last") -> None:
        if precision == "int8":
            raise BiocosmosError("int8 needs the OpenVINO backend: use --backend openvino")
        self.device = device
        self.precision: Precision = precision
        self.layout: Layout | None = layout
        on_cpu = device == "cpu"
        self.batch_size = CPU_BATCH if on_cpu else GPU_BATCH
        self.streams = usable_cores() if on_cpu else 1
        if on_cpu:
            keep_freed_memory()
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._format = _FORMATS[layout]
        self._model = model.eval().in_precision(dtype).to(device).to(memory_format=self._format)
        self._alone = threading.Semaphore(self.streams)
        self._threads = torch.get_num_threads()

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor:
        with self._alone, torch.inference_mode():
            batch = batch.to(self.device, non_blocking=True).contiguous(memory_format=self._format)
            return self._model(batch).cpu()  # type: ignore[no-any-return]

    def dim(self, size: int) -> int:
        """Length of the vectors of images of size x size pixels, by running a blank one. Raises BiocosmosError if it cannot."""
        try:
            return int(self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1])
        except AssertionError as error:  # as timm checks the size of an image
            raise BiocosmosError(
                f"this encoder says it takes images of {size} pixels, and does not ({first_line(error)}): mend its description"
            ) from error

    def enter_thread(self) -> None:
        """One thread per batch and a batch per core: no core waits for another inside a layer."""
        torch.set_num_threads(1)  # OpenMP keeps this per thread

    def leave_thread(self) -> None:
        """Threads started later take torch's last setting: give it back."""
        torch.set_num_threads(self._threads)


def choose_device(device: str = "auto") -> str:
    """ "auto" is CUDA, then MPS, then the CPU. Raises BiocosmosError for one that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise BiocosmosError(f"device '{device}' is not known: choose auto, cpu, cuda or mps")
    if not there[kind]:
        raise BiocosmosError(f"device '{device}' is not on this machine: choose {' or '.join(k for k, v in there.items() if v)}")
    return device


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of giving them back to the system; returns whether it was told.

    By default glibc maps every block over 32 MiB anew and returns it on free, so that each layer of a convolutional network
    page-faults its whole output: half the time on two cores. What is kept is bounded by the largest batch in flight.
    BIOCOSMOS_MALLOC=system leaves the allocator alone.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get("BIOCOSMOS_MALLOC") == "system":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
