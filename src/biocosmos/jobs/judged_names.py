"""Names that a classifier gave to specimens whose own names are right: how it confuses taxa."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from biocosmos.discover.communities.uncertainty import Confusion
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.named_specimens import Answers, joined
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import answered_ranks, read_kept
from biocosmos.specimens.writers import provenance_of
from biocosmos.specimens.writers.naming import VALIDATED, Naming, says

Name = tuple[str, tuple[tuple[str, str], ...]]
ROWS = 2048
FEWEST = 30
"""Specimens a confusion rests on at least."""


def judged_names(
    stored: Collection, which: str, failures: Failures, counted: Iterable[str] = ()
) -> tuple[list[Name], list[Name | None]]:
    """(own names, names given, None: none was sure enough) of the specimens of a table of names that a person has named.

    counted: ids of those whose names are to be corrected by it; where some of them judged too, that is told.
    Raises BiocosmosError for too few of them, and where what gave the names was fitted on some.
    """
    table = read_kept(stored, which)
    answers = Answers(table, failures, stored.path)
    ranks = answered_ranks(table.column_names)
    columns = [name for name in stored.filled_columns() if name not in ("id", "image")]
    ours = Naming(columns, stored.ranks)
    theirs = Naming(table.column_names, ranks)
    own: list[Name] = []
    said: list[Name | None] = []
    ids = []
    for batch in stored.scan(["id", *columns], batch_size=ROWS):
        rows = [row for row in batch.to_pylist() if row["id"] in answers.row_of]
        for row, answer in zip(rows, answers.take([row["id"] for row in rows])):
            true, given = ours.of(row), joined(row, answer)
            named = theirs.of(given)
            if true.name is None or true.state != VALIDATED:
                continue
            own.append((true.name, _path(row, stored.ranks)))
            said.append(None if named.name is None else (named.name, _path(given, ranks)))
            ids.append(row["id"])
    if len(ids) < FEWEST:
        raise BiocosmosError(
            f"--confusion {which}: {len(ids):,} of {len(table):,} specimens have a name of a person's beside the machine's; it "
            f"takes {FEWEST}, as 'biocosmos identify --part val -o val.parquet' gives of labelled specimens"
        )
    _refuse_leaks(stored, provenance_of(table.schema), ids)
    both = len(set(counted) & set(ids))
    if both:
        reason = (
            f"--confusion {which}: {both:,} specimens of its are counted too, so that what is corrected knows their names and "
            "the intervals are too narrow: give names of another part"
        )
        failures.add(reason, stage="summarize", severity="warning")
    return own, said


def confusion_of(columns: Sequence[int], said: Sequence[Name | None], taxa: int) -> Confusion:
    """From the columns of own names, then those of the names given that are there, in order."""
    own, given = columns[: len(said)], iter(columns[len(said) :])
    counts = np.zeros((taxa, taxa + 1))
    np.add.at(counts, (np.array(own), np.array([taxa if name is None else next(given) for name in said])), 1.0)
    return Confusion(counts)


def _path(row: dict[str, Any], ranks: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((rank, str(row[rank])) for rank in ranks if rank != "label" and says(row.get(rank)))


def _refuse_leaks(stored: Collection, provenance: dict[str, Any], ids: Sequence[str]) -> None:
    """Raise BiocosmosError where the classifier has learnt some of the specimens that judge it."""
    asked = provenance.get("asked")
    asked = asked if isinstance(asked, dict) else {}
    encoder = provenance.get("encoder")
    name = encoder.get("name") if isinstance(encoder, dict) else encoder
    heads = asked.get("head")
    who = [*(heads if isinstance(heads, list) else [heads]), name]
    guard.refuse(list(ids), *(str(each) for each in who if each))
    known = asked.get("known")
    if isinstance(known, str) and known != "all" and (known.rpartition(":")[0] or "default") in stored.split_names:
        learnt = [id for batch in stored.scan(["id"], split=known) for id in batch.column("id").to_pylist()]
        guard.refuse_shared(
            list(ids),
            learnt,
            f"specimens of --confusion are of the part {known!r} that names were learnt from",
            "name another part",
        )


__all__ = ["confusion_of", "judged_names"]
