"""Checklists as they are published are read, joined, kept and refused aloud; the files are written here, after the formats."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy.checklists import Checklist, checklist
from biocosmos.taxonomy.checklists.formats import SIMPLE_BACKBONE, read_usages
from biocosmos.taxonomy.checklists.hashing import BASE, hashes, hashes_without_one
from biocosmos.taxonomy.checklists.joined import join

NAME_USAGE = (
    "col:ID\tcol:parentID\tcol:status\tcol:rank\tcol:scientificName\tcol:authorship\n"
    "K\t\taccepted\tkingdom\tAnimalia\t\n"
    "C\tK\taccepted\tclass\tAves\t\n"
    "F\tC\taccepted\tfamily\tCorvidae\tLeach, 1820\n"
    "G\tF\taccepted\tgenus\tPica\tBrisson, 1760\n"
    "S\tG\tprovisionally accepted\tspecies\tPica hudsonia\t(Sabine, 1823)\n"
    "B\tG\taccepted\tsubspecies\tPica pica subsp. bactriana\tBonaparte, 1850\n"
    "Y\tS\tsynonym\tspecies\tCorvus hudsonius\tSabine, 1823\n"
)
PATH = {"kingdom": "Animalia", "class": "Aves", "family": "Corvidae", "genus": "Pica", "species": "Pica hudsonia"}


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def opened(path: Path, **how: object) -> tuple[Checklist, list[str]]:
    failures = Failures()
    found = Checklist.open(path, failures=failures, cache=path.parent / "cache", **how)  # type: ignore[arg-type]
    return found, [failure.reason for failure in failures]


def path_of(found: Checklist, name: str) -> dict[str, str]:
    row = found.names.to_pylist().index(name)
    taxon = int(found.accepted[row])
    return {rank: names[0] for rank, names in found.lineages(np.array([taxon], np.int32)).items() if names[0]}


@pytest.mark.parametrize("packed", ["file", "folder", "zip", "gzip"])
def test_coldp_name_usages(tmp_path: Path, packed: str) -> None:
    path = put(tmp_path / "NameUsage.tsv", NAME_USAGE)
    if packed == "folder":
        (tmp_path / "coldp").mkdir()
        put(tmp_path / "coldp/name-usage.tsv", NAME_USAGE)
        path = tmp_path / "coldp"
        put(path / "Reference.tsv", "ID\tcitation\n")
    elif packed == "zip":
        path = tmp_path / "coldp.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("NameUsage.tsv", NAME_USAGE)
            archive.writestr("VernacularName.tsv", "taxonID\tname\n")
    elif packed == "gzip":
        path = tmp_path / "NameUsage.tsv.gz"
        path.write_bytes(gzip.compress(NAME_USAGE.encode()))
    found, told = opened(path)
    assert (found.format, told, len(found)) == ("ColDP NameUsage", [], 7)
    assert path_of(found, "Pica hudsonia") == path_of(found, "Corvus hudsonius") == PATH
    assert found.rank_columns == ("kingdom", "class", "family", "genus", "species", "subspecies")
    assert "pica pica bactriana" in found.keys.to_pylist()


def test_coldp_name_taxon_and_synonym(tmp_path: Path) -> None:
    names = "n1\tPica\t\tgenus\nn2\tPica hudsonia\t(Sabine)\tspecies\nn3\tCorvus hudsonius\t\tspecies\n"
    put(tmp_path / "Name.tsv", "ID\tscientificName\tauthorship\trank\n" + names)
    put(tmp_path / "Taxon.tsv", "ID\tparentID\tnameID\nt1\t\tn1\nt2\tt1\tn2\nt3\tt1\tn9\n")
    put(tmp_path / "Synonym.tsv", "taxonID\tnameID\tstatus\nt2\tn3\tsynonym\n")
    found, told = opened(tmp_path)
    assert path_of(found, "Corvus hudsonius") == {"genus": "Pica", "species": "Pica hudsonia"}
    assert told == ["the name 'n9' is not in name.tsv"]


def test_the_gbif_backbone_as_darwin_core_and_simple(tmp_path: Path) -> None:
    header = "taxonID parentNameUsageID acceptedNameUsageID scientificName scientificNameAuthorship canonicalName taxonRank "
    header = "\t".join([*header.split(), "taxonomicStatus", "kingdom"]) + "\n"
    rows = [
        "1\t\t\tAnimalia\t\tAnimalia\tkingdom\taccepted\tAnimalia",
        "2\t1\t\tPica Brisson, 1760\tBrisson, 1760\tPica\tgenus\taccepted\tAnimalia",
        '3\t2\t\tPica "hudsonia" (Sabine, 1823)\t(Sabine, 1823)\tPica hudsonia\tspecies\taccepted\tAnimalia',
        "4\t2\t3\tCorvus hudsonius Sabine, 1823\tSabine, 1823\tCorvus hudsonius\tspecies\tsynonym\tAnimalia",
        "5\t99\t\tLost genus\t\tLost\tgenus\tdoubtful\tAnimalia",
    ]
    (tmp_path / "dwca").mkdir()
    put(tmp_path / "dwca/Taxon.tsv", header + "\n".join(rows) + "\n")
    put(tmp_path / "dwca/VernacularName.tsv", "taxonID\tname\n")
    found, told = opened(tmp_path / "dwca")
    assert found.format == "GBIF backbone" and told == []
    assert path_of(found, "Corvus hudsonius") == {"kingdom": "Animalia", "genus": "Pica", "species": "Pica hudsonia"}
    assert path_of(found, "Lost") == {"kingdom": "Animalia", "genus": "Lost"}  # no parent row: the rank columns serve

    def simple(**cells: str) -> str:
        return "\t".join(cells.get(name, "\\N") for name in SIMPLE_BACKBONE)

    lines = [
        simple(id="1", is_synonym="f", status="ACCEPTED", rank="KINGDOM", scientific_name="Animalia", canonical_name="Animalia"),
        simple(id="3", parent_id="1", is_synonym="f", status="ACCEPTED", rank="SPECIES", canonical_name="Pica hudsonia",
               scientific_name="Pica hudsonia (Sabine, 1823)", bracket_authorship="Sabine", bracket_year="1823"),
        simple(id="4", parent_id="3", is_synonym="t", status="HETEROTYPIC_SYNONYM", rank="SPECIES", year="1823",
               scientific_name="Corvus hudsonius Sabine, 1823", canonical_name="Corvus hudsonius", authorship="Sabine"),
    ]  # fmt: skip
    path = tmp_path / "backbone-simple.txt.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    found, _ = opened(path)
    assert found.format == "GBIF backbone (simple)"
    assert path_of(found, "Corvus hudsonius") == {"kingdom": "Animalia", "species": "Pica hudsonia"}
    assert found.authorships.to_pylist() == [None, "(Sabine, 1823)", "Sabine, 1823"]


def test_worms_as_darwin_core_and_as_csv(tmp_path: Path) -> None:
    lsid = "urn:lsid:marinespecies.org:taxname:{}".format
    rows = [
        [
            "taxonID",
            "acceptedNameUsageID",
            "parentNameUsageID",
            "scientificName",
            "scientificNameAuthorship",
            "taxonRank",
            "status",
        ],
        (lsid(1), lsid(1), "", "Calanus", "Leach, 1816", "Genus", "accepted"),
        (lsid(2), lsid(2), lsid(1), "Calanus finmarchicus", "(Gunnerus, 1770)", "Species", "accepted"),
        (lsid(3), lsid(2), lsid(1), "Monoculus finmarchicus", "Gunnerus, 1770", "Species", "unaccepted"),
    ]
    put(tmp_path / "taxon.txt", "\n".join("\t".join(row) for row in rows))
    found, _ = opened(tmp_path / "taxon.txt")
    assert found.format == "WoRMS export"
    assert path_of(found, "Monoculus finmarchicus") == {"genus": "Calanus", "species": "Calanus finmarchicus"}
    flat = put(
        tmp_path / "taxlist.csv",
        "AphiaID,ScientificName,Authority,AphiaID_accepted,ScientificName_accepted,Kingdom,Class,Genus,taxonRank,taxonomicStatus\n"
        '104464,Calanus finmarchicus,"(Gunnerus, 1770)",104464,Calanus finmarchicus,Animalia,Copepoda,Calanus,Species,accepted\n'
        '9,Monoculus finmarchicus,"Gunnerus, 1770",104464,Calanus finmarchicus,Animalia,Copepoda,Monoculus,Species,unaccepted\n'
        "8,Copepoda,,8,Copepoda,Animalia,Copepoda,,Class,accepted\n",
    )
    found, _ = opened(flat)
    assert found.format == "WoRMS export"
    assert path_of(found, "Monoculus finmarchicus")["class"] == "Copepoda"
    assert found.names.to_pylist().count("Copepoda") == 1 and found.names.to_pylist().count("Animalia") == 1


def test_parents_and_children_under_names_of_ones_own(tmp_path: Path) -> None:
    text = "Nr;Oberbegriff;Rang;Bezeichnung\n1;;Reich;Meer\n2;1;Form;rund\n3;2;Typ;r1\n"
    columns = {"Nr": "id", "Oberbegriff": "parent_id", "Rang": "rank", "Bezeichnung": "name"}
    found, _ = opened(put(tmp_path / "eigene.csv", text), columns=columns)
    assert found.rank_columns == ("reich", "form", "typ") and path_of(found, "r1") == {
        "reich": "Meer",
        "form": "rund",
        "typ": "r1",
    }
    names, _ = opened(put(tmp_path / "names.tsv", "name\tparent\nAnimalia\t\nCopepoda\tAnimalia\nCalanus\tCopepoda\n"))
    assert path_of(names, "Calanus") == {"level_1": "Animalia", "level_2": "Copepoda", "level_3": "Calanus"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,3,class,A\n2,1,order,B\n3,2,family,C", "row 1 \\(A\\): its parents lead back to itself"),
        ("1,1,class,A\n2,9,order,B", "row 2 \\(B\\): the parent '9' is not in the table"),
        ("1,,genus,A\n2,1,family,B", "row 2 \\(B\\): its rank 'family' does not stand below that of its parent"),
        ("1,,genus,A\n2,1,genus,B", "row 2 \\(B\\): its rank 'genus' does not stand below"),
        ("1,,class,A\n2,1,morph,B\n3,2,class,C", "row 3 \\(C\\): its rank 'class'"),
        ("1,,class,A\n1,,class,B", "the id '1' is there twice"),
        ("1,,class,\n", "no name"),
    ],
)
def test_a_broken_tree_of_ones_own_is_refused_with_its_rows(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said):
        opened(put(tmp_path / "tree.csv", f"id,parent_id,rank,name\n{rows}\n"))


def test_the_faults_of_a_published_checklist_are_told_and_gone_round(tmp_path: Path) -> None:
    text = NAME_USAGE + "X\tX2\taccepted\tgenus\tXus\t\nX2\tX\taccepted\tfamily\tXidae\t\nZ\tgone\tsynonym\tspecies\tZus zus\t\n"
    found, told = opened(put(tmp_path / "NameUsage.tsv", text))
    assert path_of(found, "Pica hudsonia") == PATH
    assert [reason for reason in told if "lead back" in reason] and [reason for reason in told if "'gone' is not" in reason]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "x,y\n1,2\n", "no column of names"),
        ("a.zip", None, "as a zip"),
        (
            "a.csv",
            'id,parent,rank,name\n1,,genus,"Aus\n2,1,species,Aus bus\n',
            "row 1: name holds a line break",
        ),
    ],
)
def test_what_is_no_checklist_is_refused(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    path = put(tmp_path / name, "not a zip" if text is None else text)
    with pytest.raises(BiocosmosError, match=said):
        opened(path)
    with pytest.raises(BiocosmosError, match="no file or folder"):
        opened(tmp_path / "gone.csv")
    (tmp_path / "many").mkdir()
    put(tmp_path / "many/a.csv", "name\n")
    put(tmp_path / "many/b.csv", "name\n")
    with pytest.raises(BiocosmosError, match="neither NameUsage"):
        opened(tmp_path / "many")


def test_ragged_lines_and_other_encodings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "NameUsage.tsv"
    path.write_bytes((NAME_USAGE + "Q\tG\n" + "M\tG\taccepted\tspecies\tPica m\xfclleri\tM\xfcller\n").encode("latin-1"))
    found, told = opened(path)
    assert "Pica müllleri".replace("lll", "ll") in found.names.to_pylist()
    assert told[0] == "not UTF-8: read as Windows-1252" and "2 fields where the header has 6: left out" in told


def test_a_large_checklist_is_compiled_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checklist, "CACHED_ROWS", 1)
    path = put(tmp_path / "NameUsage.tsv", NAME_USAGE + "Z\tgone\tsynonym\tspecies\tZus zus\t\n")
    first, told = opened(path)
    monkeypatch.setattr(checklist, "read_usages", lambda *_: pytest.fail("compiled again"))
    kept, again = opened(path)
    assert again == told and len(told) == 1
    assert kept.names.equals(first.names) and kept.keys.equals(first.keys) and (kept.rows == first.rows).all()
    monkeypatch.undo()
    monkeypatch.setattr(checklist, "CACHED_ROWS", 1)
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "usages.arrow").write_bytes(b"cut off")
    assert len(opened(path)[0]) == len(first)  # a damaged one is made anew
    put(path, NAME_USAGE)
    assert len(opened(path)[0]) == len(first) - 1
    assert not list((tmp_path / "cache").glob(".making-*"))


@given(st.lists(st.integers(-1, 11), min_size=1, max_size=12))
def test_any_table_of_parents_is_joined_or_refused(parents: list[int]) -> None:
    import pyarrow as pa

    from biocosmos.taxonomy.checklists.formats import Usages, usage_table

    n = len(parents)
    arrays = {
        "id": pa.array([str(i + 1) for i in range(n)]),
        "name": pa.array([f"T{i}" for i in range(n)]),
        "parent_id": pa.array([None if p < 0 else str(p + 1) for p in parents], pa.string()),
    }
    usages = Usages(usage_table(arrays, n), "parent-child table", "here", lenient=False)

    def root(i: int) -> bool:
        """Whether the walk from a row ends at a row without a parent."""
        for _ in range(n + 1):
            if parents[i] < 0 or parents[i] == i:
                return True
            if parents[i] >= n:
                return False
            i = parents[i]
        return False

    if all(root(i) for i in range(n)):
        joined = join(usages, Failures())
        assert joined.parent.tolist() == [-1 if p == i else p for i, p in enumerate(parents)]
    else:
        with pytest.raises(BiocosmosError, match=r"row \d+ \(T\d+\)"):
            join(usages, Failures())


@given(st.lists(st.text("abcdé-", max_size=7), min_size=1, max_size=6))
def test_hashes_of_words_and_of_words_without_a_letter(words: list[str]) -> None:
    def oracle(word: str) -> int:
        return sum(ord(letter) * pow(BASE, i, 1 << 64) for i, letter in enumerate(word)) % (1 << 64)

    assert hashes(words).tolist() == [oracle(word) for word in words]
    found, owners = hashes_without_one(words)
    pairs = {(h, o) for h, o in zip(found.tolist(), owners.tolist())}
    assert pairs == {(oracle(w), o) for o, w in enumerate(words)} | {
        (oracle(w[:i] + w[i + 1 :]), o) for o, w in enumerate(words) for i in range(len(w))
    }


def test_a_checklist_of_usages_says_what_it_is(tmp_path: Path) -> None:
    assert "7 names, ColDP NameUsage" in repr(opened(put(tmp_path / "NameUsage.tsv", NAME_USAGE))[0])
    assert read_usages(tmp_path / "NameUsage.tsv", Failures()).lenient


def test_synonyms_in_a_circle_are_told_and_long_chains_are_none(tmp_path: Path) -> None:
    rows = "S1\tS2\tsynonym\tspecies\tPica alba\t\nS2\tS1\tsynonym\tspecies\tPica nigra\t\n"
    rows += "C0\t\taccepted\tspecies\tPica ultima\t\n"
    rows += "".join(f"C{i}\tC{i - 1}\tsynonym\tspecies\tPica {'a' * i}us\t\n" for i in range(1, 21))
    found, told = opened(put(tmp_path / "NameUsage.tsv", NAME_USAGE + rows))
    place = {name: row for row, name in enumerate(found.names.to_pylist())}
    assert found.accepted[place["Pica alba"]] == found.accepted[place["Pica nigra"]] == -1
    assert found.accepted[place[f"Pica {'a' * 20}us"]] == place["Pica ultima"]
    assert len([said for said in told if "circle" in said]) == 2


def test_three_thousand_parents_without_a_circle_are_none(tmp_path: Path) -> None:
    rows = "".join(f"C{i}\tC{i - 1}\taccepted\t\tC{i}\t\n" for i in range(1, 3_000))
    found, told = opened(put(tmp_path / "NameUsage.tsv", NAME_USAGE + "C0\t\taccepted\tgenus\tCus\t\n" + rows))
    last = found.names.to_pylist().index("C2999")
    assert not [said for said in told if "lead back" in said]
    assert found.lineages(np.array([last], np.int32))["genus"] == ["Cus"]
