"""evaluate --protocol quantification: the shares of communities, by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate.communities_told import communities_told
from biocosmos.evaluate.report import Report
from biocosmos.identify.novelty.detector import class_columns
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification import Validation
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import part_blocks
from biocosmos.jobs.who_names import default_method, identifier_of
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.survey_settings import SAMPLES


def judge_communities(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    """Shares by every method, on communities made of the part that asks and on its samples (one column in ``by``;
    "sample" is the first of sample_id, eventID ... where no column is called that).

    Raises BiocosmosError for specimens that the namer was fitted or calibrated on, an unknown column, and a part without
    specimens of taxa that it knows.
    """
    if len(settings.by) > 1:
        raise SettingError("--by: one column says which sample a specimen is of")
    if settings.by == ("sample",) and "sample" not in collection.stored_columns:  # as summarize calls it
        there = next((name for name in SAMPLES if name in collection.stored_columns), "sample")
        settings = replace(settings, by=(there,))
    if settings.by and settings.by[0] not in collection.stored_columns:
        raise BiocosmosError(f"the collection has no column '{settings.by[0]}' that says which sample a specimen is of")
    guard.refuse_part(collection, settings.queries, *settings.head, *encoders, where=settings.where)
    if settings.head:
        encoder = None
        asked = IdentifySettings(part=settings.queries, head=settings.head[0], seed=settings.seed, device=settings.device)
    else:
        encoder = encoders[0]
        asked = IdentifySettings(
            part=settings.queries,
            method=settings.method or default_method(collection, encoder),
            encoder=encoder,
            known=settings.gallery,
            calibration=settings.calibration,
            where=settings.where,
            seed=settings.seed,
            device=settings.device,
        )
    failures = Failures()
    identifier = identifier_of(collection, asked, failures)
    namer = identifier.namer
    blocks = part_blocks(
        collection, namer, settings.queries, encoder=encoder, where=settings.where, columns=settings.by, failures=failures
    )
    said = list(namer.stream(blocks))
    if not sum(map(len, said)):
        raise BiocosmosError(f"no specimen of part '{settings.queries}' has what the namer looks at: embed them")
    predictions = Predictions.concatenate(said)
    identifier.refuse_seen(predictions.ids)
    validation = Validation.of(identifier)
    column = class_columns(predictions)
    known = column >= 0
    mine = predictions.subset(known)
    if not len(mine):
        raise BiocosmosError(f"no specimen of part '{settings.queries}' is of a taxon that the namer knows: name another part")
    samples = None
    if settings.by:
        assert mine.columns is not None
        told = mine.columns[settings.by[0]].to_pylist()
        samples = np.array([None if each is None else str(each) for each in told], object)
    report = communities_told(
        validation.said(mine),
        column[known],
        mine.features,
        validation,
        title=f"{collection.path.stem}: shares of communities by {namer.title}",
        samples=samples,
        communities=settings.communities,
        specimens=settings.specimens,
        seed=settings.seed,
        provenance=identifier.provenance({"part": settings.queries, "where": settings.where})
        | {"encoders": {str(encoder or namer.title): {}}, "namer": namer.title}
        | {"split_hash": collection.split_of(settings.queries).describe()["hash"]},
    )
    if left := len(predictions) - len(mine):
        report.caveats.append(f"{left:,} specimens of part '{settings.queries}' are of no class that the namer knows: left out.")
    report.caveats += guard.told(collection, mine.ids, *encoders)
    return report


__all__ = ["judge_communities"]
