"""Names for uploads of images or barcodes: one at a time, in a thread of its own; answers are kept for a while."""

from __future__ import annotations

import csv
import io
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.barcodes.stripes import stripes_uri
from biocosmos.errors import BiocosmosError, Failures, ImageError, first_line
from biocosmos.evaluate.pages.pictures import data_uri
from biocosmos.identify.summary import without_empty
from biocosmos.jobs.identify import Identified, Job
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.sequence_files import pieces
from biocosmos.progress import telling
from biocosmos.serve.asking import limits
from biocosmos.serve.asking.background import Background
from biocosmos.serve.asking.barcodes import how_many
from biocosmos.serve.asking.models import Models
from biocosmos.serve.asking.namers import HowToName
from biocosmos.serve.asking.uploads import Uploads
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers.spreadsheet import MARK, guarded
from biocosmos.specimens.writers.tabular import text_of


@dataclass
class Naming:
    """One upload that is named.

    token: nobody guesses it; by: who sent it; state: "waiting", "working", "done" or "failed"; what, count, total: how far it is;
    error: why it failed. When done: table, see :func:`biocosmos.identify.answers.answer_table`, whose ids and paths are the
    names of the images, cut so that each row has its own; names, pictures: of its rows, as shown; failures: (name, reason);
    summary, promise, notes: for people.
    """

    token: str
    by: str
    images: int
    state: str = "waiting"
    what: str = "waiting for its turn"
    count: int = 0
    total: int | None = None
    error: str = ""
    table: pa.Table | None = None
    names: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    ranks: tuple[str, ...] = ()
    summary: list[str] = field(default_factory=list)
    promise: str = ""
    notes: list[str] = field(default_factory=list)
    at: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)
    go_on: Callable[[], None] = lambda: None

    def heard(self, what: str, count: int, total: int | None) -> None:
        """Take over a count of :mod:`biocosmos.progress`. Raises BiocosmosError where nothing is to go on."""
        self.go_on()
        self.what, self.count, self.total = what, count, total

    def csv(self) -> str:
        """The table as 'biocosmos identify' writes it; no spreadsheet runs its cells. Raises BiocosmosError before its end."""
        if self.table is None:
            raise BiocosmosError("these files are not named yet" if not self.error else self.error)
        told = without_empty(self.table)
        out = io.StringIO(newline="")
        out.write(MARK)
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow([guarded(name) for name in told.column_names])
        for row in told.to_pylist():
            writer.writerow([guarded(cell) if isinstance(cell, str) else text_of(cell) for cell in row.values()])
        return out.getvalue()


