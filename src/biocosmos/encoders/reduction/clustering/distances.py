"""Cosine distances of tokens: by torch for a batch, and as assembly for one image in the space of a thread.

With u = k / |k|, 1 - cos(k_i, k_j) = |u_i - u_j|^2 / 2, in which the image's mean c may be taken from every u first: with
w = u - c and h = |w|^2 / 2 as it was rounded, it is h_i + h_j - w_i.w_j. Keys of one image have much in common, and the less is
left in w, the less is lost by rounding: distances of 1e-3 come out far more exact than from cosines near one. Tokens that are
equal are at distance zero exactly. A zero vector has the cosine 0 with every token, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional as F

from biocosmos.encoders.reduction.clustering.lanes import Lanes
from biocosmos.search.kernel.assembly import Function

ROUNDING = 2.0**-21
"""Distances below this share of h_i + h_j are what rounding makes of none at all."""
GRID = 256
"""The mean is rounded to whole parts of this, so that keys of few binary digits still have exact distances, and equal ones."""
LARGEST = 1e30
"""Of a token to itself: no token is ever nearest to itself, and twice as much is still a number."""
_PLAIN = 1e-30, 1e30  # squared lengths that neither underflow nor overflow


def cosine_distances(keys: torch.Tensor) -> torch.Tensor:
    """keys: (b, n, d) float32, finite. Returns: (b, n, n) float32, symmetric, :data:`LARGEST` on the diagonal."""
    peak = torch.linalg.vector_norm(keys, torch.inf, dim=-1, keepdim=True)
    unit = F.normalize(keys / peak.clamp_min(torch.finfo(torch.float32).tiny), dim=-1)
    unit = unit - (unit.mean(1, keepdim=True) * GRID).round() / GRID
    half = unit.square().sum(-1) / 2
    both = half[:, :, None] + half[:, None, :]
    with _whole_float32(keys.device.type):
        distances = torch.baddbmm(both, unit, unit.mT, alpha=-1)
    distances = torch.minimum(distances, distances.mT)
    distances = torch.where(distances < both * ROUNDING, 0, distances)
    empty = peak == 0
    distances.masked_fill_(empty | empty.mT, 1)
    distances.diagonal(dim1=1, dim2=2).fill_(LARGEST)
    return distances


@contextmanager
def _whole_float32(device: str) -> Iterator[None]:
    """Products of float32 as they are, whatever shorter type (TF32, bfloat16) they may be computed in elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def assembly(lanes: int) -> str:
    """``distances(keys, unit, packed, half, distances, flag; n, d, stride, width, depth)``: of one image.

    keys: n rows of d floats, ``stride`` floats from one to the next; width and depth: n and d up to a multiple of the lanes;
    unit (width, depth), packed (width / lanes, depth, lanes) and half (width,): to work in; distances (width, width): without
    meaning beyond n; flag i8: set to 1 where a key is not finite, and left alone otherwise.
    """
    return "\n".join((_units(lanes), _centred(lanes), _packed(lanes), _tiles(lanes), _distances()))


def _distances() -> str:
    f = Function("distances", "keys unit packed half distances flag", "n d stride width depth")
    f.do("call void @units(ptr %keys, ptr %unit, ptr %half, ptr %flag, i64 %n, i64 %d, i64 %stride, i64 %width, i64 %depth)")
    f.do("call void @centre(ptr %unit, ptr %half, i64 %n, i64 %depth)")
    f.do("call void @pack(ptr %unit, ptr %packed, ptr %half, i64 %width, i64 %depth)")
    f.do("call void @tiles(ptr %packed, ptr %half, ptr %distances, i64 %n, i64 %width, i64 %depth)")
    return f.text()


