"""The closest pair again and again, as assembly for one image: the generic algorithm with lower bounds, and rows mended late.

Every row keeps a lower bound of its distance to the nearest other cluster, and who that is where it is known. The row with the
least bound is looked at: if its nearest is known they are merged, and else found by reading the row (Anderberg, Cluster Analysis
for Applications, 1973; Muellner, Modern hierarchical, agglomerative clustering algorithms, 2011, https://arxiv.org/abs/1109.2378).
Single, complete and average linkage never bring a cluster nearer to a merged pair than it was to the nearer of the two, so
that bounds stay bounds, and only rows whose nearest was merged forget who it is.

A merge writes one row of the matrix, not the column: who merged since a row was last read is listed, and what such
clusters say of the row is fetched from their rows when it is read next.

Clusters are called by their lowest token. Of equal distances the lowest pair is merged.
"""

from __future__ import annotations

from collections.abc import Callable

from biocosmos.encoders.reduction.clustering.distances import LARGEST, float32
from biocosmos.encoders.reduction.clustering.lanes import Lanes
from biocosmos.search.kernel.assembly import Function

SHORT = 16
"""Entries of the log that may count no more, beyond as many as do, before it is tidied."""
INFINITY = "0x7FF0000000000000"
_STATE = "distances bound dead size near stamp place log times parent"


def assembly(lanes: int, linkages: tuple[str, ...]) -> str:
    """``merge_LINKAGE(distances, bound, dead, size, near, stamp, place, log, times, parent; n, width, merges)`` of one image.

    distances (width, width) float32: symmetric, :data:`LARGEST` on the diagonal, changed; width: n up to a multiple of the
    lanes; bound, dead, size (width,) float32 and near, stamp, place, log, times (width + 1,) i32: to work in; parent (n,) i32:
    written, the lower cluster that each lowest token was merged into, itself where it was not.
    """
    return "\n".join([_mend(), _scan(lanes), *(_merge(lanes, linkage) for linkage in linkages)])


def labels() -> str:
    """``labels(parent, labels; n)``: int64, numbered by first appearance."""
    f = Function("labels", "parent labels", "n")
    count = f.variable("i64", "0")
    with f.loop("0", "%n") as i:
        up = f.let(f"sext i32 {f.item('i32', '%parent', i)} to i64")
        first = f.let(f"icmp eq i64 {up}, {i}")
        before = f.get("i64", count)
        f.set("i64", f.at("i64", "%labels", i), before)  # what a first token reads of itself
        f.set("i64", f.at("i64", "%labels", i), f.item("i64", "%labels", up))
        f.set("i64", count, f.let(f"add i64 {before}, {f.let(f'zext i1 {first} to i64')}"))
    return f.text()


def _mend() -> str:
    """``mend``: bring a row up to date: take the distances to clusters that were merged since from their rows, last first."""
    f = Function("mend", "distances stamp log times", "row width step length")
    last = f.item("i32", "%stamp", "%row")
    start = f.let("mul i64 %row, %width")
    at = f.variable("i64", "%length")
    with f.forever() as walk:
        i = f.let(f"sub i64 {f.get('i64', at)}, 1")
        f.leave_unless(walk, f.let(f"icmp sge i32 {f.item('i32', '%times', i)}, {last}"))
        other = _index(f, f.item("i32", "%log", i))
        told = f.item("float", "%distances", f.let(f"add i64 {f.let(f'mul i64 {other}, %width')}, %row"))
        f.set("float", f.at("float", "%distances", f.let(f"add i64 {start}, {other}")), told)
        f.set("i64", at, i)
    f.set("i32", f.at("i32", "%stamp", "%row"), f.let("trunc i64 %step to i32"))
    return f.text()


def _scan(lanes: int) -> str:
    """``scan``: the least distance in a row that is up to date, and the first cluster at it."""
    f = Function("scan", "distances dead bound near", "row width")
    v = Lanes(f, lanes)
    row = f.at("float", "%distances", f.let("mul i64 %row, %width"))
    best = f.variable(v.floats, v.splat(INFINITY))
    with f.loop("0", "%width", lanes) as j:
        here = f.let(f"fadd {v.floats} {v.load(row, j)}, {v.load('%dead', j)}")
        f.set(v.floats, best, v.less(here, f.get(v.floats, best)))
    least = v.reduce("fmin", f.get(v.floats, best))
    f.set("float", f.at("float", "%bound", "%row"), least)
    first = _first(f, v, lambda j: f.let(f"fadd {v.floats} {v.load(row, j)}, {v.load('%dead', j)}"), least)
    f.set("i32", f.at("i32", "%near", "%row"), f.let(f"trunc i64 {first} to i32"))
    return f.text()


