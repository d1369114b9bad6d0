"""Sum the scores of taxa into their ancestors: planned once for a set of columns, then run on any number of chunks.

In depth-first order the columns under one taxon stand side by side, so a sum per taxon is a sum over slices. Ranks are
summed from the finest to the coarsest, each from the sums of the one before: all ranks cost little more than one, every
chunk is read once, and the slices stay short, which keeps float32 sums accurate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

if TYPE_CHECKING:
    import torch

    from biocosmos.taxonomy.tree import Taxonomy

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
BLOCK = 512  # columns that torch adds one after another; numpy adds pairwise by itself
Scores = Any  # numpy.ndarray or torch.Tensor; what goes in comes out


@dataclass(frozen=True)
class RollUp:
    """Scores summed to one rank; unpacks as ``scores, taxa``.

    scores: (queries, taxa) same kind as the input. taxa: (taxa,) int32 node ids, all taxa of the rank, ascending.
    unplaced: (queries,) sum of the columns that have no taxon at this rank (a null rank, a coarser node, id -1): with it,
    ``scores.sum(1) + unplaced`` is the whole mass of the query.
    """

    scores: Scores
    taxa: Int32
    unplaced: Scores

    def __iter__(self) -> Iterator[Any]:
        return iter((self.scores, self.taxa))


@dataclass(frozen=True)
class _Step:
    """One rank: where its slices start among the columns of the step before, and which of them are taxa of the rank."""

    rank: int
    wanted: bool
    starts: Int64 | None  # None: every slice has one column, nothing to sum
    width: int  # columns before the step
    taxa: Int32
    places: Int64 | None  # column of the output for each taxon found; None: all taxa are found, in order
    columns: Int64 | None  # their columns after the step; None: all columns
    others: Int64  # the remaining columns


class RollUpPlan:
    """How to sum columns that stand for ``nodes`` into the taxa of ``ranks``; make it once, call it per chunk.

    nodes: (columns,) node ids in any order, leaves or inner nodes, repeated or -1; a column at an inner node is mass that
    ends there (it counts for that node and its ancestors). ranks: names or indices.
    """

    def __init__(self, taxonomy: Taxonomy, nodes: npt.ArrayLike, ranks: Sequence[str | int]) -> None:
        ids = np.asarray(nodes, dtype=np.int32).ravel()
        if ids.size and int(ids.max()) >= len(taxonomy):
            raise BiocosmosError(
                f"node {int(ids.max())} is not in this taxonomy of {len(taxonomy)} nodes: index the columns with it"
            )
        self.ranks = tuple(taxonomy.ranks[taxonomy.rank_index(rank)] for rank in ranks)
        wanted = {taxonomy.rank_index(rank) for rank in ranks}
        self.columns = len(ids)
        self._order: Int64 | None = None
        if np.any(ids[1:] < ids[:-1]):
            self._order = np.argsort(ids, kind="stable")
            ids = ids[self._order]
        self._steps: list[_Step] = []
        for rank in range(len(taxonomy.ranks) - 1, min(wanted, default=0) - 1, -1):
            above = taxonomy.ancestor(ids, rank)
            key = np.where(above >= 0, above, ids)
            first = np.flatnonzero(np.diff(key, prepend=key[:1] - 1))
            step_ids = key[first]
            taxa = taxonomy.at_rank(rank)
            here = np.isin(step_ids, taxa, assume_unique=True)
            places: Int64 | None = np.searchsorted(taxa, step_ids[here])
            columns: Int64 | None = np.flatnonzero(here)
            others = np.flatnonzero(~here)
            starts = None if len(first) == len(ids) else first
            if here.all():
                columns = None
            if len(step_ids[here]) == len(taxa):
                places = None
            self._steps.append(_Step(rank, rank in wanted, starts, len(ids), taxa, places, columns, others))
            ids = step_ids
        self._names = taxonomy.ranks
        self._devices: dict[torch.device, _TorchSums] = {}

    def __call__(self, scores: Scores) -> dict[str, RollUp]:
        """Sum ``scores`` (queries, columns) to every rank of the plan, in the order given.

        numpy in, numpy out; torch in, torch out, on its device and differentiable. float16 and bfloat16 are summed and
        returned in float32, small integers and booleans in int64. Where a rank has one column per taxon the result may
        share memory with ``scores``.
        """
        if scores.ndim != 2 or scores.shape[1] != self.columns:
            raise BiocosmosError(
                f"scores have shape {tuple(scores.shape)}, expected (queries, {self.columns}): one column per node"
            )
        if isinstance(scores, np.ndarray):
            return self._run(_NumpySums, scores)
        if scores.device.type == "cpu" and not scores.requires_grad:  # numpy's slice sums are the fastest on a CPU
            import torch

            whole = scores.float() if scores.dtype == torch.bfloat16 else scores
            found = self._run(_NumpySums, whole.numpy())
            return {
                rank: RollUp(torch.from_numpy(done.scores), done.taxa, torch.from_numpy(done.unplaced))
                for rank, done in found.items()
            }
        if scores.device not in self._devices:
            self._devices[scores.device] = _TorchSums(scores.device)
        return self._run(self._devices[scores.device], scores)

    def chunks(self, chunks: Iterable[Scores]) -> Iterator[dict[str, RollUp]]:
        """Sum chunk after chunk of queries; one chunk and its sums are in memory at a time."""
        for chunk in chunks:
            yield self(chunk)

    def _run(self, sums: Any, scores: Scores) -> dict[str, RollUp]:
        masses = sums.widen(scores)
        if self._order is not None:
            masses = sums.take(masses, self._order)
        found: dict[int, RollUp] = {}
        for step in self._steps:
            if step.starts is not None:
                masses = sums.slices(masses, step.starts, step.width)
            if step.wanted:
                here = masses if step.columns is None else sums.take(masses, step.columns)
                if step.places is not None:
                    here = sums.spread(here, step.places, len(step.taxa))
                unplaced = sums.total(sums.take(masses, step.others))
                found[step.rank] = RollUp(here, step.taxa, unplaced)
        return {rank: found[self._names.index(rank)] for rank in self.ranks}


class _NumpySums:
    @staticmethod
    def widen(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if x.dtype == np.float16:
            return x.astype(np.float32)
        return x.astype(np.int64) if x.dtype.kind in "biu" and x.dtype.itemsize < 8 else x

    @staticmethod
    def take(x: npt.NDArray[Any], columns: Int64) -> npt.NDArray[Any]:
        return np.take(x, columns, axis=1)

    @staticmethod
    def slices(x: npt.NDArray[Any], starts: Int64, width: int) -> npt.NDArray[Any]:
        return np.add.reduceat(x, starts, axis=1, dtype=x.dtype)

    @staticmethod
    def spread(x: npt.NDArray[Any], places: Int64, width: int) -> npt.NDArray[Any]:
        out = np.zeros((len(x), width), x.dtype)
        out[:, places] = x
        return out

    @staticmethod
    def total(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(x.sum(axis=1, dtype=x.dtype))


class _TorchSums:
    """The same sums in torch, on any device and differentiable; its index tensors are sent to the device once.

    On CUDA ``index_add`` adds in no fixed order, so sums may differ in the last bit from run to run.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # By id(); holding the array beside it keeps the id from being used again.
        self._held: dict[int, tuple[Int64, torch.Tensor]] = {}
        self._sums: dict[int, tuple[Int64, list[tuple[torch.Tensor, int]]]] = {}

    def widen(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        if x.dtype in (torch.float16, torch.bfloat16):
            return x.float()
        return x if x.dtype.is_floating_point else x.long()

    def take(self, x: torch.Tensor, columns: Int64) -> torch.Tensor:
        return x.index_select(1, self._tensor(columns))

    def slices(self, x: torch.Tensor, starts: Int64, width: int) -> torch.Tensor:
        if id(starts) not in self._sums:
            rounds = [(self._send(places), count) for places, count in _rounds(np.diff(starts, append=width))]
            self._sums[id(starts)] = (starts, rounds)
        for places, count in self._sums[id(starts)][1]:
            x = x.new_zeros((len(x), count)).index_add(1, places, x)
        return x

    def spread(self, x: torch.Tensor, places: Int64, width: int) -> torch.Tensor:
        return x.new_zeros((len(x), width)).index_copy(1, self._tensor(places), x)

    def total(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=1)

    def _tensor(self, values: Int64) -> torch.Tensor:
        if id(values) not in self._held:
            self._held[id(values)] = (values, self._send(values))
        return self._held[id(values)][1]

    def _send(self, values: Int64) -> torch.Tensor:
        import torch

        return torch.from_numpy(values).to(self._device)


def _rounds(lengths: Int64) -> Iterator[tuple[Int64, int]]:
    """Sum slices of these lengths by adding columns into places, round by round, at most BLOCK columns into one."""
    while True:
        blocks = -(-lengths // BLOCK)
        slice_of = np.repeat(np.arange(len(lengths)), lengths)
        within = np.arange(len(slice_of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        first_block = np.cumsum(blocks) - blocks
        yield first_block[slice_of] + within // BLOCK, int(blocks.sum())
        if len(lengths) == blocks.sum():
            return
        lengths = blocks