def _units(lanes: int) -> str:
    """``units``: rows of length one, zeros behind them; half: 0, or LARGEST for a row of zeros."""
    f = Function("units", "keys unit half flag", "n d stride width depth")
    v = Lanes(f, lanes)
    total, peak, zero = f.variable(v.floats, "zeroinitializer"), f.variable(v.floats, "zeroinitializer"), "zeroinitializer"
    factor = f.variable("float", "0.0")
    with f.loop("0", "%width") as i:
        row = f.at("float", "%unit", f.let(f"mul i64 {i}, %depth"))
        with f.loop("0", "%depth", lanes) as p:
            v.store(row, p, zero)
        f.set("float", f.at("float", "%half", i), "0.0")
        with f.when(f.let(f"icmp slt i64 {i}, %n")):
            key = f.at("float", "%keys", f.let(f"mul i64 {i}, %stride"))
            with f.loop("0", "%d") as p:
                f.set("float", f.at("float", row, p), f.item("float", key, p))
            _squared(f, v, row, total)
            square = v.reduce("fadd", f.get(v.floats, total), "float 0.0, ")
            f.set("float", factor, square)
            usual = f.let(
                f"and i1 {f.let(f'fcmp ogt float {square}, {float32(_PLAIN[0])}')},"
                f" {f.let(f'fcmp olt float {square}, {float32(_PLAIN[1])}')}"
            )
            with f.when(f.let(f"xor i1 {usual}, true")):  # by the largest number of the row first
                f.set(v.floats, peak, zero)
                f.set(v.floats, total, zero)
                with f.loop("0", "%depth", lanes) as p:
                    x = v.load(row, p)
                    size = f.let(f"call {v.floats} @llvm.fabs.v{lanes}f32({v.floats} {x})")
                    f.set(v.floats, peak, v.more(size, f.get(v.floats, peak)))
                    nothing = f.let(f"fmul {v.floats} {x}, {zero}")
                    f.set(v.floats, total, f.let(f"fadd {v.floats} {f.get(v.floats, total)}, {nothing}"))
                none = v.reduce("fadd", f.get(v.floats, total), "float 0.0, ")
                with f.when(f.let(f"fcmp une float {none}, 0.0")):
                    f.set("i8", "%flag", "1")
                largest = v.reduce("fmax", f.get(v.floats, peak))
                empty = f.let(f"fcmp oeq float {largest}, 0.0")
                with f.when(empty):
                    f.set("float", f.at("float", "%half", i), float32(LARGEST))
                divisor = v.splat(f.let(f"select i1 {empty}, float 1.0, float {largest}"))
                with f.loop("0", "%depth", lanes) as p:
                    v.store(row, p, f.let(f"fdiv {v.floats} {v.load(row, p)}, {divisor}"))
                _squared(f, v, row, total)
                square = v.reduce("fadd", f.get(v.floats, total), "float 0.0, ")
                f.set("float", factor, f.let(f"select i1 {empty}, float 1.0, float {square}"))
            length = f.let(f"call float @llvm.sqrt.f32(float {f.get('float', factor)})")
            inverse = v.splat(f.let(f"fdiv float 1.0, {length}"))
            with f.loop("0", "%depth", lanes) as p:
                v.store(row, p, f.let(f"fmul {v.floats} {v.load(row, p)}, {inverse}"))
    return f.text()


def _squared(f: Function, v: Lanes, row: str, total: str) -> None:
    """Leave the sums of the squares of a row in the variable ``total``."""
    f.set(v.floats, total, "zeroinitializer")
    with f.loop("0", "%depth", v.count) as p:
        x = v.load(row, p)
        f.set(v.floats, total, v.fused(x, x, f.get(v.floats, total)))


def _centred(lanes: int) -> str:
    """``centre``: take the rounded mean of the n rows from every row but those of zeros."""
    f = Function("centre", "unit half", "n depth")
    v = Lanes(f, lanes)
    total = f.variable(v.floats, "zeroinitializer")
    rows = v.splat(f.let("sitofp i64 %n to float"))
    digits = v.splat(float32(1.5 * 2**23 / GRID))  # so large that what is added to it is rounded to the grid
    with f.loop("0", "%depth", lanes) as p:
        f.set(v.floats, total, "zeroinitializer")
        with f.loop("0", "%n") as i:
            x = v.load(f.at("float", "%unit", f.let(f"mul i64 {i}, %depth")), p)
            f.set(v.floats, total, f.let(f"fadd {v.floats} {f.get(v.floats, total)}, {x}"))
        mean = f.let(f"fdiv {v.floats} {f.get(v.floats, total)}, {rows}")
        shifted = f.let(f"fadd {v.floats} {mean}, {digits}")
        mean = f.let(f"fsub {v.floats} {shifted}, {digits}")
        with f.loop("0", "%n") as i:
            row = f.at("float", "%unit", f.let(f"mul i64 {i}, %depth"))
            x = v.load(row, p)
            some = f.let(f"fcmp oeq float {f.item('float', '%half', i)}, 0.0")
            apart = f.let(f"fsub {v.floats} {x}, {mean}")
            v.store(row, p, f.let(f"select i1 {some}, {v.floats} {apart}, {v.floats} {x}"))
    return f.text()


