"""Evaluate embeddings and namers of a collection, one or several, on one split: one job, one set of options."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.combined import together
from biocosmos.evaluate.pages.blocks import Section
from biocosmos.files import is_folder
from biocosmos.identify.namers.rules import RULES
from biocosmos.jobs.evaluate_settings import (
    BARCODE,
    CLUSTERING,
    CROSS_MODAL,
    LEAVE_OUT,
    NAMES,
    OPEN_WORLD,
    PLACE,
    QUANTIFICATION,
    SHOTS,
    EvaluateSettings,
)
from biocosmos.search.gallery import Gallery
from biocosmos.settings import names_in, told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

TRAIN = "train"
WORK = "work"
"""Folder of a collection in which jobs keep what they can go on from."""


def evaluate_collection(
    collection: Collection, settings: EvaluateSettings | None = None, *, output: Path | None = None, **options: Any
) -> Report:
    """A report on the embeddings or namers that the settings name, with the parts ``queries`` and ``gallery``.

    One embedding: do the nearest specimens belong to the query's taxon, and are the names right that a method gives with it?
    Several: what each taxon gains and loses from the first to the others, by both protocols by default. Trained heads: their
    names and their promises; several namers side by side. Clusters of several encoders and settings against the taxa. Nothing is
    chosen on the part asked.

    settings, or as options: see :class:`EvaluateSettings`; output: a folder for what a job makes beside its report: the encoder
    that an interpolation chose, the trainings of a leave-out protocol, which go on from it when they were killed.

    Raises BiocosmosError for an unknown embedding, part or column, and for specimens that an encoder or namer was fitted or
    calibrated on, by their ids; SettingError for an option that the chosen mode does not use.
    """
    settings = told(EvaluateSettings, **options) if settings is None else settings
    report = _evaluated(collection, settings, output)
    report.also += _collected(collection, settings)
    return report


def _collected(collection: Collection, settings: EvaluateSettings) -> list[Section]:
    """Where and when the specimens that ask and those that answer were collected, where the collection says so."""
    if settings.names or settings.protocol == PLACE:
        return []
    from biocosmos.evaluate.pages.collected import collected
    from biocosmos.specimens.placed import places_of

    asking = "specimens" if settings.part is None else settings.part
    groups = [(asking, places_of(collection, split=settings.part, where=settings.where)[1])]
    splits = collection.split("default").counts() if "default" in collection.split_names else {}
    if settings.part is not None and settings.gallery in splits and settings.gallery != settings.part:
        groups.append((settings.gallery, places_of(collection, split=settings.gallery, where=settings.where)[1]))
    found = collected(groups)
    return [] if found is None else [found]


def _evaluated(collection: Collection, settings: EvaluateSettings, output: Path | None) -> Report:
    if settings.protocol in LEAVE_OUT:
        return _leave_out(collection, settings, output)
    if settings.names and settings.attributes:
        from biocosmos.jobs.evaluate_attributes import judge_told_attributes

        return judge_told_attributes(collection, settings)
    if settings.names:
        from biocosmos.jobs.evaluate_tables import judge_tables

        return judge_tables(collection, settings)
    if settings.head and settings.protocol == QUANTIFICATION:
        from biocosmos.jobs.evaluate_communities import judge_communities

        return judge_communities(collection, (), settings)
    if settings.head:
        return _heads(collection, settings)
    if settings.protocol == PLACE:
        from biocosmos.jobs.evaluate_places import judge_places

        return judge_places(collection, settings)
    if settings.protocol == CROSS_MODAL:
        from biocosmos.jobs.evaluate_cross_modal import judge_cross_modal

        return judge_cross_modal(collection, settings)
    given = list(settings.encoder or [collection.encoder_name()])
    if settings.protocol == CLUSTERING and any("+" in name for name in given):
        encoders, made = _together_embedded(collection, given)
    else:
        encoders, made = embedded(collection, given)
    if settings.interpolate:
        from biocosmos.jobs.interpolate import interpolate_collection

        report = interpolate_collection(
            collection,
            encoders=encoders,
            weights=settings.interpolate,
            queries=settings.queries,
            gallery=settings.gallery,
            groups=settings.by,
            where=settings.where,
            seed=settings.seed,
            output=output,
            patterns=names_in(settings.patch),
        )
    elif settings.protocol == CLUSTERING:
        from biocosmos.jobs.evaluate_clusters import judge_clusters, parts_of

        _refuse_learnt(collection, [part for name in encoders for part in parts_of(collection, name)], settings)
        report = judge_clusters(collection, encoders, settings)
    elif settings.protocol == BARCODE:
        from biocosmos.jobs.evaluate_barcodes import judge_barcodes

        report = judge_barcodes(collection, encoders, settings)
    elif settings.protocol == QUANTIFICATION:
        from biocosmos.jobs.evaluate_communities import judge_communities

        report = judge_communities(collection, encoders, settings)
    elif settings.protocol == OPEN_WORLD:
        from biocosmos.jobs.evaluate_open_world import judge_open_world

        report = judge_open_world(collection, encoders, settings)
    elif settings.protocol in SHOTS:
        report = _shots(collection, encoders, settings)
    else:
        report = _neighbours_and_names(collection, encoders, settings)
    report.caveats += [f"{collection.path.name} was embedded with {name} for this report: it was not yet." for name in made]
    return report


def _heads(collection: Collection, settings: EvaluateSettings) -> Report:
    """Trained heads: the names of those over ranks, beside the methods that were asked for, and the attributes of all."""
    from biocosmos.jobs.evaluate_head_attributes import judge_head_attributes, ranked_heads
    from biocosmos.jobs.evaluate_names import judge_names

    encoders = [collection.encoder_name(name) for name in settings.encoder or [None]] if settings.method else []
    guard.refuse_own_names(collection, *encoders)
    ranked = settings.head if settings.protocol else ranked_heads(settings)
    of_attributes = judge_head_attributes(collection, settings)
    reports = judge_names(collection, encoders, replace(settings, head=ranked)) if ranked or settings.method else {}
    return together(reports | of_attributes, f"{collection.path.stem}: {settings.head[0].name}")


def _together_embedded(collection: Collection, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """As :func:`embedded`, for names that join several embeddings by +, to be clustered side by side."""
    from biocosmos.jobs.evaluate_clusters import parts_of

    names, made = [], []
    for one in given:
        own, new = embedded(collection, parts_of(collection, one))
        names.append("+".join(own))
        made += new
    return list(dict.fromkeys(names)), list(dict.fromkeys(made))


def _neighbours_and_names(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    reports: dict[str, Report] = {}
    first = encoders[0]
    by_names = settings.protocol in NAMES or settings.method
    within = settings.protocol == "all-vs-all" or settings.part is None
    if by_names or (settings.identify and len(encoders) == 1 and not within):
        from biocosmos.jobs.evaluate_names import judge_names

        if within:
            raise BiocosmosError(
                "a method names what its gallery does not hold, so --method does not go with all-vs-all or --queries all: "
                "name a part with --queries"
            )
        reports |= judge_names(collection, encoders, settings)
    if settings.protocol not in NAMES:
        reports |= _neighbours(collection, encoders, settings)
    if len(encoders) > 1:
        return together(reports, f"{', '.join(encoders[1:])} against {first}: {collection.path.stem}")
    what = "names and neighbours" if by_names or "names" in reports else "retrieval"
    return together(reports, f"{collection.path.stem}: {what} with {first}")


def _neighbours(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> dict[str, Report]:
    """Retrieval, or its comparison: the part that asks against the part that answers, within the part that asks, or both."""
    for group in settings.by:
        if group not in collection.dataset.schema.names:
            raise BiocosmosError(f"the collection has no column '{group}' to group by")
    protocol = settings.protocol or ("query-gallery" if len(encoders) == 1 else "both")
    if settings.part is None:
        protocol = "all-vs-all"
    _refuse_learnt(collection, encoders, settings)
    pick: dict[str, Any] = {"where": settings.where, "columns": settings.by}
    asked = {name: collection.gallery(name, split=settings.part, **pick) for name in encoders}
    answering: dict[str, Gallery] = {}
    if protocol != "all-vs-all":
        answering = {name: collection.gallery(name, split=settings.gallery, **pick) for name in encoders}
    reports: dict[str, Report] = {}
    more: dict[str, Any] = {"groups": settings.by, "seed": settings.seed}
    first, several = encoders[0], len(encoders) > 1
    if several:
        more["training"] = _training(collection, first, settings, answering)
    if answering:
        name = f"{settings.queries} against {settings.gallery}"
        if several:
            reports[name] = evaluate.compare(answering, queries=asked, rules=RULES, **more)
        else:
            reports[name] = evaluate.retrieval(answering[first], asked[first], rules=RULES, **more)
        reports[name].caveats += guard.lookalikes(asked[first], answering[first], collection, what="in the gallery")
    if protocol != "query-gallery":
        name = f"{settings.queries} all-vs-all"
        reports[name] = evaluate.compare(asked, **more) if several else evaluate.retrieval(asked[first], **more)
    next(iter(reports.values())).caveats += guard.told(collection, asked[first].ids, *encoders)
    return reports


def _refuse_learnt(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> None:
    """Refuse specimens that an encoder was trained on, by their ids."""
    if settings.part is not None:
        guard.refuse_part(collection, settings.part, *encoders, where=settings.where)
    elif any(True for _ in guard.records(*encoders)):
        guard.refuse(collection.table(["id"], where=settings.where)["id"], *encoders)


def _training(collection: Collection, encoder: str, settings: EvaluateSettings, answering: dict[str, Gallery]) -> Any:
    """The taxa of the training images, or None where the collection has no part of that name or no taxa."""
    if settings.gallery != TRAIN:
        return None
    found = answering.get(encoder)
    if found is None:
        if "default" not in collection.split_names or TRAIN not in collection.split("default").counts():
            return None
        found = collection.gallery(encoder, split=TRAIN, where=settings.where, columns=())
    return found.taxa


def _shots(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    _refuse_learnt(collection, encoders, settings)
    part, where = settings.part, settings.where
    if settings.protocol == "few-shot":
        from biocosmos.evaluate.few_shot.report import few_shot

        galleries = {name: collection.gallery(name, split=part, where=where, columns=()) for name in encoders}
        return few_shot(galleries, seed=settings.seed)
    from biocosmos.encoders.registry import load_encoder
    from biocosmos.evaluate.zero_shot.report import zero_shot
    from biocosmos.evaluate.zero_shot.texts import read_sentences
    from biocosmos.specimens.taxon_texts import common_name_column

    column = common_name_column(collection.stored_columns)
    towers, asked = {}, {}
    for name in encoders:
        stored = collection.encoders[name]
        towers[name] = load_encoder(name, device=settings.device, named_by=collection.path)
        if stored.get("digest") not in (None, towers[name].digest):
            raise BiocosmosError(
                f"encoder '{name}' here has other weights than the one that embedded {collection.path}: "
                f"embed again with 'biocosmos embed {collection.path} --encoder {name} --overwrite'"
            )
        asked[name] = collection.gallery(name, split=part, where=where, columns=[column] if column else [])
    templates = None if settings.templates is None else read_sentences(settings.templates)
    return zero_shot(asked, towers, templates=templates, common=column, seed=settings.seed)


def _leave_out(collection: Collection, settings: EvaluateSettings, output: Path | None) -> Report:
    """Train a head again without some taxa; without a folder it works in one of the collection's, to go on from when killed."""
    from biocosmos.identify.namers.heads import TrainedHead
    from biocosmos.jobs.leave_out_heads import leave_out_heads

    (folder,) = settings.head
    guard.refuse_part(collection, settings.queries, folder)
    head = TrainedHead.load(folder, device=settings.device)
    if output is None:
        facts = (head.digest, settings.protocol, settings.folds, settings.most, settings.queries, settings.seed, settings.far)
        output = collection.path / WORK / f"leave-out-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
    return leave_out_heads(
        collection,
        head,
        output,
        whole_groups=settings.protocol == LEAVE_OUT[1],
        folds=settings.folds,
        most=settings.most,
        far=settings.far,
        part=settings.queries,
        seed=settings.seed,
    )


