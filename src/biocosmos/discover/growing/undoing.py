"""Taking back an act on clusters: an act more, and the names that it gave taken back too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biocosmos.discover.growing.acts import Done, History, act_name, append
from biocosmos.specimens.by_hand import withdraw

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

HOW = "cluster and grow"


def take_back(collection: Collection, history: History, done: Done, by: str) -> None:
    """Take back ``done``, which ``by`` did."""
    if done.what == "name":
        events = [event for one in history.of(done.name) for event in one.events if event.name == done.name]
        withdraw(collection, [id_ for event in events for id_ in event.ids], by=by, how=HOW)
    append(collection, [], act_name(), "undo", by, undoes=done.name)
    history.refresh()
