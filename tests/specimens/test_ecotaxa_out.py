"""Zips for EcoTaxa: its own published validation takes them, and nothing of the rows is lost without a word."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ecotaxa_rules import validate
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biocosmos.specimens.readers import read
from biocosmos.specimens.writers import Written, write
from reading import rows_of


def png(shade: int = 60, size: tuple[int, int] = (6, 5)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade).save(out, "PNG")
    return out.getvalue()


def encoded(format: str, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((32, 24), 60).convert("RGB").save(out, format, **how)
    return out.getvalue()


def specimens(**columns: list[Any]) -> pa.Table:
    """A table with these columns, an id and an image of each row."""
    rows = len(next(iter(columns.values())))
    own = {"id": [f"o{i}" for i in range(rows)], "image": pa.array([png(i) for i in range(rows)], pa.large_binary())}
    return pa.table(own | columns)


def sent(tmp_path: Path, table: pa.Table, **how: Any) -> tuple[list[dict[str, str]], Written]:
    """The rows of the zip, after EcoTaxa's rules found nothing wrong with it."""
    done = write(table, tmp_path / "up.zip", format="ecotaxa", **how)
    verdict = validate(tmp_path / "up.zip")
    assert verdict.errors == []
    return verdict.rows, done


def header_of(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.read("ecotaxa_export.tsv").decode("utf-8-sig").splitlines()[0].split("\t")


def reasons(done: Written) -> str:
    return " | ".join(f.reason for f in done.failures)


# ---------------------------------------------------------------------- who named it


def answers() -> dict[str, list[Any]]:
    return {
        "family": ["Oithonidae", "Oithonidae", "Acartiidae"],
        "family_confidence": [0.99, 0.8, 0.3],
        "genus": ["Oithona", "Oithona", "Acartia"],
        "genus_confidence": [0.95, 0.4, 0.2],
        "taxon": ["Oithona", "Oithonidae", None],
        "rank": ["genus", "family", None],
        "confidence": [0.95, 0.8, None],
        "best_guess": ["Oithona", "Oithona", "Acartia"],
        "novelty": [0.1, 0.2, 0.9],
        "method": ["linear"] * 3,
    }


@pytest.mark.parametrize("ranks", [("family", "genus"), ()])
def test_a_machines_names_leave_as_predicted_and_no_finer_than_it_was_sure(tmp_path: Path, ranks: tuple[str, ...]) -> None:
    rows, _ = sent(tmp_path, specimens(**answers()), ranks=ranks)
    assert [row["object_annotation_status"] for row in rows] == ["predicted", "predicted", ""]
    assert [row["object_annotation_category"] for row in rows] == ["Oithona", "Oithonidae", ""]
    assert [row["object_annotation_hierarchy"] for row in rows] == ["Oithonidae>Oithona", "Oithonidae", ""]
    assert [row["object_genus"] for row in rows] == ["Oithona", "", ""]
    assert [row["object_confidence"] for row in rows] == ["0.95", "0.8", ""]
    assert rows[0]["object_predicted_by"].startswith("biocosmos ")


def test_answers_that_were_ingested_are_a_machines_still_and_a_persons_beside_them_are_not(tmp_path: Path) -> None:
    table = answers() | {"label": answers()["taxon"]}
    del table["taxon"]
    mixed = {name: [*values, None] for name, values in table.items()} | {"label": [*table["label"], "Oithona"]}
    rows, _ = sent(tmp_path, specimens(**mixed), ranks=("family", "genus"))
    assert [row["object_annotation_status"] for row in rows] == ["predicted", "predicted", "", "validated"]
    assert [row["object_genus"] for row in rows] == ["Oithona", "", "", ""]


def test_states_are_kept_corrected_or_told(tmp_path: Path) -> None:
    category, label = "object_annotation_category", "label"
    table = specimens(
        **{
            category: ["a", "b", "c", "d", None, None],
            label: ["a", "B2", "c", "d", "e", None],
            "object_annotation_status": ["dubious", "predicted", "maybe", None, None, "validated"],
            "object_annotation_person_name": ["Ann", "Ann", None, None, None, None],
            "object_annotation_date": ["20200102", "20200102", None, None, None, None],
            "object_annotation_category_id": [1.0, 2.0, None, None, None, None],
            "object_annotation_hierarchy": ["living>a", "living>b", None, None, None, None],
        }
    )
    rows, done = sent(tmp_path, table)
    assert [row["object_annotation_status"] for row in rows] == [
        "dubious",
        "validated",
        "predicted",
        "predicted",
        "validated",
        "",
    ]
    assert [row[category] for row in rows] == ["a", "B2", "c", "d", "e", ""]
    # the old id, person, day and path are not those of the corrected name
    told = ["object_annotation_category_id", "object_annotation_person_name", "object_annotation_date"]
    assert [[row[name] for name in told] for row in rows[:2]] == [["1.0", "Ann", "20200102"], ["", "", ""]]
    assert [row["object_annotation_hierarchy"] for row in rows[:2]] == ["living>a", "B2"]
    assert "'maybe' is none that EcoTaxa knows" in reasons(done) and "'validated' stands without a name" in reasons(done)


def test_a_category_that_is_known_by_its_id_alone_stays(tmp_path: Path) -> None:
    rows, _ = sent(
        tmp_path,
        specimens(
            label=["a", None], object_annotation_category_id=[None, 45072.0], object_annotation_status=["validated", "predicted"]
        ),
    )
    assert [float(row["object_annotation_category_id"] or 0) for row in rows] == [0, 45072]
    assert [row["object_annotation_status"] for row in rows] == ["validated", "predicted"]


def test_darwin_cores_machine_observations_are_predictions(tmp_path: Path) -> None:
    states = ["PredictedByMachine", "predicted by machine", "ValidatedByHuman", "1", None]
    rows, _ = sent(tmp_path, specimens(label=["a"] * 5, identificationVerificationStatus=states))
    assert [row["object_annotation_status"] for row in rows] == ["predicted"] * 2 + ["validated"] * 3


def test_a_persons_confidence_and_method_do_not_make_a_machine(tmp_path: Path) -> None:
    table = specimens(label=["a", "b"], confidence=[0.9, 0.5], method=["net", "pump"], rank=["genus", "genus"], depth=[1.0, 2.0])
    table = table.append_column("depth_confidence", pa.array([0.1, 0.2]))
    rows, _ = sent(tmp_path, table)
    assert [row["object_annotation_status"] for row in rows] == ["validated"] * 2
    assert [row["object_annotation_hierarchy"] for row in rows] == ["a", "b"] and rows[0]["object_depth"] == "1.0"


# ---------------------------------------------------------------------- columns


def test_ids_stand_beside_the_columns_of_samples_acquisitions_and_processes(tmp_path: Path) -> None:
    table = specimens(sample_depth=[10, 10, 20, None], acq_mag=[4, 4, 4, None], process_x=["a", "a", "a", None])
    rows, done = sent(tmp_path, table)
    for name in ("sample_id", "acq_id", "process_id"):
        ids = [row[name] for row in rows]
        assert ids[0] == ids[1] != ids[2] and ids[2] and not ids[3], name
        assert f"rows without {name}" in reasons(done)
    rows_again, _ = sent(tmp_path, table)
    assert [row["sample_id"] for row in rows_again] == [row["sample_id"] for row in rows]
    rows, done = sent(tmp_path, specimens(process_x=["a", "b"]))
    assert rows[0]["acq_id"] != rows[1]["acq_id"]  # a process is the twin of its acquisition


def test_an_id_that_ecotaxa_would_take_for_another_is_told(tmp_path: Path) -> None:
    table = specimens(sample_id=["s1", "s2", "s1"], acq_id=["a", "a", "a"], sample_depth=[1, 2, 3], process_x=["p", "p", "q"])
    rows, done = sent(tmp_path, table)
    assert [row["acq_id"] for row in rows] == ["a", "a_s2", "a"]
    said = reasons(done)
    assert "that of several samples" in said and "several sample_ values" in said and "several process" in said


def test_names_that_differ_in_case_only_stay_apart(tmp_path: Path) -> None:
    table = specimens(Area=[1.0, 2.0], area=["x", "y"], object_AREA=[3, 4], label=["Oithona", "oithona"])
    rows, done = sent(tmp_path, table)
    assert [row["object_area"] for row in rows] == ["1.0", "2.0"]
    assert [row["object_area_2"] for row in rows] == ["x", "y"]
    assert [row["object_area_3"] for row in rows] == ["3", "4"]
    assert "called 'object_area_2'" in reasons(done) and "the same as 'Oithona'" in reasons(done)


def test_known_columns_are_found_in_any_case_and_strange_ones_get_a_prefix(tmp_path: Path) -> None:
    table = specimens(
        Object_Lat=["43,5", "100"],
        Object_Depth_Min=[5, 6],
        img_scale=[2.0, 3.0],
        object_=["a", "b"],
        acquisition_date=["x", "y"],
        **{"odd name/with #:%": ["p", "q"], "SAMPLE_ID": ["s", "s"]},
    )
    rows, done = sent(tmp_path, table)
    assert [row["object_lat"] for row in rows] == ["43.5", ""] and "outside ±90" in reasons(done)
    assert rows[0]["object_depth_min"] == "5" and rows[0]["sample_id"] == "s"
    assert rows[0]["object_img_scale"] == "2.0" and rows[0]["object_acquisition_date"] == "x"
    assert rows[0]["object_odd_name/with_#:%"] == "p"


def test_no_more_columns_than_ecotaxa_has_room_for_and_none_that_is_empty(tmp_path: Path) -> None:
    texts = {f"note{i}": ["x", "y"] for i in range(30)} | {"nothing": [None, None], "blank": ["", ""]}
    rows, done = sent(tmp_path, specimens(label=["a", "b"], genus=["G", "G"], **texts), ranks=("genus",))
    kept = [name for name in rows[0] if name.startswith("object_note")]
    assert len(kept) == 19 and "object_annotation_hierarchy" in rows[0]
    left_out = [f.reason for f in done.failures if "is left out" in f.reason]
    assert len(left_out) == 30 + 1 + 1 - 20 and "which 2 rows fill" in left_out[0]
    assert not {"object_nothing", "object_blank", "object_date", "object_time", "sample_id"} & set(rows[0])


def test_cells_that_ecotaxa_would_refuse_are_told(tmp_path: Path) -> None:
    table = specimens(
        note=["x" * 300, "a\0b", 'two\nlines\tand "quotes"'],
        object_link=["http://" + "y" * 300, None, None],
        depth=[float("nan"), float("inf"), 3.25],
        latitude=[91.0, None, 45.5],
        object_flag=[True, False, None],
    )
    rows, done = sent(tmp_path, table)
    assert [len(row["object_note"]) for row in rows] == [250, 2, 22] and "object_link" not in rows[0]
    assert [row["object_depth"] for row in rows] == ["", "", "3.25"] and [row["object_lat"] for row in rows] == ["", "", "45.5"]
    assert [row["object_flag"] for row in rows] == ["true", "false", ""]
    assert {f.id for f in done.failures} == {"o0", "o1"}


# ---------------------------------------------------------------------- dates, ids, images


def test_a_good_time_stays_with_a_day_that_no_calendar_has(tmp_path: Path) -> None:
    table = specimens(date=["2020-02-31", "2020-02-28", "2020-02-28"], object_time=["101112", "10:11", "99:99"])
    rows, _ = sent(tmp_path, table)
    assert [(row["object_date"], row["object_time"]) for row in rows] == [
        ("", "101112"),
        ("20200228", "101100"),
        ("20200228", ""),
    ]


def test_dates_as_people_write_them(tmp_path: Path) -> None:
    written = ["13.06.2020", "3/7/2010", "2020-06", "20200613", "2020-06-05T10:11:12Z", "2020-06-05 23:30-05:00", "2020-02-31"]
    rows, done = sent(tmp_path, specimens(date=written))
    assert [row["object_date"] for row in rows] == ["20200613", "", "", "20200613", "20200605", "20200606", ""]
    assert [row["object_time"] for row in rows] == ["", "", "", "", "101112", "043000", ""]
    assert [row["object_verbatim_date"] for row in rows] == ["", "3/7/2010", "2020-06", "", "", "", "2020-02-31"]
    assert [f.id for f in done.failures] == ["o1", "o2", "o6"]
    back, _, _ = rows_of(tmp_path / "up.zip")
    assert [row["date"] for row in back] == [
        *("2020-06-13", "3/7/2010", "2020-06", "2020-06-13", "2020-06-05T10:11:12", "2020-06-06T04:30:00", "2020-02-31")
    ]


def test_two_images_of_an_object_stay_one_object_and_two_objects_of_one_name_two(tmp_path: Path) -> None:
    table = specimens(object_id=["a", "a", "a"]).set_column(0, "id", pa.array(["a", "a#2", "other:a"]))
    rows, done = sent(tmp_path, table)
    assert [row["object_id"] for row in rows] == ["a", "a", "other:a"]
    assert [f.id for f in done.failures] == ["other:a"]
    rows, done = sent(tmp_path, specimens(note=["x", "y"]).set_column(0, "id", pa.array(["a" * 256, "b"])))
    assert [row["object_id"] for row in rows] == ["b"] and done.failures.errors == 1


@pytest.mark.parametrize(
    "content",
    [
        *(encoded("TIFF"), encoded("BMP"), encoded("WEBP"), encoded("JPEG")[:-2], encoded("JPEG", quality=90), encoded("GIF")),
        encoded("MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))]),
    ],
    ids=["TIFF", "BMP", "WEBP", "no end", "JPEG", "GIF", "MPO"],
)
def test_every_image_is_one_that_ecotaxa_opens(tmp_path: Path, content: bytes) -> None:
    table = specimens(img_file_name=["shot.tif"]).set_column(1, "image", pa.array([content], pa.large_binary()))
    rows, _ = sent(tmp_path, table)
    (back,), _, _ = rows_of(tmp_path / "up.zip")
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(back["image"])) as after:  # type: ignore[arg-type]
        assert before.size == after.size
    kind = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif"}[back["image"][:2]]  # type: ignore[index]
    assert rows[0]["img_file_name"].endswith(kind)


def test_an_image_that_cannot_be_read_is_left_out_and_recorded(tmp_path: Path) -> None:
    table = specimens(label=["a", "b"]).set_column(1, "image", pa.array([b"not an image", png()], pa.large_binary()))
    rows, done = sent(tmp_path, table)
    assert len(rows) == 1 and [(f.id, f.severity) for f in done.failures] == [("o0", "error")]


def test_names_of_images_keep_what_ecotaxa_can_find(tmp_path: Path) -> None:
    names = ["sub/a b.png", "Sub/A B.png", " lead.png", "../up.png", "win\\a.png", "tab\t.png", "é.png"]
    rows, _ = sent(tmp_path, specimens(img_file_name=names))
    assert [row["img_file_name"] for row in rows] == ["sub/a b.png", "o1.png", "o2.png", "o3.png", "o4.png", "o5.png", "é.png"]


CELLS = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=("Cs",)), max_size=8), st.sampled_from(["NaN", "1,5", "-7"])
)
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8),
    st.sampled_from(["Sample_id", "sample_x", "acq_id", "ACQ_y", "process_id", "object_annotation_category", "label", "date"]),
    st.sampled_from(
        ["object_date", "object_time", "object_annotation_status", "object_lat", "img_rank", "img_file_name", "object_id"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(columns=st.dictionaries(NAMES, st.lists(CELLS, min_size=3, max_size=3), max_size=9))
def test_whatever_the_table_ecotaxa_takes_it(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[str | None]]
) -> None:
    columns = {name: values for name, values in columns.items() if name not in ("id", "image", "crop", "image_path")}
    rows, _ = sent(tmp_path_factory.mktemp("any"), specimens(**{"x": ["1"] * 3, **columns}))
    assert len(rows) == 3


def test_a_zip_is_the_same_bytes_every_time_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    table = specimens(label=["a", "b"], date=["2020-01-01", "2021"])
    zips = []
    for _ in range(2):
        write(table, tmp_path / "up.zip", format="ecotaxa")
        zips.append((tmp_path / "up.zip").read_bytes())
    assert zips[0] == zips[1]
    assert [path.name for path in tmp_path.iterdir()] == ["up.zip"]


def test_the_oracle_itself_refuses_what_ecotaxa_refuses(tmp_path: Path) -> None:
    header = ["img_file_name", "object_id", "object_lat", "sample_x", "object_annotation_category", "object_n", "img_x"]
    lines = [header, ["[t]", "[t]", "[f]", "[t]", "[t]", "[n]", "[t]"], ["a.png", "o", "91", "1", "cat", "1", ""]]
    out = io.StringIO()
    csv.writer(out, delimiter="\t").writerows(lines)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("ecotaxa_x.tsv", out.getvalue())
    said = " | ".join(validate(tmp_path / "bad.zip").errors)
    for word in ("sample_id is mandatory", "out of range", "with status ''", "type '[n]'", "unknown prefix", "missing image"):
        assert word in said
    assert read(tmp_path / "bad.zip").format == "ecotaxa"


def test_who_named_it_and_when_stays_without_a_column_of_categories(tmp_path: Path) -> None:
    said = {
        "object_annotation_date": "20200614",
        "object_annotation_time": "101112",
        "object_annotation_person_name": "A. Person",
        "object_annotation_person_email": "a@example.org",
    }
    rows, _ = sent(tmp_path, specimens(label=["Oithona"], **{name: [text] for name, text in said.items()}))
    assert {name: rows[0].get(name) for name in said} == said
