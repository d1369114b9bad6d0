"""What was discovered is kept: never replaced, found by name, and what is no table of ours does no harm."""

from __future__ import annotations

import pyarrow as pa
import pytest

from biocosmos.discover import kept
from biocosmos.errors import BiocosmosError


def test_tables_stand_beside_one_another_and_the_latest_is_meant(tiny_collection):
    first = kept.keep(tiny_collection, "clusters", pa.table({"id": ["a"], "cluster": [0]}), {"encoder": "x"})
    second = kept.keep(tiny_collection, "clusters", pa.table({"id": ["b"], "cluster": [1]}), {"encoder": "y"})
    assert [each.name for each in kept.kept(tiny_collection, "clusters")] == [first.name, second.name]
    assert kept.read_kept(tiny_collection, "clusters").table()["id"].to_pylist() == ["b"]
    assert kept.read_kept(tiny_collection, "clusters", first.name).provenance == {"encoder": "x"}
    assert kept.kept(tiny_collection, "projection") == []
    with pytest.raises(BiocosmosError, match=f"no clusters 'old' with .*kept: {first.name}, {second.name}"):
        kept.read_kept(tiny_collection, "clusters", "old")
    with pytest.raises(ValueError, match="needs the column 'id'"):
        kept.keep(tiny_collection, "clusters", pa.table({"cluster": [0]}), {})


def test_a_file_of_somebody_else_s_and_a_damaged_one(tiny_collection):
    made = kept.keep(tiny_collection, "queue", pa.table({"id": ["a"]}), {})
    (made.path.parent / "0 my own.parquet").write_bytes(b"")
    assert [each.kept for each in kept.kept(tiny_collection, "queue")] == ["", made.kept]
    made.path.write_bytes(b"half")
    with pytest.raises(BiocosmosError, match=r"is damaged .*: remove it and discover again"):
        kept.read_kept(tiny_collection, "queue", made.name).table()
