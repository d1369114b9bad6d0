"""Few-shot: how well do k images of each taxon name the rest? SimpleShot on the vectors of images, over seeded folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.few_shot.page import page
from biocosmos.evaluate.numbers.caveats import listed, taxa_text
from biocosmos.evaluate.numbers.targets import Target, finest_common
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.identify.namers.prototypes import SimpleShot
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
SHOTS, FOLDS = (1, 5), 5
QUERIES = 4096


def few_shot(
    galleries: Mapping[str, Gallery],
    *,
    shots: Sequence[int] = SHOTS,
    folds: int = FOLDS,
    seed: int = 0,
    rank: str | None = None,
) -> Report:
    """Accuracy of SimpleShot (identify.prototypes, arXiv:1911.04623) with k training images a taxon, over ``folds`` folds.

    galleries: encoder -> labelled vectors of images, of the same specimens; rank: the finest that half the specimens have by
    default. In each fold k specimens of every taxon are drawn to train on, and all other specimens of those taxa are named.
    Folds are drawn with the seeds seed, seed + 1, ...; the draw depends on nothing but the seed, the ids and the taxa, so that
    every encoder sees the same folds, and the k images of a small k are among those of a larger one. Taxa with too few
    specimens to train on k and name one are left out at that k, and counted.

    Tables: summary (mean over folds and standard deviation with n - 1), folds (every fold), per_taxon (mean over folds),
    differences (from the first encoder, fold by fold). Raises BiocosmosError for shots or folds below 1, an unknown rank,
    encoders with different specimens or labels, and when no taxon has enough specimens.
    """
    shots = sorted({int(k) for k in shots})
    if not shots or shots[0] < 1 or folds < 1:
        raise BiocosmosError(f"few-shot needs at least 1 shot and 1 fold, not shots {list(shots)} and {folds} folds")
    if not galleries:
        raise BiocosmosError("few-shot needs at least one encoder: pass {'name': gallery}")
    first = next(iter(galleries))
    target = finest_common(galleries[first], rank, "few-shot")
    ids = galleries[first].ids.astype(str)
    same = {name: _rows_of(ids, target, gallery, first, name) for name, gallery in galleries.items()}
    places = [_draw(ids, target.query, np.random.default_rng(seed + fold)) for fold in range(folds)]
    rows: list[Row] = []
    taxon_rows: list[Row] = []
    left_out = {}
    counts = target.query_counts()
    for k in shots:
        enough = counts > k
        left_out[k] = int(((counts > 0) & ~enough).sum())
        if int(enough.sum()) < 2:
            continue
        used = (target.query >= 0) & enough[np.maximum(target.query, 0)]
        for name, gallery in galleries.items():
            vectors = gallery.vectors[same[name]]
            shares = []
            for fold, place in enumerate(places):
                hits, asked = _fold(vectors, target.query, used & (place < k), used & (place >= k), len(target))
                share = hits[enough] / asked[enough]
                shares.append(share)
                rows += [
                    {"encoder": name, "shots": k, "fold": fold, "seed": seed + fold, "average": average, "value": value}
                    | {"queries": int(asked.sum()), "taxa": int(enough.sum())}
                    for average, value in (("micro", float(hits.sum() / asked.sum())), ("macro", float(share.mean())))
                ]
            for taxon, mean, deviation in zip(np.flatnonzero(enough), np.mean(shares, axis=0), _deviation(np.array(shares))):
                taxon_rows.append(
                    {
                        "encoder": name,
                        "shots": k,
                        "taxon": str(target.names[taxon]),
                        "path": str(target.paths[taxon]),
                        "specimens": int(counts[taxon]),
                        "mean": float(mean),
                        "deviation": float(deviation),
                    }
                )
    if not rows:
        raise BiocosmosError(
            f"few-shot needs at least two taxa with more than {shots[0]} labelled specimens at {target.name}: choose another part"
        )
    table = pa.Table.from_pylist(rows)
    provenance = {
        "protocol": "few-shot",
        "encoders": {name: dict(gallery.provenance) for name, gallery in galleries.items()},
        "main_target": target.name,
        "split_hash": split_hash(galleries[first].provenance),
        "options": {"shots": list(shots), "folds": folds, "seeds": [seed + fold for fold in range(folds)]},
    }
    tables = {
        "summary": _summary(rows),
        "folds": table,
        "per_taxon": pa.Table.from_pylist(taxon_rows),
        "differences": _differences(rows, first),
    }
    caveats = _caveats(rows, left_out, target, folds)
    title = f"Few-shot with {' and '.join(galleries)}"
    return Report("few_shot", title, tables, caveats, provenance, page)


def _rows_of(ids: Array, target: Target, gallery: Gallery, first: str, name: str) -> Array:
    """(n,) rows of ``gallery`` in the order of ids; refuses other specimens or labels."""
    theirs = gallery.ids.astype(str)
    order = np.argsort(theirs, kind="stable")
    place = np.minimum(np.searchsorted(theirs[order], ids), max(len(order) - 1, 0))
    if len(theirs) != len(ids) or not np.array_equal(theirs[order][place], ids):
        raise BiocosmosError(f"{first} and {name} are not of the same specimens: embed all of them with both encoders")
    rows: Array = order[place]
    if not np.array_equal(finest_common(gallery, target.name, "few-shot").query[rows], target.query):
        raise BiocosmosError(f"{first} and {name} have different labels for the same ids: select both from one collection")
    return rows


def _draw(ids: Array, taxa: Array, rng: np.random.Generator) -> Array:
    """(n,) place of each specimen within its taxon in a random order of them: those with places under k are trained on.

    The order is drawn over sorted ids, so that it does not depend on the order of rows.
    """
    by_id = np.argsort(ids, kind="stable")
    key = np.empty(len(ids))
    key[by_id] = rng.random(len(ids))
    order = np.lexsort((key, taxa))
    starts = np.searchsorted(taxa[order], taxa[order], "left")
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(len(ids)) - starts
    return place


def _fold(vectors: Array, taxa: Array, train: Array, test: Array, count: int) -> tuple[Array, Array]:
    """(count,) right answers and queries of each taxon."""
    model = SimpleShot.fit(vectors[train], taxa[train].astype(np.int32))
    rows = np.flatnonzero(test)
    right = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), QUERIES):
        part = rows[start : start + QUERIES]
        right[start : start + QUERIES] = model.candidates[model.scores(vectors[part]).argmax(axis=1)] == taxa[part]
    return np.bincount(taxa[rows[right]], minlength=count), np.bincount(taxa[rows], minlength=count)


def _deviation(values: Array) -> Array:
    """Standard deviation over the first axis with n - 1; NaN of one."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def _cells(rows: Sequence[Row]) -> dict[tuple[str, int, str], list[Row]]:
    cells: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["encoder"], row["shots"], row["average"]), []).append(row)
    return cells


