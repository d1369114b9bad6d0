"""Distances, the barcode gap and BINs, against counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.evaluate.barcode.bins import concordance
from biocosmos.evaluate.barcode.distances import between, matrix
from biocosmos.evaluate.barcode.gap import Barcodes, barcode_gaps
from biocosmos.evaluate.barcode.near import NearBarcodes
from biocosmos.evaluate.barcode.provisional import is_open_species

BASE = "".join(np.random.default_rng(7).choice(list("ACGT"), 400))
TRANSITION = str.maketrans("ACGT", "GTAC")
TRANSVERSION = str.maketrans("ACGT", "TGCA")


def distance(first, second, least=300):
    """(sites, transitions, transversions) and the two distances of one pair."""
    found = between([first, second], [(0, 1)], least)
    return (
        *(int(part[0]) for part in (found.sites, found.transitions, found.transversions)),
        float(found.p[0]),
        float(found.k2p[0]),
    )


def changed(text, transitions=(), transversions=()):
    letters = list(text)
    for places, table in ((transitions, TRANSITION), (transversions, TRANSVERSION)):
        for place in places:
            letters[place] = letters[place].translate(table)
    return "".join(letters)


def test_sites_transitions_and_transversions_are_counted_and_kimura_follows():
    other = changed(BASE, range(10, 90, 10), range(205, 225, 5))  # 8 transitions, 4 transversions
    found = distance(BASE, other)
    assert found[:4] == (400, 8, 4, 12 / 400)
    p, q = 8 / 400, 4 / 400
    assert found[4] == pytest.approx(-0.5 * math.log((1 - 2 * p - q) * math.sqrt(1 - 2 * q)))
    assert distance(other, BASE) == found


def test_the_overlap_alone_counts_wherever_the_ends_are():
    other = changed(BASE, [150, 250])
    assert distance(BASE[40:], other[:380])[:3] == (340, 2, 0)
    assert distance(BASE[40:], other)[:3] == (360, 2, 0)
    assert distance("N" * 10 + BASE[10:], other)[:3] == (390, 2, 0)


def test_a_gap_is_not_counted_and_shifts_nothing():
    other = changed(BASE[:200] + BASE[203:], [20, 300])
    found = distance(BASE, other)
    assert found[:3] == (397, 2, 0)


def test_what_overlaps_too_little_or_not_at_all_is_not_compared():
    for first, second in ((BASE[:250], BASE[:250]), (BASE[:250], changed(BASE, [5])), (BASE, "A" * 400), (BASE, "AC")):
        found = distance(first, second)
        assert found[:3] == (0, 0, 0) and math.isnan(found[3]) and math.isnan(found[4])


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(10, 389), max_size=60), st.integers(0, 40), st.integers(0, 40))
def test_substitutions_anywhere_are_found_whatever_is_cut_off(places, left, right):
    other = changed(BASE, sorted(places))
    cut = other[left : len(other) - right]
    inside = [place for place in places if left <= place < 400 - right]
    found = distance(BASE, cut, least=1)
    if len(inside) < 20:
        assert found[:3] == (len(cut), len(inside), 0)


def six():
    """Two species with a gap, one that shares a barcode with another: every distance by hand."""
    a1, a2 = BASE, changed(BASE, [10, 20])  # 2 apart
    b1 = changed(BASE, range(100, 140, 4))  # 10 from a1, 12 from a2
    b2 = changed(b1, range(300, 366, 6))  # 11 from b1, 21 from a1, 23 from a2
    c1 = changed(BASE, (), range(150, 210, 3))  # 20 from a1, 30 from b1
    d1 = c1  # another species with the very same barcode
    return Barcodes(
        ["a1", "a2", "b1", "b2", "c1", "d1"],
        [a1, a2, b1, b2, c1, d1],
        np.array([0, 0, 1, 1, 2, 3]),
        ["Aus aus", "Aus bus", "Aus cus", "Aus dus"],
        [f"Aus / Aus {name}" for name in ("aus", "bus", "cus", "dus")],
    )


@pytest.mark.parametrize("measure", ["p", "k2p"])
def test_six_specimens_have_the_gap_counted_by_hand(measure):
    told = six()
    rows, spread = barcode_gaps(told, NearBarcodes(told.text), measure)
    by = {row["species"]: row for row in rows}
    aus, bus, cus, dus = (by[f"Aus {name}"] for name in ("aus", "bus", "cus", "dus"))
    assert aus["verdict"] == "gap"  # 2 within, 10 to b1
    assert (aus["max_within_p"], aus["min_between_p"]) == pytest.approx((2 / 400, 10 / 400))
    assert (aus["within_id"], aus["within_other_id"], aus["nearest"], aus["id"], aus["nearest_id"]) == (
        *("a1", "a2", "Aus bus", "a1", "b1"),
    )
    assert bus["verdict"] == "no gap"  # 11 within, 10 to a1
    assert (bus["max_within_p"], bus["min_between_p"], bus["nearest"]) == (pytest.approx(11 / 400), 10 / 400, "Aus aus")
    assert bus["max_within_k2p"] == pytest.approx(-0.5 * math.log(1 - 2 * 11 / 400))  # transitions alone
    for row in (cus, dus):  # one specimen each, and the same letters: nothing can tell them
        assert (row["verdict"], row["max_within_p"], row["min_between_p"], row["min_between_k2p"]) == ("no gap", None, 0, 0)
    assert sum(row["within"] for row in spread) == 2 and sum(row["between"] for row in spread) == 6


def test_a_species_of_one_barcode_in_two_specimens_is_zero_apart_and_one_alone_is_undecided():
    other = changed(BASE, range(100, 140, 4))
    told = Barcodes(["1", "2", "3"], [BASE, BASE, other], np.array([0, 0, 1]), ["a", "b"], ["a", "b"])
    rows, _ = barcode_gaps(told, NearBarcodes(told.text))
    assert [(row["verdict"], row["max_within_p"], row["specimens"], row["barcodes"]) for row in rows] == [
        ("gap", 0, 2, 1),
        ("one specimen", None, 1, 1),
    ]


def test_a_species_whose_relatives_fill_the_neighbours_still_finds_another_species():
    many = [changed(BASE, [place]) for place in range(100, 160)]
    told = Barcodes(
        [str(i) for i in range(61)], [*many, changed(BASE, range(0, 80, 2))], np.array([0] * 60 + [1]), ["a", "b"], ["a", "b"]
    )
    rows, _ = barcode_gaps(told, NearBarcodes(told.text, neighbours=20))
    assert rows[0]["nearest"] == "b" and rows[0]["verdict"] == "gap"


def test_bins_match_split_merge_and_mix_as_by_hand():
    held = [
        *(("match", "B1"), ("match", "B1")),
        *(("split", "B2"), ("split", "B3"), ("split", "B3")),
        *(("merge", "B4"), ("merged too", "B4")),
        *(("mixed", "B5"), ("mixed", "B6"), ("guest", "B6")),
        *(("without a BIN", None), (None, "B1"), ("", "B2")),
    ]
    rows = {row["species"]: row for row in concordance(*zip(*held))}
    assert {name: row["concordance"] for name, row in rows.items()} == {
        "match": "match",
        "split": "split",
        "merge": "merge",
        "merged too": "merge",
        "mixed": "mixture",
        "guest": "merge",
    }
    assert rows["split"]["bins"] == ["B3", "B2"] and rows["split"]["specimens"] == 3
    assert rows["mixed"]["shared_with"] == ["guest"] and rows["match"]["shared_with"] == []


def test_all_pairs_are_symmetric_with_nan_where_nothing_overlaps():
    found = matrix([BASE, changed(BASE, [10]), "A" * 400], "p")
    assert found[0, 1] == found[1, 0] == 1 / 400
    assert np.isnan(found[0, 2]) and found[2, 2] == 0


@pytest.mark.parametrize(
    ("name", "provisional"),
    [
        *[
            (name, True)
            for name in ("Pardosa sp. 1", "Aus cf. bus", "Aus nr. bus", "Aus sp.1ES", "Aus BOLD:AAB1234", "malaise4021")
        ],
        *[(name, False) for name in ("Pardosa lugubris", "lugubris", "Salix x rubens", "Aus bus cus")],
    ],
)
def test_provisional_names_are_told_from_names(name, provisional):
    assert is_open_species(name) == provisional
