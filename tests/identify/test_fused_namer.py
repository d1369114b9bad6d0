"""One name from image and barcode: the pool written out, what is missing, what contradicts, what is promised and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.barcode import Barcode
from biocosmos.identify.namers.fused import Fused
from biocosmos.identify.namers.fusion.contradictions import disagree
from biocosmos.identify.namers.fusion.pool import DOUBT, Asked, Nodes, Opinion, Pool, prior_of, with_doubt
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

SPREAD = {"class": 0.5, "order": 0.6, "family": 0.6, "genus": 0.5, "species": 0.5}
"""How far the pictures of a taxon lie from those of the one above it."""


class World:
    """Simulated barcodes and vectors that are inherited down the same tree; every sixth species is unknown."""

    def __init__(self, seed: int = 0, species: int = 90, specimens: int = 560, dim: int = 24, noise: float = 1.0) -> None:
        table = simulate_barcodes(seed=seed, species=species, specimens=specimens)
        random = np.random.default_rng(seed)
        self.ids = np.array(table["id"].to_pylist(), object)
        self.letters = np.array(table["barcode"].to_pylist(), object)
        ranks = table.select(RANKS)
        self.taxonomy = Taxonomy.from_table(ranks)
        self.taxa = np.asarray(self.taxonomy.index(ranks), np.int32)
        looks = np.zeros((len(self.taxonomy), dim))
        for node in range(1, len(self.taxonomy)):
            spread = SPREAD.get(self.taxonomy.ranks[self.taxonomy.rank[node]], 0.0)
            looks[node] = looks[self.taxonomy.parent[node]] + spread * random.normal(size=dim)
        vectors = looks[self.taxa] + noise * random.normal(size=(len(self.taxa), dim))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        names = np.unique(self.taxa)
        unknown = np.isin(self.taxa, random.permutation(names)[: len(names) // 6])
        asked = random.random(len(self.ids)) < 0.3
        self.known, self.unseen = ~unknown & ~asked, unknown
        self.seen = ~unknown & asked & np.isin(self.taxa, self.taxa[self.known])

    def gallery(
        self, rows: np.ndarray, image: np.ndarray | None = None, dna: np.ndarray | None = None, **more: object
    ) -> Gallery:
        """image, dna: which of all specimens have one."""
        rows = np.flatnonzero(rows)
        vectors = self.vectors[rows] * (1.0 if image is None else image[rows, None])
        letters = [each if dna is None or dna[row] else None for row, each in zip(rows, self.letters[rows], strict=True)]
        return Gallery.build(
            self.ids[rows],
            vectors,
            taxa=self.taxa[rows],
            taxonomy=self.taxonomy,
            columns=pa.table({"barcode": pa.array(letters, pa.string())}),
            provenance={"encoder": {"name": "made-up", "digest": "1"}},
            bare=True,
        )

    def specimens(self, rows: np.ndarray, *, image: bool = True, dna: bool = True) -> Specimens:
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Specimens(
            self.ids[rows],
            truth=self.taxa[rows],
            vectors=self.vectors[rows] if image else None,
            barcodes=self.letters[rows] if dna else None,
        )


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def identifier(world: World) -> Identifier:
    return Identifier.fit(world.gallery(world.known), method="fused", error_rate=0.1, promise="mean", sets="genus")


@pytest.fixture(scope="module")
def fused(identifier: Identifier) -> Fused:
    assert isinstance(identifier.namer, Fused)
    return identifier.namer


# ---------------------------------------------------------------------- the pool

TREE = Taxonomy.from_table({"genus": ["A", "A", "B"], "species": ["A a", "A b", "B c"]})


def small_pool() -> tuple[Nodes, np.ndarray, np.ndarray, np.ndarray]:
    """A tree of two genera and three species, what two namers say of one specimen, and how often each class was seen."""
    tree = Nodes.over(TREE, np.array([TREE.find(name) for name in ("A a", "A b", "B c")], np.int32))
    assert [TREE.name(int(node)) for node in tree.nodes] == ["Life", "A", "A a", "A b", "B", "B c"]
    image = np.array([[0.01, 0.04, 0.5, 0.2, 0.05, 0.2]])
    dna = np.array([[0.02, 0.3, 0.1, 0.08, 0.1, 0.4]])
    prior = np.array([[0.1, 0.1, 0.3, 0.2, 0.1, 0.2]])
    return tree, image, dna, prior


def test_independent_opinions_are_multiplied_and_the_prior_is_counted_once() -> None:
    """With weights 1, 1 and -1:  p(c) ~ q_image(c) q_dna(c) / prior(c)."""
    tree, image, dna, prior = small_pool()
    pool = Pool.independent(tree, ("image", "dna", "prior"), (True, True, True))
    scores = pool.scores([Opinion.of(tree, p) for p in (image, dna, prior)])
    p = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    expected = image * dna / prior
    assert np.allclose(p, expected / expected.sum(), atol=1e-6)


def test_the_formula_with_weights_by_rank_and_kind() -> None:
    tree, image, dna, prior = small_pool()
    pool = Pool.independent(tree, ("image", "dna", "prior"), (False, True, True))
    random = np.random.default_rng(0)
    pool.steps[:], pool.stops[:] = random.normal(size=pool.steps.shape), random.normal(size=pool.stops.shape)
    found = pool.scores([Opinion.of(tree, p) for p in (image, dna, prior)])[0]
    members = {"Life": range(6), "A": (1, 2, 3), "A a": (2,), "A b": (3,), "B": (4, 5), "B c": (5,)}
    names = list(members)
    above = {"Life": [], "A": ["A"], "B": ["B"], "A a": ["A", "A a"], "A b": ["A", "A b"], "B c": ["B", "B c"]}
    for place, name in enumerate(names):
        inner = name in ("Life", "A", "B")
        score = 0.0
        for i, q in enumerate((image[0], dna[0], prior[0])):
            mass = {each: sum(q[j] for j in members[each]) for each in names}
            parent = "Life"
            for rank, node in enumerate(above[name], 1):
                score += pool.steps[int(inner), i, rank] * np.log(mass[node] / mass[parent])
                parent = node
            if inner:
                children = [each for each in names if above[each][:-1] == above[name] and above[each]]
                own = max(mass[each] for each in children) if i == 0 else q[place]
                score += pool.stops[i, len(above[name])] * np.log(own / mass[name])
        score += pool.stops[-1, len(above[name])] if inner else 0.0
        assert found[place] == pytest.approx(score, abs=1e-5)


def test_weights_are_those_of_the_greatest_likelihood() -> None:
    """Nudged in any direction the penalised likelihood of the fitted weights is less; all classes are compared."""
    tree, *_, prior = small_pool()
    random = np.random.default_rng(1)
    n = 60
    right = random.integers(1, 6, n)
    q = [random.dirichlet(np.ones(6), n) for _ in range(2)]
    for each in q:
        each[np.arange(n), right] += 0.5
        each /= each.sum(axis=1, keepdims=True)
    opinions = [Opinion.of(tree, each) for each in (*q, np.repeat(prior, n, axis=0))]
    start = Pool.independent(tree, ("image", "dna", "prior"), (False, True, True))
    fitted = start.fit(opinions, Asked(right, np.zeros((n, 2), np.int64), np.ones(n)))

    def loss(steps: np.ndarray, stops: np.ndarray) -> float:
        scores = Pool(tree, start.names, steps, stops, start.knows_unknown).scores(opinions)
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        moved = ((steps - start.steps) ** 2).sum() + ((stops - start.stops) ** 2).sum()
        return float(-log_p[np.arange(n), right].sum() + moved)  # half of PULL = 2

    best = loss(fitted.steps, fitted.stops)
    assert best < loss(start.steps, start.stops) - 1
    for _ in range(20):
        one, other = (random.normal(size=each.shape) * 0.05 for each in (fitted.steps, fitted.stops))
        assert loss(fitted.steps + one, fitted.stops + other) > best - 1e-3


def test_a_namer_that_says_nothing_is_the_prior() -> None:
    tree, *_ = small_pool()
    prior = prior_of(tree, np.array([TREE.find("A a")] * 3, np.int32))
    assert np.allclose(prior * 9, [1, 1, 4, 1, 1, 1])
    nothing = np.full((1, 6), -np.inf)
    assert np.allclose(with_doubt(nothing, prior), prior)
    sure = np.where(np.arange(6) == 5, 0.0, -np.inf)[None]
    assert np.allclose(with_doubt(sure, prior)[0], DOUBT * prior + (1 - DOUBT) * (np.arange(6) == 5))


def test_contradictions_are_answers_of_which_neither_is_above_the_other() -> None:
    a, aa, b, bc = (TREE.find(name) for name in ("A", "A a", "B", "B c"))
    one, other = np.array([a, aa, aa, 0, bc, aa]), np.array([aa, a, bc, b, b, b])
    assert disagree(TREE, one, other).tolist() == [False, False, True, False, False, True]


# ---------------------------------------------------------------------- the namer


def right_at(world: World, namer: object, block: Specimens, rank: str) -> float:
    """Share of the specimens whose most probable taxon at a rank is theirs."""
    predictions = namer.predict(block)  # type: ignore[attr-defined]
    nodes = world.taxonomy.at_rank(rank)
    best = nodes[predictions.log_p[:, nodes].argmax(axis=1)]
    return float((best == world.taxonomy.ancestor(predictions.truth, rank)).mean())


@pytest.mark.parametrize(("rows", "rank"), [("seen", "species"), ("unseen", "genus")])
def test_both_are_no_worse_than_the_better_one(world: World, fused: Fused, rows: str, rank: str) -> None:
    mask = getattr(world, rows)
    both = right_at(world, fused, world.specimens(mask), rank)
    alone = [right_at(world, fused, world.specimens(mask, **{kind: False}), rank) for kind in ("image", "dna")]
    assert both >= max(alone) - 0.02
    assert both > min(alone) + 0.05


def test_a_barcode_alone_is_named_as_the_namer_of_barcodes_names_it(world: World, fused: Fused) -> None:
    block = world.specimens(world.seen, image=False)
    predictions = fused.predict(block)
    own = Barcode.fit(world.gallery(world.known), _options()).predict(block)
    assert np.allclose(predictions.log_p, own.log_p, atol=1e-5)
    assert set(predictions.columns["evidence"].to_pylist()) == {"dna"}  # type: ignore[index]


def _options():  # type: ignore[no-untyped-def]
    from biocosmos.identify.namer import FitOptions

    return FitOptions()


def test_a_row_says_by_what_it_was_named(world: World, identifier: Identifier) -> None:
    rows = np.flatnonzero(world.seen)[:6]
    block = world.specimens(rows)
    assert block.vectors is not None and block.barcodes is not None
    vectors, letters = block.vectors.copy(), block.barcodes.copy()
    vectors[0] = 0
    letters[1], letters[2], letters[3] = None, "", "NNNNNNNNNNNNNNNNNNNN"
    mixed = Specimens(block.ids, vectors=vectors, barcodes=letters)
    table = next(iter(identifier.stream([mixed]))).table
    assert table["evidence"].to_pylist() == ["dna", "image", "image", "image", "image+dna", "image+dna"]
    assert table["disagree"].null_count == 4
    assert table["set"].null_count == 0
    alone = next(iter(identifier.stream([world.specimens(rows[1:2], dna=False)]))).table
    for column in ("taxon", "novelty_p", "image_says"):
        assert table[column][1].as_py() == alone[column][0].as_py()
    assert table["confidence"][1].as_py() == pytest.approx(alone["confidence"][0].as_py(), abs=1e-6)
    assert table["neighbours"][1].as_py() == table["nearest_images"][1].as_py()
    assert table["nearest_images"][0].as_py() == []
    assert len(table["nearest_images"][4].as_py()) == 5 and len(table["neighbours"][4].as_py()) == 5


def test_specimens_without_either_are_refused(world: World, fused: Fused) -> None:
    block = world.specimens(np.flatnonzero(world.seen)[:2], dna=False)
    assert block.vectors is not None
    with pytest.raises(BiocosmosError, match="neither a vector of an image nor a barcode"):
        fused.predict(Specimens(block.ids, vectors=block.vectors * np.array([[1], [0]], np.float32)))


def test_swapped_barcodes_are_told(world: World, identifier: Identifier) -> None:
    """A barcode of another order is a contradiction more often than one's own is."""
    rows = np.flatnonzero(world.seen)
    block = world.specimens(rows)
    order = world.taxonomy.ancestor(world.taxa[rows], "order")
    other = np.array([np.flatnonzero(order != mine)[0] for mine in order])
    assert block.barcodes is not None
    swapped = Specimens(block.ids, vectors=block.vectors, barcodes=block.barcodes[other])
    tables = [next(iter(identifier.stream([each]))).table for each in (block, swapped)]
    honest, mixed = (np.mean(table["disagree"].to_pylist()) for table in tables)
    assert honest < 0.05 and mixed > 0.3
    for row in tables[1].to_pylist():
        if row["disagree"]:
            assert row["image_says"] != row["dna_says"]


