"""Made-up nights as files: a tree as MOTChallenge has them, with times and species in tables beside."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.simulate_scenes import RANKS, STANDARD, SceneSequence, SimulateScenesSettings, scene_sequences, species_of

if TYPE_CHECKING:
    from biocosmos.sequences import Boxes

BENCHMARK = "SCENES-train"
"""Name of the folder of sequences and of their list, as TrackEval and MOTCOM look for them."""
FIRST_NIGHT = datetime(2025, 6, 1, 22)
SYNTHETIC = "synthetic scenes: drawn and moved by biocosmos, no observation"


@dataclass(frozen=True)
class WrittenScenes:
    """What was written: sequences, frames, moths, boxes of the truth, detections, and frames without any moth."""

    sequences: int
    frames: int
    moths: int
    boxes: int
    detections: int
    empty: int


def simulate_scenes(output: str | Path, settings: SimulateScenesSettings = STANDARD, *, overwrite: bool = False) -> WrittenScenes:
    """Write nights to the folder ``output``; see docs/sequences.md for its files. The same settings write the same files, but for
    the time in provenance.json.

    Raises BiocosmosError where something is at ``output`` already, unless it is to be replaced, and where it cannot be written.
    """
    from biocosmos.files import is_folder, is_there
    from biocosmos.outputs import place_of
    from biocosmos.unfinished import remove, unfinished_path, writing

    output = place_of(output)
    if is_there(output) and not is_folder(output):
        raise BiocosmosError(f"{output} is no folder: choose another name")
    if is_there(output) and not overwrite and any(output.iterdir()):
        raise BiocosmosError(f"{output} exists already: choose another name, or --overwrite")
    if overwrite and is_there(output) and any(output.iterdir()) and not is_folder(output / BENCHMARK):
        raise BiocosmosError(f"{output} holds something else than scenes: choose another name")
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        part = unfinished_path(output)
        try:
            done = _write_all(part, settings)
            remove(output)
            part.replace(output)
        finally:
            remove(part)
    return done


def _write_all(folder: Path, settings: SimulateScenesSettings) -> WrittenScenes:
    from biocosmos.progress import progress
    from biocosmos.provenance import software

    counts: list[WrittenScenes] = []
    facts: list[dict[str, Any]] = []
    (folder / BENCHMARK).mkdir(parents=True)
    with progress("scenes", settings.sequences * len(settings.interval), "sequences") as bar:
        for number, sequence in enumerate(scene_sequences(settings)):
            night = FIRST_NIGHT + timedelta(days=number // len(settings.interval))
            write_sequence(folder / BENCHMARK / sequence.truth.name, sequence, night, settings)
            counts.append(_counts(sequence))
            facts.append(_facts(sequence, counts[-1]))
            bar.advance()
    (folder / "seqmaps").mkdir()
    names = ["name", *(each["sequence"] for each in facts)]
    (folder / "seqmaps" / f"{BENCHMARK}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    _table(folder / "scenes.csv", list(facts[0]), [list(each.values()) for each in facts])
    provenance = {"made": SYNTHETIC, "simulated": asdict(settings), "by": "biocosmos simulate scenes", "software": software()}
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1, default=str) + "\n", encoding="utf-8")
    totals = [sum(column) for column in zip(*(vars(each).values() for each in counts))]
    return WrittenScenes(*totals)


def write_sequence(folder: Path, sequence: SceneSequence, night: datetime, settings: SimulateScenesSettings) -> None:
    """One sequence: gt, det, seqinfo.ini, times.csv, species.csv and, where pictures are wanted, img1."""
    truth, found, frames = sequence.truth, sequence.detections, sequence.truth.frames
    for name in ("gt", "det", *(["img1"] if settings.pictures else [])):
        (folder / name).mkdir(parents=True)
    classes = [] if settings.one_class else [path[-1] for path in species_of(settings)]
    kinds = [classes.index(label) + 1 if classes else 1 for label in _column(truth.label)]
    ends = [[1, kind, f"{value:.4f}"] for kind, value in zip(kinds, _column(truth.visibility))]
    _lines(folder / "gt" / "gt.txt", truth, _column(truth.track), ends)
    confidences = [[f"{value:.4f}", -1, -1, -1] for value in _column(found.confidence)]
    _lines(folder / "det" / "det.txt", found, [-1] * len(found), confidences)
    info = {
        "name": truth.name,
        "imDir": "img1",
        "frameRate": f"{frames.frame_rate:.9g}",
        "seqLength": len(frames),
        "imWidth": frames.width,
        "imHeight": frames.height,
        "imExt": ".jpg",
        "startTime": night.isoformat(),
        **({"classNames": ",".join(classes)} if classes else {}),
    }
    lines = ["[Sequence]", *(f"{name}={value}" for name, value in info.items())]
    (folder / "seqinfo.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")
    moments = [(night + timedelta(seconds=seconds)).isoformat() for seconds in frames.seconds.tolist()]
    _table(folder / "times.csv", ["frame", "time"], list(zip(frames.number.tolist(), moments)))
    there = sorted({glimpse.moth for each in sequence.glimpses for glimpse in each})
    moths = [[moth + 1, sequence.scene.moths[moth].path[-1], *sequence.scene.moths[moth].path] for moth in there]
    _table(folder / "species.csv", ["track", "label", *RANKS], moths)
    if settings.pictures:
        _paint(folder, sequence, settings.spots)


def _paint(folder: Path, sequence: SceneSequence, spots: int) -> None:
    from biocosmos.images.invented.scenes.painting import Painter

    painter, frames = Painter(sequence.scene, spots), sequence.truth.frames
    for file, glimpses, seconds in zip(frames.files, sequence.glimpses, frames.seconds.tolist()):
        (folder / str(file)).write_bytes(painter.jpeg(glimpses, seconds))


def _lines(path: Path, boxes: Boxes, tracks: Iterable[Any], ends: Sequence[Sequence[Any]]) -> None:
    """Rows as MOTChallenge has them: frame, track, left, top, width, height, with the first pixel called 1, and what follows."""
    numbers = boxes.frames.number[boxes.frame].tolist()
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for number, track, (x, y, width, height), end in zip(numbers, tracks, boxes.box.tolist(), ends):
            place = (f"{value:.2f}" for value in (x + 1, y + 1, width, height))
            out.write(",".join([str(number), str(track), *place, *map(str, end)]) + "\n")


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([columns, *rows])


def _column(column: Any) -> list[Any]:
    return [] if column is None else list(column.tolist())


def _counts(sequence: SceneSequence) -> WrittenScenes:
    truth = sequence.truth
    empty = sum(not each for each in sequence.glimpses)
    return WrittenScenes(1, len(truth.frames), len(truth.tracks()), len(truth), len(sequence.detections), empty)


def _facts(sequence: SceneSequence, counts: WrittenScenes) -> dict[str, Any]:
    """A row of scenes.csv: what the night was like, and what came of it."""
    drawn = {name: round(getattr(sequence.conditions, name), 5) for name in ("density", "body", "speed", "restless")}
    came = {name: getattr(counts, name) for name in ("frames", "empty", "moths", "boxes", "detections")}
    return {"sequence": sequence.truth.name, "interval": sequence.interval, **drawn, **came}
