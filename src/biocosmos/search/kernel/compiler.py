"""Kernels compiled in memory by LLVM (the llvmlite wheel), and the threads they run on: no compiler is needed on the machine."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch

CACHE_LINE = 64
Function = Callable[..., None]
T = TypeVar("T")


class Program:
    """A module of LLVM assembly, compiled for the processor at hand in some tenths of a second.

    text: the assembly; features: what every function may use, as LLVM names it ("+avx2,+fma"). Raises ImportError without
    llvmlite, RuntimeError for assembly that LLVM refuses.
    """

    def __init__(self, text: str, features: str) -> None:
        llvm: Any = import_module("llvmlite.binding")
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        width = 512 if "avx512f" in features else 256
        attributes = f'"target-features"="{features}" "prefer-vector-width"="{width}" "min-legal-vector-width"="{width}"'
        module = llvm.parse_assembly(f"{text}\nattributes #0 = {{ nounwind {attributes} }}\n")
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        passes.getModulePassManager().run(module, passes)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()

    def function(self, name: str, pointers: int, integers: int, floats: int = 0) -> Function:
        """A function of so many pointers, then int64s, then float32s. It lets go of the GIL."""
        kinds = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * integers + [ctypes.c_float] * floats
        made: Function = ctypes.CFUNCTYPE(None, *kinds)(self._engine.get_function_address(name))
        return made


def compiled(make: Callable[[], T]) -> T | None:
    """What ``make`` compiles; None without llvmlite, and where LLVM cannot."""
    try:
        return make()
    except (ImportError, OSError, RuntimeError):
        return None


def large(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """An empty tensor that begins at a cache line, in huge pages where the system has them: numpy asks for them and torch does
    not. Rows that stand anywhere are then found a third faster."""
    size = math.prod(shape) * dtype.itemsize
    space = np.empty(size + CACHE_LINE, dtype=np.uint8)
    first = -space.ctypes.data % CACHE_LINE
    return torch.from_numpy(space[first : first + size]).view(dtype).view(shape)


_threads: ContextVar[int] = ContextVar("threads", default=0)  # 0: as many as torch uses


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use ``count`` threads inside."""
    token = _threads.set(count)
    try:
        yield
    finally:
        _threads.reset(token)


def thread_count() -> int:
    """Threads the kernels use here."""
    return _threads.get() or torch.get_num_threads()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="biocosmos-search")


def split(work: Callable[[int, int, int], Any], count: int, least: int = 64) -> None:
    """Run ``work(thread, start, stop)`` over 0..count on as many threads as torch uses, each with ``least`` or more."""
    threads = max(1, min(thread_count(), count // least))
    if threads == 1:
        work(0, 0, count)
        return
    bounds = [count * i // threads for i in range(threads + 1)]
    waiting = [_pool(threads).submit(work, i, bounds[i], bounds[i + 1]) for i in range(1, threads)]
    work(0, bounds[0], bounds[1])
    for job in waiting:
        job.result()
