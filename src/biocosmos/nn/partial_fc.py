"""Margin softmax over very many classes: sampled centres, spread over processes (Partial FC).

An et al., Partial FC: Training 10 Million Identities on a Single Machine, 2021 (arXiv 2010.05222) and Killing Two Birds with One
Stone, CVPR 2022 (arXiv 2203.15565); with random feature selection as in UNICOM: An et al., ICLR 2023 (arXiv 2304.05884);
sub-centres: Deng et al., Sub-center ArcFace, ECCV 2020.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from biocosmos.errors import BiocosmosError
from biocosmos.nn.cosines import LEAST_NORM, centre_cosines
from biocosmos.nn.distributed import Group, class_shard, gather_embeddings, gather_labels, place, softmax_loss
from biocosmos.nn.margins import CombinedMargin
from biocosmos.nn.sampling import sample_with

INITIAL_DEVIATION = 0.01  # of the centres, as published
RANK_STRIDE = 1_000_003  # keeps the seeds of the processes apart


class PartialFC(nn.Module):
    """L = mean_i -log( exp(t_i) / (exp(t_i) + sum_{j in sample, j != y_i} exp(s * cos(e_i, w_j))) ), t_i the logit with margin.

    The classes are split contiguously over the processes of ``group``; each process compares the embeddings of all processes
    with its own centres, and the softmax is reduced over them. In each forward every process takes
    max(1, int(sample_rate * its classes)) of its classes: all that are in the global batch and others at random (if more are in
    the batch, just these). ``sampled`` then holds their class ids.

    dim: length of an embedding. classes: over all processes, at least 2. margin: CombinedMargin() where None.
    sample_rate: in (0, 1]. features: number of randomly chosen features in each forward, the same for all processes, compared as
    if there were no others (chosen before the normalisation); None: all. sub_centres: centres per class, of which the nearest
    counts. group: of torch.distributed, which may as well not be initialised. seed: of the initial centres and of all drawing;
    the states of the generators are part of ``state_dict``, so that a resumed run draws what the unbroken one would have drawn.

    ``weight``: (local classes * sub_centres, dim) float32, row c * sub_centres + i is sub-centre i of local class c. Its gradient
    is a sparse tensor of the chosen rows where sample_rate < 1, else dense; for both use
    :class:`biocosmos.nn.centre_optimizer.CentreAdamW`.
    Do not wrap this module in DistributedDataParallel: every process has centres of its own.

    Raises BiocosmosError for a parameter outside its range, and in forward for labels outside [0, classes), shapes that do not
    fit and batches that differ in length between processes, on every process. A NaN embedding gives a NaN loss.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        margin: CombinedMargin | None = None,
        sample_rate: float = 1.0,
        features: int | None = None,
        sub_centres: int = 1,
        group: Group = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.group = group
        self.rank, self.processes = place(group)
        for name, value, fits, range_ in [
            ("dim", dim, dim >= 1, "at least 1"),
            ("classes", classes, classes >= max(2, self.processes), f"at least {max(2, self.processes)}"),
            ("sample_rate", sample_rate, 0 < sample_rate <= 1, "above 0 and at most 1"),
            ("features", features, features is None or 1 <= features <= dim, f"between 1 and the embedding's {dim}"),
            ("sub_centres", sub_centres, sub_centres >= 1, "at least 1"),
        ]:
            if not fits:
                raise BiocosmosError(f"Partial FC: {name} = {value}, but it must be {range_}")
        self.dim, self.classes, self.sub_centres = dim, classes, sub_centres
        self.sample_rate, self.features = float(sample_rate), None if features == dim else features
        self.margin = CombinedMargin() if margin is None else margin
        self.start, self.local_classes = class_shard(classes, self.rank, self.processes)
        self.sample_size = max(1, int(self.sample_rate * self.local_classes))
        own_seed = seed + RANK_STRIDE * self.rank
        self._class_generator = torch.Generator().manual_seed(own_seed)
        self._feature_generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.empty(self.local_classes * sub_centres, dim))
        with torch.no_grad():
            self.weight.normal_(0, INITIAL_DEVIATION, generator=torch.Generator().manual_seed(own_seed))
        self.sampled: Tensor | None = None  # (n,) int64 class ids of this process in the last forward, sorted

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of the global batch.

        embeddings: (batch, dim) of this process, any float type and length (compared in float32, also under autocast, or in
        float64 if the centres are). labels: (batch,) int64 class ids over all processes. Returns: a scalar, equal on all
        processes. The gradient that reaches ``embeddings`` is that of the global mean times the number of processes, which
        DistributedDataParallel's averaging makes that of the global mean.
        """
        self._check(embeddings, labels)
        labels = gather_labels(labels, self.group)
        self._check_range(labels)
        local = labels - self.start
        own = (local >= 0) & (local < self.local_classes)
        chosen = self._choose(local[own])
        columns = local if chosen is None else torch.searchsorted(chosen, local)
        columns = torch.where(own, columns, -1)
        with torch.autocast(embeddings.device.type, enabled=False):
            gathered = gather_embeddings(embeddings.to(self.weight.dtype), self.group)
            return self._loss(self._cosines(gathered, chosen), columns)

    def _loss(self, cosines: Tensor, columns: Tensor) -> Tensor:
        """cosines: (global batch, local columns); columns: as the labels, local or -1. The one step that other losses change."""
        return softmax_loss(self.margin(cosines, columns), columns, self.group).mean()

    def _cosines(self, embeddings: Tensor, chosen: Tensor | None) -> Tensor:
        features = self._draw_features(embeddings.device)
        if features is not None:
            embeddings = embeddings.index_select(1, features)
        rows = chosen
        if chosen is not None and self.sub_centres > 1:
            rows = (chosen[:, None] * self.sub_centres + torch.arange(self.sub_centres, device=chosen.device)).flatten()
        cosines = centre_cosines(functional.normalize(embeddings, eps=LEAST_NORM), self.weight, rows, features)
        if self.sub_centres == 1:
            return cosines
        return cosines.view(len(cosines), -1, self.sub_centres).max(2).values

    def _choose(self, present: Tensor) -> Tensor | None:
        """Local classes that take part, sorted; None for all. present: those in the batch, in any order."""
        if self.sample_rate == 1:
            self.sampled = torch.arange(self.start, self.start + self.local_classes, device=present.device)
            return None
        chosen = sample_with(torch.unique(present), self.local_classes, self.sample_size, self._class_generator)
        self.sampled = chosen + self.start
        return chosen

    def _draw_features(self, device: torch.device) -> Tensor | None:
        if self.features is None:
            return None
        return torch.randperm(self.dim, generator=self._feature_generator)[: self.features].sort().values.to(device)

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        if self.weight.dtype not in (torch.float32, torch.float64):
            raise BiocosmosError(
                f"the centres are {self.weight.dtype}: keep them float32, only the encoder may be half precision"
            )
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim or len(embeddings) == 0:
            raise BiocosmosError(f"embeddings have shape {tuple(embeddings.shape)}, but (batch, {self.dim}) is needed")
        if labels.shape != self._label_shape(len(embeddings)):
            wanted = self._label_shape(len(embeddings))
            raise BiocosmosError(f"labels have shape {tuple(labels.shape)}, but {wanted} is needed for these embeddings")
        if labels.dtype != torch.int64:
            raise BiocosmosError(f"labels are {labels.dtype}, but int64 class ids are needed")

    def _check_range(self, labels: Tensor) -> None:
        """On the gathered labels, so that all processes stop alike instead of waiting for the one that has stopped."""
        lowest, highest = (int(end) for end in labels.aminmax())
        if lowest < 0 or highest >= self.classes:
            wrong = lowest if lowest < 0 else highest
            raise BiocosmosError(
                f"label {wrong} is outside 0..{self.classes - 1}: number the classes from 0 without gaps, or raise classes"
            )

    def _label_shape(self, batch: int) -> tuple[int, ...]:
        return (batch,)

    def get_extra_state(self) -> dict[str, Tensor]:
        """The generators' states, for ``state_dict``."""
        return {"classes": self._class_generator.get_state(), "features": self._feature_generator.get_state()}

    def set_extra_state(self, state: Any) -> None:
        """The counterpart of :meth:`get_extra_state`."""
        self._class_generator.set_state(state["classes"].cpu())
        self._feature_generator.set_state(state["features"].cpu())

    def extra_repr(self) -> str:
        return (
            f"dim={self.dim}, classes={self.classes} ({self.local_classes} here), sample_rate={self.sample_rate}, "
            f"features={self.features}, sub_centres={self.sub_centres}"
        )
