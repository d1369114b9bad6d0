"""Run an image tower with torch, on CPU, CUDA or MPS."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from functools import cache
from pathlib import Path

import torch

from biocosmos.encoders.encoder import Normalised, Precision
from biocosmos.errors import BiocosmosError

CPU_BATCH = 8
"""Measured on a Zen 3: larger batches leave the caches and are slower (benchmarks/bench_embed.py)."""
GPU_BATCH = 128
_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


class TorchBackend:
    """The model on one device in one precision; see :class:`biocosmos.encoders.encoder.Backend`."""

    name = "torch"

    def __init__(self, model: Normalised, *, device: str, precision: Precision) -> None:
        if precision == "int8":
            raise BiocosmosError("int8 needs the OpenVINO backend: pip install 'biocosmos[openvino]' and ask for it by name")
        self.device = device
        self.precision: Precision = precision
        on_cpu = device == "cpu"
        self.batch_size = CPU_BATCH if on_cpu else GPU_BATCH
        self.streams = usable_cores() if on_cpu else 1
        if on_cpu:
            keep_freed_memory()
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._model = model.eval().in_precision(dtype).to(device).to(memory_format=torch.channels_last)
        self._alone = threading.Semaphore(self.streams)
        self._threads = torch.get_num_threads()

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor:
        with self._alone, torch.inference_mode():
            batch = batch.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            return self._model(batch).cpu()  # type: ignore[no-any-return]

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


def choose_precision(precision: str, device: str) -> Precision:
    """ "auto" is bfloat16 where the hardware computes in it, else float32 (emulated bfloat16 is 12 times slower)."""
    if precision == "auto":
        native = has_bf16() if device == "cpu" else device.startswith("cuda") and torch.cuda.is_bf16_supported(False)
        return "bfloat16" if native else "float32"
    if precision not in ("float32", "bfloat16", "int8"):
        raise BiocosmosError(f"precision '{precision}' is not known: choose auto, float32, bfloat16 or int8")
    return precision  # type: ignore[return-value]


@cache
def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (Linux; elsewhere taken as no)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split()
    return any(flag in flags for flag in _BF16_FLAGS)


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
