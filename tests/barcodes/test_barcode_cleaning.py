"""From deposited sequences to barcodes: what is put right, what is told, what is refused and why."""

from __future__ import annotations

import re

import pytest
from Bio.Data import CodonTable
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.barcodes.cleaning import Cleaned, Cleaning
from biocosmos.barcodes.genetic_codes import STOPS, fewest_stops
from biocosmos.barcodes.orientation import LEAST, coi_profile, learnt_profile, reverse_complement
from biocosmos.barcodes.primers import NAMED, SETS, primers_named
from biocosmos.barcodes.rules import LETTERS_ALONE, Rules
from biocosmos.barcodes.same import SameBarcodes
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError

COI = [str(barcode) for barcode in simulate_barcodes(seed=3, species=12)["barcode"].to_pylist()]
"""Real-shaped barcodes, all on the coding strand."""
LONG = "ACGT" * 40
ANYTHING = Rules(min_length=1, max_length=10_000, most_n=1.0, stop_codons="keep", orientation="keep")


def cleaned(sequence: str | None, **rules: object) -> Cleaned:
    return Cleaning(Rules(**rules)).clean([sequence])[0]  # type: ignore[arg-type]


def test_case_gaps_and_unknown_ends_are_put_right_without_a_word() -> None:
    one = COI[0]
    aligned = f"--NN{one[:100].lower()}-~.\r\n {one[100:]}NNN???--"
    assert cleaned(aligned) == Cleaned(one.strip("N"), None, ())


def test_rna_and_letters_for_several_bases_are_told() -> None:
    one = COI[0].strip("N")
    assert cleaned(one.replace("T", "u")) == Cleaned(one, None, ("RNA",))
    told = cleaned(one[:50] + "RyK" + one[53:])
    assert told == Cleaned(one[:50] + "NNN" + one[53:], None, ("ambiguous",))
    assert cleaned("R" + one + "Y") == Cleaned(one)  # at the ends they are no more than unknown


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (None, "is empty"),
        ("", "is empty"),
        (" \n--", "is empty"),
        ("NNNN?n-", r"nothing but unknown bases \(6 N\)"),
        ("MKVLEFPQRSTV", "'E', 'F', 'L', 'P', 'Q'.*a protein"),
        ("ACGT" * 60 + "*", "no nucleotide .'\\*'"),
        ("ACGT" * 60 + "é", "the letter 'é'"),
        ("ACGT" * 250_000, "1,000,000 bases, more than --max-length 5,000: a contig or a genome"),
        ("ACGT" * 1500, "6,000 bases, more than --max-length 5,000: no barcode"),
        ("ACGT" * 5, "20 bases, fewer than --min-length 100"),
        ("ACGT" * 20 + "N" * 40 + "ACGT" * 20, "40 of 200 bases are unknown, more than the share of --most-n 0.1"),
    ],
)
def test_what_is_no_barcode_is_refused_with_its_reason(sequence: str | None, words: str) -> None:
    found = cleaned(sequence)
    assert found.sequence is None and re.search(words, str(found.refused)), found


def test_stop_codons_are_told_refused_or_not_looked_at() -> None:
    pseudogene = COI[0][:300] + "TAATTAATTAA" + COI[0][300:]
    assert "stops" in cleaned(pseudogene).notes
    assert cleaned(pseudogene, stop_codons="keep").notes == ()
    assert re.search(
        "stop codon.* of genetic code 5 in its best reading frame", str(cleaned(pseudogene, stop_codons="refuse").refused)
    )
    assert all(not one.notes and one.refused is None for one in Cleaning(Rules(stop_codons="refuse")).clean(COI))


@pytest.mark.parametrize("code", STOPS)
def test_stop_codons_are_those_of_the_genetic_codes_of_ncbi(code: int) -> None:
    theirs = CodonTable.unambiguous_dna_by_id[code]
    assert set(STOPS[code]) == set(theirs.stop_codons)
    assert not set(theirs.stop_codons) & set(theirs.forward_table)  # none that is an amino acid elsewhere


@given(st.text("ACGT", min_size=0, max_size=60), st.sampled_from([1, 2, 5, 6, 22, 23]))
def test_the_fewest_stops_are_those_of_the_best_of_three_translations(barcode: str, code: int) -> None:
    counts = []
    for frame in range(3):
        codons = [barcode[i : i + 3] for i in range(frame, len(barcode) - 2, 3)]
        counts.append(sum(codon in STOPS[code] for codon in codons[:-1]))
    assert fewest_stops(barcode, code) == min(counts)


def test_the_other_strand_is_found_and_turned() -> None:
    turned = Cleaning().clean([reverse_complement(one) for one in COI])
    assert [one.sequence for one in turned] == [one.strip("N") for one in COI]
    assert all("reversed" in one.notes for one in turned)
    kept = Cleaning(Rules(orientation="keep")).clean([reverse_complement(COI[0])])[0]
    assert kept.sequence == reverse_complement(COI[0]).strip("N") and "reversed" not in kept.notes


def test_parts_of_a_barcode_are_never_turned_wrongly_and_mostly_found() -> None:
    for size in (130, 300):
        parts = [one[at : at + size] for one in COI for at in (0, 200, 300)]
        scores = coi_profile().scores(parts)
        assert (scores > -LEAST).all() and (scores > LEAST).mean() > 0.7


