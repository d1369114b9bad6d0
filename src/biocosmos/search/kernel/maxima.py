"""The scan's kernels: the largest product of each group of 64 rows with each query, and all 64 products of chosen groups."""

from __future__ import annotations

from biocosmos.search.kernel.instructions import GROUP, QUERY_TILE, TILE, Instructions


def group_maxima(isa: Instructions, name: str, vectors: int, tiles: list[int]) -> str:
    """Assembly of ``name(rows, queries, out, space, start, stop, dim, count)``: out (groups, count) int32.

    ``vectors`` row vectors are multiplied by a tile of queries at a time; ``tiles``: numbers of queries, the largest first.
    space: (count, lanes) int32 to work in.
    """
    kind, size = isa.vector, isa.bits // 8
    at = f" %v.tile = lshr i64 %v, {(TILE // isa.lanes).bit_length() - 1}\n %v.byte0 = mul i64 %v.tile, %dim"
    lines = [
        f"define void @{name}(ptr noalias %x, ptr noalias %q, ptr noalias %out, ptr noalias %space,",
        "  i64 %start, i64 %stop, i64 %dim, i64 %count) #0 {",
        f"entry:\n %size = mul i64 %dim, {GROUP}\n br label %g.head",
        "g.head:\n %g = phi i64 [%start,%entry],[%g.next,%g.latch]",
        " %g.more = icmp slt i64 %g, %stop\n br i1 %g.more, label %v.pre, label %exit",
        "v.pre:\n %g.byte = mul i64 %g, %size\n %gp = getelementptr i8, ptr %x, i64 %g.byte\n br label %v.head",
        "v.head:\n %v = phi i64 [0,%v.pre],[%v.next,%v.latch]",
        f" %v.more = icmp slt i64 %v, {GROUP // isa.lanes}\n br i1 %v.more, label %j.pre, label %h.pre",
        f"j.pre:\n{at}\n %v.byte = mul i64 %v.byte0, {TILE}",
        " %vp = getelementptr i8, ptr %gp, i64 %v.byte\n %first = icmp eq i64 %v, 0\n br label %t0.head",
    ]
    for i, queries in enumerate(tiles):
        p, before = f"t{i}.", f"t{i - 1}.head" if i else "j.pre"
        after = f"t{i + 1}.head" if i + 1 < len(tiles) else "v.latch"
        come = "0" if not i else f"%t{i - 1}.j"
        lines += [
            f"{p}head:\n %{p}j = phi i64 [{come},%{before}],[%{p}to,%{p}k.end]",
            f" %{p}to = add i64 %{p}j, {queries}\n %{p}more = icmp sle i64 %{p}to, %count",
            f" br i1 %{p}more, label %{p}k.pre, label %{after}",
            f"{p}k.pre:\n %{p}xp = getelementptr i8, ptr %vp, i64 0\n %{p}j.byte = mul i64 %{p}j, %dim",
            f" %{p}qp0 = getelementptr i8, ptr %q, i64 %{p}j.byte",
            *[f" %{p}qp{c} = getelementptr i8, ptr %{p}qp{c - 1}, i64 %dim" for c in range(1, queries)],
            *isa.products(p, vectors, queries),
        ]
        for c in range(queries):
            best = f"%{p}n0_{c}"
            for r in range(1, vectors):
                lines.append(f" %{p}b{r}_{c} = call {kind} @llvm.smax.v{isa.lanes}i32({kind} {best}, {kind} %{p}n{r}_{c})")
                best = f"%{p}b{r}_{c}"
            lines += [
                f" %{p}sj{c} = add i64 %{p}j, {c}\n %{p}sp{c} = getelementptr {kind}, ptr %space, i64 %{p}sj{c}",
                f" %{p}old{c} = load {kind}, ptr %{p}sp{c}, align {size}",
                f" %{p}was{c} = select i1 %first, {kind} {isa.splat(-(2**31))}, {kind} %{p}old{c}",
                f" %{p}new{c} = call {kind} @llvm.smax.v{isa.lanes}i32({kind} {best}, {kind} %{p}was{c})",
                f" store {kind} %{p}new{c}, ptr %{p}sp{c}, align {size}",
            ]
        lines.append(f" br label %{p}head")
    lines += [
        f"v.latch:\n %v.next = add i64 %v, {vectors}\n br label %v.head",
        "h.pre:\n %o.at = mul i64 %g, %count\n %op = getelementptr i32, ptr %out, i64 %o.at\n br label %h.head",
        "h.head:\n %h = phi i64 [0,%h.pre],[%h.next,%h.body]",
        " %h.more = icmp slt i64 %h, %count\n br i1 %h.more, label %h.body, label %g.latch",
        f"h.body:\n %hp = getelementptr {kind}, ptr %space, i64 %h\n %hv = load {kind}, ptr %hp, align {size}",
        f" %hm = call i32 @llvm.vector.reduce.smax.v{isa.lanes}i32({kind} %hv)",
        " %ho = getelementptr i32, ptr %op, i64 %h\n store i32 %hm, ptr %ho, align 4",
        " %h.next = add i64 %h, 1\n br label %h.head",
        "g.latch:\n %g.next = add i64 %g, 1\n br label %g.head",
        "exit:\n ret void\n}",
    ]
    return "\n".join(lines)


def many(isa: Instructions) -> str:
    """:func:`group_maxima` for a multiple of four queries."""
    return group_maxima(isa, "scan_many", 2, sorted({isa.queries, QUERY_TILE}, reverse=True))


def one(isa: Instructions) -> str:
    """:func:`group_maxima` for one query: two tiles of rows at a time."""
    return group_maxima(isa, "scan_one", 2 * TILE // isa.lanes, [1])
