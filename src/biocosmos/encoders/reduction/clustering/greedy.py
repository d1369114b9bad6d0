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

INFINITY = "0x7FF0000000000000"
_STATE = "distances bound dead size near stamp merged older newer parent"


def assembly(lanes: int, linkages: tuple[str, ...]) -> str:
    """``merge_LINKAGE(distances, bound, dead, size, near, stamp, merged, older, newer, parent; n, width, merges)`` of one image.

    distances (width, width) float32: symmetric, :data:`LARGEST` on the diagonal, changed; width: n up to a multiple of the
    lanes; bound, dead, size (width,) float32 and near, stamp, merged, older, newer (width + 1,) i32: to work in; parent (n,)
    i32: written, the lower cluster that each lowest token was merged into, itself where it was not.
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
    """``mend``: bring a row up to date: take the distances to clusters that were merged since from their rows, newest first."""
    f = Function("mend", "distances stamp merged older", "row width step")
    last = f.item("i32", "%stamp", "%row")
    start = f.let("mul i64 %row, %width")
    at = f.variable("i64", _index(f, f.item("i32", "%older", "%width")))
    with f.forever() as walk:
        other = f.get("i64", at)
        f.leave_unless(walk, f.let(f"icmp sge i32 {f.item('i32', '%merged', other)}, {last}"))
        told = f.item("float", "%distances", f.let(f"add i64 {f.let(f'mul i64 {other}, %width')}, %row"))
        f.set("float", f.at("float", "%distances", f.let(f"add i64 {start}, {other}")), told)
        f.set("i64", at, _index(f, f.item("i32", "%older", other)))
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
        self.row, self.near = f.variable("i64", "0"), f.variable("i64", "0")
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
            v.store_integers("%merged", j, nobody)
        f.set("i32", f.at("i32", "%merged", "%width"), "-1")
        with f.loop("0", f.let("add i64 %width, 1")) as j:  # each alone in a ring; those that merge go into the ring of the last
            number = f.let(f"trunc i64 {j} to i32")
            f.set("i32", f.at("i32", "%older", j), number)
            f.set("i32", f.at("i32", "%newer", j), number)
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
        self.f.do(f"call void @mend(ptr %distances, ptr %stamp, ptr %merged, ptr %older, i64 {row}, i64 %width, i64 {step})")

    def list(self, step: str, a: str, b: str) -> None:
        """a is the newest of the merged, which stand in a ring behind entry ``width``; b is none any more."""
        f = self.f
        for gone in (a, b):
            before, after = f.item("i32", "%older", gone), f.item("i32", "%newer", gone)
            f.set("i32", f.at("i32", "%newer", _index(f, before)), after)
            f.set("i32", f.at("i32", "%older", _index(f, after)), before)
        name, last = f.let(f"trunc i64 {a} to i32"), f.item("i32", "%older", "%width")
        f.set("i32", f.at("i32", "%older", a), last)
        f.set("i32", f.at("i32", "%newer", a), f.let("trunc i64 %width to i32"))
        f.set("i32", f.at("i32", "%newer", _index(f, last)), name)
        f.set("i32", f.at("i32", "%older", "%width"), name)
        f.set("i32", f.at("i32", "%merged", a), f.let(f"trunc i64 {step} to i32"))
        f.set("i32", f.at("i32", "%stamp", a), f.let(f"trunc i64 {f.let(f'add i64 {step}, 1')} to i32"))


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
