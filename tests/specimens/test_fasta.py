"""FASTA and FASTQ as people have them: any line ends and lengths, any first lines, with a table beside or not."""

from __future__ import annotations

import bz2
import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from Bio import SeqIO
from hypothesis import given
from hypothesis import strategies as st

from biocosmos import Collection
from biocosmos.barcodes.orientation import reverse_complement
from biocosmos.barcodes.rules import Rules
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.settings import UnusedSetting
from biocosmos.specimens.readers import detect, read
from biocosmos.specimens.readers.sequence_headers import FORMS, PLAIN, form_of, taxon
from biocosmos.specimens.readers.sequence_text import fasta_records, fastq_records
from reading import rows_of

A, B, C = (str(barcode).strip("N") for barcode in simulate_barcodes(seed=5, species=3)["barcode"].to_pylist()[::8])


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def folded(sequence: str, width: int = 60, end: str = "\n") -> str:
    return end.join(sequence[i : i + width] for i in range(0, len(sequence), width)) + end


def reasons(failures: Failures) -> list[tuple[str, str | None, str]]:
    return [(failure.severity, failure.id, failure.reason) for failure in failures]


# ------------------------------------------------------------------ the text


def test_one_line_many_lines_and_mixed_line_ends_are_the_same(tmp_path: Path) -> None:
    text = f">a first one\r\n{folded(A, end=chr(13) + chr(10))}>b\n{B.lower()}\n\n>c\r{folded(C, 70, chr(13))}"
    rows, failures, ranks = rows_of(put(tmp_path / "x.fasta", text))
    assert [(row["id"], row["barcode"]) for row in rows] == [("a", A), ("b", B), ("c", C)]
    assert [row["description"] for row in rows] == ["first one", None, None] and ranks == () and not failures


@pytest.mark.parametrize("name", ["x.fa", "x.fas", "x.fna", "x.ffn", "x.FASTA", "x.fsa", "x.fasta.gz", "x.fa.bz2", "x.zip"])
def test_the_format_is_found_by_the_name_packed_or_not(tmp_path: Path, name: str) -> None:
    content = f">a\n{A}\n".encode()
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("inner/one.fasta", content)
    else:
        pack: Callable[[bytes], bytes] = gzip.compress if name.endswith("gz") else bz2.compress if name.endswith("2") else bytes
        put(tmp_path / name, pack(content))
    assert detect(tmp_path / name) == "fasta"
    assert [row["barcode"] for row in rows_of(tmp_path / name)[0]] == [A]


def test_a_mark_windows_letters_and_utf_16_are_read(tmp_path: Path) -> None:
    text = f">a Mücke\n{A}\n>b é\n{B}\n"
    for encoding, warned in (("utf-8-sig", 0), ("cp1252", 1), ("utf-16", 0)):
        rows, failures, _ = rows_of(put(tmp_path / f"{encoding}.fasta", text.encode(encoding)))
        assert [(row["id"], row["description"], row["barcode"]) for row in rows] == [("a", "Mücke", A), ("b", "é", B)]
        assert failures.warnings == warned


def test_whatever_is_no_barcode_is_a_row_with_its_reason(tmp_path: Path) -> None:
    bad = {
        "empty": "",
        "protein": "MKVLEFPQRSTVWY" * 20,
        "unknown": "N" * 300,
        "contig": "ACGT" * 250_000,
        "short": "ACGT",
        "rna": A.replace("T", "U"),
        "other_strand": reverse_complement(B),
        "good": C,
    }
    text = "".join(f">{name}\n{folded(letters)}" for name, letters in bad.items()) + f">\n{A}\n"
    rows, failures, _ = rows_of(put(tmp_path / "x.fasta", text))
    assert {row["id"]: row["barcode"] for row in rows} == {"rna": A, "other_strand": B, "good": C}
    told = {id: reason for severity, id, reason in reasons(failures) if severity == "error"}
    assert {name: reason.split(":")[0] for name, reason in told.items()} == {
        "empty": "the sequence is empty",
        "protein": "the sequence has letters that stand for no nucleotide ('E', 'F', 'L', 'P', 'Q')",
        "unknown": "the sequence is nothing but unknown bases (300 N)",
        "contig": "the sequence has 1,000,000 bases, more than --max-length 5,000",
        "short": "the sequence has 4 bases, fewer than --min-length 100",
        None: "no id",
    }
    assert [(f.row, f.id) for f in failures if f.severity == "error" and f.id == "short"] == [(5, "short")]
    assert [reason for severity, _, reason in reasons(failures) if severity == "warning"] == [
        "1 barcode written as RNA: U read as T (rna)",
        "1 barcode of the other strand: turned, which --orientation keep leaves as it is (other_strand)",
    ]


