"""Real trainings of heads on PlanktonSet with its published split: the table of heads, promises, novelty.

    python benchmarks/make_foreign.py heads/foreign
    python benchmarks/real_heads.py --work heads [--data ../shared/data/planktonset] [--measure]

Runs the commands listed below, which go on where they were stopped and do nothing when they are done, then measures what is
there (``--measure``: only that). Nothing is chosen on the test part: recipes were found on validation specimens. Hours on two
cores; not a part of ``make bench``.
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
import torch

import biocosmos as bc
from biocosmos.evaluate.novelty.protocol import NoveltyRun
from biocosmos.evaluate.promises.report import promise_report
from biocosmos.evaluate.report import Report
from biocosmos.identify.confidence.promises import Promise, roll_back
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.heads import HEAD, TrainedHead
from biocosmos.identify.novelty.distances import p_values
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.jobs.compare_heads import compare_heads
from biocosmos.jobs.leave_out import LeftOut, leave_out
from biocosmos.jobs.leave_out_heads import novelty_run
from biocosmos.jobs.predict import predict_part
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset"
BASE = "efficientnet-lite0"
RANKS = "--ranks status,group,label"
PREPARE = (
    "ingest {data}/planktonset.parquet --taxonomy {data}/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    f"embed plankton.cosmos --encoder {BASE} --backend openvino",
)
SHORT = f"{RANKS} --recipe plankton-cpu --freeze-stages 6 --cache-views 3 --cache-folder stages"
TWO = f"{SHORT} --epochs 2"
OUTLIERS = "--outliers halves,quadrants,spectra,shuffle --outlier-share 0.35"
TRAININGS = {
    "frozen": f"train heads plankton.cosmos --freeze --head flat,marginalised,conditional,multitask,sbacnn {RANKS} -o frozen",
    "table": f"train heads plankton.cosmos --head flat,marginalised,multitask,bcnn,hbcnn,bacnn,sbacnn {TWO} -o table",
    "outliers": f"train heads plankton.cosmos {TWO} {OUTLIERS} -o table/outliers",
    "first": f"train heads plankton.cosmos {RANKS} --recipe plankton-cpu --cache-folder stages -o first",
}
FOLDS, CLASSES, GROUPS, SHOWN = 4, 32, 8, 3
"""Trainings, each without CLASSES / FOLDS classes and GROUPS / FOLDS groups, and with SHOWN classes as known outliers."""
QUERIES = 10_000
LEAST_CLASS, LEAST_GROUP, LEAST_SHOWN = 20, 60, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--measure", action="store_true", help="train nothing, measure what is there")
    parser.add_argument(
        "--only", choices=("heads", "promises", "novelty", "speed"), action="append", help="measure these; default all"
    )
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not options.measure:
        for command in PREPARE:
            if not (command.startswith("ingest") and (work / "plankton.cosmos").exists()):
                run(command.format(data=options.data.resolve()), work)
        for command in TRAININGS.values():
            run(command, work)
        for number, fold in enumerate(plan(bc.Collection.open(work / "plankton.cosmos"))):
            run(fold_command(number, fold), work)
    collection = bc.Collection.open(work / "plankton.cosmos")
    parts = options.only or ["heads", "promises", "novelty", "speed"]
    if "heads" in parts:
        for name in ("frozen", "table"):
            measure_heads(collection, work, name)
    if "promises" in parts:
        measure_promises(collection, work)
    if "novelty" in parts:
        measure_novelty(collection, work)
    if "speed" in parts:
        measure_speed(collection, work)


def run(command: str, work: Path) -> None:
    """Run a command of biocosmos in the folder ``work``."""
    print(f"$ biocosmos {command}", flush=True)
    subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command)], cwd=work, check=True)


def measure_heads(collection: bc.Collection, work: Path, name: str) -> None:
    """Accuracy and macro F1 of every head at every rank, test part, beside the nearest neighbour."""
    heads = {path.parent.name: TrainedHead.load(path.parent) for path in sorted((work / name).glob(f"*/{HEAD}"))}
    if name == "table":
        heads["five epochs"] = TrainedHead.load(work / "first")
    found = {kind: predict_part(collection, head, "test") for kind, head in heads.items()}
    report = compare_heads(collection, found)
    report.write(work / f"{name}-report", thumbnails=collection.image_bytes)
    commands = [
        command for key, command in TRAININGS.items() if key in (("frozen",) if name == "frozen" else tuple(TRAININGS)[1:])
    ]
    write_results(f"heads_{name}", head_rows(report), note(commands, "test part; intervals: 95 %, bootstrap"))


def head_rows(report: Report) -> list[dict[str, Any]]:
    """One row a head: accuracy with its interval, and macro F1, at every rank."""
    rows: dict[str, dict[str, Any]] = {}
    for row in report.rows(branch="all", over="all"):
        mine = rows.setdefault(row["head"], {"head": row["head"]})
        if row["measure"] == "accuracy":
            mine[f"{row['target']}"] = f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        elif row["measure"] == "F1" and row["average"] == "macro":
            mine[f"{row['target']} macro F1"] = f"{100 * row['value']:.1f}"
    return list(rows.values())


def measure_promises(collection: bc.Collection, work: Path) -> None:
    """Promised against observed over 20 resplits of validation and test part."""
    head = TrainedHead.load(work / "first")
    pooled = predict_part(collection, head, "val", columns=["group"]).joined(
        predict_part(collection, head, "test", columns=["group"])
    )
    report = promise_report(pooled, groups=["status", "group"])
    report.write(work / "promises-report", thumbnails=collection.image_bytes)
    columns = ("promise", "alpha", "observed", "standard_error", "within_two_errors", "rejected", "answered")
    shares = report.tables["answered_at"].to_pylist()
    rows = []
    for row in report.table().to_pylist():
        mine = {key: rounded(row[key]) for key in columns}
        at = {f"at {share['rank']}": rounded(share["share"]) for share in shares if same(row, share)}
        rows.append({**mine, **at})
    write_results("heads_promises", rows, note([TRAININGS["first"]], "validation and test part pooled, 20 resplits"))


def same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are of one promise."""
    return (row["promise"], row["alpha"]) == (other["promise"], other["alpha"])


