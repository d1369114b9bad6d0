"""Batches of barcodes: relatives together, changed as barcodes in the wild are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.train.batches.drawing import Drawing, Rows
from biocosmos.train.loop.loop import Batch, derived_seed

SHORTEST, LONGEST = 200, 600
"""Bases that a barcode keeps that loses ends: in BOLD they are 100 and more."""
CLUMP, OF_SPECIES = 4, 2
"""Specimens of a genus, and of them of a species, that come together."""

Array = npt.NDArray[Any]


class BarcodeBatches:
    """Shuffled batches of barcodes as a network takes them; the same ones for the same seed, epoch and process.

    inputs: barcodes -> (n, t) int64; tokens: whose frame moves; targets: (n, ...) int64; order: which rows an epoch sees.
    frame, crop, mutate: of :class:`biocosmos.train.barcode.settings.BarcodeSettings`.
    """

    def __init__(
        self,
        ids: Sequence[str],
        barcodes: Sequence[str],
        targets: torch.Tensor,
        inputs: Callable[[Sequence[str]], Array],
        tokens: KmerTokens,
        *,
        frame: bool,
        crop: float,
        mutate: float,
        batch_size: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
        order: Callable[[int], Rows] | None = None,
    ) -> None:
        self._ids, self._barcodes, self._targets = list(ids), list(barcodes), targets
        self._inputs, self._tokens = inputs, tokens
        self._frame, self._crop, self._mutate = frame, crop, mutate
        self._drawing = Drawing(len(self._ids), batch_size, seed=seed, rank=rank, size=size, order=order)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._seed, self._rank = seed, rank

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)
        for number in range(start, self.count):
            rows = self._drawing.rows(order, number)
            rng = np.random.default_rng(derived_seed(self._seed, epoch, number, self._rank, 1))
            barcodes = [self.changed(self._barcodes[row], rng) for row in rows]
            inputs = torch.from_numpy(self._inputs(barcodes))
            yield Batch(inputs, self._targets[torch.from_numpy(rows)], [self._ids[row] for row in rows])

    def changed(self, barcode: str, rng: np.random.Generator) -> str:
        """A barcode that lost ends, was misread, or begins a few bases later."""
        if self._crop and rng.random() < self._crop and len(barcode) > SHORTEST:
            kept = int(rng.integers(SHORTEST, min(LONGEST, len(barcode)) + 1))
            first = int(rng.integers(len(barcode) - kept + 1))
            barcode = barcode[first : first + kept]
        if self._mutate:
            letters = np.frombuffer(barcode.encode("ascii", "replace"), np.uint8).copy()
            hit = rng.random(len(letters)) < self._mutate * rng.random()
            letters[hit] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, int(hit.sum()))]
            barcode = letters.tobytes().decode("ascii")
        return barcode[int(rng.integers(self._tokens.k)) :] if self._frame else barcode


def relatives_together(species: Array, genus: Array, family: Array, seed: int) -> Callable[[int], Rows]:
    """The order of each epoch: all rows once, in clumps of a genus that hold pairs of species, clumps of a family in pairs.

    species, genus, family: (n,) int64, below 0 where unknown: such rows are alone. Random batches would hold almost no two
    specimens of one species, and a contrastive loss nothing to pull together.
    """

    def order(epoch: int) -> Rows:
        rng = np.random.default_rng([seed, epoch, 3])
        pairs = _cut(_key(species), OF_SPECIES, rng)
        first = np.array([pair[0] for pair in pairs])
        clumps = _cut(_key(genus)[first], CLUMP // OF_SPECIES, rng)
        ahead = np.array([first[clump[0]] for clump in clumps])
        twos = _cut(_key(family)[ahead], 2, rng)
        found = [row for two in twos for clump in two for pair in clumps[clump] for row in pairs[pair]]
        return np.array(found, np.int64)

    return order


def _key(labels: Array) -> Array:
    """Labels whose unknown ones are each of their own."""
    return np.where(labels >= 0, labels, -1 - np.arange(len(labels)))


def _cut(labels: Array, most: int, rng: np.random.Generator) -> list[Array]:
    """Numbers 0..n-1 in pieces of at most ``most`` of one label, in a random order."""
    mixed = rng.permutation(len(labels))
    mixed = mixed[np.argsort(labels[mixed], kind="stable")]
    place = np.flatnonzero(np.diff(labels[mixed], prepend=labels[mixed[:1]] - 1))
    within = np.arange(len(mixed)) - np.repeat(place, np.diff([*place, len(mixed)]))
    pieces = np.split(mixed, np.flatnonzero(within % most == 0)[1:])
    return [pieces[i] for i in rng.permutation(len(pieces))]
