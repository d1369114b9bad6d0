"""One encoder with one reduction: its vectors, its names, its speed and what it did to the tokens, as plain arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.encoder import Normalised
from biocosmos.encoders.reduction.network import ReducedVit, Trace, network_of
from biocosmos.encoders.reduction.spec import NOT_MERGING, Reduction
from biocosmos.encoders.towers import Towers
from biocosmos.evaluate.tokens.settings import Kind, Traced
from biocosmos.identify.namer import Specimens as NamedSpecimens
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.jobs.tokens.asked import Pixels
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
TIMED, MOST_ROUNDS = 0.3, 100
"""Seconds that each side is timed at least, and how many runs that may take."""
DROPPING = (*NOT_MERGING, "evit")
"""Methods whose patterns are kept sets; EViT's fused token holds what was dropped."""


def kind_of(reduction: Reduction | None) -> Kind:
    """Whether a reduction drops patches or merges them."""
    if reduction is None:
        return "dense"
    return "prune" if reduction.method in DROPPING else "merge"


@dataclass
class Setting:
    """A reduced (or dense) encoder on a device, ready to run; made by :meth:`of`, the towers stay as they are."""

    towers: Towers
    device: str

    def __post_init__(self) -> None:
        self.model = Normalised(self.towers.whole, self.towers.preprocessing).to(self.device).eval()

    @property
    def reduction(self) -> Reduction | None:
        """Of its tokens."""
        return self.towers.reduction

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images: (n, 3, size, size) uint8. Returns: (n, dim) float32, not yet unit vectors."""
        found: torch.Tensor = self.model.tower(self._pixels(images)).float()
        return found

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.device).float() * self.model.scale + self.model.shift

    # ------------------------------------------------------------------ everything

    @torch.inference_mode()
    def embed(self, pixels: Pixels, batch: int) -> Array:
        """(n, dim) float32 features of the images that could be read."""
        return np.concatenate([self.features(images).cpu().numpy() for images in pixels.batches(batch)])

    @torch.inference_mode()
    def look_into(self, pixels: Pixels, batch: int, most: int) -> dict[str, Array]:
        """What is done to the tokens of the first ``most`` images: arrays of :func:`traced_of`."""
        if self.reduction is None:
            return self._dense(pixels, batch, most)
        tower = self.towers.image
        assert isinstance(tower, ReducedVit)
        parts: list[dict[str, Array]] = []
        for images in pixels.batches(batch, most):
            _, trace = tower.trace(self._pixels(images))
            parts.append(_stages(trace, self.reduction, tower))
        if not parts[0].get("blocks", np.empty(0)).size:
            return {"last": np.concatenate([part["last"] for part in parts])}
        fixed = ("blocks", "grid", "depth")
        return {
            name: parts[0][name] if name in fixed else np.concatenate([part[name] for part in parts], axis=_axis(name))
            for name in parts[0]
        }

    def _dense(self, pixels: Pixels, batch: int, most: int) -> dict[str, Array]:
        """CLS (or the mean of the patch tokens) after every block, and what is there in the end."""
        network = network_of(self.towers.image)
        found: list[list[torch.Tensor]] = [[] for _ in network.blocks()]

        def keep(number: int, x: torch.Tensor) -> None:
            x = x if network.batch_first else x.transpose(0, 1)
            found[number].append((x[:, 0] if network.has_class else x[:, network.prefix :].mean(1)).float().cpu())

        hooks = [
            block.register_forward_hook(lambda _module, _given, out, number=number: keep(number, out))
            for number, block in enumerate(network.blocks())
        ]
        try:
            for images in pixels.batches(batch, most):
                self.features(images)
        finally:
            for hook in hooks:
                hook.remove()
        every = np.stack([torch.cat(parts).numpy() for parts in found])
        grid = network.grid(self.towers.preprocessing.size)
        return {"every": every, "last": every[-1], "grid": np.array(grid), "depth": np.array(len(every))}

    def speed(self, dense: Setting, pixels: Pixels, batch: int, rounds: int) -> tuple[float, float]:
        """(times as fast as dense, images a second of dense): the fastest of ``rounds`` runs of one batch, in turn; of more
        where a run takes less than few milliseconds, so that each is timed for some tenths of a second."""
        images = next(iter(pixels.batches(batch)))
        while len(images) < batch:
            images = torch.cat([images, images])[:batch]
        with torch.inference_mode():
            both = (dense, self)
            once = max(_seconds(one, images) for one in both)  # warms up
            best = [math.inf, math.inf]
            for _ in range(min(max(rounds, math.ceil(TIMED / once)), MOST_ROUNDS) if rounds > 1 else 1):
                best = [min(so_far, _seconds(one, images)) for so_far, one in zip(best, both)]
        return best[0] / best[1], batch / best[0]


def _seconds(one: Setting, images: torch.Tensor) -> float:
    started = time.perf_counter()
    one.features(images)
    if one.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


def named_right(head: TrainedHead | None, features: Array, table: Any) -> Array | None:
    """(n,) float64 1 where the head names a specimen right from features (n, d), NaN where its label is none of the head's.

    None without a head, and for one that takes more than the features: maps of stages, or sizes of images.
    """
    if head is None or head.frozen or head.wants_sizes or head.facts["taps"]:
        return None
    alone = replace(head, model=HeadModel(None, head.model.head).eval(), facts={**head.facts, "frozen": True})
    said = alone.said(NamedSpecimens(table["id"].to_numpy(), vectors=features))
    tree: Taxonomy = head.taxonomy
    truth = tree.index(table)
    right: Array = (head.classes[said.logits.argmax(1)] == truth).astype(np.float64)
    right[~np.isin(truth, head.classes)] = np.nan
    return right


# ---------------------------------------------------------------------------------------------------- traces


def traced_of(found: Mapping[str, Array], ids: Array, like: Mapping[str, Array] | None = None) -> Traced | None:
    """A trace from the arrays of :meth:`Setting.look_into`; None where nothing was reduced.

    like: arrays of a reduced setting, for the dense encoder: its features after the same blocks.
    """
    if "every" in found:
        if like is None or "blocks" not in like:
            return None
        blocks = like["blocks"].tolist()
        features = [*(found["every"][block] for block in blocks), found["last"]]
        rows, columns = found["grid"].tolist()
        return Traced(ids.tolist(), (rows, columns), blocks, int(found["depth"]), [], [], features)
    if "blocks" not in found:
        return None
    rows, columns = found["grid"].tolist()
    blocks = found["blocks"].tolist()
    return Traced(
        ids.tolist(),
        (rows, columns),
        blocks,
        int(found["depth"]),
        [source.astype(np.int64) for source in found["sources"]],
        list(found["kept"]) if "kept" in found else [],
        [*found["features"], found["last"]],
    )


def _axis(name: str) -> int:
    """Along which images lie: after the stages, or first."""
    return 0 if name == "last" else 1


def _stages(trace: Trace, reduction: Reduction, tower: ReducedVit) -> dict[str, Array]:
    """Arrays of one batch: sources (stages, b, patches) int16, features (stages, b, c), tokens (stages, b), last (b, c)."""
    assert trace.last is not None
    last = trace.last.float().cpu().numpy()
    if not trace.stages:
        return {"last": last}
    blocks = [stage.block for stage in trace.stages]
    sources = [stage.source.cpu().numpy() for stage in trace.stages]
    total = len(network_of(tower.dense).blocks())
    found = {
        "blocks": np.array(blocks),
        "grid": np.array(trace.grid),
        "depth": np.array(total),
        "sources": np.stack(sources).astype(np.int16),
        "features": np.stack([stage.features.float().cpu().numpy() for stage in trace.stages]),
        "tokens": np.stack([stage.mask.sum(1).cpu().numpy() for stage in trace.stages]).astype(np.float32),
        "last": last,
    }
    if reduction.method in DROPPING:
        counts = reduction.counts(trace.grid[0] * trace.grid[1], total)
        kept, found_kept = None, []
        for stage, source in zip(trace.stages, sources):
            here = source >= 0
            if reduction.method == "evit" and stage.size.shape[1] > counts[stage.block]:
                here &= source != stage.size.shape[1] - 1  # the last token is what was fused
            kept = here if kept is None else kept & here
            found_kept.append(kept)
        found["kept"] = np.stack(found_kept)
    return found
