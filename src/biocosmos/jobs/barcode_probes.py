"""The probes of the BarcodeBERT papers on the embeddings of a report on barcodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.barcode.probes import ProbeFigures, clustering_probe, linear_probe, nearest_probe
from biocosmos.evaluate.barcode.provisional import without_provisional
from biocosmos.evaluate.barcode.report import PROBES
from biocosmos.evaluate.numbers.targets import rank_targets
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

Row = dict[str, Any]
Array = npt.NDArray[Any]
NEAREST, LINEAR, CLUSTERING = "nearest", "linear", "clustering"
SHOWN = {
    NEAREST: "1-NN, unseen species",
    LINEAR: "linear, seen species",
    CLUSTERING: "zero-shot clustering, all queries",
}
MOST_NUMBERS = 1024
"""Dimensions that a linear probe is trained on: counts of k-mers have more, and take hours."""


def probe_all(
    galleries: dict[str, Gallery], queries: dict[str, Gallery], probes: Sequence[str], *, provisional: bool, seed: int
) -> tuple[pa.Table, list[str]]:
    """(rows of the table of probes, sentences on what was not made): nearest, genus of unseen species; linear, species of
    seen ones; clustering, adjusted mutual information of Ward's clusters of all queries at every rank."""
    rows: list[Row] = []
    notes: list[str] = []
    with progress("probes", total=len(galleries) * len(probes), unit="probes") as bar:
        for name, gallery in galleries.items():
            for probe in probes:
                if probe == LINEAR and gallery.dim > MOST_NUMBERS:
                    notes.append(f"No linear probe of {name}: {gallery.dim:,} numbers are more than {MOST_NUMBERS:,}.")
                else:
                    rows += [{"encoder": name, **row} for row in _probe(probe, gallery, queries[name], provisional, seed)]
                bar.advance()
    return pa.Table.from_pylist(rows, PROBES), notes


def _probe(probe: str, gallery: Gallery, asked: Gallery, provisional: bool, seed: int) -> Iterator[Row]:
    targets = {each.name: each if provisional else without_provisional(each)[0] for each in rank_targets(gallery, asked, None)}
    species = targets.get("species")
    if probe == CLUSTERING:
        names = {rank: _names(each.names, each.query) for rank, each in targets.items()}
        found = clustering_probe(_rows(asked), names, count_by="species" if species else list(targets)[-1], seed=seed)
        for rank, value in found.items():
            yield {"probe": SHOWN[probe], "rank": rank, "measure": "AMI", "value": value, "specimens": len(asked)}
    elif species is not None:
        able = species.answerable(all_vs_all=False)
        mask = able if probe == LINEAR else (species.query >= 0) & ~able
        target = species if probe == LINEAR else targets.get("genus")
        if target is None or not (mask & (target.query >= 0)).any():
            return
        mine, theirs = np.where(mask, target.query, -1), target.gallery
        said = (_names(target.names, theirs), _rows(asked), _names(target.names, mine))
        if probe == LINEAR:
            figures = linear_probe(gallery.vectors, said[0], asked.vectors, said[2], recipe="vectors", seed=seed)
        else:
            figures = nearest_probe(_rows(gallery), *said)
        yield from _told(SHOWN[probe], target.name, figures)


def _told(probe: str, rank: str, figures: ProbeFigures) -> Iterator[Row]:
    for measure, value in (
        *(("accuracy", figures.accuracy), ("balanced accuracy", figures.balanced), ("F1, macro", figures.f1_macro)),
    ):
        yield {"probe": probe, "rank": rank, "measure": measure, "value": value, "specimens": figures.queries}


def _rows(gallery: Gallery) -> Any:
    return gallery.vectors if gallery.counts is None else gallery.counts


def _names(names: Array, codes: Array) -> Array:
    out = np.full(len(codes), None, object)
    out[codes >= 0] = names[codes[codes >= 0]]
    return out
