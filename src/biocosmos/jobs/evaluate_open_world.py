"""The nearest of seen and of unseen species in one gallery, for a collection's embeddings; a linear probe, a fine-tuned head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biocosmos.encoders.barcode_models import TrainedBarcodes
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.barcode.probes import PROJECTED, ProbeFigures, linear_probe, projected
from biocosmos.evaluate.numbers.targets import Target, rank_targets
from biocosmos.evaluate.open_world.published import DNA, IMAGE
from biocosmos.evaluate.open_world.report import FINE_TUNED, LINEAR, SEEN, SPECIES, open_world
from biocosmos.jobs.barcode_neighbours import ALIGNED, aligned
from biocosmos.jobs.barcode_probes import MOST_NUMBERS
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

BARCODE = "barcode"
Row = dict[str, Any]


def judge_open_world(collection: Collection, encoders: Sequence[str], settings: EvaluateSettings) -> Report:
    """Ask the parts ``queries`` and ``unseen`` of the part ``gallery``, by every encoder.

    Specimens of either that an encoder was trained on are refused, by their ids, and so is one that both parts have. Raises
    BiocosmosError as :func:`open_world`.
    """
    sides = {"queries": settings.queries, "unseen": settings.unseen}
    for part in sides.values():
        guard.refuse_part(collection, part, *encoders, where=settings.where)
    seen, unseen = (collection.table(["id"], split=part, where=settings.where)["id"] for part in sides.values())
    guard.refuse_shared(seen, unseen, "specimens are in --queries and in --unseen", "name two parts")
    columns = [BARCODE] if BARCODE in collection.stored_columns else []
    pick: dict[str, Any] = {"where": settings.where, "columns": columns}
    galleries = {name: collection.gallery(name, split=settings.gallery, **pick) for name in encoders}
    asked = {side: {name: collection.gallery(name, split=part, **pick) for name in encoders} for side, part in sides.items()}
    for side, found in asked.items():
        if not all(len(each) for each in found.values()):
            raise BiocosmosError(f"part '{sides[side]}' has no specimen with a vector: name another with --{side}")
    modalities = {name: DNA if collection.encoders[name].get("modality") == DNA else IMAGE for name in encoders}
    probes = [
        row
        for name in encoders
        for row in probed(name, galleries[name], asked["queries"][name], settings, dna=modalities[name] == DNA)
    ]
    searches = _beside(galleries, asked, modalities) if settings.aligned else {}
    report = open_world(
        galleries,
        asked["queries"],
        asked["unseen"],
        data=f"{collection.path.stem}: {settings.queries}, {settings.unseen} in {settings.gallery}",
        modalities=modalities,
        probes=probes,
        searches=searches,
        seed=settings.seed,
    )
    report.caveats += [
        f"The linear probe of {name} is trained on {PROJECTED} numbers, its {galleries[name].dim:,} counts projected at random."
        for name in encoders
        if settings.linear and _many(galleries[name])
    ]
    report.caveats += guard.told(collection, asked["unseen"][encoders[0]].ids, *encoders)
    return report


def _beside(galleries: dict[str, Gallery], asked: dict[str, dict[str, Gallery]], modalities: dict[str, str]) -> dict[str, Any]:
    """Each encoder that counts k-mers once more, its nearest in the order of their alignments: added to all three; its search.

    Raises BiocosmosError where no encoder counts k-mers.
    """
    counted = [name for name, gallery in galleries.items() if gallery.counts is not None]
    if not counted:
        raise BiocosmosError("--aligned is about encoders that count k-mers, and none was named: -e kmer:7")
    for name in counted:
        also = ALIGNED.format(name)
        modalities[also], galleries[also] = DNA, galleries[name]
        for each in asked.values():
            each[also] = each[name]
    return {ALIGNED.format(name): _by_alignment for name in counted}


def _by_alignment(gallery: Gallery, queries: Gallery, k: int) -> Any:
    return aligned(gallery, queries)[0][:, :k]


def _many(gallery: Gallery) -> bool:
    return gallery.counts is not None and gallery.dim > MOST_NUMBERS


def probed(name: str, gallery: Gallery, queries: Gallery, settings: EvaluateSettings, *, dna: bool) -> list[Row]:
    """Species of the seen queries by other ways than the nearest, as rows of the table of tasks: "linear" where it is asked for,
    "fine-tuned" where the encoder was trained to name species."""
    targets = rank_targets(gallery, queries, None)
    target = next((each for each in targets if each.name == SPECIES), None)
    if target is None:
        if settings.linear:
            raise BiocosmosError("--linear names species, and no specimen has one")
        return []
    theirs, mine = target.names_of(target.gallery), target.names_of(target.query)
    rows = []
    if settings.linear:
        from biocosmos.encoders.torch_backend import choose_device

        sides = (gallery, queries)
        features = (projected(each.counts) if each.counts is not None and _many(each) else each.vectors for each in sides)
        how: dict[str, Any] = {"recipe": "vectors", "seed": settings.seed, "device": choose_device(settings.device)}
        found = linear_probe(next(features), theirs, next(features), mine, **how)
        rows.append(_row(name, LINEAR, target, found))
    encoder = load_barcode_encoder(name, device=settings.device) if dna else None
    if isinstance(encoder, TrainedBarcodes) and encoder.model.head is not None and queries.columns is not None:
        classes = np.array(encoder.model.classes, object)
        named = np.flatnonzero(target.query >= 0)
        barcodes = [text or "" for text in queries.columns[BARCODE].to_pylist()]
        true = np.array(mine, object)[named]
        if (known := np.isin(true, classes)).any():  # else it was trained to name another rank
            said = classes[encoder.log_probabilities([barcodes[i] for i in named]).argmax(1)]
            rows.append(_row(name, FINE_TUNED, target, ProbeFigures.of(true.astype(str), said.astype(str), known)))
    return rows


def _row(encoder: str, how: str, target: Target, found: ProbeFigures) -> Row:
    scores = {"accuracy": found.accuracy, "balanced_accuracy": found.balanced}
    scores |= {name: getattr(found, name) for name in ("f1_micro", "f1_macro", "f1_weighted")}
    facts = {"specimens": found.queries, "unanswerable": found.queries - found.answerable}
    facts |= {"taxa": int((target.query_counts() > 0).sum()), "unnamed": int((target.query < 0).sum())}
    return {"encoder": encoder, "how": how, "queries": SEEN, "rank": SPECIES, **scores, **facts}
