"""What a comparison says of taxa, groups and training images, checked in plain loops."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.correlation import rank_correlation
from biocosmos.identify.namers.rules import RULES, NeighbourRule
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

SPECIES = 12
TREE = pa.table({"genus": [f"G{s // 3}" for s in range(SPECIES)], "species": [f"s{s}" for s in range(SPECIES)]})


def part(noise: float, n: int, prefix: str, seed: int) -> Gallery:
    """Specimens of 12 species in 4 genera at two sites; every fourth has no species, and a rare species has few."""
    rng = np.random.default_rng(seed)
    species = rng.integers(0, SPECIES, n) ** 2 // SPECIES
    named = np.arange(n) % 4 > 0
    table = pa.table(
        {"genus": [f"G{s // 3}" for s in species], "species": [f"s{s}" if known else None for s, known in zip(species, named)]}
    )
    x = np.eye(SPECIES)[species] + noise * np.random.default_rng(seed + int(100 * noise)).normal(size=(n, SPECIES))
    columns = pa.table({"site": [f"site {s % 2}" for s in species]})
    provenance = {"encoder": f"noise {noise}", "digest": f"d{noise}", "split": {"hash": "h"}}
    ids = [f"{prefix}{i}" for i in range(n)]
    return Gallery.build(ids, x, table=table, taxonomy=Taxonomy.from_table(TREE), columns=columns, provenance=provenance)


@pytest.fixture(scope="module")
def sides() -> tuple[dict[str, Gallery], dict[str, Gallery]]:
    return {f"n{x}": part(x, 150, "g", 1) for x in (0.7, 0.4)}, {f"n{x}": part(x, 90, "q", 2) for x in (0.7, 0.4)}


@pytest.fixture(scope="module")
def report(sides) -> evaluate.Report:
    return evaluate.compare(*sides, groups=["site", "genus"], rules=RULES, ks=(1, 5), bootstrap=200)


def name_at(gallery: Gallery, rank: str) -> list[str | None]:
    nodes = gallery.taxonomy.ancestor(gallery.taxa, rank)
    return [None if node < 0 else str(gallery.taxonomy.names[node]) for node in nodes]


def shares(gallery: Gallery, queries: Gallery, target: str, by: str, site: str | None = None) -> dict[str, float]:
    """Share of each taxon of ``by`` whose queries' nearest gallery row is of their own taxon at ``target``."""
    truth, found, home = name_at(queries, target), name_at(gallery, target), name_at(queries, by)
    sites = queries.columns["site"].to_pylist()
    scores = queries.vectors.astype(np.float64) @ gallery.vectors.T.astype(np.float64)
    right: dict[str, list[bool]] = {}
    for i, (mine, taxon) in enumerate(zip(truth, home)):
        if mine is None or taxon is None or mine not in found or (site is not None and sites[i] != site):
            continue
        right.setdefault(taxon, []).append(found[int(np.argmax(scores[i]))] == mine)
    return {taxon: float(np.mean(hits)) for taxon, hits in right.items()}


@pytest.mark.parametrize("target, by, words", [
    ("species", "species", "species retrieval"),
    ("genus", "genus", "genus retrieval"),
    ("species", "genus", "species recall by genus"),
])  # fmt: skip
@pytest.mark.parametrize("site", [None, "site 1"])
def test_means_and_medians_over_taxa_in_each_group(report, sides, target, by, words, site):
    galleries, queries = sides
    before, after = (shares(galleries[n], queries[n], target, by, site) for n in ("n0.7", "n0.4"))
    (row,) = report.rows("spread", measure=words, k=1, value_of_group=site or "all")
    assert (row["target"], row["averaged_over"], row["taxa"]) == (target, by, len(before))
    assert row["baseline_mean"] == pytest.approx(np.mean(list(before.values())))
    assert row["baseline_median"] == pytest.approx(np.median(list(before.values())))
    assert row["mean"] == pytest.approx(np.mean(list(after.values())))
    assert row["median"] == pytest.approx(np.median(list(after.values())))
    assert row["gain"] == pytest.approx(np.mean([after[t] - before[t] for t in before]))
    assert row["low"] <= row["gain"] <= row["high"]
    assert row["improved"] == sum(after[t] > before[t] for t in before)


def test_genus_recall_both_ways_differs_and_a_rank_may_be_the_group(report):
    genus, species = (
        report.rows("spread", measure=m, k=1, group="all")[0] for m in ("genus retrieval", "species recall by genus")
    )
    assert genus["baseline_mean"] > species["baseline_mean"]
    values = {row["value_of_group"] for row in report.rows("spread", group="genus", target="species")}
    assert values == {"G0", "G1", "G2", "G3"}
    assert [row["target"] for row in report.rows("answerable")] == ["genus", "species", "site"]  # the rank is not counted twice


