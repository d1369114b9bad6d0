"""A queue as a report: its rows, and a page to work from."""

from __future__ import annotations

from biocosmos.discover.queues import Queue
from biocosmos.evaluate.discovery.queues.page import page
from biocosmos.evaluate.report import Report

NOT_A_SAMPLE = (
    "Specimens of a queue are no random sample: how often the suggestion is right among them says nothing about the collection."
)


def report_on(found: Queue) -> Report:
    """The report of a queue: table ``queue``, and a contact sheet in its order."""
    caveats = [] if found.provenance["strategy"] == "random" else [NOT_A_SAMPLE]
    about = {**found.provenance, "gallery": {"encoder": found.provenance["encoder"]}}
    return Report("queues", "What to label next", {"queue": found.table}, caveats, about, page)
