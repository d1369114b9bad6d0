"""Labels as tables have them: Sewer-ML, wide tables of 0 and 1, texts that list several values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.attributes import attributes_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import detect, read
from biocosmos.specimens.readers.sewer_ml import DEFECTS

CODES = ",".join(DEFECTS)


def row(*, true: tuple[str, ...] = ()) -> str:
    return ",".join("1" if code in true else "0" for code in DEFECTS)


@pytest.fixture
def sewers(tmp_path: Path, sample_photo: bytes) -> Path:
    folder = tmp_path / "sewers"
    folder.mkdir()
    (folder / "1.png").write_bytes(sample_photo)
    head = f"Filename,WaterLevel,VA,{CODES},Defect,ND,Shape,Material\n"
    train = [f"1.png,5,1,{row(true=('RB', 'OK'))},1,0,2,3", f"2.png,0,0,{row()},0,1,0,7"]
    (folder / "SewerML_Train.csv").write_text(head + "\n".join(train) + "\n")
    wrong = row().replace("0", "3", 1)
    (folder / "SewerML_Val.csv").write_text(head + f"3.png,30,1,{wrong},0,1,9,concrete\n4.png,nothing,,{row()},0,1,,\n")
    return folder


@pytest.fixture(scope="module")
def sample_photo(sample_table: object) -> bytes:
    return bytes(sample_table["image"][0].as_py())  # type: ignore[index]


def test_sewer_ml_is_told_by_its_header_and_read_whole(sewers: Path, tmp_path: Path) -> None:
    assert detect(sewers / "SewerML_Train.csv") == "sewer-ml"
    collection = Collection.create(tmp_path / "sewers.cosmos")
    summary = collection.add(read(sewers, format="sewer-ml"))
    assert summary.added == 4
    again = Collection.open(collection.path)
    table = again.table(["id", "image_path", "split", "water_level", "shape", "material", "Defect"])
    assert table["id"].to_pylist() == ["1.png", "2.png", "3.png", "4.png"]
    assert table["image_path"].to_pylist()[0].endswith("1.png") and table["image_path"].null_count == 3
    assert table["split"].to_pylist() == ["train", "train", "val", "val"]
    assert table["water_level"].to_pylist() == ["5-15", "<5", ">=30", None]
    assert table["shape"].to_pylist() == ["egg", "circular", None, None]
    assert table["material"].to_pylist() == ["lining", "other", "concrete", None]
    found = attributes_of(again, ["defects", "water_level", "shape", "Defect"])
    defects = found.task("defects")
    assert defects.classes == DEFECTS and defects.several
    assert defects.values[0].nonzero()[0].tolist() == [0, 16] and not defects.values[1].any()
    assert defects.values[2, 0] == -1, "3 is no label"
    assert found.task("water_level").classes == ("<5", "5-15", "15-30", ">=30")
    assert found.task("shape").targets.tolist() == [2, 0, -1, -1] and found.task("Defect").classes == ("0", "1")
    reasons = [failure.reason for failure in summary.failures]
    assert "the label 'RB' is '3', neither 0, 1 nor empty: not known" in reasons
    assert "'Shape' is '9', none of the 6 classes: not known" in reasons
    assert "'WaterLevel' is 'nothing', no per cent: not known" in reasons
    assert any("images are not there: kept with their labels alone" in reason for reason in reasons)


def test_tables_that_are_no_sewer_ml_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,one\n")
    (tmp_path / "b.csv").write_text("Filename,text\n1,one\n")
    for path, words in (("a.csv", "no column 'Filename'"), ("b.csv", "none of the columns RB"), (".", "has no table SewerML")):
        with pytest.raises(BiocosmosError, match=words):
            read(tmp_path / path, format="sewer-ml")


WIDE = """id,text,Apis,Bombus,count,nearly,when
a,one,1,0,0,1,x
b,two,,1,1,0,y
c,three,-1,0,7,1,z
d,four,0,,1,0,z
"""


def wide(tmp_path: Path, text: str = WIDE) -> Path:
    (tmp_path / "wide.csv").write_text(text)
    return tmp_path / "wide.csv"


def test_the_columns_of_0_and_1_of_a_wide_table_are_one_attribute(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "wide.cosmos")
    collection.add(read(wide(tmp_path), format="wide"))
    labels = attributes_of(collection, ["labels"]).tasks[0]
    assert labels.classes == ("Apis", "Bombus", "nearly"), "7 is no label, so count is none"
    assert labels.values.tolist() == [[1, 0, 1], [-1, 1, 0], [-1, 0, 1], [0, -1, 0]]


def test_what_is_nearly_a_column_of_labels_is_told(tmp_path: Path) -> None:
    rows = "".join(f"{i},word {i},{i % 2},{i % 2 if i != 30 else 5}\n" for i in range(40))
    source = read(wide(tmp_path, "id,text,Apis,Bombus\n" + rows), format="wide")
    assert [group.columns for group in source.attributes] == [("Apis",)]
    (told,) = [failure.reason for failure in source.failures]
    assert "'Bombus' holds 0 and 1 but for 1 cells ('5' in row 31): no label; --group labels=Bombus" in told


def test_groups_and_sets_of_any_table(tmp_path: Path) -> None:
    path = wide(tmp_path, 'id,text,sp_a,sp_b,seen\na,one,1,x,Apis; Bombus;Apis\nb,two,0,1,\nc,three,,0,;\nd,4,1,0,"[""Apis""]"\n')
    collection = Collection.create(tmp_path / "sets.cosmos")
    summary = collection.add(read(path, groups=["damage=sp_*"], sets=["seen=;"]))
    assert collection.table(["seen"])["seen"].to_pylist() == [["Apis", "Bombus"], None, [], ["Apis"]]
    found = attributes_of(collection, ["damage", "seen"])
    assert found.task("damage").values.tolist() == [[1, -1], [0, 1], [-1, 0], [1, 0]]
    assert found.task("seen").values.tolist() == [[1, 1], [-1, -1], [0, 0], [1, 0]]
    assert [(failure.id, failure.reason) for failure in summary.failures] == [
        ("a", "the label 'sp_b' is 'x', neither 0, 1 nor empty: not known")
    ]
    assert collection.add(read(path, groups=["damage=sp_*"], sets=["seen=;"])).known == 4, "read again, nothing changes"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"groups": ["damage"]}, "must look like NAME=COLUMN"),
        ({"groups": ["damage=Moth"]}, "the group 'damage' has no column 'Moth'"),
        ({"groups": ["a=Apis", "a=Bombus"]}, "given twice"),
        ({"groups": ["a=when"]}, "the column 'when' of the group 'a' holds no 0 or 1, but 'x'"),
        ({"groups": ["when=Apis"]}, "the group 'when' is called as a column that is not in it"),
        ({"sets": ["Apis"]}, "must look like COLUMN=SEPARATOR"),
        ({"sets": ["Moth=;"]}, "is no column"),
        ({"sets": ["text=;"]}, "meaning of its own"),
        ({"sets": ["Apis=;", "Apis=,"]}, "given twice"),
    ],
)
def test_what_names_no_column_is_refused(how: dict[str, list[str]], words: str, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match=words):
        read(wide(tmp_path), **how)  # type: ignore[arg-type]


def test_groups_of_two_sources_are_joined_and_go_along_when_collections_merge(tmp_path: Path) -> None:
    one, two = Collection.create(tmp_path / "one.cosmos"), Collection.create(tmp_path / "two.cosmos")
    one.add(read(wide(tmp_path), groups=["bees=Apis"]))
    two.add(read(wide(tmp_path, WIDE.replace("a,one", "e,one")), groups=["bees=Bombus", "odd=nearly"]), id_prefix="x")
    one.merge(two)
    assert {name: group.columns for name, group in Collection.open(one.path).attribute_groups.items()} == {
        "bees": ("Apis", "Bombus"),
        "odd": ("nearly",),
    }


def test_the_command_line_takes_groups_and_sets(tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    path = wide(tmp_path)
    biocosmos("ingest", str(path), "-o", str(tmp_path / "c.cosmos"), "--group", "bees=Apis+Bombus", "--sets", "when=;")
    assert Collection.open(tmp_path / "c.cosmos").attribute_groups["bees"].columns == ("Apis", "Bombus")
