"""One training step of the centres side by side: Partial FC, a plain dense margin softmax, pytorch-metric-learning's ArcFace.

python benchmarks/bench_partial_fc.py                     # 100,000 and 1,000,000 x 512: under four minutes on two cores
python benchmarks/bench_partial_fc.py --classes 20000     # a quick look

A step is loss, gradients of embeddings and centres, and AdamW on the centres; the encoder is left out. Every contender runs in a
process of its own, because the peak of a process's memory never falls.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from biocosmos.nn.centre_optimizer import CentreAdamW
from biocosmos.nn.margins import CombinedMargin
from biocosmos.nn.partial_fc import PartialFC
from machine import cpu_and_wall, peak_memory_gib, write_results

DIM, BATCH, RATE = 512, 128, 0.1
SCALE, MARGIN = 32.0, 0.3
LR, DECAY = 1e-3, 0.05
COPIES_AT_PEAK = 9.5  # of the centres, in the most demanding contender: it is not started where memory would run out
NOTES = """A step is loss, gradients of embeddings and centres, and AdamW on the centres; the encoder is left out. Embeddings
{batch} x {dim}, float32; medians of 7 steps (of 3 for those that take every one of 1,000,000 centres) after one of warm-up. Every
contender ran in a process of its own. At rate 0.1 memory still grows after these steps: the moments' pages are handed out as
centres are first sampled, in the end two more times the centres. The biocosmos rows use CentreAdamW, the others
torch.optim.AdamW; pytorch-metric-learning {version}."""


class DenseMargin(nn.Module):
    """ArcFace as everyone writes it: all centres normalised, one product, margin at the label, cross entropy."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim).normal_(0, 0.01))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = functional.normalize(embeddings) @ functional.normalize(self.weight).T
        rows = torch.arange(len(labels))
        own = cosines[rows, labels]
        sine = (1 - own.square()).clamp_min(1e-9).sqrt()
        logits = (SCALE * cosines).index_put((rows, labels), SCALE * (own * math.cos(MARGIN) - sine * math.sin(MARGIN)))
        return functional.cross_entropy(logits, labels)


def metric_learning(classes: int) -> nn.Module:
    from pytorch_metric_learning.losses import ArcFaceLoss

    loss: nn.Module = ArcFaceLoss(classes, DIM, margin=math.degrees(MARGIN), scale=SCALE)
    return loss


CONTENDERS: dict[str, Callable[[int], nn.Module]] = {
    "biocosmos, rate 0.1": lambda classes: PartialFC(DIM, classes, margin=CombinedMargin(SCALE, m2=MARGIN), sample_rate=RATE),
    "biocosmos, rate 1": lambda classes: PartialFC(DIM, classes, margin=CombinedMargin(SCALE, m2=MARGIN)),
    "dense margin softmax": lambda classes: DenseMargin(DIM, classes),
    "pytorch-metric-learning": metric_learning,
}


def measure(name: str, classes: int, repeats: int) -> dict[str, Any]:
    """One contender in this process."""
    torch.manual_seed(0)
    before = peak_memory_gib()
    loss = CONTENDERS[name](classes)
    optimizer: torch.optim.Optimizer
    if isinstance(loss, PartialFC):
        optimizer = CentreAdamW(loss.parameters(), lr=LR, weight_decay=DECAY)
    else:
        optimizer = torch.optim.AdamW(loss.parameters(), lr=LR, weight_decay=DECAY)

    def step() -> float:
        embeddings = torch.randn(BATCH, DIM, requires_grad=True)
        optimizer.zero_grad()
        value = loss(embeddings, torch.randint(classes, (BATCH,)))
        value.backward()
        optimizer.step()
        return float(value.detach())

    timing = cpu_and_wall(step, repeats=repeats)
    peak = peak_memory_gib()
    return {"ms": timing.wall * 1000, "cpu ms": timing.cpu * 1000, "peak GiB": peak, "of it centres and step": peak - before}


def available_gib() -> float:
    """Memory that can be had without swapping; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", nargs=3, metavar=("NAME", "CLASSES", "REPEATS"), help="measure one contender and print JSON")
    parser.add_argument("--print", action="store_true", help="do not write results/")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        name, classes, repeats = arguments.one
        print(json.dumps(measure(name, int(classes), int(repeats))))
        return
    version = importlib.metadata.version("pytorch-metric-learning")  # here, to fail before the measuring, not after
    rows: list[dict[str, Any]] = []
    for classes in arguments.classes:
        wanted = COPIES_AT_PEAK * classes * DIM * 4 / 2**30
        found: dict[str, dict[str, Any]] = {}
        for name in CONTENDERS:
            if name != "biocosmos, rate 0.1" and available_gib() < wanted:
                rows.append({"centres": classes, "loss": f"{name}: not run, needs {wanted:.0f} GiB of free memory"})
                continue
            repeats = 7 if name == "biocosmos, rate 0.1" or classes < 500_000 else 3
            command = [sys.executable, __file__, "--threads", str(arguments.threads), "--one", name, str(classes), str(repeats)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:120]
                rows.append({"centres": classes, "loss": f"{name}: failed, {reason}"})
                continue
            found[name] = {"centres": classes, "loss": name, **json.loads(done.stdout)}
            ours = found.get("biocosmos, rate 0.1")
            if ours is not None:
                found[name]["times as long"] = found[name]["ms"] / ours["ms"]
            rows.append(found[name])
            print({key: round(value, 2) if isinstance(value, float) else value for key, value in found[name].items()})
    if not arguments.print:
        write_results("partial_fc", rows, NOTES.format(batch=BATCH, dim=DIM, version=version))


if __name__ == "__main__":
    main()
