"""Encoders compared on one split: paired counts in plain loops, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery


def gallery(
    noise: float, *, n: int = 120, split: str = "h1", order: np.ndarray | None = None, keep: int | None = None, seed: int = 0
) -> Gallery:
    rng = np.random.default_rng(seed)
    species = rng.integers(0, 12, n)
    x = np.eye(12)[species] + noise * np.random.default_rng(int(noise * 100)).normal(size=(n, 12))
    table = pa.table({"genus": [f"G{s // 3}" for s in species], "species": [f"s{s}" for s in species]})
    columns = pa.table({"site": [f"site {s % 2}" for s in species]})
    rows = np.arange(n) if order is None else order
    rows = rows[:keep]
    whole = Gallery.build([f"i{i}" for i in range(n)], x, table=table, columns=columns)
    assert whole.taxa is not None
    return Gallery.build(
        whole.ids[rows],
        whole.vectors[rows],
        taxa=whole.taxa[rows],
        taxonomy=whole.taxonomy,
        columns=whole.columns.take(rows),
        provenance={"encoder": f"noise {noise}", "digest": f"d{noise}", "split": {"hash": split}},
    )


def naive_first_hit(gal: Gallery) -> list[bool]:
    scores = gal.vectors.astype(np.float64) @ gal.vectors.T.astype(np.float64)
    out = []
    for i in range(len(gal)):
        best = max((j for j in range(len(gal)) if j != i), key=lambda j: (scores[i, j], -j))
        out.append(bool(gal.taxa[best] == gal.taxa[i]))
    return out


def test_gains_and_losses_are_counted_query_by_query():
    good, bad = gallery(0.3), gallery(0.7)
    report = evaluate.compare({"bad": bad, "good": good}, groups=["site"])
    before, after = np.array(naive_first_hit(bad)), np.array(naive_first_hit(good))
    (row,) = report.rows("differences", target="species", k=1, over="all", average="micro")
    assert (row["gained"], row["lost"]) == ((after & ~before).sum(), (before & ~after).sum())
    assert row["value"] == pytest.approx(after.mean() - before.mean())
    assert 0 < row["low"] < row["value"] < row["high"]
    (macro,) = report.rows("differences", target="species", k=1, over="all", average="macro")
    taxa = [bad.taxa == t for t in np.unique(bad.taxa)]
    assert macro["value"] == pytest.approx(np.mean([after[t].mean() - before[t].mean() for t in taxa]))
    for line in report.rows("per_taxon", target="species", k=1):
        mine = np.array([bad.taxonomy.names[t] == line["taxon"] for t in bad.taxa])
        assert line["gain"] == pytest.approx(after[mine].mean() - before[mine].mean())
        assert line["baseline_hit"] == pytest.approx(before[mine].mean())
        assert line["low"] <= line["gain"] <= line["high"]
        assert line["group:site"] == f"site {int(line['taxon'][1:]) % 2}"
        assert line["training"] == mine.sum()
    inside = np.array([s == "site 1" for s in bad.columns.column("site").to_pylist()])
    (part,) = report.rows("by_group", value_of_group="site 1", target="species", k=1, over="all", average="micro")
    assert part["value"] == pytest.approx(after[inside].mean() - before[inside].mean())
    kinds = {line["kind"] for line in report.rows("examples")}
    assert kinds <= {"gained", "lost"} and "gained" in kinds


def test_the_order_of_rows_does_not_matter_but_the_specimens_do():
    one, other = gallery(0.3), gallery(0.7)
    shuffled = gallery(0.7, order=np.random.default_rng(3).permutation(120))
    plain, again = (evaluate.compare({"a": one, "b": b}) for b in (other, shuffled))
    assert plain.rows("differences") == again.rows("differences")
    with pytest.raises(BiocosmosError, match="not the same specimens"):
        evaluate.compare({"a": one, "b": gallery(0.7, keep=100)})
    with pytest.raises(BiocosmosError, match="two splits"):
        evaluate.compare({"a": one, "b": gallery(0.7, split="h2")})
    relabelled = gallery(0.7)
    relabelled.taxa = np.sort(np.where(relabelled.taxa == relabelled.taxa.max(), relabelled.taxa.min(), relabelled.taxa))
    with pytest.raises(BiocosmosError, match="different labels"):
        evaluate.compare({"a": one, "b": relabelled})
    with pytest.raises(BiocosmosError, match="at least two"):
        evaluate.compare({"a": one})


def test_queries_against_galleries_and_the_given_training_counts():
    parts = {}
    for noise in (0.3, 0.7):
        whole = gallery(noise)
        mask = np.arange(120) % 3 == 0
        parts[f"n{noise}"] = whole.subset(~mask), whole.subset(mask)
    galleries, queries = ({name: both[i] for name, both in parts.items()} for i in (0, 1))
    report = evaluate.compare(galleries, queries, training={f"s{i}": i + 1 for i in range(12)}, bootstrap=50)
    alone = {name: evaluate.retrieval(galleries[name], queries[name], bootstrap=50) for name in galleries}
    for row in report.rows(average="micro"):
        (same,) = alone[row["encoder"]].rows(target=row["target"], k=row["k"], over=row["over"], averaged_over="queries")
        assert {key: row[key] for key in same} == same
    assert {row["taxon"]: row["training"] for row in report.rows("per_taxon", target="species", k=1)} == {
        f"s{i}": i + 1 for i in range(12)
    }
    with pytest.raises(BiocosmosError, match="query ids are in the gallery"):
        evaluate.compare(galleries, galleries)
    with pytest.raises(BiocosmosError, match="pass both for every encoder"):
        evaluate.compare(galleries, {"n0.3": queries["n0.3"]})


def test_an_encoder_against_itself_changes_nothing_and_the_report_says_so():
    report = evaluate.compare({"a": gallery(0.7), "b": gallery(0.7)})
    assert all(row["value"] == row["low"] == row["high"] == 0 for row in report.rows("differences"))
    assert any("Not told apart from a" in caveat for caveat in report.caveats)
