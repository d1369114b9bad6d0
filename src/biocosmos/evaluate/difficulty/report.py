"""The difficulty of nights, side by side, and of the sites they are from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from biocosmos.evaluate.difficulty.page import PARTS, page
from biocosmos.evaluate.report import Report
from biocosmos.sequences.difficulty.measure import Difficulty

FEW_PAIRS = 10
_NIGHT = pa.schema(
    [
        ("sequence", pa.string()),
        ("site", pa.string()),
        *((part, pa.float64()) for part in PARTS),
        ("frames", pa.int64()),
        ("boxes", pa.int64()),
        ("tracks", pa.int64()),
        ("density", pa.float64()),
        ("pairs", pa.int64()),
        ("strayed", pa.float64()),
        ("occlusion", pa.string()),
        ("left_out", pa.int64()),
        ("notes", pa.string()),
    ]
)
_SITE = pa.schema(
    [
        ("site", pa.string()),
        ("part", pa.string()),
        ("nights", pa.int64()),
        ("mean", pa.float64()),
        ("lowest", pa.float64()),
        ("highest", pa.float64()),
    ]
)
_LEFT = pa.schema([("sequence", pa.string()), ("reason", pa.string()), ("boxes", pa.int64())])


@dataclass(frozen=True)
class Night:
    """One sequence and the site it is from, "" where none is known."""

    site: str
    found: Difficulty


def difficulty_report(nights: Sequence[Night], facts: Mapping[str, Any]) -> Report:
    """A report of kind "difficulty". nights: one at least. facts: options and encoders that decide the figures.

    Tables: sequences (a row for each: ocom, mcom, vcom, motcom from 0 to 1 and null where they cannot be measured, frames, boxes,
    tracks, density in boxes a frame, pairs of frames of VCOM, strayed, the mean D of MCOM), sites (of every part the mean, lowest
    and highest over its nights), left_out (boxes that did not take part, by reason).
    """
    rows = [_row(night) for night in nights]
    left = [
        {"sequence": night.found.name, "reason": reason, "boxes": count}
        for night in nights
        for reason, count in night.found.left_out.items()
    ]
    tables = {
        "sequences": pa.Table.from_pylist(rows, schema=_NIGHT),
        "sites": pa.Table.from_pylist(_sites(rows), schema=_SITE),
        "left_out": pa.Table.from_pylist(left, schema=_LEFT),
    }
    title = f"Difficulty of {len(rows)} sequence{'' if len(rows) == 1 else 's'}"
    return Report("difficulty", title, tables, _caveats(rows, facts), dict(facts), page)


def _row(night: Night) -> dict[str, Any]:
    found = night.found
    numbers = {part: _known(getattr(found, part)) for part in (*PARTS, "density", "strayed")}
    return {
        "sequence": found.name,
        "site": night.site,
        **numbers,
        "frames": found.frames,
        "boxes": found.boxes,
        "tracks": found.tracks,
        "pairs": found.pairs,
        "occlusion": found.occlusion,
        "left_out": sum(found.left_out.values()),
        "notes": "; ".join(found.notes),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _sites(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for site in dict.fromkeys(row["site"] for row in rows):
        for part in PARTS:
            values = [row[part] for row in rows if row["site"] == site and row[part] is not None]
            if values:
                mean = sum(values) / len(values)
                found.append(
                    {
                        "site": site,
                        "part": part,
                        "nights": len(values),
                        "mean": mean,
                        "lowest": min(values),
                        "highest": max(values),
                    }
                )
    return found


def _caveats(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[str]:
    options = facts["options"]
    found = [
        "MOTCOM says how hard a sequence looks, not how well a tracker does on it: nothing was tracked here.",
    ]
    if options["appearance"]:
        found.append("VCOM depends on what looks: figures of two encoders, or of crops and blurred frames, cannot be compared.")
    else:
        found.append("VCOM was not asked for (--no-appearance), so there is no MOTCOM.")
    if options["mode"] == "release":
        found.append(
            "Release mode keeps the errors of the public code: with boxes OCOM is 1 where two boxes share a frame, missing "
            "frames do not count as time, and VCOM ends at the first frame without a next one. Use it to compare with published "
            "figures."
        )
    kinds = sorted({row["occlusion"] for row in rows})
    if len(kinds) > 1:
        found.append(f"OCOM is from {' for some sequences and from '.join(kinds)} for others: compare it within one kind.")
    if options["interval"] is None and options["mode"] != "release":
        found.append(
            "MCOM grows with the time between frames: to compare nights of different rates choose one with --interval SECONDS."
        )
    few = [row["sequence"] for row in rows if row["vcom"] is not None and row["pairs"] < FEW_PAIRS]
    if few:
        found.append(f"VCOM of {_some(few)} rests on fewer than {FEW_PAIRS} pairs of frames.")
    missing = [row["sequence"] for row in rows if row["motcom"] is None]
    if missing and options["appearance"]:
        found.append(f"MOTCOM of {_some(missing)} cannot be measured, since a part is missing; the notes say why.")
    return found


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
