"""Evaluate one embedding of a collection, or compare several, on one split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.identify.namers.rules import RULES
from biocosmos.jobs.identify import Identified
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

PROTOCOLS = ("query-gallery", "all-vs-all", "both", "few-shot", "zero-shot")
TRAIN = "train"


def evaluate_collection(
    collection: Collection,
    *,
    encoders: Sequence[str],
    protocol: str | None = None,
    queries: str = "test",
    gallery: str = TRAIN,
    groups: Sequence[str] = (),
    identified: Identified | None = None,
    where: str | None = None,
    seed: int = 0,
    templates: Path | None = None,
) -> Report:
    """A report on the embeddings named, with the parts ``queries`` and ``gallery`` of the collection's splits.

    One encoder: retrieval, with the neighbour rules in the protocol "query-gallery" (the default), and the quality of the names
    in ``identified`` when given. Two or more: what each taxon gains and loses from the first to the others, by both protocols
    by default. "few-shot" and "zero-shot" ask the part ``queries`` alone. groups: columns or ranks. templates: a file of
    sentences for zero-shot.

    Raises BiocosmosError for an unknown protocol, embedding, part or column, and for an encoder trained on the part asked.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise BiocosmosError(f"no protocol '{protocol}': choose {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}")
    if not encoders:
        raise BiocosmosError(f"nothing to evaluate: name an embedding of {collection.path}")
    guard.refuse_part(collection, queries, *encoders, where=where)
    for group in groups:
        if group not in collection.dataset.schema.names:
            raise BiocosmosError(f"the collection has no column '{group}' to group by")
    if protocol in ("few-shot", "zero-shot"):
        return _shots(collection, protocol, encoders, queries, where, seed, templates)
    protocol = protocol or ("query-gallery" if len(encoders) == 1 else "both")
    asked = {name: collection.gallery(name, split=queries, where=where, columns=groups) for name in encoders}
    answering: dict[str, Gallery] = {}
    if protocol != "all-vs-all":
        answering = {name: collection.gallery(name, split=gallery, where=where, columns=groups) for name in encoders}
    reports: dict[str, Report] = {}
    more: dict[str, Any] = {"groups": groups, "seed": seed}
    first = encoders[0]
    if len(encoders) > 1:
        more["training"] = _training(collection, first, gallery, where, answering)
    if answering:
        name = f"{queries} against {gallery}"
        if len(encoders) > 1:
            reports[name] = evaluate.compare(answering, queries=asked, rules=RULES, **more)
        else:
            reports[name] = evaluate.retrieval(answering[first], asked[first], rules=RULES, **more)
        reports[name].caveats += guard.lookalikes(asked[first], answering[first], collection, what="in the gallery")
    if protocol != "query-gallery":
        name = f"{queries} all-vs-all"
        reports[name] = evaluate.compare(asked, **more) if len(encoders) > 1 else evaluate.retrieval(asked[first], **more)
    next(iter(reports.values())).caveats += guard.told(collection, asked[first].ids, *encoders)
    if identified is not None and len(encoders) == 1 and answering:
        names = evaluate.naming(answers=identified.table, truth=asked[first], gallery=answering[first], seed=seed)
        return evaluate.combine(
            names,
            *reports.values(),
            title=f"{collection.path.stem}: names and neighbours with {first}",
            names=["names", *reports] if len(reports) > 1 else None,
        )
    if len(reports) == 1:
        return next(iter(reports.values()))
    title = f"{', '.join(encoders[1:])} against {first}" if len(encoders) > 1 else f"Retrieval with {first}"
    return evaluate.combine(*reports.values(), title=f"{title}: {collection.path.stem}", names=list(reports))


def _training(collection: Collection, encoder: str, part: str, where: str | None, answering: dict[str, Gallery]) -> Any:
    """The taxa of the training images, or None where the collection has no part of that name or no taxa."""
    if part != TRAIN:
        return None
    found = answering.get(encoder)
    if found is None:
        if "default" not in collection.split_names or TRAIN not in collection.split("default").counts():
            return None
        found = collection.gallery(encoder, split=TRAIN, where=where, columns=())
    return found.taxa


def _shots(
    collection: Collection,
    protocol: str,
    encoders: Sequence[str],
    part: str,
    where: str | None,
    seed: int,
    templates: Path | None,
) -> Report:
    if protocol == "few-shot":
        from biocosmos.evaluate.few_shot.report import few_shot

        galleries = {name: collection.gallery(name, split=part, where=where, columns=()) for name in encoders}
        return few_shot(galleries, seed=seed)
    from biocosmos.encoders.registry import load_encoder
    from biocosmos.evaluate.zero_shot.report import zero_shot
    from biocosmos.evaluate.zero_shot.texts import common_name_column, read_sentences

    column = common_name_column(collection.stored_columns)
    towers, asked = {}, {}
    for name in encoders:
        stored = collection.encoders[name]
        towers[name] = load_encoder(name)
        if stored.get("digest") not in (None, towers[name].digest):
            raise BiocosmosError(
                f"encoder '{name}' here has other weights than the one that embedded {collection.path}: "
                f"embed again with 'biocosmos embed {collection.path} --encoder {name} --overwrite'"
            )
        asked[name] = collection.gallery(name, split=part, where=where, columns=[column] if column else [])
    return zero_shot(asked, towers, templates=None if templates is None else read_sentences(templates), common=column, seed=seed)


def embedded(collection: Collection, encoders: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the collection's embeddings that ``encoders`` mean, once each, made now where they are missing.

    Returns (names, those that were embedded now). A folder whose weights are not those of its column any more is refused.
    """
    from biocosmos.embed import embed
    from biocosmos.encoders.registry import load_encoder
    from biocosmos.provenance import encoder_name

    names, made = [], []
    for given in encoders:
        name = given if given in collection.encoders else encoder_name(given)
        if name in names:
            continue
        names.append(name)
        if name not in collection.encoders:
            summary = embed(collection, name)
            if not summary.images:
                raise BiocosmosError(f"'{name}' could embed no image of {collection.path}: see 'biocosmos failures'")
            made.append(name)
        elif Path(name).is_dir():
            stored, here = collection.encoders[name].get("digest"), load_encoder(name).digest
            if stored != here:
                raise BiocosmosError(
                    f"{name} has other weights now ({here}) than when {collection.path} was embedded with it ({stored}): "
                    f"run 'biocosmos embed {collection.path} --encoder {name} --overwrite'"
                )
    return names, made
