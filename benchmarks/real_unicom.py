"""Real trainings on PlanktonSet with its published split: UNICOM, MLCD, and the supervised margin loss as reference.

    python benchmarks/real_unicom.py --work unicom [--data ../shared/data/planktonset] [--only supervised]

Runs the commands listed below, which go on where they were stopped and do nothing when they are done, then measures every
encoder: test specimens against training specimens, cosine, one nearest neighbour. Nothing is chosen on the test part: the
number of clusters comes from the sweep, which looks at vectors of the validation part without labels; the other settings were
found on validation specimens. Hours on two cores; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import biocosmos as bc
from biocosmos import evaluate
from biocosmos.embed import embed
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.registry import build_encoder, load_towers
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset"
BASE, SIZE = "efficientnet-lite0", 96
COUNTS = "100,500,1000,2000,3000,5000,10000"
RECIPE = f"--size {SIZE} --freeze-stages 3 --batch-norm still --centre-lr-factor 3 --ema 0.998 --dim 512 --start whiten"
PREPARE = (
    "ingest {data}/planktonset.parquet --taxonomy {data}/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    f"embed plankton.cosmos --encoder {BASE} --backend openvino",
    f"train unicom plankton.cosmos --epochs 6 --start plain --sweep {COUNTS} -o sweep",
)
TRAININGS = {
    "supervised": f"train unicom plankton.cosmos --taxa label {RECIPE} --epochs 5 -o supervised",
    "unicom": f"train unicom plankton.cosmos --clusters {{k}} --views 4 --whiten {RECIPE} --epochs 5 -o unicom",
    "mlcd": f"train unicom plankton.cosmos --loss mlcd --positives 4 --labels unicom/labels.parquet {RECIPE} --epochs 3 -o mlcd",
}
FIGURES = (("label", 1, "micro"), ("label", 5, "micro"), ("label", 1, "macro"), ("group", 1, "micro"))
"""(target, k, average) of the table."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--only", choices=TRAININGS, action="append", help="make these trainings, and measure those that are there"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for command in PREPARE:
        if not (command.startswith("ingest") and (options.work / "plankton.cosmos").exists()):
            run(command.format(data=options.data.resolve()), options.work)
    chosen = json.loads((options.work / "sweep" / "provenance.json").read_text(encoding="utf-8"))["chosen"]["clusters"]
    for name, command in TRAININGS.items():
        if options.only is None or name in options.only:
            run(command.format(k=chosen), options.work)
    collection = bc.Collection.open(options.work / "plankton.cosmos")
    names = {BASE: BASE}
    for name, place in {BASE: BASE, **{name: str(options.work / name) for name in TRAININGS}}.items():
        if name != BASE and not (options.work / name / "run.json").exists():
            continue
        shown = f"{name} at {SIZE} pixels"
        if shown not in collection.encoders:
            embed(collection, build_encoder(shown, at_size(load_towers(place), SIZE), backend="openvino"))
        names[shown] = shown
    rows = [measure(collection, shown, encoder) for shown, encoder in names.items()]
    commands = [command.format(data="DATA", k=chosen) for command in (*PREPARE, *TRAININGS.values())]
    note = "PlanktonSet 1.0, published split: 21,278 to search, 4,580 val and 4,478 test to ask, 121 classes; one nearest "
    note += "neighbour by cosine. Intervals: 95 %, bootstrap. One run of each training, one seed.\n\n"
    note += "\n".join(f"    biocosmos {command}" for command in commands)
    write_results("unicom", rows, note)


def run(command: str, work: Path) -> None:
    """Run a command of biocosmos in the folder ``work``."""
    print(f"$ biocosmos {command}", flush=True)
    subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


def measure(collection: bc.Collection, shown: str, encoder: str) -> dict[str, object]:
    """A row of the table: recall at label and group of test against train, and what validation says."""
    gallery = collection.gallery(encoder, split="train", columns=["group"])
    row: dict[str, object] = {"encoder": shown}
    for part in ("val", "test"):
        queries = collection.gallery(encoder, split=part, columns=["group"])
        report = evaluate.retrieval(gallery, queries, ks=(1, 5), ranks=["label"], groups=["group"], examples=0)
        for target, k, average in FIGURES:
            found = report.rows(target=target, k=k, average=average, averaged_over="queries" if average == "micro" else target)
            best = next(r for r in found if r["over"] == "all")
            text = f"{best['value']:.3f}"
            if (target, k, average) == FIGURES[0]:
                text += f" ({best['low']:.3f} to {best['high']:.3f})"
            row[f"{part} {target} {'macro ' if average == 'macro' else ''}recall@{k}"] = text
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
