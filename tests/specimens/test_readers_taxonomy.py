"""`--taxonomy` takes checklists and tables of parents as well as a table of labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from biocosmos import Collection
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.census import count_taxa
from biocosmos.specimens.readers import read
from reading import rows_of

LABELS = "id,text,label\n1,t,Calanus finmarchicus\n2,t,copepoda\n3,t,Monoculus finmarchicus\n4,t,Calanus finmarchicuss\n5,t,\n"
PARENTS = (
    "taxon_id;parent_id;rank;name;accepted_id\n1;;kingdom;Animalia;\n2;1;class;Copepoda;\n3;2;genus;Calanus;\n"
    "4;3;species;Calanus finmarchicus;\n5;;species;Monoculus finmarchicus;4\n"
)


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_parents_becomes_rank_columns(tmp_path: Path) -> None:
    source = put(tmp_path / "labels.csv", LABELS)
    rows, failures, ranks = rows_of(source, taxonomy=put(tmp_path / "tree.csv", PARENTS))
    assert ranks == ("kingdom", "class", "genus", "species", "label")
    assert [row["species"] for row in rows] == ["Calanus finmarchicus", None, "Calanus finmarchicus", None, None]
    assert [row["class"] for row in rows] == ["Copepoda", "Copepoda", "Copepoda", None, None]
    told = [failure.reason for failure in failures]
    assert any("'Monoculus finmarchicus' is a synonym of Calanus finmarchicus" in reason for reason in told)
    assert any("finmarchicuss' is unknown" in reason and "(Calanus finmarchicus)" in reason for reason in told)
    collection = Collection.create(tmp_path / "x.cosmos")
    collection.add(read(source, taxonomy=tmp_path / "tree.csv"))
    assert count_taxa(collection)["taxon"].to_pylist().count("Calanus finmarchicus") == 1
    assert collection.count(within="Calanus finmarchicus") == 2


def test_a_coldp_folder_and_levels_without_ranks(tmp_path: Path) -> None:
    source = put(tmp_path / "labels.csv", LABELS)
    (tmp_path / "coldp").mkdir()
    put(tmp_path / "coldp/NameUsage.tsv", "ID\tparentID\tstatus\trank\tscientificName\nc\t\taccepted\tclass\tCopepoda\n")
    _, _, ranks = rows_of(source, taxonomy=tmp_path / "coldp")
    assert ranks == ("class", "label")
    rows, _, ranks = rows_of(source, taxonomy=put(tmp_path / "names.csv", "name,parent\nlife,\ncopepoda,life\n"))
    assert ranks == ("level_1", "level_2", "label") and rows[1]["level_1"] == "life"


def test_a_broken_table_of_parents_is_refused_with_its_rows(tmp_path: Path) -> None:
    source = put(tmp_path / "labels.csv", LABELS)
    tree = put(tmp_path / "tree.csv", "id,parent,rank,name\n1,2,class,Copepoda\n2,1,order,Calanoida\n")
    with pytest.raises(BiocosmosError, match="row 1 \\(Copepoda\\): its parents lead back to itself"):
        read(source, taxonomy=tree)


def test_a_table_of_labels_stays_one_though_it_has_a_column_parent(tmp_path: Path) -> None:
    source = put(tmp_path / "labels.csv", LABELS)
    rows, _, ranks = rows_of(source, taxonomy=put(tmp_path / "t.csv", "label,class,parent\ncopepoda,Copepoda,x\n"))
    assert ranks == ("class", "label") and rows[1]["class"] == "Copepoda" and rows[1]["parent"] == "x"
