"""Names by what the community asked about holds: every block is named, then shares are told, then names are given again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.places.placed_identifier import PlacedIdentifier
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification import SampleShares, Validation, by_group
from biocosmos.identify.quantification.by_group import MOST_ASKED
from biocosmos.identify.quantification.names import NO_PROMISE, corrected_predictions
from biocosmos.jobs.naming import NamedBlock

BEFORE, BEFORE_SURE, HOW = "uncorrected", "uncorrected_confidence", "shares"
"""Columns that a corrected table has too: the best guess before, its confidence, and the method."""
NAMED = 5
"""Taxa whose shares are told to people."""
FIELDS = [pa.field(BEFORE, pa.string()), pa.field(BEFORE_SURE, pa.float64()), pa.field(HOW, pa.string())]


def check_correctable(identifier: Identifier) -> None:
    """Refuse what cannot be corrected: namers that answer each specimen by rules of its own, and ranks called as the columns."""
    if identifier.alone or identifier.sets is not None:
        what = "sets" if identifier.sets is not None else f"the method {identifier.method}"
        raise BiocosmosError(f"--shares does not go with {what}: what is promised of them holds for uncorrected names alone")
    if isinstance(identifier, PlacedIdentifier):
        raise BiocosmosError(
            "--shares does not go with place, fences or checklists: each says anew how common a taxon is; use one"
        )
    for rank in identifier.namer.taxonomy.ranks:
        if rank in (BEFORE, HOW):
            raise BiocosmosError(f"the rank {rank!r} has the name of a column of the answer: rename the rank")


@dataclass(frozen=True, eq=False)
class SharedNames:
    """Named blocks whose names are corrected where the gate lets them; made by :meth:`of`.

    found: the shares, with intervals and the verdict; top: taxa of each rank in the table.
    """

    identifier: Identifier
    validation: Validation
    found: SampleShares
    blocks: Callable[[], Iterator[NamedBlock]]
    top: int

    @classmethod
    def of(
        cls, identifier: Identifier, blocks: Callable[[], Iterator[NamedBlock]], method: str, *, top: int, seed: int
    ) -> SharedNames:
        """blocks: called, gives every :class:`NamedBlock`, with what was said of it. All of it is one sample, of which at most
        :data:`MOST_ASKED` specimens, drawn by the seed, tell the shares. Raises BiocosmosError where nothing was named."""
        validation = Validation.of(identifier)
        total = sum(len(block.table) for block in blocks())
        if not total:
            raise BiocosmosError("nothing was named: there are no shares to correct names by")
        drawn = np.sort(np.random.default_rng(seed).permutation(total)[:MOST_ASKED])
        logits, features, start = [], [], 0
        for block in blocks():
            stop = start + len(block.table)
            mine = drawn[(drawn >= start) & (drawn < stop)] - start
            if len(mine):
                logits.append(block.said[0][mine])
                features.append(block.said[1][mine])
            start = stop
        said = _predictions(identifier, np.concatenate(logits), np.concatenate(features))
        names = np.full(len(said), "what was asked about", object)
        one = by_group(validation.said(said), names, validation, method, features=said.features, seed=seed).samples[0]
        return cls(identifier, validation, replace(one, specimens=total), blocks, top)

    def tables(self) -> Iterator[pa.Table]:
        """The rows of every block; as they were, with empty columns, where the gate is shut."""
        for block in self.blocks():
            table = block.table
            if not len(table) or not self.found.corrected:
                for field in FIELDS:
                    table = table.append_column(field, pa.nulls(len(table), field.type))
                yield table
                continue
            before = _predictions(self.identifier, block.said[0], block.said[1], table)
            step = self.validation.temperature
            after = corrected_predictions(before, self.validation.prior, self.found.values, scale=step)
            anew = self.identifier.rows(before, self.identifier.nearest(before, None), self.top, names=after)
            anew = anew.append_column(FIELDS[0], table["best_guess"]).append_column(FIELDS[1], table["best_guess_confidence"])
            yield anew.append_column(FIELDS[2], pa.array([self.found.method] * len(anew), pa.string()))

    def shown(self, table: pa.Table) -> pa.Table:
        """The rows of a table as they are in :meth:`tables`, by their ids."""
        if not len(table):
            return table
        wanted = {id_: row for row, id_ in enumerate(table["id"].to_pylist())}
        rows: dict[int, pa.Table] = {}
        for block in self.tables():
            for at, id_ in enumerate(block["id"].to_pylist()):
                if id_ in wanted:
                    rows[wanted[id_]] = block.slice(at, 1)
        return pa.concat_tables([rows[row] for row in range(len(table))]) if rows else table

    def describe(self) -> str | None:
        """What corrected names are worth; None where they were not corrected."""
        if not self.found.corrected:
            return None
        stop = f"answers at the lowest rank with a confidence of {self.identifier.threshold:g}"
        return f"{NO_PROMISE}; {stop}" if np.isfinite(self.identifier.threshold) else NO_PROMISE

    def tells(self, note: str) -> bool:
        """Whether a note of the identifier is about corrected names too: one about its promise is not."""
        return not self.found.corrected or "promise" not in note

    def notes(self) -> list[str]:
        """The gate's verdict first, then the shares, for people."""
        one = self.found
        if not one.corrected:
            return [f"names are not corrected by shares: {one.why}"]
        tree, classes = self.identifier.namer.taxonomy, self.identifier.namer.classes
        order = np.argsort(-one.values, kind="stable")[:NAMED]
        shares = ", ".join(f"{tree.names[classes[c]]} {one.values[c]:.0%} ({one.low[c]:.0%} to {one.high[c]:.0%})" for c in order)
        return [f"names are corrected by the shares that {one.method} tells: {one.why}", f"shares: {shares}"]

    def to_dict(self) -> dict[str, Any]:
        """For provenance: the verdict, and every share above none with its interval."""
        one, tree, classes = self.found, self.identifier.namer.taxonomy, self.identifier.namer.classes
        told = {
            str(tree.path_text(int(classes[c])) or tree.names[classes[c]]): [float(x[c]) for x in (one.values, one.low, one.high)]
            for c in np.flatnonzero(one.values > 1e-6)
        }
        return {**one.to_dict(), "prior": self.validation.held, "temperature": self.validation.temperature, "shares": told}


def _predictions(
    identifier: Identifier,
    logits: npt.NDArray[np.float32],
    features: npt.NDArray[np.float32],
    table: pa.Table | None = None,
) -> Predictions:
    """What was said of a block, from what was kept of it."""
    namer, n = identifier.namer, len(logits)
    ids = np.arange(n).astype(object) if table is None else table["id"].to_numpy(zero_copy_only=False)
    columns = None if table is None else table.select(["image_path"])
    return Predictions(ids, namer.taxonomy, namer.classes, logits, features, np.zeros(n, np.int32), columns=columns)
