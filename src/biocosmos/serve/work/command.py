"""From checked settings to the words of a command line; never a shell, and no value is ever taken for an option."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos import progress
from biocosmos.files import is_file
from biocosmos.outputs import MODELS
from biocosmos.serve.work.states import PROGRESS
from biocosmos.settings import SettingError, hints_of, settings_of, spelled, told
from biocosmos.specimens.care.entry import WHO
from biocosmos.specimens.description import barcodes_alone
from biocosmos.specimens.settings import EVERYTHING, UNLABELLED

MOST_TEXT = 200
GRACE_SECONDS = 20.0
"""From the first request to end, which lets the verb clean up, to the one that nothing survives."""
GRACE = "BIOCOSMOS_JOB_GRACE"
"""Environment variable: other seconds for that."""
UPLOAD = "upload"
"""Folder of what came with a job."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
"""A name that a person gives to what a job makes: it becomes the name of a folder or file."""
KMERS = ("kmer:7", "kmer:5", "kmer:6", "kmer:8")
"""Encoders of barcodes that a browser may name; folders of trained ones are named on the command line."""
_ENCODER = re.compile(r"(timm|open_clip|hf):[A-Za-z0-9][A-Za-z0-9_.:/-]*")


@dataclass(frozen=True)
class Place:
    """Where a job works. collection, folder: whole paths; id: of the job."""

    collection: Path
    folder: Path
    id: str

    @property
    def stamp(self) -> str:
        """When it was asked for, to the second, UTC."""
        return self.id[:15]

    @property
    def made(self) -> Path:
        """Files for the person; also the folder that the verb runs in."""
        return self.folder / "made"

    @property
    def uploads(self) -> list[Path]:
        """What came with the job, no links, in the order of the names."""
        folder = self.folder / UPLOAD
        return sorted(path for path in folder.iterdir() if not path.is_symlink()) if folder.is_dir() else []


@dataclass(frozen=True)
class Offered:
    """What settings of this collection may name. parts: "train", "openworld:novel"; models: trained heads in ``models``;
    barcodes: whether its specimens have barcodes and no images."""

    embeddings: tuple[str, ...]
    parts: tuple[str, ...]
    ranks: tuple[str, ...]
    encoders: tuple[str, ...]
    models: tuple[str, ...] = ()
    barcodes: bool = False

    @classmethod
    def of(cls, collection: Any) -> Offered:
        """Of an open :class:`biocosmos.specimens.collection.Collection`."""
        from biocosmos.encoders.registry import encoder_names

        parts = []
        for name in collection.split_names:
            parts += [part if name == "default" else f"{name}:{part}" for part in collection.split(name).counts()]
        models = collection.path / MODELS
        folders = [path for path in models.iterdir() if path.is_dir()] if models.is_dir() else []
        there = sorted(path.name for path in folders if not is_file(path / "model.json"))  # a refitted one is no trained head
        return cls(
            tuple(collection.encoders),
            tuple(parts),
            tuple(collection.ranks),
            (*encoder_names(), *KMERS),
            tuple(there),
            _barcodes_alone(collection),
        )


def _barcodes_alone(collection: Any) -> bool:
    """Whether there are barcodes and no images, and no embedding of images."""
    looked_at = any(facts.get("modality") != "dna" for facts in collection.encoders.values())
    return not looked_at and barcodes_alone(collection)


def options(**values: Any) -> list[str]:
    """``--name=value`` for each value that says something; a tuple once for each part, True as the bare option."""
    words = []
    for name, value in values.items():
        flag = f"--{name.strip('_').replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is not None and value is not False and value != "":
            words += [f"{flag}={each}" for each in (value if isinstance(value, tuple) else (value,))]
    return words


def line(*verb: str, options: Sequence[str], places: Sequence[Path | str]) -> list[str]:
    """The words after ``biocosmos``; what follows "--" is never an option."""
    return [*verb, *options, "--", *map(str, places)]


def python(words: Sequence[str]) -> list[str]:
    """The process that runs these words: this Python, which looks for modules nowhere near the job's files."""
    return [sys.executable, "-P", "-m", "biocosmos", *words]


def settings_from(kind: type, given: Mapping[str, Any]) -> Any:
    """The settings of a kind of job from what a stranger sent. Raises SettingError, one line."""
    if not isinstance(given, Mapping) or any(not isinstance(name, str) for name in given):
        raise SettingError("settings must be names with values")
    clean = {name: _plain(name, value) for name, value in given.items()}
    return told(kind, None, **{name: value for name, value in clean.items() if value not in (None, "", ())})


def check_offered(settings: Any, offered: Offered) -> None:
    """Refuse an embedding or a part that the collection does not have. Raises SettingError, one line."""
    kind = type(settings)
    for name, shape in settings_of(kind).items():
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if not each:
                continue
            if shape.embedding:
                _one_of(spelled(kind, name), each, offered.embeddings, "no embedding: embed the collection first")
            elif shape.part:
                more = (UNLABELLED,) if shape.part == "named" else (EVERYTHING,)
                _one_of(spelled(kind, name), each, (*offered.parts, *more), "no split: make one first")


def check_encoder(name: str, offered: Offered) -> None:
    """Refuse what is no encoder of a library: files, folders and code are named on the command line only."""
    if name not in offered.encoders and (not _ENCODER.fullmatch(name) or ".." in name or "//" in name):
        raise SettingError(f"--encoder {name!r} is none that can be named here: {', '.join(offered.encoders)}, timm:NAME, ...")


def check_name(value: str, called: str) -> None:
    """Refuse a name that would not do as a file's. Raises SettingError."""
    if not NAME.fullmatch(value):
        raise SettingError(f"{called} {value!r:.60} must be small letters, digits and hyphens, at most 48")


def _one_of(called: str, value: Any, choices: Sequence[str], none: str) -> None:
    if not choices:
        raise SettingError(f"{called} {value!r}: there is {none}")
    if value not in choices:
        raise SettingError(f"{called} must be one of {', '.join(choices)}, not {str(value)[:60]!r}")


def _plain(name: str, value: Any) -> Any:
    """A value of a JSON as settings take it: lists become tuples, and no text has control characters or is endless."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(name, each) for each in value[:100])
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise SettingError(f"{name[:40]} is longer than {MOST_TEXT} characters")
        if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value):
            raise SettingError(f"{name[:40]} has characters that no name has")
        return value.strip()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise SettingError(f"{name[:40]} must be text, a number, on or off")


def environment(folder: Path, by: str) -> dict[str, str]:
    """Of the verb: this very package, plain text, where its progress goes, and who makes its changes."""
    root = Path(__file__).parents[3]
    given = dict(os.environ)
    if root.name not in ("site-packages", "dist-packages"):
        given["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [given.get("PYTHONPATH")])])
    plain = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}
    return given | plain | {progress.FILE: str(folder / PROGRESS), WHO: by}


def grace_seconds() -> float:
    """How long a verb may take to end in order."""
    try:
        return float(os.environ.get(GRACE, ""))
    except ValueError:
        return GRACE_SECONDS


def field_kind(kind: type, name: str) -> str:
    """How a form asks for a setting: "bool", "int", "float", "list" or "text"."""
    words = str(hints_of(kind)[name])
    return next((each for each in ("bool", "tuple", "int", "float") if each in words), "text").replace("tuple", "list")
