"""Acts of people: on the disk before they are answered, in memory for whoever asks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.serve.annotating.machines import answers_to
from biocosmos.serve.annotating.meaning import Meant, named_at, understood
from biocosmos.serve.catalogue import Catalogue
from biocosmos.serve.catalogue.state import Moment, as_called
from biocosmos.specimens.by_hand import DUBIOUS, STAGE, VALIDATED, WITHDRAWN, append, compact
from biocosmos.specimens.by_hand.ledger import Act, Said
from biocosmos.specimens.collection import Collection

Int32 = npt.NDArray[np.int32]
SHOWN = 200
"""Ids that an undo tells."""
EVERY = 256
"""Acts of this server after which their files are merged, by a thread of its own."""
LEAST = timedelta(minutes=5)
"""A rate per hour of less work than this would be a guess."""


@dataclass(frozen=True)
class Named:
    """What became of an act. act: its name, None where every specimen was refused; rows: specimens; fresh: the taxonomy did not
    have the name before."""

    act: str | None
    rows: int
    taxon: str | None
    rank: str | None
    fresh: bool = False
    failures: Failures = field(default_factory=Failures)


@dataclass(frozen=True)
class Undone:
    """What was taken back. act: its name; rows: identifications that stood; says: in words; at: when it was made, ISO 8601;
    ids: of the first specimens that it was about."""

    act: str
    rows: int
    says: str
    at: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tally:
    """Counts of one person. named: identifications that stand; undone: taken back; hour, day: of those that stand, how many were
    made in the last 60 minutes and since midnight; rate: per hour, over the last hour or as long as it took till now, 0 for
    none."""

    by: str
    named: int
    undone: int
    hour: int
    day: int
    rate: int


class Annotations:
    """Identifications by people, over ``specimens.by_hand``; any number of threads and processes at once.

    What this server says is durable before it is answered; what others said is taken in when somebody asks.
    """

    def __init__(self, collection: Collection, catalogue: Catalogue) -> None:
        self.collection, self.catalogue = collection, catalogue
        self.ledger = catalogue.ledger
        self._writing = threading.RLock()
        self._listeners: list[Callable[[Int32], None]] = []
        self._merging: threading.Thread | None = None
        self._acts = 0
        self.ledger.read_new()
        self._merge()

    def listen(self, told: Callable[[Int32], None]) -> None:
        """Have ``told`` called with the rows that an act of this server was about, after the catalogue knows of it."""
        self._listeners.append(told)

    def close(self) -> None:
        """Wait for the files that are being merged."""
        if self._merging is not None:
            self._merging.join()

    def refresh(self) -> None:
        """Take in what others did."""
        self.catalogue.refresh()

    # ------------------------------------------------------------------ acts

    def name(
        self,
        ids: Sequence[str],
        taxon: str,
        rank: str | None = None,
        *,
        by: str,
        how: str = "",
        note: str = "",
        status: Literal["validated", "dubious"] = "validated",
    ) -> Named:
        """Call specimens by a taxon, in one act.

        taxon: a name or an address that the taxonomy finds, or with ``rank`` a new one. An id that no specimen has is refused:
        see ``failures``. Raises BiocosmosError for a name that means none or several taxa, and where the disk is full.
        """
        if status not in (VALIDATED, DUBIOUS):
            raise BiocosmosError(f"a name is given as validated or dubious, not {status[:40]!r}")
        self.refresh()
        moment = self.catalogue.now
        meant = understood(moment.taxonomy, self.collection.ranks, taxon, rank)
        known, failures = self._known(ids, moment)
        if meant.node >= 0 and known:
            known = _kept_apart(moment, meant, known, failures)
        rows: dict[str, list[Any]] = {"id": known, "taxon": [meant.taxon] * len(known), "rank": [meant.rank] * len(known)}
        act = self._do(rows, status, by=by, how=how, note=note)
        return Named(act, len(known), meant.taxon, meant.rank, meant.fresh, failures)

    def doubt(self, ids: Sequence[str], *, by: str, how: str = "", note: str = "") -> Named:
        """Doubt what specimens are called now; of one without a name it is said that this person does not know it."""
        self.refresh()
        moment = self.catalogue.now
        known, failures = self._known(ids, moment)
        at = moment.stored.rows_of_ids(known)
        names = named_at(moment.taxonomy, moment.nodes[at] if known else np.empty(0, np.int32))
        rows: dict[str, list[Any]] = {"id": known, "taxon": [name for name, _ in names], "rank": [rank for _, rank in names]}
        act = self._do(rows, DUBIOUS, by=by, how=how, note=note)
        one = names[0] if len({*names}) == 1 else (None, None)
        return Named(act, len(known), *one, failures=failures)

    def undo(self, by: str) -> Undone | None:
        """Take back all that still stands of this person's last act; None where nothing does."""
        with self._writing:
            self.refresh()
            act = self.ledger.last(by)
            if act is None:
                return None
            rows = self.ledger.rows_that_stand(act)
            self._do(rows, WITHDRAWN, by=by, how="undo")
            return Undone(
                act.name, len(rows["id"]), said_of(act, len(rows["id"])), act.when.isoformat(), tuple(rows["id"][:SHOWN])
            )

    def _known(self, ids: Sequence[str], moment: Moment) -> tuple[list[str], Failures]:
        """The ids that specimens have, each once."""
        failures, distinct = Failures(), list(dict.fromkeys(map(str, ids)))
        known = []
        for id_, row in zip(distinct, moment.stored.rows_of_ids(distinct).tolist() if distinct else []):
            if row < 0:
                failures.add("no specimen of the collection has this id", stage=STAGE, id=id_)
            else:
                known.append(id_)
        return known, failures

    def _do(self, rows: dict[str, list[Any]], status: str, *, by: str, how: str, note: str = "") -> str | None:
        if not rows["id"]:
            return None
        with self._writing:
            acts = self.ledger.by(None, 1)
            now = datetime.now(timezone.utc)
            if acts and acts[0].when >= now > acts[0].when - timedelta(minutes=1):  # clocks go back, order does not
                now = acts[0].when + timedelta(microseconds=1)
            path = append(self.collection, rows, status, by=by, how=how, note=note, at=now)
            self.ledger.take(path)
            self.catalogue.refresh()
            if self._listeners:
                about = self.catalogue.rows_of_ids(rows["id"])
                for told in self._listeners:
                    told(about[about >= 0])
            self._acts += 1
            if self._acts % EVERY == 0:
                self._merge()
        return path.stem

    def _merge(self) -> None:
        """Merge files of acts, by a thread of its own unless one does so already."""
        if self._merging is None or not self._merging.is_alive():
            self._merging = threading.Thread(target=self._merge_now, name="merge acts", daemon=True)
            self._merging.start()

    def _merge_now(self) -> None:
        try:
            compact(self.collection)
        except (BiocosmosError, OSError) as error:  # every act stands in its own file
            print(f"warning: {error}", file=sys.stderr)

    # ------------------------------------------------------------------ asking

    def acts(self, by: str | None = None, count: int = 100) -> list[Act]:
        """The last acts of one person, or of all, the latest first; withdrawals among them."""
        self.refresh()
        return self.ledger.by(by, count)

    def last(self, by: str) -> str | None:
        """When this person's last act was made of which something stands, ISO 8601 in UTC; None for none."""
        self.refresh()
        act = self.ledger.last(by)
        return None if act is None else act.when.isoformat(timespec="microseconds")

    def tallies(self) -> list[Tally]:
        """Counts of everybody who said anything, who was the most busy within the hour first."""
        self.refresh()
        now = datetime.now(timezone.utc)
        hour, day = now - timedelta(hours=1), now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        found = []
        for by in list(self.ledger.users.words):
            named, undone, lately, today, first = self.ledger.tally(by, _microseconds(hour), _microseconds(day))
            took = max((_microseconds(now) - first) / 1e6, LEAST.total_seconds())
            found.append(Tally(by, named, undone, lately, today, round(lately * 3600 / took) if lately else 0))
        return sorted(found, key=lambda tally: (-tally.hour, -tally.named, tally.by))

    def history(self, id_: str) -> list[dict[str, Any]]:
        """All that people and machines said of a specimen, oldest first.

        kind: "person" or "machine"; at: ISO 8601, UTC; by: who, or the method; model: of a machine, its encoder; taxon, rank,
        status ("validated", "dubious", "withdrawn", "predicted"), confidence, how, note, act, undoes; stands: was not taken back.
        """
        self.refresh()
        said = [_in_words(each) for each in self.ledger.history(id_)] + answers_to(self.collection, id_)
        return sorted(said, key=lambda each: str(each["at"]))


