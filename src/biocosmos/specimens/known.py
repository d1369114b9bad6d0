"""Which specimens a collection has: found by id, and by what their image is, in eight bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import lance
import numpy as np
import numpy.typing as npt

from biocosmos.specimens.positions import Positions

Digests = npt.NDArray[np.uint64]


class Known:
    """The specimens of a dataset, and those that are remembered since, by their place in it."""

    def __init__(self, dataset: lance.LanceDataset) -> None:
        self._dataset = dataset
        self._ids = _Index(digests(batch.column("id").to_pylist()) for batch in dataset.to_batches(columns=["id"]))
        self._contents: _Index | None = None
        self._new: dict[str, int] = {}

    def positions(self, ids: Sequence[str | None]) -> Positions:
        """(n,) place of each id, -1 where it is not known."""
        found = np.array([self._new.get(id_, -1) if id_ else -1 for id_ in ids], np.int64)
        asked = [i for i, id_ in enumerate(ids) if id_ and found[i] < 0]
        candidates = self._ids.find(digests([ids[i] for i in asked]))
        suspects = sorted({place for places in candidates for place in places})
        if not suspects:
            return found
        # equal digests are told apart by what is stored
        stored = dict(zip(suspects, self._dataset.take(suspects, columns=["id"])["id"].to_pylist()))
        for i, places in zip(asked, candidates):
            found[i] = next((place for place in places if stored[place] == ids[i]), -1)
        return found

    def of_content(self, content_hash: str) -> list[int]:
        """Places, in the dataset as it was at first, of the specimens whose image may be this one, byte for byte."""
        if self._contents is None:
            batches = self._dataset.to_batches(columns=["content_hash"])
            self._contents = _Index(digests(batch.column("content_hash").to_pylist()) for batch in batches)
        return self._contents.find(digests([content_hash]))[0]

    def remember(self, id_: str, position: int) -> None:
        """Count an id as known from now on."""
        self._new[id_] = position


class _Index:
    """Digests in order, each with its place."""

    def __init__(self, parts: Iterable[Digests]) -> None:
        digests = np.concatenate([np.empty(0, np.uint64), *parts])
        self._places = np.argsort(digests, kind="stable")
        self._digests = digests[self._places]

    def find(self, digests: Digests) -> list[list[int]]:
        """For each digest the places that have it, ascending."""
        left = np.searchsorted(self._digests, digests, "left")
        right = np.searchsorted(self._digests, digests, "right")
        none: list[int] = []
        return [none if a == b else self._places[a:b].tolist() for a, b in zip(left, right)]


def digests(texts: Sequence[Any]) -> Digests:
    """(n,) eight bytes of each text; nothing is as an empty one."""
    raw = b"".join(hashlib.blake2b((text or "").encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(raw, np.uint64)


__all__ = ["Known", "digests"]