def embedded(collection: Collection, encoders: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the collection's embeddings that ``encoders`` mean, once each, made now where they are missing.

    Returns (names, those that were embedded now). A folder whose weights are not those of its column any more is refused.
    """
    from biocosmos.embed import embed
    from biocosmos.encoders.modality import tower_name
    from biocosmos.encoders.reduction.spec import split_name
    from biocosmos.encoders.registry import digest_of
    from biocosmos.provenance import encoder_name

    names, made = [], []
    for given in encoders:
        name = given if given in collection.encoders else tower_name(encoder_name(given))
        if name in names:
            continue
        guard.refuse_own_names(collection, name)
        names.append(name)
        if name not in collection.encoders:
            summary = embed(collection, name)
            if not summary.images:
                raise BiocosmosError(
                    f"'{name}' could embed no {summary.unit.removesuffix('s')} of {collection.path}: see 'biocosmos failures'"
                )
            made.append(name)
        elif is_folder(split_name(name)[0]):
            stored, here = collection.encoders[name].get("digest"), digest_of(name)
            if stored != here:
                raise BiocosmosError(
                    f"{name} has other weights now ({here}) than when {collection.path} was embedded with it ({stored}): "
                    f"run 'biocosmos embed {collection.path} --encoder {name} --overwrite'"
                )
    return names, made