def test_it_is_kept_and_read_again(world: World, identifier: Identifier, tmp_path: Path) -> None:
    again = Identifier.load(identifier.save(tmp_path / "fused"))
    assert again.namer.about()["digest"] == identifier.namer.about()["digest"]
    rows = np.flatnonzero(world.unseen)[:20]
    for kinds in ({}, {"image": False}, {"dna": False}):
        block = world.specimens(rows, **kinds)
        one, other = (next(iter(each.stream([block]))).table for each in (identifier, again))
        assert one.equals(other)
    assert set(again.alone) == {"image", "dna"}


def test_a_gallery_of_the_asked_is_named_row_by_row(world: World, identifier: Identifier) -> None:
    rows = np.flatnonzero(world.seen)[:8]
    mask = np.zeros(len(world.ids), np.bool_)
    mask[rows] = True
    dna = np.ones(len(world.ids), np.bool_)
    dna[rows[:3]] = False
    table = identifier.identify(world.gallery(mask, dna=dna))
    assert sorted(table["evidence"].to_pylist()) == ["image"] * 3 + ["image+dna"] * 5
    with pytest.raises(BiocosmosError, match="takes vectors and barcodes"):
        identifier.identify((["x"], world.vectors[:1]))


def test_the_promise_is_kept_for_known_and_unknown(world: World, identifier: Identifier) -> None:
    from biocosmos.identify.confidence.promises import is_wrong
    from biocosmos.taxonomy.names import find_name

    for mask in (world.seen, world.unseen):
        block = world.specimens(mask)
        table = next(iter(identifier.stream([block]))).table
        nodes = np.array([0 if each is None else find_name(world.taxonomy, each) for each in table["taxon"].to_pylist()])
        assert is_wrong(world.taxonomy, nodes, block.truth).mean() < 0.2  # type: ignore[arg-type]
    assert identifier.promise is not None and len(identifier.promise.groups) == 2


