"""iSoundNat: a table of id, scientific_name and sound_format, pictures ``{id}.jpg`` and sounds ``{id}.mp3`` or as they were.

Sastry et al., TaxaBind, WACV 2025, https://arxiv.org/abs/2411.00683; the names of files and folders are those that the loaders in
https://github.com/mvrl/TaxaBind ask for: ``images``, ``sounds_mp3``, and ``sounds`` as they were downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath

import pyarrow as pa

from biocosmos.files import is_file, is_folder
from biocosmos.specimens.readers.blocks import Block
from biocosmos.specimens.readers.delimited import read_text_with
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import Source

FORMAT = "sound_format"
HEADER = {"id", "scientific_name", FORMAT}
AUDIO = "audio_path"
PICTURES, MP3, SOUNDS = "images", "sounds_mp3", "sounds"


def matches(header: list[str]) -> bool:
    """Whether a table has its columns."""
    return {name.strip() for name in header} >= HEADER


def read(path: Path, options: Options) -> Source:
    """The table; a row whose picture and sound are both missing is left out and told, one that is missing is counted."""
    files = _Files(path, options)
    source = read_text_with(path, replace(options, beside=None), "isoundnat", files.find, ("image_path", AUDIO))

    def batches() -> Iterator[pa.RecordBatch]:
        yield from source.batches
        files.tell()

    return replace(source, batches=batches())


class _Files:
    """Finds the picture and the sound of a row by its id."""

    def __init__(self, table: Path, options: Options) -> None:
        self._table, self._failures = table, options.failures
        roots = (table.parent.absolute(), table.parent.absolute().parent)
        pictures = [folder for root in roots if is_folder(folder := root / PICTURES)]
        self._pictures = [options.images.absolute()] if options.images else pictures
        beside = options.beside.absolute() if options.beside else None
        self._sounds = (
            [beside] if beside else [folder for root in roots for name in (MP3, SOUNDS) if is_folder(folder := root / name)]
        )
        self._no_picture = self._no_sound = self._rows = 0

    def find(self, block: Block) -> set[int]:
        """Fill image_path and audio_path; the rows with neither picture nor sound."""
        ids = [None if value is None else str(value).strip() or None for value in block.columns["id"]]
        kinds = block.columns.get(FORMAT, [None] * len(ids))
        pictures = [self._picture(id_) for id_ in ids]
        sounds = [self._sound(id_, kind) for id_, kind in zip(ids, kinds)]
        block.columns |= {"id": ids, "image_path": pictures, AUDIO: sounds}
        out = set()
        for row, (id_, picture, sound) in enumerate(zip(ids, pictures, sounds)):
            self._rows += 1
            if picture is None and sound is None:
                reason = "no id" if id_ is None else f"neither {id_}.jpg nor a sound {id_} is there"
                self._failures.add(reason, stage="read", source=self._table, row=block.rows[row], id=id_)
                out.add(row)
            else:
                self._no_picture += picture is None
                self._no_sound += sound is None
        return out

    def _picture(self, id_: str | None) -> str | None:
        if id_ is None:
            return None
        names = (folder / f"{PurePath(id_).name}{ending}" for folder in self._pictures for ending in (".jpg", ".jpeg", ".png"))
        return next((str(path) for path in names if is_file(path)), None)

    def _sound(self, id_: str | None, kind: object) -> str | None:
        """The sound of an id: as mp3, else in the format that the table says."""
        if id_ is None:
            return None
        endings = dict.fromkeys(("mp3", *([str(kind).strip().lower()] if kind else [])))
        names = (folder / PurePath(f"{PurePath(id_).name}.{ending}").name for folder in self._sounds for ending in endings)
        return next((str(path) for path in names if is_file(path)), None)

    def tell(self) -> None:
        """Say how many pictures and sounds are not there."""
        for number, what in ((self._no_picture, "pictures"), (self._no_sound, "sounds")):
            if number:
                reason = f"{number:,} of {self._rows:,} {what} are not there: kept without"
                self._failures.add(reason, stage="read", source=self._table, severity="warning")
