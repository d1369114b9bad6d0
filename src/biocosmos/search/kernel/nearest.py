"""The kernel of k-means: for each row the query with the largest product plus bias."""

from __future__ import annotations

from biocosmos.search.kernel.instructions import GROUP, QUERY_TILE, TILE, Instructions

VECTORS = 2


def nearest(isa: Instructions) -> str:
    """Assembly of ``assign(rows, queries, bias, best, at, start, stop, dim, count)``: the first of equals wins."""
    kind, lanes = isa.vector, isa.lanes
    tiles = sorted({isa.queries, QUERY_TILE}, reverse=True)
    lines = [
        "define void @assign(ptr noalias %x, ptr noalias %q, ptr noalias %bias, ptr noalias %best, ptr noalias %at,",
        "  i64 %start, i64 %stop, i64 %dim, i64 %count) #0 {",
        f"entry:\n %size = mul i64 %dim, {GROUP}\n br label %g.head",
        "g.head:\n %g = phi i64 [%start,%entry],[%g.next,%g.latch]",
        " %g.more = icmp slt i64 %g, %stop\n br i1 %g.more, label %v.pre, label %exit",
        "v.pre:\n %g.byte = mul i64 %g, %size\n %gp = getelementptr i8, ptr %x, i64 %g.byte",
        f" %g.row = mul i64 %g, {GROUP}\n br label %v.head",
        "v.head:\n %v = phi i64 [0,%v.pre],[%v.next,%v.latch]",
        f" %v.more = icmp slt i64 %v, {GROUP // lanes}\n br i1 %v.more, label %j.pre, label %g.latch",
        f"j.pre:\n %v.tile = lshr i64 %v, {(TILE // lanes).bit_length() - 1}\n %v.byte0 = mul i64 %v.tile, %dim",
        f" %v.byte = mul i64 %v.byte0, {TILE}\n %vp = getelementptr i8, ptr %gp, i64 %v.byte\n br label %t0.head",
    ]
    for i, queries in enumerate(tiles):
        p, last = f"t{i}.", f"t{i - 1}." if i else ""
        after = f"t{i + 1}.head" if i + 1 < len(tiles) else "v.latch"
        before = f"%{last}head" if i else "%j.pre"
        lines.append(f"{p}head:\n %{p}j = phi i64 [{f'%{last}j' if i else 0},{before}],[%{p}to,%{p}k.end]")
        for r in range(VECTORS):
            for what, start in (("top", isa.splat(-(2**31))), ("who", "zeroinitializer")):
                come = f"%{last}{what}{r}" if i else start
                lines.append(f" %{p}{what}{r} = phi {kind} [{come},{before}],[%{p}{what}{r}_{queries},%{p}k.end]")
        lines += [
            f" %{p}to = add i64 %{p}j, {queries}\n %{p}more = icmp sle i64 %{p}to, %count",
            f" br i1 %{p}more, label %{p}k.pre, label %{after}",
            f"{p}k.pre:\n %{p}xp = getelementptr i8, ptr %vp, i64 0\n %{p}j.byte = mul i64 %{p}j, %dim",
            f" %{p}qp0 = getelementptr i8, ptr %q, i64 %{p}j.byte",
            *[f" %{p}qp{c} = getelementptr i8, ptr %{p}qp{c - 1}, i64 %dim" for c in range(1, queries)],
            *isa.products(p, VECTORS, queries),
            f" %{p}j.32 = trunc i64 %{p}j to i32",
        ]
        for c in range(queries):
            lines += [
                f" %{p}jc{c} = add i64 %{p}j, {c}\n %{p}bp{c} = getelementptr i32, ptr %bias, i64 %{p}jc{c}",
                f" %{p}b{c} = load i32, ptr %{p}bp{c}, align 4\n %{p}jn{c} = add i32 %{p}j.32, {c}",
                *isa.broadcast(f"bs{c}", f"%{p}b{c}", p),
                *isa.broadcast(f"js{c}", f"%{p}jn{c}", p),
            ]
            for r in range(VECTORS):
                top, who = (f"%{p}{what}{r}" + (f"_{c}" if c else "") for what in ("top", "who"))
                lines += [
                    f" %{p}z{r}_{c} = add {kind} %{p}n{r}_{c}, %{p}bs{c}",
                    f" %{p}gt{r}_{c} = icmp sgt {kind} %{p}z{r}_{c}, {top}",
                    f" %{p}top{r}_{c + 1} = select <{lanes} x i1> %{p}gt{r}_{c}, {kind} %{p}z{r}_{c}, {kind} {top}",
                    f" %{p}who{r}_{c + 1} = select <{lanes} x i1> %{p}gt{r}_{c}, {kind} %{p}js{c}, {kind} {who}",
                ]
        lines.append(f" br label %{p}head")
    end = f"t{len(tiles) - 1}."
    lines.append(f"v.latch:\n %v.row = mul i64 %v, {lanes}\n %row = add i64 %g.row, %v.row")
    for r in range(VECTORS):
        for what, out in (("top", "best"), ("who", "at")):
            lines += [
                f" %{what}r{r} = add i64 %row, {r * lanes}\n %{what}p{r} = getelementptr i32, ptr %{out}, i64 %{what}r{r}",
                f" store {kind} %{end}{what}{r}, ptr %{what}p{r}, align 4",
            ]
    lines += [
        f" %v.next = add i64 %v, {VECTORS}\n br label %v.head",
        "g.latch:\n %g.next = add i64 %g, 1\n br label %g.head",
        "exit:\n ret void\n}",
    ]
    return "\n".join(lines)