# ---------------------------------------------------------------------- bad input


def test_where_only_some_have_both(world: World) -> None:
    random = np.random.default_rng(3)
    image, dna = random.random(len(world.ids)) < 0.7, random.random(len(world.ids)) < 0.7
    rows = world.known & (image | dna)
    made = Identifier.fit(world.gallery(rows, image=image, dna=dna), method="fused", threshold=0.8)
    table = next(iter(made.stream([world.specimens(world.seen)]))).table
    assert table["evidence"].to_pylist() == ["image+dna"] * int(world.seen.sum())


@pytest.mark.parametrize("what", ["no barcode", "no image", "no pair", "no column"])
def test_nothing_to_learn_from_is_said(world: World, what: str) -> None:
    n = len(world.ids)
    none, half = np.zeros(n, np.bool_), np.arange(n) % 2 == 0
    kinds = {"no barcode": {"dna": none}, "no image": {"image": none}, "no pair": {"image": half, "dna": ~half}}.get(what, {})
    gallery = world.gallery(world.known, **kinds)
    if what == "no column":
        gallery.columns = None
    words = {"no barcode": "DNA barcode", "no image": "vector of an image", "no pair": "together", "no column": "no column"}
    with pytest.raises(BiocosmosError, match=words[what]):
        Identifier.fit(gallery, method="fused")


