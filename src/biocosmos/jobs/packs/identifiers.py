"""Who names in a pack: the identifier of the collection, or one that has never heard of what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import GalleryNamer
from biocosmos.identify.namers.registry import DEFAULT_NAMER, find_namer
from biocosmos.identify.threads import SMALL_VECTORS, one_thread
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.packs.classes import Classes

OF_CLASSES = "class-angle"
"""The novelty detector of a pack without vectors: it knows class means and what they share, and no specimen."""
_HOLDS_SPECIMENS = "vectors"


def check_method(method: str | None, kind: str) -> None:
    """Raise BiocosmosError for a way of naming that a pack cannot hold."""
    namer = find_namer(method or DEFAULT_NAMER)
    if namer.takes != "vectors" or namer.name == "zero-shot":
        raise BiocosmosError(f"a pack names by vectors, and '{namer.name}' takes more: choose linear, simpleshot or nearest")
    if kind == "none" and namer.name not in ("linear", "simpleshot"):
        raise BiocosmosError(f"'{namer.name}' compares with specimens, which --vectors none leaves out: choose linear")


def fitted(
    gallery: Gallery, *, calibration: Gallery | None = None, method: str | None, novelty: str | None, seed: int
) -> Identifier:
    """An identifier of these specimens alone."""
    with one_thread(len(gallery) * gallery.dim < SMALL_VECTORS):
        return Identifier.fit(gallery, method=method or DEFAULT_NAMER, calibration=calibration, novelty=novelty, seed=seed)


def refuse_specimens(identifier: Identifier) -> None:
    """Raise BiocosmosError where a part of the identifier holds vectors of single specimens."""
    alarm = identifier.alarm
    if alarm is not None and any(name.split("/")[-1] == _HOLDS_SPECIMENS for name in alarm.detector.arrays()):
        raise BiocosmosError(
            f"the novelty detector '{alarm.detector.name}' holds vectors of specimens, which --vectors none leaves out: "
            f"leave --novelty out, or choose {OF_CLASSES}"
        )


def class_gallery(classes: Classes, gallery: Gallery) -> Gallery:
    """The class means as unit vectors in place of specimens, each with the id "mean of TAXON"."""
    assert gallery.taxonomy is not None
    names = [f"mean of {gallery.taxonomy.path_text(int(node))}" for node in classes.nodes]
    lengths = np.linalg.norm(classes.mean, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise BiocosmosError(f"'{names[int(np.flatnonzero(lengths[:, 0] == 0)[0])]}' is zero: keep the vectors")
    means = (classes.mean / lengths).astype(np.float32)
    return Gallery(np.array(names, object), means, classes.nodes, gallery.taxonomy, dict(gallery.provenance))


def without_specimens(identifier: Identifier, means: Gallery) -> Identifier:
    """The same identifier, which knows class means in place of specimens, and no id of any."""
    refuse_specimens(identifier)
    namer = identifier.namer
    assert isinstance(namer, GalleryNamer) and means.taxa is not None
    rows = np.flatnonzero(np.isin(means.taxa, namer.classes))
    known = means.subset(rows)
    other = type(namer).restore(known, namer.classes, namer.arrays())
    other.temperature = namer.temperature
    empty: npt.NDArray[np.float32] = np.empty((0, means.dim), np.float32)
    return replace(identifier, namer=other, known=known, calibrated_on=np.empty(0, object), features=empty)


def without_places(identifier: Identifier, name: str) -> Identifier:
    """The same identifier, which says nothing of folders on this machine; name: of what it was made from."""
    known, settings = identifier.known, dict(identifier.settings)
    if isinstance(settings.get("taxa"), str):
        settings["taxa"] = settings["taxa"].replace("\\", "/").rpartition("/")[2]
    if known is not None:
        facts = {key: value for key, value in known.provenance.items() if key not in ("collection", "created")}
        known = Gallery(
            known.ids, known.vectors, known.taxa, known.taxonomy, {**facts, "collection": name}, known.columns, known.counts
        )
    return replace(identifier, known=known, settings=settings)
