"""The ways that the dial tries: a reduction, a precision and a backend each, made when they are needed and timed in turns with
all tokens, so that both see the same noise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.encoder import Encoder
from biocosmos.encoders.image_reader import ahead
from biocosmos.encoders.reduction.reduced import reduced
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.registry import build_encoder
from biocosmos.encoders.towers import Towers
from biocosmos.encoders.ways import openvino_is_here
from biocosmos.evaluate.dial.choice import STEP, Judged
from biocosmos.jobs.tokens.dial_settings import BACKENDS, PRECISIONS, DialSettings
from biocosmos.settings import names_in

ROUNDS, MOST_ROUNDS = 3, 15
BATCHES = 2
"""Batches of each stream that a round computes."""
SECONDS = 2.0
"""After which no round is begun but the first ones."""
DENSE = "all tokens"


@dataclass(frozen=True)
class Way:
    """How an encoder is computed. reduction: None for all tokens."""

    reduction: Reduction | None
    precision: str
    backend: str

    @property
    def tokens(self) -> str:
        """The reduction in words."""
        return DENSE if self.reduction is None else str(self.reduction)

    @property
    def name(self) -> str:
        """In words: "atc-0.5, bfloat16 by openvino"."""
        return f"{self.tokens}, {self.precision} by {self.backend}"

    @property
    def exact(self) -> bool:
        """Whether its numbers are those of the encoder, up to the rounding of float32."""
        return self.reduction is None and self.precision == "float32"

    def towers(self, dense: Towers) -> Towers:
        """The encoder with its tokens reduced; the weights are shared."""
        return dense if self.reduction is None else reduced(dense, self.reduction)

    def encoder(self, dense: Towers, device: str) -> Encoder:
        """Ready to compute. Raises BiocosmosError where this machine, or this reduction, has no such way."""
        made = self.towers(dense)
        return build_encoder(self.name, made, device=device, precision=self.precision, backend=self.backend)


REFERENCE = Way(None, "float32", "torch")


def ways_of(settings: DialSettings, *, torch_alone: bool) -> list[Way]:
    """All that are tried, those with all tokens first. torch_alone: in float32 and by torch, as a head is computed."""
    precisions = [each for each in PRECISIONS if each in names_in(settings.precision)]
    asked = settings.backends() or (BACKENDS if openvino_is_here() and settings.device in ("auto", "cpu") else ("torch",))
    backends = [each for each in BACKENDS if each in asked]
    if torch_alone:
        precisions, backends = ["float32"], ["torch"]
    reductions: list[Reduction | None] = [None, *settings.reductions()]
    return [Way(each, precision, backend) for each in reductions for precision in precisions for backend in backends]


def times_as_fast(encoder: Encoder, reference: Encoder, pixels: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """(how many times as many images a second as the reference, images a second of the encoder).

    pixels: (n, 3, size, size) uint8. Both take turns, and the median of the ratios of neighbouring rounds counts: what else the
    machine does then makes both slower alike. The images a second are those of the fastest round.
    """
    both = (encoder, reference)
    images = [_filled(pixels, one) for one in both]
    took: list[list[float]] = [[], []]
    begun = time.perf_counter()
    for number in range(MOST_ROUNDS + 1):
        for i, one in enumerate(both):
            start = time.perf_counter()
            for _ in _computed(one, images[i]):
                pass
            if number:  # the first warms up
                took[i].append((time.perf_counter() - start) / len(images[i]))
        if number >= ROUNDS and time.perf_counter() - begun > SECONDS:
            break
    return float(np.median(np.array(took[1]) / np.array(took[0]))), 1 / min(took[0])


def _filled(pixels: npt.NDArray[np.uint8], encoder: Encoder) -> torch.Tensor:
    """As many images as the encoder's streams take in some batches, the given ones over and over."""
    wanted = encoder.batch_size * max(1, encoder.streams) * BATCHES
    rows = np.arange(wanted) % len(pixels)
    return torch.from_numpy(np.array(pixels[np.sort(rows)]))


def _computed(encoder: Encoder, images: torch.Tensor) -> Iterator[npt.NDArray[np.float32]]:
    batches = torch.split(images, encoder.batch_size)
    return ahead(encoder.encode_images, batches, encoder.streams, enter=encoder.enter_thread, leave=encoder.leave_thread)


@dataclass
class Tried:
    """A way, and what was found of it.

    times: as fast as torch in float32 with all tokens; images_per_second; dropped: why it was left out before it was judged;
    loss: on the choosing specimens, None where it was not looked at; judged: on the judging ones; probability: of its test.
    """

    way: Way
    times: float = 0.0
    images_per_second: float = 0.0
    dropped: str = ""
    loss: float | None = None
    judged: Judged | None = None
    probability: float | None = None


def exact_at_its_fastest(tried: Sequence[Tried]) -> Tried:
    """All tokens in float32, by the backend that is fastest: what everything else is held against."""
    return max((one for one in tried if one.way.exact and not one.dropped), key=lambda one: one.times)


def drop_slow(tried: Sequence[Tried]) -> None:
    """Say of each that is not worth a look why: slower than all tokens, or than itself another way with the same numbers."""
    by_way = {one.way: one for one in tried if not one.dropped}
    exact = exact_at_its_fastest(tried)
    for one in by_way.values():
        way = one.way
        if way.exact:
            continue
        whole = by_way.get(Way(None, way.precision, way.backend))
        if way.reduction is not None and whole is not None and one.times <= whole.times:
            one.dropped = f"not faster than all tokens computed alike ({one.times / whole.times:.2f} times)"
            continue
        if one.times < STEP * exact.times:
            one.dropped = (
                f"not clearly faster than all tokens in float32 by {exact.way.backend} ({one.times / exact.times:.2f} times)"
            )
            continue
        same = [other for other in by_way.values() if other.way.reduction == way.reduction and other is not one]
        alike = [other for other in same if other.way.precision == way.precision and not other.dropped]
        if any(other.times > one.times for other in alike):
            best = max(alike, key=lambda other: other.times)
            one.dropped = f"{best.way.backend} computes the same numbers {best.times / one.times:.2f} times as fast"
            continue
        plain = [other for other in same if other.way.precision == "float32" and not other.dropped]
        if way.precision != "float32" and any(other.times >= one.times for other in plain):
            one.dropped = "not faster than the same in float32"
