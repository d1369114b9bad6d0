"""What to label next in a collection: the queue of a strategy, kept with the collection."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.kept import keep
from biocosmos.discover.queues import Queue, queue
from biocosmos.discover.queues.strategies import EACH
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.discover.queue_settings import QueueSettings
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.by_hand import DUBIOUS, current
from biocosmos.specimens.collection import Collection


def queue_collection(collection: Collection, settings: QueueSettings) -> Queue:
    """The next specimens to label, kept as the latest "queue" of the collection.

    Candidates are the selected specimens without a name; known are all specimens that have one, by their label or by hand (a name
    given by hand counts before a label). With ``disagreement`` the candidates are the selected ones that have a label.
    Raises BiocosmosError where nothing is left to name.
    """
    s = settings
    whole = named(collection, collection.gallery(s.encoder, columns=[]), labels=not s.relabel)
    chosen = collection.gallery(s.encoder, **s.selected(), columns=[])
    assert whole.taxa is not None
    selected = np.isin(whole.ids, chosen.ids)
    has_name = whole.taxa > 0
    if s.strategy == "disagreement":
        asked, known = whole.subset(selected & has_name), None
        if not len(asked):
            raise BiocosmosError("no selected specimen has a label to disagree with: choose another --strategy")
    else:
        asked, known = whole.subset(selected & ~has_name), whole.subset(has_name)
        if not len(asked):
            left = "" if s.relabel else " (--relabel leaves the labels of the collection out of account)"
            raise BiocosmosError(f"every selected specimen of {collection.path} has a name: there is nothing to label next{left}")
    number = s.each if s.strategy == EACH else s.count
    found = queue(s.strategy, asked, known, number, diverse=s.diverse, detector=s.detector, seed=s.seed)
    found.provenance["selection"] = s.selected()
    keep(collection, "queue", found.table, found.provenance)
    return found


def named(collection: Collection, gallery: Gallery, *, labels: bool = True) -> Gallery:
    """The gallery with the taxa that people gave by hand in place of its labels; ``labels`` false: with those alone.

    A name that is doubted, or that the taxonomy of the gallery does not have, names nothing.
    """
    tree = gallery.taxonomy
    taxa = np.zeros(len(gallery), np.int32) if gallery.taxa is None or not labels else gallery.taxa.copy()
    said = current(collection)
    if tree is not None and said.num_rows:
        rows = _rows(gallery, said["id"].to_pylist())
        for row, name, rank, status in zip(rows, *(said[each].to_pylist() for each in ("taxon", "rank", "status"))):
            node = _node(tree, name, rank)
            if row >= 0 and status != DUBIOUS and node:
                taxa[row] = node
    order: npt.NDArray[Any] = np.argsort(taxa, kind="stable")
    return Gallery(gallery.ids[order], gallery.vectors[order], taxa[order], tree, dict(gallery.provenance))


def _rows(gallery: Gallery, ids: list[str]) -> list[int]:
    place = {each: row for row, each in enumerate(gallery.ids.tolist())}
    return [place.get(each, -1) for each in ids]


def _node(tree: Any, name: str, rank: str | None) -> int:
    try:
        return int(tree.find(f"{rank}:{name}" if rank else name))
    except BiocosmosError:
        return 0
