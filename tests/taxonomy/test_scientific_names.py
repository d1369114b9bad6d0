"""Scientific names of every kind, as people write them: scientific_names.tsv says by hand what is certain of each."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biocosmos.taxonomy.name_words import EXCEPTIONS
from biocosmos.taxonomy.scientific_names import is_open, parse, tidied

TABLE = Path(__file__).with_name("scientific_names.tsv")
with TABLE.open(encoding="utf-8", newline="") as lines:
    NAMES = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
LATIN = "abcdefghijklmnopqrstuvwxyz"


def test_the_table_has_every_kind() -> None:
    assert len(NAMES) >= 300 and len({row["name"] for row in NAMES}) == len(NAMES)
    kinds = ["species", "infraspecies", "hybrid", "formula", "cultivar", "uninomial", "open", "virus", "code", "other"]
    assert {row["kind"] for row in NAMES} == set(kinds)
    assert min(sum(row["kind"] == kind for row in NAMES) for kind in kinds) >= 5


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in NAMES}))
def test_what_is_certain_of_a_name(kind: str) -> None:
    read = {row["name"]: parse(row["name"]) for row in NAMES if row["kind"] == kind}
    assert {name: (found.genus or "", found.species or "", found.kind) for name, found in read.items()} == {
        row["name"]: (row["genus"], row["species"], row["kind"]) for row in NAMES if row["kind"] == kind
    }
    for found in read.values():
        assert found.reason is None or found.species is None
        assert found.species is None or (found.canonical or "").startswith(found.species)


@pytest.mark.parametrize(
    ("name", "canonical", "authorship"),
    [
        ("Pica hudsonia (Sabine, 1823)", "Pica hudsonia", "(Sabine, 1823)"),
        ("Canis lupus subsp. familiaris Linnaeus, 1758", "Canis lupus familiaris", "Linnaeus, 1758"),
        ("Rosa canina L. var. dumetorum (Thuill.) Poir.", "Rosa canina dumetorum", "L. (Thuill.) Poir."),
        ("Portunus pelagicus (de Haan, 1833)", "Portunus pelagicus", "(de Haan, 1833)"),
        ("Pica pica pica", "Pica pica pica", None),
        ("Aedes (Stegomyia) aegypti (L.)", "Aedes aegypti", "(L.)"),
        ("Corvidae Leach, 1820", "Corvidae", "Leach, 1820"),
        ("Pica", "Pica", None),
        ("Calanus cf. finmarchicus", None, None),
        ("Salix ×rubens Schrank", "Salix × rubens", "Schrank"),
        ("Vulpes vulpes - Red fox", "Vulpes vulpes", None),
        ("Vulpes vulpes (Red fox)", "Vulpes vulpes", None),
        ("Vulpes vulpes (Linnaeus, 1758) - Red fox", "Vulpes vulpes", "(Linnaeus, 1758)"),
        ("Pica pica Gray, 1834", "Pica pica", "Gray, 1834"),
        ("Passer domesticus dead", "Passer domesticus", None),
        ("Rhinella marina #2", "Rhinella marina", None),
        ("Calanus finmarchicus nomen dubium", "Calanus finmarchicus", None),
        ("Calanus finmarchicus stage V", "Calanus finmarchicus", None),
        ("Noctiluca scintillans bloom", "Noctiluca scintillans", None),
        ("Homo sapiens person", "Homo sapiens", None),
        ("Salmo trutta morpha lacustris", "Salmo trutta lacustris", None),
        ("Larus argentatus adult winter", "Larus argentatus", None),
        ("Nucula nitidosa Winckworth, 1930 (accepted)", "Nucula nitidosa", "Winckworth, 1930"),
    ],
)
def test_a_name_is_looked_up_without_its_authors(name: str, canonical: str | None, authorship: str | None) -> None:
    assert parse(name)[3:5] == (canonical, authorship)


def test_a_word_in_the_place_of_an_epithet_may_leave_the_species_open() -> None:
    for word in ("sp.", "spp", "sp.12", "sp1", "cf. typica", "aff.", "indet.", "larvae", "nov. sp.", "?", "", " ", "A", "7"):
        assert is_open(word), word
    for word in ("c-album", "7-punctata", "hudsonia", "bursa-pastoris", "× rubens", "x-notata"):
        assert not is_open(word), word


@given(st.text(max_size=60))
@example("\ud800 a")
@example("×")
@example("(")
@example("& & &")
@example("Aus ()")
@example("Aus (Bus) ×")
@example("A" * 10_000)
def test_any_text_has_an_answer(text: str) -> None:
    found = parse(text)
    assert found.species is None or (found.genus is not None and found.species.startswith(f"{found.genus} "))
    assert found.species is None or found.reason is None
    assert parse(tidied(text))[:2] == found[:2] or len(text) > 500


@given(
    st.text(LATIN, min_size=3, max_size=12).map(str.capitalize),
    st.sampled_from(["alba", "niger", "c-album", "7-punctata", "bursa-pastoris", "minor", "fulva", "io"]),
    st.sampled_from(["", " L.", " (Linnaeus, 1758)", " Mill. ex DC.", " de Haan, 1850", " ♀", " s.l.", " var. alba Smith"]),
)
def test_authors_change_nothing(genus: str, epithet: str, tail: str) -> None:
    plain = parse(f"{genus} {epithet}")
    assert parse(f"{genus} {epithet}{tail}")[:2] == plain[:2]
    assert plain.species in (f"{genus} {epithet}", None)


def test_an_exception_is_a_name_of_a_taxon_whose_epithet_is_a_common_word() -> None:
    for genus, epithet in EXCEPTIONS:
        assert parse(f"{genus} {epithet}").species == f"{genus} {epithet}"
        assert parse(f"Calanus {epithet}").species is None
