"""Tables that may lie beside seqinfo.ini and are no part of MOTChallenge: when frames were taken, and what individuals are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file
from biocosmos.specimens.readers.textfile import open_table

TIMES, SPECIES = "times.csv", "species.csv"


def read_times(folder: Path, failures: Failures) -> dict[int, datetime]:
    """Number of a frame -> its moment, from ``frame`` with ``date`` and ``time``, or with one of them in ISO 8601 whole."""
    found: dict[int, datetime] = {}
    for row, cells in _rows(folder / TIMES, ("frame",), failures):
        text = "T".join(cells[name] for name in ("date", "time") if cells.get(name))
        try:
            moment = datetime.fromisoformat(text)
            if found and (moment.tzinfo is None) != (next(iter(found.values())).tzinfo is None):
                raise ValueError("of another zone")
            found[int(cells["frame"])] = moment
        except ValueError:
            reason = f"frame {cells['frame'][:20]!r} with {text[:40]!r} is no frame with its moment: left out"
            failures.add(reason, stage="read", source=folder / TIMES, row=row, severity="warning")
    return found


def read_species(folder: Path, failures: Failures) -> dict[str, dict[str, str]]:
    """Track -> what the table says of it: ``label``, ranks, anything."""
    return {
        cells.pop("track"): {name: cell for name, cell in cells.items() if cell}
        for _, cells in _rows(folder / SPECIES, ("track",), failures)
    }


def _rows(file: Path, needed: tuple[str, ...], failures: Failures) -> Iterator[tuple[int, dict[str, str]]]:
    if not is_file(file):
        return
    try:
        with open_table(file, failures=failures) as table:
            if not set(needed) <= set(table.header):
                reason = f"it has no column {needed[0]!r}: nothing is taken from it"
                failures.add(reason, stage="read", source=file, severity="warning")
                return
            for row, cells in table.rows():
                yield row, {name: cell.strip() for name, cell in zip(table.header, cells)}
    except BiocosmosError as error:
        failures.add(str(error), stage="read", source=file, severity="warning")
