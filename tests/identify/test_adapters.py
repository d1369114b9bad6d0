"""blast6, uc and sintax files as names: lines as the tools write them, the rule of consensus, what cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.adapters.formats import BLAST6, SINTAX, UC, Hit, NotThisFormat, Support, ToolFile, blast6, sintax, uc
from biocosmos.identify.adapters.letters import Headers, lettered
from biocosmos.identify.adapters.names import ToolNames
from biocosmos.taxonomy import Taxonomy

# as blastn 2.12.0+ -outfmt 6, vsearch 2.22.1 --blast6out, --uc and --sintax --tabbedout wrote them, here, 2026-11-29
BLASTN = "q01\tr010\t98.750\t400\t5\t0\t1\t400\t1\t400\t0.0\t712"
VSEARCH = "q01\tr010\t98.8\t400\t5\t0\t1\t400\t1\t400\t-1\t0"
VSEARCH_NONE = "qx;size=3;\t*\t0.0\t0\t0\t0\t0\t0\t0\t0\t-1\t0"
UC_HIT = "H\t3\t400\t98.8\t+\t0\t0\t400M\tq01\tr010"
UC_NONE = "N\t*\t*\t*\t.\t*\t*\t*\tqx;size=3;\t*"
UC_SEED = "S\t0\t400\t*\t*\t*\t*\t*\tq01\t*"
SAID = "q00 some description\td:Animalia(1.00),f:F0(1.00),g:Genus0(0.91),s:Genus0 sp_0(0.50)\t+\td:Animalia,f:F0,g:Genus0"
SAID_WITHOUT_CUTOFF = "q00\td:Animalia(1.00),f:F0(1.00)\t+"
SAID_NOTHING = "random\t\t\t"


def test_lines_as_the_tools_write_them() -> None:
    assert blast6(BLASTN) == Hit("q01", "r010", 0.9875, 400, 712.0, "+")
    assert blast6(BLASTN.replace("\t1\t400\t0.0", "\t400\t1\t0.0")).strand == "-"
    assert blast6(VSEARCH) == Hit("q01", "r010", pytest.approx(0.988), 400, 0.0, "+")
    assert blast6(VSEARCH_NONE) == Hit("qx", None)
    assert uc(UC_HIT) == Hit("q01", "r010", pytest.approx(0.988), 400, 0.0, "+")
    assert uc(UC_NONE) == Hit("qx", None)
    assert uc(UC_SEED) is None
    ranks = (("d", "Animalia", 1.0), ("f", "F0", 1.0), ("g", "Genus0", 0.91), ("s", "Genus0 sp_0", 0.5))
    assert sintax(SAID) == Support("q00", ranks, "+")
    assert sintax(SAID_WITHOUT_CUTOFF) == Support("q00", ranks[:2], "+")
    assert sintax(SAID_NOTHING) == Support("random", (), "+")


def test_a_name_may_hold_commas_and_brackets() -> None:
    said = sintax("q\tg:Aus (Bus)(0.90),s:Aus cf. bus, form 2 (x)(0.40)\t+")
    assert said.ranks == (("g", "Aus (Bus)", 0.9), ("s", "Aus cf. bus, form 2 (x)", 0.4))


@pytest.mark.parametrize(
    ("parse", "line", "reason"),
    [
        (blast6, "q\tr\t98", "3 columns where blast6 has 12"),
        (blast6, BLASTN.replace("98.750", "many"), "no number where blast6 has one"),
        (blast6, BLASTN.replace("98.750", "198.750"), "an identity of 198.75 %"),
        (blast6, BLASTN.replace("98.750", "nan"), "an identity of nan %"),
        (blast6, BLASTN.replace("q01", " "), "no query id"),
        (uc, UC_HIT + "\tmore", "11 columns where uc has 10"),
        (uc, UC_HIT.replace("H", "Q", 1), "a record of type 'Q'"),
        (uc, UC_HIT.replace("98.8", "*"), "no number where uc has one"),
        (sintax, "q\td:Animalia(1.00", "2 columns where sintax has 3 or 4"),
        (sintax, "q\td:Animalia\t+", "no rank with its support"),
        (sintax, "q\td:Animalia(7.00)\t+", "a support of 7"),
    ],
)
def test_a_line_that_is_none_of_its_format_says_why(parse: object, line: str, reason: str) -> None:
    with pytest.raises(NotThisFormat, match=reason.replace("(", r"\(")):
        parse(line)  # type: ignore[operator]


@given(st.text(max_size=200))
def test_no_line_breaks_a_parser(line: str) -> None:
    for parse in (blast6, uc, sintax):
        try:
            found = parse(line)
        except NotThisFormat:
            continue
        assert found is None or found.query


@pytest.mark.parametrize(
    ("text", "format_", "lines"),
    [
        (f"{BLASTN}\nbroken\n\n{VSEARCH}\n", BLAST6, 2),
        (f"{BLASTN}\r\n{VSEARCH}\r\n", BLAST6, 2),
        (
            f"# BLASTN 2.12.0+\n# Query: q9 words\n# Database: x\n# 0 hits found\n# Query: q01\n# 1 hits found\n{BLASTN}\n",
            BLAST6,
            2,
        ),
        (f"{UC_SEED}\n{UC_HIT}\n{UC_NONE}\n", UC, 2),
        (f"{SAID}\n{SAID_NOTHING}\n", SINTAX, 2),
        (f"{SAID_WITHOUT_CUTOFF}\n", SINTAX, 1),
    ],
)
def test_a_file_tells_its_format_packed_or_not(tmp_path: Path, text: str, format_: str, lines: int) -> None:
    plain, packed = tmp_path / "hits.txt", tmp_path / "hits.gz"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        file, failures = ToolFile.of(path), Failures()
        assert file.format == format_
        found = list(file.parsed(failures))
        assert len(found) == lines
        broken = [(row.source, row.row, row.reason) for row in failures]
        assert broken == ([(str(path), 2, "1 columns where blast6 has 12")] if "broken" in text else [])
    if "q9" in text:
        assert found[0] == (4, Hit("q9", None))


def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path) -> None:
    for content, reason in ((b"", "no line"), (b">q\nACGT\n", "no blast6"), (b"\x00\x01\x02" * 50, "cannot read|no blast6")):
        path = tmp_path / "it"
        path.write_bytes(content)
        with pytest.raises(BiocosmosError, match=reason):
            ToolFile.of(path)
    with pytest.raises(BiocosmosError, match="nowhere"):
        ToolFile.of(tmp_path / "nowhere")


RANKS = ("kingdom", "order", "family", "subfamily", "genus", "species")
PATHS = [
    ("Animalia", "Diptera", "Muscidae", "Muscinae", "Musca", "Musca domestica"),
    ("Animalia", "Diptera", "Muscidae", "Muscinae", "Musca", "Musca autumnalis"),
    ("Animalia", "Diptera", "Muscidae", None, "Phaonia", "Phaonia sp. 1, (nr. x)"),
    ("Animalia", "Hemiptera", "Cicadellidae", None, "Oenanthe", "Oenanthe prima"),
    ("Plantae", "Apiales", "Apiaceae", None, "Oenanthe", "Oenanthe aquatica"),
    (None, None, None, None, None, None),
]


@pytest.fixture
def tree() -> tuple[Taxonomy, dict[str, int]]:
    """A tree with a homonym (Oenanthe) and null ranks, and six specimens r0 to r5, the last without a name."""
    table = pa.table({rank: pa.array([path[i] for path in PATHS], pa.string()) for i, rank in enumerate(RANKS)})
    taxonomy = Taxonomy.from_table(table, RANKS)
    return taxonomy, {f"r{i}": int(node) for i, node in enumerate(taxonomy.index(table))}


def naming(tree: tuple[Taxonomy, dict[str, int]], threshold: float = 0.97) -> ToolNames:
    return ToolNames(*tree, "a tool", threshold)


def hit(target: str | None, identity: float = 0.99, length: int = 600, bits: float = 0.0) -> Hit:
    return Hit("q", target, identity, length, bits)


@pytest.mark.parametrize(
    ("hits", "guess", "confidence", "taxon"),
    [
        ([], None, None, None),
        ([hit(None)], None, None, None),
        ([hit("r0", 0.99), hit("r1", 0.98)], "Musca domestica", 0.99, "Musca domestica"),
        ([hit("r0", 0.99), hit("r1", 0.99)], "Musca", 0.99, "Musca"),
        ([hit("r1", 0.99), hit("r2", 0.99), hit("r0", 0.99)], "Muscidae", 0.99, "Muscidae"),
        ([hit("r0", 0.99, 600), hit("r1", 0.99, 90)], "Musca domestica", 0.99, "Musca domestica"),  # the longer alignment
        ([hit("r1", 1.0, 50, bits=90), hit("r0", 0.98, 650, bits=1100)], "Musca domestica", 0.98, "Musca domestica"),  # bits
        ([hit("r0", 0.99, bits=700), hit("r1", 0.98, bits=700)], "Musca", 0.99, "Musca"),
        ([hit("r5", 1.0), hit("r0", 0.98)], "Musca domestica", 0.98, "Musca domestica"),  # one without a name says nothing
        ([hit("r0", 0.90)], "Musca domestica", 0.90, None),  # not sure enough
        ([hit("r3", 0.99), hit("r4", 0.99)], None, None, None),  # nothing in common
        ([hit("r0;tax=k:Animalia,s:x", 0.99)], "Musca domestica", 0.99, "Musca domestica"),
        ([hit("q", 1.0), hit("r1", 0.98)], "Musca autumnalis", 0.98, "Musca autumnalis"),  # itself
        ([hit("who", 1.0), hit("r1", 0.98)], "Musca autumnalis", 0.98, "Musca autumnalis"),  # not in the collection
    ],
)
def test_the_best_hits_name_their_lowest_common_taxon(
    tree: tuple[Taxonomy, dict[str, int]], hits: list[Hit], guess: str | None, confidence: float | None, taxon: str | None
) -> None:
    failures = Failures()
    row = naming(tree).table([("q", hits)], failures, "hits.b6").to_pylist()[0]
    assert (row["best_guess"], row["best_guess_confidence"], row["taxon"]) == (guess, confidence, taxon)
    assert row["id"] == "q" and row["method"] == "a tool" and row["novel"] is None
    strange = [(one.id, one.severity, one.source) for one in failures]
    assert strange == ([("who", "warning", "hits.b6")] if any(one.target == "who" for one in hits) else [])


def test_the_hits_are_the_evidence(tree: tuple[Taxonomy, dict[str, int]]) -> None:
    row = naming(tree).table([("q", [hit("r1", 0.5), hit("r0", 0.75)])], Failures(), None).to_pylist()[0]
    assert row["neighbours"] == [
        {"id": "r0", "taxon": "Musca domestica", "score": 0.75},
        {"id": "r1", "taxon": "Musca autumnalis", "score": 0.5},
    ]


def said(*ranks: tuple[str, str, float]) -> list[Support]:
    return [Support("q", ranks)]


def test_support_becomes_confidence_at_our_ranks(tree: tuple[Taxonomy, dict[str, int]]) -> None:
    spoken = said(("k", "Animalia", 1.0), ("f", "Muscidae", 0.95), ("g", "Musca", 0.85), ("s", "Musca_domestica", 0.4))
    row = naming(tree, 0.8).table([("q", spoken)], Failures(), None).to_pylist()[0]
    assert [row[rank] for rank in RANKS] == list(PATHS[0])
    # an order that SINTAX left out and a subfamily it has no letter for are as sure as what is below them
    assert [row[f"{rank}_confidence"] for rank in RANKS] == [1.0, 0.95, 0.95, 0.85, 0.85, 0.4]
    assert (row["taxon"], row["rank"], row["confidence"]) == ("Musca", "genus", 0.85)


def test_a_homonym_is_the_one_under_what_stands_above_it_and_a_strange_name_is_told(
    tree: tuple[Taxonomy, dict[str, int]],
) -> None:
    failures = Failures()
    spoken = {
        "plant": said(("k", "Plantae", 1.0), ("g", "Oenanthe", 0.9)),
        "animal": said(("k", "Animalia", 1.0), ("g", "Oenanthe", 0.9)),
        "which": said(("g", "Oenanthe", 0.9)),
        "strange": said(("k", "Animalia", 1.0), ("f", "Muscidae", 0.9), ("s", "Musca nova", 0.9)),
        "nothing": said(),
    }
    rows = naming(tree, 0.8).table(list(spoken.items()), failures, "s.tsv").to_pylist()
    assert [row["family"] for row in rows] == ["Apiaceae", "Cicadellidae", None, "Muscidae", None]
    assert [row["taxon"] for row in rows] == ["Oenanthe", "Oenanthe", None, "Muscidae", None]
    assert sorted(str(one.id) for one in failures) == ["genus:Oenanthe", "species:Musca nova"]


def test_headers_name_every_taxon_safely_and_back(tree: tuple[Taxonomy, dict[str, int]]) -> None:
    taxonomy, nodes = tree
    headers = Headers(taxonomy)
    assert lettered(RANKS) == {"k": "kingdom", "o": "order", "f": "family", "g": "genus", "s": "species"}
    for node in nodes.values():
        tax = headers.tax(node)
        assert all(letter not in tax.replace(",", "", tax.count(",")) for letter in "();\t ") and tax.isascii()
        names = [part.split(":", 1)[1] for part in tax.split(",")] if tax else []
        assert [headers.node(name) for name in names] == [
            n for r, n in zip(RANKS, taxonomy.lineage(node)) if r != "subfamily" and n >= 0
        ]
    assert headers.tax(nodes["r5"]) == ""
    assert headers.node("Musca|99999") is None and headers.node("Musca") is None and headers.node("Other|1") is None


def test_ranks_without_letters_are_refused() -> None:
    with pytest.raises(BiocosmosError, match="SINTAX knows the ranks domain"):
        lettered(("tribe", "colour"))
