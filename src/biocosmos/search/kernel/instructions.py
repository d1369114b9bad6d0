"""How 8-bit products are made: by AVX2, or by VNNI on 256 or 512 bits. Everything else of the kernels is the same.

Rows lie in groups of 64, as ``[group][4 tiles][dim / 4][16 rows][4 dims]`` bytes: one cache line holds four dims of sixteen rows,
and a tile is read from its first byte to its last.

- VNNI: ``vpdpbusd`` multiplies unsigned rows (0..255) by signed queries (-127..127) and adds four dims in 32 bits, exactly.
- AVX2: ``vpmaddubsw`` sums pairs in 16 bits, two of these are added, then ``vpmaddwd`` widens: with rows in 0..127 and
  queries in -63..63 the sum is at most 4 * 127 * 63 = 32,004, so nothing saturates and the integers are exact too.
"""

from __future__ import annotations

from dataclasses import dataclass

GROUP = 64
TILE = 16  # rows in a cache line
DIM_STEP = 8  # dims in one turn of the inner loop: two steps of four
QUERY_TILE = 4  # queries come in multiples of this many, unless there is one
_STEPS = 2


@dataclass(frozen=True)
class Instructions:
    """One way to multiply. bits: of a vector register; row_max, row_zero: unsigned rows stand for -row_zero..row_max - row_zero;
    query_max: queries are within -query_max..query_max; queries: of the largest tile held in registers."""

    name: str
    needs: tuple[frozenset[str], ...]
    features: str
    bits: int
    vnni: bool
    row_max: int
    row_zero: int
    query_max: int
    queries: int

    @property
    def level_max(self) -> int:
        """The largest number in a table of levels: AVX2 sums four products with queries up to 127 in 16 bits."""
        return self.row_max if self.vnni else 63

    @property
    def level_zero(self) -> int:
        """The number in a table of levels that means zero."""
        return self.row_zero if self.vnni else 32

    @property
    def lanes(self) -> int:
        """Rows in a vector."""
        return self.bits // 32

    @property
    def vector(self) -> str:
        """The type of a vector of sums."""
        return f"<{self.lanes} x i32>"

    def splat(self, value: int) -> str:
        """A constant vector."""
        return "<" + ", ".join([f"i32 {value}"] * self.lanes) + ">"

    def broadcast(self, name: str, scalar: str, p: str = "") -> list[str]:
        """%name: the i32 ``scalar`` in every lane."""
        kind = self.vector
        return [
            f" %{p}{name}.one = insertelement {kind} poison, i32 {scalar}, i32 0",
            f" %{p}{name} = shufflevector {kind} %{p}{name}.one, {kind} poison, <{self.lanes} x i32> zeroinitializer",
        ]

    def products(self, p: str, rows: int, queries: int) -> list[str]:
        """The inner loop over dims: ``rows`` vectors from %{p}xp on by ``queries`` queries at %{p}qp<i>; the sums are left in
        %{p}n<row>_<query>, in block {p}k.end. Names and labels begin with ``p``; the block before is {p}k.pre."""
        kind, per_tile = self.vector, TILE // self.lanes
        lines = [f" %{p}tile = mul i64 %dim, {TILE}", f" %{p}xt0 = getelementptr i8, ptr %{p}xp, i64 0"]
        for t in range(1, -(-rows // per_tile)):
            lines.append(f" %{p}xt{t} = getelementptr i8, ptr %{p}xt{t - 1}, i64 %{p}tile")
        lines += [f" br label %{p}k.head", f"{p}k.head:", f" %{p}k = phi i64 [0,%{p}k.pre],[%{p}k.next,%{p}k.head]"]
        pairs = [(r, c) for c in range(queries) for r in range(rows)]
        lines += [f" %{p}a{r}_{c} = phi {kind} [zeroinitializer,%{p}k.pre],[%{p}n{r}_{c},%{p}k.head]" for r, c in pairs]
        lines.append(f" %{p}kb = mul i64 %{p}k, {TILE}")
        for r in range(rows):
            lines.append(f" %{p}xk{r} = getelementptr i8, ptr %{p}xt{r // per_tile}, i64 %{p}kb")
            for s in range(_STEPS):
                at = s * GROUP + r % per_tile * self.bits // 8
                lines += [
                    f" %{p}xa{s}_{r} = getelementptr i8, ptr %{p}xk{r}, i64 {at}",
                    f" %{p}x{s}_{r} = load {kind}, ptr %{p}xa{s}_{r}, align {self.bits // 8}",
                ]
        for c in range(queries):
            lines.append(f" %{p}qk{c} = getelementptr i8, ptr %{p}qp{c}, i64 %{p}k")
            for s in range(_STEPS):
                lines += [
                    f" %{p}qa{s}_{c} = getelementptr i8, ptr %{p}qk{c}, i64 {4 * s}",
                    f" %{p}qi{s}_{c} = load i32, ptr %{p}qa{s}_{c}, align 4",
                    *self.broadcast(f"q{s}_{c}", f"%{p}qi{s}_{c}", p),
                ]
            for r in range(rows):
                x, q = ((f"%{p}{what}0_{i}", f"%{p}{what}1_{i}") for what, i in (("x", r), ("q", c)))
                lines += self.add_two(f"{p}n{r}_{c}", f"%{p}a{r}_{c}", x, q)
        lines += [f" %{p}k.next = add i64 %{p}k, {DIM_STEP}", f" %{p}k.more = icmp slt i64 %{p}k.next, %dim"]
        return [*lines, f" br i1 %{p}k.more, label %{p}k.head, label %{p}k.end", f"{p}k.end:"]

    def add_two(self, to: str, sums: str, x: tuple[str, str], q: tuple[str, str]) -> list[str]:
        """%to = sums + the products of eight dims: two vectors x of unsigned bytes, two q of signed ones."""
        kind = self.vector
        if self.vnni:
            call = f"call {kind} @llvm.x86.avx512.vpdpbusd.{self.bits}"
            return [
                f" %{to}.0 = {call}({kind} {sums}, {kind} {x[0]}, {kind} {q[0]})",
                f" %{to} = {call}({kind} %{to}.0, {kind} {x[1]}, {kind} {q[1]})",
            ]
        lines, ones = [], "<" + ", ".join(["i16 1"] * 16) + ">"
        for s in range(_STEPS):
            lines += [
                f" %{to}.x{s} = bitcast <8 x i32> {x[s]} to <32 x i8>\n %{to}.q{s} = bitcast <8 x i32> {q[s]} to <32 x i8>",
                f" %{to}.{s} = call <16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8> %{to}.x{s}, <32 x i8> %{to}.q{s})",
            ]
        return [
            *lines,
            f" %{to}.t = add <16 x i16> %{to}.0, %{to}.1",
            f" %{to}.w = call <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16> %{to}.t, <16 x i16> {ones})",
            f" %{to} = add <8 x i32> {sums}, %{to}.w",
        ]

    def look_up(self, to: str, table: str, x: str) -> list[str]:
        """%to: the byte of a table of sixteen for each byte of x, which is below sixteen."""
        size = self.bits // 8
        return [
            f" %{to}.i = bitcast {self.vector} {x} to <{size} x i8>",
            f" %{to}.b = call <{size} x i8> {self._shuffle}(<{size} x i8> {table}, <{size} x i8> %{to}.i)",
            f" %{to} = bitcast <{size} x i8> %{to}.b to {self.vector}",
        ]

    @property
    def _shuffle(self) -> str:
        return f"@llvm.x86.{'avx512.pshuf.b.512' if self.bits == 512 else 'avx2.pshuf.b'}"

    @property
    def declarations(self) -> str:
        """What the assembly calls."""
        kind, lanes = self.vector, self.lanes
        product = (
            f"declare {kind} @llvm.x86.avx512.vpdpbusd.{self.bits}({kind}, {kind}, {kind})"
            if self.vnni
            else "declare <16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8>, <32 x i8>)"
        )
        size = self.bits // 8
        return f"""
{product}
declare <{size} x i8> {self._shuffle}(<{size} x i8>, <{size} x i8>)
declare <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16>, <16 x i16>)
declare {kind} @llvm.smax.v{lanes}i32({kind}, {kind})
declare i32 @llvm.vector.reduce.smax.v{lanes}i32({kind})
"""


_AVX2 = "+avx2,+fma"
_AVX512 = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vnni"
VNNI_512 = Instructions(
    "vnni512",
    (frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni"}),),
    f"{_AVX2},{_AVX512}",
    512,
    True,
    255,
    128,
    127,
    12,
)
VNNI_256 = Instructions("vnni256", (frozenset({"avx_vnni"}),), f"{_AVX2},+avxvnni", 256, True, 255, 128, 127, QUERY_TILE)
AVX2 = Instructions("avx2", (frozenset({"avx2", "fma"}),), _AVX2, 256, False, 127, 64, 63, QUERY_TILE)
ALL = (VNNI_512, VNNI_256, AVX2)
