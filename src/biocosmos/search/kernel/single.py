"""The kernel for one query at a time, which waits for memory: rows in 4 bits, the bound of every row written out.

A cache line holds eight dims of sixteen rows: ``[group][4 tiles][dim / 8][16 rows][4 bytes]``, in the low half of a byte one of
the first four dims, in the high half one of the next four. A half is the place in a table of sixteen 8-bit numbers, set where
they lose least (Lloyd, 1982; Max, 1960), and looked up by ``vpshufb``.
"""

from __future__ import annotations

from biocosmos.search.kernel.instructions import GROUP, TILE, Instructions

LEVELS = 16
SINGLE_QUERY_MAX = 127
UNROLLED = 2  # cache lines in a turn of the loop, each with sums of its own
SINGLE_STEP = 8 * UNROLLED  # dims


def row_bounds(isa: Instructions) -> str:
    """Assembly of ``row_bounds(rows, table, query, h, e, r, out, tops, start, stop, dim, offset, scale, a, b, c)``.

    table: 64 bytes, four times the levels; out (groups * 64,) float32 = scale * (product - offset) + a h + b e + c r; tops
    (groups,) float32, the largest of each group.
    """
    kind, lanes, size = isa.vector, isa.lanes, isa.bits // 8
    real, parts, count = f"<{lanes} x float>", TILE // lanes, GROUP // TILE
    lines = [
        "define void @row_bounds(ptr noalias %x, ptr noalias %table, ptr noalias %q, ptr noalias %h, ptr noalias %e,",
        "  ptr noalias %r, ptr noalias %out, ptr noalias %tops, i64 %start, i64 %stop, i64 %dim, i64 %offset,",
        "  float %scale, float %a, float %b, float %c) #0 {",
        f"entry:\n %levels = load <{size} x i8>, ptr %table, align 1\n %size = mul i64 %dim, {TILE // 2}",
        " %off.32 = trunc i64 %offset to i32",
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
        *[
            f" %a{v}_{s} = phi {kind} [zeroinitializer,%t.head],[%n{v}_{s},%k.head]"
            for v in range(parts)
            for s in range(UNROLLED)
        ],
    ]
    for s in range(UNROLLED):
        lines += [
            f" %k{s} = add i64 %k, {8 * s}\n %k.byte{s} = mul i64 %k{s}, {TILE // 2}",
            f" %xk{s} = getelementptr i8, ptr %xp, i64 %k.byte{s}\n %qk{s} = getelementptr i8, ptr %q, i64 %k{s}",
        ]
        for half in range(2):
            lines += [
                f" %qa{s}.{half} = getelementptr i8, ptr %qk{s}, i64 {4 * half}",
                f" %qi{s}.{half} = load i32, ptr %qa{s}.{half}, align 4",
                *isa.broadcast(f"q{s}.{half}", f"%qi{s}.{half}"),
            ]
        for v in range(parts):
            at = f"{v}_{s}"
            lines += [
                f" %xa{at} = getelementptr i8, ptr %xk{s}, i64 {v * size}\n %xb{at} = load {kind}, ptr %xa{at}, align {size}",
                f" %xl{at} = and {kind} %xb{at}, {isa.splat(0x0F0F0F0F)}\n %xs{at} = lshr {kind} %xb{at}, {isa.splat(4)}",
                f" %xh{at} = and {kind} %xs{at}, {isa.splat(0x0F0F0F0F)}",
                *isa.look_up(f"x{at}.0", "%levels", f"%xl{at}"),
                *isa.look_up(f"x{at}.1", "%levels", f"%xh{at}"),
                *isa.add_two(f"n{at}", f"%a{at}", (f"%x{at}.0", f"%x{at}.1"), (f"%q{s}.0", f"%q{s}.1")),
            ]
    lines += [f" %k.next = add i64 %k, {8 * UNROLLED}\n %k.more = icmp slt i64 %k.next, %dim"]
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