def said_of(act: Act, rows: int) -> str:
    """An act in words: "12 named Copepoda"."""
    names = [name for name in act.names if name]
    shown = ", ".join(names) + (", ..." if len(act.names) > 2 else "")
    if act.status == DUBIOUS:
        return f"{rows:,} marked as unsure{f' ({shown})' if shown else ''}"
    return f"{rows:,} named {shown}"


def _kept_apart(moment: Moment, meant: Meant, ids: list[str], failures: Failures) -> list[str]:
    """The ids of which a row that holds a name and its rank says the taxon that is meant: of several taxa of one name, a row
    means the one that the specimen's own name lies with, so another one is refused rather than taken for it."""
    taken = as_called(moment, meant.taxon, meant.rank, moment.stored.rows_of_ids(ids)) == meant.node
    for id_ in (id_ for id_, fits in zip(ids, taken.tolist()) if not fits):
        why = f"several taxa are called {meant.taxon}, and which of them is meant cannot be kept for this specimen yet"
        failures.add(f"{why}: name it by a taxon above or below", stage=STAGE, id=id_)
    return [id_ for id_, fits in zip(ids, taken.tolist()) if fits]


def _in_words(said: Said) -> dict[str, Any]:
    at = datetime.fromtimestamp(said.at / 1e6, timezone.utc).isoformat(timespec="microseconds")
    about = {"kind": "person", "at": at, "model": None, "confidence": None}
    return about | {key: value for key, value in said._asdict().items() if key != "at"}


def _microseconds(when: datetime) -> int:
    return int(when.timestamp() * 1e6)
