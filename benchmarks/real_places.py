"""The family of a specimen by where and when it was collected, nobody having looked at it: the kernel prior and networks.

    python benchmarks/real_places.py [--data ../shared/data/coi/nltin.parquet] [--seeds 5]

Specimens of the Netherlands with a day (1 January stands for none and is dropped), a place and a family of at least 50. A fifth
of the cells of 0.1 degree is held out, seed by seed, and beside it a fifth of the rows, which leaks: one trap fills many rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from biocosmos.identify.priors import Bandwidths, KernelPrior
from biocosmos.identify.priors.choosing import choose
from biocosmos.jobs.evaluate_places import way
from biocosmos.jobs.place_settings import NETWORKS, PlaceSettings
from biocosmos.places import YEAR, Places, cells
from machine import write_results

LEAST, HELD = 50, 5
NEVER = float("inf")
NOTES = (
    "top-1, nll (nats) and mean average precision over families of held-out specimens whose family was learnt, mean and standard "
    "deviation of the seeds. Chosen: bandwidths by held-out cells within the specimens that are learnt from. MLP: scikit-learn, "
    "standardised place and two harmonics of the day, two layers of 64, early stopping, alpha 0.01. Train place: networks of "
    "this package, the epoch chosen by a tenth of the cells that are learnt from; presence scores (sinr: AN-full, weight 2048; "
    "geo-prior: weight the number of families) as shares by what the loss tends to."
)
Shares = npt.NDArray[np.float64]
Model = Callable[[list[str], Places, Places], tuple[list[str], Shares]]


def specimens(path: Path) -> tuple[npt.NDArray[np.object_], Places]:
    """Families and places."""
    table = pq.read_table(path, columns=["country", "event_date", "decimal_latitude", "decimal_longitude", "family"])
    table = table.rename_columns(["country", "date", "latitude", "longitude", "family"])
    table = table.set_column(1, "date", pc.cast(table["date"], pa.string()))
    table = table.filter(pc.and_(pc.equal(table["country"], "Netherlands"), pc.is_valid(table["family"])))
    table = table.filter(pc.invert(pc.fill_null(pc.ends_with(table["date"], "-01-01"), True)))
    places = Places.of_table(table)
    families = np.array(table["family"].to_pylist(), dtype=object)
    there = places.has_place & places.has_day
    names, counts = np.unique(families[there].astype(str), return_counts=True)
    kept = np.flatnonzero(there & np.isin(families, names[counts >= LEAST]))
    return families[kept], places.take(kept)


def kernel(bandwidths: Bandwidths | None) -> Model:
    """The kernel prior with these bandwidths; None: chosen."""

    def shares(families: list[str], learnt: Places, asked: Places) -> tuple[list[str], Shares]:
        prior = KernelPrior.fit(families, learnt, bandwidths=bandwidths or choose(families, learnt).bandwidths)
        return list(prior.taxa), prior.shares(asked)

    return shares


def frequency(families: list[str], learnt: Places, asked: Places) -> tuple[list[str], Shares]:
    """The overall shares, wherever."""
    names, counts = np.unique(families, return_counts=True)
    return names.tolist(), np.tile(counts / counts.sum(), (len(asked), 1))


def network(families: list[str], learnt: Places, asked: Places) -> tuple[list[str], Shares]:
    """A network of two layers."""

    def inputs(places: Places) -> npt.NDArray[np.float64]:
        turn = 2 * np.pi * places.day / YEAR
        return np.stack([places.latitude, places.longitude, *(f(k * turn) for k in (1, 2) for f in (np.sin, np.cos))], 1)

    scale = StandardScaler().fit(inputs(learnt))
    made = MLPClassifier((64, 64), alpha=0.01, early_stopping=True, max_iter=300, random_state=0)
    made.fit(scale.transform(inputs(learnt)), families)
    return made.classes_.tolist(), made.predict_proba(scale.transform(inputs(asked)))


def trained(method: str) -> Model:
    """A network of this package, as ``train place`` trains it where nothing else is said."""

    def shares(families: list[str], learnt: Places, asked: Places) -> tuple[list[str], Shares]:
        prior = way(PlaceSettings(method=method, device="cpu"))(np.array(families, object), learnt, 0)
        return list(prior.taxa), prior.chances(asked)

    return shares


MODELS: dict[str, Model] = {
    "frequency": frequency,
    "day alone, 15 d": kernel(Bandwidths(NEVER, 15, NEVER, 20)),
    "place alone, 30 km": kernel(Bandwidths(30, NEVER, NEVER, 20)),
    "kernel, 15 km, 15 d, 20 specimens": kernel(Bandwidths(15, 15, NEVER, 20)),
    "kernel, chosen": kernel(None),
    "MLP 64 x 2": network,
    **{f"train place --method {method}": trained(method) for method in NETWORKS},
}


def judged(names: list[str], shares: Shares, truth: npt.NDArray[np.object_]) -> tuple[float, float, float]:
    """top-1 in percent, mean -log p, mean average precision in percent over the families that were asked about."""
    own = np.array([names.index(family) for family in truth])
    precisions = []
    for family in np.unique(own):
        right = (own == family)[np.argsort(-shares[:, family], kind="stable")]
        precisions.append(float((np.cumsum(right)[right] / (np.flatnonzero(right) + 1)).mean()))
    p = np.maximum(shares[np.arange(len(own)), own], 1e-12)
    return 100 * float((shares.argmax(1) == own).mean()), -float(np.log(p).mean()), 100 * float(np.mean(precisions))


def rows(families: npt.NDArray[np.object_], places: Places, seeds: int) -> list[dict[str, Any]]:
    """One of each model and of each way to hold out."""
    squares = cells(places.latitude, places.longitude)
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for held_out in ("cells", "rows"):
        units = squares if held_out == "cells" else np.arange(len(families))
        for seed in range(seeds):
            shuffled = np.random.default_rng(seed).permutation(np.unique(units))
            test = np.isin(units, shuffled[: len(shuffled) // HELD])
            learnt, asked = np.flatnonzero(~test), np.flatnonzero(test)
            asked = asked[np.isin(families[asked], families[learnt])]
            for name, model in MODELS.items():
                said = model(families[learnt].tolist(), places.take(learnt), places.take(asked))
                found.setdefault((held_out, name), []).append(judged(*said, families[asked]))
                print(held_out, seed, name, *(f"{value:.3f}" for value in found[held_out, name][-1]), flush=True)
    measures = ("top-1", "nll", "mAP")
    return [
        {"held out": held_out, "model": name}
        | {
            measure: f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"
            for measure, digits, values in zip(measures, (1, 3, 1), zip(*each, strict=True), strict=True)
        }
        for (held_out, name), each in found.items()
    ]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--data", type=Path, default=Path("../shared/data/coi/nltin.parquet"))
    asked.add_argument("--seeds", type=int, default=5)
    told = asked.parse_args()
    families, places = specimens(told.data)
    said = f"{len(families):,} specimens of {len(set(families))} families. "
    print(write_results("places", rows(families, places, told.seeds), said + NOTES))


if __name__ == "__main__":
    main()
