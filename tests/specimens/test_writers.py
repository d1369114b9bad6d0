"""What is written can be read again and is the same; what others read is as they want it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers import read
from biocosmos.specimens.readers.columns import guess_columns
from biocosmos.specimens.readers.fitting import fitting_name
from biocosmos.specimens.writers import write

RANKS = ("kingdom", "order", "genus", "species")
AWKWARD = 'tab\there, "quotes", new\nline, return\rand ü ツ \U0001f990; end'


def jpeg(shade: int = 50) -> bytes:
    out = io.BytesIO()
    Image.new("L", (12, 10), shade).save(out, "JPEG")
    return out.getvalue()


def specimens() -> pa.Table:
    return pa.table(
        {
            "id": ["a 1", "b/2", "ç3"],
            "image": pa.array([jpeg(1), jpeg(2), jpeg(3)], pa.large_binary()),
            "label": ["Pica hudsonia", "Diptera", None],
            "barcode": ["ACGT" * 20 + "N" + "ACGT" * 20, None, None],
            "latitude": [45.123456789012345, None, -90.0],
            "longitude": [-0.1, None, 180.0],
            "date": ["2020-05-01", "2021", None],
            "kingdom": ["Animalia", "Animalia", None],
            "order": [None, "Diptera", None],
            "genus": ["Pica", None, None],
            "species": ["Pica hudsonia", None, None],
            "scientificName": ["Pica hudsonia", "Diptera", None],
            "note": [AWKWARD, None, "plain"],
            "depth": [1.5, 0.1 + 0.2, None],
            "count": pa.array([1, None, 3], pa.int64()),
            "code": ["007", "1x", None],
            "odd name/with #:%": ["x", None, "y"],
        }
    )


def as_read() -> pa.Table:
    """What reading adds to them: the depths that a column without a unit says, where there are coordinates too."""
    depths = specimens()["depth"]
    return specimens().append_column("depth_min", depths).append_column("depth_max", depths)


def table_of(path: Path, **options: object) -> tuple[pa.Table, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)  # type: ignore[arg-type]
    return pa.Table.from_batches(list(source.batches)), failures


def same(left: pa.Table, right: pa.Table, but: tuple[str, ...] = ()) -> None:
    names = [name for name in left.column_names if name not in but]
    assert sorted(names) == sorted(name for name in right.column_names if name not in but)
    for name in names:
        assert left[name].to_pylist() == right[name].to_pylist(), name
        assert left[name].type == right[name].type, name


def test_csv_round_trip_with_the_images_beside_it(tmp_path: Path) -> None:
    done = write(specimens(), tmp_path / "x.csv", ranks=RANKS)
    assert (done.rows, len(done.failures)) == (3, 0)
    back, failures = table_of(tmp_path / "x.csv")
    assert failures.errors == 0
    same(back, as_read(), but=("image", "image_path"))
    assert [Path(path).read_bytes() for path in back["image_path"].to_pylist()] == [jpeg(1), jpeg(2), jpeg(3)]
    assert {Path(path).parent for path in back["image_path"].to_pylist()} == {tmp_path / "x_images"}


def test_tsv_and_parquet_round_trip(tmp_path: Path) -> None:
    start = specimens().drop_columns(["image"]).append_column("image_path", pa.array([None, "/b.jpg", "/c.jpg"]))
    for name in ("x.tsv", "x.parquet"):
        write(start, tmp_path / name, ranks=RANKS)
        back, _ = table_of(tmp_path / name)
        same(back.drop_columns(["depth_min", "depth_max"]), start)
        same(back, as_read(), but=("image", "image_path"))
    write(specimens(), tmp_path / "packed.parquet", ranks=("kingdom", "genus"))
    back, _ = table_of(tmp_path / "packed.parquet")
    same(back, as_read())
    assert read(tmp_path / "packed.parquet").ranks == ("kingdom", "genus")


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)  # no reader lets a NUL in


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(TEXT, TEXT, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60) | st.none()),
        min_size=1,
        max_size=5,
    ),
    header=TEXT,
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_any_text_survives_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, int | None]], header: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / f"t{suffix}"
    header = f"note {header}".strip()
    if header in guess_columns([header]) or fitting_name(header) != header:
        return
    start = pa.table(
        {
            "id": [str(i) for i in range(len(rows))],
            "text": [f"t {text} ." for text, _, _, _ in rows],
            header: [f"n{note}." if note else None for _, note, _, _ in rows],
            "size": [size + 0.5 if abs(size) < 1e6 else size for _, _, size, _ in rows],
            "number": pa.array([number for _, _, _, number in rows], pa.int64()),
        }
    )
    write(start, path)
    back, failures = table_of(path)
    assert len(failures) == 0
    for name in start.column_names:
        if name in back.column_names or start[name].null_count < len(start):
            assert back[name].to_pylist() == start[name].to_pylist(), name


FORMULAS = [
    '=HYPERLINK("http://x")',
    "@SUM(A1)",
    "-unknown-",
    "+cmd",
    "\tx",
    "\rx",
    "'=x",
    "''-y",
    "'plain",
    "＝1",
    "-5.3",
    "a=b",
]


def test_a_csv_for_spreadsheets_runs_nothing_and_is_read_back_as_it_was(tmp_path: Path) -> None:
    start = pa.table(
        {"id": [f"-{i}x" for i in range(len(FORMULAS))], "text": FORMULAS, "=depth": [-1.5] * len(FORMULAS), "n": FORMULAS}
    )
    write(start, tmp_path / "x.csv", spreadsheet=True)
    raw = (tmp_path / "x.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    for cell in (cell for row in rows for cell in row):
        assert cell[:1] not in "=+@\t\r＝" and (cell[:1] != "-" or float(cell)), cell
    assert {row[2] for row in rows[1:]} == {"-1.5"}  # numbers stay numbers
    back, failures = table_of(tmp_path / "x.csv")
    assert back["n"].to_pylist() == [*FORMULAS] and back["id"].to_pylist() == start["id"].to_pylist()
    assert back["=depth"].to_pylist() == start["=depth"].to_pylist()
    assert [f.severity for f in failures] == ["warning"]
    with pytest.raises(BiocosmosError, match="is a CSV, not parquet"):
        write(start, tmp_path / "x.parquet", spreadsheet=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("=+-@\t\r\n'a1.＝"), max_size=5), min_size=1, max_size=6))
def test_any_text_survives_a_csv_for_spreadsheets(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("safe") / "t.csv"
    start = pa.table({"id": [f"{i}" for i in range(len(texts))], "text": ["t"] * len(texts), "note": [f"{t}z" for t in texts]})
    write(start, path, spreadsheet=True)
    assert table_of(path)[0]["note"].to_pylist() == start["note"].to_pylist()


def test_darwin_core_round_trip(tmp_path: Path) -> None:
    done = write(specimens(), tmp_path / "x.zip", format="darwin-core", ranks=RANKS)
    assert (done.rows, len(done.failures)) == (3, 0)
    back, failures = table_of(tmp_path / "x.zip")
    assert failures.errors == 0
    same(back, as_read(), but=("basisOfRecord", "multimedia", "image_path", "image_url"))
    write(back, tmp_path / "y.zip", format="darwin-core", ranks=RANKS)
    again, _ = table_of(tmp_path / "y.zip")
    same(again, back)


def test_a_darwin_core_archive_is_valid_and_declares_what_it_does(tmp_path: Path) -> None:
    write(specimens(), tmp_path / "x.zip", format="dwca", ranks=RANKS)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        meta = ElementTree.fromstring(archive.read("meta.xml"))
        ElementTree.fromstring(archive.read("eml.xml"))
        occurrences = archive.read("occurrence.txt").decode("utf-8")
    assert {"meta.xml", "eml.xml", "occurrence.txt", "multimedia.txt", "images/a_1.jpg", "images/b_2.jpg"} <= names
    space = "{http://rs.tdwg.org/dwc/text/}"
    core = meta.find(f"{space}core")
    assert meta.get("metadata") == "eml.xml" and core is not None
    assert core.get("rowType") == "http://rs.tdwg.org/dwc/terms/Occurrence"
    rows = list(csv.reader(io.StringIO(occurrences, newline=""), delimiter="\t"))
    fields = [field for field in core.findall(f"{space}field") if field.get("default") is None]
    assert len(fields) == len(rows[0]) and [f.get("index") for f in fields] == [str(i) for i in range(len(fields))]
    terms = {str(f.get("term")).rsplit("/", 1)[-1]: int(str(f.get("index"))) for f in fields}
    assert (
        rows[1][terms["decimalLatitude"]] == "45.123456789012344"
        or float(rows[1][terms["decimalLatitude"]]) == 45.123456789012345
    )
    assert rows[1][terms["basisOfRecord"]] == "Occurrence"
    assert rows[1][terms["verbatimIdentification"]] == "Pica hudsonia"


@pytest.mark.parametrize(
    ("ranks", "columns"),
    [
        (("label",), {"label": ["detritus_blob", "egg", "Pica pica", None]}),
        (("group", "label"), {"group": ["living", "living", "other", None], "label": ["egg", "copepod", "bubble", None]}),
        (("level_1", "level_2"), {"level_1": ["living", "living", "no|t", None], "level_2": ["Copepoda", None, "x", None]}),
        (("kingdom", "genus"), {"kingdom": ["Animalia", None, None, None], "genus": ["Pica", "Musca", None, None]}),
        (("family", "odd rank #1"), {"family": ["Corvidae"] * 4, "odd rank #1": ["a", "b", None, "c"]}),
    ],
)
def test_darwin_core_gives_back_the_taxa_of_any_ranks(tmp_path: Path, ranks: tuple[str, ...], columns: dict[str, object]) -> None:
    start = pa.table({"id": list("abcd"), **columns})
    write(start, tmp_path / "x.zip", format="darwin-core", ranks=ranks)
    source = read(tmp_path / "x.zip")
    assert source.ranks == ranks
    back = pa.Table.from_batches(list(source.batches))
    for rank in ranks:
        assert back[rank].to_pylist() == start[rank].to_pylist()


def test_an_archive_whose_names_are_no_taxa_has_its_labels_for_taxa(tmp_path: Path) -> None:
    """As one that somebody else wrote of folders: nothing says which columns are ranks."""
    write(pa.table({"id": ["1", "2"], "label": ["egg", "detritus_blob"]}), tmp_path / "x.zip", format="darwin-core")
    assert read(tmp_path / "x.zip").ranks[-1] == "label"
    write(pa.table({"id": ["1", "2"], "scientificName": ["egg", "nauplii"]}), tmp_path / "y.zip", format="darwin-core")
    source = read(tmp_path / "y.zip")
    assert source.ranks[-1] == "label" and pa.Table.from_batches(list(source.batches))["label"].to_pylist() == ["egg", "nauplii"]


def test_empty_columns_are_not_written(tmp_path: Path) -> None:
    start = pa.table({"id": ["1", "2"], "label": ["a", "b"], "note": pa.array([None, None], pa.string()), "blank": ["", ""]})
    for name in ("x.csv", "x.tsv"):
        write(start, tmp_path / name)
        assert (tmp_path / name).read_text().split("\n")[0].strip().replace("\t", ",") == "id,label"
    write(start, tmp_path / "x.zip", format="darwin-core")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.read("occurrence.txt").decode().split("\r\n")[0] == "id\tlabel\tscientificName\tbasisOfRecord"


def answers() -> pa.Table:
    return pa.table(
        {
            "id": ["a 1", "b/2"],
            "image_path": pa.array([None, None], pa.string()),
            "order": ["Passeriformes", "Diptera"],
            "genus": ["Pica", "Musca"],
            "taxon": ["Pica", None],
            "rank": ["genus", None],
            "confidence": [0.93, None],
            "novelty": [0.25, 0.9],
            "method": ["nearest", "nearest"],
        },
        metadata={
            b"biocosmos.provenance": json.dumps(
                {"biocosmos": "0.1.0", "encoder": {"name": "efficientnet-lite0", "digest": "abc"}}
            ).encode()
        },
    )


def test_identifications_are_machine_observations_that_stop_at_the_sure_rank(tmp_path: Path) -> None:
    write(answers(), tmp_path / "x.zip", format="darwin-core", ranks=("order", "genus"))
    back, _ = table_of(tmp_path / "x.zip")
    rows = back.to_pylist()
    assert [row["basisOfRecord"] for row in rows] == ["MachineObservation"] * 2
    assert [row["identificationVerificationStatus"] for row in rows] == ["PredictedByMachine"] * 2
    assert [row["identificationReferences"] for row in rows] == ["biocosmos 0.1.0, encoder efficientnet-lite0 (weights abc)"] * 2
    assert [(row["scientificName"], row["order"], row["genus"]) for row in rows] == [
        ("Pica", "Passeriformes", "Pica"),
        (None, None, None),
    ]
    (said,) = json.loads(rows[0]["identification"])
    assert said["identificationVerificationStatus"] == "PredictedByMachine" and said["taxonRank"] == "genus"
    assert said["identificationRemarks"] == "confidence 0.93; novelty 0.25; method nearest"
    assert rows[1]["identification"] is None


def test_a_machines_answers_join_the_history_of_the_specimens(tmp_path: Path) -> None:
    history = json.dumps([{"scientificName": "Pica pica", "identifiedBy": "Jones"}])
    start = specimens().append_column("identification", pa.array([history, None, None]))
    write(start, tmp_path / "x.zip", format="darwin-core", ranks=RANKS, identifications=answers())
    back, _ = table_of(tmp_path / "x.zip")
    said = json.loads(back["identification"][0].as_py())
    assert [(s["scientificName"], s["identifiedBy"]) for s in said] == [("Pica pica", "Jones"), ("Pica", "biocosmos")]
    assert back["scientificName"].to_pylist() == specimens()["scientificName"].to_pylist()
    with pytest.raises(BiocosmosError, match="into a Darwin Core Archive, not into csv"):
        write(start, tmp_path / "x.csv", identifications=answers())


def test_ecotaxa_states_become_verification_states(tmp_path: Path) -> None:
    start = pa.table(
        {"id": ["1", "2", "3"], "label": ["a", "b", "c"], "object_annotation_status": ["validated", "predicted", None]}
    )
    write(start, tmp_path / "x.zip", format="darwin-core")
    back, _ = table_of(tmp_path / "x.zip")
    assert back["identificationVerificationStatus"].to_pylist() == ["ValidatedByHuman", "PredictedByMachine", None]
    assert back["basisOfRecord"].to_pylist() == ["Occurrence", "MachineObservation", "Occurrence"]


def test_ecotaxa_round_trip(tmp_path: Path) -> None:
    done = write(specimens(), tmp_path / "x.zip", format="ecotaxa", ranks=RANKS)
    assert (done.rows, [f.reason[:15] for f in done.failures]) == (3, ["the date '2021'"])
    first, failures = table_of(tmp_path / "x.zip")
    assert len(failures) == 0
    assert first["id"].to_pylist() == ["a 1", "b/2", "ç3"]
    assert first["image"].to_pylist() == [jpeg(1), jpeg(2), jpeg(3)]
    assert first["object_note"].to_pylist() == [AWKWARD, None, "plain"]
    assert first["object_annotation_status"].to_pylist() == ["validated", "validated", None]
    assert first["object_annotation_hierarchy"].to_pylist() == ["Animalia>Pica>Pica hudsonia", "Animalia>Diptera", None]
    assert first["latitude"].to_pylist() == [45.123456789012345, None, -90.0]
    assert first["date"].to_pylist() == ["2020-05-01", "2021", None]
    write(first, tmp_path / "y.zip", format="ecotaxa", ranks=read(tmp_path / "x.zip").ranks)
    second, _ = table_of(tmp_path / "y.zip")
    same(second, first)


def test_ecotaxa_gets_crops_cut_out_and_no_row_without_an_image(tmp_path: Path) -> None:
    (tmp_path / "whole.png").write_bytes(b"")
    Image.new("RGB", (20, 10), (200, 10, 10)).save(tmp_path / "whole.png")
    start = pa.table(
        {
            "id": ["1", "2", "3", "4"],
            "image_path": [str(tmp_path / "whole.png"), str(tmp_path / "gone.png"), None, str(tmp_path / "whole.png")],
            "crop": pa.array([[2, 3, 5, 4], None, None, None], pa.list_(pa.float32(), 4)),
            "label": ["krill"] * 4,
        }
    )
    done = write(start, tmp_path / "x.zip", format="ecotaxa")
    assert done.rows == 2
    assert [(f.id, f.severity) for f in done.failures] == [("2", "error"), ("3", "error")]
    back, _ = table_of(tmp_path / "x.zip")
    sizes = [Image.open(io.BytesIO(content)).size for content in back["image"].to_pylist()]
    assert sizes == [(5, 4), (20, 10)]


def test_streams_are_written_as_they_come_and_a_crash_leaves_the_old_file(tmp_path: Path) -> None:
    for format, name in (("csv", "x.csv"), ("parquet", "x.parquet"), ("darwin-core", "x.zip"), ("ecotaxa", "y.zip")):
        write(iter(specimens().to_batches(1)), tmp_path / name, format=format, ranks=RANKS)
        before = (tmp_path / name).read_bytes()

        def broken() -> object:
            yield specimens().to_batches()[0]
            raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            write(broken(), tmp_path / name, format=format, ranks=RANKS)  # type: ignore[arg-type]
        assert (tmp_path / name).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_ids_that_make_the_same_file_name_stay_apart(tmp_path: Path) -> None:
    start = pa.table({"id": ["a/1", "a:1", "../a 1"], "image": pa.array([jpeg(1), jpeg(2), jpeg(3)], pa.large_binary())})
    for format in ("darwin-core", "ecotaxa"):
        write(start, tmp_path / "x.zip", format=format)
        back, failures = table_of(tmp_path / "x.zip")
        assert back["image"].to_pylist() == [jpeg(1), jpeg(2), jpeg(3)]
        assert failures.errors == 0
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            assert not [name for name in archive.namelist() if ".." in name]


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match=r"cannot tell the format from 'x\.zip'"):
        write(specimens(), tmp_path / "x.zip")
    with pytest.raises(BiocosmosError, match="unknown format 'xls'"):
        write(specimens(), tmp_path / "x.zip", format="xls")
    with pytest.raises(BiocosmosError, match="have no column 'id'"):
        write(pa.table({"a": [1]}), tmp_path / "x.csv")
    with pytest.raises(BiocosmosError, match="no specimens are selected"):
        write(iter([]), tmp_path / "x.csv")


def test_parquet_keeps_nested_columns_and_csv_writes_them_as_json(tmp_path: Path) -> None:
    start = pa.table({"id": ["1"], "text": ["t"], "neighbours": [[{"id": "2", "score": 0.5}]], "raw": pa.array([b"x"])})
    write(start, tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet")["neighbours"].to_pylist() == [[{"id": "2", "score": 0.5}]]
    done = write(start, tmp_path / "x.csv")
    assert [f.severity for f in done.failures] == ["warning"]
    assert table_of(tmp_path / "x.csv")[0]["neighbours"].to_pylist() == ['[{"id": "2", "score": 0.5}]']


def core_of(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """(term by column, the rows of occurrence.txt)."""
    with zipfile.ZipFile(path) as archive:
        fields = ElementTree.fromstring(archive.read("meta.xml")).find("{*}core").findall("{*}field")  # type: ignore[union-attr]
        rows = list(csv.DictReader(io.StringIO(archive.read("occurrence.txt").decode(), newline=""), delimiter="\t"))
    terms = [str(field.get("term")) for field in fields if field.get("default") is None]
    return dict(zip(rows[0], terms)), rows


def test_dates_in_darwin_core_are_iso_8601_and_what_is_none_is_verbatim(tmp_path: Path) -> None:
    dates = {
        "13.06.2020": "2020-06-13",
        "13 June 2020 10:05": "2020-06-13T10:05:00",
        "2020-06-13T10:05:00+02:00": "2020-06-13T10:05:00+02:00",
        "2020-06-13 10:05 +02:00": "2020-06-13T08:05:00Z",
        "20200613": "2020-06-13",
        "2020-06": "2020-06",
        "2020-06-01/2020-08": "2020-06-01/2020-08",
        "2007-11-13/15": "2007-11-13/15",
        "2007-11-13/31": "",
        "3/7/2010": "",
        "2020-02-30": "",
        "13.06.2020 25:61": "2020-06-13",
        "summer": "",
    }
    start = pa.table({"id": [f"{i}" for i in range(len(dates))], "label": ["a"] * len(dates), "date": list(dates)})
    done = write(start, tmp_path / "x.zip", format="darwin-core")
    terms, rows = core_of(tmp_path / "x.zip")
    assert terms["date"].endswith("/eventDate") and terms["verbatimEventDate"].startswith("http://rs.tdwg.org/dwc/terms/")
    assert {row["verbatimEventDate"] or text: row["date"] for text, row in zip(dates, rows)} == dates
    odd = {text for text, iso in dates.items() if not iso} | {"13.06.2020 25:61"}
    assert {row["verbatimEventDate"] for row in rows} == odd | {""}
    assert len(done.failures) == len(odd) and all("verbatimEventDate" in failure.reason for failure in done.failures)


def test_darwin_core_has_its_own_terms_and_those_of_dublin_core(tmp_path: Path) -> None:
    start = pa.table(
        {
            "id": ["11", "12"],
            "datasetKey": ["k", "k"],
            "occurrenceID": ["urn:cat:1", None],
            "license": ["CC0", "CC0"],
            "rightsHolder": ["me", "me"],
            "verbatimCoordinates": ["1N 2E", None],
            "my own": ["x", "y"],
        }
    )
    done = write(start, tmp_path / "x.zip", format="darwin-core")
    terms, rows = core_of(tmp_path / "x.zip")
    assert terms["occurrenceID"] == "http://rs.tdwg.org/dwc/terms/occurrenceID"
    assert terms["id"] == "http://rs.gbif.org/terms/1.0/gbifID"
    assert (
        terms["license"] == "http://purl.org/dc/terms/license"
        and terms["rightsHolder"] == "http://purl.org/dc/terms/rightsHolder"
    )
    assert terms["verbatimCoordinates"].startswith("http://rs.tdwg.org/") and terms["my own"] == "urn:biocosmos:column:my%20own"
    assert [row["occurrenceID"] for row in rows] == ["urn:cat:1", "12"]
    assert [f.reason for f in done.failures] == ["rows without an occurrenceID, for which the specimen's id stands: 1"]
    write(start.set_column(0, "id", pa.array(["a", "b"])), tmp_path / "y.zip", format="darwin-core")
    assert core_of(tmp_path / "y.zip")[0]["id"] == "urn:biocosmos:column:id"
    assert table_of(tmp_path / "y.zip")[0]["id"].to_pylist() == ["a", "b"]


def test_a_label_is_no_taxon_rank(tmp_path: Path) -> None:
    table = (
        answers()
        .set_column(5, "rank", pa.array(["label", None]))
        .rename_columns(["label" if name == "genus" else name for name in answers().column_names])
    )
    done = write(table, tmp_path / "x.zip", format="darwin-core", ranks=("order", "label"))
    assert not any(row.get("taxonRank") for row in core_of(tmp_path / "x.zip")[1])
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert "taxonRank" not in archive.read("identification.txt").decode()
    assert any(failure.reason.startswith("occurrences without a name") for failure in done.failures)
