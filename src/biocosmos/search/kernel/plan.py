"""Which scan suits the hardware and the gallery: number type by capability, kept dims by trying them on a sample."""

from __future__ import annotations

import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.kernel import avx2 as kernel_avx2
from biocosmos.search.kernel.basis import Spectrum, sample_rows
from biocosmos.search.kernel.scan import GROUP, DenseScan, PackedScan, Scan, best_step, quantise, rounding_error

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
PILOT_QUERIES = 32
PILOT_GROUPS = 256
PILOT_NEIGHBOURS = 10
SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1)
DIM_MULTIPLE = 8
UNEVEN = 1.15
# Costs in those of one number in the scan over many queries (9 ps on a Zen 3 core), measured there with 64-row groups:
ROW_COST = 10.0  # one number of a row looked at for a single query,
ROW_FIXED = 1000.0  # the same whatever its dims,
SCORE_COST = 40.0  # one number of a row scored in float64


def precision_for(device: torch.device) -> str:
    """The number type that the hardware multiplies fastest: read from its capabilities, not from its name."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    if device.type != "cpu":
        return "float32"
    if fast_bfloat16():
        return "bfloat16"
    return "int8" if kernel_avx2.load() is not None else "float32"


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    capability = torch.backends.cpu.get_cpu_capability()
    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if check is None or not capability.startswith("AVX512"):
        return False
    try:
        from torch.cpu import _is_avx512_bf16_supported

        return bool(check() and _is_avx512_bf16_supported())
    except ImportError:
        return False


def best_scan(vectors: torch.Tensor, precision: str, plain: Scan) -> Scan:
    """The fastest scan of ``vectors`` (n, dim) in ``precision``, on their device."""
    chosen = precision_for(vectors.device) if precision == "auto" else precision
    if not len(vectors) or vectors.device.type == "mps":
        return plain
    kernel = kernel_avx2.load() if chosen == "int8" else None
    if chosen == "int8" and (kernel is None or vectors.device.type != "cpu"):
        raise BiocosmosError(
            "precision int8 needs an x86 CPU with AVX2 and the llvmlite package: choose float32, or pip install llvmlite"
        )
    spectrum = Spectrum.of(vectors)
    kept = kept_dims(vectors, spectrum, chosen) if vectors.device.type == "cpu" else vectors.shape[1]
    whole = kept >= vectors.shape[1]
    if kernel is not None:
        turn = not whole or uneven(vectors, spectrum)
        return PackedScan(vectors, spectrum.basis(kept, turn=turn, device=vectors.device), kernel)
    if whole and chosen == "float32":
        return plain
    basis = spectrum.basis(kept, turn=False, device=vectors.device)
    return DenseScan(vectors, basis, torch.bfloat16 if chosen == "bfloat16" else torch.float32)


def uneven(vectors: torch.Tensor, spectrum: Spectrum) -> bool:
    """Whether 8 bits hold the gallery's own dims worse than they would after a random rotation."""
    x = vectors[sample_rows(vectors, 2048)]
    raw, turned = (spectrum.basis(x.shape[1], turn=turn, device=x.device).rows(x).values for turn in (False, True))
    return rounding_error(raw, best_step(raw)) > UNEVEN * rounding_error(turned, best_step(turned))


def kept_dims(vectors: torch.Tensor, spectrum: Spectrum, precision: str) -> int:
    """How many principal axes make the search cheapest, estimated with rows of the gallery as queries."""
    n, dim = vectors.shape
    choices = sorted({min(dim, max(DIM_MULTIPLE, round(dim * share / DIM_MULTIPLE) * DIM_MULTIPLE)) for share in SHARES})
    q = vectors[sample_rows(vectors, PILOT_QUERIES, seed=1)]
    threshold = torch.full((len(q),), -torch.inf)
    best = torch.empty(0, len(q))
    for i in range(0, n, 8192):
        best = (
            torch.cat([best, vectors[i : i + 8192] @ q.T])
            .topk(min(PILOT_NEIGHBOURS, len(best) + len(vectors[i : i + 8192])), 0)
            .values
        )
    threshold = best[-1]
    first = sample_rows(vectors[: n // GROUP or 1], PILOT_GROUPS, seed=2)
    x = vectors[(first[:, None] * GROUP + torch.arange(GROUP)).clamp_max(n - 1).flatten()]

    def cost(kept: int) -> float:
        basis = spectrum.basis(kept, turn=precision == "int8", device=vectors.device)
        rows, queries = basis.rows(x), basis.queries(q)
        bound = rows.values @ queries.values.T + rows.rest[:, None] * queries.rest + q @ basis.mean
        if precision == "int8":
            step = best_step(rows.values[:2048])
            error = torch.linalg.vector_norm(rows.values - quantise(rows.values, step) * step, dim=1)
            scale = queries.values.abs().amax(1, keepdim=True) / kernel_avx2.QUERY_MAX
            query_error = torch.linalg.vector_norm(queries.values - (queries.values / scale).round() * scale, dim=1)
            bound += error[:, None] * torch.linalg.vector_norm(queries.values, dim=1) + rows.length[:, None] * query_error
        reach = bound >= threshold
        groups = float(reach.view(-1, GROUP, len(q)).any(1).float().mean())
        return kept + groups * (ROW_COST * kept + ROW_FIXED) + dim * SCORE_COST * float(reach.float().mean())

    return min(choices, key=cost)
