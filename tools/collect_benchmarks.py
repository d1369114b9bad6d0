"""Write docs/benchmarks.md from what the benchmarks measured last.

    python tools/collect_benchmarks.py

Every benchmark writes benchmarks/results/NAME.md with its command, machine and date; this puts them on one page, each under
what was wanted and what came out, which people write in benchmarks/verdicts.json after looking at the numbers.
"""

from __future__ import annotations

import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
INTRODUCTION = """# Benchmarks, measured

Each section is one command (`python benchmarks/bench_NAME.py`; `make bench` runs all but the real trainings, `real_NAME.py`)
that times biocosmos and its peers side by side in one run and writes its table. Peers run with the same number of threads. CPU
seconds are process time over all threads, which says what a job costs; "wall" is the clock. A target that was missed says so.
This page is made from `benchmarks/results/` by `python tools/collect_benchmarks.py`. Paths are relative to the repository.

Most need no data. Those on real images read PlanktonSet 1.0 (Cowen et al. 2015, NOAA NCEI Accession 0127422; the 30,336 images of
the 2015 National Data Science Bowl) from the folder given with `--data`, by default `../shared/data/planktonset`:
`planktonset.parquet` with the columns `image_id`, `label`, `split` and `image` (the JPEG file), and `taxonomy.csv` with `label`,
`status`, `group` and ranks.
"""


def main() -> None:
    verdicts = json.loads((REPOSITORY / "benchmarks" / "verdicts.json").read_text(encoding="utf-8"))
    parts = [INTRODUCTION]
    for name, verdict in verdicts.items():
        body = (RESULTS / f"{name}.md").read_text(encoding="utf-8").split("\n", 1)[1].strip()
        parts.append(f"## {verdict['title']}\n\nWanted: {verdict['wanted']}\n\n**{verdict['came_out']}**\n\n{body}\n")
    page = REPOSITORY / "docs" / "benchmarks.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    print(page.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
