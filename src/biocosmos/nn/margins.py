"""Margins on the cosine between an embedding and the centre of its class.

    logit of the own class = s * (cos(m1 * theta + m2) - m3),   logit of every other class = s * cos(theta)

m1: SphereFace (Liu et al. 2017, arXiv 1704.08063), m2: ArcFace (Deng et al. 2019, arXiv 1801.07698), m3: CosFace (Wang et al.
2018, arXiv 1801.09414); the combination is equation 4 of the ArcFace paper.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError

Gradient = Literal["exact", "straight-through"]
FilterMode = Literal["zero", "mask"]
# how far from +-1 a cosine is kept before arccos, whose slope is infinite there: some roundings of the type
EDGE = {torch.float32: 1e-6, torch.float64: 1e-14}


class CombinedMargin(nn.Module):
    """Logits of a margin softmax from cosines: s * (cos(m1 * theta + m2) - m3) at the own class, s * cos(theta) elsewhere.

    Where m1 * theta + m2 passes pi the cosine would rise again and reward the worst fits; there the own logit becomes
    s * (cos(theta) - m2 * sin(m2) - m3), ArcFace's own remedy (for m1 > 1: the line of slope 1 that continues the curve).

    scale: s, above 0, applied with every margin (also s = 1). m1 >= 1 multiplies the angle, m2 in [0, pi) is added to it
    (radians), m3 >= 0 is taken from the cosine.
    gradient: "exact" differentiates the formula; "straight-through" gives the own cosine the gradient of the plain logit,
    d loss / d cos = s * (p - 1), as the published UNICOM and insightface code does (it lacks sin(m1 theta + m2) / sin(theta)).
    interclass_filter: cosine in (0, 1) above which a foreign class is taken for a mislabelled copy of the own class; 0 is off.
    filter_mode: "zero" sets its logit to 0, which stays in the softmax (as published); "mask" takes it out of the softmax.

    Raises BiocosmosError for a parameter outside its range. NaN cosines give NaN logits.
    """

    def __init__(
        self,
        scale: float = 32.0,
        m1: float = 1.0,
        m2: float = 0.3,
        m3: float = 0.0,
        *,
        gradient: Gradient = "exact",
        interclass_filter: float = 0.0,
        filter_mode: FilterMode = "zero",
    ) -> None:
        super().__init__()
        for name, value, fits, range_ in [
            ("scale", scale, 0 < scale < math.inf, "above 0"),
            ("m1", m1, 1 <= m1 < math.inf, "1 or more"),
            ("m2", m2, 0 <= m2 < math.pi, "from 0 to below pi (radians)"),
            ("m3", m3, 0 <= m3 < math.inf, "0 or more"),
            ("interclass_filter", interclass_filter, 0 <= interclass_filter < 1, "from 0 (off) to below 1"),
        ]:
            if not fits:
                raise BiocosmosError(f"margin: {name} = {value}, but it must be {range_}")
        if gradient not in ("exact", "straight-through"):
            raise BiocosmosError(f"margin: gradient = {gradient!r}, but it must be 'exact' or 'straight-through'")
        if filter_mode not in ("zero", "mask"):
            raise BiocosmosError(f"margin: filter_mode = {filter_mode!r}, but it must be 'zero' or 'mask'")
        self.scale, self.m1, self.m2, self.m3 = float(scale), float(m1), float(m2), float(m3)
        self.gradient, self.interclass_filter, self.filter_mode = gradient, float(interclass_filter), filter_mode

    def forward(self, cosines: Tensor, columns: Tensor) -> Tensor:
        """Scaled logits with the margin at each row's own class.

        cosines: (batch, classes) float32 or float64. columns: (batch,) int64, the column of the own class; -1 where it is not
        among the columns (another process holds it). Returns: (batch, classes), the type of ``cosines``.
        """
        logits = self.negatives(cosines)
        rows = (columns >= 0).nonzero().squeeze(1)
        own = (rows, columns[rows])
        return logits.index_put_(own, self.positives(cosines[own]))

    def positives(self, cosines: Tensor) -> Tensor:
        """Scaled logits with margin, one for each cosine to an own class; any shape."""
        if self.gradient == "straight-through":
            with torch.no_grad():
                change = self._margined(cosines) - cosines
            margined = cosines + change
        else:
            margined = self._margined(cosines)
        return margined * self.scale

    def negatives(self, cosines: Tensor) -> Tensor:
        """Scaled logits of foreign classes, filtered if asked; any shape, always a new tensor."""
        if not self.interclass_filter:
            return cosines * self.scale
        filtered = -math.inf if self.filter_mode == "mask" else 0.0
        return cosines.masked_fill(cosines > self.interclass_filter, filtered) * self.scale

    def _margined(self, cosines: Tensor) -> Tensor:
        if self.m1 == 1 and self.m2 == 0:
            return cosines - self.m3
        edge = EDGE.get(cosines.dtype, 1e-3)
        angle = self.m1 * cosines.clamp(-1 + edge, 1 - edge).arccos() + self.m2  # clamp keeps NaN
        drop = self.m2 * math.sin(self.m2) if self.m1 == 1 else 1 + math.cos((math.pi - self.m2) / self.m1)
        return torch.where(angle > math.pi, cosines - drop, angle.cos()) - self.m3

    def extra_repr(self) -> str:
        return (
            f"scale={self.scale}, m1={self.m1}, m2={self.m2}, m3={self.m3}, gradient={self.gradient!r}, "
            f"interclass_filter={self.interclass_filter}, filter_mode={self.filter_mode!r}"
        )
