"""Name the images of folders as they come, until somebody ends it; the table is whole after every round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_there
from biocosmos.jobs.identify import Job, Say
from biocosmos.jobs.identify_settings import IdentifySettings, check_asked
from biocosmos.jobs.listing import NO_IMAGE, AskedFile, listed, same_file
from biocosmos.jobs.naming_work import NamingWork, locked
from biocosmos.jobs.sequence_files import kinds_of
from biocosmos.settings import SettingError
from biocosmos.specimens.collection import Collection

ROUND = 4096
"""Images after which the table is written anew, however many wait."""
REST = 10
"""A look at a large or slow folder is followed by at least so many times its own seconds."""


@dataclass
class Watched:
    """named: images since it began; there: names in the table; failures: those in the file beside it, so none of an image
    that was mended since; interrupted: whether Ctrl-C ended it."""

    named: int = 0
    there: int = 0
    interrupted: bool = False
    failures: Failures = field(default_factory=Failures)


class Folder:
    """What is new at some paths: :meth:`settled` gives a file once, when two looks in a row found it with one size and time.

    So a file that is being written waits, one that vanishes is forgotten, one that could not be named comes again when it was
    changed, and a folder that is gone is waited for.
    """

    def __init__(self, paths: Sequence[Path], known: set[str], say: Say) -> None:
        self._paths, self._known, self._say = paths, known, say
        self._waiting: dict[str, AskedFile] = {}
        self._failed: dict[str, AskedFile] = {}
        self._said = ""
        self.failures = Failures()

    def settled(self) -> list[AskedFile]:
        """Look once. What cannot be looked at is in ``failures``, but for paths that are not there."""
        found = Failures()
        try:
            files = listed(self._paths, found, known=self._known)
        except BiocosmosError:
            files = []
        gone = [str(path) for path in self._paths if not is_there(path)]
        said = f"waiting for {', '.join(gone)}" if gone else ""
        if said and said != self._said:
            self._say(said)
        self._said, self.failures = said, Failures()
        for row in found:
            if row.source not in gone and row.reason != NO_IMAGE:
                self.failures.append(row)
        new = [file for file in files if file.size >= 0 and self._failed.get(file.path) != file]
        ready = [file for file in new if self._waiting.get(file.path) == file]
        self._waiting = {file.path: file for file in new}
        return ready

    def named(self, files: Sequence[AskedFile], failures: Failures) -> None:
        """These were asked about, and ``failures`` says which could not be named."""
        failed = {row.source for row in failures if row.severity == "error"}
        for file in files:
            if file.path in failed:
                self._failed[file.path] = file
            else:
                self._known.add(same_file(file.path))
                self._failed.pop(file.path, None)


def watch(
    collection: Collection,
    settings: IdentifySettings,
    *,
    images: Sequence[Path],
    output: Path,
    say: Say = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Watched:
    """Name what is at ``images`` and what comes, added to ``output``, until Ctrl-C or until nothing came for ``idle`` seconds.

    Run again with the same output, it goes on and names nothing twice. What is asked with, and what is refused:
    :func:`biocosmos.jobs.identify.identifying`.
    """
    check_asked(settings, bool(images), output)
    if "sequences" in kinds_of(images):
        raise SettingError("--watch is about images; a file of sequences is named whole, into a table of its own")
    with locked(output, say) as work:
        job = Job(collection, settings, output, say=say)
        known = job.known_images(work)
        folder, done = Folder(images, known, say), Watched(there=len(known))
        try:
            job.identifier(Failures())
            say(f"watching {', '.join(map(str, images))} every {settings.every:g} s; Ctrl-C ends it")
            _look(job, work, folder, done, settings, say, sleep)
        except KeyboardInterrupt:
            done.interrupted = True
        if not done.there:
            job.name([], Failures(), work)
        work.clear()
        assert job.table is not None
        for row in job.table.failures():
            done.failures.append(row)
        return done


def _look(
    job: Job,
    work: NamingWork,
    folder: Folder,
    done: Watched,
    settings: IdentifySettings,
    say: Say,
    sleep: Callable[[float], None],
) -> None:
    last = time.monotonic()
    while settings.idle is None or time.monotonic() - last < settings.idle:
        began = time.monotonic()
        ready = folder.settled()
        spent = time.monotonic() - began
        for start in range(0, len(ready), ROUND):
            _round(job, work, folder, done, ready[start : start + ROUND], say)
            if job.interrupted:
                raise KeyboardInterrupt
        if ready:
            last = time.monotonic()
        sleep(max(settings.every, REST * spent))


def _round(job: Job, work: NamingWork, folder: Folder, done: Watched, files: Sequence[AskedFile], say: Say) -> None:
    failures = Failures()
    failures.extend(folder.failures)
    named = job.name(files, failures, work)
    work.clear()
    folder.named(files, failures)
    count = named.summary.specimens
    done.named, done.there = done.named + count, (named.had or 0) + count
    say(f"{count:,} more named, {done.there:,} in all: {named.summary.lines()[0]}")
