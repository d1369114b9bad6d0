"""Batches of barcodes: relatives together, changed as barcodes in the wild are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.train.batches.barcode_changes import BarcodeChanges
from biocosmos.train.batches.drawing import Drawing, Rows
from biocosmos.train.loop.loop import Batch, derived_seed

PAIR = 2
"""Specimens of a species, species of a genus, genera of a family that come together."""
OF_FAMILIES = 0.5
"""Draws of two genera of a family, the others are of one genus."""

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
        self._inputs, self._changed = inputs, BarcodeChanges(crop, mutate, tokens.k if frame else 1)
        self._drawing = Drawing(len(self._ids), batch_size, seed=seed, rank=rank, size=size, order=order)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._seed, self._rank = seed, rank

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)
        for number in range(start, self.count):
            rows = self._drawing.rows(order, number)
            rng = np.random.default_rng(derived_seed(self._seed, epoch, number, self._rank, 1))
            barcodes = [self._changed(self._barcodes[row], rng) for row in rows]
            inputs = torch.from_numpy(self._inputs(barcodes))
            yield Batch(inputs, self._targets[torch.from_numpy(rows)], [self._ids[row] for row in rows])


def relatives_together(species: Array, genus: Array, family: Array, seed: int) -> Callable[[int], Rows]:
    """The rows of each epoch, as many as there are: specimens of a species in pairs, species of a genus in pairs, and for half of
    the draws two genera of a family side by side.

    species, genus, family: (n,) int64, below 0 where unknown: each of its own. Genera and families are drawn alike often, so that
    large ones do not take all; over the epochs every row comes. Random batches would hold almost no two specimens of a species,
    and a contrastive loss nothing to pull together.
    """
    n = len(species)
    of_species = _members(_key(species), np.arange(n))
    of_genus = _members(_key(genus), np.array([rows[0] for rows in of_species]))
    of_family = _members(_key(family), np.array([of_species[own[0]][0] for own in of_genus]))

    def order(epoch: int) -> Rows:
        rng = np.random.default_rng([seed, epoch, 3])
        found: list[int] = []
        while len(found) < n:
            one = [int(rng.integers(len(of_genus)))]
            if rng.random() < OF_FAMILIES:
                one = rng.permutation(of_family[rng.integers(len(of_family))])[:PAIR].tolist()
            for chosen in one:
                for own in rng.permutation(of_genus[chosen])[:PAIR]:
                    found += rng.permutation(of_species[own])[:PAIR].tolist()
        return np.array(found[:n], np.int64)

    return order


def _key(labels: Array) -> Array:
    """Labels whose unknown ones are each of their own."""
    return np.where(labels >= 0, labels, -1 - np.arange(len(labels)))


def _members(labels: Array, firsts: Array) -> list[Array]:
    """Numbers 0..len(firsts)-1 by the label of the row each stands for."""
    own = labels[firsts]
    order = np.argsort(own, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(own[order])) + 1)
