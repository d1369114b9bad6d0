"""A collection that was corrected is embedded again only where an image or its crop is another."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import biocosmos as bc


def test_only_what_is_seen_anew_is_embedded(embedded: bc.Collection, tmp_path: Path) -> None:
    shutil.copytree(embedded.path, tmp_path / "c.cosmos")
    collection = bc.Collection.open(tmp_path / "c.cosmos")
    ids, vectors = collection.vectors()
    before = dict(zip(ids, vectors))
    collection.remove(list(ids[10:20]))
    collection.relabel("Copepoda", "Copepods")
    collection.change({"id": [ids[0], ids[30]], "crop": [[0.0, 0.0, 20.0, 20.0]] * 2}, verb="update")
    assert len(collection.vectors().ids) == 288
    summary = bc.embed(collection, "efficientnet-lite0")
    assert (summary.images, summary.kept) == (2, 288)
    after = dict(zip(*collection.vectors()))
    assert set(after) == set(ids) - set(ids[10:20])
    assert all(np.array_equal(after[id_], before[id_]) != (id_ in (ids[0], ids[30])) for id_ in after)
    collection.undo(3)
    collection.undo(1)
    assert {id_: vector.tobytes() for id_, vector in zip(*collection.vectors())} == {i: v.tobytes() for i, v in before.items()}
    assert bc.embed(collection, "efficientnet-lite0").images == 0
    part = collection.make_split("random").part("train").to_pylist()
    assert collection.count(split="train") == len(part)
