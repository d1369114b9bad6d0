"""Simulated barcodes are what their model says, checked by counting in them and by Biopython's translation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from Bio.Seq import Seq
from numpy.typing import NDArray

from biocosmos.barcodes.invented_names import genus_name
from biocosmos.barcodes.simulate import DIFFERENCES, LENGTH, ROWS, SCHEMA, SHORTEST, bin_name, simulate_barcodes, stream_barcodes
from biocosmos.barcodes.substitution import PROTEIN, Sites, Substitution, stops
from biocosmos.errors import BiocosmosError

POSITION = (np.arange(LENGTH) - 1) % 3
INVERTEBRATE = 5


@pytest.fixture(scope="module")
def whole() -> pa.Table:
    """1,500 whole barcodes of 150 species."""
    return simulate_barcodes(seed=3, species=150, specimens=1500, orders=4, short=0, unsure=0)


def letters(table: pa.Table) -> NDArray[np.uint8]:
    return np.array([np.frombuffer(barcode.encode(), np.uint8) for barcode in table["barcode"].to_pylist()])


def test_specimens_of_a_rank_differ_as_stated_and_third_positions_most(whole: pa.Table) -> None:
    names, barcodes = whole.to_pandas(), letters(whole)
    a, b = np.random.default_rng(0).integers(0, len(whole), (2, 400_000))
    ranks = ["class", "order", "family", "genus", "species"]
    for above, below in pairwise([*ranks, "id"]):
        code_above, code_below = names[above].factorize()[0], names[below].factorize()[0]
        pairs = np.flatnonzero((code_above[a] == code_above[b]) & (code_below[a] != code_below[b]))[:4000]
        differ = barcodes[a[pairs]] != barcodes[b[pairs]]
        assert differ.mean() == pytest.approx(DIFFERENCES[above], rel=0.15), above
        first, second, third = (differ[:, codon == POSITION].mean() for codon in range(3))
        assert third > 3 * first > 6 * second, above


def test_bases_are_as_stated_and_rich_in_a_and_t(whole: pa.Table) -> None:
    barcodes = letters(whole)
    for codon, expected in enumerate(Substitution().frequencies):
        found = [(barcodes[:, codon == POSITION] == ord(base)).mean() for base in "ACGT"]
        assert np.abs(np.array(found) - expected).max() < 0.08
    assert 0.62 < np.isin(barcodes, [ord("A"), ord("T")]).mean() < 0.75


def test_transitions_are_more_frequent_than_transversions_between_near_relatives(whole: pa.Table) -> None:
    barcodes, species = letters(whole), np.array(whole["species"].to_pylist())
    same = np.flatnonzero(species[1:] == species[:-1])
    before, after = barcodes[same], barcodes[same + 1]
    purine = np.isin(np.arange(256), [ord("A"), ord("G")])
    changed = before != after
    transitions = changed & (purine[before] == purine[after])
    assert transitions.sum() > 0.55 * changed.sum()  # by chance it would be a third


def test_no_codon_in_frame_is_a_stop(whole: pa.Table) -> None:
    for barcode in whole["barcode"].to_pylist()[::25]:
        assert "*" not in Seq(barcode[1:]).translate(table=INVERTEBRATE)


def test_the_root_means_the_protein_of_insects() -> None:
    random = np.random.default_rng(0)
    root = Sites(Substitution(), random).root(random)
    barcode = "".join("ACGT"[code] for code in root)
    assert Seq(barcode[1:]).translate(table=INVERTEBRATE) == PROTEIN and len(barcode) == LENGTH


def test_evolution_is_the_matrix_exponential_of_hky85() -> None:
    scipy = pytest.importorskip("scipy.linalg")
    random = np.random.default_rng(1)
    model = Substitution(shapes=(1e6, 1e6, 1e6))  # all sites of a position alike
    sites = Sites(model, random)
    start = np.zeros((4000, LENGTH), np.uint8)  # A everywhere: stops need T first, and none is made that way but rarely
    time = 0.5
    ends = sites.evolve(start, np.full(len(start), time), random)
    for codon, p in enumerate(np.array(model.frequencies)):
        rates = np.tile(p, (4, 1))
        for one, other in ((0, 2), (2, 0), (1, 3), (3, 1)):
            rates[one, other] *= model.kappa
        np.fill_diagonal(rates, 0)
        np.fill_diagonal(rates, -rates.sum(1))
        pace = sites.pace[codon == POSITION].mean()
        expected = scipy.expm(rates * pace * time)[0]
        found = [(ends[:, codon == POSITION] == code).mean() for code in range(4)]
        assert found == pytest.approx(list(expected), abs=0.02)
    assert not stops(ends).any()


def test_the_mean_site_changes_once_in_a_unit_of_time() -> None:
    sites = Sites(Substitution(), np.random.default_rng(0))
    assert sites.expected_difference(1e-6) == pytest.approx(1e-6, rel=1e-3)
    assert sites.expected_difference(sites.time_for(0.1)) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="never reached"):
        sites.time_for(0.9)


def test_the_same_seed_gives_the_same_and_another_gives_others() -> None:
    one, again, other = (simulate_barcodes(seed=seed, species=9, unsure=0.5, short=0.5) for seed in (1, 1, 2))
    assert one.equals(again) and one.schema == SCHEMA
    assert not set(one["barcode"].to_pylist()) & set(other["barcode"].to_pylist())


def test_the_stream_is_the_table_in_parts() -> None:
    parts = list(stream_barcodes(seed=5, species=400, specimens=2 * ROWS + 100))
    assert len(parts) > 2 and max(map(len, parts)) <= ROWS
    whole = simulate_barcodes(seed=5, species=400, specimens=2 * ROWS + 100)
    assert pa.concat_tables(parts).combine_chunks().equals(whole)
    assert len(set(whole["id"].to_pylist())) == len(whole) == 2 * ROWS + 100


def test_every_taxon_is_there_under_one_parent() -> None:
    table = simulate_barcodes(seed=2, species=50, genera=21, families=9, orders=4, specimens=300)
    numbers = {"order": 4, "family": 9, "genus": 21, "species": 50, "dna_bin": 50}
    for rank, number in numbers.items():
        assert len(set(table[rank].to_pylist())) == number
    for above, below in pairwise(["order", "family", "genus", "species"]):
        pairs = set(zip(table[above].to_pylist(), table[below].to_pylist()))
        assert len(pairs) == numbers[below]
    for family, genus, species in zip(*(table[rank].to_pylist() for rank in ("family", "genus", "species"))):
        assert family.endswith("idae") and species.startswith(f"{genus} ")


def test_names_and_bins_of_many_are_all_different() -> None:
    assert len({genus_name(i, 4) for i in range(200_000)}) == 200_000
    names = [bin_name(i) for i in range(0, 6_760_000, 997)]
    assert len(set(names)) == len(names) and names[0] == "BOLD:ZAA0000" and len(names[-1]) == 12


def test_truncated_barcodes_and_n_are_as_frequent_as_asked() -> None:
    table = simulate_barcodes(seed=1, species=50, specimens=3000, short=0.3, unsure=0.2)
    lengths = np.array([len(barcode) for barcode in table["barcode"].to_pylist()])
    assert (lengths < LENGTH).mean() == pytest.approx(0.3, abs=0.03) and lengths.min() >= SHORTEST and lengths.max() == LENGTH
    unsure = np.array([barcode.count("N") for barcode in table["barcode"].to_pylist()])
    assert (unsure > 0).mean() == pytest.approx(0.2, abs=0.03)
    assert set("".join(table["barcode"].to_pylist())) == set("ACGTN")


def test_sister_species_share_barcodes_only_where_asked() -> None:
    def shared(part: float) -> int:
        table = simulate_barcodes(seed=1, species=30, specimens=600, short=0, unsure=0, shared=part)
        species: dict[str, set[str]] = {}
        for barcode, name in zip(table["barcode"].to_pylist(), table["species"].to_pylist()):
            species.setdefault(barcode, set()).add(name)
        assert len(set(table["dna_bin"].to_pylist())) < 30 or part == 0
        return sum(len(names) > 1 for names in species.values())

    assert shared(0.0) == 0 and shared(1.0) >= 8


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"species": 3, "genera": 4}, "cannot simulate 3 species: there must be at least 4, as many as genera"),
        ({"species": 5, "specimens": 4}, "cannot simulate 4 specimens"),
        ({"species": 0}, "cannot simulate 0 orders"),
        ({"short": 2.0}, "short must be a part from 0 to 1, not 2.0"),
        ({"seed": -1}, "a seed is 0 or more"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_a_line(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(BiocosmosError, match=said):
        simulate_barcodes(**wrong)  # type: ignore[arg-type]
