"""Kernels over pairs of a row (or group) and a query: products of chosen groups, bounds of chosen rows, float64 scores."""

from __future__ import annotations

from biocosmos.search.kernel.instructions import GROUP, Instructions

AHEAD = 8
LINE = 64
CODE_STEP = 32  # dims in one turn of the loop over 8-bit codes


def pair_loop(name: str, body: list[str], item: int, more: str = "") -> str:
    """A loop over pairs (%row number, %query number); %ahead points to the row ``AHEAD`` pairs on, rows being ``item`` bytes a
    dim; ``more``: pointers that it takes besides. ``body`` starts in block %pair and ends by jumping to %p.latch."""
    return "\n".join(
        [
            f"define void @{name}(ptr noalias %x, ptr noalias %q, ptr noalias %row_of, ptr noalias %query_of, ptr noalias %out,",
            f"  {more}i64 %start, i64 %stop, i64 %dim) #0 {{\nentry:\n %last = sub i64 %stop, 1\n br label %p.head",
            "p.head:\n %p = phi i64 [%start,%entry],[%p.next,%p.latch]",
            " %p.more = icmp slt i64 %p, %stop\n br i1 %p.more, label %pair, label %exit",
            "pair:\n %rp = getelementptr i64, ptr %row_of, i64 %p\n %row = load i64, ptr %rp, align 8",
            " %yp = getelementptr i64, ptr %query_of, i64 %p\n %query = load i64, ptr %yp, align 8",
            f" %p.on = add i64 %p, {AHEAD}\n %p.in = icmp slt i64 %p.on, %last\n %p.far = select i1 %p.in, i64 %p.on, i64 %last",
            " %fp = getelementptr i64, ptr %row_of, i64 %p.far\n %far = load i64, ptr %fp, align 8",
            f" %far.at = mul i64 %far, %dim\n %far.byte = mul i64 %far.at, {item}",
            " %ahead = getelementptr i8, ptr %x, i64 %far.byte",
            " %q.at = mul i64 %query, %dim\n %x.at = mul i64 %row, %dim",
            *body,
            "p.latch:\n %p.next = add i64 %p, 1\n br label %p.head",
            "exit:\n ret void\n}",
        ]
    )


def _fetch(name: str, offset: str) -> list[str]:
    return [
        f" %{name} = getelementptr i8, ptr %ahead, i64 {offset}",
        f" call void @llvm.prefetch.p0(ptr %{name}, i32 0, i32 3, i32 1)",
    ]


def group_products(isa: Instructions) -> str:
    """Assembly of ``rows``: all 64 products of packed groups with queries, out (pairs, 64) int32."""
    count, size = GROUP // isa.lanes, isa.bits // 8
    body = [
        f" %x.byte = mul i64 %x.at, {GROUP}\n %xp = getelementptr i8, ptr %x, i64 %x.byte",
        " %qp0 = getelementptr i8, ptr %q, i64 %q.at\n br label %k.pre\nk.pre:",
        *isa.products("", count, 1),
        f" %o.at = mul i64 %p, {GROUP}\n %op = getelementptr i32, ptr %out, i64 %o.at",
    ]
    for r in range(count):
        body.append(f" %o{r} = getelementptr i8, ptr %op, i64 {size * r}\n store {isa.vector} %n{r}_0, ptr %o{r}, align 4")
    return pair_loop("rows", [*body, " br label %p.latch"], GROUP)


