"""A linear head on frozen embeddings: multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.identify.threads import one_thread
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

# Rows of a gradient chunk: (rows, classes) logits of 8192 x 1000 are 32 MB.
_CHUNK_ROWS = 8192
# Multiplications of one pass from which several threads help.
_THREADED_WORK = 1 << 28
# Weight decay of the mean loss, and iterations: the best compromise on validation parts of PlanktonSet with 1,397 and 6,000
# training rows (docs/identify.md).
L2 = 0.03
ITERATIONS = 60
# Of k-mers, where a gradient and its history are a dozen times as many numbers.
MOST_WEIGHTS = 1 << 25


class LinearHead:
    """Softmax regression: minimise  mean_i w_i * -log softmax(W z_i + b)[y_i] + l2/2 |W|^2,  z = (x - mean) / scale.

    ``mean`` is the training mean and ``scale`` the one standard deviation of all centred coordinates, so that the same l2
    suits embeddings of any dimension. Full-batch L-BFGS from zero: no randomness, so no seed.

    ``weight``: (C, d) float32; ``bias``: (C,) float32; ``mean``: (d,) float32; ``candidates``: (C,) int32 ascending.
    """

    def __init__(self, candidates: NodeArray, weight: FloatArray, bias: FloatArray, mean: FloatArray, scale: float) -> None:
        self.candidates, self.weight, self.bias, self.mean, self.scale = candidates, weight, bias, mean, scale

    @classmethod
    def fit(
        cls,
        vectors: FloatArray,
        taxa: NodeArray,
        *,
        l2: float = L2,
        iterations: int = ITERATIONS,
        class_weight: Literal["balanced"] | None = None,
        device: str = "cpu",
    ) -> LinearHead:
        """Fit on ``vectors`` (n, d) float32 and nodes ``taxa`` (n,) int32.

        ``class_weight="balanced"`` weighs each row by n / (C * rows of its class). Raises BiocosmosError for one class only.
        """
        candidates, labels = np.unique(taxa, return_inverse=True)
        n, classes = len(vectors), len(candidates)
        if classes < 2:
            raise BiocosmosError("linear: one class only, there is nothing to separate; add specimens of another taxon")
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = float(np.sqrt(np.mean(np.var(vectors, axis=0, dtype=np.float64)))) or 1.0
        weights = np.ones(n, np.float32)
        if class_weight == "balanced":
            weights = (n / (classes * np.bincount(labels)))[labels].astype(np.float32)
        loss = _Loss(vectors, labels, (weights / n).astype(np.float32), mean, scale, classes, l2, device)
        with progress("fit the linear head", total=iterations, unit="iterations") as bar:
            start = np.zeros(classes * (vectors.shape[1] + 1))
            # ftol 1e-7: the loss is computed in float32, a smaller change is rounding.
            options = {"maxiter": iterations, "maxcor": 10, "ftol": 1e-7, "gtol": 1e-6}
            with one_thread(classes * vectors.size < _THREADED_WORK):
                found = minimize(loss, start, jac=True, method="L-BFGS-B", callback=lambda _: bar.advance(), options=options)
        weight, bias = loss.unpack(found.x)
        return cls(candidates.astype(np.int32), weight.astype(np.float32), bias.astype(np.float32), mean, scale)

    def scores(self, queries: FloatArray) -> FloatArray:
        """Logits (q, C) float32."""
        return (((queries - self.mean) / self.scale) @ self.weight.T + self.bias).astype(np.float32)


class Linear(GalleryNamer):
    """A :class:`LinearHead` as a namer; its scores are logits as they are."""

    name, says = "linear", "a softmax regression on the vectors says; the best with ten or more specimens a taxon"
    options = frozenset({"class_weight", "device"})
    own_scale, fallback_temperature = True, 1.0

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Fit the head."""
        assert gallery.taxa is not None
        size = len(np.unique(gallery.taxa)) * gallery.dim
        if gallery.counts is not None and size > MOST_WEIGHTS:
            raise BiocosmosError(
                f"linear would learn {size:,} weights of {gallery.dim:,} k-mers: choose the method 'barcode' or 'nearest', or "
                "embed with kmer:5 or a trained barcode model"
            )
        head = LinearHead.fit(gallery.vectors, gallery.taxa, class_weight=options.class_weight, device=options.device)
        return cls()._with(head, gallery)

    def _with(self, head: LinearHead, gallery: Gallery) -> Self:
        self._head = head
        return self.known(gallery, head.candidates)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Logits (n, C)."""
        return self._head.scores(vectors)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """weight, bias, mean and scale."""
        head = self._head
        return {"weight": head.weight, "bias": head.bias, "mean": head.mean, "scale": np.array(head.scale)}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From its arrays."""
        head = LinearHead(classes, arrays["weight"], arrays["bias"], arrays["mean"], float(arrays["scale"]))
        return cls()._with(head, gallery)


class _Loss:
    """The objective and its gradient for flat float64 parameters, computed in float32 over chunks of rows."""

    def __init__(
        self,
        vectors: FloatArray,
        labels: NDArray[np.int64],
        weights: FloatArray,
        mean: FloatArray,
        scale: float,
        classes: int,
        l2: float,
        device: str,
    ) -> None:
        self.x, self.labels = torch.from_numpy(np.ascontiguousarray(vectors)), torch.from_numpy(labels)
        self.row_weights, self.mean = torch.from_numpy(weights), torch.from_numpy(mean).to(device)
        self.scale, self.shape, self.l2, self.device = scale, (classes, vectors.shape[1]), l2, device

    def unpack(self, flat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        classes, dim = self.shape
        return flat[: classes * dim].reshape(classes, dim), flat[classes * dim :]

    def __call__(self, flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight64, bias64 = self.unpack(flat)
        weight = torch.from_numpy(weight64.astype(np.float32)).to(self.device)
        bias = torch.from_numpy(bias64.astype(np.float32)).to(self.device)
        total, weight_gradient, bias_gradient = 0.0, torch.zeros_like(weight), torch.zeros_like(bias)
        for a in range(0, len(self.x), _CHUNK_ROWS):
            rows = slice(a, a + _CHUNK_ROWS)
            z = (self.x[rows].to(self.device) - self.mean) / self.scale
            y, w = self.labels[rows].to(self.device), self.row_weights[rows].to(self.device)
            log_p = torch.log_softmax(torch.addmm(bias, z, weight.T), dim=1)
            at = torch.arange(len(y), device=self.device)
            total -= float((w * log_p[at, y]).sum(dtype=torch.float64))
            error = log_p.exp_()
            error[at, y] -= 1
            error *= w[:, None]
            weight_gradient += error.T @ z
            bias_gradient += error.sum(0)
        gradient = np.concatenate([weight_gradient.double().cpu().numpy().ravel(), bias_gradient.double().cpu().numpy()])
        gradient[: weight64.size] += self.l2 * flat[: weight64.size]
        return total + self.l2 / 2 * float((weight64**2).sum()), gradient
