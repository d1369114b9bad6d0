"""Where things lie in a MOTChallenge tree (https://motchallenge.net): sequences, their seqinfo.ini, tables and pictures.

A sequence is a folder with ``gt/gt.txt`` or ``det/det.txt``, ``seqinfo.ini`` and the pictures in ``img1``. Two keys of ours may
stand in seqinfo.ini beside its own: ``startTime``, the moment of frame 1 in ISO 8601, and ``classNames``, names of the classes by
commas, that of class 1 first. Beside it may lie what :mod:`biocosmos.specimens.readers.mot_beside` reads.
"""

from __future__ import annotations

import configparser
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_folder, is_image_name, is_junk
from biocosmos.specimens.readers.boxes import header, upright_size
from biocosmos.specimens.readers.mot_beside import read_species, read_times

GT, DETECTIONS, RESULTS = "gt", "det", "results"
KINDS = (GT, DETECTIONS)
SEQINFO = "seqinfo.ini"
DEPTH = 4
"""How far below a folder sequences are looked for: root/MOT17/train/MOT17-02."""
LOOKED_AT, FOLDERS_LOOKED_AT = 20_000, 50
"""Entries of a folder, and folders in it, that are looked at to learn whether it is a tree."""
SAME_TRUTH = re.compile(r"(MOT1[67]-\d+)-(DPM|FRCNN)")
"""MOT17 has every sequence three times, once for each detector, with the same ground truth."""
FEWEST, MOST = 6, 10
"""Columns of a table of which nothing but its content says what it is."""
LONGEST = 100_000_000
"""Frames of a sequence: a larger number is a slip."""


@dataclass(frozen=True)
class MotSequence:
    """One sequence of a tree, or one table that stands alone.

    width, height: 0 where unknown. length: None where unknown. files: number of a frame -> its picture, once
    :func:`with_pictures` has looked for them.
    """

    name: str
    table: Path | None
    kind: str
    pictures: Path | None = None
    frame_rate: float | None = None
    length: int | None = None
    width: int = 0
    height: int = 0
    start: datetime | None = None
    classes: tuple[str, ...] = ()
    times: Mapping[int, datetime] = field(default_factory=dict)
    species: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[int, Path] = field(default_factory=dict)

    def moment(self, number: int) -> datetime | None:
        """When a frame was taken; None where nothing says so: neither times.csv, nor the start and the frame rate."""
        if self.times:
            return self.times.get(number)
        if self.start is None or not self.frame_rate:
            return None
        try:
            return self.start + timedelta(seconds=(number - 1) / self.frame_rate)
        except OverflowError:
            return None


def with_pictures(sequence: MotSequence, failures: Failures) -> MotSequence:
    """The sequence with its pictures and their size; where seqinfo.ini says another, a warning says so and the picture counts."""
    files = _numbered(sequence.pictures)
    first = next(iter(files.values()), None)
    info = header(str(first)) if first is not None else None
    if info is None:
        return replace(sequence, files=files)
    width, height = (int(side) for side in upright_size(info))
    said = (sequence.width, sequence.height)
    if all(said) and said != (width, height):
        reason = f"the pictures are said to be {said[0]} x {said[1]}, {first} is {width} x {height}: its size counts"
        failures.add(reason, stage="read", source=sequence.table or sequence.pictures, severity="warning")
    return replace(sequence, files=files, width=width, height=height)


def _numbered(folder: Path | None) -> dict[int, Path]:
    """Number of a frame -> its picture, by the last digits of its file's name."""
    if folder is None or not is_folder(folder):
        return {}
    found: dict[int, Path] = {}
    try:
        listed = sorted(folder.iterdir())
    except OSError:  # it may not be looked into
        return found
    for path in listed:
        digits = re.findall(r"\d+", path.stem)
        if digits and is_image_name(path.name) and not is_junk(path.name) and len(digits[-1]) < 10:
            found.setdefault(int(digits[-1]), path)
    return found


@dataclass
class _Search:
    """What was found below a folder."""

    folders: list[Path] = field(default_factory=list)
    maps: list[Path] = field(default_factory=list)

    def walk(self, folder: Path, depth: int) -> None:
        if is_sequence(folder):
            self.folders.append(folder)
            return
        if folder.name == "seqmaps":
            self.maps += sorted(path for path in folder.glob("*.txt") if is_file(path))
        elif depth:
            for below in _folders_in(folder):
                if not is_junk(below.name):
                    self.walk(below, depth - 1)


