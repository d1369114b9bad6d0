"""The report on tracked sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tracks.page import page
from biocosmos.sequences import Boxes
from biocosmos.sequences.per_individual import surest

CROPS = 5
"""Of an individual on the page, evenly over its time."""
_SEEN = pa.schema([("sequence", pa.string()), ("track", pa.string()), ("seconds", pa.list_(pa.float64()))])
_CROPS = pa.schema(
    [("sequence", pa.string()), ("track", pa.string()), ("seconds", pa.float64()), ("crop", pa.string()), ("best", pa.bool_())]
)
_FRAMES = pa.schema([("sequence", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("frames", pa.int64())])


def crop_name(boxes: Boxes, row: int) -> str | None:
    """What the picture of a box is asked for by: the id of its specimen, else its file and place; None without either."""
    if boxes.ids is not None:
        return str(boxes.ids[row])
    file = boxes.frames.files[int(boxes.frame[row])]
    return None if file is None else f"{file}#{','.join(f'{value:.2f}' for value in boxes.box[row])}"


def tracks_report(
    individuals: pa.Table, shown: Sequence[Boxes], *, title: str, caveats: Sequence[str], provenance: Mapping[str, Any]
) -> Report:
    """Tables ``individuals``, ``seen`` (seconds of each), ``crops`` (some of each) and ``sequences``; the last three of the
    sequences that are shown."""
    seen, crops, frames = [], [], []
    for boxes in shown:
        times = boxes.frames.times()
        frames.append({"sequence": boxes.name, "start": float(times[0]), "end": float(times[-1]), "frames": len(times)})
        for track, rows in boxes.tracks().items():
            own = times[boxes.frame[rows]]
            seen.append({"sequence": boxes.name, "track": track, "seconds": own.tolist()})
            chosen = np.unique(np.linspace(0, len(rows) - 1, min(CROPS, len(rows))).round().astype(int))
            best = surest(boxes, rows)
            for place in np.union1d(chosen, [best]).tolist():
                name = crop_name(boxes, int(rows[place]))
                crops.append({"sequence": boxes.name, "track": track, "seconds": own[place], "crop": name, "best": place == best})
    tables = {
        "individuals": individuals,
        "seen": pa.Table.from_pylist(seen, _SEEN),
        "crops": pa.Table.from_pylist(crops, _CROPS),
        "sequences": pa.Table.from_pylist(frames, _FRAMES),
    }
    said = [
        *caveats,
        "An individual is what the tracker took for one animal. One that left for long, or flew, may be counted again, and two "
        "that look alike may be taken for one where they meet.",
    ]
    return Report("tracks", title, tables, said, dict(provenance), page)
