"""What to label next: scores by their formulas, batches that differ, and a verb that begins from nothing."""

from __future__ import annotations

import csv
import math

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.discover.kept import read_kept
from biocosmos.discover.queues import STRATEGIES, queue
from biocosmos.discover.queues.batches import farthest_first, of_each, spread, typical
from biocosmos.discover.queues.scores import DECIDED, disagreement, margin, undecided_entropy
from biocosmos.discover.queues.strategies import EARLY
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.linear import LinearHead
from biocosmos.identify.predictions import Predictions
from biocosmos.jobs.discover.queue import queue_collection
from biocosmos.jobs.discover.queue_settings import QueueSettings
from biocosmos.search.gallery import Gallery
from biocosmos.search.kmeans import kmeans
from biocosmos.settings import SettingError
from biocosmos.specimens import by_hand
from biocosmos.taxonomy import Taxonomy

NAMES = (("A", "a1"), ("A", "a2"), ("B", "b1"), ("B", "b2"))


def predictions(p):
    """Predictions over two families of two species with these probabilities (n, 4)."""
    tree = Taxonomy.from_table(pa.table({"family": [f for f, _ in NAMES], "species": [s for _, s in NAMES]}))
    classes = np.array([tree.find(species) for _, species in NAMES], np.int32)
    logits = np.log(np.maximum(np.asarray(p, float), 1e-12)).astype(np.float32)
    ids = np.array([str(i) for i in range(len(p))], object)
    return Predictions(ids, tree, classes, logits, np.zeros((len(p), 2), np.float32), np.zeros(len(p), np.int32))


