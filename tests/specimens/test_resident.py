"""A gallery that is resident in little memory answers as the gallery of the collection does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.search.row_file import CAN_BE, RowFile
from biocosmos.specimens.resident import FOLDER, resident_gallery, stored_vectors

ENCODER = "efficientnet-lite0"


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
def test_neighbours_are_those_of_the_gallery(embedded: bc.Collection, in_memory: int) -> None:
    wanted = embedded.gallery(ENCODER, columns=())
    found = resident_gallery(embedded, ENCODER, in_memory=in_memory)
    assert isinstance(found.index.vectors, RowFile) == (CAN_BE and not in_memory)
    assert found.ids.to_pylist() == wanted.ids.tolist() and len(found) == 300 and found.dim == wanted.dim
    rows = np.array([3, 77, 299])
    assert np.array_equal(found.vectors(rows), wanted.vectors[rows])
    near = found.search(found.vectors(rows), 8, exclude=rows)
    hits = wanted.search(wanted.vectors[rows], 8, exclude=wanted.ids[rows])
    assert np.array_equal(near.rows, hits.rows) and np.array_equal(near.scores, hits.scores)
    mask = np.zeros(300, bool)
    mask[40:90] = True
    near, hits = found.search(found.vectors(rows), 60, mask=mask), wanted.search(wanted.vectors[rows], 60, mask=mask)
    assert np.array_equal(near.rows, hits.rows) and (near.rows[:, 50:] == -1).all()
    assert not list((embedded.path / FOLDER).glob("*")) if (embedded.path / FOLDER).exists() else True
    likeness = found.likeness(found.vectors([3])[0], 20)
    best = np.argsort(-likeness, kind="stable")[:20]
    assert np.array_equal(np.sort(best), np.sort(wanted.search(wanted.vectors[[3]], 20).rows[0]))
    found.close()


def test_vectors_that_change_are_told_from_labels_that_do(embedded: bc.Collection, tmp_path: Path) -> None:
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    mine = bc.Collection.open(tmp_path / "mine.cosmos")
    before = stored_vectors(mine, ENCODER)
    ids = mine.table(["id"])["id"].to_pylist()
    mine.change({"id": ids[:2], "latitude": [1.0, 2.0]}, verb="update")
    assert stored_vectors(mine, ENCODER) == before
    mine.remove(ids[:1])
    assert stored_vectors(mine, ENCODER) != before


def test_an_embedding_that_is_not_there_is_refused(embedded: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match="no embedding 'nobody'"):
        resident_gallery(embedded, "nobody")
