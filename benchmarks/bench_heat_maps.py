"""Do heat maps show what an answer rests on? Paint over the hottest pixels, or all others, and ask the head again.

python benchmarks/bench_heat_maps.py plankton.cosmos run/ --part test --images 32
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from biocosmos.identify.evidence.gather import image_reader
from biocosmos.identify.evidence.heat_maps import GRAD_CAM, LAYER_CAM, HeatMapper
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.specimens.collection import Collection
from machine import cpu_and_wall, write_results

SHARE = 0.15
"""Of the pixels that are painted over, or left, in the median colour of the image's border."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("head", type=Path)
    parser.add_argument("--part", default="test")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--methods", default=f"{LAYER_CAM},{GRAD_CAM}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    collection, head = Collection.open(options.collection), TrainedHead.load(options.head)
    ids = collection.table(["id"], split=options.part)["id"].to_pylist()
    chosen = np.random.default_rng(0).choice(ids, min(options.images, len(ids)), replace=False)
    images, good = image_reader(head.preprocessing, collection)([str(id_) for id_ in chosen])
    images = images[torch.from_numpy(good)]
    border = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], 2)
    background = border.float().median(2).values.to(torch.uint8)[:, :, None, None]
    mapper = HeatMapper(head)
    before = mapper.class_probabilities(images)
    said = before.argmax(1)

    def p(changed: torch.Tensor) -> float:
        return float(mapper.class_probabilities(changed)[np.arange(len(said)), said].mean())

    noise = torch.rand(len(images), 1, 7, 7, generator=torch.Generator().manual_seed(0))
    maps = {"random places": torch.nn.functional.interpolate(noise, images.shape[2:], mode="bilinear")[:, 0]}
    seconds: dict[str, float] = {}
    for method in options.methods.split(","):
        made = HeatMapper(head, method)
        timing = cpu_and_wall(lambda made=made: made(images, head.classes[said]), repeats=1, warmup=0)
        maps[method], seconds[method] = torch.from_numpy(timing.result.maps), timing.cpu
    rows = []
    for name, heat in maps.items():
        hottest = heat >= torch.quantile(heat.flatten(1), 1 - SHARE, dim=1)[:, None, None]
        rows.append(
            {
                "heat map": name,
                "images": len(images),
                "p of the answer": float(before.max(1).mean()),
                f"hottest {SHARE:.0%} painted over": p(torch.where(hottest[:, None], background, images)),
                "all others painted over": p(torch.where(hottest[:, None], images, background)),
                "images/CPU s": len(images) / seconds[name] if name in seconds else None,
            }
        )
    print(write_results("heat_maps", rows, "A good heat map has a low first number and a high second one."))


if __name__ == "__main__":
    main()
