"""Barcodes laid over one another: at their place, on the strand that fits, pulled apart at a gap."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.barcodes.placement import UNKNOWN, Marker, encode

CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in ("TAA", "TAG")]
OTHER = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def barcodes() -> list[str]:
    """200 coding sequences of 300 bases, each a tenth of its codons away from a common one."""
    random = np.random.default_rng(0)
    ancestor = random.integers(0, len(CODONS), 100)
    out = []
    for _ in range(200):
        own = np.where(random.random(100) < 0.1, random.integers(0, len(CODONS), 100), ancestor)
        out.append("".join(CODONS[i] for i in own))
    return out


@pytest.fixture(scope="module")
def marker(barcodes: list[str]) -> Marker:
    return Marker.learnt(barcodes)


def test_barcodes_of_the_common_length_stay_as_they_are(marker: Marker, barcodes: list[str]) -> None:
    placed = marker.place(barcodes)
    assert marker.width == 300 and marker.phase == 0
    assert np.array_equal(placed.codes, np.stack([encode(each) for each in barcodes]))
    assert placed.good.all() and not placed.turned.any()


def test_a_piece_goes_to_its_place(marker: Marker, barcodes: list[str]) -> None:
    codes = marker.place([barcodes[3][87:250], "N" * 5 + barcodes[3][5:], "ACGTA" + barcodes[3]]).codes
    whole = encode(barcodes[3])
    assert (
        np.array_equal(codes[0, 87:250], whole[87:250]) and (codes[0, :87] == UNKNOWN).all() and (codes[0, 250:] == UNKNOWN).all()
    )
    assert np.array_equal(codes[1, 5:], whole[5:]) and (codes[1, :5] == UNKNOWN).all()
    assert np.array_equal(codes[2], whole)


def test_the_other_strand_is_turned(marker: Marker, barcodes: list[str]) -> None:
    placed = marker.place([barcodes[7].translate(OTHER)[::-1], barcodes[7]])
    assert placed.turned.tolist() == [True, False]
    assert np.array_equal(placed.codes[0], placed.codes[1])


@pytest.mark.parametrize("lost", [3, 6])
def test_a_lost_codon_opens_a_gap(marker: Marker, barcodes: list[str], lost: int) -> None:
    whole = encode(barcodes[11])
    codes = marker.place([barcodes[11][:150] + barcodes[11][150 + lost :]]).codes[0]
    known = codes < UNKNOWN
    assert known.sum() >= 300 - lost - 3
    assert (codes[known] == whole[known]).mean() > 0.99


def test_what_is_of_no_marker_has_no_place(marker: Marker) -> None:
    random = np.random.default_rng(1)
    foreign = "".join(random.choice(list("ACGT"), 300))
    placed = marker.place([foreign, "N" * 300, "ACG"])
    assert not placed.good.any() and (placed.codes == UNKNOWN).all()


def test_amino_acids_and_codon_positions(marker: Marker) -> None:
    codes = np.full((1, 300), UNKNOWN, np.uint8)
    codes[0, :9] = encode("TTTTGATAA")  # F, W in table 5, stop
    acids = marker.amino_acids(codes)[0]
    assert acids.shape == (100,) and acids[0] != acids[1] and (acids[2:] == 20).all()
    assert marker.codon_position[:4].tolist() == [0, 1, 2, 0]


def test_no_frame_where_nothing_is_coded() -> None:
    random = np.random.default_rng(2)
    ancestor = random.integers(0, 4, 240)
    rows = [
        "".join("ACGT"[i] for i in np.where(random.random(240) < 0.1, random.integers(0, 4, 240), ancestor)) for _ in range(50)
    ]
    marker = Marker.learnt(rows)
    assert marker.phase is None and marker.amino_acids(marker.place(rows).codes).shape == (50, 0)


def test_saved_and_restored(marker: Marker, barcodes: list[str]) -> None:
    again = Marker.restored(marker.arrays())
    assert np.array_equal(again.place(barcodes[:5]).codes, marker.place(barcodes[:5]).codes) and again.phase == marker.phase
