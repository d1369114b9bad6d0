"""How fast and how large is an embedding, beside the bare model and beside the loop that people write.

    python benchmarks/bench_embed.py                 # speed, on the shipped sample: a few minutes
    python benchmarks/bench_embed.py --memory        # peak memory over the 30,336 images of PlanktonSet

Processes take turns in one run, so that they meet the same machine: the plain loop (Pillow, torchvision
transforms, torch float32 eager, batches of 10, the system's allocator), the bare model (prepared batches in memory), and
``biocosmos.embed`` from the stored collection to the stored column, by torch and OpenVINO in float32, and as ``--precision``
auto and fast choose. Rates are medians over the rounds, by the clock and
per second of processor time; the second is what counts on a machine that others use too.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import peak_memory_gib, write_results

DATA = Path(__file__).resolve().parents[2] / "shared/data/planktonset/planktonset.parquet"
PLAIN_BATCH = 10
MODELS = {"efficientnet-lite0": 1600, "ViT-B/32": 160}
"""Images a round for the faster processes; the plain loop gets a quarter."""
SPEEDUP_WANTED, SHARE_WANTED, MEMORY_WANTED_GIB = 4.0, 0.9, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--backends", nargs="*", default=["torch", "openvino", "auto", "fast"])
    parser.add_argument("--share", type=float, default=1.0, help="of the images, for a quick look")
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role[0]](*options.role[1:])
    elif options.memory:
        measure_memory(options.data, options.backends[0])
    else:
        measure_speed(options.models, options.backends, options.rounds, options.share)


# ---------------------------------------------------------------------------------------------------------- the referee


def measure_speed(models: list[str], backends: list[str], rounds: int, share: float) -> None:
    rows = []
    for model in models:
        count = int(MODELS[model] * share) // 16 * 16
        players = {"plain loop": Player("plain", model, str(count // 4))}
        for backend in backends:
            players[backend] = Player("ours", model, backend, str(count))
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in players}
        for _ in range(rounds):
            for name, player in players.items():
                measured[name].append(player.round())
        for player in players.values():
            player.close()
        plain = {key: median(measured["plain loop"], key) for key in ("wall", "cpu")}
        rows.append({"model": model, "what": "plain loop", "images/s": plain["wall"], "images/CPU-s": plain["cpu"]})
        for backend in backends:
            bare, whole = (
                {key: median(measured[backend], f"{what} {key}") for key in ("wall", "cpu")} for what in ("bare", "embed")
            )
            rows.append({"model": model, "what": f"{backend}, bare model", "images/s": bare["wall"], "images/CPU-s": bare["cpu"]})
            rows.append(
                {
                    "model": model,
                    "what": f"{backend}, embed",
                    "images/s": whole["wall"],
                    "images/CPU-s": whole["cpu"],
                    "of bare model": whole["wall"] / bare["wall"],
                    "of bare model per CPU-s": whole["cpu"] / bare["cpu"],
                    "times plain": whole["wall"] / plain["wall"],
                    "times plain per CPU-s": whole["cpu"] / plain["cpu"],
                }
            )
        for row in rows[-1 - 2 * len(backends) :]:
            print(row, flush=True)
    write_results(
        "embed", rows, f"Medians of {rounds} rounds; wanted: {SHARE_WANTED} of the bare model, {SPEEDUP_WANTED} times plain."
    )


class Player:
    """A process that loads once and then plays a round whenever it is told."""

    def __init__(self, *role: str) -> None:
        command = [sys.executable, __file__, "--role", *role]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)  # type: ignore[no-any-return]
        raise SystemExit("a benchmark process ended early")

    def round(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def median(rounds: list[dict[str, Any]], key: str) -> float:
    return statistics.median(found[key] for found in rounds)


def rates(work: Callable[[], Any], count: int) -> dict[str, float]:
    """Images per second of the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": count / (time.perf_counter() - wall), "cpu": count / (time.process_time() - cpu)}


def play(work: Callable[[], dict[str, Any]]) -> None:
    """Warm up, say so, and play a round per line of the standard input."""
    work()
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)


