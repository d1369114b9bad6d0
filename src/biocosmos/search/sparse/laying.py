"""Pairs of barcodes laid over each other by a compiled kernel: some microseconds a pair, for hits that are put in order.

As in :mod:`biocosmos.barcodes.alignment` the words of eight bases that both have vote for diagonals. The alignment is the best
path, by matches - 2 (mismatches + gaps), along the diagonals near the best one that enough words vote for, changing from one to
another at the price of the gap (Viterbi, 1967). Most pairs have one diagonal, and are compared base by base.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache

import numpy as np
import numpy.typing as npt

from biocosmos import machine
from biocosmos.barcodes.alignment import BAND, WORD, WORDS_OFF, Alignments, Letters, align_many
from biocosmos.search.kernel.assembly import Function
from biocosmos.search.kernel.compiler import Function as Compiled
from biocosmos.search.kernel.compiler import Program, split

PENALTY = 2
"""Matches that a mismatch or a column of a gap costs."""
LONGEST = 4000
"""Bases that the kernel lays over each other: longer ones go the way of :func:`align_many`."""
DIAGONALS = 8
LEAST_PAIRS = 64  # of a thread
WORDS = 4**WORD
_SCORE, _MATCHES, _MISMATCHES, _GAPS = (
    40,
    28,
    16,
    4,
)  # where each count begins in a number of 64 bits; the first diagonal is below
_MATCH = (1 << _SCORE) + (1 << _MATCHES)
_MISMATCH = -(PENALTY << _SCORE) + (1 << _MISMATCHES)
_GAP = -(PENALTY << _SCORE) + (1 << _GAPS)
_NEVER = -(1 << 60)
_UNKNOWN = 4  # a letter that is none of A, C, G, T


def lay(queries: Letters, targets: Letters, pairs: npt.NDArray[np.int64]) -> Alignments:
    """Lay pairs over each other, by the kernel where it works, by :func:`align_many` elsewhere; pairs: (p, 2) numbers of a query
    and a target, those of a query together."""
    kernel = _kernel(machine.flags() >= {"avx2", "bmi2"})
    if kernel is None:
        return align_many(queries, targets, pairs)
    out = np.zeros((len(pairs), 8), np.int32)
    arrays: list[npt.NDArray[np.generic]] = [
        queries.letters,
        queries.starts,
        targets.letters,
        targets.starts,
    ]
    arrays += [np.ascontiguousarray(pairs, np.int64), out]
    fixed = [array.ctypes.data for array in arrays]

    def part(_: int, first: int, last: int) -> None:
        place = np.full(WORDS + 1, -1, np.int32)
        votes = np.zeros(2 * LONGEST + 2, np.int32)
        paths = np.empty((LONGEST + BAND + 2) * DIAGONALS, np.int64)
        diagonals = np.zeros(DIAGONALS, np.int64)
        spaces = (place.ctypes.data, votes.ctypes.data, paths.ctypes.data, diagonals.ctypes.data)
        kernel(*fixed, *spaces, first, last)

    split(part, len(pairs), least=LEAST_PAIRS)
    found = Alignments(*(np.ascontiguousarray(out[:, i]) for i in range(len(fields(Alignments)))))
    if len(left := np.flatnonzero(out[:, 7])):
        for i, one in zip(left.tolist(), align_many(queries, targets, pairs[left])):
            found.put(i, one)
    return found


@cache
def _kernel(modern: bool) -> Compiled | None:
    try:
        program = Program(_Laying().text(), "+avx2,+bmi,+bmi2,+popcnt" if modern else "")
        function = program.function("lay", 10, 2)
    except (ImportError, OSError, RuntimeError):
        return None
    function.program = program  # type: ignore[attr-defined]  # what is compiled lives as long as this
    return function


class _Laying:
    """The assembly of ``lay(letters and starts of the queries and of the targets, pairs, out, space, first, last)``.

    out: (pairs, 8) i32, the parts of Alignments and whether the pair is left to another way.
    """

    def __init__(self) -> None:
        pointers = "qletters qstarts tletters tstarts pairs out place votes paths diagonals"
        self.f = Function("lay", pointers, "first last")

    def text(self) -> str:
        f = self.f
        known = f.variable("i64", "-1")
        with f.loop("%first", "%last") as pair:
            query = f.item("i64", "%pairs", f.let(f"mul i64 {pair}, 2"))
            target = f.item("i64", "%pairs", f.let(f"add i64 {f.let(f'mul i64 {pair}, 2')}, 1"))
            self.out = f.at("i32", "%out", f.let(f"mul i64 {pair}, 8"))
            q0, t0 = f.item("i64", "%qstarts", query), f.item("i64", "%tstarts", target)
            self.n = f.let(f"sub i64 {f.item('i64', '%qstarts', f.let(f'add i64 {query}, 1'))}, {q0}")
            self.m = f.let(f"sub i64 {f.item('i64', '%tstarts', f.let(f'add i64 {target}, 1'))}, {t0}")
            self.q, self.t = f.at("i8", "%qletters", q0), f.at("i8", "%tletters", t0)
            longer = f.let(f"call i64 @llvm.smax.i64(i64 {self.n}, i64 {self.m})")
            fits = f.let(f"icmp sle i64 {longer}, {LONGEST}")
            with f.when(f.let(f"xor i1 {fits}, true")):
                self.put(7, "1")
            with f.when(fits):
                with f.when(f.let(f"icmp ne i64 {f.get('i64', known)}, {query}")):
                    self.learn(f.get("i64", known), query)
                    f.set("i64", known, query)
                best, votes = self.vote()
                some = f.let(f"icmp sgt i32 {votes}, 0")
                with f.when(f.let(f"xor i1 {some}, true")):
                    self.put(7, "1")
                with f.when(some):
                    count = self.choose(best)
                    single = f.let(f"icmp eq i64 {count}, 1")
                    with f.when(single):
                        self.follow(f.let(f"sub i64 {best}, {self.n}"))
                    with f.when(f.let(f"xor i1 {single}, true")):
                        self.path(count)
        return "\n".join([f.text(), "declare i32 @llvm.smax.i32(i32, i32)", *(_declared(name) for name in ("smax", "smin"))])

    def put(self, part: int, value: str) -> None:
        self.f.set("i32", self.f.at("i32", self.out, str(part)), value)

    def put_wide(self, part: int, value: str) -> None:
        self.put(part, self.f.let(f"trunc i64 {value} to i32"))

    def learn(self, old: str, query: str) -> None:
        """Forget where the words of the query before stand, and remember those of this one."""
        f = self.f
        with f.when(f.let(f"icmp sge i64 {old}, 0")):
            self.place_words(old, forget=True)
        self.place_words(query, forget=False)

    def place_words(self, query: str, *, forget: bool) -> None:
        f = self.f
        start = f.item("i64", "%qstarts", query)
        length = f.let(f"sub i64 {f.item('i64', '%qstarts', f.let(f'add i64 {query}, 1'))}, {start}")
        with self.words(f.at("i8", "%qletters", start), length) as (i, word):
            f.set("i32", f.at("i32", "%place", word), "-1" if forget else f.let(f"trunc i64 {i} to i32"))
        f.set("i32", f.at("i32", "%place", str(WORDS)), "-1")

    @contextmanager
    def words(self, letters: str, length: str) -> Iterator[tuple[str, str]]:
        """Once for each base: (where the word that ends there begins, the word; WORDS where it holds another letter)."""
        f = self.f
        rolling, known = f.variable("i64", "0"), f.variable("i64", "0")
        with f.loop("0", length) as end:
            letter = f.let(f"zext i8 {f.item('i8', letters, end)} to i64")
            before = f.get("i64", rolling)
            word = f.let(f"and i64 {f.let(f'shl i64 {before}, 2')}, {WORDS - 1}")
            word = f.let(f"or i64 {word}, {f.let(f'and i64 {letter}, 3')}")
            f.set("i64", rolling, word)
            other = f.let(f"icmp uge i64 {letter}, {_UNKNOWN}")
            longer = f.let(f"add i64 {f.get('i64', known)}, 1")
            run = f.let(f"select i1 {other}, i64 0, i64 {longer}")
            f.set("i64", known, run)
            whole = f.let(f"icmp sge i64 {run}, {WORD}")
            yield f.let(f"sub i64 {end}, {WORD - 1}"), f.let(f"select i1 {whole}, i64 {word}, i64 {WORDS}")

    def vote(self) -> tuple[str, str]:
        """(number of the diagonal with most votes, its votes): the target's base less the query's, plus the query's length."""
        f = self.f
        count = f.let(f"add i64 {f.let(f'add i64 {self.n}, {self.m}')}, 1")
        with f.loop("0", count) as i:
            f.set("i32", f.at("i32", "%votes", i), "0")
        with self.words(self.t, self.m) as (j, index):
            place = f.let(f"sext i32 {f.item('i32', '%place', index)} to i64")
            absent = f.let(f"icmp slt i64 {place}, 0")
            diagonal = f.let(f"add i64 {f.let(f'sub i64 {j}, {place}')}, {self.n}")
            at = f.at("i32", "%votes", f.let(f"select i1 {absent}, i64 {2 * LONGEST + 1}, i64 {diagonal}"))  # no branch to miss
            f.set("i32", at, f.let(f"add i32 {f.get('i32', at)}, 1"))
        most, best = f.variable("i32", "0"), f.variable("i64", "-1")
        with f.loop("0", count) as i:
            larger = f.let(f"call i32 @llvm.smax.i32(i32 {f.item('i32', '%votes', i)}, i32 {f.get('i32', most)})")
            f.set("i32", most, larger)
        votes = f.get("i32", most)
        with f.forever() as looking:
            i = f.let(f"add i64 {f.get('i64', best)}, 1")
            f.set("i64", best, i)
            f.leave_unless(looking, f.let(f"icmp ne i32 {f.item('i32', '%votes', i)}, {votes}"))
        return f.get("i64", best), votes

    def choose(self, best: str) -> str:
        """Write the diagonals of the band with enough votes, ascending, the best among them; their number, at most DIAGONALS."""
        f = self.f
        count, enough = f.variable("i64", f"{DIAGONALS + 1}"), f.variable("i32", str(WORDS_OFF))
        low = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 {best}, {BAND}')}, i64 0)")
        top = f.let(
            f"call i64 @llvm.smin.i64(i64 {f.let(f'add i64 {best}, {BAND}')}, i64 {f.let(f'add i64 {self.n}, {self.m}')})"
        )
        with f.forever() as again:
            f.leave_unless(again, f.let(f"icmp sgt i64 {f.get('i64', count)}, {DIAGONALS}"))
            f.set("i64", count, "0")
            with f.loop(low, f.let(f"add i64 {top}, 1")) as i:
                good = f.let(f"icmp sge i32 {f.item('i32', '%votes', i)}, {f.get('i32', enough)}")
                with f.when(f.let(f"or i1 {good}, {f.let(f'icmp eq i64 {i}, {best}')}")):
                    n = f.get("i64", count)
                    at = f.let(f"call i64 @llvm.smin.i64(i64 {n}, i64 {DIAGONALS - 1})")
                    f.set("i64", f.at("i64", "%diagonals", at), f.let(f"sub i64 {i}, {self.n}"))
                    f.set("i64", count, f.let(f"add i64 {n}, 1"))
            f.set("i32", enough, f.let(f"add i32 {f.get('i32', enough)}, 1"))
        return f.get("i64", count)

    def follow(self, shift: str) -> None:
        """Compare base by base along one diagonal."""
        f = self.f
        start = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 0, {shift}')}, i64 0)")
        stop = f.let(f"call i64 @llvm.smin.i64(i64 {self.n}, i64 {f.let(f'sub i64 {self.m}, {shift}')})")
        equal, apart = f.variable("i32", "0"), f.variable("i32", "0")
        with f.loop(start, stop) as i:
            a, b = f.item("i8", self.q, i), f.item("i8", self.t, f.let(f"add i64 {i}, {shift}"))
            known = f.let(f"icmp ult i8 {f.let(f'or i8 {a}, {b}')}, {_UNKNOWN}")
            same = f.let(f"icmp eq i8 {a}, {b}")
            match = f.let(f"zext i1 {f.let(f'and i1 {known}, {same}')} to i32")
            f.set("i32", equal, f.let(f"add i32 {f.get('i32', equal)}, {match}"))
            f.set("i32", apart, f.let(f"add i32 {f.get('i32', apart)}, {f.let(f'zext i1 {known} to i32')}"))
        matches = f.get("i32", equal)
        self.put(0, matches)
        self.put(1, f.let(f"sub i32 {f.get('i32', apart)}, {matches}"))
        self.put(2, "0")
        for part, value in ((3, start), (4, stop)):
            self.put_wide(part, value)
            self.put_wide(part + 2, f.let(f"add i64 {value}, {shift}"))

    def path(self, count: str) -> None:
        """The best path over several diagonals, with its counts in one number for each base of the query and diagonal."""
        f = self.f
        lowest = f.item("i64", "%diagonals", "0")
        highest = f.item("i64", "%diagonals", f.let(f"sub i64 {count}, 1"))
        first = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 0, {highest}')}, i64 0)")
        stop = f.let(f"call i64 @llvm.smin.i64(i64 {self.n}, i64 {f.let(f'sub i64 {self.m}, {lowest}')})")
        head = f.let(f"mul i64 {first}, {DIAGONALS}")
        with f.loop(head, f.let(f"add i64 {head}, {(BAND + 1) * DIAGONALS}")) as i:
            f.set("i64", f.at("i64", "%paths", i), str(_NEVER))
        total, end_i, end_j = f.variable("i64", str(_NEVER)), f.variable("i64", "0"), f.variable("i64", "0")
        with f.loop(first, stop) as i, f.loop("0", count) as a:
            diagonal = f.item("i64", "%diagonals", a)
            j = f.let(f"add i64 {i}, {diagonal}")
            inside = f.let(f"icmp ult i64 {j}, {self.m}")
            place = f.at("i64", "%paths", self.cell(i, a))
            with f.when(f.let(f"xor i1 {inside}, true")):
                f.set("i64", place, str(_NEVER))
            with f.when(inside):
                begins = f.let(f"or i1 {f.let(f'icmp eq i64 {i}, 0')}, {f.let(f'icmp eq i64 {j}, 0')}")
                best = f.variable("i64", f.let(f"select i1 {begins}, i64 {a}, i64 {_NEVER}"))
                with f.loop("0", count) as b:
                    self.come(best, i, diagonal, b)
                value = f.let(f"add i64 {f.get('i64', best)}, {self.step(i, j)}")
                f.set("i64", place, value)
                last_i = f.let(f"icmp eq i64 {i}, {f.let(f'sub i64 {self.n}, 1')}")
                last_j = f.let(f"icmp eq i64 {j}, {f.let(f'sub i64 {self.m}, 1')}")
                more = f.let(f"icmp sgt i64 {value}, {f.get('i64', total)}")
                with f.when(f.let(f"and i1 {f.let(f'or i1 {last_i}, {last_j}')}, {more}")):
                    for variable, number in ((total, value), (end_i, i), (end_j, j)):
                        f.set("i64", variable, number)
        self.end(f.get("i64", total), f.get("i64", end_i), f.get("i64", end_j))

    def cell(self, i: str, a: str) -> str:
        """Where the path that ends with base i on diagonal a stands; BAND + 1 lines before the first are never reached."""
        f = self.f
        line = f.let(f"mul i64 {f.let(f'add i64 {i}, {BAND + 1}')}, {DIAGONALS}")
        return f.let(f"add i64 {line}, {a}")

    def come(self, best: str, i: str, diagonal: str, b: str) -> None:
        """Raise ``best`` to the path that comes from diagonal b, which skips bases of the target or of the query."""
        f = self.f
        apart = f.let(f"sub i64 {diagonal}, {f.item('i64', '%diagonals', b)}")
        back = f.let(f"call i64 @llvm.smin.i64(i64 {apart}, i64 0)")
        size = f.let(f"call i64 @llvm.smax.i64(i64 {apart}, i64 {f.let(f'sub i64 0, {apart}')})")
        before = f.let(f"add i64 {f.let(f'sub i64 {i}, 1')}, {back}")
        line = f.let(f"call i64 @llvm.smax.i64(i64 {before}, i64 {-BAND - 1})")
        came = f.item("i64", "%paths", self.cell(line, b))
        value = f.let(f"add i64 {came}, {f.let(f'mul i64 {size}, {_GAP}')}")
        f.set("i64", best, f.let(f"call i64 @llvm.smax.i64(i64 {f.get('i64', best)}, i64 {value})"))

    def step(self, i: str, j: str) -> str:
        """What a pair of bases adds."""
        f = self.f
        a, b = f.item("i8", self.q, i), f.item("i8", self.t, j)
        known = f.let(f"icmp ult i8 {f.let(f'or i8 {a}, {b}')}, {_UNKNOWN}")
        same = f.let(f"icmp eq i8 {a}, {b}")
        judged = f.let(f"select i1 {same}, i64 {_MATCH}, i64 {_MISMATCH}")
        return f.let(f"select i1 {known}, i64 {judged}, i64 0")

    def end(self, total: str, i: str, j: str) -> None:
        """Write the counts of the best path."""
        f = self.f
        for part, at in ((0, _MATCHES), (1, _MISMATCHES), (2, _GAPS)):
            self.put_wide(part, f.let(f"and i64 {f.let(f'lshr i64 {total}, {at}')}, 4095"))
        begin = f.item("i64", "%diagonals", f.let(f"and i64 {total}, {(1 << _GAPS) - 1}"))
        self.put_wide(3, f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 0, {begin}')}, i64 0)"))
        self.put_wide(5, f.let(f"call i64 @llvm.smax.i64(i64 {begin}, i64 0)"))
        self.put_wide(4, f.let(f"add i64 {i}, 1"))
        self.put_wide(6, f.let(f"add i64 {j}, 1"))


def _declared(name: str) -> str:
    return f"declare i64 @llvm.{name}.i64(i64, i64)"