def code_products() -> str:
    """Assembly of ``codes``: for 8-bit rows (row by row in memory) and 16-bit queries, out (pairs,) float32 = product times
    scale[query] + add[query] + error[row]; dim a multiple of 32."""
    wide, narrow, sums = "<16 x i16>", "<16 x i8>", "<8 x i32>"
    body = [
        " %xp = getelementptr i8, ptr %x, i64 %x.at\n %qp = getelementptr i16, ptr %q, i64 %q.at\n br label %k.head",
        "k.head:\n %k = phi i64 [0,%pair],[%k.next,%k.head]",
        *[f" %a{i} = phi {sums} [zeroinitializer,%pair],[%n{i},%k.head]" for i in range(2)],
        *_fetch("kf", "%k"),
    ]
    for i in range(2):
        body += [
            f" %k{i} = add i64 %k, {16 * i}\n %xa{i} = getelementptr i8, ptr %xp, i64 %k{i}",
            f" %xb{i} = load {narrow}, ptr %xa{i}, align 1\n %xs{i} = sext {narrow} %xb{i} to {wide}",
            f" %qa{i} = getelementptr i16, ptr %qp, i64 %k{i}\n %qs{i} = load {wide}, ptr %qa{i}, align 2",
            f" %m{i} = call {sums} @llvm.x86.avx2.pmadd.wd({wide} %xs{i}, {wide} %qs{i})",
            f" %n{i} = add {sums} %a{i}, %m{i}",
        ]
    body += [
        f" %k.next = add i64 %k, {CODE_STEP}\n %k.more = icmp slt i64 %k.next, %dim",
        f" br i1 %k.more, label %k.head, label %k.end\nk.end:\n %s = add {sums} %n0, %n1",
        f" %sum = call i32 @llvm.vector.reduce.add.v8i32({sums} %s)",
        " %f = sitofp i32 %sum to float",
    ]
    for name, number in (("scale", "query"), ("add", "query"), ("error", "row")):
        body.append(
            f" %{name}.p = getelementptr float, ptr %{name}, i64 %{number}\n %{name}.f = load float, ptr %{name}.p, align 4"
        )
    body += [
        " %y = fmul float %f, %scale.f\n %z = fadd float %y, %add.f\n %w = fadd float %z, %error.f",
        " %op = getelementptr float, ptr %out, i64 %p\n store float %w, ptr %op, align 4\n br label %p.latch",
    ]
    return pair_loop("codes", body, 1, "ptr noalias %scale, ptr noalias %add, ptr noalias %error, ")


def dots() -> str:
    """Assembly of ``dots``: float64 products of float32 vectors, sixteen dims at a time in four accumulators, then the rest one
    by one: the same order for every pair, so identical rows get identical scores."""
    wide = "<4 x double>"
    body = [
        " %xp = getelementptr float, ptr %x, i64 %x.at\n %qp = getelementptr float, ptr %q, i64 %q.at",
        " %whole = and i64 %dim, -16\n br label %k.head",
        "k.head:\n %k = phi i64 [0,%pair],[%k.next,%k.body]",
        *[f" %a{i} = phi {wide} [zeroinitializer,%pair],[%n{i},%k.body]" for i in range(4)],
        " %k.more = icmp slt i64 %k, %whole\n br i1 %k.more, label %k.body, label %k.end",
        "k.body:\n %k.byte = mul i64 %k, 4",
        *_fetch("kf", "%k.byte"),
    ]
    for i in range(4):
        body += [
            f" %k{i} = add i64 %k, {4 * i}",
            f" %xa{i} = getelementptr float, ptr %xp, i64 %k{i}\n %xf{i} = load <4 x float>, ptr %xa{i}, align 4",
            f" %qa{i} = getelementptr float, ptr %qp, i64 %k{i}\n %qf{i} = load <4 x float>, ptr %qa{i}, align 4",
            f" %xd{i} = fpext <4 x float> %xf{i} to {wide}\n %qd{i} = fpext <4 x float> %qf{i} to {wide}",
            f" %n{i} = call {wide} @llvm.fma.v4f64({wide} %xd{i}, {wide} %qd{i}, {wide} %a{i})",
        ]
    body += [
        " %k.next = add i64 %k, 16\n br label %k.head",
        f"k.end:\n %s0 = fadd {wide} %a0, %a1\n %s1 = fadd {wide} %a2, %a3\n %s = fadd {wide} %s0, %s1",
        f" %sum = call reassoc double @llvm.vector.reduce.fadd.v4f64(double 0.0, {wide} %s)\n br label %t.head",
        "t.head:\n %t = phi i64 [%whole,%k.end],[%t.next,%t.body]\n %d = phi double [%sum,%k.end],[%d.next,%t.body]",
        " %t.more = icmp slt i64 %t, %dim\n br i1 %t.more, label %t.body, label %t.end",
        "t.body:\n %tx = getelementptr float, ptr %xp, i64 %t\n %tq = getelementptr float, ptr %qp, i64 %t",
        " %txf = load float, ptr %tx, align 4\n %tqf = load float, ptr %tq, align 4",
        " %txd = fpext float %txf to double\n %tqd = fpext float %tqf to double",
        " %td = fmul double %txd, %tqd\n %d.next = fadd double %d, %td\n %t.next = add i64 %t, 1\n br label %t.head",
        "t.end:\n %op = getelementptr double, ptr %out, i64 %p\n store double %d, ptr %op, align 8\n br label %p.latch",
    ]
    return pair_loop("dots", body, 4)


DECLARATIONS = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i32 @llvm.vector.reduce.add.v8i32(<8 x i32>)
declare double @llvm.vector.reduce.fadd.v4f64(double, <4 x double>)
declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)
"""
