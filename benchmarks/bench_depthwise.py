"""The weight gradient of depthwise convolutions on one CPU thread: torch's own beside biocosmos.nn.depthwise.

python benchmarks/bench_depthwise.py               # every depthwise layer of EfficientNet-lite0 at 96 px, and whole steps
python benchmarks/bench_depthwise.py --size 224
"""

from __future__ import annotations

import argparse
import copy

import timm
import torch
from torch import nn

from biocosmos.nn.depthwise import use_fast_depthwise
from machine import cpu_and_wall, write_results

FROZEN = 4
"""Groups of layers that a step on kept activations leaves out: the stem and three blocks."""


def step(model: nn.Module, x: torch.Tensor) -> None:
    model(x).square().mean().backward()


def compared(name: str, model: nn.Module, x: torch.Tensor, repeats: int) -> dict[str, object]:
    fast = copy.deepcopy(model)
    use_fast_depthwise(fast)
    before, after = [], []
    for _ in range(repeats):  # in turns, so that other work on the machine slows both
        before.append(cpu_and_wall(lambda: step(model, x), repeats=1))
        after.append(cpu_and_wall(lambda: step(fast, x), repeats=1))
    own, ours = min(t.cpu for t in before), min(t.cpu for t in after)
    return {
        "what": name,
        "torch, CPU ms": own * 1000,
        "biocosmos, CPU ms": ours * 1000,
        "torch, images/CPU s": len(x) / own,
        "biocosmos, images/CPU s": len(x) / ours,
        "ratio": own / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).to(memory_format=torch.channels_last)
    x = torch.randn(options.batch, 3, options.size, options.size).contiguous(memory_format=torch.channels_last)
    seen: list[tuple[str, nn.Module, torch.Tensor]] = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.register_forward_hook(lambda layer, given, _, name=name: seen.append((name, layer, given[0])))
    with torch.no_grad():
        model.eval()(x)
    rows = []
    for name, layer, given in seen:
        layer._forward_hooks.clear()
        _, c, h, w = given.shape
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        about = f"{name}: {kernel} x {kernel} / {stride}, {c} channels, {h} x {w}"
        rows.append(compared(about, nn.Sequential(layer), given.detach().requires_grad_(True), options.repeats))
    with torch.no_grad():
        kept = model.blocks[: FROZEN - 1](model.bn1(model.conv_stem(x)))
    model.train()
    back = nn.Sequential(*model.blocks[FROZEN - 1 :], model.conv_head, model.bn2, nn.AdaptiveAvgPool2d(1))
    rows.append(compared("a step of blocks 3..6 and the head, on kept activations", back, kept, options.repeats))
    rows.append(compared("a step of the whole model", model, x, options.repeats))
    print(
        write_results(
            "depthwise",
            rows,
            "Forward and backward, smallest CPU time of several runs in turns. Layers are changed where the kernel is wider than "
            "3 or taller than the map; elsewhere both columns are torch.",
        )
    )


if __name__ == "__main__":
    main()
