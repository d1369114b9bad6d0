"""Name images, or a part of the collection itself, with the labelled specimens of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.identifier import Identifier
from biocosmos.jobs.queries import encode_queries
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection

TRAIN, CALIBRATION = "train", "val"


@dataclass
class Identified:
    """Names, what could not be named, and who named it."""

    table: pa.Table
    failures: Failures
    identifier: Identifier


def known_and_calibration(
    collection: Collection, encoder: str, *, split: str | None = None, where: str | None = None
) -> tuple[Gallery, Gallery | None]:
    """The labelled gallery and the specimens its confidence is calibrated on.

    With a default split these are its parts "train" and "val"; without one, or with another ``split``, the gallery is
    everything selected and calibrates itself by leaving one out.
    """
    if split is None and "default" in collection.split_names and TRAIN in collection.split("default").counts():
        known = collection.gallery(encoder, split=TRAIN, where=where, columns=())
        has_part = CALIBRATION in collection.split("default").counts()
        return known, collection.gallery(encoder, split=CALIBRATION, where=where, columns=()) if has_part else None
    return collection.gallery(encoder, split=split, where=where, columns=()), None


def identify_collection(
    collection: Collection,
    *,
    images: Sequence[Path] = (),
    part: str | None = None,
    encoder: str | None = None,
    split: str | None = None,
    where: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    **options: Any,
) -> Identified:
    """Name ``images``, or the specimens in ``part`` of a split.

    ``options`` go to :meth:`Identifier.fit`: method, threshold, within, taxa, templates, seed ... Images that cannot be read
    are in ``failures``.
    """
    if bool(images) == (part is not None):
        raise BiocosmosError(
            "nothing to identify: give images, or --part test" if not images else "give images or --part, not both"
        )
    name = collection.encoder_name(encoder)
    how: dict[str, Any] = {"device": device, "precision": precision, "backend": backend}
    failures = Failures()
    if part is None:
        asked = encode_queries(collection, name, images=images, **how)
        failures.extend(asked.failures)
        queries: Any = (asked.ids, asked.vectors)
        about: dict[str, Any] = {"image_paths": asked.ids, "provenance": {"encoder": asked.encoder}}
    else:
        queries = collection.gallery(name, split=part, columns=["image_path"])
        about = {}
    known, calibration = known_and_calibration(collection, name, split=split, where=where)
    if options.get("method") == "zero-shot":
        from biocosmos.encoders.registry import load_encoder

        options["encoder"] = load_encoder(name, **how)
    if part is None and not len(asked.ids):
        raise BiocosmosError(f"none of {len(failures):,} images could be read: {failures.reasons()[0][0]}")
    identifier = Identifier.fit(known, calibration=calibration, **options)
    failures.extend(identifier.failures)
    return Identified(identifier.identify(queries, **about), failures, identifier)
