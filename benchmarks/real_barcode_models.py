"""Learnt encoders of barcodes beside counts of k-mers on real COI barcodes: three probes of the BarcodeBERT papers.

    python benchmarks/real_barcode_models.py --work barcode_models [--data nltin.parquet] [--only cnn] [--short]

Runs the trainings listed below, which go on where they were stopped and do nothing when they are done, then measures. The
recipes are compared on the split ``dev``: one species of two fifths of the genera with several is taken out of the training part,
and its genus is asked for. Nothing is chosen on the parts test and test_unseen. ``--short``: one epoch each, to see that it runs.
About an hour of one processor; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import biocosmos as bc
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.evaluate.barcode.probes import LinearRecipe, clustering_probe, linear_probe, nearest_probe
from biocosmos.specimens import guard
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/coi/nltin.parquet"
ASKED_GENERA = 2 / 5
PROJECTED = 512
"""Numbers that k-mer counts are projected to at random, for a linear probe that takes less than an hour."""
LINEAR = LinearRecipe(1.0, 0.95, 1e-9, epochs=20)
"""The published recipe for vectors, with 20 epochs in place of 200: a processor trains it."""
BASE = "--split dev:train --device cpu --precision float32"
OVERLAPPING = "--network transformer --stride 1 --bag"
TRAININGS = {
    "masked": f"{BASE} --objective masked --epochs 1",
    "cnn": f"{BASE} --network cnn --objective species --epochs 8 --lr 0.001",
    "overlapping": f"{BASE} {OVERLAPPING} --window 12 --epochs 8 --precision bfloat16",
    "bag": f"{BASE}",
    "both": f"{BASE} --teacher-weight 1",
    "distilled": f"{BASE} --objective distil",
    "default": "--device cpu --precision float32",
}
COUNTS = "kmer:7"
Rows = dict[str, list[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--only", choices=TRAININGS, action="append", help="make these trainings, and measure those that are there"
    )
    parser.add_argument("--short", action="store_true", help="one epoch of each, to see that it runs")
    parser.add_argument("--nearest", action="store_true", help="nearest neighbours alone, without linear probe and clustering")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    collection = prepared(options.work, options.data.resolve())
    for name, settings in TRAININGS.items():
        if options.only is None or name in options.only:
            more = " --epochs 1" if options.short else ""
            kept = " ".join(settings.split("--epochs")[0].split()) if options.short else settings
            run(f"train barcode coi.cosmos -o {name} {kept}{more}", options.work)
    made = [name for name in TRAININGS if (options.work / name / "run.json").exists()]
    rows = [kept_figures(collection, name, options.work, options.nearest) for name in [COUNTS, *made]]
    commands = "\n".join(f"    biocosmos train barcode coi.cosmos -o {name} {settings}" for name, settings in TRAININGS.items())
    note = "nltin, 12,159 COI records of land invertebrates; keys: part train (8,579), species of test (1,030), genus and family "
    note += (
        "of test_unseen (1,526, new species), all by the nearest vector; linear: a softmax on frozen vectors, 20 epochs (k-mers "
    )
    note += (
        f"projected to {PROJECTED} at random); AMI: UMAP and Ward over test and test_unseen, as many clusters as species. dev: "
    )
    note += (
        "genus of species that were taken out of train, on which recipes were compared. One run, one seed. Trainings without "
        "a row were not finished here; "
        "that of the row overlapping drew every barcode once an epoch.\n\n" + commands
    )
    write_results("barcode_models", rows, note)


def prepared(work: Path, data: Path) -> bc.Collection:
    """The collection with its published parts and the split ``dev``."""
    if not (work / "coi.cosmos").exists():
        run(f"ingest {data} -o coi.cosmos", work)
        run("split coi.cosmos --method column --column split", work)
    collection = bc.Collection.open(work / "coi.cosmos")
    if not (work / "dev").exists():
        (work / "dev").mkdir()
        learnt, asked = without_some_species(collection)
        (work / "dev" / "train.txt").write_text("\n".join(learnt) + "\n", encoding="utf-8")
        held = [*asked, *collection.table(["id"], split="val")["id"].to_pylist()]
        (work / "dev" / "val.txt").write_text("\n".join(held) + "\n", encoding="utf-8")
        run("split coi.cosmos --name dev --method files --files dev", work)
    return bc.Collection.open(work / "coi.cosmos")


def without_some_species(collection: bc.Collection) -> tuple[list[str], list[str]]:
    """(ids that are learnt from, ids of species that are asked about): no barcode is on both sides."""
    rows = collection.table(["id", "barcode", "genus", "species"], split="train").to_pylist()
    species: dict[str, set[str]] = {}
    for row in rows:
        if row["genus"] and row["species"]:
            species.setdefault(row["genus"], set()).add(row["species"])
    several = sorted(genus for genus, names in species.items() if len(names) > 1)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(np.array(several))[: int(len(several) * ASKED_GENERA)]
    out = {sorted(species[genus])[rng.integers(len(species[genus]))] for genus in chosen}
    learnt = [row for row in rows if row["species"] not in out]
    shared = {row["barcode"] for row in learnt}
    asked = {row["barcode"]: row["id"] for row in reversed(rows) if row["species"] in out and row["barcode"] not in shared}
    return [row["id"] for row in learnt], sorted(asked.values())


def run(command: str, work: Path) -> None:
    """Run a command of biocosmos in the folder ``work``."""
    print("biocosmos", command, flush=True)
    subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


def kept_figures(collection: bc.Collection, name: str, work: Path, nearest: bool) -> dict[str, Any]:
    """A row of the table, measured once for the weights that are there."""
    digest = load_barcode_encoder(name if name == COUNTS else str(work / name), device="cpu").digest
    path = work / "figures" / f"{name.replace(':', '')}-{digest}{'-nearest' if nearest else ''}.json"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(measured(collection, name, work, nearest)), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measured(collection: bc.Collection, name: str, work: Path, nearest: bool) -> dict[str, Any]:
    """A row of the table."""
    place = name if name == COUNTS else str(work / name)
    for part in ("test", "test_unseen"):
        guard.refuse_part(collection, part, place)
    encoder = load_barcode_encoder(place, device="cpu")
    columns = ["id", "barcode", "dna_bin", "family", "genus", "species"]
    parts = ("train", "test", "test_unseen", "dev:train", "dev:val")
    of: dict[str, Rows] = {part: collection.table(columns, split=part).to_pydict() for part in parts}
    began = time.process_time()
    vectors = encoded(encoder, of)
    seconds = time.process_time() - began
    barcodes = len({barcode for part in parts for barcode in of[part]["barcode"]})
    keys, row = vectors["train"], {"encoder": name}
    row["test species, nearest"] = round(
        nearest_probe(keys, of["train"]["species"], vectors["test"], of["test"]["species"]).accuracy, 3
    )
    for rank in ("genus", "family"):
        unseen = nearest_probe(keys, of["train"][rank], vectors["test_unseen"], of["test_unseen"][rank])
        row[f"unseen {rank}, nearest"] = round(unseen.accuracy, 3)
        row[f"mean over {'genera' if rank == 'genus' else 'families'}"] = round(unseen.balanced, 3)
    if not nearest:
        row |= slower_probes(of, vectors)
    new = ~np.isin(of["dev:val"]["species"], of["dev:train"]["species"])
    held = np.where(new, np.array(of["dev:val"]["genus"], object), None)
    if name != "default":
        row["dev genus, nearest"] = round(
            nearest_probe(vectors["dev:train"], of["dev:train"]["genus"], vectors["dev:val"], held).accuracy, 3
        )
    row["barcodes/s encoded"] = round(barcodes / seconds)
    summary = work / name / "run.json"
    if summary.exists():
        row["training, minutes"] = round(json.loads(summary.read_text(encoding="utf-8"))["history"]["seconds"] / 60, 1)
    print(row, flush=True)
    return row


def slower_probes(of: dict[str, Rows], vectors: dict[str, Any]) -> dict[str, float]:
    """The linear probe and the zero-shot clustering."""
    row: dict[str, float] = {}
    features = {part: projected(vectors[part]) for part in ("train", "test")}
    row["test species, linear"] = round(
        linear_probe(features["train"], of["train"]["species"], features["test"], of["test"]["species"], recipe=LINEAR).accuracy,
        3,
    )
    asked = {rank: of["test"][rank] + of["test_unseen"][rank] for rank in ("species", "genus", "dna_bin")}
    both = together(vectors["test"], vectors["test_unseen"])
    row |= {f"AMI {rank}": round(value, 3) for rank, value in clustering_probe(both, asked).items()}
    return row


def encoded(encoder: BarcodeEncoder, of: dict[str, Rows]) -> dict[str, Any]:
    """part -> vectors or counts; every barcode is encoded once."""
    distinct = sorted({barcode for rows in of.values() for barcode in rows["barcode"]})
    found = encoder.encode_barcodes(distinct)
    place = {barcode: row for row, barcode in enumerate(distinct)}
    rows = {part: np.array([place[barcode] for barcode in table["barcode"]]) for part, table in of.items()}
    return {part: found.take(at) if isinstance(found, KmerCounts) else found[at] for part, at in rows.items()}


def together(one: Any, other: Any) -> Any:
    """The rows of both."""
    return KmerCounts.concatenate([one, other]) if isinstance(one, KmerCounts) else np.concatenate([one, other])


def projected(vectors: Any) -> npt.NDArray[np.float32]:
    """Vectors as they are, counts at random to :data:`PROJECTED` numbers."""
    if not isinstance(vectors, KmerCounts):
        return np.asarray(vectors, np.float32)
    table = np.random.default_rng(0).normal(size=(vectors.dim, PROJECTED)).astype(np.float32) / PROJECTED**0.5
    return np.concatenate([vectors.dense(np.arange(i, min(i + 512, len(vectors)))) @ table for i in range(0, len(vectors), 512)])


if __name__ == "__main__":
    main()
