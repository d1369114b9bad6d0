"""Real trainings of heads on PlanktonSet with its published split: the table of heads, novelty, promises.

    python benchmarks/real_heads.py --work /tmp/heads [--data ../shared/data/planktonset] [--only frozen] [--only fine]

Runs the commands listed below, which go on where they were stopped and do nothing when they are done, then measures every head
on the test part. Nothing is chosen on the test part: recipes were found on validation specimens. Hours on two cores; not a part
of ``make bench``. ``make_foreign.py`` makes the folder ``foreign``.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset"
BASE = "efficientnet-lite0"
RANKS = "--ranks status,group,label"
PREPARE = (
    "ingest {data}/planktonset.parquet --taxonomy {data}/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    f"embed plankton.cosmos --encoder {BASE} --backend openvino",
)
FROZEN = "flat,marginalised,conditional,multitask,sbacnn"
FINE = "flat,marginalised,multitask,bcnn,hbcnn,bacnn,sbacnn"
RECIPE = "--size 96 --freeze-stages 3 --cache-views 6 --cache-folder stages --epochs 6 --lr 3e-4 --head-lr-factor 10"
COMMANDS = {
    "frozen": (
        f"train heads plankton.cosmos --freeze --head {FROZEN} {RANKS} -o frozen",
        "evaluate plankton.cosmos {frozen} -o frozen-report --report frozen.html",
    ),
    "fine": (
        f"train heads plankton.cosmos --head {FINE} {RANKS} {RECIPE} -o fine",
        "evaluate plankton.cosmos {fine} -o fine-report --report fine.html",
    ),
    "promises": ("evaluate plankton.cosmos --head fine/marginalised --protocol promises -o promises-report",),
    "novelty": (
        "evaluate plankton.cosmos --head fine/outliers --protocol leave-one-class-out --folds 4 --far foreign -o novelty-report",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=COMMANDS, action="append", help="these parts; default all")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for command in PREPARE:
        if not (command.startswith("ingest") and (options.work / "plankton.cosmos").exists()):
            run(command.format(data=options.data.resolve()), options.work)
    parts = options.only or list(COMMANDS)
    heads = {
        name: " ".join(f"--head {name}/{kind}" for kind in kinds.split(","))
        for name, kinds in (("frozen", FROZEN), ("fine", FINE))
    }
    for part in parts:
        for command in COMMANDS[part]:
            run(command.format(**heads), options.work)
    for part in parts:
        rows = pq.read_table(options.work / f"{part}-report" / "summary.parquet").to_pylist()
        note = "\n".join(f"    biocosmos {command.format(**heads)}" for command in COMMANDS[part])
        write_results(f"heads_{part}", rows, f"PlanktonSet 1.0, published split, test part.\n\n{note}")


def run(command: str, work: Path) -> None:
    """Run a command of biocosmos in the folder ``work``."""
    print(f"$ biocosmos {command}", flush=True)
    subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


if __name__ == "__main__":
    main()