def galleries(known=60, unknown=80, taxa=4, seed=0):
    """Two galleries of one mixture of four species: with names and without."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(taxa, size=known + unknown)
    x = np.eye(12)[truth] + 0.25 * rng.normal(size=(len(truth), 12))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    table = pa.table({"family": [NAMES[t][0] for t in truth], "species": [NAMES[t][1] for t in truth]})
    tree = Taxonomy.from_table(table)
    ids = [f"s{i}" for i in range(len(truth))]
    nodes = tree.index(table)
    named = Gallery.build(ids[:known], x[:known], taxa=nodes[:known], taxonomy=tree)
    nameless = Gallery.build(ids[known:], x[known:], taxa=np.zeros(unknown, np.int32), taxonomy=tree)
    return nameless, named


def test_margin_is_one_minus_the_lead_of_the_likeliest():
    p = [[0.7, 0.1, 0.1, 0.1], [0.4, 0.4, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.97, 0.01, 0.01, 0.01]]
    np.testing.assert_allclose(margin(predictions(p)), [0.4, 1.0, 1.0, 0.04], atol=1e-6)


def test_entropy_is_that_of_the_coarsest_rank_that_is_not_decided():
    rows = [
        [0.4, 0.1, 0.4, 0.1],  # the family is a tie: two families
        [0.5, 0.45, 0.03, 0.02],  # the family is decided, the species is not
        [0.9, 0.05, 0.03, 0.02],  # all decided: entropy of the classes
    ]
    entropy = lambda *p: -sum(q * math.log(q) for q in p)  # noqa: E731
    wanted = [entropy(0.5, 0.5), entropy(0.5, 0.45, 0.03, 0.02), entropy(0.9, 0.05, 0.03, 0.02)]
    assert rows[1][0] + rows[1][1] > DECIDED
    np.testing.assert_allclose(undecided_entropy(predictions(rows)), wanted, atol=1e-5)


def test_farthest_first_is_the_greedy_cover_written_out():
    x = galleries()[0].vectors
    known = x[:3]
    rows, far = farthest_first(x, known, 10)
    chosen, wanted = [], []
    for _ in range(10):
        reached = [min(1 - float(row @ other) for other in [*known, *x[chosen]]) for row in x]
        best = max((i for i in range(len(x)) if i not in chosen), key=lambda i: (reached[i], -i))
        wanted.append(reached[best])
        chosen.append(best)
    assert rows.tolist() == chosen
    np.testing.assert_allclose(far, wanted, atol=1e-5)


def test_the_first_without_anything_known_is_in_the_middle():
    x = galleries()[0].vectors
    rows, far = farthest_first(x, x[:0], 2)
    assert rows[0] == np.argmax(x @ x.mean(axis=0)) and far[0] == 2
    assert rows[1] == np.argmin(x @ x[rows[0]])
    assert len(farthest_first(x[:0], x, 5)[0]) == 0


def test_typicality_begins_in_the_parts_where_nothing_is_named():
    rng = np.random.default_rng(1)
    part = np.repeat(np.arange(4), 25)
    x = (np.eye(8)[part] + 0.05 * rng.normal(size=(100, 8))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows, typicality = typical(x, x[:0], 4)
    assert sorted(part[rows]) == [0, 1, 2, 3]
    for row in rows:  # each is the member nearest to the mean of its part
        mine = np.flatnonzero(part == part[row])
        assert row == mine[np.argmax(x[mine] @ x[mine].mean(axis=0))]
    assert (typicality > 0.9).all()
    rest, named = x[part != 2], x[part == 2][:3]
    again, _ = typical(rest, named, 3)
    parts = kmeans(np.concatenate([rest, named]), 6, iterations=20, seed=0).labels
    free = [each for each in range(6) if each not in parts[75:]]
    largest = sorted(free, key=lambda each: (-int((parts == each).sum()), each))[:3]
    assert parts[again].tolist() == largest


@pytest.mark.parametrize("how", ["kmeans", "k-centre", "none"])
def test_a_batch_is_among_the_highest_and_never_of_what_has_no_score(how):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scores = rng.random(200)
    scores[:20] = np.nan
    rows = spread(x, scores, 10, how)
    best = list(np.argsort(-np.nan_to_num(scores, nan=-1), kind="stable"))
    assert len(set(rows)) == 10 and set(rows) <= set(best[:80]) and not set(rows) & set(range(20))
    assert scores[rows].tolist() == sorted(scores[rows], reverse=True)
    if how == "none":
        assert rows.tolist() == best[:10]
    else:  # a batch that is spread covers more than the highest ones do
        nearest = lambda chosen: (x[best[:80]] @ x[chosen].T).max(axis=1).mean()  # noqa: E731
        assert nearest(rows) > nearest(np.array(best[:10])) - 0.05
    copies = np.repeat(x[:1], 30, axis=0)
    assert len(set(spread(copies, np.ones(30), 5, how).tolist())) == 5  # all rows equal: still five different ones


def test_disagreement_is_out_of_fold():
    _, known = galleries(known=80)
    scores = disagreement(known, seed=0)[0]
    assert np.isfinite(scores).all() and ((scores >= 0) & (scores <= 1)).all()
    flipped = Gallery.build(
        known.ids, known.vectors, taxa=np.where(np.arange(80) == 7, known.taxa[-1], known.taxa), taxonomy=known.taxonomy
    )
    wrong = int(np.flatnonzero(flipped.ids == known.ids[7])[0])
    found = disagreement(flipped, seed=0)
    assert found[0].argmax() == wrong and found[1][wrong] == known.taxa[7]
    lonely = known.subset(
        np.concatenate([np.flatnonzero(known.taxa == known.taxa[0])[:1], np.flatnonzero(known.taxa != known.taxa[0])])
    )
    alone = int(np.flatnonzero(lonely.taxa == known.taxa[0])[0])
    assert np.isnan(disagreement(lonely, seed=0)[0][alone])  # no other of its taxon: nothing to judge it by


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_that_many_once_each_and_the_same_again(strategy):
    nameless, known = galleries()
    asked = known if strategy == "disagreement" else nameless
    number = 12 // 4 if strategy == "each" else 12  # of each of four taxa
    found = queue(strategy, asked, None if strategy == "disagreement" else known, number, seed=3)
    assert len(found) == 12 and len(set(found.table["id"].to_pylist())) == 12
    assert found.table.equals(queue(strategy, asked, known, number, seed=3).table)
    assert found.table["place"].to_pylist() == list(range(1, 13))
    assert len(queue(strategy, asked.subset(np.arange(5)), known, 12)) == 5 if strategy != "disagreement" else True
    assert found.provenance["strategy"] == strategy and found.provenance["known"] == len(known)


def test_adaptive_asks_a_head_once_it_knows_enough():
    nameless, known = galleries(known=EARLY)
    few = known.subset(np.arange(EARLY - 1))
    late, early = queue("adaptive", nameless, known, 9), queue("adaptive", nameless, few, 9)
    assert (late.provenance["chosen"], early.provenance["chosen"]) == ("margin", "typicality")
    assert late.table.equals(queue("margin", nameless, known, 9).table)
    assert early.table.equals(queue("typicality", nameless, few, 9).table)
    assert queue("adaptive", nameless, None, 3).provenance["chosen"] == "typicality"  # no label at all


def test_margin_of_the_queue_is_the_head_s():
    nameless, known = galleries()
    found = queue("margin", nameless, known, 5, diverse="none")
    z = LinearHead.fit(known.vectors, known.taxa).scores(nameless.vectors).astype(float)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    two = np.sort(p, axis=1)
    wanted = np.argsort(-(1 - two[:, -1] + two[:, -2]), kind="stable")[:5]
    assert found.table["id"].to_pylist() == nameless.ids[wanted].tolist()
    assert found.table["taxon"].to_pylist() == [str(known.taxonomy.names[np.unique(known.taxa)[i]]) for i in p[wanted].argmax(1)]


def test_what_cannot_be_queued_is_said():
    nameless, known = galleries()
    with pytest.raises(BiocosmosError, match="begin with one of adaptive, novelty, k-centre, typicality, random"):
        queue("margin", nameless, known.subset(known.taxa == known.taxa[0]))
    with pytest.raises(BiocosmosError, match="nothing to queue"):
        queue("random", nameless.subset(np.zeros(len(nameless), bool)), known)
    with pytest.raises(BiocosmosError, match="no strategy 'luck'"):
        queue("luck", nameless, known)
    with pytest.raises(BiocosmosError, match="two encoders"):
        queue("k-centre", nameless, Gallery.build(["x"], np.ones((1, 5)), taxa=[0], taxonomy=known.taxonomy))
    with pytest.raises(BiocosmosError, match="ask for at least 1"):
        queue("random", nameless, known, 0)
    with pytest.raises(BiocosmosError, match="no novelty detector 'odin'"):
        queue("novelty", nameless, known, 5, detector="odin")
    for strategy in ("adaptive", "novelty", "k-centre", "typicality", "random"):  # no label at all
        assert len(queue(strategy, nameless, None, 7)) == 7


def test_a_name_by_hand_leaves_the_queue(tiny_collection, tmp_path, biocosmos):
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", ids=np.array(ids), vectors=vectors)
    biocosmos("embed", tiny_collection.path, "--encoder", "theirs", "--from", tmp_path / "vectors.npz")
    biocosmos("discover", "queue", tiny_collection.path, fails=1)  # everything has a label
    page, table = tmp_path / "next.html", tmp_path / "next.csv"
    begin = ("discover", "queue", tiny_collection.path, "--relabel", "--strategy", "typicality")
    assert biocosmos(*begin, "-n", 9, "-o", table, "--report", page).startswith("place")
    with table.open() as file:
        first = [row["id"] for row in csv.DictReader(file)]
    assert page.read_text().count("data:image/jpeg") == 9
    assert read_kept(tiny_collection, "queue").table()["id"].to_pylist() == first
    by_hand.record(tiny_collection, {"id": first, "taxon": ["Copepoda"] * 5 + ["Hydrozoa"] * 4}, by="ada")
    again = queue_collection(tiny_collection, QueueSettings(strategy="margin", count=200, relabel=True))
    assert len(again) == len(ids) - 9 and not set(again.table["id"].to_pylist()) & set(first)
    assert set(again.table["taxon"].to_pylist()) <= {"Copepoda", "Hydrozoa"}


def test_settings_that_do_nothing_are_refused(embedded, biocosmos):
    assert "--diverse does nothing here" in biocosmos(
        "discover", "queue", embedded.path, "--strategy", "random", "--diverse", "none", fails=2
    )
    with pytest.raises(SettingError):
        QueueSettings(count=0)


def test_some_of_each_suggested_taxon_then_any():
    taxa = np.array([3, 3, 3, 3, 5, 5, 7])
    p = np.array([0.9, 0.2, 0.6, 0.4, 0.8, 0.3, 0.5], np.float32)
    rows = of_each(taxa, p, 2, 3)
    assert sorted(rows[:5].tolist()) == [0, 1, 4, 5, 6] and len(rows) == 6 and len(set(rows.tolist())) == 6
    assert of_each(taxa, p, 9, 3).tolist()[:1] == [0] and len(of_each(taxa, p, 9, 3)) == 7
