"""Geofences and checklists: what they take away, SpeciesNet's rule, polygons, and what is free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.places.fences import Checklist, Fences, Rule
from biocosmos.identify.places.placing import EXPONENTS, FLOORS, Known, Placing
from biocosmos.identify.places.polygons import Polygons
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.priors import Bandwidths, KernelPrior, combined
from biocosmos.places import Places
from biocosmos.taxonomy import Taxonomy

NAMES = pa.table(
    {
        "class": ["Mammalia"] * 4 + ["Aves"],
        "family": ["Felidae", "Felidae", "Canidae", "Canidae", "Corvidae"],
        "genus": ["Lynx", "Panthera", "Canis", "Vulpes", "Corvus"],
        "species": ["Lynx lynx", "Panthera leo", "Canis lupus", "Vulpes vulpes", "Corvus corax"],
    }
)
P = np.array([[0.35, 0.05, 0.25, 0.25, 0.10]])


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    taxonomy = Taxonomy.from_table(NAMES, ("class", "family", "genus", "species"))
    classes = taxonomy.index(NAMES)
    order = np.argsort(classes)
    return Predictions(
        np.array(["a"], object),
        taxonomy,
        classes[order],
        np.log(P[:, order]).astype(np.float32),
        np.zeros((1, 1), np.float32),
        np.zeros(1, np.int32),
    )


def p_of(predictions: Predictions) -> dict[str, float]:
    names = predictions.taxonomy.name(predictions.classes)
    return dict(zip(names, predictions.class_probabilities()[0], strict=True))


def apply(predictions: Predictions, *rules: Rule, place: Places | None = None, region: str | None = None, **how):
    bound = Fences(rules, **how).bound(predictions.taxonomy, Failures())
    return bound.apply(predictions, Places.nowhere(1) if place is None else place, [region])


NL, ZA = Places.one(country="NL"), Places.one(country="ZA")


def test_what_is_blocked_is_taken_away_and_the_rest_made_one(predictions: Predictions) -> None:
    found = apply(predictions, Rule("block", "Panthera", "NL", where="f.csv:2"), place=NL)
    assert p_of(found.predictions)["Panthera leo"] == 0
    assert p_of(found.predictions)["Lynx lynx"] == pytest.approx(0.35 / 0.95)
    assert found.said == [["f.csv:2: Panthera blocked in NL (p 0.050)"]]
    for free in (ZA, Places.nowhere(1)):  # elsewhere, and where nobody knows the country, it is the very same
        found = apply(predictions, Rule("block", "Panthera", "NL"), place=free)
        assert found.predictions is predictions and found.said == [[]]


def test_what_is_allowed_somewhere_is_blocked_elsewhere(predictions: Predictions) -> None:
    rules = (Rule("allow", "Felidae", "ZA"), Rule("allow", "Felidae", "BE"))
    assert apply(predictions, *rules, place=ZA).predictions is predictions
    found = apply(predictions, *rules, place=NL)
    assert p_of(found.predictions)["Lynx lynx"] == 0 and p_of(found.predictions)["Canis lupus"] == pytest.approx(0.25 / 0.6)
    assert apply(predictions, *rules).predictions is predictions


def test_regions(predictions: Predictions) -> None:
    us = Places.one(country="US")
    block, allow = Rule("block", "Lynx", "US", "CA"), Rule("allow", "Lynx", "US", "AK")
    assert p_of(apply(predictions, block, place=us, region="CA").predictions)["Lynx lynx"] == 0
    assert apply(predictions, block, place=us, region="AK").predictions is predictions
    assert apply(predictions, block, place=us).predictions is predictions  # which part of the country nobody said
    assert p_of(apply(predictions, allow, place=us, region="CA").predictions)["Lynx lynx"] == 0
    assert apply(predictions, allow, place=us).predictions is predictions


def test_speciesnets_rule(predictions: Predictions) -> None:
    """The lynx (.35) is blocked: families sum to Felidae .40, Canidae .50, Corvidae .10, so that the dog's family is said."""
    found = apply(predictions, Rule("block", "Lynx lynx", "NL"), place=NL, way="roll-up")
    assert predictions.taxonomy.name(int(found.through[0])) == "Canidae" and found.predictions is predictions
    found = apply(predictions, Rule("block", "Lynx lynx", "NL"), Rule("block", "Canidae", "NL"), place=NL, way="roll-up")
    assert predictions.taxonomy.name(int(found.through[0])) == "Felidae"  # not the genus
    found = apply(predictions, Rule("block", "Mammalia", "NL"), place=NL, way="roll-up")
    assert found.through[0] == -1 and found.cut[0] == -1  # the crow has less than the lynx at every rank: no answer
    found = apply(predictions, Rule("block", "Corvus", "NL"), place=NL, way="roll-up")
    assert found.through[0] == -1 and found.cut[0] == 4  # not the best name: SpeciesNet lets it be


