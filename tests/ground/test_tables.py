"""Tables as files: however a stream of rows is cut, the file is the same, and says what made it."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from biocosmos import tables
from biocosmos.errors import BiocosmosError
from biocosmos.tables import read_provenance, replacing, write_table, write_tables

TABLE = pa.table(
    {
        "id": [f"s{row}" for row in range(50)],
        "share": [row / 7 if row % 5 else None for row in range(50)],
        "near": [[{"id": "ä", "score": row / 3}] for row in range(50)],
    }
)
FACTS = {"method": "linear", "threshold": 0.9}


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_a_stream_is_written_as_the_whole_table_is(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS", 16)
    whole = write_table(TABLE, tmp_path / f"whole{suffix}", FACTS)
    pieces = [TABLE.slice(start, length) for start, length in ((0, 7), (7, 0), (7, 30), (37, 13))]
    cut = write_tables(iter(pieces), TABLE.schema, tmp_path / f"cut{suffix}", FACTS)
    assert cut.read_bytes() == whole.read_bytes()
    assert read_provenance(cut) == FACTS
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_every_format_gives_its_rows_back(tmp_path: Path) -> None:
    rows = TABLE.to_pylist()
    assert pq.read_table(write_table(TABLE, tmp_path / "t.parquet", FACTS)).to_pylist() == rows
    assert json.loads(write_table(TABLE, tmp_path / "t.json", FACTS).read_text()) == {"provenance": FACTS, "rows": rows}
    lines = write_table(TABLE, tmp_path / "t.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    flat = pyarrow.csv.read_csv(write_table(TABLE, tmp_path / "t.csv")).to_pylist()
    assert [(row["id"], row["share"], json.loads(row["near"])) for row in flat] == [tuple(row.values()) for row in rows]
    assert write_table(TABLE.slice(0, 0), tmp_path / "none.csv").read_text() == '"id","share","near"\n'


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_a_table_of_somebody_else_says_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"theirs{suffix}"
    assert read_provenance(path) is None
    path.write_bytes(b"\x00[1")
    assert read_provenance(path) is None


def test_a_stream_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_table(TABLE, tmp_path / "t.csv", FACTS)
    before = path.read_bytes()

    def broken() -> Iterator[pa.Table]:
        yield TABLE.slice(0, 3)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_tables(broken(), TABLE.schema, path, {"method": "other"})
    assert path.read_bytes() == before and read_provenance(path) == FACTS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["t.csv", "t.csv.provenance.json"]


@pytest.mark.parametrize("name", ["folder", "./folder", "{tmp}/folder"])
def test_a_folder_in_the_place_of_a_file_is_said_before_the_work(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BiocosmosError, match="it is a folder: give the name of a file"), replacing(name.format(tmp=tmp_path)):
        pytest.fail("the work was done for nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_or_closed_folder_is_one_line_for_a_name_without_a_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BiocosmosError, match=r"cannot write out\.csv: it may not be written to"), replacing("out.csv") as place:
        raise PermissionError(errno.EACCES, "Permission denied", str(place))