def test_one_specimen_with_both_is_enough_to_name(world: World) -> None:
    """Weights are those of independent opinions then, and nothing is promised."""
    n = len(world.ids)
    first = int(np.flatnonzero(world.known)[0])
    image, dna = np.arange(n) % 2 == 0, np.arange(n) % 2 == 1
    image[first] = dna[first] = True
    made = Identifier.fit(world.gallery(world.known, image=image, dna=dna), method="fused")
    assert any("calibrated" in note for note in made.notes)
    assert made.promise is None
    table = next(iter(made.stream([world.specimens(world.seen)]))).table
    assert len(table) == int(world.seen.sum())


def test_a_contradiction_is_named_no_deeper_than_both_agree(world: World, identifier: Identifier) -> None:
    rows = np.flatnonzero(world.seen)
    block = world.specimens(rows)
    assert block.barcodes is not None
    swapped = Specimens(block.ids, vectors=block.vectors, barcodes=np.roll(block.barcodes, len(rows) // 2))
    table = next(iter(identifier.stream([swapped]))).table.to_pylist()
    ranks = [None, *world.taxonomy.ranks]
    parted = [row for row in table if row["disagree"]]
    assert parted
    for row in parted:
        assert ranks.index(row["rank"]) <= ranks.index(row["agree_down_to"])
