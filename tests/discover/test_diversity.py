"""Diversity, how samples differ, ordination, and how sure it all is: golden values, scikit-bio as the oracle, properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biocosmos.discover.communities import Community
from biocosmos.discover.communities.diversity import bray_curtis, chao1, coverage, hill, rarefied, richness, shannon, simpson
from biocosmos.discover.communities.grouping import Grouped
from biocosmos.discover.communities.indices import distances, diversity_table
from biocosmos.discover.communities.ordination import ordinate
from biocosmos.discover.communities.uncertainty import Confusion, behind, doubt_of
from biocosmos.errors import BiocosmosError

# The lead's golden values (facts, place_time.md §4).
A = np.array([10, 6, 3, 1, 1, 1, 2, 0, 0, 25])
B = np.array([4, 6, 0, 0, 1, 0, 3, 5, 1, 12])
COUNTS = arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 60)).filter(lambda a: a.sum() > 0)


def test_golden_values() -> None:
    assert shannon(A) == pytest.approx(1.46466857, abs=1e-8) and simpson(A) == pytest.approx(0.67638484, abs=1e-8)
    assert hill(A, 1) == pytest.approx(4.326109, abs=1e-6) and hill(A, 2) == pytest.approx(3.090090, abs=1e-6)
    assert chao1(A) == 9.5 and chao1(A, corrected=False) == 12.5 and richness(A) == hill(A, 0) == 8
    assert [float(rarefied(A, m)) for m in (5, 10, 20)] == pytest.approx([2.953828, 4.175190, 5.644517], abs=1e-6)
    assert coverage(A) == pytest.approx(0.939614, abs=1e-6)
    assert bray_curtis([A, B])[0, 1] == pytest.approx(0.38271605, abs=1e-8)
    assert bray_curtis([A / A.sum(), B / B.sum()])[0, 1] == pytest.approx(0.31632653, abs=1e-8)


def test_scikit_bio_says_the_same() -> None:
    alpha = pytest.importorskip("skbio.diversity.alpha")
    from skbio.diversity import beta_diversity
    from skbio.stats.ordination import pcoa

    rng = np.random.default_rng(0)
    table = rng.poisson(rng.gamma(0.4, 12, (9, 14))) + np.eye(9, 14, dtype=int)
    for row in table:
        assert shannon(row) == pytest.approx(alpha.shannon(row, base=np.e))
        assert simpson(row) == pytest.approx(alpha.simpson(row))
        assert hill(row, 2) == pytest.approx(alpha.inv_simpson(row))
        assert hill(row, 1.5) == pytest.approx(alpha.hill(row, order=1.5))
        assert chao1(row) == pytest.approx(alpha.chao1(row))
    apart = bray_curtis(table)
    assert apart == pytest.approx(beta_diversity("braycurtis", table).data)
    mine, theirs = ordinate(apart, "pcoa"), pcoa(apart, method="eigh", number_of_dimensions=2)
    assert np.abs(mine.axes) == pytest.approx(np.abs(theirs.samples.to_numpy()), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_properties_of_diversity(counts: np.ndarray) -> None:
    s, d1, d2 = float(richness(counts)), float(hill(counts, 1)), float(hill(counts, 2))
    assert 1 - 1e-9 <= d2 <= d1 + 1e-9 and d1 <= s + 1e-9
    assert hill(np.tile(counts, 2), 1) == pytest.approx(2 * d1)  # two communities without a common taxon are twice as diverse
    assert 0 <= coverage(counts) <= 1 and chao1(counts) >= s
    n = int(counts.sum())
    assert rarefied(counts, n) == pytest.approx(s) and rarefied(counts, 1) == pytest.approx(1)
    assert np.isnan(rarefied(counts, n + 1)) and rarefied(counts, 0) == 0


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (4, 5), elements=st.floats(0, 1e6)))
def test_bray_curtis_is_a_dissimilarity(table: np.ndarray) -> None:
    apart = bray_curtis(table)
    for i, j in np.ndindex(4, 4):
        total = table[i].sum() + table[j].sum()
        if total == 0:
            assert np.isnan(apart[i, j])
        else:
            assert apart[i, j] == pytest.approx(np.abs(table[i] - table[j]).sum() / total, abs=1e-12) and apart[i, j] <= 1 + 1e-12


def test_what_is_empty_or_not_known() -> None:
    table = np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 1.0]])
    assert richness(table).tolist()[::2] == [0, 2] and np.isnan(richness(table)[1])
    for index in (shannon, simpson, coverage):
        assert np.isnan(index(table)).tolist() == [True, True, False]
    with pytest.raises(BiocosmosError, match="whole numbers"):
        chao1([0.5, 1])
    with pytest.raises(BiocosmosError, match="whole numbers"):
        rarefied([0.5, 1], 1)


def test_ordination_finds_places_and_refuses_few_samples() -> None:
    places = np.random.default_rng(0).normal(size=(8, 2))
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    for method in ("pcoa", "nmds"):
        axes = ordinate(apart, method).axes
        assert np.corrcoef(np.linalg.norm(axes[:, None] - axes, axis=2).ravel(), apart.ravel())[0, 1] > 0.999
    again = ordinate(np.sqrt(apart), "nmds", seed=3)
    assert np.array_equal(again.axes, ordinate(np.sqrt(apart), "nmds", seed=3).axes) and again.stress < 0.01
    with pytest.raises(BiocosmosError, match="it takes 3"):
        ordinate(apart[:2, :2])
    apart[0, 1] = np.nan
    with pytest.raises(BiocosmosError, match="not known"):
        ordinate(apart)


def grouped(group: list[int], taxon: list[int], shape: tuple[int, int], machine: bool = True) -> Grouped:
    names = [np.array([f"{kind}{i}" for i in range(n)], object) for kind, n in zip("st", shape)]
    counts = np.zeros(shape)
    np.add.at(counts, (group, taxon), 1)
    community = Community(*names, "label", counts, beside={"specimens": counts, "concentration": counts / 4}, predicted=machine)
    n = len(group)
    ones = np.full(n, 0.25)
    return Grouped(community, np.array(group), np.array(taxon), ones, ones, np.full(n, machine), np.zeros(shape[0], bool))


def test_intervals_hold_how_many_there_are() -> None:
    found = doubt_of(grouped([0] * 100 + [1], [0] * 90 + [1] * 10 + [0], (2, 3)), draws=400, seed=1)
    low, high = found.ends["low"], found.ends["high"]
    assert low[0, 0] == pytest.approx(90 - 1.96 * 90**0.5, abs=4) and high[0, 0] == pytest.approx(90 + 1.96 * 90**0.5, abs=4)
    assert found.ends["concentration_high"] == pytest.approx(high / 4) and (high[:, 2] == 0).all()
    again = doubt_of(grouped([0] * 100 + [1], [0] * 90 + [1] * 10 + [0], (2, 3)), draws=400, seed=1)
    assert np.array_equal(again.ends["low"], low)


def test_diversity_lies_in_its_own_interval() -> None:
    """Many taxa of few specimens: every draw misses some, so that all draws are less diverse than the sample."""
    of = grouped([0] * 60 + [1] * 10, [*range(30), *range(15), *range(15), *[0] * 10], (2, 30))
    found = doubt_of(of, draws=200)
    for name, value in (("D1", hill(of.community.counts, 1)), ("shannon", np.log(hill(of.community.counts, 1)))):
        low, high = found.indices[name]
        assert low[0] < value[0] < high[0] and low[1] == high[1] == pytest.approx(value[1])


def test_a_confusion_gives_the_true_taxa_behind_names() -> None:
    rates = np.array([[0.8, 0.2], [0.1, 0.9]])
    true = np.array([[30.0, 70.0], [100.0, 0.0]])
    assert behind(true @ rates, rates) == pytest.approx(true, abs=0.05)
    assert behind([[5.0, 3.0]], [[1.0, 0.0], [0.0, 0.0]]).tolist() == [[5.0, 3.0]]  # a name that no taxon is given stays
    names = [0] * 31 + [1] * 69  # what 30 and 70 are called
    of = grouped([0] * 100, names, (1, 2))
    found = doubt_of(of, confusion=Confusion(np.array([[80.0, 20.0, 0.0], [10.0, 90.0, 0.0]])), draws=200)
    assert found.corrected is not None
    assert found.corrected["specimens"] == pytest.approx(np.array([[30.0, 70.0]]), abs=0.1)
    assert found.corrected["concentration"] == pytest.approx(np.array([[7.5, 17.5]]), abs=0.1)
    plain = doubt_of(of, draws=200)
    width = [each.ends["high"][0, 0] - each.ends["low"][0, 0] for each in (found, plain)]
    assert width[0] > width[1] and found.ends["low"][0, 0] < 30 < found.ends["high"][0, 0]
    # Half of the first taxon has no name: 20 named and 20 without are 40.
    hidden = replace(grouped([0] * 50, [0] * 20 + [1] * 30, (1, 2)), unnamed=(np.zeros(20, int), np.full(20, 0.25), np.zeros(20)))
    found = doubt_of(hidden, confusion=Confusion(np.array([[50.0, 0.0, 50.0], [0.0, 100.0, 0.0]])), draws=50)
    assert found.corrected is not None and found.corrected["specimens"] == pytest.approx(np.array([[40.0, 30.0]]), abs=0.1)
    assert found.corrected["concentration"] == pytest.approx(np.array([[10.0, 7.5]]), abs=0.1)
    assert found.ends["low"][0, 0] < 40 < found.ends["high"][0, 0]
    by_people = doubt_of(grouped([0] * 100, names, (1, 2), machine=False), confusion=Confusion(np.eye(2, 3) * 50), draws=20)
    assert by_people.corrected is not None and by_people.corrected["specimens"].tolist() == [[31.0, 69.0]]


def test_samples_as_tables() -> None:
    table = np.array([[5.0, 3, 0], [0, 0, 0], [1, 0, 0]])
    names = [np.array([f"{kind}{i}" for i in range(3)], object) for kind in "st"]
    community = Community(*names, "label", table, beside={"specimens": table})
    rows = diversity_table(community, chao1=True).to_pylist()
    assert [row["richness"] for row in rows] == [2, 0, 1] and rows[1]["D1"] is None and rows[0]["rarefied_to"] == 1
    rows, apart, why = distances(community)
    assert rows.tolist() == [0, 2] and apart.shape == (2, 2) and "1 samples are empty" in why[0]


def test_without_any_taxon_nothing_is_diverse() -> None:
    assert np.isnan(hill(np.zeros((2, 0)), 1)).all() and np.isnan(hill(np.zeros((2, 0)), 2)).all()