def test_checklists(predictions: Predictions) -> None:
    own = Checklist((Rule("allow", "Canis"), Rule("allow", "Aves")), "list.csv")
    found = apply(predictions, checklists=(own,))
    assert p_of(found.predictions) == pytest.approx(
        {"Lynx lynx": 0, "Panthera leo": 0, "Canis lupus": 0.25 / 0.35, "Vulpes vulpes": 0, "Corvus corax": 0.1 / 0.35}
    )
    there = Checklist((Rule("allow", "Canis", "NL"), Rule("allow", "Felidae", "ZA")), "list.csv")
    assert p_of(apply(predictions, place=NL, checklists=(there,)).predictions)["Canis lupus"] == pytest.approx(1)
    assert p_of(apply(predictions, place=ZA, checklists=(there,)).predictions)["Canis lupus"] == 0
    assert apply(predictions, place=Places.one(country="BE"), checklists=(there,)).predictions is predictions
    nothing = apply(predictions, Rule("block", "Mammalia"), Rule("block", "Aves"))
    assert nothing.nothing[0] and nothing.cut[0] == -1


def test_names_that_the_tree_lacks_are_told(predictions: Predictions) -> None:
    failures = Failures()
    Fences((Rule("block", "Nemo", where="f.csv:7"), Rule("block", "Lynx"))).bound(predictions.taxonomy, failures)
    assert failures.warnings == 1 and next(iter(failures)).source == "f.csv:7"


# ---- polygons


def inside(text: str, latitude: float, longitude: float) -> bool:
    return bool(Polygons.parse(text).holds(np.array([latitude]), np.array([longitude]))[0])


def test_polygons_of_wkt_and_geojson() -> None:
    square = "POLYGON ((4 51, 6 51, 6 53, 4 53, 4 51), (4.9 51.9, 5.1 51.9, 5.1 52.1, 4.9 52.1, 4.9 51.9))"
    assert inside(square, 52.5, 5) and not inside(square, 52, 5) and not inside(square, 5, 52) and not inside(square, np.nan, 5)
    assert inside("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((4 51, 6 51, 6 53, 4 53)))", 52, 5)
    ring = [[4, 51], [6, 51], [6, 53], [4, 51]]
    feature = f'{{"type": "Feature", "geometry": {{"type": "Polygon", "coordinates": [{ring}]}}}}'
    assert inside(feature, 51.5, 5.5) and inside(f'{{"type": "FeatureCollection", "features": [{feature}]}}', 51.5, 5.5)
    across = "POLYGON ((170 -10, 190 -10, 190 10, 170 10))"
    assert inside(across, 0, 175) and inside(across, 0, -175) and not inside(across, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "POINT (1 2)", "POLYGON ((1 2", "{", '{"type": "Point"}', "POLYGON ((0 0, 0 95, 1 1))", "[[["]
)
def test_what_is_no_polygon_is_told(text: str) -> None:
    with pytest.raises(BiocosmosError, match=r"POLYGON \(\(4 51"):
        Polygons.parse(text)


@given(st.floats(-89, 89), st.floats(-179, 179))
def test_a_box_is_its_four_bounds(latitude: float, longitude: float) -> None:
    held = inside("POLYGON ((-20.5 -30.5, 40.5 -30.5, 40.5 60.5, -20.5 60.5))", latitude, longitude)
    assert held == (-30.5 < latitude < 60.5 and -20.5 < longitude < 40.5)


# ---- combination