def _merge(lanes: int, linkage: str) -> str:
    f = Function(f"merge_{linkage}", _STATE, "n width merges")
    return _Merge(f, Lanes(f, lanes), linkage).text()


class _Merge:
    """The parts of ``merge_LINKAGE``, in the order in which they run."""

    def __init__(self, f: Function, v: Lanes, linkage: str) -> None:
        self.f, self.v, self.linkage = f, v, linkage

    def text(self) -> str:
        f = self.f
        self.row, self.near, self.length, self.live = (f.variable("i64", "0") for _ in range(4))
        self.best = f.variable(self.v.floats, "zeroinitializer")
        self.start()
        with f.loop("0", "%merges") as step:
            self.choose(step)
            self.unite(step, f.get("i64", self.row), f.get("i64", self.near))
        return f.text()

    def start(self) -> None:
        """Every token is a cluster, up to date, and what is behind the last one is dead."""
        f, v = self.f, self.v
        nobody = v.splat("-1", "i32")
        with f.loop("0", "%width", v.count) as j:
            v.store("%size", j, v.splat("1.0"))
            v.store("%dead", j, "zeroinitializer")
            v.store("%bound", j, v.splat(INFINITY))
            v.store_integers("%near", j, nobody)
            v.store_integers("%stamp", j, "zeroinitializer")
            v.store_integers("%place", j, "zeroinitializer")
        f.set("i32", "%log", "0")
        f.set("i32", "%times", "-1")  # the walk through the log ends here
        f.set("i64", self.length, "1")
        with f.loop("%n", "%width") as j:
            f.set("float", f.at("float", "%dead", j), INFINITY)
        with f.loop("0", "%n") as i:
            f.set("i32", f.at("i32", "%parent", i), f.let(f"trunc i64 {i} to i32"))
            f.do(f"call void @scan(ptr %distances, ptr %dead, ptr %bound, ptr %near, i64 {i}, i64 %width)")

    def choose(self, step: str) -> None:
        """Leave the lowest of the closest pairs in the variables ``row`` and ``near``."""
        f, v = self.f, self.v
        with f.forever() as again:
            f.set(v.floats, self.best, v.splat(INFINITY))
            with f.loop("0", "%width", v.count) as j:
                f.set(v.floats, self.best, v.less(v.load("%bound", j), f.get(v.floats, self.best)))
            least = v.reduce("fmin", f.get(v.floats, self.best))
            row = _first(f, v, lambda j: v.load("%bound", j), least)
            f.set("i64", self.row, row)
            known = f.item("i32", "%near", row)
            f.set("i64", self.near, _index(f, known))
            f.leave_unless(again, f.let(f"icmp slt i32 {known}, 0"))
            self.mend(row, step)
            f.do(f"call void @scan(ptr %distances, ptr %dead, ptr %bound, ptr %near, i64 {row}, i64 %width)")
            f.set("i64", self.near, _index(f, f.item("i32", "%near", row)))
            f.leave_unless(again, f.let(f"fcmp une float {f.item('float', '%bound', row)}, {least}"))

    def unite(self, step: str, a: str, b: str) -> None:
        """The cluster b becomes a part of a, which is lower."""
        f, v = self.f, self.v
        self.mend(a, step)
        self.mend(b, step)
        row, other = (f.at("float", "%distances", f.let(f"mul i64 {i}, %width")) for i in (a, b))
        f.set("float", f.at("float", other, a), float32(LARGEST))
        f.set("float", f.at("float", "%dead", b), INFINITY)
        f.set("float", f.at("float", "%bound", b), INFINITY)
        f.set("i32", f.at("i32", "%parent", b), f.let(f"trunc i64 {a} to i32"))
        sizes = f.item("float", "%size", a), f.item("float", "%size", b)
        whole = f.let(f"fadd float {sizes[0]}, {sizes[1]}")
        f.set("float", f.at("float", "%size", a), whole)
        share = v.splat(f.let(f"fdiv float {sizes[1]}, {whole}"))
        names = [v.splat(f.let(f"trunc i64 {i} to i32"), "i32") for i in (a, b)]
        f.set(v.floats, self.best, v.splat(INFINITY))
        with f.loop("0", "%width", v.count) as j:
            new = self.distance(v.load(row, j), v.load(other, j), share)
            v.store(row, j, new)
            alive = f.let(f"fadd {v.floats} {new}, {v.load('%dead', j)}")
            f.set(v.floats, self.best, v.less(alive, f.get(v.floats, self.best)))
            near = v.load_integers("%near", j)
            lost = f.let(f"fcmp ole {v.floats} {new}, {v.load('%bound', j)}")
            for name in names:
                lost = f.let(f"or {v.bits} {lost}, {f.let(f'icmp eq {v.integers} {near}, {name}')}")
            nobody = v.splat("-1", "i32")
            v.store_integers("%near", j, f.let(f"select {v.bits} {lost}, {v.integers} {nobody}, {v.integers} {near}"))
        f.set("float", f.at("float", "%bound", a), v.reduce("fmin", f.get(v.floats, self.best)))
        f.set("i32", f.at("i32", "%near", a), "-1")
        self.list(step, a, b)

    def distance(self, of_a: str, of_b: str, share: str) -> str:
        """Of the pair to every cluster (Lance and Williams, 1967), never below the nearer one's, as rounding might have it."""
        f, v = self.f, self.v
        if self.linkage == "single":
            return v.less(of_a, of_b)
        if self.linkage == "complete":
            return v.more(of_a, of_b)
        mean = v.fused(share, f.let(f"fsub {v.floats} {of_b}, {of_a}"), of_a)
        return v.more(mean, v.less(of_a, of_b))

    def mend(self, row: str, step: str) -> None:
        length = self.f.get("i64", self.length)
        numbers = f"i64 {row}, i64 %width, i64 {step}, i64 {length}"
        self.f.do(f"call void @mend(ptr %distances, ptr %stamp, ptr %log, ptr %times, {numbers})")

    def list(self, step: str, a: str, b: str) -> None:
        """a is the last that was merged; where it and b stood in the log is told b, whose distances count no more."""
        f = self.f
        entry, now = f.let(f"trunc i64 {b} to i32"), f.let(f"trunc i64 {step} to i32")
        for gone in (a, b):
            place = _index(f, f.item("i32", "%place", gone))
            f.set("i32", f.at("i32", "%log", place), entry)
            known = f.let(f"icmp sgt i64 {place}, 0")
            f.set("i64", self.live, f.let(f"sub i64 {f.get('i64', self.live)}, {f.let(f'zext i1 {known} to i64')}"))
        with f.when(f.let(f"icmp sgt i64 {f.get('i64', self.length)}, {f.let(f'add i64 {self.twice()}, {SHORT}')}")):
            self.tidy()
        length = f.get("i64", self.length)
        f.set("i32", f.at("i32", "%log", length), f.let(f"trunc i64 {a} to i32"))
        f.set("i32", f.at("i32", "%times", length), now)
        f.set("i32", f.at("i32", "%place", a), f.let(f"trunc i64 {length} to i32"))
        f.set("i64", self.length, f.let(f"add i64 {length}, 1"))
        f.set("i64", self.live, f.let(f"add i64 {f.get('i64', self.live)}, 1"))
        f.set("i32", f.at("i32", "%stamp", a), f.let(f"trunc i64 {f.let(f'add i64 {step}, 1')} to i32"))

    def twice(self) -> str:
        return self.f.let(f"shl i64 {self.f.get('i64', self.live)}, 1")

    def tidy(self) -> None:
        """Take what counts no more out of the log."""
        f = self.f
        old = f.get("i64", self.length)
        f.set("i64", self.length, "1")
        with f.loop("1", old) as i:
            other = _index(f, f.item("i32", "%log", i))
            stays = f.let(f"icmp eq i64 {_index(f, f.item('i32', '%place', other))}, {i}")
            alive = f.let(f"fcmp oeq float {f.item('float', '%dead', other)}, 0.0")
            with f.when(f.let(f"and i1 {stays}, {alive}")):
                to = f.get("i64", self.length)
                f.set("i32", f.at("i32", "%log", to), f.let(f"trunc i64 {other} to i32"))
                f.set("i32", f.at("i32", "%times", to), f.item("i32", "%times", i))
                f.set("i32", f.at("i32", "%place", other), f.let(f"trunc i64 {to} to i32"))
                f.set("i64", self.length, f.let(f"add i64 {to}, 1"))


def _index(f: Function, value: str) -> str:
    return f.let(f"sext i32 {value} to i64")


def _first(f: Function, v: Lanes, load: Callable[[str], str], value: str) -> str:
    """The first index at which ``load`` gives a float, which is there."""
    at, found, wanted = f.variable("i64", "0"), f.variable("i64", "0"), v.splat(value)
    with f.forever() as search:
        j = f.get("i64", at)
        bits = v.mask(f.let(f"fcmp oeq {v.floats} {load(j)}, {wanted}"))
        f.set("i64", found, bits)
        f.set("i64", at, f.let(f"add i64 {j}, {v.count}"))
        f.leave_unless(search, f.let(f"icmp eq i64 {bits}, 0"))
    lane = f.let(f"call i64 @llvm.cttz.i64(i64 {f.get('i64', found)}, i1 true)")
    behind = f.let(f"add i64 {f.get('i64', at)}, {lane}")
    return f.let(f"sub i64 {behind}, {v.count}")
