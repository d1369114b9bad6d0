"""How fast a vision transformer is with fewer tokens, beside the same network with all of them, by every backend of the house.

    python benchmarks/bench_token_speed.py                                       # everything: hours
    python benchmarks/bench_token_speed.py --models S --sizes 224 --keep 0.5      # some of it
    python benchmarks/bench_token_speed.py --models B --sizes 384 --rounds 2 --add     # put beside what is in the table
    python benchmarks/bench_token_speed.py --gpu                                 # on CUDA, bfloat16, torch.compile

ViT-Ti, S and B (patch 16) with random weights, on smooth random pictures. Each network is run by the backend that a user gets
(`build_encoder`), in its batches (8 by torch, 4 by OpenVINO), on one thread. The dense network and some reductions take turns, a
batch each, so that they meet the same machine. "times dense" is the median over the rounds of the dense network's
processor time by the reduced one's in the same round; "of fastest rounds" compares the fastest round of each. "in the steps" is
the share of the processor time that the three reduction steps take: all of them by torch; with OpenVINO what runs between the
segments, and nothing is known of steps inside of a graph. "max difference" is the largest between unit vectors and those of torch
in float32, eager, over the pictures of a batch; "cosine" the mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

from machine import RESULTS, write_results

NAME = "token_speed"
MODELS = {"Ti": "vit_tiny_patch16_224", "S": "vit_small_patch16_224", "B": "vit_base_patch16_224"}
WAYS = ("torch-float32", "torch-bfloat16", "openvino-float32", "openvino-bfloat16")
METHODS = ("topk", "tome", "atc")
KEEP = (0.25, 0.5, 0.7, 0.9)
LEAST_SECONDS = 0.15
"""Calls are repeated until one turn takes so long."""
TOGETHER = {"Ti": 12, "S": 6, "B": 2}
"""Reduced networks that take turns with the dense one: each has its own copy of the weights in OpenVINO."""
GPU_BATCH, GPU_TURNS = 128, 20
NOTES = (
    "Wanted: atc at keep 0.5 at least 1.85 times dense, and at least as fast as tome at as many tokens; nothing slower than "
    "dense at keep 0.9; the steps of ViT-S at keep 0.5 at most 3 % of its time. Processor time of one thread on a machine that "
    "others use: trust ratios."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[224, 384])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--keep", nargs="+", type=float, default=list(KEEP))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--add", action="store_true", help="keep the rows of the table that this run does not measure anew")
    parser.add_argument("--gpu", action="store_true", help="bfloat16 on CUDA with torch.compile instead, by the clock")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        play(*options.role)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # converted networks are kept for this run, and no longer
        measure(options)


def measure(options: argparse.Namespace) -> None:
    name = f"{NAME}_gpu" if options.gpu else NAME
    rows = {key(row): row for row in _written(name)} if options.add else {}
    for model in options.models:
        for size in options.sizes:
            for way in ("cuda",) if options.gpu else options.ways:
                for row in measured(model, size, way, options.methods, options.keep, options.rounds):
                    rows[key(row)] = row
                    print(row, flush=True)
                write_results(name, sorted(rows.values(), key=order), NOTES)


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[each] for each in ("model", "px", "way", "reduction"))


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    method, _, keep = row["reduction"].replace("dense", "-2").rpartition("-")
    ways = [*WAYS, "cuda-bfloat16-compiled"]
    return list(MODELS).index(row["model"]), row["px"], ways.index(row["way"]), -float(keep), method


def _written(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def measured(
    model: str, size: int, way: str, methods: Iterable[str], keep: Iterable[float], rounds: int
) -> Iterable[dict[str, Any]]:
    """The rows of one network and way, each group in a process of its own."""
    methods, most = list(methods), TOGETHER[model]
    for rate in keep:
        for first in range(0, len(methods), most):
            specs = [f"{method}-{rate:g}" for method in methods[first : first + most]]
            role = ["--role", model, str(size), way, str(rounds), *specs]
            run = subprocess.run([sys.executable, __file__, *role], stdout=subprocess.PIPE, text=True, check=True)
            yield from json.loads(run.stdout.splitlines()[-1])


# ---------------------------------------------------------------------------------------------------------- a process


def play(model: str, size: str, way: str, rounds: str, *specs: str) -> None:
    """Time the dense network and some reductions of it in turns; the last line of the output has the rows."""
    side = int(size)
    networks = {spec: tower(model, side, spec) for spec in ("dense", *specs)}
    make = CompiledPlayer if way == "cuda" else Player
    players = {spec: make(spec, towers, way) for spec, towers in networks.items()}
    for _ in range(int(rounds)):
        for player in players.values():
            player.turn()
    dense = players["dense"]
    rows = [
        {"model": model, "px": side, "way": dense.way, "reduction": spec, **player.figures(dense)}
        for spec, player in players.items()
    ]
    print(json.dumps(rows), flush=True)


def tower(model: str, size: int, spec: str) -> Any:
    """The network with random weights, always the same, dense or reduced."""
    import timm
    import torch

    from biocosmos.encoders.preprocess import Preprocessing
    from biocosmos.encoders.reduction.reduced import reduced
    from biocosmos.encoders.reduction.spec import Reduction
    from biocosmos.encoders.towers import Towers

    torch.manual_seed(0)
    arguments = {"img_size": size}
    vit = timm.create_model(MODELS[model], num_classes=0, **arguments).eval()
    architecture = {"kind": "timm", "name": MODELS[model], "arguments": arguments}
    towers = Towers(vit, Preprocessing(size=size), f"{model} {size} seed 0", architecture=architecture)
    return towers if spec == "dense" else reduced(towers, Reduction.parse(spec))


class Player:
    """One network by one backend."""

    def __init__(self, spec: str, towers: Any, way: str) -> None:
        import torch

        from biocosmos.encoders import ways
        from biocosmos.encoders.registry import build_encoder

        torch.set_num_threads(1)
        backend, precision = way.split("-")
        self.way = way
        self.encoder = build_encoder(spec, towers, device="cpu", backend=backend, precision=precision)
        self.backend: Any = self.encoder._backend
        self.backend.enter_thread()
        self.batch = ways._pictures(towers.preprocessing.size, self.backend.batch_size)
        self.in_steps = StepClock(self.backend)
        started = time.process_time()
        vectors = torch.from_numpy(self.encoder.encode_images(self.batch))  # warms up too
        self.calls = max(1, round(LEAST_SECONDS / (time.process_time() - started)))
        exact = vectors if way == "torch-float32" else self.encoder.reference(self.batch)
        self.difference = float((vectors - exact).abs().max())
        self.cosine = float((vectors * exact).sum(dim=1).mean())
        self.seconds: list[float] = []
        self.shares: list[float] = []

    def turn(self) -> None:
        self.in_steps.seconds, started = 0.0, time.process_time()
        for _ in range(self.calls):
            self.backend(self.batch)
        spent = time.process_time() - started
        self.seconds.append(spent / self.calls / len(self.batch))
        self.shares.append(self.in_steps.seconds / spent)

    def figures(self, dense: Any) -> dict[str, Any]:
        found = {
            "images/CPU-s": 1 / statistics.median(self.seconds),
            "times dense": statistics.median(whole / mine for whole, mine in zip(dense.seconds, self.seconds)),
            "of fastest rounds": min(dense.seconds) / min(self.seconds),
        }
        if self.in_steps.told:
            found["in the steps"] = f"{100 * statistics.median(self.shares):.1f} %"
        if self.way != "torch-float32":
            found |= {"max difference": f"{self.difference:.1e}", "cosine": f"{self.cosine:.5f}"}
        return found


class StepClock:
    """Seconds of processor time in the reduction steps of a backend, where they can be told apart."""

    def __init__(self, backend: Any) -> None:
        from biocosmos.encoders.reduction.network import ReducedVit

        self.seconds, self.told = 0.0, False
        if backend.name == "openvino":
            self.told = bool(backend._stages)
            backend._stages = [self.timed(stage) for stage in backend._stages]
        elif isinstance(backend._model.tower, ReducedVit):
            self.told = True
            for step in backend._model.tower.steps.values():
                step.forward = self.timed(step.forward)

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            started = time.process_time()
            found = call(*given)
            self.seconds += time.process_time() - started
            return found

        return run


# ---------------------------------------------------------------------------------------------------------- a GPU


class CompiledPlayer:
    """One network on CUDA in bfloat16, compiled; images per second of the clock."""

    way = "cuda-bfloat16-compiled"

    def __init__(self, spec: str, towers: Any, way: str) -> None:
        import torch

        from biocosmos.encoders import ways
        from biocosmos.encoders.encoder import Normalised

        model = Normalised(towers.image, towers.preprocessing).eval().in_precision(torch.bfloat16).to(way)
        self.model = torch.compile(model, dynamic=False)
        self.eager = model
        self.batch = ways._pictures(towers.preprocessing.size, GPU_BATCH).to(way)
        self.seconds: list[float] = []
        self.eager_seconds: list[float] = []
        for each in (self.model, self.eager):
            self._seconds(each, 3)

    def _seconds(self, model: Any, turns: int = GPU_TURNS) -> float:
        import torch

        with torch.inference_mode():
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(turns):
                model(self.batch)
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / turns / len(self.batch)

    def turn(self) -> None:
        self.seconds.append(self._seconds(self.model))
        self.eager_seconds.append(self._seconds(self.eager))

    def figures(self, dense: Any) -> dict[str, Any]:
        return {
            "images/s": 1 / statistics.median(self.seconds),
            "times dense": statistics.median(whole / mine for whole, mine in zip(dense.seconds, self.seconds)),
            "of fastest rounds": min(dense.seconds) / min(self.seconds),
            "images/s without compile": 1 / statistics.median(self.eager_seconds),
        }


if __name__ == "__main__":
    main()
