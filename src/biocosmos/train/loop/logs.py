"""What a run writes while it trains: CSV files and, for TensorBoard, event files; a resumed run goes on where it is."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from biocosmos.tables import replacing

STEPS, EPOCHS, EVENTS = "steps.csv", "epochs.csv", "tensorboard"


class Logs:
    """``steps.csv`` (a row every few steps), ``epochs.csv`` (a row an epoch) and the folder ``tensorboard``.

    Rows after ``step`` are left from a run that was killed after its last checkpoint: they are dropped, and will come again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in (STEPS, EPOCHS):
            _truncate(folder / name, step)
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=step + 1 if step else None)

    def write(self, name: str, step: int, values: Mapping[str, float | int | str]) -> None:
        """Append a row with the step and ``values`` to a file, and the numbers to TensorBoard."""
        path = self._folder / name
        row = {"step": step, **values}
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        for key, value in values.items():
            if isinstance(value, (int, float)):
                self._events.add_scalar(f"{path.stem}/{key}", value, step)

    def close(self) -> None:
        """Flush what TensorBoard has not written yet."""
        self._events.close()


def _truncate(path: Path, step: int) -> None:
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    # the last line of a killed run may be cut short
    kept = [row for row in rows[1:] if len(row) == len(rows[0]) and row[0].isdigit() and int(row[0]) <= step]
    if not kept:
        path.unlink()
        return
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([rows[0], *kept])
