"""What the history of a collection says of one specimen."""

from __future__ import annotations

import pyarrow as pa

from biocosmos.specimens.care.of_specimen import changes_of


def test_corrections_of_one_specimen_oldest_first_and_undone_ones_too(tiny_collection):
    one, two = tiny_collection.table(["id"])["id"].to_pylist()[:2]
    before = tiny_collection.take([one], ["label"])["label"][0].as_py()
    tiny_collection.update(pa.table({"id": [one, two], "label": ["first", "first"]}), by="ada", note="seen")
    tiny_collection.update(pa.table({"id": [two], "label": ["second"]}), by="bo")
    tiny_collection.update(pa.table({"id": [one], "depth": ["12"]}), by="bo")
    found = changes_of(tiny_collection, one, ["label"])
    assert [(each.entry.by, each.entry.note, each.cells) for each in found] == [("ada", "seen", {"label": (before, "first")})]
    assert [each.cells["label"] for each in changes_of(tiny_collection, two, ["label"])][1] == ("first", "second")
    assert changes_of(tiny_collection, one, ["depth"])[0].cells == {"depth": (None, "12")}
    tiny_collection.undo(by="bo")
    tiny_collection.undo(by="bo")
    assert [each.cells["label"] for each in changes_of(tiny_collection, two, ["label"])][-1] == ("second", "first")
    assert changes_of(tiny_collection, "nobody", ["label"]) == []