def test_leaves_are_combined_and_summed_up(predictions: Predictions) -> None:
    taxonomy = predictions.taxonomy
    paths = [taxonomy.path_text(int(node)) for node in predictions.classes]
    where = replace(Places.nowhere(10), latitude=np.array([50.0] * 5 + [0.0] * 5), longitude=np.array([5.0] * 10))
    prior = KernelPrior.fit(
        [*(path for path in paths if "Canis" in path or "Lynx" in path)] * 5, where, bandwidths=Bandwidths(50, 9, float("inf"), 2)
    )
    here = Places.one(latitude=50, longitude=5)
    placing = Placing(prior, floor=0.1, exponent=0.5)
    found = placing.combine(predictions, here)
    g = dict(zip(prior.taxa, prior.shares(here)[0], strict=True))
    base = dict(zip(prior.taxa, prior.base, strict=True))
    known = np.array([[g.get(path, np.nan) for path in paths]])
    pi = np.array([base.get(path, 1.0) for path in paths])
    by_hand = combined(predictions.class_probabilities(), known, pi, floor=0.1, exponent=0.5)
    assert found.class_probabilities() == pytest.approx(by_hand, abs=1e-6)  # species that the prior lacks have a factor of 1
    families = np.exp(found.log_p[0, taxonomy.at_rank("family")])
    assert families.sum() == pytest.approx(1, abs=1e-6)
    assert placing.combine(predictions, Places.nowhere(1)) is predictions  # nothing known: the very same
    assert replace(placing, exponent=0.0).combine(predictions, here) is predictions


def test_published_values_of_the_fusion(predictions: Predictions) -> None:
    """Without π: p (.5, .3, .15, .05), g (.02, .6, .9, 0), floor .005, as iNaturalist's way counts."""
    tree = Taxonomy.from_table(pa.table({"species": ["a", "b", "c", "d"]}), ("species",))
    classes = tree.index(pa.table({"species": ["a", "b", "c", "d"]}))
    p = np.log(np.array([[0.5, 0.3, 0.15, 0.05]])).astype(np.float32)
    asked = Predictions(np.array(["x"], object), tree, classes, p, np.zeros((1, 1), np.float32), np.zeros(1, np.int32))

    class Scores:
        taxa, base, presence = ("a", "b", "c", "d"), np.full(4, 0.25), True
        learnt = np.empty(0, object)

        def known(self, places: Places) -> np.ndarray:
            return places.has_place

        def shares(self, places: Places) -> np.ndarray:
            return np.array([[0.02, 0.6, 0.9, 0.0]])

    here = Places.one(latitude=1, longitude=1)
    found = Placing(Scores(), "inaturalist").combine(asked, here).class_probabilities()[0]
    assert found == pytest.approx([0.030746, 0.553420, 0.415065, 0.000769], abs=1e-6)
    found = Placing(Scores(), exponent=0.5).combine(asked, here).class_probabilities()[0]
    assert found == pytest.approx([0.157510, 0.517631, 0.316983, 0.007876], abs=1e-6)
    tree = Taxonomy.from_table(pa.table({"genus": ["A", "A"], "species": ["a", "b"]}), ("genus", "species"))
    classes = tree.index(pa.table({"genus": ["A", "A"], "species": ["a", "b"]}))
    asked = replace(
        asked, taxonomy=tree, classes=classes, logits=np.log(np.array([[0.6, 0.4]], np.float32))
    )  # the inner node is not the sum of its leaves: p (.6, .4), g (.3, .9): 1 · .9, where the leaves sum to .54

    class Two(Scores):
        taxa, base = ("A/a", "A/b"), np.full(2, 0.5)

        def shares(self, places: Places) -> np.ndarray:
            return np.array([[0.3, 0.9]])

    found = Placing(Two(), "inaturalist").published(asked, tree.lineage(classes[1:]), here)[0]
    assert found == pytest.approx([0.9, 0.36], abs=1e-6)


def test_taxa_of_a_prior_are_found_by_trees_of_fewer_or_more_ranks() -> None:
    known = Known(["Animalia/Arthropoda/Copepoda/Calanus", "Animalia/Arthropoda/Copepoda/Oithona", "Plantae/Oithona", "Aves"])
    assert known.members("Copepoda/Calanus") == known.members("Animalia/Arthropoda/Copepoda/Calanoida/Calanus") == [0]
    assert known.members("Copepoda/Calanus/Calanus finmarchicus") == [0]  # below it
    assert known.members("Animalia/Arthropoda") == known.members("Arthropoda") == [0, 1]  # all of its own
    assert known.members("Plantae/Oithona") == [2] and known.members("Animalia/Oithona") == [1]
    assert known.members("Oithona") == [1, 2] and known.members("Insecta/Aedes") == []
    assert known.members("Chordata/Aves/Corvus") == [3]


