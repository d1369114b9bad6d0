"""The kernel for one query at a time, which waits for memory: rows in 4 bits, the bound of every row written out.

A cache line holds eight dims of sixteen rows: ``[group][4 tiles][dim / 8][16 rows][4 bytes]``, in the low half of a byte one of
the first four dims, in the high half one of the next four.
"""

from __future__ import annotations

from biocosmos.search.kernel.instructions import GROUP, TILE, Instructions

HALF_ZERO = 8  # rows in 0..15 stand for -8..7
HALF_MAX = 15


def row_bounds(isa: Instructions) -> str:
    """Assembly of ``row_bounds(rows, query, h, e, r, out, tops, start, stop, dim, offset, scale, a, b, c)``.

    out (groups * 64,) float32 = scale * (product - offset) + a h + b e + c r; tops (groups,) float32, the largest of each group.
    """
    kind, lanes, size = isa.vector, isa.lanes, isa.bits // 8
    real, parts, count = f"<{lanes} x float>", TILE // lanes, GROUP // TILE
    lines = [
        "define void @row_bounds(ptr noalias %x, ptr noalias %q, ptr noalias %h, ptr noalias %e, ptr noalias %r,",
        "  ptr noalias %out, ptr noalias %tops, i64 %start, i64 %stop, i64 %dim, i64 %offset,",
        "  float %scale, float %a, float %b, float %c) #0 {",
        f"entry:\n %size = mul i64 %dim, {TILE // 2}\n %off.32 = trunc i64 %offset to i32",
        *isa.broadcast("off", "%off.32"),
    ]
    for name in ("scale", "a", "b", "c"):
        lines += [
            f" %{name}.1 = insertelement {real} poison, float %{name}, i32 0",
            f" %{name}.v = shufflevector {real} %{name}.1, {real} poison, <{lanes} x i32> zeroinitializer",
        ]
    lines += [
        " br label %g.head\ng.head:\n %g = phi i64 [%start,%entry],[%g.next,%g.end]",
        " %g.more = icmp slt i64 %g, %stop\n br i1 %g.more, label %g.body, label %exit",
        f"g.body:\n %t.first = mul i64 %g, {count}\n br label %t.head",
        "t.head:\n %t = phi i64 [0,%g.body],[%t.next,%k.end]",
        f" %top = phi {real} [{_least(lanes)},%g.body],[%best{parts - 1},%k.end]",
        " %tile = add i64 %t.first, %t\n %t.byte = mul i64 %tile, %size\n %xp = getelementptr i8, ptr %x, i64 %t.byte",
        " br label %k.head\nk.head:\n %k = phi i64 [0,%t.head],[%k.next,%k.head]",
        *[f" %a{v}_{s} = phi {kind} [zeroinitializer,%t.head],[%n{v}_{s},%k.head]" for v in range(parts) for s in range(2)],
        f" %k.byte = mul i64 %k, {TILE // 2}\n %xk = getelementptr i8, ptr %xp, i64 %k.byte",
        " %qk = getelementptr i8, ptr %q, i64 %k",
    ]
    for s in range(2):
        lines += [
            f" %qa{s} = getelementptr i8, ptr %qk, i64 {4 * s}\n %qi{s} = load i32, ptr %qa{s}, align 4",
            *isa.broadcast(f"q{s}", f"%qi{s}"),
        ]
    for v in range(parts):
        lines += [
            f" %xa{v} = getelementptr i8, ptr %xk, i64 {v * size}\n %xb{v} = load {kind}, ptr %xa{v}, align {size}",
            f" %x{v}_0 = and {kind} %xb{v}, {isa.splat(0x0F0F0F0F)}\n %xh{v} = lshr {kind} %xb{v}, {isa.splat(4)}",
            f" %x{v}_1 = and {kind} %xh{v}, {isa.splat(0x0F0F0F0F)}",
        ]
        for s in range(2):
            lines += isa.accumulate(f"n{v}_{s}", f"%a{v}_{s}", f"%x{v}_{s}", f"%q{s}")
    lines += [" %k.next = add i64 %k, 8\n %k.more = icmp slt i64 %k.next, %dim"]
    lines += [f" br i1 %k.more, label %k.head, label %k.end\nk.end:\n %row0 = mul i64 %tile, {TILE}"]
    for v in range(parts):
        before = f"%best{v - 1}" if v else "%top"
        lines += [
            f" %row.{v} = add i64 %row0, {v * lanes}\n %s{v} = add {kind} %n{v}_0, %n{v}_1\n %d{v} = sub {kind} %s{v}, %off",
            f" %f{v} = sitofp {kind} %d{v} to {real}\n %y{v} = fmul {real} %f{v}, %scale.v",
        ]
        done = f"%y{v}"
        for name, coefficient in (("h", "a"), ("e", "b"), ("r", "c")):
            lines += [
                f" %{name}p{v} = getelementptr float, ptr %{name}, i64 %row.{v}\n"
                f" %{name}v{v} = load {real}, ptr %{name}p{v}, align 4",
                f" %{name}y{v} = call {real} @llvm.fma.v{lanes}f32({real} %{name}v{v}, {real} %{coefficient}.v, {real} {done})",
            ]
            done = f"%{name}y{v}"
        lines += [
            f" %op{v} = getelementptr float, ptr %out, i64 %row.{v}\n store {real} {done}, ptr %op{v}, align 4",
            f" %gt{v} = fcmp ogt {real} {done}, {before}",
            f" %best{v} = select <{lanes} x i1> %gt{v}, {real} {done}, {real} {before}",
        ]
    lines += [
        f" %t.next = add i64 %t, 1\n %t.more = icmp slt i64 %t.next, {count}\n br i1 %t.more, label %t.head, label %g.end",
        f"g.end:\n %m = call nnan float @llvm.vector.reduce.fmax.v{lanes}f32({real} %best{parts - 1})",
        " %mp = getelementptr float, ptr %tops, i64 %g\n store float %m, ptr %mp, align 4\n %g.next = add i64 %g, 1",
        " br label %g.head\nexit:\n ret void\n}",
        f"declare {real} @llvm.fma.v{lanes}f32({real}, {real}, {real})",
        f"declare float @llvm.vector.reduce.fmax.v{lanes}f32({real})",
    ]
    return "\n".join(lines)


def _least(lanes: int) -> str:
    return "<" + ", ".join(["float 0xFFF0000000000000"] * lanes) + ">"
