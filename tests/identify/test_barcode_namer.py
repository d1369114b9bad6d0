"""The namer of barcodes: known species are named, unknown ones rolled back, and what is promised holds for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.simulate import RANKS, simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import Promise, is_wrong
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import FitOptions, Specimens
from biocosmos.identify.namers.barcode import Barcode
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy


class World:
    """Simulated barcodes: every sixth species is unknown, of the others a third of the specimens is asked about."""

    def __init__(self, seed: int = 0, species: int = 120, specimens: int = 700) -> None:
        self.table = simulate_barcodes(seed=seed, species=species, specimens=specimens)
        self.ids = np.array(self.table["id"].to_pylist(), object)
        self.letters = np.array(self.table["barcode"].to_pylist(), object)
        ranks = self.table.select(RANKS)
        self.taxonomy = Taxonomy.from_table(ranks)
        self.taxa = np.asarray(self.taxonomy.index(ranks), np.int32)
        names = np.unique(self.taxa)
        random = np.random.default_rng(seed)
        unknown = np.isin(self.taxa, random.permutation(names)[: len(names) // 6])
        asked = random.random(len(self.ids)) < 1 / 3
        known_letters = set(self.letters[~unknown & ~asked])
        new = np.array([each not in known_letters for each in self.letters])
        self.known, self.unseen = ~unknown & ~asked, unknown & new
        self.seen = ~unknown & asked & new & np.isin(self.taxa, self.taxa[self.known])

    def gallery(self, rows: np.ndarray) -> Gallery:
        letters = self.letters[rows].tolist()
        columns = pa.table({"barcode": letters, "dna_bin": self.table["dna_bin"].to_numpy(zero_copy_only=False)[rows].tolist()})
        facts = {"encoder": {"name": "kmer:7", "digest": "7"}}
        return Gallery.build(
            self.ids[rows],
            KmerCounts.of(letters, 7),
            taxa=self.taxa[rows],
            taxonomy=self.taxonomy,
            columns=columns,
            provenance=facts,
        )

    def specimens(self, rows: np.ndarray) -> Specimens:
        return Specimens(self.ids[rows], truth=self.taxa[rows], barcodes=self.letters[rows])


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def identifier(world: World) -> Identifier:
    return Identifier.fit(world.gallery(world.known), method="barcode", error_rate=0.1, promise="mean")


def answers(identifier: Identifier, block: Specimens) -> tuple[Predictions, pa.Table]:
    predictions = identifier.namer.predict(block)
    return predictions, identifier.answered(predictions).table


def right_at(world: World, predictions: Predictions, rank: str) -> float:
    """Share of the specimens whose most probable taxon at a rank is theirs."""
    nodes = world.taxonomy.at_rank(rank)
    nodes = nodes[np.isfinite(predictions.log_p[:, nodes]).any(axis=0)]
    best = nodes[predictions.log_p[:, nodes].argmax(axis=1)]
    return float((best == world.taxonomy.ancestor(predictions.truth, rank)).mean())


def test_known_species_are_named(world: World, identifier: Identifier) -> None:
    predictions, table = answers(identifier, world.specimens(world.seen))
    assert right_at(world, predictions, "species") > 0.95
    assert table["rank"].to_pylist().count("species") > 0.6 * len(table)


def test_unknown_species_are_rolled_back(world: World, identifier: Identifier) -> None:
    predictions, table = answers(identifier, world.specimens(world.unseen))
    ranks = table["rank"].to_pylist()
    assert ranks.count("species") < 0.2 * len(table)
    assert right_at(world, predictions, "family") > 0.85
    assert sum(rank in ("genus", "family") for rank in ranks) > 0.5 * len(table)
    novel = [one for one in table["novel"].to_pylist() if one]
    assert len(novel) > 0.5 * len(table)


def test_probabilities_are_those_of_a_tree(world: World, identifier: Identifier) -> None:
    predictions = identifier.namer.predict(world.specimens(world.seen).rows(slice(0, 40)))
    p = np.exp(predictions.log_p.astype(np.float64))
    assert np.allclose(p[:, 0], 1)
    for rank in ("class", "family", "species"):
        assert (p[:, world.taxonomy.at_rank(rank)].sum(axis=1) <= 1 + 1e-5).all()
    genus = int(world.taxonomy.ancestor(predictions.truth[0], "genus"))
    below = [node for node in world.taxonomy.at_rank("species") if world.taxonomy.parent[node] == genus]
    own = np.exp(predictions.logits[0].astype(np.float64) - np.logaddexp.reduce(predictions.logits[0].astype(np.float64)))
    assert np.isclose(p[0, genus], p[0, below].sum() + own[np.searchsorted(predictions.classes, genus)], atol=1e-6)


def test_evidence_shows_identity_and_length(world: World, identifier: Identifier) -> None:
    rows = np.flatnonzero(world.seen)[:5]
    _, table = answers(identifier, world.specimens(rows))
    letters = dict(zip(world.ids.tolist(), world.letters.tolist(), strict=True))
    bins = dict(zip(world.ids.tolist(), world.table["dna_bin"].to_pylist(), strict=True))
    for row in table.to_pylist():
        nearest = row["neighbours"][0]
        assert row["nearest_bin"] == bins[nearest["id"]]
        a, b = letters[row["id"]], letters[nearest["id"]]
        if len(a) == len(b):
            both = [(x, y) for x, y in zip(a, b, strict=True) if "N" not in (x, y)]
            assert row["alignment_length"] == len(both)
            assert row["identity"] == pytest.approx(100 * sum(x == y for x, y in both) / len(both), abs=1e-3)
            assert nearest["score"] == pytest.approx(row["identity"] / 100, abs=1e-5)


def test_the_promise_is_told_for_known_and_unknown_apart(identifier: Identifier) -> None:
    assert identifier.promise is not None
    names = [group.name for group in identifier.promise.groups]
    assert names == ["known taxa", "taxa that were hidden whole"]
    assert "for each of these by itself" in identifier.describe()
    assert sum("held-out specimens of" in note for note in identifier.notes) == 2
    again = Promise.from_dict(identifier.promise.to_dict())
    assert again == identifier.promise


def test_the_promise_is_kept_over_many_seeds() -> None:
    """Wrong answers among all of many worlds: were the true share 10 %, as many as this would come once in 1,000 times."""
    alpha, wrong, asked = 0.1, {"seen": 0, "unseen": 0}, {"seen": 0, "unseen": 0}
    for seed in range(5):
        world = World(seed=seed + 10, species=70, specimens=350)
        made = Identifier.fit(world.gallery(world.known), method="barcode", error_rate=alpha, promise="mean", seed=seed)
        for name, rows in (("seen", world.seen), ("unseen", world.unseen)):
            predictions, table = answers(made, world.specimens(rows))
            nodes = [
                0 if taxon is None else int(world.taxonomy.find(f"{rank}:{taxon}"))
                for taxon, rank in zip(table["taxon"].to_pylist(), table["rank"].to_pylist(), strict=True)
            ]
            wrong[name] += int(is_wrong(world.taxonomy, np.array(nodes), predictions.truth).sum())
            asked[name] += len(table)
    # unseen specimens come by species, of which each has several: an error of one is often an error of all of them
    together = {"seen": 1, "unseen": 4}
    for name, count in wrong.items():
        size = asked[name] // together[name]
        assert count / together[name] <= binom.isf(0.001, size, alpha), (name, count, asked[name])


def test_saved_and_loaded_gives_the_same_answers(world: World, identifier: Identifier, tmp_path: Path) -> None:
    again = Identifier.load(identifier.save(tmp_path / "kept"))
    block = world.specimens(np.flatnonzero(world.seen | world.unseen)[:60])
    assert answers(again, block)[1].equals(answers(identifier, block)[1])
    assert again.describe() == identifier.describe()
    assert again.known is not None and again.known.counts is not None and identifier.known is not None
    assert np.array_equal(again.known.counts.codes, identifier.known.counts.codes)  # type: ignore[union-attr]


def test_what_it_was_fitted_on_is_refused(world: World, identifier: Identifier) -> None:
    with pytest.raises(BiocosmosError, match="queries are among the specimens"):
        answers(identifier, world.specimens(np.flatnonzero(world.known)[:3]))


def test_a_stream_is_named_block_by_block(world: World, identifier: Identifier) -> None:
    rows = np.flatnonzero(world.seen)[:30]
    whole = answers(identifier, world.specimens(rows))[1]
    parts = [said.table for said in identifier.stream(world.specimens(rows[i : i + 7]) for i in range(0, 30, 7))]
    assert pa.concat_tables(parts).equals(whole)


def test_without_letters_nothing_is_said(world: World, identifier: Identifier) -> None:
    block = Specimens(np.array(["a", "b", "c"], object), barcodes=np.array(["NNNNNNNN", None, "ACG"], object))
    table = identifier.answered(identifier.namer.predict(block)).table
    assert table["taxon"].to_pylist() == [None] * 3


def test_within_and_taxa_narrow_the_answers(world: World) -> None:
    gallery = world.gallery(world.known)
    family = int(world.taxonomy.ancestor(gallery.taxa, "family")[0])  # type: ignore[arg-type]
    made = Identifier.fit(gallery, method="barcode", within=family)
    table = answers(made, world.specimens(world.seen))[1]
    name = str(world.taxonomy.names[family])
    assert {one for one in table["family"].to_pylist() if one is not None} <= {name}


def test_refusals(world: World) -> None:
    gallery = world.gallery(world.known)
    bare = Gallery.build(gallery.ids, gallery.counts, taxa=gallery.taxa, taxonomy=world.taxonomy)
    with pytest.raises(BiocosmosError, match="these specimens come without"):
        Barcode.fit(bare, FitOptions())
    with pytest.raises(BiocosmosError, match="has no class_weight"):
        Identifier.fit(gallery, method="barcode", class_weight="balanced")
    with pytest.raises(BiocosmosError, match="does not go with the method 'barcode'"):
        Identifier.fit(gallery, method="barcode", novelty="mahalanobis")
    with pytest.raises(BiocosmosError, match="takes barcodes, and these specimens come without"):
        Barcode.fit(gallery, FitOptions()).predict(Specimens(gallery.ids[:1]))


@pytest.mark.parametrize("method", ["nearest", "simpleshot"])
def test_methods_of_vectors_take_kmers(method: str) -> None:
    world = World(species=30, specimens=150)
    made = Identifier.fit(world.gallery(world.known), method=method, threshold=0.5)
    table = made.identify(world.gallery(world.seen))
    truth = dict(zip(world.ids.tolist(), world.table["species"].to_pylist(), strict=True))
    assert np.mean([truth[row["id"]] == row["species"] for row in table.to_pylist()]) > 0.9
