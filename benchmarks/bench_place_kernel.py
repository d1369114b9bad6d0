"""The kernel prior over a million specimens: shares at a thousand places, how long, how much memory, how far from the exact sum.

    python benchmarks/bench_place_kernel.py [--specimens 1000000] [--places 1000]

Made-up specimens of 1,000 taxa in 20,000 traps between 36 and 70 degrees north, each scattered by 0.01 degrees, so that nearly
no two share a place, which is the hardest case; on whole days of a year.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np

from biocosmos.identify.priors import Bandwidths, KernelPrior
from biocosmos.places import Places
from biocosmos.places.kernel import kernel
from machine import write_results

TAXA, TRAPS, CHECKED = 1000, 20_000, 20
NOTES = (
    "CPU seconds of one process; memory: the most that the process held. Difference: the largest sum over taxa of differences "
    "to the exact sum over all specimens, of 20 places; specimens beyond six bandwidths are left out."
)


def specimens(n: int) -> tuple[np.ndarray, Places]:
    """(n,) taxa, and their places."""
    rng = np.random.default_rng(0)
    traps = np.stack([rng.uniform(36, 70, TRAPS), rng.uniform(-10, 40, TRAPS)], 1)
    latitude, longitude = traps[rng.choice(TRAPS, n, p=rng.dirichlet(np.full(TRAPS, 0.3)))].T + rng.normal(0, 0.01, (2, n))
    taxa = np.array([f"taxon {i:04d}" for i in range(TAXA)], object)[rng.zipf(1.3, n) % TAXA]
    day = np.floor(rng.uniform(0, 365, n)) + 0.5
    return taxa, Places.of_numbers(np.stack([latitude, longitude, day, np.full(n, np.nan)], 1))


def megabytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measured(taxa: np.ndarray, places: Places, asked: int, kilometres: float) -> dict[str, Any]:
    """One row."""
    began = time.process_time()
    prior = KernelPrior.fit(taxa, places, bandwidths=Bandwidths(kilometres, 15))
    rows = np.random.default_rng(1).choice(len(places), asked, replace=False)
    here = places.take(rows)
    prior.shares(here.take(slice(0, 1)))
    ready, before = time.process_time(), megabytes()
    shares = prior.shares(here)
    took, after = time.process_time() - ready, megabytes()
    m, difference = prior.bandwidths.specimens, 0.0
    for row in range(CHECKED):
        each = np.bincount(prior.taxon, kernel(here.take([row]), prior.where, prior.bandwidths)[0], minlength=len(prior.taxa))
        exact = (each + m * prior.base) / (each.sum() + m)
        difference = max(difference, float(np.abs(exact - shares[row]).sum()))
    return {
        "km": f"{kilometres:g}",
        "days": "15",
        "specimens": f"{len(places):,}",
        "places": f"{asked:,}",
        "fit and order, s": f"{ready - began:.1f}",
        "shares, s": f"{took:.2f}",
        "memory before and after, MB": f"{before}, {after}",
        "difference": f"{difference:.1e}",
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--specimens", type=int, default=1_000_000)
    asked.add_argument("--places", type=int, default=1000)
    told = asked.parse_args()
    taxa, places = specimens(told.specimens)
    print(write_results("place_kernel", [measured(taxa, places, told.places, h) for h in (15.0, 30.0, 120.0)], NOTES))


if __name__ == "__main__":
    main()