def test_the_strand_that_most_have_is_learnt_from_the_source() -> None:
    mixed = [reverse_complement(one) if i % 3 == 0 else one for i, one in enumerate(COI)]
    found = Cleaning(Rules(orientation="source")).clean(mixed)
    assert [one.sequence for one in found] == [one.strip("N") for one in COI]
    other = Cleaning(Rules(orientation="source")).clean([reverse_complement(one) for one in mixed])
    assert [one.sequence for one in other] == [reverse_complement(one.strip("N")) for one in COI]  # no gene is assumed
    assert learnt_profile([]) is None and Cleaning(Rules(orientation="source")).clean([]) == []


def test_primers_are_cut_off_on_either_strand_with_mismatches() -> None:
    one = COI[0].strip("N")
    front, back = NAMED["LCO1490"], reverse_complement(NAMED["HCO2198"])
    wrong = front[:5] + ("A" if front[5] != "A" else "C") + front[6:]
    for outer in ("", "ACGTAC", "GATTACA" * 3):
        assert cleaned(outer + wrong + one + back + outer, primers=("folmer",)) == Cleaned(one, None, ("primers",))
    assert cleaned(one, primers=("folmer",)) == Cleaned(one)
    assert cleaned(front[8:] + one, primers=("LCO1490",)).sequence == one  # a primer that was itself cut
    other = cleaned(reverse_complement(front + one + back), primers=("folmer",), orientation="keep")
    assert other.sequence == reverse_complement(one)
    given_one = cleaned("GATTACAGATTACAGAT" + one, primers=("gattacagattacagat",))
    assert given_one.sequence == one
    assert "without its primers" in str(cleaned(front + one[:30] + back, primers=("folmer",)).refused)


def test_primers_have_letters_for_several_bases() -> None:
    name = "mlCOIintF"
    some = NAMED[name].translate(str.maketrans("WYCRIN", "ATCAGA"))
    assert cleaned(some + COI[0].strip("N"), primers=(name,), primer_errors=0.0).notes == ("primers",)


def test_primers_are_known_by_name_pair_and_letters() -> None:
    assert [primer.name for primer in primers_named(["Folmer", "lepf1", "LCO1490"])] == ["LCO1490", "HCO2198", "LepF1"]
    assert all(name in NAMED for pair in SETS.values() for name in pair)
    with pytest.raises(BiocosmosError, match="'XCO' is no known primer"):
        Rules(primers=("XCO",))
    with pytest.raises(BiocosmosError, match="no genetic code 7"):
        Rules(genetic_code=7)
    with pytest.raises(BiocosmosError, match="--min-length 9 is above --max-length 8"):
        Rules(min_length=9, max_length=8)


LETTERS = st.text("ACGTUNRYSWKMBDHVacgtunryskm-.~? \n", max_size=120)


@given(st.lists(LETTERS | st.text(max_size=20), max_size=6), st.sampled_from(["coi", "keep"]))
def test_a_barcode_has_no_letter_but_acgtn_and_is_not_changed_again(texts: list[str], orientation: str) -> None:
    cleaning = Cleaning(Rules(min_length=1, most_n=1.0, orientation=orientation, primers=("folmer", "leray")))  # type: ignore[arg-type]
    once = cleaning.clean(texts)
    barcodes = [one.sequence for one in once if one.sequence is not None]
    assert all(set(barcode) <= set("ACGTN") and barcode == barcode.strip("N") and barcode for barcode in barcodes)
    assert [one.sequence for one in cleaning.clean(barcodes)] == barcodes
    assert all((one.sequence is None) == (one.refused is not None) for one in once)


@given(LETTERS)
def test_letters_are_put_right_as_written_out(text: str) -> None:
    expected = "".join(letter for letter in text.upper() if letter not in "-.~ \n").replace("U", "T")
    expected = "".join(letter if letter in "ACGT" else "N" for letter in expected).strip("N")
    assert (Cleaning(ANYTHING).clean([text])[0].sequence or "") == expected
    assert (Cleaning(LETTERS_ALONE).clean([text])[0].sequence or "") == expected


@given(st.text("ACGTN", max_size=50))
def test_the_reverse_complement_is_that_of_biopython_and_its_own_inverse(barcode: str) -> None:
    assert reverse_complement(barcode) == str(Seq(barcode).reverse_complement())
    assert reverse_complement(reverse_complement(barcode)) == barcode


def test_the_same_barcode_under_several_names_is_one_group() -> None:
    same = SameBarcodes()
    rows = [
        ("A", "x"),
        ("A", "y"),
        ("A", "x"),
        ("C", "x"),
        ("C", "x"),
        (None, "z"),
        ("G", None),
        ("T", "p"),
        ("T", "q"),
        ("T", "p"),
    ]
    same.add(rows[:3])
    same.add(rows[3:])
    assert [group.names for group in same.groups()] == [{"p": 2, "q": 1}, {"x": 2, "y": 1}]
    assert same.groups()[0].told() == "identical barcodes stand under 2 names: 'p' (2), 'q' (1)"
    assert SameBarcodes().groups() == []
