"""Which tokens a vision transformer keeps, said in a few letters behind the name of an encoder; nothing heavy is imported.

run+atc-0.5                  agglomerative clustering, half of the tokens after each of three stages
run+atc.single-0.5@2/5/8     single linkage, in the blocks 2, 5 and 8 (counted from 0)
run+evit-0.9/0.7/0.5         the shares of all patches that are left after the first, second and third stage
run+tome-r16                 16 tokens fewer in every block
run+kmedoids-0.7!published   as the published code computes it, faults and all
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder

METHODS = {
    "topk": "the tokens that CLS attends to most (Haurum et al., ICCVW 2023)",
    "evit": "these, and one more that is the rest fused (Liang et al., ICLR 2022)",
    "dynamicvit": "those a trained predictor keeps (Rao et al., NeurIPS 2021)",
    "ats": "as many as the attention of CLS needs (Fayyaz et al., ECCV 2022)",
    "radial": "those nearest to the centre of the image, whatever it shows",
    "tome": "pairs of like keys are merged (Bolya et al., ICLR 2023)",
    "pitome": "pairs of like keys are merged, tokens unlike all others kept (Tran et al., NeurIPS 2024)",
    "kmedoids": "the medoids of clusters (Marin et al., WACV 2023)",
    "dpcknn": "clusters around dense tokens (Zeng et al., CVPR 2022)",
    "sit": "mixtures that a trained layer assigns (Zong et al., ECCV 2022)",
    "patchmerger": "mixtures that trained queries collect (Renggli et al., 2022)",
    "sinkhorn": "mixtures by optimal transport to trained centres (Haurum et al., WACV 2022)",
    "atc": "agglomerative clustering of the keys (Haurum et al., ECCV 2024)",
}
"""name -> which tokens are left."""
VARIANTS = {"atc": ("average", "single", "complete"), "radial": ("l2", "l1", "linf")}
"""Methods of several kinds; the first is taken if none is said."""
TRAINED_ONLY = ("dynamicvit", "sit", "patchmerger", "sinkhorn")
"""Methods with weights of their own, which are worth nothing before they are trained."""
NOT_MERGING = ("topk", "dynamicvit", "ats", "radial")
STAGES, PLACES = 3, 6
_NUMBER = r"(?:0?\.\d+|[01](?:\.\d+)?)"
_SPEC = re.compile(
    rf"(?P<method>[a-z]+)(?:\.(?P<variant>[a-z0-9]+))?-(?:r(?P<remove>\d+)|(?P<keep>{_NUMBER}(?:/{_NUMBER})*))"
    r"(?:@(?P<at>all|\d+(?:/\d+)*))?(?P<published>!published)?"
)
_LIKE_ONE = re.compile(r"[a-z]+(\.[a-z0-9]+)?-r?\d[\d./]*(@[\w/]+)?(!\w+)?")


@dataclass(frozen=True)
class Reduction:
    """One way to reduce the tokens of a vision transformer.

    Attributes:
        method: one of :data:`METHODS`.
        keep: share of tokens that each stage keeps of those before it, as (r,); or the shares of all patches that are left after
            each stage, one a stage. Empty with ``remove``.
        remove: tokens fewer in each stage; 0 with ``keep``.
        locations: blocks, counted from 0, in which tokens are reduced; () is a quarter, half and three quarters of the way (3, 6
            and 9 of 12), or every block with ``remove``.
        variant: of :data:`VARIANTS`.
        published: compute as the published code does, with its known faults.

    Raises BiocosmosError for what cannot be.
    """

    method: str
    keep: tuple[float, ...] = ()
    remove: int = 0
    locations: tuple[int, ...] = ()
    variant: str = ""
    published: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            import difflib

            close = difflib.get_close_matches(self.method, METHODS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose of {', '.join(METHODS)}"
            raise BiocosmosError(f"there is no reduction of tokens '{self.method}': {hint}")
        variants = VARIANTS.get(self.method, ())
        if self.variant and self.variant not in variants:
            has = f"choose {' or '.join(variants)}" if variants else "it has no kinds"
            raise BiocosmosError(f"reduction {self.method} has no kind '{self.variant}': {has}")
        if variants and not self.variant:
            object.__setattr__(self, "variant", variants[0])
        if self.remove < 0 or bool(self.keep) == bool(self.remove):
            raise BiocosmosError(f"reduction {self.method}: give the share of tokens to keep, or how many fewer in each block")
        object.__setattr__(self, "keep", tuple(round(share, PLACES) for share in self.keep))
        if wrong := [share for share in self.keep if not 0 < share <= 1]:
            raise BiocosmosError(f"reduction {self.method}: keep {wrong[0]:g} must be more than 0 and at most 1")
        if len(self.keep) > 1 and list(self.keep) != sorted(self.keep, reverse=True):
            raise BiocosmosError(f"reduction {self.method}: the shares {_joined(self.keep)} of all patches must fall")
        if list(self.locations) != sorted(set(self.locations)) or any(place < 0 for place in self.locations):
            raise BiocosmosError(f"reduction {self.method}: the blocks {_joined(self.locations)} must rise, counted from 0")
        if self.locations and len(self.keep) not in (0, 1, len(self.locations)):
            raise BiocosmosError(
                f"reduction {self.method}: {len(self.keep)} shares for {len(self.locations)} blocks: give one, or one a block"
            )

    def __str__(self) -> str:
        """As it stands behind the name of an encoder."""
        default = VARIANTS.get(self.method, ("",))[0]
        kind = f".{self.variant}" if self.variant != default else ""
        amount = f"r{self.remove}" if self.remove else _joined(self.keep)
        at = f"@{_joined(self.locations)}" if self.locations else ""
        return f"{self.method}{kind}-{amount}{at}{'!published' if self.published else ''}"

    @staticmethod
    def parse(text: str) -> Reduction:
        """The reduction that :meth:`__str__` wrote. Raises BiocosmosError for what is none."""
        found = _SPEC.fullmatch(text)
        if found is None:
            raise BiocosmosError(f"'{text}' is no reduction of tokens: write it as atc-0.5, topk-0.7@3/6/9 or tome-r16")
        at = found["at"]
        return Reduction(
            found["method"],
            keep=tuple(float(share) for share in (found["keep"] or "").split("/") if share),
            remove=int(found["remove"] or 0),
            locations=() if at in (None, "all") else tuple(int(place) for place in at.split("/")),
            variant=found["variant"] or "",
            published=bool(found["published"]),
        )

    @property
    def off_the_shelf(self) -> bool:
        """Whether it makes sense without training."""
        return self.method not in TRAINED_ONLY

    def places(self, blocks: int) -> tuple[int, ...]:
        """The blocks in which tokens are reduced, of a network of so many.

        Raises BiocosmosError: a block that the network does not have; more stages than it has blocks.
        """
        if self.locations:
            if self.locations[-1] >= blocks:
                raise BiocosmosError(
                    f"reduction {self}: there is no block {self.locations[-1]}, this network has {blocks}, counted from 0"
                )
            return self.locations
        if self.remove:
            return tuple(range(blocks))
        stages = len(self.keep) if len(self.keep) > 1 else STAGES
        if stages > blocks:
            if len(self.keep) > 1:
                raise BiocosmosError(f"reduction {self}: {stages} stages are more than the {blocks} blocks of this network")
            stages = blocks
        return tuple(sorted({blocks * (i + 1) // (stages + 1) for i in range(stages)}))

    def counts(self, patches: int, blocks: int) -> dict[int, int]:
        """block -> patch tokens that are left after its stage: int(patches * r ** stage), or as the lists say; at least one."""
        places = self.places(blocks)
        counts: dict[int, int] = {}
        if self.remove >= patches:
            raise BiocosmosError(
                f"reduction {self}: {self.remove} tokens fewer leave nothing of the {patches} patches of an image"
            )
        for stage, place in enumerate(places, 1):
            if self.remove:
                count = patches - self.remove * stage
            else:
                share = self.keep[0] ** stage if len(self.keep) == 1 else self.keep[stage - 1]
                count = math.floor(patches * share + 1e-9)
            counts[place] = max(1, count)
        return counts


def untrained(method: str, base: str = "") -> str:
    """What is said of a method that must be trained first, and on which encoder."""
    encoder = f"--encoder {base} " if base else ""
    return (
        f"reduction {method} has weights of its own and is nothing before they are trained: "
        f"biocosmos train heads ... {encoder}--reduce {method}"
    )


def canonical(reduction: Reduction, blocks: int) -> Reduction:
    """The same, with the usual blocks left unsaid, so that one reduction has one name."""
    plain = replace(reduction, locations=())
    return plain if plain.places(blocks) == reduction.places(blocks) else reduction


def reduced_name(base: str, reduction: Reduction) -> str:
    """The name of an encoder with a reduction: "run+atc-0.5". A reduction that is there already is refused."""
    if split_name(base)[1] is not None:
        raise BiocosmosError(f"encoder '{base}' has a reduction of tokens already: give the encoder without it")
    return f"{base.rstrip('/')}+{reduction}"


def split_name(name: str) -> tuple[str, Reduction | None]:
    """(the encoder without its reduction, the reduction or None). Raises BiocosmosError for one that cannot be.

    >>> split_name("run+atc-0.5")
    ('run', Reduction(method='atc', keep=(0.5,), remove=0, locations=(), variant='average', published=False))
    """
    base, plus, spec = name.rpartition("+")
    if not plus or not base or _is_folder(name):
        return name, None
    if spec in METHODS:
        raise BiocosmosError(f"'{name}' does not say how many tokens are kept: {name}-0.5 keeps half in each stage")
    if not _LIKE_ONE.fullmatch(spec):
        return name, None
    return base, Reduction.parse(spec)


def with_base(name: str, base: str) -> str:
    """The name of the same reduction over another encoder."""
    mine, reduction = split_name(name)
    return base if reduction is None else f"{base}+{name[len(mine) + 1 :]}"


def _joined(numbers: tuple[float, ...]) -> str:
    return "/".join(f"{number:.{PLACES}f}".rstrip("0").rstrip(".") for number in numbers)


def _is_folder(name: str) -> bool:
    try:
        return is_folder(name)
    except (OSError, ValueError):
        return False