@pytest.fixture
def held(predictions: Predictions) -> tuple[Predictions, Places, np.ndarray]:
    """Forty specimens of two cats that the namer cannot tell apart, in as many cells; truth: a lynx, then a lion."""
    truth = predictions.taxonomy.index(NAMES.slice(0, 2))[np.arange(40) % 2]
    asked = replace(
        predictions,
        ids=np.arange(40).astype(str).astype(object),
        logits=np.zeros((40, 5), np.float32),
        features=np.zeros((40, 1), np.float32),
        truth=truth.astype(np.int32),
    )
    where = Places.of_numbers(np.column_stack([np.arange(40.0), np.zeros(40), np.full((40, 2), np.nan)]))
    right = np.where(predictions.classes[None] == truth[:, None], 0.6, 0.1)
    return asked, where, right


class Equal:
    """A prior of the five species, none of them commoner than another."""

    taxa = tuple("/".join(row.values()) for row in NAMES.to_pylist())
    base, presence, learnt = np.full(5, 0.2), False, np.empty(0, object)

    def known(self, places: Places) -> np.ndarray:
        return places.has_place


def in_order_of_prior(predictions: Predictions, shares: np.ndarray) -> np.ndarray:
    paths = ["/".join(filter(None, predictions.taxonomy.path(int(node)))) for node in predictions.classes]
    return shares[:, [paths.index(path) for path in Equal.taxa]]


def test_what_cannot_be_named_does_not_judge_a_prior(held) -> None:
    asked, where, right = held
    shares = in_order_of_prior(asked, right)
    alone = Placing(Equal()).choose(asked, where, shares, "cells").chosen
    assert alone.without == pytest.approx(np.log(5)) and alone.with_place < 0.7 and alone.specimens == 40
    hopeless = np.arange(40) < 20
    logits = asked.logits.copy()
    logits[asked.classes[None] == np.where(hopeless, asked.truth, -1)[:, None]] = -np.inf
    found = Placing(Equal()).choose(replace(asked, logits=logits), where, shares, "cells").chosen
    assert found.specimens == 20 and found.without == pytest.approx(np.log(5))
    hidden = Placing(Equal()).choose(asked, where, shares, "cells", hopeless).chosen
    assert hidden == found


def test_a_gain_within_its_standard_error_counts_nothing(held) -> None:
    asked, where, right = held
    wrong = np.roll(right, 1, axis=0)  # the other cat
    few = np.arange(40)[:, None] < 12
    mixed = in_order_of_prior(asked, np.where(few, right, wrong))
    found = Placing(Equal()).choose(asked, where, mixed, "cells")
    by_hand = -np.log(asked.class_probabilities()[np.arange(40), np.searchsorted(asked.classes, asked.truth)])
    q = Placing(Equal(), floor=FLOORS[0], exponent=EXPONENTS[1]).combine(asked, where, mixed).class_probabilities()
    gain = by_hand + np.log(q[np.arange(40), np.searchsorted(asked.classes, asked.truth)])
    assert found.chosen.without - found.chosen.with_place == pytest.approx(gain.mean(), rel=1e-5)
    assert found.chosen.error == pytest.approx(gain.std(ddof=1) / np.sqrt(40), rel=1e-5)  # a cell each
    assert found.exponent == 0 and "standard error" in found.note() and "changes nothing" in found.note()
    sure = Placing(Equal()).choose(asked, where, in_order_of_prior(asked, right), "cells")
    assert sure.exponent > 0 and "standard error" in sure.note()
    one_cell = Places.of_numbers(np.tile([[50.0, 5, np.nan, np.nan]], (40, 1)))
    assert Placing(Equal()).choose(asked, one_cell, mixed, "rows").chosen == replace(found.chosen, by="rows")


def test_a_prior_that_is_told_nothing_it_looks_at_changes_nothing(predictions: Predictions) -> None:
    paths = ["/".join(row.values()) for row in NAMES.to_pylist()]
    where = Places.of_numbers(np.array([[50.0, 5, 100, np.nan]] * 3 + [[51.0, 5, 200, np.nan]] * 2))
    days, metres = Places.one(day=100), Places.one(depth=10)
    space = KernelPrior.fit(paths, where, bandwidths=Bandwidths(days=float("inf")))
    both = KernelPrior.fit(paths, where)
    assert not space.known(days)[0] and both.known(days)[0] and not both.known(metres)[0]
    for prior, place in ((space, days), (both, metres)):
        for way in ("leaves", "inaturalist"):  # there the overall shares would stand in for chances of being there
            assert Placing(prior, way).combine(predictions, place) is predictions
            assert Placing(prior, way).evidence(predictions.taxonomy, predictions.classes[:1], place) == [None]
