"""The losses that bind modalities to one anchor: places, environments, satellite images and sounds to pictures or barcodes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError
from biocosmos.nn.distributed import gather_embeddings, gather_labels
from biocosmos.nn.modal_pairs import (
    NOWHERE,
    TEMPERATURE,
    Everyone,
    learnt_scale,
    new_scale,
    of_everyone,
    over_processes,
    row_costs,
    temperature_of,
)

SEVERAL, MASKED, ONE_WAY, PLAIN = "several", "masked", "one-way", "plain"
WEIGHTS = {SEVERAL: (0.5, 0.5), MASKED: (0.4, 0.6), ONE_WAY: (1.0, 0.0), PLAIN: (0.5, 0.5)}
"""form -> weights of anchor to modality, and of modality to anchor."""
NOBODY = torch.iinfo(torch.int64).min
"""The label of a negative that was drawn anywhere: of no specimen."""
PUBLISHED_EPSILON = 1e-6
"""TaxaBind takes the logarithm of softmax + 1e-6, which bounds what one wrong row can cost."""


class BoundPairs(nn.Module):
    """L = mean over modalities m of w1 CE(s_m A B_m^T) + w2 CE(s_m B_m A^T), A the anchor; every m has its own learnt scale s_m.

    Forms, by the code of mvrl/TaxaBind (Sastry et al., WACV 2025, arXiv:2411.00683) and of GeoCLIP (Cepeda et al., NeurIPS 2023,
    arXiv:2309.16020):

    - "several", for satellite images: all specimens of one taxon are positives, .5 and .5;
    - "masked", for places and environments: the specimen itself is the positive, others of its taxon are no columns, negatives
      that are no specimen of the batch stand beside those of the batch for the anchor's rows; .4 and .6;
    - "plain", for sounds: CLIP's, no taxon looked at;
    - "one-way", GeoCLIP's: the anchor's rows alone, over the batch and a queue of past places.

    A specimen that lacks a modality has neither row nor column there. as_published: log(softmax + 1e-6), rows of several
    positives count every one, and a negative of the row's own taxon stays one; by default the logarithm is exact, the positives
    of a row share one unit, and "masked" leaves out negatives of the row's taxon.

    Args:
        anchor: what the others are bound to.
        forms: modality -> its form, one at least, none the anchor.
        temperature: above 0; every s begins at 1 / temperature.
    """

    def __init__(
        self, anchor: str, forms: Mapping[str, str], *, temperature: float = TEMPERATURE, as_published: bool = False
    ) -> None:
        super().__init__()
        if not forms or anchor in forms or not set(forms.values()) <= set(WEIGHTS):
            raise BiocosmosError(f"modalities are bound to {anchor} by {', '.join(WEIGHTS)}, not {dict(forms)}")
        self.anchor, self.forms, self.as_published = anchor, dict(forms), as_published
        self.modalities = (anchor, *forms)
        self.log_scales = nn.ParameterDict({name: new_scale(temperature) for name in forms})

    def forward(
        self,
        vectors: Mapping[str, torch.Tensor],
        rows: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        negatives: Mapping[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """The loss over the batch of all processes, equal on all; 0 with a gradient of 0 where no pair has a term.

        Args:
            vectors, rows, labels: as in :meth:`biocosmos.nn.modal_pairs.ModalPairs.forward`.
            negatives: modality -> (q, d) floats and their (q,) int64 labels (:data:`NOBODY` for none), this process's share of
                them; q is the same in every process.
        """
        with torch.autocast(labels.device.type, enabled=False):
            return self._loss(vectors, rows, labels, negatives or {})

    def temperatures(self) -> dict[str, float]:
        """modality -> what its softmax has now."""
        return {name: temperature_of(weight) for name, weight in self.log_scales.items()}

    def _loss(
        self,
        vectors: Mapping[str, torch.Tensor],
        rows: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        negatives: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        batch = of_everyone(self.modalities, vectors, rows, labels)
        sums, counts, shares = [], [], []
        for name, form in self.forms.items():
            scale = learnt_scale(self.log_scales[name])
            more = None
            if name in negatives:
                drawn, whose = negatives[name]
                unit = gather_embeddings(F.normalize(drawn.float(), dim=1))
                barred = labels[:, None] == gather_labels(whose)[None]
                more = unit, barred if form == MASKED and not self.as_published else torch.zeros_like(barred)
            for a, b, share in zip((self.anchor, name), (name, self.anchor), WEIGHTS[form]):
                terms, asked = self._terms(batch, a, b, form, scale, more if a == self.anchor else None)
                sums.append(terms.sum())
                counts.append(asked.sum())
                shares.append(share / len(self.forms))
        total = gather_labels(torch.stack(counts)[None]).sum(0)
        return over_processes((torch.stack(sums) * labels.new_tensor(shares, dtype=torch.float32) / total.clamp_min(1)).sum())

    def _terms(
        self,
        batch: Everyone,
        a: str,
        b: str,
        form: str,
        scale: torch.Tensor,
        more: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) what each row costs, 0 for one that is not asked, and (n,) bool whether it is."""
        columns = batch.there[b][None].expand_as(batch.alike)
        right = (batch.alike if form == SEVERAL else batch.itself) & columns
        if form == MASKED:
            columns = columns & (~batch.alike | batch.itself)
        asked = right.any(1) & batch.there[a][batch.own]
        mine = scale * batch.unit[a][batch.own]
        logits = (mine @ batch.unit[b].T).masked_fill(~columns, NOWHERE)
        if more is not None:
            logits = torch.cat([logits, (mine @ more[0].T).masked_fill(more[1], NOWHERE)], dim=1)
        logs = (logits.softmax(1) + PUBLISHED_EPSILON).log() if self.as_published else logits.log_softmax(1)
        return row_costs(logs[:, : right.shape[1]], right, asked, share=not self.as_published), asked

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"{self.anchor}: {', '.join(f'{name} {form}' for name, form in self.forms.items())}"


__all__ = ["MASKED", "NOBODY", "ONE_WAY", "PLAIN", "SEVERAL", "WEIGHTS", "BoundPairs"]
