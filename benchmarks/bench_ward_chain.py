"""What Ward's tree costs without a matrix of distances: CPU seconds for invented vectors, as many as BIOSCAN-5M clusters.

python benchmarks/bench_ward_chain.py            # 5,000 to 47,260 rows of 50 numbers: two minutes
"""

from __future__ import annotations

import time

import numpy as np

from biocosmos.discover.clusters.large import weighted_ward

ROWS, DIMS, OF_A_SPECIES = (5_000, 10_000, 20_000, 47_260), 50, 14


def main() -> None:
    """Print rows and seconds, a line each."""
    random = np.random.default_rng(0)
    for rows in ROWS:
        centres = random.normal(size=(rows // OF_A_SPECIES, DIMS))
        points = centres[random.integers(0, len(centres), rows)] + 0.3 * random.normal(size=(rows, DIMS))
        start = time.process_time()
        weighted_ward(points.astype(np.float32), np.ones(rows))
        print(f"{rows:,} rows: {time.process_time() - start:.1f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
