"""What a head over a taxonomy is trained to do: cross entropy at the ranks of a tree, in the ways its kinds are published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from biocosmos.errors import BiocosmosError
from biocosmos.nn.heads import HEADS, HeadOutput
from biocosmos.nn.imbalance import Focal, Imbalance
from biocosmos.nn.tree import OnTree, Tree

OUTLIER = -1
"""Target of a specimen whose answer is to be flat."""
SWITCHES = (0.16, 0.29, 0.41)
"""Where B-CNN's loss weights change: epochs 13, 23 and 33 of 80."""
OUTLIER_WEIGHT = 0.5

Schedule = Literal["published", "kept", "equal"]
DependencyForm = Literal["smooth", "published"]
PATH_KINDS = frozenset({"flat", "conditional"})
RANK_KINDS = frozenset(HEADS) - PATH_KINDS - {"marginalised"}
SCHEDULED = frozenset({"bcnn", "hbcnn", "bacnn"})


class HeadCriterion(OnTree):
    """The loss of a head of kind ``kind``, averaged over the specimens of a batch.

    - flat, conditional: -log p of the deepest known node. With ``hxe_alpha`` > 0 the hierarchical cross entropy of Bertinetto et
      al. 2020 (arXiv:1912.09393), equation 3: sum over the path of lambda * -log p(node | parent), lambda = exp(-alpha d), d = 0
      for edges from the root, 1 below them, and so on, as in its authors' code: coarse edges weigh more.
    - marginalised: sum over ranks of w_l * -log p(the target's node at l), p summed up from one softmax over the classes.
    - multitask and the branch heads: sum over ranks of w_l * CE of that rank's own softmax; for sbacnn, whose ranks are
      p(branch) p(node | branch), that is the gate's loss and the loss of the true branch.

    A rank that is null for a specimen is left out of its loss, and the mean of a rank is over those that have it. A target
    that is a class is learnt as that class, also where other classes lie under it; a node that is none as the sum of what is
    under it; one without any class under it as its nearest ancestor that has; 0 (nothing known) is passed over.

    Targets of -1 are outliers: ``outlier_weight`` * the mean over them of CE(uniform over classes, p), outlier exposure
    (Hendrycks et al. 2019, arXiv:1812.04606).

    Args:
        kind: one of :data:`biocosmos.nn.heads.HEADS`.
        rank_weights: of the ranks, coarsest first, divided by their sum; None for those of ``schedule``.
        schedule: "published" (B-CNN's, :func:`stage_weights`), "kept" (the same without its last step, which gives all weight to
            the finest rank: coarse branches go on learning), "equal"; None: "published" for bcnn, hbcnn and bacnn, else "equal".
        dependency: 1 - alpha in Bjerge et al. 2023's L = alpha sum_l CE_l + (1 - alpha) sum_{l>=2} D_l, 0 to below 1 (published:
            0.5; 0 is off), for kinds with ranks of their own; D_l = e^(d_l) - 1. All of it is divided by L here.
        dependency_form: "published": d_l = 1 where the best node at rank l is not under the best at l - 1, D summed over the
            batch: it has no gradient and moves only the value of the loss. "smooth": d_l = the mass that rank l
            gives to children of other parents than the specimen's own at l - 1 (that of rank l - 1 itself may be
            as wrong); D averaged over the batch.
        hxe_alpha: see above, 0 or more; for flat and conditional.
        imbalance: of :func:`biocosmos.nn.imbalance.imbalance`, for the same tree. It acts on the class scores of flat,
            conditional and marginalised heads (weights per rank for the latter), on each rank's scores else.
        smoothing: share of the target that is spread over all classes (or all nodes of a rank), 0 to below 1.

    Raises BiocosmosError for what does not fit together.
    """

    def __init__(
        self,
        kind: str,
        tree: Tree,
        *,
        rank_weights: Sequence[float] | None = None,
        schedule: Schedule | None = None,
        dependency: float = 0.0,
        dependency_form: DependencyForm = "smooth",
        hxe_alpha: float = 0.0,
        imbalance: Imbalance | None = None,
        smoothing: float = 0.0,
        outlier_weight: float = OUTLIER_WEIGHT,
    ) -> None:
        super().__init__(tree)
        self.kind, self.dependency, self.dependency_form = kind, float(dependency), dependency_form
        self.hxe_alpha, self.smoothing, self.outlier_weight = float(hxe_alpha), float(smoothing), float(outlier_weight)
        self.schedule = schedule or ("published" if kind in SCHEDULED else "equal")
        self.rank_weights = None if rank_weights is None else [float(weight) for weight in rank_weights]
        self._refuse(imbalance)
        self.imbalance = imbalance if imbalance is not None else Imbalance(torch.ones_like(tree.classes), tree)

    def _refuse(self, imbalance: Imbalance | None) -> None:
        kind, weights = self.kind, self.rank_weights
        if kind not in HEADS:
            raise BiocosmosError(f"there is no head '{kind}': choose {', '.join(HEADS)}")
        if self.schedule not in ("published", "kept", "equal") or self.dependency_form not in ("smooth", "published"):
            raise BiocosmosError(
                f"criterion: schedule '{self.schedule}' or dependency form '{self.dependency_form}' is not known"
            )
        if weights is not None and (len(weights) != self.tree.ranks or min(weights) < 0 or not 0 < sum(weights) < math.inf):
            raise BiocosmosError(f"rank weights {weights} must be {self.tree.ranks} numbers of 0 or more, not all 0")
        if kind in PATH_KINDS and (weights is not None or self.schedule != "equal"):
            raise BiocosmosError(f"head '{kind}' learns from the deepest taxon and has no rank weights: take 'marginalised'")
        if self.dependency and kind not in RANK_KINDS:
            raise BiocosmosError(
                f"head '{kind}' cannot contradict itself: the dependency loss is for {', '.join(sorted(RANK_KINDS))}"
            )
        if self.hxe_alpha and kind not in PATH_KINDS:
            raise BiocosmosError(
                f"the hierarchical cross entropy is for {' and '.join(sorted(PATH_KINDS))}, not for head '{kind}'"
            )
        if self.hxe_alpha and isinstance(imbalance, Focal):
            raise BiocosmosError("focal loss is of one probability, not of the edges of a path: leave out hxe_alpha")
        for name, value, high in (
            ("dependency", self.dependency, 1.0),
            ("hxe_alpha", self.hxe_alpha, math.inf),
            ("smoothing", self.smoothing, 1.0),
            ("outlier_weight", self.outlier_weight, math.inf),
        ):
            if not 0 <= value < high:
                raise BiocosmosError(f"criterion: {name} = {value}, but it must be at least 0 and below {high:g}")

    def weights(self, progress: float) -> list[float]:
        """The weights of the ranks, coarsest first, when ``progress`` (0..1) of training is done; they sum to 1."""
        if self.rank_weights is not None:
            return [weight / sum(self.rank_weights) for weight in self.rank_weights]
        if self.schedule == "equal":
            return [1 / self.tree.ranks] * self.tree.ranks
        return stage_weights(progress, self.tree.ranks, last=self.schedule == "published")

    def forward(self, output: HeadOutput, targets: Tensor, *, progress: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """The loss of a batch, a scalar.

        targets: (n,) int64 nodes, 0 unknown, -1 outliers. progress: share of training done, 0..1. weights: (n,) of the
        specimens, 0 or more, for weighted means; None is all 1. A batch without any target gives 0, with a gradient of 0.
        """
        each = torch.ones_like(output.logits[:, 0]) if weights is None else weights.to(output.logits.dtype)
        nodes = self.tree.nearest[targets.clamp_min(0)]
        known = each * (nodes > 0)
        if self.kind in PATH_KINDS:
            loss = self._path(output, nodes, known, progress)
        elif self.kind == "marginalised":
            loss = self._marginalised(output, nodes, known, progress)
        else:
            loss = self._ranks(output, nodes, known, progress)
        if self.outlier_weight:
            flat = -output.logits.log_softmax(1).mean(1)
            loss = loss + self.outlier_weight * _mean(flat, each * (targets == OUTLIER))
        return loss

    def mixed(
        self, output: HeadOutput, targets: Tensor, other: Tensor, share: float | Tensor, *, progress: float = 0.0
    ) -> Tensor:
        """Loss of mixed images: share * loss(targets) + (1 - share) * loss(other); share: 0..1, of the batch or (n,) of each."""
        if isinstance(share, Tensor) and share.ndim:
            first, second = share.to(output.logits.dtype), 1 - share.to(output.logits.dtype)
            one: Tensor = self(output, targets, progress=progress, weights=first)
            two: Tensor = self(output, other, progress=progress, weights=second)
            return first.mean() * one + second.mean() * two
        one = self(output, targets, progress=progress)
        two = self(output, other, progress=progress)
        return share * one + (1 - share) * two

    # ------------------------------------------------------------------ one softmax over the classes

    def _class_log_p(self, output: HeadOutput, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """log p of the classes (n, C) and of the nodes (n, N), after what the imbalance does to the scores."""
        shifted = self.imbalance.shift(output.logits, self.tree.class_column[nodes], None)
        classes = shifted.log_softmax(1)
        return classes, output.log_p if shifted is output.logits else self.tree.sum_up(classes)

    def _deepest(self, classes: Tensor, every: Tensor, nodes: Tensor) -> Tensor:
        """(n,) log p of the target: of the class, where it is one."""
        column = self.tree.class_column[nodes]
        return torch.where(column >= 0, _pick(classes, column.clamp_min(0)), _pick(every, nodes))

    def _path(self, output: HeadOutput, nodes: Tensor, known: Tensor, progress: float) -> Tensor:
        classes, every = self._class_log_p(output, nodes)
        deepest = self._deepest(classes, every, nodes)
        loss = self.imbalance.loss(deepest)
        if self.hxe_alpha:
            loss = self._discounted(deepest, every, nodes)
        factors = self.imbalance.weigh(self.tree.class_column[nodes], None, progress)
        return _mean(self._smoothed(loss, classes), known, factors)

    def _discounted(self, deepest: Tensor, every: Tensor, nodes: Tensor) -> Tensor:
        """Hierarchical cross entropy of each specimen; stopping at a class with others under it is an edge of its own."""
        tree = self.tree
        loss = (-self.hxe_alpha * tree.depth[nodes].to(every.dtype)).exp() * (_pick(every, nodes) - deepest)
        for here in tree.lineage[nodes].unbind(1):
            here = here.clamp_min(0)  # a null rank is the root, whose edge has log p 0
            above = tree.parent[here].clamp_min(0)
            loss = loss + (-self.hxe_alpha * tree.depth[above].to(every.dtype)).exp() * (_pick(every, above) - _pick(every, here))
        return loss

    def _marginalised(self, output: HeadOutput, nodes: Tensor, known: Tensor, progress: float) -> Tensor:
        classes, every = self._class_log_p(output, nodes)
        deepest = self._deepest(classes, every, nodes)
        total = output.logits.sum() * 0
        for rank, weight in enumerate(self.weights(progress)):
            here = self.tree.lineage[nodes, rank]
            log_p = torch.where(here == nodes, deepest, _pick(every, here.clamp_min(0)))
            factors = self.imbalance.weigh(torch.where(here >= 0, self.tree.column[here], -1), rank, progress)
            loss = self._smoothed(self.imbalance.loss(log_p), classes)
            total = total + weight * _mean(loss, known * (here >= 0), factors)
        return total

    # ------------------------------------------------------------------ a softmax for each rank

    def _ranks(self, output: HeadOutput, nodes: Tensor, known: Tensor, progress: float) -> Tensor:
        if output.rank_scores is None:
            raise BiocosmosError(f"the criterion of head '{self.kind}' needs a softmax for each rank, which this head has not")
        total = output.logits.sum() * 0
        for rank, weight in enumerate(self.weights(progress)):
            here = self.tree.lineage[nodes, rank]
            column = torch.where(here >= 0, self.tree.column[here], -1)
            log_p = output.rank_scores[rank]
            shifted = self.imbalance.shift(log_p, column, rank)
            if shifted is not log_p:
                log_p = shifted.log_softmax(1)
            loss = self._smoothed(self.imbalance.loss(_pick(log_p, column.clamp_min(0))), log_p)
            factors = self.imbalance.weigh(column, rank, progress)
            total = total + weight * _mean(loss, known * (here >= 0), factors)
        if self.dependency:
            apart = self._contradiction(output.rank_scores, nodes, known) / self.tree.ranks  # as the weights, which sum to 1
            total = (1 - self.dependency) * total + self.dependency * apart
        return total

    def _contradiction(self, scores: Sequence[Tensor], nodes: Tensor, known: Tensor) -> Tensor:
        """Sum over ranks but the first of D_l, over specimens that have both ranks."""
        total = scores[0].sum() * 0
        for rank, (above, below) in enumerate(pairwise(scores), 1):
            parents = self.tree.lineage[self.tree.nodes_at[rank], rank - 1]
            column = torch.where(parents >= 0, self.tree.column[parents], -1)
            both = known * (self.tree.lineage[nodes, rank - 1 : rank + 1] >= 0).all(1)
            if self.dependency_form == "published":
                parent = column[below.argmax(1)]
                apart = ((parent >= 0) & (parent != above.argmax(1))).to(below.dtype)
                total = total + (apart.expm1() * both).sum()
            else:
                own = self.tree.column[self.tree.lineage[nodes, rank - 1]]
                wrong = (column >= 0) & (column != own[:, None])
                total = total + _mean((below.exp() * wrong).sum(1).expm1(), both)
        return total

    def _smoothed(self, loss: Tensor, log_p: Tensor) -> Tensor:
        """The loss with a share of the target spread over all columns of log_p (n, K)."""
        return loss if not self.smoothing else (1 - self.smoothing) * loss - self.smoothing * log_p.mean(1)


def stage_weights(progress: float, ranks: int, *, last: bool = True) -> list[float]:
    """B-CNN's loss weights, coarsest rank first, when ``progress`` (0..1) of training is done.

    Zhu and Bain 2017 (arXiv:1709.09890), three ranks: (.98, .01, .01), from .16 (.1, .8, .1), from .29 (.1, .2, .7), from .41
    (0, 0, 1). With other numbers of ranks the stages are as many, the switches spread over the same range, the focus moves one
    rank a stage, and what it leaves is shared by nearness; ``last`` = False stays before the last stage.
    """
    first, end = SWITCHES[0], SWITCHES[-1]
    if ranks == 1:
        return [1.0]
    switches = SWITCHES if ranks == len(SWITCHES) else [first + (end - first) * i / (ranks - 1) for i in range(ranks)]
    stage = sum(progress >= switch for switch in switches)
    if stage >= ranks:
        if last:
            return [0.0] * (ranks - 1) + [1.0]
        stage = ranks - 1
    focus = 0.98 if stage == 0 else 0.8 - 0.1 * (stage - 1) / max(ranks - 2, 1)
    near = [0.0 if i == stage else 1.0 if stage == 0 else 1 / abs(i - stage) for i in range(ranks)]
    return [focus if i == stage else (1 - focus) * near[i] / sum(near) for i in range(ranks)]


def _pick(table: Tensor, column: Tensor) -> Tensor:
    """(n,) one column of each row."""
    return table.gather(1, column[:, None]).squeeze(1)


def _mean(loss: Tensor, weights: Tensor, factors: Tensor | None = None) -> Tensor:
    """Mean of (n,) losses under weights; ``factors`` multiply the losses only. 0 where no weight is above 0."""
    if factors is not None:
        loss = loss * factors
    total = weights.sum()
    return (loss * weights).sum() / torch.where(total > 0, total, 1)