class Namings:
    """Of one server; thread-safe."""

    def __init__(self, collection: Collection, models: Models) -> None:
        self._collection, self._models = collection, models
        self._background = Background("identify")
        self._uploads: dict[str, Uploads] = {}
        self._kept = OrderedDict[str, Naming]()
        self._lock = threading.Lock()

    def start(self, uploads: Uploads, how: HowToName, by: str) -> Naming:
        """Name an upload, which is closed when that is done. Raises BiocosmosError where nothing can be named or too much waits;
        the upload is closed then too."""
        try:
            if not (uploads.images or uploads.sequences):
                raise BiocosmosError(nothing(uploads))
            if uploads.images and uploads.sequences:
                raise BiocosmosError("images and barcodes are named apart: send them one after the other")
            settings = how.settings(self._collection)
            token, refused = secrets.token_urlsafe(16), list(uploads.refused)
            count = len(uploads.images) or how_many(uploads.sequences)
            naming = Naming(token, by, count, failures=refused, go_on=self._background.go_on)
            with self._lock:
                self._forget()
                if sum(not each.over.is_set() for each in self._kept.values()) > limits.WAITING:
                    raise BiocosmosError("too many uploads wait to be named: try again in a few minutes")
                self._kept[naming.token] = naming
        except BaseException:
            uploads.close()
            raise
        self._uploads[naming.token] = uploads
        self._background.submit(self._run, naming, uploads, settings)
        return naming

    def get(self, token: str, by: str) -> Naming:
        """The upload with this token, of this user. Raises BiocosmosError where there is none, or no more."""
        with self._lock:
            self._forget()
            found = self._kept.get(token)
        if found is None or found.by != by:
            raise BiocosmosError("these answers are no longer kept: send the files again")
        return found

    def close(self) -> None:
        """Begin nothing more, and remove the files of what is not named yet."""
        self._background.close()
        for uploads in list(self._uploads.values()):
            uploads.close()
        for naming in list(self._kept.values()):
            if not naming.over.is_set():
                naming.state, naming.error = "failed", "the server is stopping"
                naming.over.set()

    # ------------------------------------------------------------------ inside

    def _forget(self) -> None:
        old = time.monotonic() - limits.KEPT_SECONDS
        over = [token for token, each in self._kept.items() if each.over.is_set()]
        for place, token in enumerate(over):
            if self._kept[token].at < old or len(over) - place > limits.KEPT_ANSWERS:
                del self._kept[token]

    def _run(self, naming: Naming, uploads: Uploads, settings: Any) -> None:
        try:
            with uploads, telling(naming.heard):
                naming.state, naming.what = "working", "learning who is who"
                self._name(naming, uploads, settings)
            naming.state = "done"
        except BiocosmosError as error:
            said = str(error)
            for file in (*uploads.images, *uploads.sequences):  # as its sender calls it
                said = said.replace(str(file.path), file.name)
            naming.state, naming.error = "failed", said
        except Exception as error:
            naming.state, naming.error = "failed", f"something went wrong: {type(error).__name__}"
            print(f"fault while naming an upload: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        finally:
            self._uploads.pop(naming.token, None)
            naming.at = time.monotonic()
            naming.over.set()

    def _name(self, naming: Naming, uploads: Uploads, settings: Any) -> None:
        failures = Failures()
        job = Job(self._collection, settings, None, say=lambda line: None, through=self._models.one_at_a_time)
        if uploads.sequences:
            done = job.name(job.listed([file.path for file in uploads.sequences], failures), failures)
            table = self._barcodes(naming, uploads, done)
        else:
            names = {str(image.path): name for image, name in zip(uploads.images, distinct(uploads), strict=True)}
            done = job.name([AskedFile.of(path) for path in names], failures)
            table = self._images(naming, names, done)
        naming.ranks = tuple(done.identifier.namer.taxonomy.ranks)
        naming.summary, naming.promise = done.summary.lines(), done.identifier.describe()
        naming.notes += done.notes
        naming.table = table

    @staticmethod
    def _images(naming: Naming, names: dict[str, str], done: Identified) -> pa.Table:
        """The table with the names that its sender knows; names: by path."""
        table = done.table
        paths = table["id"].to_pylist()
        shown = pa.array([names[path] for path in paths], pa.string())
        for column in ("id", "image_path"):
            table = table.set_column(table.column_names.index(column), column, shown)
        for row in done.failures:
            if row.severity == "error":
                naming.failures.append((names.get(row.source or "", "") or row.id or "", row.reason))
            elif row.source not in names:  # how a picture was converted is told nowhere else either
                naming.notes.append(row.reason)
        naming.names = shown.to_pylist()
        naming.pictures = [picture(Path(path)) for path in paths]
        return table

    @staticmethod
    def _barcodes(naming: Naming, uploads: Uploads, done: Identified) -> pa.Table:
        """The table, and the bases of each barcode as its picture."""
        files = {str(file.path): file.name for file in uploads.sequences}
        letters = dict[str, str]()
        for path in files:
            for ids, barcodes in pieces(Path(path), Failures(), limits.BARCODES_AT_ONCE):
                letters.update(zip(ids, barcodes, strict=True))
        for row in done.failures:
            name = row.id or files.get(row.source or "", "") + (f": record {row.row}" if row.row else "")
            if row.severity == "error":
                naming.failures.append((name, row.reason.replace(row.source or "\0", "this file")))
            else:
                naming.notes.append(f"{name}: {row.reason}" if name else row.reason)
        naming.names = done.table["id"].to_pylist()
        naming.pictures = [stripes_uri(letters.get(name) or "N") for name in naming.names]
        return done.table


def distinct(uploads: Uploads) -> list[str]:
    """The names of the images, each with a number behind it where another has the same."""
    seen, found = dict[str, int](), []
    for image in uploads.images:
        seen[image.name] = seen.get(image.name, 0) + 1
        found.append(image.name if seen[image.name] == 1 else f"{image.name} ({seen[image.name]})")
    return found


def nothing(uploads: Uploads) -> str:
    """Why nothing of an upload can be named, in one line."""
    if not uploads.refused:
        return "nothing to identify: choose images, a zip of images, or barcodes"
    name, reason = uploads.refused[0]
    more = f" (and {len(uploads.refused) - 1:,} more)" if len(uploads.refused) > 1 else ""
    return f"none of the files can be named: {name}: {reason}{more}"


def picture(path: Path) -> str:
    """A small picture as a data URI; "" where it cannot be read."""
    try:
        return data_uri(path.read_bytes())
    except (ImageError, OSError):
        return ""
