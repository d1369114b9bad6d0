"""The compiled clustering: an image a time for each thread, whose matrix of distances stays in the cache of its core."""

from __future__ import annotations

import ctypes
import threading
from functools import cache

import torch

from biocosmos import machine
from biocosmos.encoders.reduction.clustering import distances, greedy
from biocosmos.encoders.reduction.clustering.lanes import Lanes
from biocosmos.encoders.reduction.clustering.linkages import LINKAGES, Linkage
from biocosmos.search.kernel.assembly import Function
from biocosmos.search.kernel.compiler import Program, compiled, large, split

_FLOATS, _INTEGERS = ("half", "bound", "dead", "size"), ("near", "stamp", "place", "log", "times", "parent")
_STATE = ("bound", "dead", "size", *_INTEGERS)
INSTRUCTIONS = {
    "avx512": (frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"}), "+avx512f,+avx512bw,+avx512dq,+avx512vl", 16),
    "avx2": (frozenset({"avx2", "fma"}), "+avx2,+fma,-avx512f", 8),
    "any": (frozenset[str](), "", 8),  # what LLVM finds, where the system does not say what there is
}
"""name -> flags that the processor must have, what LLVM may use, lanes."""
KEPT_VALUES = 1 << 22
"""Distances that a thread keeps room for, over all numbers of tokens that it met."""


def known() -> tuple[str, ...]:
    """The instructions that this processor has, as BIOCOSMOS_ISA shows it, the most capable first."""
    return tuple(name for name, (needs, _, _) in INSTRUCTIONS.items() if needs <= machine.flags())


@cache
def load(instructions: str) -> Kernel | None:
    """The compiled kernels; None without llvmlite or where LLVM cannot."""
    return compiled(lambda: Kernel(instructions))


def here() -> Kernel | None:
    """The kernels for this processor, or None."""
    return load(known()[0])


class Kernel:
    """Distances, merges and labels of whole images. instructions: one of :data:`INSTRUCTIONS`."""

    def __init__(self, instructions: str) -> None:
        _, features, self.lanes = INSTRUCTIONS[instructions]
        self.name = f"clustering, {instructions}"
        text = [
            distances.assembly(self.lanes),
            greedy.assembly(self.lanes, LINKAGES),
            greedy.labels(),
            *(_images(linkage) for linkage in LINKAGES),
            Lanes(Function("nothing", "", ""), self.lanes).declarations(),
        ]
        self._program = program = Program("\n".join(text), features)  # what is compiled lives as long as this
        self._images = {linkage: program.function(f"images_{linkage}", 16, 9) for linkage in LINKAGES}

    def cluster(self, keys: torch.Tensor, count: int, linkage: Linkage) -> tuple[torch.Tensor, int | None]:
        """keys: (b, n, d) float32 on the CPU, the last dim dense; count: clusters wanted, 1 to n; linkage: of :data:`LINKAGES`.

        Returns: (b, n) int64 labels by first appearance, and the first image that has a key that is not finite, or None.
        """
        b, n, d = keys.shape
        width, depth = (-(-x // self.lanes) * self.lanes for x in (n, d))
        labels, broken = torch.empty(b, n, dtype=torch.int64), (ctypes.c_int8 * b)()
        given = keys.data_ptr(), labels.data_ptr(), ctypes.addressof(broken)
        numbers = n, d, keys.stride(0), keys.stride(1), width, depth, n - count

        def work(_thread: int, start: int, stop: int) -> None:
            self._images[linkage](*given, *_space(width, depth), start, stop, *numbers)

        split(work, b, 1)
        return labels, next((image for image, flag in enumerate(broken) if flag), None)


_kept = threading.local()


def _space(width: int, depth: int) -> tuple[int, ...]:
    """Where what a thread works in begins, for images of so many tokens and dims: unit, packed, distances, floats, integers.

    A network asks for the same few sizes again and again. To make the space anew costs more than to cluster 24 tokens.
    """
    spaces: dict[tuple[int, int], tuple[tuple[int, ...], list[torch.Tensor]]] = vars(_kept).setdefault("spaces", {})
    found = spaces.get((width, depth))
    if found is None:
        row = width + 16
        unit, packed = (large(width * depth, dtype=torch.float32) for _ in range(2))
        matrix = large(width, width, dtype=torch.float32)
        floats = large(len(_FLOATS), row, dtype=torch.float32)
        integers = large(len(_INTEGERS), row, dtype=torch.int32)
        parts = [unit, packed, matrix, *floats, *integers]
        found = tuple(part.data_ptr() for part in parts), [unit, packed, matrix, floats, integers]
        if sum(tokens**2 for tokens, _ in spaces) + width**2 > KEPT_VALUES:
            spaces.clear()
        spaces[width, depth] = found
    return found[0]


def _images(linkage: str) -> str:
    """``images_LINKAGE``: the labels of the images first..last - 1."""
    names = ["unit", "packed", "distances", *_FLOATS, *_INTEGERS]
    f = Function(f"images_{linkage}", f"keys labels flags {' '.join(names)}", "first last n d image stride width depth merges")
    with f.loop("%first", "%last") as image:
        keys = f.at("float", "%keys", f.let(f"mul i64 {image}, %image"))
        labels = f.at("i64", "%labels", f.let(f"mul i64 {image}, %n"))
        flag = f.at("i8", "%flags", image)
        f.do(
            f"call void @distances(ptr {keys}, ptr %unit, ptr %packed, ptr %half, ptr %distances, ptr {flag},"
            " i64 %n, i64 %d, i64 %stride, i64 %width, i64 %depth)"
        )
        with f.when(f.let(f"icmp eq i8 {f.get('i8', flag)}, 0")):
            state = ", ".join(f"ptr %{name}" for name in ("distances", *_STATE))
            f.do(f"call void @merge_{linkage}({state}, i64 %n, i64 %width, i64 %merges)")
            f.do(f"call void @labels(ptr %parent, ptr {labels}, i64 %n)")
    return f.text()
