"""Names looked up in a checklist: nothing is guessed, everything has its reason."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.taxonomy.checklists import Checklist, Match, Matcher, Query
from biocosmos.taxonomy.checklists.authors import ALIKE, EQUAL, OTHER, UNSAID, compare
from biocosmos.taxonomy.checklists.report import report
from biocosmos.taxonomy.checklists.spelling import edits

ROWS = """
K1||accepted|kingdom|Animalia|
K2||accepted|kingdom|Plantae|
F1|K1|accepted|family|Sphecidae|
F2|K2|accepted|family|Poaceae|
G1|F1|accepted|genus|Ammophila|Kirby, 1798
G2|F2|accepted|genus|Ammophila|Host
S1|G1|accepted|species|Ammophila sabulosa|(Linnaeus, 1758)
S2|G2|accepted|species|Ammophila arenaria|(L.) Link
G3|K1|accepted|genus|Calanus|Leach, 1816
U3|G3|accepted|subgenus|Calanus|Leach, 1816
S3|G3|accepted|species|Calanus finmarchicus|(Gunnerus, 1770)
S4|G3|accepted|species|Calanus glacialis|Jaschnov, 1955
Y1|S3|synonym|species|Monoculus finmarchicus|Gunnerus, 1770
Y2|S3|ambiguous synonym|species|Cetochilus mixtus|Roussel
Y3|S4|ambiguous synonym|species|Cetochilus mixtus|Roussel
Y4|S4|misapplied|species|Calanus hyperboreus|auct.
G5|K1|accepted|genus|Isoëtesia|Müller
S5|G5|accepted|species|Isoëtesia c-album|Müller, 1776
S6|G3|accepted|species|Calanus × mixtus|
S7|G3|accepted|subspecies|Calanus finmarchicus subsp. borealis|Smith, 1900
V1|K1|accepted|species|Tobacco mosaic virus|
G8|K1|accepted|genus|Picus|
S8|G8|accepted|species|Picus viridis|Linnaeus, 1758
N1||bare name|species|Nudus nomen|
Q1|S3|synonym|species|Homonymus albus|Smith, 1850
Q2|S4|synonym|species|Homonymus albus|Jones, 1920
"""


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Matcher:
    path = tmp_path_factory.mktemp("list") / "NameUsage.tsv"
    rows = [line.replace("|", "\t") for line in ROWS.strip().split("\n")]
    path.write_text("\n".join(["ID\tparentID\tstatus\trank\tscientificName\tauthorship", *rows]), encoding="utf-8")
    return Matcher(Checklist.open(path))


def said(matcher: Matcher, name: str, **more: object) -> tuple[str, str | None, str | None, list[str]]:
    """(status, id of the usage, id of the accepted taxon, ids of the candidates)."""
    (found,) = matcher.match([Query(name, **more)])  # type: ignore[arg-type]
    ids = matcher.checklist.ids

    def id_of(row: int) -> str | None:
        return ids[row].as_py() if row >= 0 else None

    return found.status, id_of(found.row), id_of(found.accepted), [ids[row].as_py() for row in found.candidates]


def reason(matcher: Matcher, name: str, **more: object) -> str:
    return matcher.match([Query(name, **more)])[0].reason or ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Calanus finmarchicus", "S3"),
        ("Calanus finmarchicus (Gunnerus, 1770)", "S3"),
        ("Calanus finmarchicus Gunnerus", "S3"),
        ("CALANUS FINMARCHICUS", "S3"),
        ("calanus_finmarchicus", "S3"),
        ("Calanus (Calanus) finmarchicus", "S3"),
        ("Calanus finmarchicus subsp. borealis Smith", "S7"),
        ("Calanus finmarchicus borealis", "S7"),
        ("Isoetesia c-album", "S5"),
        ("Isoëtesia c‑album Müller, 1776", "S5"),
        ("Calanus x mixtus", "S6"),
        ("Calanus mixtus", "S6"),
        ("Tobacco mosaic virus", "V1"),
        ("Calanus", "G3"),
        ("Sphecidae", "F1"),
    ],
)
def test_a_name_that_is_there_is_matched(matcher: Matcher, name: str, id: str) -> None:
    assert said(matcher, name) == ("matched", id, id, [])
    assert reason(matcher, name) == ""


def test_a_synonym_leads_to_its_taxon(matcher: Matcher) -> None:
    assert said(matcher, "Monoculus finmarchicus Gunnerus, 1770") == ("synonym", "Y1", "S3", [])


def test_open_nomenclature_is_looked_up_at_its_genus_and_says_so(matcher: Matcher) -> None:
    assert said(matcher, "Calanus cf. finmarchicus") == ("matched", "G3", "G3", [])
    assert "only the genus" in reason(matcher, "Calanus cf. finmarchicus")
    assert "only the genus" in reason(matcher, "Calanus sp.")


def test_homonyms_are_told_apart_by_authors_and_parents_and_else_stay_ambiguous(matcher: Matcher) -> None:
    assert said(matcher, "Ammophila")[::3] == ("ambiguous", ["G1", "G2"])
    assert said(matcher, "Ammophila Host")[:2] == ("matched", "G2")
    assert said(matcher, "Ammophila", authorship="Kirby")[:2] == ("matched", "G1")
    assert said(matcher, "Ammophila", parents={"kingdom": "Plantae"})[:2] == ("matched", "G2")
    assert said(matcher, "Ammophila", parents={"kingdom": "Viridiplantae"})[:2] == ("matched", "G2")
    assert said(matcher, "Ammophila", parents={"family": "Sphecidae"})[:2] == ("matched", "G1")
    assert said(matcher, "Homonymus albus")[::3] == ("ambiguous", ["Q1", "Q2"])
    assert said(matcher, "Homonymus albus Jones, 1920")[:3] == ("synonym", "Q2", "S4")


def test_an_author_or_a_kingdom_that_does_not_fit_is_no_match(matcher: Matcher) -> None:
    assert said(matcher, "Picus viridis Smith, 1999")[::3] == ("ambiguous", ["S8"])
    assert "by Linnaeus, 1758, not by Smith, 1999" in reason(matcher, "Picus viridis Smith, 1999")
    assert said(matcher, "Picus viridis", parents={"kingdom": "Plantae"})[::3] == ("unknown", ["S8"])
    assert said(matcher, "Ammophila sabulosa", parents={"family": "Crabronidae"})[:2] == ("matched", "S1")  # moved, and said so
    assert "the family Sphecidae, not Crabronidae" in reason(matcher, "Ammophila sabulosa", parents={"family": "Crabronidae"})


def test_a_split_or_misapplied_name_is_ambiguous(matcher: Matcher) -> None:
    assert said(matcher, "Cetochilus mixtus")[::3] == ("ambiguous", ["Y2", "Y3"])
    assert said(matcher, "Calanus hyperboreus")[::3] == ("ambiguous", ["Y4"])
    assert "misapplied" in reason(matcher, "Calanus hyperboreus")
    assert "without a place" in reason(matcher, "Nudus nomen")


def test_a_misspelt_name_is_unknown_with_candidates_and_never_matched(matcher: Matcher) -> None:
    assert said(matcher, "Calanus finmarchicuss") == ("unknown", None, None, ["S3"])
    assert "the genus Calanus is there, 'finmarchicuss' is not in it" in reason(matcher, "Calanus finmarchicuss")
    assert said(matcher, "Calanuss finmarchicus") == ("unknown", None, None, ["S3"])
    assert said(matcher, "Callanus glacialis") == ("unknown", None, None, ["S4"])
    assert said(matcher, "Calanus viridis") == ("unknown", None, None, [])  # Picus viridis is not offered: the genus fits exactly
    assert said(matcher, "Nothing likeit") == ("unknown", None, None, [])
    assert said(matcher, "Pycus") == ("unknown", None, None, ["G8"])
    assert "begins in lower case" in reason(matcher, "red fox") or "not in the checklist" in reason(matcher, "red fox")
    assert said(matcher, "") == ("unknown", None, None, [])


def test_a_report_has_a_row_for_each_name_with_its_taxon_and_candidates(matcher: Matcher) -> None:
    queries = [Query("Monoculus finmarchicus"), Query("Ammophila"), Query("Foo bar")]
    table = report(matcher.checklist, queries, matcher.match(queries)).to_pylist()
    assert (table[0]["accepted"], table[0]["accepted_id"], table[0]["kingdom"], table[0]["genus"]) == (
        "Calanus finmarchicus", "S3", "Animalia", "Calanus",
    )  # fmt: skip
    assert table[1]["candidates"] == (
        "Ammophila Kirby, 1798 (genus, Animalia > Sphecidae, id G1); Ammophila Host (genus, Plantae > Poaceae, id G2)"
    )
    assert table[2]["accepted"] is None and "not in the checklist" in table[2]["reason"]
    assert Match("unknown") == Match("unknown", -1, -1)


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("L.", "Linnaeus, 1758", ALIKE),
        ("(Gunnerus, 1770)", "Gunnerus, 1770", EQUAL),
        ("Gunner, 1770", "Gunnerus 1770", EQUAL),
        ("Müller", "Muller", EQUAL),
        ("O.F. Müller, 1776", "Müller, 1776", EQUAL),
        ("(L.) Mill.", "Mill.", ALIKE),
        ("Smith & Jones, 1900", "Jones, 1900", ALIKE),
        ("Smith in Jones, 1900", "Smith, 1900", EQUAL),
        ("de Haan, 1833", "Haan, 1833", EQUAL),
        ("Kirby, 1798", "Host", OTHER),
        ("Smith, 1850", "Smith, 1920", OTHER),
        ("Smith, 1850", "Smith, 1851", ALIKE),
        ("Host", None, UNSAID),
    ],
)
def test_authors_as_people_write_them(one: str, other: str | None, how: int) -> None:
    assert compare(one, other) == compare(other, one) == how


WORDS = ["".join(letters) for n in range(4) for letters in product("ab", repeat=n)]


@given(st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_edits_between_two_words(one: str, other: str) -> None:
    def oracle(a: str, b: str) -> int:
        """By definition: the last letters are equal, or one is changed, put in, taken out, or two are swapped."""
        if not a or not b:
            return len(a) + len(b)
        ways = [oracle(a[:-1], b[:-1]) + (a[-1] != b[-1]), oracle(a[:-1], b) + 1, oracle(a, b[:-1]) + 1]
        if a[-2:] == b[-2:][::-1] and len(a) > 1 and len(b) > 1:
            ways.append(oracle(a[:-2], b[:-2]) + 1)
        return min(ways)

    assert edits(one, other, 2) == min(oracle(one, other), 3)
