"""Parquet and data frames of any type of column, and what a collection cannot hold: renamed, converted or refused aloud."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import detect, read
from biocosmos.specimens.readers.blocks import Block, Shaper
from biocosmos.specimens.readers.fitting import fitted, fitting_name, fitting_names, fitting_type
from reading import rows_of

DAY = datetime.date(2020, 6, 13)


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": ["a", "b"], "text": ["t", "t"], **columns}), path)
    return path


# Names of columns.


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("leaf.length", "leaf_length"),
        ("leaf`s", "leaf_s"),
        ("leaf length", "leaf length"),
        ("_rowid", "_rowid_source"),
        ("_ROWADDR", "_ROWADDR_source"),
        ("*", "*_source"),
        ("embedding/mine", "embedding_mine"),
        ("a\tb\nc", "a_b_c"),
        ("x" * 5000, "x" * 200),
        ("Länge (mm)", "Länge (mm)"),
    ],
)
def test_names_that_lance_cannot_hold(given_name: str, kept: str) -> None:
    assert fitting_name(given_name) == kept


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.sampled_from(".`_abA/*\t "), min_size=1, max_size=4), unique=True, max_size=8))
def test_no_two_columns_are_kept_under_one_name(names: list[str]) -> None:
    kept = fitting_names(names)
    assert list(kept) == names and len(set(kept.values())) == len(names)
    assert all(fitting_name(name) == name for name in kept.values())


def test_columns_of_any_name_go_into_a_collection(tmp_path: Path) -> None:
    names = [
        "a.b",
        "a_b",
        "a`b",
        "_rowid",
        "_rowaddr",
        "width",
        "height",
        "content_hash2",
        "embedding/x",
        "leaf length",
        "Label",
        "ID2",
    ]
    path = parquet(tmp_path / "t.parquet", **{name: ["1", "2"] for name in names})
    failures = Failures()
    collection = Collection.create(tmp_path / "c.cosmos")
    summary = collection.add(read(path, failures=failures))
    assert summary.added == 2 and summary.failures.errors == 0
    stored = collection.table().to_pylist()
    kept = {"a.b": "a_b_source", "a`b": "a_b_source_source", "_rowid": "_rowid_source", "_rowaddr": "_rowaddr_source"}
    kept |= {"width": "width_source", "height": "height_source", "embedding/x": "embedding_x"}
    for name in names:
        ours = "label" if name == "Label" else kept.get(name, name)
        assert [row[ours] for row in stored] == ["1", "2"], name
    told = [f.reason for f in failures]
    assert all(any(repr(name) in one and repr(ours) in one for one in told) for name, ours in kept.items())
    assert [row["width"] for row in stored] == [None, None]


def test_an_export_of_ours_brings_no_columns_twice(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", content_hash=["x", "y"], width=[1, 2], height=[1, 2])
    rows, failures, _ = rows_of(path)
    assert "width" in rows[0] and "width_source" not in rows[0] and not any("kept as" in f.reason for f in failures)


def test_ranks_that_cannot_be_columns_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", **{"a.b": ["x", "y"]})
    with pytest.raises(BiocosmosError, match=r"a rank cannot be called 'a\.b'"):
        read(path, ranks=("a.b",))


# Types of columns.

TYPES: dict[str, tuple[pa.Array, Any]] = {
    "map": (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), '[["k", 1]]'),  # as JSON
    "list": (pa.array([["x"], []]), ["x"]),
    "view": (pa.array(["x", "y"], pa.string_view()), "x"),
    "bytes": (pa.array([b"x", b"y"], pa.binary_view()), b"x"),
    "listed": (pa.array([["x"], []], pa.list_view(pa.string_view())), ["x"]),
    "struct": (pa.array([{"s": "x"}, None], pa.struct([("s", pa.string_view())])), {"s": "x"}),
    "coded": (pa.array(["x", "y"]).dictionary_encode(), "x"),
    "run": (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["x", "y"])), "x"),
    "uuid": (pa.array([b"x" * 16, b"y" * 16], pa.uuid()), b"x" * 16),
    "zone": (pa.array([0, 1], pa.timestamp("us", "Mars/Base")), datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)),
    "nano": (pa.array([1001, 1], pa.timestamp("ns")), datetime.datetime(1970, 1, 1, 0, 0, 0, 1)),
    "day": (pa.array([DAY, None]), DAY),
}


@pytest.mark.parametrize("kind", TYPES)
def test_columns_of_odd_types_are_kept(tmp_path: Path, kind: str) -> None:
    values, first = TYPES[kind]
    frame = pa.table({"id": ["a", "b"], "text": ["t", "t"], "given": values})
    failures = Failures()
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(read(frame, failures=failures))
    assert failures.errors == 0
    assert collection.table(["given"])["given"].to_pylist()[0] == first


def test_columns_that_no_collection_holds_are_left_out_aloud() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "y"])])
    span = pa.array([pa.MonthDayNano([1, 2, 3]), None])
    rows, failures, _ = rows_of(pa.table({"id": ["a", "b"], "text": ["t", "t"], "u": union, "s": span}))  # type: ignore[arg-type]
    assert list(rows[0]) == ["id", "text"]
    assert sorted(f.reason.split(" is left out")[0] for f in failures) == ["the column 's'", "the column 'u'"]


def test_moments_that_python_cannot_say_are_left_blank(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        date=pa.array([2**31 - 1, 18000], pa.int32()).cast(pa.date32()),
        seen=pa.array([2**62, 0], pa.timestamp("us")),
        local=pa.array([-(2**62), 0], pa.timestamp("us", "Asia/Tokyo")),
        span=pa.array([2**62, 0], pa.duration("s")),
    )
    rows, failures, _ = rows_of(path)
    assert [row["date"] for row in rows] == [None, "2019-04-14"]
    assert [row["seen"] for row in rows] == [None, datetime.datetime(1970, 1, 1)]
    assert rows[0]["local"] is None and rows[0]["span"] is None
    assert [(f.row, f.severity) for f in failures] == [(1, "warning")] * 4


def test_dates_are_iso_8601() -> None:
    moments = pa.array([datetime.datetime(2020, 6, 13), datetime.datetime(2020, 6, 13, 12, 30)], pa.timestamp("us"))
    rows, _, _ = rows_of(pa.table({"id": ["a", "b"], "text": ["t", "t"], "eventdate": moments}))  # type: ignore[arg-type]
    assert [row["date"] for row in rows] == ["2020-06-13", "2020-06-13T12:30:00"]


def test_a_list_is_no_label(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", label=pa.array([["x", "y"], []]), species=["Pica pica", "Pica pica"])
    rows, _, ranks = rows_of(path)
    assert rows[0]["label_source"] == ["x", "y"] and ranks == ("species",)
    with pytest.raises(BiocosmosError, match=r"the column 'label' holds list<.*>, and label is a text: map another"):
        read(path, columns={"label": "label"})


def test_strings_that_are_no_utf_8(tmp_path: Path) -> None:
    raw = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff\xfe"]).buffers())
    rows, failures, _ = rows_of(parquet(tmp_path / "t.parquet", note=raw, label=raw))
    assert [row["note"] for row in rows] == ["ok", None]
    assert sum("not valid UTF-8: left blank" in f.reason for f in failures) == 2


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
def test_texts_that_cannot_be_stored_cost_their_row(bad: str) -> None:
    failures = Failures()
    shaper = Shaper({"id": pa.string(), "note": pa.string(), "label": pa.string()}, failures)
    columns = {"id": ["x", bad, "y", "z"], "note": ["n", "n", bad, "n"], "label": ["l", "l", "l", bad]}
    (batch,) = shaper.batches([Block(columns, [1, 2, 3, 4], "t")])
    assert batch["id"].to_pylist() == ["x"]
    assert [(f.row, f.reason.split(" holds ")[0]) for f in failures if f.severity == "error"] == [
        (2, "the column 'id'"),
        (3, "the column 'note'"),
        (4, "the column 'label'"),
    ]
    failures.table()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["s", "ms", "us", "ns"]), st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=5))
def test_whatever_the_moment_it_can_be_said_afterwards(unit: str, values: list[int | None]) -> None:
    for kind in (pa.timestamp(unit), pa.timestamp(unit, "Asia/Tokyo"), pa.duration(unit)):
        fit = fitting_type(kind)
        out, bad = fitted(pa.array(values, pa.int64()).cast(kind), fit)
        said = out.to_pylist()
        assert all((one is None) == (value is None or i in bad) for i, (one, value) in enumerate(zip(said, values)))


# Folders of Parquet files.


def test_a_snapshot_of_gbif(tmp_path: Path) -> None:
    folder = tmp_path / "occurrence.parquet"
    kind = pa.list_(pa.struct([("array_element", pa.string())]))
    for name, ids in (("000000", [101, 102]), ("000001", [103])):
        frame = pa.table(
            {
                "gbifid": pa.array([str(i) for i in ids]),
                "datasetkey": ["d"] * len(ids),
                "occurrenceid": ["1"] * len(ids),
                "kingdom": ["Animalia"] * len(ids),
                "genus": ["Pica"] * len(ids),
                "species": ["Pica pica"] * len(ids),
                "scientificname": ["Pica pica (Linnaeus, 1758)"] * len(ids),
                "decimallatitude": [54.1] * len(ids),
                "eventdate": pa.array([datetime.datetime(2020, 6, 13)] * len(ids), pa.timestamp("ms")),
                "mediatype": pa.array([[{"array_element": "StillImage"}]] * len(ids), kind),
                "issue": pa.array([[]] * len(ids), kind),
            }
        )
        folder.mkdir(exist_ok=True)
        pq.write_table(frame, folder / name)
    (folder / "_SUCCESS").touch()
    (folder / ".part.crc").touch()
    assert detect(folder) == detect(tmp_path) == "parquet" or detect(folder) == "parquet"
    rows, failures, ranks = rows_of(folder)
    assert [(row["id"], row["species"], row["date"], row["latitude"]) for row in rows] == [
        (str(i), "Pica pica", "2020-06-13", 54.1) for i in (101, 102, 103)
    ]
    assert ranks == ("kingdom", "genus", "species")
    assert rows[0]["mediatype"] == [{"array_element": "StillImage"}] and failures.errors == 0
    collection = Collection.create(tmp_path / "c.cosmos")
    assert collection.add(read(folder)).added == 3


def test_files_of_other_columns_and_damaged_ones(tmp_path: Path) -> None:
    parquet(tmp_path / "d/1.parquet", depth=[1, 2])
    parquet(tmp_path / "d/2.parquet", id=["c", "d"], depth=[1.5, None], more=["x", "y"])
    rows, failures, _ = rows_of(tmp_path / "d", format="parquet")
    assert [(row["id"], row["depth"], row["more"]) for row in rows] == [
        ("a", 1.0, None),
        ("b", 2.0, None),
        ("c", 1.5, "x"),
        ("d", None, "y"),
    ]
    assert failures.errors == 0
    parquet(tmp_path / "d/3.parquet", depth=[["x"], []])
    with pytest.raises(BiocosmosError, match="do not have the same columns"):
        read(tmp_path / "d", format="parquet")
    (tmp_path / "d/3.parquet").write_bytes(b"PAR1")
    with pytest.raises(BiocosmosError, match=r"cannot read .*3\.parquet as Parquet"):
        read(tmp_path / "d", format="parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BiocosmosError, match="has no Parquet file in it"):
        read(tmp_path / "empty", format="parquet")
