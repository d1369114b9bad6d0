"""Two processes at one collection: the second waits or is told, and nothing is lost or stored twice."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biocosmos as bc
import warm


def both(*lines: tuple[object, ...]) -> list[tuple[int, str]]:
    """Command lines that run at the same time: (exit code, what they said) of each."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    begun = [
        warm.Popen([sys.executable, "-m", "biocosmos", *map(str, line)], stderr=subprocess.PIPE, text=True, env=env)
        for line in lines
    ]
    return [(child.wait(), child.stderr.read()) for child in begun if child.stderr is not None]


@pytest.fixture
def photos(tmp_path: Path, sample_table: pa.Table) -> Path:
    """Thirty photographs that are in no collection yet."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for row in sample_table.slice(400, 30).to_pylist():
        (folder / f"new-{row['id']}.png").write_bytes(row["image"])
    return folder


def test_two_ingests_of_one_folder_store_every_photograph_once(photos: Path, tmp_path: Path) -> None:
    line = ("ingest", photos, "-o", tmp_path / "new.cosmos")
    ended = both(line, line)
    assert [code for code, _ in ended] == [0, 0] or "holds" in ended[0][1] + ended[1][1], ended
    ids = Counter(bc.Collection.open(tmp_path / "new.cosmos").table(["id"])["id"].to_pylist())
    assert len(ids) == 30 and set(ids.values()) == {1}


def test_an_embedding_beside_an_ingest_loses_nothing(photos: Path, tiny_collection: bc.Collection) -> None:
    path = tiny_collection.path
    embed = ("embed", path, "--device", "cpu")
    ended = both(embed, ("ingest", photos, "-o", path))
    assert all(code == 0 or "run the same command again" in said or "again" in said for code, said in ended), ended
    assert [code for code, _ in both(embed)] == [0]
    table = bc.Collection.open(path).dataset.to_table(columns=["id", "embedding/efficientnet-lite0"])
    assert table.num_rows == 150 == len(set(table["id"].to_pylist()))
    assert table["embedding/efficientnet-lite0"].null_count == 0


def test_two_that_name_and_keep_their_names_keep_both(embedded: bc.Collection, tmp_path: Path) -> None:
    path = Path(shutil.copytree(embedded.path, tmp_path / "mine.cosmos"))
    name = ("identify", path, "--part", "test", "--known", "train", "--threshold", "0.5", "--save", "--fresh", "-o")
    ended = both((*name, tmp_path / "one.csv", "--method", "nearest"), (*name, tmp_path / "two.csv", "--method", "class-mean"))
    assert [code for code, _ in ended] == [0, 0], ended
    tables = [pq.read_table(file, columns=["id", "method"]) for file in (path / "identifications").glob("*.parquet")]
    kept = {(row["id"], row["method"]) for table in tables for row in table.to_pylist()}
    for output in ("one.csv", "two.csv"):
        with (tmp_path / output).open(encoding="utf-8") as file:
            named = {(row["id"], row["method"]) for row in csv.DictReader(file)}
        assert named and named <= kept
