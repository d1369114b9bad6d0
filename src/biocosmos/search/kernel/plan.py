"""Which scan suits the machine and the gallery: number type and kernel by timing them, kept dims by trying them on a sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, partial

import torch

from biocosmos import machine
from biocosmos.errors import BiocosmosError
from biocosmos.search.kernel import packed
from biocosmos.search.kernel.basis import Basis, Spectrum, sample_rows
from biocosmos.search.kernel.instructions import GROUP
from biocosmos.search.kernel.packed_scan import Levels, MatrixScan, PackedScan, SingleScan, best_step, quantise, rounding_error
from biocosmos.search.kernel.scan import DenseScan, Scan
from biocosmos.search.kernel.single import SINGLE_QUERY_MAX
from biocosmos.search.row_file import Rows

PRECISIONS = ("auto", "float32", "bfloat16", "int8", "int4")
"""Of scans; int4 is 8 bits for batches, and 4 for a query alone where that is not too coarse."""
BATCHES = {"one": 1, "small": 16, "large": 256}
"""Sizes of batch that may be served best by different scans, and the number of queries each is timed with."""
PACKED: dict[str, type[PackedScan]] = {"int8": PackedScan, "int8 matrix": MatrixScan}
SIGNED_ZERO = 128  # rows of so many bits are what torch multiplies
SMALL_MOST = 48  # queries of a small batch
TIMED_ROWS = {"one": 16384, "small": 4096, "large": 4096}
"""For one query more than a cache holds: the scan waits for memory."""
PILOT_QUERIES = 32
PILOT_GROUPS = 256
PILOT_NEIGHBOURS = 10
SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1)
DIM_MULTIPLE = 8
UNEVEN = 1.15
# Costs in those of one number in the scan over many queries, with 64-row groups:
ROW_COST = 10.0  # one number of a row looked at for a single query,
ROW_FIXED = 1000.0  # the same whatever its dims,
SCORE_COST = 40.0  # one number of a row scored in float64,
CHECK_COST = 20.0  # one number of a row whose 8-bit copy is looked at,
CHECK_FIXED = 8000.0  # the same whatever its dims,
SINGLE_COST = 8.0  # one byte of the scan for one query, which waits for memory,
SINGLE_FIXED = 150.0  # the bound that it writes
INT8_CLEARLY = 0.5  # one query is scanned in 8 bits where 4 are so coarse that it costs at most this share


def batch_kind(queries: int) -> str:
    """Which of :data:`BATCHES` a number of queries is."""
    return "one" if queries == 1 else "small" if queries <= SMALL_MOST else "large"


def kernel_here() -> packed.Kernel | None:
    """The compiled kernel that is fastest on this machine; None where there is none."""
    names = packed.known()
    if not any(packed.load(name) for name in names):
        return None
    return packed.load(machine.choose("search.kernel", {name: partial(_try_kernel, name) for name in names}).answer)


def precision_for(device: torch.device, dim: int, kind: str) -> str:
    """The number type whose scan is fastest for batches of a ``kind``: timed on a CPU, "int4" among them for one query."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    if device.type != "cpu":
        return "float32"
    question = "search.single" if kind == "one" else "search.scan"
    return machine.choose(question, _candidates(dim, kind), about=f"{dim} dims, batch {BATCHES[kind]}", rounds=3).answer


def _candidates(dim: int, kind: str) -> dict[str, Callable[[], object]]:
    """Scans of random unit vectors, made when they are first called: remembered answers need none."""
    kernel = kernel_here()
    names = ["float32", "bfloat16"]
    if kernel is not None:
        matrix = ["int8 matrix"] if kernel.isa.row_zero == SIGNED_ZERO else []
        names = ["int8", *(["int4"] if kind == "one" else matrix), *names]
    made: dict[str, Callable[[], object]] = {}

    @cache
    def sample() -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        return torch.nn.functional.normalize(torch.randn(TIMED_ROWS[kind], dim, generator=draw), dim=1)

    def run(name: str) -> None:
        if name not in made:
            made[name] = _scan_call(name, sample(), sample()[: BATCHES[kind]], kernel)
        made[name]()

    return {name: partial(run, name) for name in names}


