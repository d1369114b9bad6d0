"""The compiled kernels that this processor can run, for tests of each; VNNI on 256 bits is tried where only AVX-512 has it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from biocosmos import machine
from biocosmos.search.kernel import packed
from biocosmos.search.kernel.instructions import VNNI_256, VNNI_512

KERNELS = list(packed.known()) if any(packed.load(name) for name in packed.known()) else []
if "vnni512" in KERNELS and "vnni256" not in KERNELS:
    KERNELS.append("vnni256")


@cache
def kernel(name: str) -> packed.Kernel:
    """The kernel of that name."""
    if name == "vnni256" and "avx_vnni" not in machine.flags():
        return packed.Kernel(replace(VNNI_256, features=VNNI_512.features))
    found = packed.load(name)
    assert found is not None
    return found
