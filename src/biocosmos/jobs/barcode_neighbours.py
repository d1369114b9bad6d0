"""Nearest barcodes of queries with the time and the memory they took: by the encoder, and put in order by alignment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.modality import modality_of
from biocosmos.evaluate.barcode.report import NEIGHBOURS
from biocosmos.evaluate.clustering.cost import Cost
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.search.gallery import Gallery
from biocosmos.search.reranking import CANDIDATES, rerank

Row = dict[str, Any]
Array = npt.NDArray[Any]
COLUMN = "barcode"
ALIGNED = "{} + alignment"
"""What the order by alignment of an encoder's nearest is called."""
TIMED = 512
"""Barcodes that are embedded anew to take the time."""


@dataclass
class Searched:
    """Of each encoder, and of its order by alignment where it counts k-mers: galleries, queries, neighbours, rows of cost."""

    galleries: dict[str, Gallery]
    queries: dict[str, Gallery]
    found: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    cost: list[Row] = field(default_factory=list)


def search_all(galleries: dict[str, Gallery], queries: dict[str, Gallery], settings: EvaluateSettings) -> Searched:
    """Search every encoder's gallery for its queries; galleries carry the column ``barcode``."""
    out = Searched({}, {})
    for name, gallery in galleries.items():
        asked = queries[name]
        gallery.search(asked.subset(slice(0, 1)), 1)  # makes the index, which is not part of the rate
        with Cost() as cost:
            hits = gallery.search(asked, NEIGHBOURS)
        rows = hits.rows, hits.scores == hits.scores[:, :1]
        row: Row = {"encoder": name, "of": modality_of(name), "dim": gallery.dim, "specimens": len(gallery)}
        row |= {"bytes": gallery.vectors.nbytes if gallery.counts is None else gallery.counts.nbytes}
        _keep(out, name, gallery, asked, rows, row | _embedded(name, gallery, row["of"], settings), cost)
        if gallery.counts is not None and asked.counts is not None:
            with Cost() as cost:
                rows = aligned(gallery, asked)
            called = ALIGNED.format(name)
            _keep(out, called, gallery, asked, rows, {**row, "encoder": called, "bytes": None}, cost)
    return out


def _keep(out: Searched, name: str, gallery: Gallery, asked: Gallery, rows: tuple[Array, Array], row: Row, cost: Cost) -> None:
    out.galleries[name], out.queries[name], out.found[name] = gallery, asked, rows
    out.cost.append(row | {"queries": len(asked), "search_seconds": cost.seconds, "search_mib": cost.mib})


def aligned(gallery: Gallery, asked: Gallery) -> tuple[Array, Array]:
    """(rows, tied) (q, NEIGHBOURS): the nearest different barcodes in the order of their alignments, then of their cosines."""
    hits = gallery.search(asked, CANDIDATES, fold=True)
    found = rerank(_texts(asked), [text or None for text in _texts(gallery)], hits).unfolded(NEIGHBOURS)
    same = (found.alignment_score == found.alignment_score[:, :1]) & (found.hits.scores == found.hits.scores[:, :1])
    return np.asarray(found.hits.rows), np.asarray(same)


def _texts(gallery: Gallery) -> list[str]:
    assert gallery.columns is not None
    return [text or "" for text in gallery.columns[COLUMN].to_pylist()]


def _embedded(name: str, gallery: Gallery, of: str, settings: EvaluateSettings) -> Row:
    """What embedding some of the gallery's barcodes anew takes; nothing for encoders of images, which take files."""
    if of != "dna":
        return {}
    sample = [text for text in _texts(gallery)[:TIMED] if text]
    encoder = load_barcode_encoder(name, device=settings.device)
    encoder.encode_barcodes(sample[:1])  # what the first call alone costs is not its rate
    with Cost() as cost:
        encoder.encode_barcodes(sample)
    return {"embedded": len(sample), "embed_seconds": cost.seconds, "embed_mib": cost.mib}