def _summary(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "encoder": encoder,
                "shots": shots,
                "average": average,
                "mean": float(np.mean([row["value"] for row in part])),
                "deviation": float(_deviation(np.array([row["value"] for row in part]))),
                "folds": len(part),
                "queries": part[0]["queries"],
                "taxa": part[0]["taxa"],
            }
            for (encoder, shots, average), part in _cells(rows).items()
        ]
    )


_DIFFERENCES = pa.schema(
    [
        ("baseline", pa.string()),
        ("encoder", pa.string()),
        ("shots", pa.int64()),
        ("average", pa.string()),
        ("mean", pa.float64()),
        ("deviation", pa.float64()),
        ("better_folds", pa.int64()),
        ("folds", pa.int64()),
    ]
)


def _differences(rows: Sequence[Row], first: str) -> pa.Table:
    cells = _cells(rows)
    out = []
    for (encoder, shots, average), part in cells.items():
        if encoder == first:
            continue
        gain = np.array([row["value"] for row in part]) - np.array([row["value"] for row in cells[first, shots, average]])
        out.append(
            {
                "baseline": first,
                "encoder": encoder,
                "shots": shots,
                "average": average,
                "mean": float(gain.mean()),
                "deviation": float(_deviation(gain)),
                "better_folds": int((gain > 0).sum()),
                "folds": len(part),
            }
        )
    return pa.Table.from_pylist(out, schema=_DIFFERENCES)


def _caveats(rows: Sequence[Row], left_out: Mapping[int, int], target: Target, folds: int) -> list[str]:
    out = []
    lost = [f"{taxa_text(count)} with {k} training image{'' if k == 1 else 's'}" for k, count in left_out.items() if count]
    if lost:
        out.append(
            f"Taxa with too few specimens at {target.name} were left out: {listed(lost)}. Accuracies with different numbers of "
            "taxa are not comparable: more taxa are harder."
        )
    null = int((target.query < 0).sum())
    if null:
        out.append(f"{null:,} specimens have no {target.name} and were left out.")
    out.append(
        f"The deviation is over {folds} folds of the same specimens: it says how much the choice of training images matters, and "
        "is not an interval for other specimens. Folds share their test images."
    )
    out.append(
        "All specimens of the part were used. For an encoder trained on them the numbers are too good: use a part that it has "
        "not seen."
    )
    return out