def rounded(value: Any) -> Any:
    """A number with four digits; anything else as it is."""
    return round(value, 4) if isinstance(value, float) else value


def plan(collection: bc.Collection) -> list[dict[str, list[str]]]:
    """Which classes and groups each fold leaves out, and which classes it shows as outliers; drawn with a fixed seed."""
    table = collection.table(["group", "label"]).to_pandas()
    size, group = table.groupby("label").size(), table.groupby("label")["group"].first()
    members = group.dropna().groupby(group).apply(lambda labels: sorted(labels.index)).to_dict()
    rng = np.random.default_rng(0)
    small = sorted(name for name, labels in members.items() if len(labels) <= 5 and size[labels].sum() >= LEAST_GROUP)
    groups = [str(name) for name in rng.permutation(small)[:GROUPS]]
    gone = {label for name in groups for label in members[name]}
    folds: list[dict[str, list[str]]] = [
        {"classes": [], "groups": groups[i * GROUPS // FOLDS : (i + 1) * GROUPS // FOLDS]} for i in range(FOLDS)
    ]
    fit = [
        label
        for label in sorted(size.index)
        if isinstance(group.get(label), str)
        and label not in gone
        and len(members[group[label]]) >= 2
        and size[label] >= LEAST_CLASS
    ]
    for label in map(str, rng.permutation(fit)):
        if sum(len(fold["classes"]) for fold in folds) == CLASSES:
            break
        for fold in sorted(folds, key=lambda fold: len(fold["classes"])):
            same = [other for other in fold["classes"] if group[other] == group[label]]
            if len(fold["classes"]) < CLASSES // FOLDS and len(same) < 2 and not (same and len(members[group[label]]) < 4):
                fold["classes"].append(label)
                break
    used = gone.union(*(fold["classes"] for fold in folds))
    rest = [
        str(label)
        for label in rng.permutation(sorted(size.index))
        if label not in used and isinstance(group.get(label), str) and size[label] >= LEAST_SHOWN
    ]
    for i, fold in enumerate(folds):
        fold["outliers"] = rest[SHOWN * i : SHOWN * (i + 1)]
    return folds


def fold_command(number: int, fold: dict[str, list[str]]) -> str:
    """The training of a fold."""
    left = [f"label:{label}" for label in fold["classes"]] + [f"group:{name}" for name in fold["groups"]]
    shown = ",".join(f"label:{label}" for label in fold["outliers"])
    return f"train heads plankton.cosmos {TWO} {OUTLIERS} --leave-out {','.join(left)} --outlier-taxa {shown} -o folds/{number}"


def measure_novelty(collection: bc.Collection, work: Path) -> None:
    """Near, middle, known-outlier and far specimens of every fold, for every detector."""
    folds = plan(collection)
    (work / "plan.json").write_text(json.dumps(folds, indent=1))
    reference = predict_part(collection, TrainedHead.load(work / "table" / "marginalised"), "test")
    runs = [
        LeftOut(
            f"fold {i + 1} of {len(folds)}",
            (*(f"label:{label}" for label in fold["classes"]), *(f"group:{name}" for name in fold["groups"])),
        )
        for i, fold in enumerate(folds)
    ]

    def trained(left_out: LeftOut, folder: Path) -> NoveltyRun:
        head = TrainedHead.load(work / "folds" / str(runs.index(left_out)))
        return novelty_run(collection, head, left_out, far=[work / "foreign"], reference=reference)

    report = leave_out(runs, trained, work / "novelty-report")
    commands = [f"{TRAININGS['outliers']} --leave-out ... --outlier-taxa ... (plan.json)"]
    write_results(
        "heads_novelty",
        [{k: rounded(v) for k, v in row.items()} for row in report.table().to_pylist()],
        note(commands, f"{FOLDS} folds"),
    )


def measure_speed(collection: bc.Collection, work: Path) -> None:
    """Seconds to name 10,000 stored vectors with a head: predictions, roll-back with a promise, novelty."""
    head = TrainedHead.load(work / "frozen" / "marginalised")
    known, held = (predict_part(collection, head, part) for part in ("train", "val"))
    table = collection.table(["id", collection.embedding_column(BASE)], split="train").slice(0, QUERIES)
    flat = table.column(1).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = torch.from_numpy(np.array(flat, np.float32).reshape(len(table), -1))
    ids = table["id"].to_pylist()
    began = time.perf_counter()
    promise, detector = Promise.fit(held, "mean", 0.05), make_detector().fit(known, held)
    fitted = time.perf_counter()
    asked = head.predict(Specimens(np.array(ids, object), vectors=vectors.numpy()))
    predicted = time.perf_counter()
    roll_back(asked, promise)
    rolled = time.perf_counter()
    p_values(detector.scores(asked), detector.scores(held))
    ended = time.perf_counter()
    row = {
        "queries": len(ids),
        "fit promise and novelty, once, s": round(fitted - began, 2),
        "predict, s": round(predicted - fitted, 2),
        "roll back, s": round(rolled - predicted, 2),
        "novelty, s": round(ended - rolled, 2),
        "in all but the fit, s": round(ended - fitted, 2),
    }
    print(row, flush=True)
    write_results("heads_speed", [row], "Stored vectors of 1,280 numbers, 121 classes, 21,278 known specimens; one run.")


def note(commands: list[str], what: str) -> str:
    """What stands above a table."""
    lines = "\n".join(f"    biocosmos {command}" for command in commands)
    return f"PlanktonSet 1.0, published split (21,278 train, 4,580 val, 4,478 test), 121 classes; {what}. One seed.\n\n{lines}"


if __name__ == "__main__":
    main()