def pictures(count: int) -> list[bytes]:
    from biocosmos.specimens.sample import sample

    images = sample()["image"].to_pylist()
    return [images[i * len(images) // count] for i in range(count)]


# ---------------------------------------------------------------------------------------------------------- the players


def plain(model_name: str, count: str) -> None:
    """What people write: one image after another, batches of ten."""
    import timm
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(2)
    model = timm.create_model("tf_efficientnet_lite0" if "lite0" in model_name else "vit_base_patch32_224", num_classes=0).eval()
    transform = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    images = pictures(int(count))

    def loop() -> list[Any]:
        out = []
        with torch.no_grad():
            for start in range(0, len(images), PLAIN_BATCH):
                batch = [Image.open(io.BytesIO(image)).convert("RGB") for image in images[start : start + PLAIN_BATCH]]
                features = model(torch.stack([transform(image) for image in batch]))
                out.append(torch.nn.functional.normalize(features, dim=-1).numpy())
        return out

    play(lambda: rates(loop, len(images)))


def random_vit() -> Any:
    """ViT-B/32 with random weights: the speed does not depend on them."""
    import timm
    import torch

    from biocosmos.encoders.preprocess import Preprocessing
    from biocosmos.encoders.towers import Towers

    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch32_224", num_classes=0).eval()
    architecture = {"kind": "timm", "name": "vit_base_patch32_224", "arguments": {}}
    return Towers(model, Preprocessing(size=224), "seed 0", architecture=architecture)


def ours(model_name: str, way: str, count: str) -> None:
    """embed() on a stored collection, and the same encoder on batches that are ready."""
    import torch

    from biocosmos.embed import embed, embedding
    from biocosmos.encoders.agreement import Agreement
    from biocosmos.encoders.registry import build_encoder, load_towers
    from biocosmos.specimens.collection import Collection

    # Checking a backend against torch costs 32 images, whatever the collection's size: left out, like loading.
    embedding.check_agreement = lambda encoder, images, **_: Agreement(len(images), 1.0, 1.0)
    torch.set_num_threads(2)
    towers = load_towers("efficientnet-lite0") if "lite0" in model_name else random_vit()
    how = {"auto": ("auto", "auto"), "fast": ("fast", "auto")}.get(way, ("float32", way))
    encoder = build_encoder("bench", towers, precision=how[0], backend=how[1], device="cpu", measure=True)
    batches = [torch.randint(0, 255, (encoder.batch_size, 3, 224, 224), dtype=torch.uint8) for _ in range(2)]
    turns = int(count) // encoder.batch_size // encoder.streams // 2

    def bare() -> None:
        def work() -> None:
            encoder.enter_thread()
            for turn in range(turns):
                encoder.encode_images(batches[turn % 2])

        threads = [threading.Thread(target=work) for _ in range(encoder.streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        encoder.leave_thread()

    with tempfile.TemporaryDirectory() as folder:
        collection = stored(Path(folder) / "bench.cosmos", pictures(int(count)))

        def work() -> dict[str, Any]:
            found = {f"bare {key}": value for key, value in rates(bare, turns * encoder.streams * encoder.batch_size).items()}
            cpu = time.process_time()
            summary = embed(Collection.open(collection), encoder, overwrite=True)
            found["embed cpu"] = summary.images / (time.process_time() - cpu)
            found["embed wall"] = summary.images_per_second
            return found

        play(work)


def stored(path: Path, images: list[bytes]) -> Path:
    """A collection with these images packed, written as `add` does but without decoding them."""
    import pyarrow as pa

    from biocosmos.specimens.collection import Collection
    from biocosmos.specimens.records import Source

    table = pa.table({"id": [str(i) for i in range(len(images))], "image": pa.array(images, pa.large_binary())})
    batches = table.to_batches(max_chunksize=1024)
    Collection.create(path).add(Source(name="bench", format="bench", batches=batches), pack=True)
    return path


# ---------------------------------------------------------------------------------------------------------- memory


def measure_memory(data: Path, backend: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "plankton.cosmos")
        subprocess.run([sys.executable, __file__, "--role", "store", path, str(data)], check=True)
        run = subprocess.run(
            [sys.executable, __file__, "--role", "measure", path, backend], check=True, capture_output=True, text=True
        )
    found = json.loads(run.stdout.splitlines()[-1])
    print(found)
    write_results(
        "embed_memory", [found], f"Whole process, weights and libraries included; wanted: under {MEMORY_WANTED_GIB} GiB."
    )


def store(path: str, data: str) -> None:
    import pyarrow.parquet as pq

    stored(Path(path), pq.read_table(data, columns=["image"])["image"].to_pylist())


def measure(path: str, backend: str) -> None:
    from biocosmos.embed import embed

    summary = embed(path, "efficientnet-lite0", backend=backend, device="cpu")
    print(
        json.dumps(
            {
                "encoder": "efficientnet-lite0",
                "backend": backend,
                "images": summary.images,
                "minutes": round(summary.seconds / 60, 2),
                "images/s": round(summary.images_per_second, 1),
                "images/CPU-s": round(summary.images / time.process_time(), 1),
                "peak memory GiB": round(peak_memory_gib(), 2),
            }
        )
    )


ROLES: dict[str, Callable[..., None]] = {"plain": plain, "ours": ours, "store": store, "measure": measure}

if __name__ == "__main__":
    main()