def test_duplicate_ids_are_told_and_the_first_is_kept(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c.cosmos")
    summary = collection.add(read(put(tmp_path / "x.fasta", f">a\n{A}\n>a\n{B}\n>b\n{C}\n>b\n{C.lower()}\n")))
    assert (summary.added, summary.different, summary.repeated) == (2, 1, 1)
    assert collection.table(["barcode"])["barcode"].to_pylist() == [A, C]
    assert "duplicate id: it stands earlier in this source, with another barcode" in next(iter(summary.failures)).reason


def test_what_is_no_fasta_at_all_is_said(tmp_path: Path) -> None:
    for text in ("", "\n\n", "no sequences here\n"):
        with pytest.raises(BiocosmosError, match="no sequence that can be read"):
            read(put(tmp_path / "x.fasta", text))
    rows, failures, _ = rows_of(put(tmp_path / "y.fasta", f"; an old comment\n\n>a\n;within\n{A}\n"))
    assert [row["barcode"] for row in rows] == [A] and not failures
    rows, failures, _ = rows_of(put(tmp_path / "z.fasta", f"ACGT\n>a\n{A}\n"))
    assert [row["id"] for row in rows] == ["a"] and "stands before the first '>'" in next(iter(failures)).reason
    far = "no record\n" * 300_000 + f">a\n{A}\n>"  # more than is read at once
    rows, failures, _ = rows_of(put(tmp_path / "far.fasta", far))
    assert [row["id"] for row in rows] == ["a"] and [f.row for f in failures] == [1, 3]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.fasta", ">a\nACGT\n")
        archive.writestr("b.fasta", ">a\nACGT\n")
    with pytest.raises(BiocosmosError, match="no single file of sequences"):
        read(tmp_path / "two.zip", format="fasta")


def test_a_chromosome_is_passed_over_in_flat_memory() -> None:
    class Long(io.StringIO):
        """Two hundred million letters, made as they are read."""

        def __init__(self) -> None:
            super().__init__()
            self.pieces = [">a x\n", *["ACGT" * 262_144] * 48, "\n>b\nACGT"]

        def read(self, size: int | None = -1) -> str:
            return self.pieces.pop(0) if self.pieces else ""

    tracemalloc.start()
    records = list(fasta_records(Long()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(record.header, record.letters) for record in records] == [("a x", ""), ("b", "ACGT")]
    assert "a chromosome, no barcode" in str(records[0].problem) and peak < 64 << 20


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
SEQUENCES = st.lists(st.tuples(NAMES, st.text("ACGTNacgtn-", min_size=1, max_size=90)), min_size=1, max_size=5)


@given(SEQUENCES, st.integers(1, 80), st.sampled_from(["\n", "\r\n"]))
def test_fasta_is_read_as_biopython_reads_it(records: list[tuple[str, str]], width: int, end: str) -> None:
    text = "".join(f">{name} x{end}{folded(letters, width, end)}" for name, letters in records)
    theirs = [(one.description, str(one.seq)) for one in SeqIO.parse(io.StringIO(text, newline=None), "fasta")]
    ours = [(one.header, "".join(one.letters.split())) for one in fasta_records(io.StringIO(text, newline=""))]
    assert ours == theirs


@given(SEQUENCES, st.integers(0, 1000))
def test_fastq_is_read_as_biopython_reads_it(records: list[tuple[str, str]], seed: int) -> None:
    quality = "".join(chr(33 + (seed + i) % 60) for i in range(100))  # with "@" and "+" among them
    text = "".join(f"@{name}\n{letters}\n+\n{quality[: len(letters)]}\n" for name, letters in records)
    theirs = [(one.description, str(one.seq)) for one in SeqIO.parse(io.StringIO(text), "fastq")]
    ours = [(one.header, one.letters) for one in fastq_records(io.StringIO(text, newline=""))]
    assert ours == theirs and all(one.problem is None for one in fastq_records(io.StringIO(text, newline="")))


def test_a_damaged_record_of_fastq_costs_itself_alone(tmp_path: Path) -> None:
    good = f"@a x\n{A}\n+\n{'@' * len(A)}\n", f"@d\n{folded(B)}+d\n{folded('I' * len(B))}"
    text = f"{good[0]}@b\nACGT\n+\nII\n@c\nACGT\nno plus\n{good[1]}@e\nACGTACGT\n+\nI"
    rows, failures, _ = rows_of(put(tmp_path / "x.fastq", text))
    assert [(row["id"], row["barcode"]) for row in rows] == [("a", A), ("d", B)]
    assert [failure.id for failure in failures] == ["b", "c", "e"] and failures.errors == 3


# ------------------------------------------------------------------ first lines

HEADERS: dict[str, tuple[str, dict[str, str]]] = {
    "SINTAX": (
        "AB1;tax=d:Eukaryota,k:Animalia,p:Arthropoda,c:Insecta,o:Diptera,f:Culicidae,g:Culex,s:Culex_pipiens;size=3;",
        {"id": "AB1", "kingdom": "Animalia", "order": "Diptera", "genus": "Culex", "species": "Culex pipiens"},
    ),
    "UNITE": (
        "Inocybe_sp|UDB1|SH1.10FU|reps|k__Fungi;p__Basidiomycota;c__Agaricomycetes;o__unidentified;"
        "f__Fam_Incertae_sedis;g__Inocybe;s__Inocybe_sp",
        {"id": "UDB1", "class": "Agaricomycetes", "genus": "Inocybe", "label": "Inocybe sp", "species_hypothesis": "SH1.10FU"},
    ),
    "MIDORI": (
        "AB1.1.<1.>650###root_1;Eukaryota_2759;Arthropoda_6656;Insecta_50557;order_Insecta_50557;Culicidae_7157;Culex_7174;"
        "Culex pipiens_7175",
        {"id": "AB1.1.<1.>650", "phylum": "Arthropoda", "family": "Culicidae", "species": "Culex pipiens"},
    ),
    "RDP": (
        "S1 Culex; 2\tLineage=Root;rootrank;Animalia;kingdom;Arthropoda;phylum;Insecta;class;Culex;genus",
        {"id": "S1", "kingdom": "Animalia", "class": "Insecta", "genus": "Culex"},
    ),
    "ranks": (
        "X1 k__Animalia; p__Arthropoda; c__Insecta; o__; f__Culicidae; g__Culex; s__pipiens",
        {"id": "X1", "class": "Insecta", "family": "Culicidae", "genus": "Culex", "species": "Culex pipiens"},
    ),
    "BOLD": (
        "ABC1-10|Culex pipiens|COI-5P|KC123|BOLD:AAA1234",
        {"id": "ABC1-10", "label": "Culex pipiens", "genus": "Culex", "accession": "KC123", "dna_bin": "BOLD:AAA1234"},
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_first_lines_of_databases_are_read(tmp_path: Path, name: str) -> None:
    header, expected = HEADERS[name]
    source = read(put(tmp_path / "x.fasta", f">{header}\n{A}\n>{header.replace('1', '2', 1)}\n{B}\n"))
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    assert source.format == f"fasta, {name}" and not source.failures
    assert {column: rows[0].get(column) for column in expected} == expected
    assert "order" not in rows[0] or rows[0]["order"] != "unidentified"


ALSO = {"UNITE": ("ranks",)}
"""Forms that read the first line of another database too; the earlier of FORMS is taken."""


def test_a_form_is_that_of_all_first_records() -> None:
    sintax = HEADERS["SINTAX"][0]
    assert form_of([sintax, sintax]).name == "SINTAX" and form_of([sintax, "a b"]) is PLAIN and form_of([]) is PLAIN
    for form in FORMS:
        for name, (header, _) in HEADERS.items():
            assert (form.read(header) is not None) == (form.name == name or (form.name == "ranks" and name == "UNITE")), (
                name,
                form,
            )
    assert taxon("uncultured_Culex") is None and taxon("Culex_sp._1") == "Culex sp. 1"


def test_names_without_ranks_are_kept_and_told(tmp_path: Path) -> None:
    text = f">a Root;Animalia;Arthropoda;Insecta;Diptera;Culicidae\n{A}\n"
    rows, failures, ranks = rows_of(put(tmp_path / "x.fasta", text))
    assert ranks == () and rows[0]["description"] == "Root;Animalia;Arthropoda;Insecta;Diptera;Culicidae"
    assert "--pattern with a named group for each rank" in next(iter(failures)).reason
    pattern = r"(?P<id>\S+) Root;Animalia;(?P<phylum>\w+);(?P<class>\w+);(?P<order>\w+);(?P<family>\w+)".replace(
        "<class>", "<class_>"
    )
    rows, failures, ranks = rows_of(tmp_path / "x.fasta", pattern=pattern, columns={"class_": "class"})
    assert ranks == ("phylum", "class", "order", "family") and rows[0]["class"] == "Insecta" and not failures


def test_a_pattern_says_which_part_is_what(tmp_path: Path) -> None:
    path = put(tmp_path / "x.fasta", f">lab|7|Culex pipiens|12\n{A}\n>lab|8||9\n{B}\n>other\n{C}\n")
    rows, failures, ranks = rows_of(path, pattern=r"^lab\|(?P<id>\d+)\|(?P<species>[^|]*)\|(?P<drawer>\d+)$")
    assert [(row["id"], row["species"], row["genus"], row["drawer"]) for row in rows] == [
        ("7", "Culex pipiens", "Culex", "12"),
        ("8", None, None, "9"),
    ]
    assert ranks == ("genus", "species")
    assert [(f.row, f.reason) for f in failures if f.severity == "error"] == [
        (3, "the first line 'other' does not match --pattern")
    ]
    with pytest.raises(BiocosmosError, match="is no regular expression"):
        read(path, pattern="(")
    with pytest.raises(BiocosmosError, match="has no named group"):
        read(path, pattern=".*")
    with pytest.raises(BiocosmosError, match="has no 'nowhere' in its first lines"):
        read(path, columns={"nowhere": "label"})


def test_one_marker_of_several_is_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path / "x.fas", f">A1-10|Culex pipiens|COI-5P\n{A}\n>A1-10|Culex pipiens|ITS\n{B}\n")
    rows, failures, _ = rows_of(path, marker="coi-5p")
    assert [(row["id"], row["marker"]) for row in rows] == [("A1-10", "COI-5P")]
    assert [f.reason for f in failures] == ["of other markers than coi-5p, 1 left out"]
    with pytest.raises(BiocosmosError, match="says no marker in its first lines"):
        rows_of(put(tmp_path / "y.fas", f">a\n{A}\n"), marker="COI-5P")


# ------------------------------------------------------------------ a table beside

BOLD = (
    "processid\tsampleid\tgenus_name\tspecies_name\tfamily_name\tlat\tlon\tcollectors\tidentifier_email\tbin_uri\tdepth\tnucleotides\n"
    f"A1-10\tS1\tCulex\tCulex modestus\tCulicidae\t1.5\t2\tA. Person\ta@b.org\tBOLD:AAA1\t7\t{B}\n"
    f"ZZ-10\tS2\tX\tX y\tXidae\t\t\t\t\t\t8\t{A}\n"
)


def test_a_table_is_joined_by_id(tmp_path: Path) -> None:
    path = put(tmp_path / "x.fas", f">A1-10|Culex pipiens|COI-5P\n{A}\n>A2-10|Culex sp. 1|COI-5P\n{B}\n")
    table = put(tmp_path / "bold.tsv", BOLD)
    rows, failures, ranks = rows_of(path, metadata=table)
    first, second = rows
    assert ranks == ("family", "genus", "species")
    assert (first["barcode"], first["species"], first["family"], first["latitude"]) == (A, "Culex modestus", "Culicidae", 1.5)
    assert (first["depth"], first["dna_bin"]) == (7, "BOLD:AAA1")  # numbers as numbers, and the file's own barcode
    assert (first["depth_min"], first["depth_max"]) == (7, 7)
    assert (second["label"], second["species"], second["genus"]) == ("Culex sp. 1", None, "Culex")
    assert not {"collectors", "identifier_email"} & set(first)
    told = [reason for _, _, reason in reasons(failures)]
    assert told == [
        "columns about people are left out: collectors, identifier_email; --keep-personal keeps them",
        told[1],
        "1 sequence has no row in bold.tsv: A2-10",
        "1 row is used for no sequence of x.fas: ZZ-10",
        "1 row: depth is taken for metres; if it is not: --column depth_as_written=depth",
    ]
    assert "names no species for certain" in told[1]
    assert rows_of(path, metadata=table, keep_personal=True)[0][0]["collectors"] == "A. Person"
    with pytest.raises(BiocosmosError, match=r"no id of .*x.fas \(A1-10, A2-10\) stands in the column of ids"):
        rows_of(path, metadata=table, columns={"sampleid": "id"})
    with pytest.raises(BiocosmosError, match="has no column of the sequences' ids"):
        read(path, metadata=put(tmp_path / "t.csv", "depth,text\n1,x\n"))


def test_a_table_has_an_encoding_of_its_own(tmp_path: Path) -> None:
    path = put(tmp_path / "x.fasta", f">a Mücke\n{A}\n".encode())
    table = put(tmp_path / "t.csv", "id,place\na,München\n".encode("cp1252"))
    rows, failures, _ = rows_of(path, metadata=table)
    assert (rows[0]["description"], rows[0]["place"]) == ("Mücke", "München")
    assert ["read as Windows-1252" in f.reason for f in failures] == [True]


def test_the_first_line_of_the_issue(tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    put(tmp_path / "barcodes.fasta", f">A1-10\n{A}\n>A3-10\n{C}\n")
    put(tmp_path / "bold.tsv", BOLD)
    biocosmos("ingest", tmp_path / "barcodes.fasta", "--metadata", tmp_path / "bold.tsv", "-o", tmp_path / "coi.cosmos")
    collection = Collection.open(tmp_path / "coi.cosmos")
    assert collection.table(["id", "species", "barcode"]).to_pylist() == [
        {"id": "A1-10", "species": "Culex modestus", "barcode": A},
        {"id": "A3-10", "species": None, "barcode": C},
    ]
    said = biocosmos("ingest", tmp_path / "barcodes.fasta", "-o", tmp_path / "coi.cosmos", "--size", "big", fails=2)
    assert "--size does nothing here" in said
    said = biocosmos("ingest", tmp_path / "barcodes.fasta", "-o", tmp_path / "x.cosmos", "--primer-errors", "0.2", fails=2)
    assert "--primer-errors does nothing here: it is used with --primers" in said
    assert "no known primer" in biocosmos("ingest", tmp_path / "barcodes.fasta", "-o", "x.cosmos", "--primers", "none", fails=1)


def test_options_of_barcodes_are_refused_where_there_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(UnusedSetting, match="--min-length does nothing here"):
        read(folder, rules=Rules(min_length=5))
    with pytest.raises(UnusedSetting, match="--pattern does nothing here: it is used with --format fasta"):
        read(put(tmp_path / "t.csv", "id,text\na,b\n"), pattern="(?P<id>.*)")
    with pytest.raises(BiocosmosError, match="no column of barcodes"):
        read(tmp_path / "t.csv", rules=Rules(min_length=5))


# ------------------------------------------------------------------ names


def test_identical_barcodes_under_several_names_are_told_once_each(tmp_path: Path) -> None:
    rows = [
        ("a", "s:Culex_pipiens", A),
        ("b", "s:Culex_torrentium", A.lower()),
        ("c", "s:Culex_pipiens", A),
        ("d", "s:Aedes_vexans", B),
    ]
    text = "".join(f">{id};tax=f:Culicidae,{name};\n{sequence}\n" for id, name, sequence in rows)
    _, failures, _ = rows_of(put(tmp_path / "x.fasta", text))
    assert [f.reason for f in failures] == ["identical barcodes stand under 2 names: 'Culex pipiens' (2), 'Culex torrentium' (1)"]


@pytest.mark.parametrize(
    "name", ["Culex sp. 1", "Culex cf. pipiens", "Culex nr. pipiens", "Culex sp. BOLD:AAA1234", "Culex aff. pipiens"]
)
def test_a_provisional_name_is_a_label_unless_asked(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "x.fasta", f">a;tax=f:Culicidae,g:Culex,s:{name.replace(' ', '_')};\n{A}\n")
    if ":" in name.partition("sp.")[2]:
        path = put(tmp_path / "x.csv", f"id,family,genus,species,nuc\na,Culicidae,Culex,{name},{A}\n")
    rows, failures, _ = rows_of(path)
    assert (rows[0]["label"], rows[0]["species"], rows[0]["genus"]) == (name, None, "Culex")
    told = f"1 row has a name that is no certain species: {name!r} (1): kept as the label; "
    assert [f.reason for f in failures] == [told + "--provisional takes such names for species"]
    rows, failures, _ = rows_of(path, provisional=True)
    assert (rows[0]["label"], rows[0]["species"]) == (name, name) and not failures


def test_homonyms_and_null_ranks_reach_the_taxonomy_as_they_are(tmp_path: Path) -> None:
    text = (
        "id,phylum,class,order,family,genus,species,nuc\n"
        f"a,Arthropoda,Insecta,Diptera,Tipulidae,Ctenophora,Ctenophora ornata,{A}\n"
        f"b,Ochrophyta,not_classified,NA,None,Ctenophora,Ctenophora pulchella,{B}\n"
        f"c,Arthropoda,Insecta,null,,N/A,nan,{C}\n"
    )
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(read(put(tmp_path / "x.csv", text)))
    stored = collection.table(["class", "order", "family", "genus", "species"]).to_pylist()
    assert stored[1] == {"class": None, "order": None, "family": None, "genus": "Ctenophora", "species": "Ctenophora pulchella"}
    assert stored[2] == {"class": "Insecta", "order": None, "family": None, "genus": None, "species": None}
    assert sum(name == "Ctenophora" for name in collection.taxonomy.names) == 2