def test_the_most_and_least_improved_are_the_ends_of_the_list_of_gains(report, sides):
    galleries, queries = sides
    before, after = (shares(galleries[n], queries[n], "species", "species") for n in ("n0.7", "n0.4"))
    counts = {t: name_at(queries["n0.7"], "species").count(t) for t in before}
    gains = sorted((after[t] - before[t] for t in before if counts[t] >= 5), reverse=True)
    rows = report.rows("extremes", measure="species retrieval")
    top, bottom = ([r["gain"] for r in rows if r["direction"] == d] for d in ("most improved", "least improved"))
    assert top == pytest.approx(gains[:5])
    assert bottom == pytest.approx(gains[::-1][: len(bottom)])
    assert not {r["taxon"] for r in rows[:5]} & {r["taxon"] for r in rows[5:]}
    for row in rows:
        assert row["training"] == name_at(galleries["n0.7"], "species").count(row["taxon"])


def test_training_images_are_counted_at_every_rank_from_the_taxa_given(sides):
    galleries, queries = sides
    train = galleries["n0.7"]
    found = evaluate.compare(queries, training=train.taxa, bootstrap=50)
    assert found.provenance["training_counts"] == "given"
    for row in found.rows("per_taxon", k=1):
        assert row["training"] == name_at(train, row["target"]).count(row["taxon"])
    (rho,) = found.rows("training", target="species", k=1, of="gain", group="all")
    rows = found.rows("per_taxon", target="species", k=1)
    assert rho["spearman"] == pytest.approx(stats.spearmanr([r["training"] for r in rows], [r["gain"] for r in rows])[0])
    assert rho["low"] <= rho["spearman"] <= rho["high"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5)), min_size=3, max_size=40))
@settings(max_examples=40, deadline=None)
def test_rank_correlation_is_scipys_and_its_interval_holds_it(pairs):
    a, b = np.array(pairs, dtype=float).T
    found = rank_correlation(a, b, Bootstrap(100))
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert found is None
        return
    assert found.value == pytest.approx(stats.spearmanr(a, b)[0])
    assert -1 <= found.low <= found.high <= 1 or np.isnan(found.low)


def test_the_interval_for_many_taxa_agrees_with_the_bootstrap(monkeypatch):
    rng = np.random.default_rng(0)
    a = rng.normal(size=1500)
    b = 0.4 * a + rng.normal(size=1500)
    drawn = rank_correlation(a, b, Bootstrap(400))
    monkeypatch.setattr("biocosmos.evaluate.numbers.correlation.BOOTSTRAPPED", 100)
    closed = rank_correlation(a, b, Bootstrap(400))
    assert closed[0] == drawn[0]
    assert closed[1:] == pytest.approx(drawn[1:], abs=0.02)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("target", ["species", "genus", "site"])
def test_every_rule_names_as_the_identifiers_rule_does(report, sides, rule, target):
    """The oracle scores each class from all its members, with identify's rule on the rows that have a name."""
    for name, side in sides[0].items():
        queries = sides[1][name]
        labels = [g.columns["site"].to_pylist() if target == "site" else name_at(g, target) for g in (side, queries)]
        known = sorted({label for label in labels[0] if label is not None})
        rows = sorted((i for i, label in enumerate(labels[0]) if label is not None), key=lambda i: known.index(labels[0][i]))
        codes = np.array([known.index(labels[0][i]) for i in rows], dtype=np.int32)
        best = NeighbourRule(rule, side.vectors[rows], codes).scores(queries.vectors).argmax(axis=1)
        asked = [i for i, label in enumerate(labels[1]) if label in known]
        right = np.mean([known[best[i]] == labels[1][i] for i in asked])
        (row,) = report.rows("rules", encoder=name, target=target, finder=rule, over="answerable", average="micro")
        assert (row["value"], row["queries"]) == (pytest.approx(right), len(asked))
    rows = report.rows("rule_differences", target=target, finder=rule, over="answerable", average="micro")
    values = [
        report.rows("rules", encoder=n, target=target, finder=rule, over="answerable", average="micro")[0] for n in sides[0]
    ]
    assert rows[0]["value"] == pytest.approx(values[1]["value"] - values[0]["value"])


def test_rules_need_queries(sides):
    with pytest.raises(BiocosmosError, match="rules need queries"):
        evaluate.compare(sides[0], rules=RULES)


def test_two_protocols_on_one_page_are_told_apart(report, sides, tmp_path):
    alone = evaluate.compare(sides[1], groups=["site"], bootstrap=50)
    both = evaluate.combine(report, alone, names=["test against train", "test all-vs-all"])
    assert both.table("test all-vs-all_summary").equals(alone.table())
    page = both.html(tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("Test against train: how good is each?", "Test all-vs-all: how good is each?", "species recall by genus"):
        assert words in page
    assert page.count("which taxa gained and lost most with n0.4?") == 2  # the section and its link, of the first protocol
    assert "Which rule names best" not in alone.html(tmp_path / "one.html").read_text(encoding="utf-8")
    labels = [line["what"] for line in both.headlines()]
    assert len(labels) == len(set(labels))
