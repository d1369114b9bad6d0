"""BIOSCAN-5M's benchmarks of barcodes on other real COI barcodes: masked pre-training, a linear probe, clusters.

    python benchmarks/real_bioscan.py --work bioscan [--data nltin.parquet] [--only masked] [--as-they-are]

Runs the trainings listed below, which go on where they were stopped and do nothing when they are done, then ``biocosmos benchmark
barcodes`` and ``benchmark clustering``, and a linear probe of 20 epochs in place of 200: a processor trains it. Nothing is chosen
on test or test_unseen. ``--as-they-are`` trains nothing and measures the encoders whose training is done. About half
an hour of one processor; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import biocosmos as bc
from biocosmos.evaluate.barcode.probes import LinearRecipe, linear_probe, projected
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/coi/nltin.parquet"
LINEAR = LinearRecipe(1.0, 0.95, 1e-9, epochs=20)
"""The published recipe for vectors, with 20 epochs in place of 200."""
COUNTS = ("kmer:6", "kmer:7")
MODEL = "--split train+pretrain --k 4 --epochs 4 --device cpu"
TRAININGS = {
    "masked": f"--objective masked {MODEL}",
    "mae": f"--objective mae {MODEL}",
    "contrastive": "--device cpu --precision float32",
}
"""The transformer is BarcodeBERT's with 4 layers of 256 numbers; the last is the default of 'train barcode', a bag of k-mers."""
COLLECTION = "nltin.cosmos"
SPACES = {"umap 50 + ward": "UMAP and Ward", "unreduced + ward": "Ward"}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=TRAININGS, action="append", help="make these trainings alone")
    parser.add_argument("--as-they-are", action="store_true", help="train nothing, measure what is there")
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / COLLECTION).exists():
        run(f"ingest {options.data.resolve()} -o {COLLECTION}", work)
        run(f"split {COLLECTION} --method column --column split", work)
    for name, settings in TRAININGS.items():
        if not options.as_they_are and (options.only is None or name in options.only):
            run(f"train barcode {COLLECTION} -o {name} {settings}", work)
    learnt = [name for name in TRAININGS if (work / name / "run.json").exists()]
    encoders = [*COUNTS, *learnt]
    run(f"benchmark barcodes {COLLECTION} -o models --no-linear {' '.join(f'-e {name}' for name in encoders)}", work)
    named = " ".join(f"--dna {name}" for name in encoders)
    run(f"benchmark clustering {COLLECTION} -o clusters --reducer umap:50,none {named}", work)
    collection = bc.Collection.open(work / COLLECTION)
    rows = [row_of(collection, name, work) for name in encoders]
    commands = "\n".join(f"    biocosmos train barcode {COLLECTION} -o {name} {TRAININGS[name]}" for name in learnt)
    write_results("bioscan", rows, f"{NOTE}\n\n{commands}")


NOTE = (
    "nltin, 12,158 COI records of land invertebrates; keys: part train; species of test (1,030), genus and family of "
    "test_unseen (1,526, new species) by the nearest; + alignment: the nearest by k-mers in the order of their alignments; "
    "linear: a softmax on frozen vectors, 20 epochs (k-mers projected to 512 at random); AMI: test and test_unseen together, as "
    "many clusters as species, by UMAP to 50 numbers and Ward's tree, or by Ward's tree alone. One run, one seed; nothing was "
    "chosen on these parts."
)


def run(command: str, work: Path) -> None:
    """Run a command of biocosmos in the folder ``work``."""
    print("biocosmos", command, flush=True)
    subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


def row_of(collection: bc.Collection, name: str, work: Path) -> Row:
    """A line of the table for one encoder."""
    tasks = bc.evaluate.read_tables(work / "models")["tasks"].to_pylist()
    scores = bc.evaluate.read_tables(work / "clusters")["scores"].to_pylist()
    row: Row = {"encoder": name}
    for queries, rank in (("seen", "species"), ("unseen", "genus"), ("unseen", "family")):
        for called, how in ((name, ""), (f"{name} + alignment", " + alignment")):
            found = [each for each in tasks if (each["encoder"], each["queries"], each["rank"]) == (called, queries, rank)]
            if found:
                row[f"{queries} {rank}{how}"] = round(found[0]["accuracy"], 3)
    row["seen species, linear"] = linear(collection, name, work)
    for setting, called in SPACES.items():
        for rank in ("family", "genus", "species", "dna_bin"):
            found = [each for each in scores if (each["encoder"], each["setting"], each["rank"]) == (name, setting, rank)]
            row[f"AMI {'BIN' if rank == 'dna_bin' else rank}, {called}"] = round(found[0]["ami"], 3)
    print(row, flush=True)
    return row


def linear(collection: bc.Collection, name: str, work: Path) -> float:
    """Accuracy of a softmax on frozen vectors, species of the seen test part; kept, since it takes a while."""
    encoder = name if name in COUNTS else (work / name).as_posix()
    stored = next(each for each in (name, encoder) if each in collection.encoders)
    digest = collection.encoders[stored]["digest"]
    path = work / "linear" / f"{name.replace(':', '')}-{digest}.json"
    if not path.exists():
        sides = [collection.gallery(stored, split=part, columns=["species"]) for part in ("train", "test")]
        features = [projected(side.vectors if side.counts is None else side.counts) for side in sides]
        species = [side.columns["species"].to_pylist() if side.columns is not None else [] for side in sides]
        found = linear_probe(features[0], species[0], features[1], species[1], recipe=LINEAR)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"accuracy": found.accuracy}), encoding="utf-8")
    return round(float(json.loads(path.read_text(encoding="utf-8"))["accuracy"]), 3)


if __name__ == "__main__":
    main()
