"""The compiled kernels of the sparse search: bitmaps are made of barcodes, and whole words of them counted at once.

A bitmap says which rows of a block have a k-mer (or have it twice, three times: the next *levels* of it). The product of the
counts of a query and a row is the number of bitmaps of the query's k-mers in which the row's bit is set, so ``find`` adds
bitmaps as vertical counters, plane p holding bit p of the sums of as many rows as a register has bits, through a tree of
full adders (Harley and Seal; Mula, Kurz and Lemire, 2018, https://arxiv.org/abs/1611.07612): some two instructions for 512 rows.

Bitmaps are added rarest k-mer first. A row can gain one at most from each that is left, so as soon as no row of a register can
reach the k-th best score found so far, the rest is not read: the certificate of prefix filtering (Bayardo, Ma and Srikant, 2007).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from biocosmos import machine
from biocosmos.search.kernel.assembly import Function
from biocosmos.search.kernel.compiler import Program, compiled

BLOCK = 1024  # rows of a block
BLOCK_BYTES = BLOCK // 8
PLANES = 12
MOST_BITMAPS = (1 << PLANES) - 1  # of a query in a block, so that the planes hold the sums
MOST_CODES = 2000  # of a query or a row: longer ones are multiplied the plain way
MOST_LEVELS = 15  # how often a row may have a k-mer
ROOM = 8192  # numbers in the list of a query's bitmaps
TREE = 6  # 2**TREE bitmaps are added before it is asked whether any row is left
STEP = 1 << TREE
SPACE_BYTES = 4 * ROOM + 8 * 1024
MARGIN = 1 - 1e-6  # of a bound, against its own rounding
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
_AVX2 = frozenset({"avx2", "fma", "bmi1", "bmi2", "popcnt"})
INSTRUCTIONS = {
    "avx512": "+" + ",+".join(sorted(_AVX512)),
    "avx2": "+avx2,+fma,+bmi,+bmi2,+popcnt,-avx512f",
    "any": "",  # what LLVM finds, where the system does not say what there is
}
"""name -> what LLVM may use."""


class Kernel:
    """``find``, ``fill``, ``levels`` and ``shape``; width: bits of a register, the rows that are counted together.

    instructions: one of :data:`INSTRUCTIONS`.
    """

    def __init__(self, instructions: str) -> None:
        wide = instructions == "avx512"
        self.width = 512 if wide else 256
        self.name = f"bitmaps, {instructions}"
        text = [_find(self.width, wide), _fill(), _levels(), _shape(), _declarations(self.width)]
        self._program = program = Program("\n".join(text), INSTRUCTIONS[instructions])  # what is compiled lives as long as this
        self.find, self.fill = program.function("find", 15, 6), program.function("fill", 6, 2)
        self.levels, self.shape = program.function("levels", 5, 2), program.function("shape", 4, 2)


def known() -> tuple[str, ...]:
    """The instructions that this processor has, as BIOCOSMOS_ISA shows it, the most capable first."""
    flags = machine.flags()
    return tuple(name for name, needs in (("avx512", _AVX512), ("avx2", _AVX2), ("any", frozenset())) if needs <= flags)


@cache
def load(instructions: str) -> Kernel | None:
    """The compiled kernels; None without llvmlite or where LLVM cannot."""
    return compiled(lambda: Kernel(instructions))


def _find(width: int, wide: bool) -> str:
    """``find``: the k best rows of the blocks first..last - 1 for the queries begin..end - 1.

    bits: bitmaps, BLOCK_BYTES each, the first of a block empty; bases: byte where a block's begin; tables (blocks, dim + 1) i32:
    number of the first bitmap of each code; squares (rows,) i32: squared lengths; least and most (registers,) double: lengths;
    allowed: one bit a row; keys (rows,) i64: order among equal scores; codes u16, rarest first, and starts of the queries;
    lengths (q,) double: squared; best (q, k) float and found (q, k) i64 keys, changed; flags (q,) i8, set where a query has too
    many bitmaps; space: SPACE_BYTES.
    """
    pointers = "bits bases tables squares least most allowed keys codes starts lengths best found flags"
    f = Function("find", f"{pointers} space", "first last begin end k dim")
    return _Find(f, width, wide).text()


class _Find:
    """The parts of ``find``, in the order in which they run."""

    def __init__(self, f: Function, width: int, wide: bool) -> None:
        self.f, self.width, self.wide = f, width, wide
        self.lanes = width // 64
        self.kind = f"<{self.lanes} x i64>"

    def text(self) -> str:
        f = self.f
        self.stride = f.let("add i64 %dim, 1")
        self.list = "%space"
        self.store = f.at("i8", self.list, str(4 * ROOM))
        self.count = f.variable("i64", "0")
        self.planes = [f.variable(self.kind, "zeroinitializer") for _ in range(PLANES)]
        with f.loop("%first", "%last") as block, f.loop("%begin", "%end") as query:
            table = f.at("i32", "%tables", f.let(f"mul i64 {block}, {self.stride}"))
            base = f.at("i8", "%bits", f.item("i64", "%bases", block))
            with f.when(f.let(f"icmp eq i8 {f.item('i8', '%flags', query)}, 0")):
                self.gather(table, query)
                n = f.get("i64", self.count)
                fits = f.let(f"icmp sle i64 {n}, {MOST_BITMAPS}")
                with f.when(f.let(f"xor i1 {fits}, true")):
                    f.set("i8", f.at("i8", "%flags", query), "1")
                with f.when(fits):
                    with f.loop(n, f.let(f"add i64 {n}, {STEP}")) as i:
                        f.set("i32", f.at("i32", self.list, i), "0")
                    for part in range(BLOCK // self.width):
                        self.register(block, query, base, part, n)
        return f.text()

    def gather(self, table: str, query: str) -> None:
        """List the bytes where the bitmaps of a query's codes begin in this block, rarest first; absent codes have none."""
        f = self.f
        f.set("i64", self.count, "0")
        start = f.item("i64", "%starts", query)
        stop = f.item("i64", "%starts", f.let(f"add i64 {query}, 1"))
        with f.loop(start, stop) as i:
            code = f.let(f"zext i16 {f.item('i16', '%codes', i)} to i64")
            one = f.item("i32", table, code)
            levels = f.let(f"sub i32 {f.item('i32', table, f.let(f'add i64 {code}, 1'))}, {one}")
            n = f.get("i64", self.count)
            f.set("i32", f.at("i32", self.list, n), f.let(f"mul i32 {one}, {BLOCK_BYTES}"))
            some = f.let(f"icmp ne i32 {levels}, 0")
            f.set("i64", self.count, f.let(f"add i64 {n}, {f.let(f'zext i1 {some} to i64')}"))
            with f.when(f.let(f"icmp ugt i32 {levels}, 1")), f.loop("1", f.let(f"zext i32 {levels} to i64")) as level:
                m = f.get("i64", self.count)
                room = f.let(f"icmp slt i64 {m}, {MOST_BITMAPS + 1}")
                place = f.let(f"select i1 {room}, i64 {m}, i64 {MOST_BITMAPS + 1}")
                bitmap = f.let(f"add i32 {one}, {f.let(f'trunc i64 {level} to i32')}")
                f.set("i32", f.at("i32", self.list, place), f.let(f"mul i32 {bitmap}, {BLOCK_BYTES}"))
                f.set("i64", self.count, f.let(f"add i64 {place}, 1"))

    def register(self, block: str, query: str, base: str, part: int, n: str) -> None:
        """Count and keep what is good enough among the rows of one register."""
        f = self.f
        here = f.let(f"add i64 {f.let(f'mul i64 {block}, {BLOCK // self.width}')}, {part}")
        tail = self.tail(query)
        worst = f.item("float", "%best", tail)
        unfilled = f.let(f"fcmp oeq float {worst}, 0xFFF0000000000000")
        square = f.item("double", "%lengths", query)
        length = f.let(f"call double @llvm.sqrt.f64(double {square})")
        low = f.item("double", "%least", here)
        reach = f.let(f"fmul double {f.let(f'fpext float {worst} to double')}, {f.let(f'fmul double {length}, {low}')}")
        wanted = f.let(f"select i1 {unfilled}, double 0.0, double {f.let(f'fmul double {reach}, {_double(MARGIN)}')}")
        threshold = f.variable("i64", f.let(f"fptosi double {f.let(f'call double @llvm.ceil.f64(double {wanted})')} to i64"))
        need = f.get("i64", threshold)
        with f.when(f.let(f"icmp sge i64 {n}, {need}")):
            alive = self.add_up(f.at("i8", base, str(part * self.width // 8)), n, need)
            with f.when(alive):
                allowed = f.get(self.kind, f.at(self.kind, "%allowed", here), 8)
                with f.when(unfilled):
                    top = self.kth_largest(allowed)
                    ratio = f.let(f"fdiv double {low}, {f.item('double', '%most', here)}")
                    scaled = f.let(f"fmul double {f.let(f'sitofp i64 {top} to double')}, {ratio}")
                    sure = f.let(f"fmul double {scaled}, {_double(MARGIN)}")
                    f.set("i64", threshold, f.let(f"fptosi double {sure} to i64"))
                mask = f.let(f"and {self.kind} {allowed}, {self.at_least(f.get('i64', threshold))}")
                self.keep(mask, here, query, square)

    def add_up(self, bits: str, n: str, need: str) -> str:
        """Leave in the planes how many of the listed bitmaps have each row's bit; gives whether a row can reach ``need``."""
        f, kind = self.f, self.kind
        for plane in self.planes:
            f.set(kind, plane, "zeroinitializer")
        alive, place = f.variable("i1", "true"), f.variable("i64", "0")
        with f.forever() as adding:
            i = f.get("i64", place)
            f.leave_unless(adding, f.let(f"icmp slt i64 {i}, {n}"))
            after = f.let(f"add i64 {i}, {STEP}")
            f.set("i64", place, after)
            carry = self.tree(bits, i, TREE, 0)
            for plane in self.planes[TREE:]:
                before = f.get(kind, plane)
                f.set(kind, plane, f.let(f"xor {kind} {before}, {carry}"))
                carry = f.let(f"and {kind} {before}, {carry}")
            rest = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 {n}, {after}')}, i64 0)")
            short = f.let(f"sub i64 {need}, {rest}")
            with f.when(f.let(f"icmp sgt i64 {short}, 0")):
                any_left = f.let(f"call i64 @llvm.vector.reduce.or.v{self.lanes}i64({kind} {self.at_least(short)})")
                with f.when(f.let(f"icmp eq i64 {any_left}, 0")):
                    f.set("i1", alive, "false")
                    f.set("i64", place, n)
        return f.get("i1", alive)

    def tree(self, bits: str, first: str, level: int, offset: int) -> str:
        """Add 2**level bitmaps to the planes below ``level``; gives the carry into that plane."""
        f, kind = self.f, self.kind
        if level == 0:
            at = f.item("i32", self.list, f.let(f"add i64 {first}, {offset}"))
            return f.get(kind, f.at("i8", bits, f.let(f"zext i32 {at} to i64")), self.width // 8)
        a = self.tree(bits, first, level - 1, offset)
        b = self.tree(bits, first, level - 1, offset + (1 << (level - 1)))
        c = f.get(kind, self.planes[level - 1])
        f.set(kind, self.planes[level - 1], self.logic(a, b, c, "sum"))
        return self.logic(a, b, c, "carry")

    def logic(self, a: str, b: str, c: str, what: str) -> str:
        """A full adder's sum or carry; AVX-512 has an instruction for any function of three bits."""
        f, kind = self.f, self.kind
        if self.wide:
            table = {"sum": 0x96, "carry": 0xE8}[what]
            return f.let(f"call {kind} @llvm.x86.avx512.pternlog.q.512({kind} {a}, {kind} {b}, {kind} {c}, i32 {table})")
        either = f.let(f"xor {kind} {a}, {b}")
        if what == "sum":
            return f.let(f"xor {kind} {either}, {c}")
        return f.let(f"or {kind} {f.let(f'and {kind} {a}, {b}')}, {f.let(f'and {kind} {either}, {c}')}")

    def at_least(self, number: str) -> str:
        """The rows whose sum is ``number`` (i64, 0 to MOST_BITMAPS) or more."""
        f, kind = self.f, self.kind
        ones = "<" + ", ".join(["i64 -1"] * self.lanes) + ">"
        more, equal = "zeroinitializer", ones
        for p in reversed(range(PLANES)):
            bit = f.let(f"and i64 {f.let(f'lshr i64 {number}, {p}')}, 1")
            one = f.let(f"insertelement {kind} poison, i64 {f.let(f'sub i64 0, {bit}')}, i32 0")
            mask = f.let(f"shufflevector {kind} {one}, {kind} poison, <{self.lanes} x i32> zeroinitializer")
            plane = f.get(kind, self.planes[p])
            apart = f.let(f"xor {kind} {plane}, {mask}")
            beyond = f.let(f"and {kind} {f.let(f'and {kind} {equal}, {plane}')}, {apart}")
            more = f.let(f"or {kind} {more}, {beyond}")
            equal = f.let(f"and {kind} {equal}, {f.let(f'xor {kind} {apart}, {ones}')}")
        return f.let(f"or {kind} {more}, {equal}")

    def kth_largest(self, allowed: str) -> str:
        """The largest number that ``k`` of the allowed rows reach, found bit by bit; 0 where they are fewer."""
        f, kind = self.f, self.kind
        ones = "<" + ", ".join(["i64 -1"] * self.lanes) + ">"
        left, need, top = allowed, "%k", "0"
        for p in reversed(range(PLANES)):
            plane = f.get(kind, self.planes[p])
            upper = f.let(f"and {kind} {left}, {plane}")
            each = f.let(f"call {kind} @llvm.ctpop.v{self.lanes}i64({kind} {upper})")
            count = f.let(f"call i64 @llvm.vector.reduce.add.v{self.lanes}i64({kind} {each})")
            enough = f.let(f"icmp sge i64 {count}, {need}")
            lower = f.let(f"and {kind} {left}, {f.let(f'xor {kind} {plane}, {ones}')}")
            left = f.let(f"select i1 {enough}, {kind} {upper}, {kind} {lower}")
            need = f.let(f"select i1 {enough}, i64 {need}, i64 {f.let(f'sub i64 {need}, {count}')}")
            top = f.let(f"select i1 {enough}, i64 {f.let(f'or i64 {top}, {1 << p}')}, i64 {top}")
        return top

    def keep(self, mask: str, here: str, query: str, square: str) -> None:
        """Score the rows of a mask and insert those that are good enough."""
        f = self.f
        words = f.at("i64", self.store, str(PLANES * self.lanes))
        f.do(f"store {self.kind} {mask}, ptr {words}, align 8")
        for p, plane in enumerate(self.planes):
            place = f.at("i64", self.store, str(p * self.lanes))
            f.do(f"store {self.kind} {f.get(self.kind, plane)}, ptr {place}, align 8")
        with f.loop("0", str(self.lanes)) as w:
            left = f.variable("i64", f.item("i64", words, w))
            with f.forever() as each:
                now = f.get("i64", left)
                f.leave_unless(each, f.let(f"icmp ne i64 {now}, 0"))
                f.set("i64", left, f.let(f"and i64 {now}, {f.let(f'sub i64 {now}, 1')}"))
                bit = f.let(f"call i64 @llvm.cttz.i64(i64 {now}, i1 true)")
                dot = "0"
                for p in range(PLANES):
                    word = f.item("i64", self.store, f.let(f"add i64 {w}, {p * self.lanes}"))
                    one = f.let(f"and i64 {f.let(f'lshr i64 {word}, {bit}')}, 1")
                    dot = f.let(f"or i64 {dot}, {f.let(f'shl i64 {one}, {p}')}")
                row = f.let(f"add i64 {f.let(f'mul i64 {here}, {self.width}')}, {f.let(f'mul i64 {w}, 64')}")
                row = f.let(f"add i64 {row}, {bit}")
                other = f.let(f"sitofp i32 {f.item('i32', '%squares', row)} to double")
                root = f.let(f"call double @llvm.sqrt.f64(double {f.let(f'fmul double {square}, {other}')})")
                cosine = f.let(f"fdiv double {f.let(f'sitofp i64 {dot} to double')}, {root}")
                score = f.let(f"fptrunc double {cosine} to float")
                self.insert(score, f.item("i64", "%keys", row), query)

    def insert(self, score: str, key: str, query: str) -> None:
        """Put a row into the query's list, which is sorted: score descending, key ascending."""
        f = self.f
        head, tail = f.let(f"mul i64 {query}, %k"), self.tail(query)
        with f.when(self.better(score, key, tail)):
            place = f.variable("i64", tail)
            with f.forever() as moving:
                j = f.get("i64", place)
                inside = f.let(f"icmp sgt i64 {j}, {head}")
                before = f.let(f"select i1 {inside}, i64 {f.let(f'sub i64 {j}, 1')}, i64 {j}")
                f.leave_unless(moving, f.let(f"and i1 {inside}, {self.better(score, key, before)}"))
                f.set("float", f.at("float", "%best", j), f.item("float", "%best", before))
                f.set("i64", f.at("i64", "%found", j), f.item("i64", "%found", before))
                f.set("i64", place, before)
            j = f.get("i64", place)
            f.set("float", f.at("float", "%best", j), score)
            f.set("i64", f.at("i64", "%found", j), key)

    def tail(self, query: str) -> str:
        """Where the k-th best of a query stands."""
        f = self.f
        behind = f.let(f"add i64 {query}, 1")
        return f.let(f"sub i64 {f.let(f'mul i64 {behind}, %k')}, 1")

    def better(self, score: str, key: str, place: str) -> str:
        f = self.f
        other = f.item("float", "%best", place)
        first = f.let(f"icmp slt i64 {key}, {f.item('i64', '%found', place)}")
        tie = f.let(f"and i1 {f.let(f'fcmp oeq float {score}, {other}')}, {first}")
        return f.let(f"or i1 {f.let(f'fcmp ogt float {score}, {other}')}, {tie}")


def _double(value: float) -> str:
    import struct

    return f"0x{struct.pack('>d', value).hex().upper()}"


def _runs(f: Function, row: str) -> Any:
    """Loop over the codes of a row; gives (code i64, how often it stood before i64)."""
    before, run = f.variable("i64", "-1"), f.variable("i64", "0")
    start = f.item("i64", "%starts", row)
    stop = f.item("i64", "%starts", f.let(f"add i64 {row}, 1"))

    class Each:
        def __enter__(self) -> tuple[str, str]:
            self.loop = f.loop(start, stop)
            i = self.loop.__enter__()
            code = f.let(f"zext i16 {f.item('i16', '%codes', i)} to i64")
            same = f.let(f"icmp eq i64 {code}, {f.get('i64', before)}")
            longer = f.let(f"add i64 {f.get('i64', run)}, 1")
            now = f.let(f"select i1 {same}, i64 {longer}, i64 0")
            f.set("i64", run, now)
            f.set("i64", before, code)
            return code, now

        def __exit__(self, *error: Any) -> None:
            self.loop.__exit__(*error)

    return Each()


def _shape() -> str:
    """``shape``: of the rows first..last - 1 of codes and starts, the squared length and the largest count, i32 each."""
    f = Function("shape", "codes starts squares largest", "first last")
    square, top = f.variable("i64", "0"), f.variable("i64", "0")
    with f.loop("%first", "%last") as row:
        f.set("i64", square, "0")
        f.set("i64", top, "0")
        with _runs(f, row) as (_, before):
            times = f.let(f"add i64 {before}, 1")
            odd = f.let(f"add i64 {before}, {times}")  # (c + 1)^2 - c^2
            f.set("i64", square, f.let(f"add i64 {f.get('i64', square)}, {odd}"))
            now = f.get("i64", top)
            more = f.let(f"icmp sgt i64 {times}, {now}")
            f.set("i64", top, f.let(f"select i1 {more}, i64 {times}, i64 {now}"))
        for place, array in ((square, "%squares"), (top, "%largest")):
            f.set("i32", f.at("i32", array, row), f.let(f"trunc i64 {f.get('i64', place)} to i32"))
    return f.text()


def _levels() -> str:
    """``levels``: raise levels (dim,) i32, by rank of code, to the largest count among the rows order[first..last - 1]."""
    f = Function("levels", "codes starts order rank levels", "first last")
    with f.loop("%first", "%last") as i, _runs(f, f.item("i64", "%order", i)) as (code, before):
        place = f.at("i32", "%levels", f.let(f"zext i16 {f.item('i16', '%rank', code)} to i64"))
        times = f.let(f"trunc i64 {f.let(f'add i64 {before}, 1')} to i32")
        now = f.get("i32", place)
        more = f.let(f"icmp sgt i32 {times}, {now}")
        f.set("i32", place, f.let(f"select i1 {more}, i32 {times}, i32 {now}"))
    return f.text()


def _fill() -> str:
    """``fill``: set the bits of the rows order[first..last - 1], which are one block, in its bitmaps; table (dim + 1,) i32."""
    f = Function("fill", "codes starts order rank table bits", "first last")
    with f.loop("%first", "%last") as i:
        local = f.let(f"sub i64 {i}, %first")
        byte = f.let(f"lshr i64 {local}, 3")
        in_byte = f.let(f"and i64 {local}, 7")
        bit = f.let(f"shl i8 1, {f.let(f'trunc i64 {in_byte} to i8')}")
        with _runs(f, f.item("i64", "%order", i)) as (code, before):
            first = f.item("i32", "%table", f.let(f"zext i16 {f.item('i16', '%rank', code)} to i64"))
            bitmap = f.let(f"add i64 {f.let(f'zext i32 {first} to i64')}, {before}")
            place = f.at("i8", "%bits", f.let(f"add i64 {f.let(f'mul i64 {bitmap}, {BLOCK_BYTES}')}, {byte}"))
            f.set("i8", place, f.let(f"or i8 {f.get('i8', place)}, {bit}"))
    return f.text()


def _declarations(width: int) -> str:
    lanes = width // 64
    kind = f"<{lanes} x i64>"
    special = f"declare {kind} @llvm.x86.avx512.pternlog.q.512({kind}, {kind}, {kind}, i32)" if width == 512 else ""
    return f"""
{special}
declare {kind} @llvm.ctpop.v{lanes}i64({kind})
declare i64 @llvm.vector.reduce.add.v{lanes}i64({kind})
declare i64 @llvm.vector.reduce.or.v{lanes}i64({kind})
declare i64 @llvm.cttz.i64(i64, i1)
declare double @llvm.sqrt.f64(double)
declare i64 @llvm.smax.i64(i64, i64)
declare double @llvm.ceil.f64(double)
"""
