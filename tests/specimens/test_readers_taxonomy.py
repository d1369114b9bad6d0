"""`--taxonomy` takes checklists and tables of parents as well as a table of labels."""

from __future__ import annotations

import zipfile
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


NAMED = (
    'id,text,scientificName\n1,t,"Calanus finmarchicus (Gunnerus, 1770)"\n2,t,Calanus sp.\n3,t,Calanus glacialis\n'
    "4,t,Pica hudsonia\n5,t,Appendicularia\n"
)
RANKED = (
    "label,kingdom,class,genus,trait\nCalanus finmarchicus,Animalia,Copepoda,Calanus,feeds\nCalanus,Animalia,Copepoda,Calanus,x\n"
    "Appendicularia,Animalia,Appendicularia,,y\n"
)


@pytest.mark.parametrize("kind", ["csv", "zip", "darwin core"])
def test_ranks_are_joined_to_what_a_scientific_name_made_the_label(tmp_path: Path, kind: str) -> None:
    source = put(tmp_path / "names.csv", NAMED)
    if kind != "csv":
        source = tmp_path / "names.zip"
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("names.csv", NAMED)
            if kind == "darwin core":
                terms = "".join(f'<field index="{i}" term="http://x/{t}"/>' for i, t in ((1, "text"), (2, "scientificName")))
                core = (
                    '<core rowType="http://rs.tdwg.org/dwc/terms/Occurrence" fieldsTerminatedBy="," fieldsEnclosedBy=\'"\' '
                    f'ignoreHeaderLines="1"><files><location>names.csv</location></files><id index="0"/>{terms}</core>'
                )
                archive.writestr("meta.xml", f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{core}</archive>')
    rows, failures, ranks = rows_of(source, taxonomy=put(tmp_path / "taxonomy.csv", RANKED))
    assert ranks[:3] == ("kingdom", "class", "genus")
    assert [row["class"] for row in rows] == ["Copepoda", "Copepoda", "Copepoda", None, "Appendicularia"]
    assert [row["trait"] for row in rows] == [
        "feeds",
        None,
        None,
        None,
        "y",
    ]  # what is said of a genus is not said of its species
    assert [row["species"] for row in rows] == ["Calanus finmarchicus", None, "Calanus glacialis", "Pica hudsonia", None]
    told = {failure.reason for failure in failures}
    assert "the label 'Calanus glacialis' is in the taxonomy only as 'Calanus': it has the ranks of that" in told
    assert "the label 'Pica hudsonia' is not in the taxonomy: kept without ranks" in told
    assert not any("stands at no rank" in reason for reason in told)


def test_a_checklist_is_joined_to_scientific_names_too(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(put(tmp_path / "names.csv", NAMED), taxonomy=put(tmp_path / "tree.csv", PARENTS))
    assert [row["class"] for row in rows] == ["Copepoda", "Copepoda", "Copepoda", None, None]
    told = [failure.reason for failure in failures]
    assert any("'Pica hudsonia' is unknown in the taxonomy" in reason for reason in told)
    assert any("'Calanus glacialis' is in the taxonomy only as 'Calanus'" in reason for reason in told)


def test_authors_may_stand_in_the_taxonomy_as_well(tmp_path: Path) -> None:
    source = put(tmp_path / "names.csv", "id,text,scientificName\n1,t,Calanus finmarchicus\n")
    taxonomy = put(tmp_path / "t.csv", 'name,class\n"Calanus finmarchicus (Gunnerus, 1770)",Copepoda\n')
    assert rows_of(source, taxonomy=taxonomy)[0][0]["class"] == "Copepoda"


def test_a_taxonomy_without_ranks_is_refused_aloud(tmp_path: Path) -> None:
    source = put(tmp_path / "labels.csv", LABELS)
    own = put(tmp_path / "own.csv", "Name;Oberbegriff;Rang\nCalanus finmarchicus;Calanus;Art\n")
    with pytest.raises(BiocosmosError, match=r"gives no rank.*Oberbegriff, Rang.*--ranks"):
        read(source, taxonomy=own)
    rows, _, ranks = rows_of(source, taxonomy=own, ranks=["Oberbegriff", "label"])
    assert ranks == ("Oberbegriff", "label") and rows[0]["Oberbegriff"] == "Calanus"


def test_names_at_no_rank_are_told_once_with_their_counts_and_the_remedy(tmp_path: Path) -> None:
    source = put(
        tmp_path / "n.csv", "id,text,scientificName\n1,t,detritus\n2,t,Calanus finmarchicus\n3,t,Appendicularia\n4,t,detritus\n"
    )
    _, failures, ranks = rows_of(source)
    assert ranks == ("genus", "species")
    told = [failure for failure in failures if "no rank" in failure.reason]
    assert [failure.severity for failure in told] == ["warning"]
    assert "3 rows" in told[0].reason and "'detritus' (2), 'Appendicularia' (1);" in told[0].reason
    rows, failures, ranks = rows_of(source, ranks=["label"])
    assert ranks == ("label",) and [row["label"] for row in rows][:2] == ["detritus", "Calanus finmarchicus"]
    assert not any("no rank" in failure.reason for failure in failures)