def _scan_call(name: str, rows: torch.Tensor, queries: torch.Tensor, kernel: packed.Kernel | None) -> Callable[[], object]:
    whole, groups = Basis(torch.zeros(rows.shape[1]), None), len(rows) // GROUP
    if name == "int4":
        assert kernel is not None
        single = SingleScan(rows, whole, kernel)
        return partial(_bound_all, single, queries)
    scan: Scan
    if name in PACKED:
        assert kernel is not None
        scan = PACKED[name](rows, whole, kernel)
    else:
        scan = DenseScan(rows, whole if name == "bfloat16" else None, getattr(torch, name))
    return lambda: scan.groups(scan.encode(queries), 0, groups)


def _bound_all(scan: SingleScan, query: torch.Tensor) -> None:
    with scan.space() as space:
        scan.bounds(query, 0, len(scan.packed), space)


def _try_kernel(name: str) -> None:
    """Some tens of megaproducts, of zeros: integers take the same time whatever they are."""
    kernel = packed.load(name)
    assert kernel is not None
    groups, dim, queries = 32, 256, 64
    rows = torch.zeros(groups, 4, dim // 4, 16, 4, dtype=torch.uint8)
    kernel.scan(rows, torch.zeros(queries, dim, dtype=torch.int8), torch.empty(groups, queries, dtype=torch.int32))


class Plan:
    """Makes the scans of one gallery.

    vectors: (n, dim); precision: a name of :data:`PRECISIONS`; plain: the scan of the vectors as they are. Raises BiocosmosError
    where the precision cannot be had.
    """

    def __init__(self, vectors: Rows, precision: str, plain: Scan) -> None:
        self.vectors, self.precision, self.plain = vectors, precision, plain
        self.bare = not len(vectors) or vectors.device.type == "mps"
        on_cpu = vectors.device.type == "cpu" and not self.bare
        self.kernel = kernel_here() if on_cpu and precision in ("auto", "int8", "int4") else None
        if precision in ("int8", "int4") and self.kernel is None and not self.bare:
            needs = "needs an x86 CPU with AVX2 and the llvmlite package: choose float32, or pip install llvmlite"
            raise BiocosmosError(f"precision {precision} {needs}")
        self._made: dict[str, Scan | SingleScan] = {}

    @cached_property
    def _spectrum(self) -> Spectrum:
        return Spectrum.of(self.vectors)

    @cached_property
    def _pilot(self) -> _Pilot:
        return _Pilot(self.vectors, self._spectrum, self.kernel)

    def scan(self, kind: str) -> Scan | SingleScan:
        """The fastest scan for batches of a ``kind``; kinds that are served best by one scan share it."""
        if self.bare:
            return self.plain
        device, dim = self.vectors.device, self.vectors.shape[1]
        chosen = precision_for(device, dim, kind) if self.precision == "auto" else self.precision
        if chosen == "int4" and kind != "one":
            chosen = "int8"
        if chosen == "int4" and self._pilot.best("int8", one=True)[0] < INT8_CLEARLY * self._pilot.best("int4")[0]:
            chosen = "int8"
        if chosen not in self._made:
            self._made[chosen] = self._make(chosen)
        return self._made[chosen]

    def _make(self, chosen: str) -> Scan | SingleScan:
        device, dim = self.vectors.device, self.vectors.shape[1]
        kept = self._pilot.best(chosen)[1] if device.type == "cpu" else dim
        if chosen == "int4" or chosen in PACKED:
            assert self.kernel is not None
            turn = kept < dim or uneven(self.vectors, self._spectrum, self.kernel)
            made = SingleScan if chosen == "int4" else PACKED[chosen]
            return made(self.vectors, self._spectrum.basis(kept, turn=turn, device=device), self.kernel)
        if kept >= dim and chosen == "float32":
            return self.plain
        basis = self._spectrum.basis(kept, turn=False, device=device)
        return DenseScan(self.vectors, basis, torch.bfloat16 if chosen == "bfloat16" else torch.float32)


def uneven(vectors: Rows, spectrum: Spectrum, kernel: packed.Kernel) -> bool:
    """Whether 8 bits hold the gallery's own dims worse than they would after a random rotation."""
    x, limits = vectors[sample_rows(vectors, 2048)], (kernel.isa.row_zero, kernel.isa.row_max)
    raw, turned = (spectrum.basis(x.shape[1], turn=turn, device=x.device).rows(x).values for turn in (False, True))
    lost, lost_turned = (rounding_error(values, best_step(values, *limits), *limits) for values in (raw, turned))
    return lost > UNEVEN * lost_turned


class _Pilot:
    """Estimates what a search costs, with rows of the gallery as queries, to find how many principal axes are cheapest."""

    def __init__(self, vectors: Rows, spectrum: Spectrum, kernel: packed.Kernel | None) -> None:
        n = len(vectors)
        self.vectors, self.spectrum, self.kernel = vectors, spectrum, kernel
        self.queries = vectors[sample_rows(vectors, PILOT_QUERIES, seed=1)]
        best = torch.empty(0, len(self.queries))
        for i in range(0, n, 8192):
            found = torch.cat([best, vectors[i : i + 8192] @ self.queries.T])
            best = found.topk(min(PILOT_NEIGHBOURS, len(found)), 0).values
        self.threshold = best[-1]
        first = sample_rows(vectors[: n // GROUP or 1], PILOT_GROUPS, seed=2)
        self.rows = vectors[(first[:, None] * GROUP + torch.arange(GROUP)).clamp_max(n - 1).flatten()]

    def best(self, precision: str, *, one: bool = False) -> tuple[float, int]:
        """(cost, kept dims) of the cheapest choice; one: for a single query."""
        dim = self.vectors.shape[1]
        kept = sorted({min(dim, max(DIM_MULTIPLE, round(dim * share / DIM_MULTIPLE) * DIM_MULTIPLE)) for share in SHARES})
        return min((self._cost(k, precision, one or precision == "int4"), k) for k in kept)

    def _cost(self, kept: int, precision: str, one: bool) -> float:
        dim, q, integers = self.vectors.shape[1], self.queries, precision == "int4" or precision in PACKED
        basis = self.spectrum.basis(kept, turn=integers, device=self.vectors.device)
        rows, queries = basis.rows(self.rows), basis.queries(q)
        bound = rows.values @ queries.values.T + rows.rest[:, None] * queries.rest + q @ basis.mean
        if integers:
            assert self.kernel is not None
            isa = self.kernel.isa
            query_max = SINGLE_QUERY_MAX if precision == "int4" else isa.query_max
            if precision == "int4":
                stored = Levels.of(rows.values[:2048], isa).code(rows.values)[1]
            else:
                step = best_step(rows.values[:2048], isa.row_zero, isa.row_max)
                stored = quantise(rows.values, step, isa.row_zero, isa.row_max) * step
            error = torch.linalg.vector_norm(rows.values - stored, dim=1)
            scale = queries.values.abs().amax(1, keepdim=True) / query_max
            query_error = torch.linalg.vector_norm(queries.values - (queries.values / scale).round() * scale, dim=1)
            bound += error[:, None] * torch.linalg.vector_norm(queries.values, dim=1) + rows.length[:, None] * query_error
        reach = bound >= self.threshold
        share = float(reach.float().mean())
        groups = float(reach.view(-1, GROUP, len(q)).any(1).float().mean())
        if precision == "int4":
            return SINGLE_COST * kept / 2 + SINGLE_FIXED + share * (CHECK_COST * dim + CHECK_FIXED)
        scanned = SINGLE_COST * kept if one else kept
        if precision in PACKED:
            return scanned + groups * (ROW_COST * kept + ROW_FIXED) + share * (CHECK_COST * dim + CHECK_FIXED)
        return scanned + groups * (ROW_COST * kept + ROW_FIXED) + dim * SCORE_COST * share