def is_sequence(folder: Path) -> bool:
    """Whether a folder is a sequence of MOTChallenge."""
    if folder.name in KINDS:
        return False  # the folder of a table
    return any(table_in(folder, kind) is not None for kind in KINDS) or (is_file(folder / SEQINFO) and is_folder(folder / "img1"))


def table_in(folder: Path, kind: str) -> Path | None:
    """gt/gt.txt or det/det.txt of a sequence, or gt.txt or det.txt in its folder; None if it is not there."""
    return next((one for one in (folder / kind / f"{kind}.txt", folder / f"{kind}.txt") if is_file(one)), None)


def is_tree(folder: Path) -> bool:
    """Whether a folder is a sequence, or has one in it or in a folder of it; of large folders the beginning is looked at."""
    below = _folders_in(folder, LOOKED_AT)[:FOLDERS_LOOKED_AT]
    inner = (path for one in below for path in _folders_in(one, LOOKED_AT)[:FOLDERS_LOOKED_AT])
    return is_sequence(folder) or any(map(is_sequence, below)) or any(map(is_sequence, inner))


def _folders_in(folder: Path, most: int | None = None) -> list[Path]:
    """Its folders, among the first so many entries; none where it may not be looked into."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in islice(entries, most) if entry.is_dir())
    except OSError:
        return []


def is_table(path: Path) -> bool:
    """Whether a text file has the rows of MOTChallenge: numbers alone, the first one a frame, and no header."""
    if path.suffix.lower() == ".txt" and path.stem in KINDS and path.parent.name == path.stem:
        return True
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = next((line for line in islice(file, 20) if line.strip()), "")
    except (OSError, UnicodeDecodeError):
        return False
    cells = [cell for cell in (line.split(",") if "," in line else line.split()) if cell.strip()]
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return FEWEST < len(numbers) <= MOST and numbers[0].is_integer() and numbers[0] >= 0


def sequences_at(path: Path, kind: str | None, images: Path | None, failures: Failures) -> list[MotSequence]:
    """The sequences of a tree, a sequence folder or a table, in order of their names or of the seqmap.

    kind: "gt" or "det", where a sequence has both; None: the ground truth where there is one. images: folder below which the
    pictures lie, where they are not beside the tables. Raises BiocosmosError where there are none.
    """
    if is_file(path):
        return [_of_table(path, images, failures)]
    search = _Search()
    search.walk(path, DEPTH)
    if not search.folders:
        raise BiocosmosError(f"{path} has no sequence of MOTChallenge: no folder with gt/gt.txt or det/det.txt")
    folders = _listed(search, failures, path)
    names = [folder.name for folder in folders]
    found = []
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else folder.relative_to(path).as_posix()
        sequence = _of_folder(folder, name or folder.resolve().name, kind, failures)
        if sequence.table is None and kind is not None:
            failures.add(f"the sequence has no {kind}/{kind}.txt: left out", stage="read", source=folder, severity="warning")
        else:
            found.append(_with_folder(sequence, folder, path, images))
    if not found:
        raise BiocosmosError(f"{path}: none of its {len(folders)} sequences has {kind}/{kind}.txt")
    return found


def _listed(search: _Search, failures: Failures, path: Path) -> list[Path]:
    """The folders that a seqmap names, in its order, else all; MOT17 once."""
    by_name: dict[str, list[Path]] = {}
    for folder in search.folders:
        by_name.setdefault(folder.name, []).append(folder)
    folders = search.folders
    if search.maps:
        folders = []
        for file in search.maps:
            for name in file.read_text(encoding="utf-8-sig", errors="replace").split("\n")[1:]:
                folders += [one for one in by_name.get(name.strip(), []) if one not in folders]
                if name.strip() and name.strip() not in by_name:
                    reason = f"the sequence {name.strip()!r} of the seqmap is not there"
                    failures.add(reason, stage="read", source=file, severity="warning")
        if not folders:
            raise BiocosmosError(f"{search.maps[0]} names no sequence that is in {path}")
        if left := len(search.folders) - len(folders):
            reason = f"{left} sequences are in no seqmap: left out"
            failures.add(reason, stage="read", source=path, severity="warning")
    doubled = [one for one in folders if (same := SAME_TRUTH.fullmatch(one.name)) and f"{same[1]}-SDP" in by_name]
    if doubled:
        reason = f"{len(doubled)} sequences of MOT17 repeat the ground truth of -SDP for another detector: left out"
        failures.add(reason, stage="read", source=path, severity="warning")
    return [folder for folder in folders if folder not in doubled]


def _of_folder(folder: Path, name: str, kind: str | None, failures: Failures) -> MotSequence:
    tables = {one: table_in(folder, one) for one in KINDS}
    there = [one for one in ((kind,) if kind else KINDS) if tables[one] is not None]
    chosen = there[0] if there else (kind or GT)
    info = MotSequence(name, tables[chosen] if there else None, chosen, folder / "img1")
    return _with_info(info, folder / SEQINFO, failures)


def _of_table(path: Path, images: Path | None, failures: Failures) -> MotSequence:
    """A table alone; one in gt/ or det/ belongs to the sequence around it."""
    inside = path.parent.name in KINDS and path.stem in KINDS
    folder = path.parent.parent if inside else path.parent
    kind = next((one for one in KINDS if path.stem == one or path.stem.startswith(f"{one}_") or path.parent.name == one), RESULTS)
    name = folder.resolve().name if path.stem in KINDS else path.stem
    sequence = MotSequence(name, path, kind, folder / "img1")
    sequence = _with_info(sequence, folder / SEQINFO, failures)
    return _with_folder(sequence, folder, folder.parent, images)


def _with_folder(sequence: MotSequence, folder: Path, root: Path, images: Path | None) -> MotSequence:
    """The folder of the pictures: beside the tables, or below ``images``, as <benchmark>/<split>/<sequence>/img1 too."""
    if images is None:
        if sequence.pictures is not None and is_folder(sequence.pictures):
            return sequence
        return replace(sequence, pictures=None)
    base = sequence.pictures.name if sequence.pictures is not None else "img1"
    benchmark, _, split = folder.parent.name.rpartition("-")
    tries = [images / folder.name / base, images / benchmark / split / folder.name / base, images / folder.name, images / base]
    found = next((one for one in tries if is_folder(one)), images)
    return replace(sequence, pictures=found)


def _with_info(sequence: MotSequence, file: Path, failures: Failures) -> MotSequence:
    """What seqinfo.ini says; what cannot be right in it is a warning and counts as unknown."""
    if not is_file(file):
        return sequence
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig", errors="replace"))
    except configparser.Error as error:
        failures.add(f"cannot be read: {str(error).splitlines()[0]}", stage="read", source=file, severity="warning")
        return sequence
    section = next((parser[name] for name in parser.sections() if name.lower() == "sequence"), None)
    if section is None:
        failures.add("has no section [Sequence]: nothing is taken from it", stage="read", source=file, severity="warning")
        return sequence

    def number(key: str, most: float) -> float | None:
        text = section.get(key, "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if 0 < value <= most:
            return value
        reason = f"{key} is {text[:40]!r}, no number that can be: taken as unknown"
        failures.add(reason, stage="read", source=file, severity="warning")
        return None

    start, said = None, section.get("startTime", "").strip()
    if said:
        try:
            start = datetime.fromisoformat(said)
        except ValueError:
            reason = f"startTime is {said[:40]!r}, no moment as 2026-07-01T22:00:00: taken as unknown"
            failures.add(reason, stage="read", source=file, severity="warning")
    length = number("seqLength", LONGEST)
    folder = file.parent / (section.get("imDir", "").strip() or "img1")
    inside = file.parent.resolve() in [folder.resolve(), *folder.resolve().parents]
    return replace(
        sequence,
        frame_rate=number("frameRate", 1e6),
        length=None if length is None else int(length),
        width=int(number("imWidth", 1e7) or 0),
        height=int(number("imHeight", 1e7) or 0),
        pictures=folder if inside else sequence.pictures,
        start=start,
        classes=tuple(name.strip() for name in section.get("classNames", "").split(",") if name.strip()),
        times=read_times(file.parent, failures),
        species=read_species(file.parent, failures),
    )
