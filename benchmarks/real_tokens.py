"""A vision transformer trained on PlanktonSet from nothing, and every reduction of its tokens, off-the-shelf and fine-tuned.

    python benchmarks/real_tokens.py --work tokens [--data ../shared/data/planktonset] [--only train] [--only shelf]

Runs the commands of :data:`COMMANDS`, then measures each reduction at each keep rate on a sample of the test part, without
training and after three epochs on a sample of the training part, and writes the table of what is there. Rows are kept one by
one in ``rows.jsonl``: killed, it goes on where it was. Hours on two cores; not a part of ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

import biocosmos as bc
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.reduction.methods import reducer_class
from biocosmos.encoders.reduction.network import network_of
from biocosmos.encoders.reduction.reduced import reduced, without_reduction
from biocosmos.encoders.reduction.spec import METHODS, Reduction
from biocosmos.encoders.reduction.tokens import Tokens
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.towers import Towers
from biocosmos.encoders.vit_prefix import vit_parts
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.specimens.splits import Split
from biocosmos.train.batches.images import Images
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import train_heads
from machine import write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset"
BASE = "efficientnet-lite0"
TAUGHT = f"--teacher teacher --match {BASE} --match-weight 2 --patch-dropout 0.5"
STEP = "--head flat --ranks label --batch-size 32 --head-lr-factor 1 --dropout 0 --precision bfloat16"
COMMANDS = (
    "ingest {data}/planktonset.parquet --taxonomy {data}/taxonomy.csv --column id=image_id -o plankton.cosmos",
    "split plankton.cosmos --method column --column split",
    f"embed plankton.cosmos --encoder {BASE} --backend openvino",
    "train heads plankton.cosmos --freeze --head flat --ranks label --epochs 10 -o teacher",
    f"train heads plankton.cosmos -e new:vit_tiny_patch8_96 --size 64 {STEP} {TAUGHT} --lr 0.0006 --epochs 5 -o small",
    f"train heads plankton.cosmos -e small --with-head --size 96 {STEP} {TAUGHT} --lr 0.0006 --epochs 3 -o vit",
)
VIT = "vit"
KEEP = (0.25, 0.5, 0.7, 0.9)
TRAIN, VAL, TEST = 3_000, 300, 1_500
"""Specimens of the split "study", drawn by a fixed seed from the parts of the published one; neighbours are of its train."""
FROZEN = 3
"""Blocks that no reduction touches: computed once for all. One that looks at the block before its first stage has one fewer."""
TUNING: dict[str, Any] = {
    "ranks": "label",
    "head": "flat",
    "with_head": True,
    "epochs": 3,
    "batch_size": 32,
    "lr": 1.5e-4,
    "head_lr_factor": 3.0,
    "dropout": 0.0,
    "precision": "bfloat16",
    "augment": "plankton",
    "cache_views": 1,
    "split": "study:train",
    "validation": "study:val",
    "checkpoint_steps": 5_000,
    "workers": 1,
}
BATCH, ROUNDS = 32, 3
Array = npt.NDArray[Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=("train", "shelf", "tuned", "table"), action="append", help="default: all")
    parser.add_argument("--keep", type=float, action="append", help="these keep rates, in this order; default all, lowest first")
    options = parser.parse_args()
    parts = options.only or ["train", "shelf", "tuned", "table"]
    os.chdir(options.work)
    if "train" in parts:
        prepare(options.data.resolve())
    if set(parts) - {"train"}:
        study = Study(bc.Collection.open("plankton.cosmos"))
        study.dense()
        for keep in options.keep or KEEP:
            if "shelf" in parts:
                study.shelf(keep)
        for keep in options.keep or KEEP:
            if "tuned" in parts:
                study.tuned(keep)
        study.write()


def prepare(data: Path) -> None:
    """Run the commands, which go on where they were stopped."""
    for command in COMMANDS:
        if not (command.startswith("ingest") and Path("plankton.cosmos").exists()):
            print(f"$ biocosmos {command}", flush=True)
            subprocess.run([sys.executable, "-m", "biocosmos", *shlex.split(command.format(data=data))], check=True)


class Study:
    """Rows of results, kept as they come; and what the frozen blocks give of the specimens of the study."""

    def __init__(self, collection: bc.Collection, rows: Path = Path("rows.jsonl")) -> None:
        self.collection, self.path = collection, rows
        self.rows = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
        if "study" not in collection.describe()["splits"]:
            collection.save_split(study_split(collection))
        self.head = TrainedHead.load(VIT)
        self.towers = load_towers(VIT)
        tables = {part: collection.table(["id", "label"], split=f"study:{part}") for part in ("test", "train")}
        self.ids = {part: table["id"].to_pylist() for part, table in tables.items()}
        self.labels = {part: np.array(table["label"].to_pylist(), object) for part, table in tables.items()}

    def done(self, name: str, how: str) -> bool:
        """Whether there is a row already."""
        return any((row["encoder"], row["how"]) == (name, how) for row in self.rows)

    def keep_row(self, row: dict[str, Any]) -> None:
        """Add a row to those on the disk."""
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def dense(self) -> None:
        """All tokens."""
        if not self.done("dense", "shelf"):
            found = self.measure(self.towers, self.head)
            self.keep_row({"encoder": "dense", "how": "shelf", "method": "dense", "keep": 1.0, **found})

    def shelf(self, keep: float) -> None:
        """Every method that needs no training, as it is."""
        for reduction in reductions(keep):
            if reduction.off_the_shelf and not self.done(str(reduction), "shelf"):
                found = self.measure(reduced(self.towers, reduction), self.head)
                self.keep_row({**row_of(reduction), "how": "shelf", **found})

    def tuned(self, keep: float) -> None:
        """Every method after a fine-tuning."""
        for reduction in reductions(keep):
            if self.done(str(reduction), "tuned"):
                continue
            folder = Path("tuned") / str(reduction)
            began = time.process_time()
            train_heads(self.collection, tuning(reduction), folder)
            took = time.process_time() - began
            found = self.measure(load_towers(str(folder)), TrainedHead.load(folder))
            self.keep_row({**row_of(reduction), "how": "tuned", **found, "training, CPU s": round(took)})

    def kept(self, part: str, blocks: int) -> Array:
        """(n, c, tokens, 1) float16: what the first blocks give of a part, from the disk the second time."""
        place = Path(f"kept-{part}-{blocks}-{self.towers.digest}.npy")
        if not place.exists():
            trunk = Trunk(self.towers, taps=1).eval()
            front, _ = vit_parts(trunk.image, trunk.backbone, trunk.projection, blocks + 1)
            ids = self.ids[part]
            scale, shift = normalising(self.towers)
            found = []
            with torch.inference_mode():
                for _, pixels, _ in Images(self.collection, ids, self.towers.preprocessing).blocks(BATCH, 1):
                    with torch.autocast("cpu", torch.bfloat16):
                        found.append(front(pixels.float() * scale + shift).half().numpy())
            np.save(place, np.concatenate(found))
        there: Array = np.load(place, mmap_mode="r")
        return there

    def measure(self, towers: Towers, head: TrainedHead) -> dict[str, Any]:
        """Accuracy and macro recall of the head, recall@1 of the embedding, all on the test sample, and speed beside dense."""
        blocks = frozen(towers.reduction)
        vectors = {part: features(towers, self.kept(part, blocks), blocks) for part in self.ids}
        with torch.inference_mode():
            said = head.model.head([torch.from_numpy(vectors["test"])], None).logits.argmax(1).numpy()
        truth = self.labels["test"]
        named = np.array([head.taxonomy.name(int(head.classes[column])) for column in said], object)
        unit = {part: found / np.linalg.norm(found, axis=1, keepdims=True) for part, found in vectors.items()}
        nearest = self.labels["train"][(unit["test"] @ unit["train"].T).argmax(1)]
        right = named == truth
        faster, rate = speed(towers, self.towers)
        return {
            "accuracy": 100 * float(right.mean()),
            "+-": 196 * float(np.sqrt(right.mean() * (1 - right.mean()) / len(right))),
            "macro": 100 * float(np.mean([right[truth == label].mean() for label in np.unique(truth)])),
            "R@1": 100 * float((nearest == truth).mean()),
            "times as fast": faster,
            "images/s": rate,
        }

    def write(self) -> None:
        """The table: a line for each method, a column for each keep rate."""
        write_results("real_tokens", list(table_rows(self.rows)), NOTES)


def study_split(collection: bc.Collection) -> Split:
    """A seeded sample of each part of the published split, with one specimen of each label at least."""
    rng = np.random.default_rng(0)
    chosen: dict[str, str] = {}
    for part, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        table = collection.table(["id", "label"], split=part).sort_by("id")
        order = rng.permutation(len(table))
        _, first = np.unique(np.array(table["label"].to_pylist(), str)[order], return_index=True)
        order = np.concatenate([order[first], np.delete(order, first)])[:count]
        chosen |= dict.fromkeys(np.array(table["id"].to_pylist(), object)[order].tolist(), part)
    ids = sorted(chosen)
    parameters = {"sample of": "default", "train": TRAIN, "val": VAL, "test": TEST}
    return Split("study", "random", 0, parameters, pa.array(ids), pa.array([chosen[id_] for id_ in ids]))


def reductions(keep: float) -> Iterator[Reduction]:
    """All methods at one keep rate."""
    for method in METHODS:
        yield Reduction(method, keep=(keep,))


def row_of(reduction: Reduction) -> dict[str, Any]:
    """What a row says of its reduction."""
    return {"encoder": str(reduction), "method": reduction.method, "keep": reduction.keep[0]}


def tuning(reduction: Reduction) -> Any:
    """Settings of a fine-tuning."""
    teacher = {"teacher": VIT} if reduction.method == "dynamicvit" else {}
    told = {"reduce": reduction.method, "keep_tokens": f"{reduction.keep[0]:g}", "freeze_stages": frozen(reduction) + 1}
    return head_settings(encoder=VIT, **TUNING, **told, **teacher)


def frozen(reduction: Reduction | None) -> int:
    """How many blocks it leaves alone."""
    if reduction is None:
        return FROZEN
    kind = reducer_class(reduction.method)
    return FROZEN - (kind.place == "before" and "attention" in kind.needs)


def normalising(towers: Towers) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and summand from pixels 0..255 to what the network takes."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (towers.preprocessing.mean, towers.preprocessing.std))
    return 1 / (255 * std), -mean / std


@torch.inference_mode()
def features(towers: Towers, kept: Array, blocks: int) -> Array:
    """(n, dim) float32, from what the first blocks gave."""
    network = network_of(without_reduction(towers).image)
    image: Any = towers.image.eval()
    found = []
    for start in range(0, len(kept), BATCH):
        x = torch.from_numpy(kept[start : start + BATCH].astype(np.float32)).squeeze(-1).transpose(1, 2)
        tokens = Tokens(x, network.prefix)
        with torch.autocast("cpu", torch.bfloat16):
            if towers.reduction is not None:
                tokens = image.run_blocks(tokens, network, blocks)
            else:
                for block in network.blocks()[blocks:]:
                    tokens = replace(tokens, x=block(tokens.x))
            found.append(network.pooled(tokens).float().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def speed(towers: Towers, dense: Towers) -> tuple[float, float]:
    """(times as fast as dense, images a CPU-second of it), float32, whole network, the fastest of several rounds in turn."""
    size = dense.preprocessing.size
    images = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
    best = {"dense": np.inf, "self": np.inf}
    for _ in range(ROUNDS):
        for name, one in (("dense", dense), ("self", towers)):
            began = time.process_time()
            one.image(images)
            best[name] = min(best[name], time.process_time() - began)
    return best["dense"] / best["self"], BATCH / best["self"]


def table_rows(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each method and way: accuracy, then R@1 and speed at each keep rate."""
    for how in ("shelf", "tuned"):
        for method in ("dense", *METHODS):
            mine = {row["keep"]: row for row in rows if (row["how"], row["method"]) == (how, method)}
            if not mine:
                continue
            line: dict[str, Any] = {"method": method, "": "off-the-shelf" if how == "shelf" else "fine-tuned"}
            for keep in (1.0, *KEEP) if method == "dense" else KEEP:
                if (row := mine.get(keep)) is not None:
                    line[f"accuracy {keep:g}"] = f"{row['accuracy']:.1f}"
                    line[f"macro {keep:g}"] = f"{row['macro']:.1f}"
                    line[f"R@1 {keep:g}"] = f"{row['R@1']:.1f}"
                    line[f"times dense {keep:g}"] = f"{row['times as fast']:.2f}"
            yield line


SHOWN = "\n".join(f"    biocosmos {command.replace('{data}/', '')}" for command in COMMANDS)
NOTES = f"""ViT-Ti, patches of 8 pixels, trained from nothing. Accuracy of its head over 121 labels, mean recall of the labels
(macro), and R@1 by the nearest of {TRAIN:,} training specimens embedded the same way, in %, all on {TEST:,} test specimens
drawn by a fixed seed (95 %: about 2.5 points to either side). Fine-tuned: three epochs over the same specimens, {FROZEN} first
blocks frozen. Accuracy in bfloat16; speed of the whole network against dense in float32, batch {BATCH}, CPU seconds, the
best of {ROUNDS} rounds in turn. One seed.

{SHOWN}"""


if __name__ == "__main__":
    main()
