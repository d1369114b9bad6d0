"""The methods by name, imported when one is asked for."""

from __future__ import annotations

from importlib import import_module

from biocosmos.encoders.reduction.spec import METHODS, Reduction
from biocosmos.encoders.reduction.tokens import Reducer, StageShape
from biocosmos.errors import BiocosmosError

CLASSES = {
    "topk": "TopK",
    "evit": "EViT",
    "dynamicvit": "DynamicViT",
    "ats": "AdaptiveSampling",
    "radial": "Radial",
    "tome": "ToMe",
    "pitome": "PiToMe",
    "kmedoids": "KMedoids",
    "dpcknn": "DpcKnn",
    "sit": "SiT",
    "patchmerger": "PatchMerger",
    "sinkhorn": "Sinkhorn",
    "atc": "AgglomerativeClustering",
}
"""method -> its class in the file of its name."""
assert CLASSES.keys() == METHODS.keys()


def reducer_class(method: str) -> type[Reducer]:
    """The class of a method."""
    try:
        made: type[Reducer] = getattr(import_module(f"biocosmos.encoders.reduction.{method}"), CLASSES[method])
    except ModuleNotFoundError as error:
        raise BiocosmosError(f"reduction {method} is not built yet") from error
    return made


def make_reducers(reduction: Reduction, *, width: int, heads: int, grid: tuple[int, int], blocks: int) -> dict[int, Reducer]:
    """block -> the stage that reduces its tokens; raises BiocosmosError for stages that the network has no room for."""
    made: dict[int, Reducer] = {}
    before = grid[0] * grid[1]
    counts = reduction.counts(before, blocks)
    kind = reducer_class(reduction.method)
    for stage, (block, keep) in enumerate(counts.items()):
        if block == 0 and kind.place == "before" and "attention" in kind.needs:
            raise BiocosmosError(f"reduction {reduction}: it looks at the attention of the block before, and block 0 has none")
        keep = min(keep, before)
        shape = StageShape(width, heads, grid, before, keep, stage, len(counts), block, blocks)
        made[block] = kind(shape, reduction)
        before = keep
    return made
