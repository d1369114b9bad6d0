"""Vectors of float32 and int32 in LLVM assembly: what the clustering kernels say of registers, whatever their width."""

from __future__ import annotations

from biocosmos.search.kernel.assembly import Function


class Lanes:
    """Values of so many lanes in a function. count: lanes of a register, 8 or 16.

    Vectors of floats and of i32 are named by :attr:`floats` and :attr:`integers`, of i1 by :attr:`bits`.
    """

    def __init__(self, f: Function, count: int) -> None:
        self.f, self.count = f, count
        self.floats, self.integers, self.bits = (f"<{count} x {kind}>" for kind in ("float", "i32", "i1"))
        self.bytes = 4 * count

    def load(self, base: str, index: str) -> str:
        """The floats at ``index``, which is a multiple of the lanes, of an array at a cache line."""
        return self.f.get(self.floats, self.f.at("float", base, index), align=self.bytes)

    def load_integers(self, base: str, index: str) -> str:
        """The i32 at ``index``, a multiple of the lanes."""
        return self.f.get(self.integers, self.f.at("i32", base, index), align=self.bytes)

    def store(self, base: str, index: str, value: str) -> None:
        """Write floats at ``index``, a multiple of the lanes."""
        self.f.do(f"store {self.floats} {value}, ptr {self.f.at('float', base, index)}, align {self.bytes}")

    def store_integers(self, base: str, index: str, value: str) -> None:
        """Write i32 at ``index``, a multiple of the lanes."""
        self.f.do(f"store {self.integers} {value}, ptr {self.f.at('i32', base, index)}, align {self.bytes}")

    def splat(self, scalar: str, kind: str = "float") -> str:
        """A float or i32 in every lane."""
        vector = self.floats if kind == "float" else self.integers
        one = self.f.let(f"insertelement {vector} poison, {kind} {scalar}, i64 0")
        return self.f.let(f"shufflevector {vector} {one}, {vector} poison, {self.integers} zeroinitializer")

    def less(self, a: str, b: str) -> str:
        """The smaller of two floats in each lane; ``b`` where one is not a number."""
        return self._pick("olt", a, b)

    def more(self, a: str, b: str) -> str:
        """The larger."""
        return self._pick("ogt", a, b)

    def _pick(self, order: str, a: str, b: str) -> str:
        chosen = self.f.let(f"fcmp {order} {self.floats} {a}, {b}")
        return self.f.let(f"select {self.bits} {chosen}, {self.floats} {a}, {self.floats} {b}")

    def fused(self, a: str, b: str, c: str) -> str:
        """a b + c, rounded once."""
        kind = self.floats
        return self.f.let(f"call {kind} @llvm.fma.v{self.count}f32({kind} {a}, {kind} {b}, {kind} {c})")

    def reduce(self, how: str, value: str, start: str = "") -> str:
        """One float of a vector: "fmin", "fmax" or "fadd" (in any order of the lanes that LLVM likes)."""
        call = "call reassoc float" if how == "fadd" else "call float"
        return self.f.let(f"{call} @llvm.vector.reduce.{how}.v{self.count}f32({start}{self.floats} {value})")

    def mask(self, bits: str) -> str:
        """An i64 of one bit a lane."""
        flat = self.f.let(f"bitcast {self.bits} {bits} to i{self.count}")
        return self.f.let(f"zext i{self.count} {flat} to i64")

    def transpose(self, rows: list[str], base: str, stride: int | str) -> None:
        """Write four vectors as columns: lane l of row r goes to float ``l * stride + r`` behind the address ``base``."""
        f, kind, groups = self.f, self.floats, range(0, self.count, 4)
        low = [g + i for g in groups for i in (0, self.count, 1, self.count + 1)]
        high = [i + 2 for i in low]
        even = [g + i for g in groups for i in (0, 1, self.count, self.count + 1)]
        odd = [i + 2 for i in even]

        def mixed(a: str, b: str, places: list[int]) -> str:
            picked = ", ".join(f"i32 {i}" for i in places)
            return f.let(f"shufflevector {kind} {a}, {kind} {b}, <{len(places)} x i32> <{picked}>")

        columns = []
        for places in (low, high):
            first, second = mixed(rows[0], rows[1], places), mixed(rows[2], rows[3], places)
            columns += [mixed(first, second, even), mixed(first, second, odd)]
        for group in groups:
            for k, column in enumerate(columns):
                four = mixed(column, "poison", list(range(group, group + 4)))
                where = f.let(f"mul i64 {stride}, {group + k}")
                f.do(f"store <4 x float> {four}, ptr {f.at('float', base, where)}, align 16")

    def declarations(self) -> str:
        """What the assembly calls."""
        n, kind = self.count, self.floats
        return f"""
declare {kind} @llvm.fma.v{n}f32({kind}, {kind}, {kind})
declare {kind} @llvm.fabs.v{n}f32({kind})
declare float @llvm.vector.reduce.fmin.v{n}f32({kind})
declare float @llvm.vector.reduce.fmax.v{n}f32({kind})
declare float @llvm.vector.reduce.fadd.v{n}f32(float, {kind})
declare float @llvm.sqrt.f32(float)
declare i64 @llvm.cttz.i64(i64, i1)
"""