def _packed(lanes: int) -> str:
    """``pack``: as many rows as there are lanes side by side, dim by dim; half: |w|^2 / 2, summed as in a tile, is added."""
    f = Function("pack", "unit packed half", "width depth")
    v = Lanes(f, lanes)
    total = f.variable(v.floats, "zeroinitializer")
    with f.loop("0", "%width", lanes) as i:
        panel = f.at("float", "%packed", f.let(f"mul i64 {i}, %depth"))
        with f.loop("0", "%depth", lanes) as p:
            to = f.at("float", panel, f.let(f"mul i64 {p}, {lanes}"))
            for r in range(0, lanes, 4):
                rows = []
                for k in range(4):
                    row = f.let(f"mul i64 {f.let(f'add i64 {i}, {r + k}')}, %depth")
                    rows.append(v.load(f.at("float", "%unit", row), p))
                v.transpose(rows, f.at("float", to, str(r)), lanes)
        f.set(v.floats, total, "zeroinitializer")
        with f.loop("0", "%depth") as p:
            x = v.load(panel, f.let(f"mul i64 {p}, {lanes}"))
            f.set(v.floats, total, v.fused(x, x, f.get(v.floats, total)))
        halves = f.let(f"fmul {v.floats} {f.get(v.floats, total)}, {v.splat('0.5')}")
        v.store("%half", i, f.let(f"fadd {v.floats} {v.load('%half', i)}, {halves}"))
    return f.text()


def _tiles(lanes: int) -> str:
    """``tiles``: products of each panel with itself and all before it; a tile is written twice, as it is and on its side."""
    f = Function("tiles", "packed half distances", "n width depth")
    v = Lanes(f, lanes)
    sums = [f.variable(v.floats, "zeroinitializer") for _ in range(lanes)]
    share = v.splat(float32(ROUNDING))
    with f.loop("0", "%width", lanes) as j:
        across = f.at("float", "%packed", f.let(f"mul i64 {j}, %depth"))
        half = v.load("%half", j)
        with f.loop("0", f.let(f"add i64 {j}, 1"), lanes) as i:
            down = f.at("float", "%packed", f.let(f"mul i64 {i}, %depth"))
            for place in sums:
                f.set(v.floats, place, "zeroinitializer")
            with f.loop("0", "%depth") as p:
                at = f.let(f"mul i64 {p}, {lanes}")
                x = v.load(across, at)
                row = f.at("float", down, at)
                for r, place in enumerate(sums):
                    one = v.splat(f.item("float", row, str(r)))
                    f.set(v.floats, place, v.fused(one, x, f.get(v.floats, place)))
            rows = []
            for r, place in enumerate(sums):
                here = f.let(f"add i64 {i}, {r}")
                both = f.let(f"fadd {v.floats} {half}, {v.splat(f.item('float', '%half', here))}")
                distance = f.let(f"fsub {v.floats} {both}, {f.get(v.floats, place)}")
                rounding = f.let(f"fmul {v.floats} {both}, {share}")
                some = f.let(f"fcmp oge {v.floats} {distance}, {rounding}")
                rows.append(f.let(f"select {v.bits} {some}, {v.floats} {distance}, {v.floats} zeroinitializer"))
                v.store(f.at("float", "%distances", f.let(f"mul i64 {here}, %width")), j, rows[-1])
            side = f.at("float", "%distances", f.let(f"add i64 {f.let(f'mul i64 {j}, %width')}, {i}"))
            with f.when(f.let(f"icmp slt i64 {i}, {j}")):
                for r in range(0, lanes, 4):
                    v.transpose(rows[r : r + 4], f.at("float", side, str(r)), "%width")
    with f.loop("0", "%n") as i:
        empty = f.let(f"fcmp oge float {f.item('float', '%half', i)}, {float32(LARGEST)}")
        with f.when(empty), f.loop("0", "%n") as j:
            for row, column in ((i, j), (j, i)):
                place = f.let(f"add i64 {f.let(f'mul i64 {row}, %width')}, {column}")
                f.set("float", f.at("float", "%distances", place), "1.0")
    with f.loop("0", "%n") as i:
        own = f.let(f"add i64 {f.let(f'mul i64 {i}, %width')}, {i}")
        f.set("float", f.at("float", "%distances", own), float32(LARGEST))
    return f.text()


def float32(value: float) -> str:
    """A constant as LLVM reads it: a double that float32 holds."""
    import struct

    rounded = struct.unpack("f", struct.pack("f", value))[0]
    return f"0x{struct.pack('>d', rounded).hex().upper()}"
