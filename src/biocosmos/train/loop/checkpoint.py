"""Checkpoints that a killed run goes on from exactly: a folder per checkpoint, complete or not there at all."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.tables import replacing
from biocosmos.train.loop.processes import Processes

FOLDER, BEST = "checkpoints", "best.pt"
_SHARED = "shared.pt"
State = dict[str, Any]


class Checkpoints:
    """``checkpoints/step-00001234/`` in the run's folder: what all processes share, and a file for each process's centres.

    The newest is kept, and ``best.pt``, the weights of the best validation. A checkpoint is written beside its place and
    renamed when every process is done, so that a kill at any moment leaves the one before.
    """

    def __init__(self, run: Path, where: Processes) -> None:
        self.folder, self._where = run / FOLDER, where

    @property
    def latest(self) -> Path | None:
        """The newest complete checkpoint, or None."""
        found = sorted(self.folder.glob("step-*"))
        return found[-1] if found else None

    def save(self, step: int, shared: State, own: State) -> Path:
        """Write what is shared (by the first process) and what is this process's own. Called by all processes at one step."""
        place = self.folder / f"step-{step:08d}"
        beside = self.folder / f".step-{step:08d}"
        if self._where.first:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
        self._where.barrier()
        torch.save(own, beside / f"rank-{self._where.rank}.pt")
        if self._where.first:
            torch.save({**shared, "processes": self._where.size}, beside / _SHARED)
        self._where.barrier()
        if self._where.first:
            older = [path for path in self.folder.glob("step-*") if path != place]
            if place.exists():  # the same step again, after a resume: there is always a whole one
                beside.rename(place.with_name(f"{place.name}-again"))
                shutil.rmtree(place)
                place.with_name(f"{place.name}-again").rename(place)
            else:
                beside.rename(place)
            for path in older:
                shutil.rmtree(path, ignore_errors=True)
        self._where.barrier()
        return place

    def load(self) -> tuple[State, State] | None:
        """(shared, own) of the newest checkpoint, or None. Raises BiocosmosError if other processes wrote it."""
        place = self.latest
        if place is None:
            return None
        shared = _read(place / _SHARED)
        if shared["processes"] != self._where.size:
            raise BiocosmosError(
                f"{place} was written by {shared['processes']} processes and this run has {self._where.size}: "
                "start as many, or begin anew with --overwrite"
            )
        return shared, _read(place / f"rank-{self._where.rank}.pt")

    def save_best(self, weights: State) -> None:
        """Keep the weights of the best validation so far. Called by the first process."""
        with replacing(self.folder / BEST) as temporary:
            torch.save(weights, temporary)

    def best(self) -> State | None:
        """The weights of the best validation, or None."""
        path = self.folder / BEST
        return _read(path) if path.exists() else None


def _read(path: Path) -> State:
    try:
        with zipfile.ZipFile(path) as members:  # torch writes the checksums and does not look at them
            if damaged := members.testzip():
                raise ValueError(f"the checksum of {damaged} is another")
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # torch, pickle, zip and the file system each raise their own
        raise BiocosmosError(
            f"cannot read the checkpoint {path}: {first_line(error)}; remove its folder to go on from nothing"
        ) from error
