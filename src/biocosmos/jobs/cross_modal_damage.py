"""Barcodes of the queries damaged: named by DNA alone, by the mean of image and DNA, and by the namer of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.damage import DAMAGES, Damage, damage_scores, shares_of_answers
from biocosmos.evaluate.cross_modal.scores import Row
from biocosmos.evaluate.cross_modal.sides import AVERAGED, DNA, IMAGE, SEEN, UNSEEN, Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.identify.namer import FitOptions, Specimens
from biocosmos.identify.namers.fused import Fused
from biocosmos.jobs.cross_modal_asking import KEYS, UNSEEN_KEYS
from biocosmos.jobs.cross_modal_parts import BARCODE, Part
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

BY = {DNA: "DNA", AVERAGED: "image and DNA averaged"}
FUSED = "the namer 'fused'"
"""What damaged barcodes are named by."""
MOST_FUSED = 300
"""Queries of a part that the namer of both is asked about, a seeded sample: it aligns their barcodes, in eleven states each."""
AT_ONCE = 1024
"""Barcodes that are encoded at a time."""


def damaged(
    tower: str, parts: Mapping[str, Part], keys: Side, settings: EvaluateSettings, boot: Bootstrap
) -> tuple[list[Row], list[str]]:
    """Rows of every damage, by each of :data:`BY` and by the namer of both, and what is said with them.

    Raises BiocosmosError for queries without barcodes.
    """
    if any(BARCODE not in _columns(parts[which]) for which in (SEEN, UNSEEN)):
        raise BiocosmosError("--damage is of barcodes, and the queries have none: leave it out")
    encoder = load_barcode_encoder(tower, device=settings.device)
    rows: list[Row] = []
    with progress("damage barcodes", total=len(DAMAGES), unit="kinds of damage") as bar:
        for damage in DAMAGES:
            sides = {which: _encoded(parts[which], damage, encoder, settings.seed) for which in (SEEN, UNSEEN)}
            for by, name in BY.items():
                if by == DNA or all(side.has(IMAGE).any() for side in (keys, *sides.values())):
                    found = damage_scores(keys, sides, by, bootstrap=boot)
                    rows += [{**row, "barcode": damage.name, "by": name} for row in found]
            bar.advance()
    try:
        return [*rows, *_fused(parts, list(keys.taxa), settings, boot)], [
            f"{FUSED[:1].upper()}{FUSED[1:]} was asked about at most {MOST_FUSED:,} queries of each part, drawn by the seed."
        ]
    except BiocosmosError as error:
        return rows, [f"{FUSED[:1].upper()}{FUSED[1:]} was not asked about damaged barcodes: {error}."]


def _columns(part: Part) -> list[str]:
    gallery = part.galleries.get(DNA)
    return [] if gallery is None or gallery.columns is None else list(gallery.columns.column_names)


def _barcodes(part: Part) -> dict[str, str | None]:
    gallery = part.galleries[DNA]
    assert gallery.columns is not None
    return dict(zip(gallery.ids.tolist(), gallery.columns[BARCODE].to_pylist()))


def _encoded(part: Part, damage: Damage, encoder: BarcodeEncoder, seed: int) -> Side:
    """The queries that have a barcode, with the vector of the damaged one; a row of zeros where nothing is left."""
    letters = _barcodes(part)
    mine = part.side.rows(DNA)
    ids = part.ids[mine].tolist()
    told = damage.of(ids, [letters[id_] for id_ in ids], seed)
    left = [i for i, barcode in enumerate(told) if barcode]
    vectors = np.zeros((len(ids), encoder.dim), np.float32)
    for start in range(0, len(left), AT_ONCE):
        rows = left[start : start + AT_ONCE]
        vectors[rows] = np.asarray(encoder.encode_barcodes([str(told[i]) for i in rows]), np.float32)
    side = part.side.subset(mine)
    return replace(side, vectors={**side.vectors, DNA: vectors})


def _fused(parts: Mapping[str, Part], ranks: list[str], settings: EvaluateSettings, boot: Bootstrap) -> list[Row]:
    """The namer of image and DNA, fitted on the keys and their whole barcodes."""
    known = [parts[which] for which in (KEYS, UNSEEN_KEYS) if which in parts]
    if not all({IMAGE, DNA} <= set(part.galleries) for part in known):
        raise BiocosmosError("the space has no tower of images and of DNA")
    namer = Fused.fit(_with_both(known), FitOptions(seed=settings.seed))
    asked = {which: _sampled(parts[which], settings.seed) for which in (SEEN, UNSEEN)}
    rows: list[Row] = []
    with progress("name damaged barcodes with their images", total=len(DAMAGES), unit="kinds of damage") as bar:
        for damage in DAMAGES:
            answers = {}
            for which, (ids, side) in asked.items():
                letters = _barcodes(parts[which])
                told = damage.of(ids, [letters[id_] for id_ in ids], settings.seed)
                barcodes = np.array([each or "" for each in told], object)
                specimens = Specimens(np.array(ids, object), vectors=side.vectors[IMAGE], barcodes=barcodes)
                nodes = namer.predict(specimens).best_path()[0]
                at = {rank: nodes[:, namer.taxonomy.ranks.index(rank)].astype(np.int64) for rank in ranks}
                answers[which] = (side.taxa, at)
            rows += [{**row, "barcode": damage.name, "by": FUSED} for row in shares_of_answers(ranks, answers, boot)]
            bar.advance()
    return rows


def _sampled(part: Part, seed: int) -> tuple[list[str], Side]:
    """At most :data:`MOST_FUSED` queries that have both. Raises BiocosmosError where there is none."""
    both = np.flatnonzero(part.side.has(IMAGE) & part.side.has(DNA))
    if not len(both):
        raise BiocosmosError(f"no specimen of part '{part.name}' has an image and a barcode")
    rows = np.sort(np.random.default_rng(seed).permutation(both)[:MOST_FUSED])
    return part.ids[rows].tolist(), part.side.subset(rows)


def _with_both(parts: list[Part]) -> Gallery:
    """The named specimens of some parts, with the vectors of their images and their barcodes."""
    ids, vectors, taxa, letters = [], [], [], []
    for part in parts:
        told = _barcodes(part)
        ids += part.ids.tolist()
        letters += [told.get(id_) for id_ in part.ids.tolist()]
        vectors.append(part.side.vectors[IMAGE])
        taxa.append(part.nodes)
    first = parts[0].galleries[IMAGE]
    columns = pa.table({"id": pa.array(ids, pa.string()), BARCODE: pa.array(letters, pa.string())})
    made = Gallery.build(
        ids,
        np.concatenate(vectors),
        taxa=np.concatenate(taxa),
        taxonomy=first.taxonomy,
        provenance=first.provenance,
        columns=columns,
        bare=True,
    )
    assert made.taxa is not None
    return made.subset(made.taxa > 0)
