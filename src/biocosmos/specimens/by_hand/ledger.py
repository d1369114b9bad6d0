"""What people said, in memory: for a server that asks on every page what stands, and must not read a file for it.

Specimens, people, names and acts are numbers here; a row of an act is an entry. New acts, of this process and of others, are
taken in when they come, and only the specimens that they are about are looked at again.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.specimens.by_hand.acts import DUBIOUS, FOLDER, VALIDATED, WITHDRAWN
from biocosmos.specimens.by_hand.columns import Column, Words, coded, distinct, marked
from biocosmos.specimens.by_hand.files import listed, read_file, read_rows
from biocosmos.specimens.by_hand.replay import LAST, NOBODY, last_of, stands

Array = npt.NDArray[Any]
STATUSES = (VALIDATED, DUBIOUS, WITHDRAWN)
_WITHDRAWN = STATUSES.index(WITHDRAWN)
SETTLED = 2_000_000_000
"""Nanoseconds after which the time of a folder tells of every file that came; before, two may have come in one tick."""


class Said(NamedTuple):
    """One identification. taxon: None where somebody doubts without a name; status: "validated", "dubious" or "withdrawn"; at: in
    microseconds, UTC; undoes: the act that it takes back."""

    at: int
    by: str
    taxon: str | None
    rank: str | None
    status: str
    how: str
    note: str
    act: str
    undoes: str | None
    stands: bool


@dataclass(eq=False)
class Act:
    """One act. rows: identifications; standing: those of them that were not taken back; first: its first entry; at: in
    microseconds, UTC. names: up to three names that it gives."""

    name: str
    by: str
    at: int
    how: str
    note: str
    status: str
    first: int
    rows: int
    standing: int = 0
    names: tuple[str | None, ...] = ()

    @property
    def when(self) -> datetime:
        """The same as a moment."""
        return datetime.fromtimestamp(self.at / 1e6, timezone.utc)


class Ledger:
    """The acts of one collection and what of them stands. Thread-safe.

    ``subjects.words`` are ids, ``called.words`` pairs of a name and its rank, ``acts`` in the order in which they were taken in.
    """

    def __init__(self, collection: Path) -> None:
        self.folder = collection / FOLDER
        self.lock = threading.RLock()
        self.acts: list[Act] = []
        self.subjects, self.users, self.called = Words(), Words(), Words()
        self._act, self._files = dict[str, int](), set[str]()
        self._of_subject, self._of_user, self._of_called = Column(np.int32), Column(np.int32), Column(np.int32)
        self._of_act, self._undoes, self._status = Column(np.int32), Column(np.int32, LAST), Column(np.uint8)
        self._alive, self._before = Column(bool), Column(np.int32, -1)
        self._last, self._current, self._disagreed = Column(np.int32, -1), Column(np.int32, -1), Column(bool)
        self._standing, self._at = Column(np.int32), Column(np.int64)
        self._mine: list[list[tuple[int, int]]] = []  # of each user: (at, act), sorted
        self._named: list[int] = []
        self._early: dict[str, list[int]] = {}  # entries that take back an act that did not come yet
        self._mark: int | None = None

    # ------------------------------------------------------------------ taking in

    def read_new(self) -> int:
        """Take in the acts that came since; how many there are now. Costs a look at the folder where none came. Raises
        BiocosmosError for a damaged file."""
        with self.lock:
            try:
                mark = self.folder.stat().st_mtime_ns
            except OSError:
                return len(self.acts)
            if mark == self._mark:
                return len(self.acts)
            settled = time.time_ns() - mark > SETTLED
            names = listed(self.folder)
            if any(name not in self._files for name in names):
                table, read = read_rows(self.folder, without=self._act.keys(), done=self._files)
                self._take(table)
                self._files.update(read)
            self._files.intersection_update(names)
            self._mark = mark if settled else None
            return len(self.acts)

    def take(self, path: Path) -> Act:
        """Take in an act that this process just wrote, where nobody did so before."""
        with self.lock:
            if path.stem not in self._act:
                self._take(read_file(path))
                self._files.add(path.name)
            return self.acts[self._act[path.stem]]

    def _take(self, table: pa.Table) -> None:
        count = len(table)
        if not count:
            return
        start = len(self._of_act)
        words = {name: coded(table[name]) for name in ("act", "by", "how", "note", "status", "taxon", "rank", "undoes")}
        at = table["at"].cast(pa.int64()).to_numpy()
        first = np.flatnonzero(np.append(True, words["act"][0][1:] != words["act"][0][:-1]))
        self._add_acts(first, count, start, words, at)
        act = np.repeat(np.arange(len(self.acts) - len(first), len(self.acts)), np.diff(np.append(first, count)))
        ids, places = distinct(table["id"])
        subject = self.subjects.numbers(ids)[places]
        by, people = words["by"]
        taxa, names = words["taxon"]
        ranks, finest = words["rank"]
        pairs = taxa * len(finest) + ranks
        there = marked(pairs, len(names) * len(finest))
        called = np.zeros(len(names) * len(finest), np.int32)
        called[there] = self.called.numbers([(names[pair // len(finest)], finest[pair % len(finest)]) for pair in there])
        status, stated = words["status"]
        undone, acts = words["undoes"]
        new = {
            "_of_subject": subject,
            "_of_user": np.array([self.users.number.get(word or "", 0) for word in people], np.int32)[by],
            "_of_called": called[pairs],
            "_of_act": act,
            "_undoes": self._number_of_acts(acts)[undone],
            "_status": np.array([STATUSES.index(word) if word in STATUSES else 0 for word in stated], np.uint8)[status],
        }
        for name, values in new.items():
            getattr(self, name).extend(values)
        self._alive.extend(False, count)
        self._link(subject, start)
        changed = self._resolve_early(start, undone, acts)
        self._look_again(marked(np.append(subject, changed), len(self._last)))

    def _add_acts(self, first: Array, count: int, start: int, words: dict[str, tuple[Array, list[Any]]], at: Array) -> None:
        def word(name: str, row: int) -> Any:
            codes, known = words[name]
            return known[codes[row]]

        sizes = np.diff(np.append(first, count))
        for row, size in zip(first.tolist(), sizes.tolist()):
            name, by = word("act", row), word("by", row) or ""
            codes, known = words["taxon"]
            names = tuple(known[code] for code in dict.fromkeys(codes[row : row + min(size, 1000)].tolist()))[:3]
            when, how, note = int(at[row]), word("how", row) or "", word("note", row) or ""
            self._act[name] = number = len(self.acts)
            self.acts.append(Act(name, by, when, how, note, word("status", row), start + row, size, 0, names))
            user = int(self.users.numbers([by])[0])
            while len(self._mine) <= user:
                self._mine.append([])
                self._named.append(0)
            bisect.insort(self._mine[user], (when, number))
            if word("status", row) != WITHDRAWN:
                self._named[user] += size
        self._at.extend(at[first])
        self._standing.extend(0, len(first))

    def _number_of_acts(self, names: list[Any]) -> Array:
        return np.array([LAST if name is None else self._act.get(name, NOBODY) for name in names], np.int64)

    def _link(self, subject: Array, start: int) -> None:
        """Chain the entries of each subject, the latest first."""
        self._before.extend(-1, len(subject))
        new = len(self.subjects.words) - len(self._last)
        for column, nothing in ((self._last, -1), (self._current, -1), (self._disagreed, False)):
            column.extend(nothing, new)
        order = np.argsort(subject, kind="stable")
        mine = subject[order]
        follows = np.append(False, mine[1:] == mine[:-1])
        before = np.where(follows, np.append(-1, order[:-1] + start), self._last.all[mine])
        self._before.all[start + order] = before
        ends = np.append(~follows[1:], True)
        self._last.all[mine[ends]] = start + order[ends]

    def _resolve_early(self, start: int, undone: Array, acts: list[Any]) -> Array:
        """Subjects of entries that took back, before it came, an act that is here now. Those that do so now are remembered."""
        found = list[int]()
        for name in [name for name in self._early if name in self._act]:
            entries = self._early.pop(name)
            self._undoes.all[entries] = self._act[name]
            found += self._of_subject.all[entries].tolist()
        for code, name in enumerate(acts):
            if name is not None and name not in self._act:
                self._early.setdefault(name, []).extend((start + np.flatnonzero(undone == code)).tolist())
        return np.array(found, np.int32)

    def _look_again(self, subjects: Array) -> None:
        """Find what stands of these subjects."""
        entries = self._entries(subjects)
        of, who, called = self._of_subject.all[entries], self._of_user.all[entries], self._of_called.all[entries]
        stack = of.astype(np.int64) * len(self.users.words) + who
        act = self._of_act.all[entries]
        alive = stands(stack, act, self._undoes.all[entries], self._status.all[entries] == _WITHDRAWN)
        before = self._alive.all[entries]
        np.add.at(self._standing.all, act, alive.astype(np.int32) - before.astype(np.int32))
        self._alive.all[entries] = alive
        for number in marked(act[alive != before], len(self.acts)).tolist():
            self.acts[number].standing = int(self._standing.all[number])
        self._current.all[subjects], self._disagreed.all[subjects] = -1, False
        rows = np.flatnonzero(alive)
        mine = rows[last_of(stack[rows])]
        last = mine[last_of(of[mine])]
        self._current.all[of[last]] = entries[last]
        names = self._plain_names()[called[mine]]
        several = (np.bincount(of[mine], minlength=1)[of[mine]] > 1) & (names >= 0)
        pairs = np.unique(of[mine[several]].astype(np.int64) * max(len(self.called.words), 1) + names[several])
        with_name, times = np.unique(pairs // max(len(self.called.words), 1), return_counts=True)
        self._disagreed.all[with_name[times > 1]] = True

    def _entries(self, subjects: Array) -> Array:
        """All entries of these subjects, in the order in which they were said."""
        if len(subjects) * 8 > len(self._last):
            chosen = np.zeros(len(self._last), bool)
            chosen[subjects] = True
            found = np.flatnonzero(chosen[self._of_subject.all])
        else:
            parts, at = list[Array](), self._last.all[subjects]
            while len(at):
                parts.append(at)
                at = self._before.all[at]
                at = at[at >= 0]
            found = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
        at = self._at.all[self._of_act.all[found]]
        return found if (at[1:] >= at[:-1]).all() else np.asarray(found[np.lexsort((found, at))])

    def _plain_names(self) -> Array:
        """(called,) a number for each name without its rank, -1 for none."""
        numbers = dict[str, int]()
        found = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name, _ in self.called.words]
        return np.array(found, np.int64)

    # ------------------------------------------------------------------ asking

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self._of_act)

    def current(self, id_: str) -> Said | None:
        """What a specimen is called by the last who named it; None where nothing stands."""
        with self.lock:
            subject = self.subjects.number.get(id_)
            entry = -1 if subject is None else int(self._current.all[subject])
            return None if entry < 0 else self.said(entry)

    def said(self, entry: int) -> Said:
        """An entry in words."""
        act = self.acts[self._of_act.all[entry]]
        taxon, rank = self.called.words[self._of_called.all[entry]]
        status, undoes = STATUSES[self._status.all[entry]], int(self._undoes.all[entry])
        taken = self.acts[undoes].name if undoes >= 0 else None
        return Said(act.at, act.by, taxon, rank, status, act.how, act.note, act.name, taken, bool(self._alive.all[entry]))

    def history(self, id_: str) -> list[Said]:
        """All that was said of a specimen, oldest first."""
        with self.lock:
            subject = self.subjects.number.get(id_)
            return [] if subject is None else [self.said(int(each)) for each in self._entries(np.array([subject]))]

    def table(self) -> tuple[Array, Array, Array, Array]:
        """By subject: (its current entry, -1 for none; number in ``called.words``; place in ``STATUSES``; disagreed); copies."""
        with self.lock:
            entry = self._current.all.copy()
            there = np.maximum(entry, 0)
            called, status = self._of_called.all[there], self._status.all[there]
            return entry, called, status, self._disagreed.all.copy()

    def judged(self, by: str, hows: Sequence[str] | None = None) -> Array:
        """Subjects of which this person said something that stands, in acts of these ``how`` if told; not distinct."""
        with self.lock:
            user = self.users.number.get(by)
            if user is None:
                return np.empty(0, np.int32)
            chosen = self._alive.all & (self._of_user.all == user)
            if hows is not None:
                meant = np.array([act.how in hows for act in self.acts], bool)
                chosen &= meant[self._of_act.all]
            return np.asarray(self._of_subject.all[chosen])

    def since(self, act: int) -> list[str]:
        """Ids of the specimens of the acts from the number ``act`` on, in the order in which they were taken in."""
        with self.lock:
            if act >= len(self.acts):
                return []
            about = np.unique(self._of_subject.all[self.acts[act].first :])
            return [self.subjects.words[each] for each in about.tolist()]

    def last(self, by: str) -> Act | None:
        """This person's last act of which something stands."""
        with self.lock:
            return next((act for act in self._latest_first(by) if act.standing and act.status != WITHDRAWN), None)

    def by(self, by: str | None, count: int) -> list[Act]:
        """The last acts of one person, or of all, the latest first."""
        with self.lock:
            if by is not None:
                return self._latest_first(by)[:count]
            found = [each for mine in self._mine for each in mine[-count:]]
            return [self.acts[number] for _, number in sorted(found, reverse=True)[:count]]

    def _latest_first(self, by: str) -> list[Act]:
        user = self.users.number.get(by)
        return [] if user is None else [self.acts[number] for _, number in reversed(self._mine[user])]

    def rows_that_stand(self, act: Act) -> dict[str, list[Any]]:
        """Columns of the rows that take back what stands of an act, as :func:`append` takes them."""
        with self.lock:
            entries = act.first + np.flatnonzero(self._alive.all[act.first : act.first + act.rows])
            names = [self.called.words[each] for each in self._of_called.all[entries].tolist()]
            return {
                "id": [self.subjects.words[each] for each in self._of_subject.all[entries].tolist()],
                "taxon": [name for name, _ in names],
                "rank": [rank for _, rank in names],
                "undoes": [act.name] * len(entries),
            }

    def tally(self, by: str, hour: int, day: int) -> tuple[int, int, int, int, int]:
        """Of one person: (identifications that stand, those taken back, standing ones since ``hour``, since ``day``, when the
        first act since ``hour`` was); moments in microseconds, UTC."""
        with self.lock:
            user = self.users.number[by]
            mine = self._mine[user]
            alive = int(self._alive.all[self._of_user.all == user].sum())
            counts = []
            for since in (hour, day):
                acts = [self.acts[number] for _, number in mine[bisect.bisect_left(mine, (since, -1)) :]]
                counts.append([act for act in acts if act.standing])
            first = counts[0][0].at if counts[0] else 0
            lately, today = (sum(act.standing for act in acts) for acts in counts)
            return alive, self._named[user] - alive, lately, today, first
