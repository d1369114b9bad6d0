"""From a decoded image to the square uint8 tensor a model takes; the numbers come from the model's own configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Number, Several, misfit
from biocosmos.images import Decoded, Pixels, Source, read_image

Resize = Literal["pad", "crop", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
Background = Literal["border"] | tuple[int, int, int]
MOST_PIXELS = 4096
"""Side of an encoder's input; those of published models end at about 1,500."""
_VALUES = {
    "size": Number(1, MOST_PIXELS, whole=True),
    "mean": Several(Number(-100, 100), 3),
    "std": Several(Number(1e-6, 1e6), 3),
    "background": ("border", Several(Number(0, 255, whole=True), 3)),
    "crop_fraction": Number(0.01, 1),
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input; recorded with every embedding.

    Attributes:
        size: side of the square input, pixels.
        resize: "pad" scales the long side to ``size`` and fills up to a square; "crop" scales the short side to
            ``size / crop_fraction`` and keeps the centre; "squash" scales both sides, whatever the aspect.
        interpolation: always antialiased.
        mean, std: per channel, on values in 0..1.
        background: what "pad" fills with: "border", the median colour of the image's own border, or a colour in 0..255.
        crop_fraction: share of the scaled image that "crop" and "squash" keep, 0..1.
    """

    size: int = 224
    resize: Resize = "crop"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    background: Background = "border"
    crop_fraction: float = 1.0

    def __post_init__(self) -> None:
        for value, kind, name in ((self.resize, Resize, "resize"), (self.interpolation, Interpolation, "interpolation")):
            if value not in get_args(kind):
                raise BiocosmosError(f"{name} '{str(value)[:40]}' is not known: choose {', '.join(get_args(kind))}")
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        if fault := misfit(plain, _VALUES):
            raise BiocosmosError(f"images cannot be prepared so: {fault}")

    def replaced(self, **changes: Any) -> Preprocessing:
        """A copy with some values changed; those given as None stay."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """What :meth:`as_dict` gave, as it comes back from JSON. Raises BiocosmosError if it is nothing of the kind."""
        try:
            return cls().replaced(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except TypeError as error:
            raise BiocosmosError(f"not a preprocessing of this version of biocosmos: {first_line(error)}") from error

    @property
    def wanted_sides(self) -> tuple[int | None, int | None]:
        """(short, long) side in pixels that a JPEG may be decoded down to, for :func:`biocosmos.images.read_image`."""
        return (None, self.size) if self.resize == "pad" else (int(self.size / self.crop_fraction), None)

    def read(self, source: Source, crop: Sequence[float] | None = None) -> torch.Tensor:
        """Decode and prepare one image file, or a crop (x, y, width, height in pixels) of it. Raises ImageError."""
        return self.read_with_size(source, crop)[0]

    def read_with_size(self, source: Source, crop: Sequence[float] | None = None) -> tuple[torch.Tensor, tuple[int, int]]:
        """As :meth:`read`, and (height, width) in pixels of what was looked at, upright, before it was scaled."""
        box = None if crop is None else (float(crop[0]), float(crop[1]), float(crop[2]), float(crop[3]))
        short, long = self.wanted_sides
        decoded = read_image(source, crop=box, short_side=short, long_side=long)
        return self.prepare(decoded), decoded.size

    def prepare(self, image: Decoded) -> torch.Tensor:
        """One image as (3, size, size) uint8, contiguous. Called from decode threads."""
        pixels = image.pixels
        height, width = pixels.shape[:2]
        if self.resize == "pad":
            scale = self.size / max(height, width)
            inner = _resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)), self.interpolation)
            if inner.shape[1:] == (self.size, self.size):
                return inner.contiguous()
            colour = border_colour(pixels) if self.background == "border" else np.array(self.background, np.uint8)
            out = torch.from_numpy(colour)[:, None, None].repeat(1, self.size, self.size)
            top, left = (self.size - inner.shape[1]) // 2, (self.size - inner.shape[2]) // 2
            out[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
            return out
        scaled = int(self.size / self.crop_fraction)
        if self.resize == "squash":
            inner = _resized(pixels, scaled, scaled, self.interpolation)
        else:
            short = min(height, width)
            inner = _resized(pixels, int(scaled * height / short), int(scaled * width / short), self.interpolation)
        # rounded as torchvision does it, so that the same pixels are kept
        top, left = round((inner.shape[1] - self.size) / 2), round((inner.shape[2] - self.size) / 2)
        return inner[:, top : top + self.size, left : left + self.size].contiguous()


def border_colour(pixels: Pixels) -> Pixels:
    """Median colour (3,) uint8 of the outermost pixels: the background of a specimen photographed or segmented alone."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    middle = len(border) // 2
    median: Pixels = np.partition(border, middle, axis=0)[middle]
    return median


def _resized(pixels: Pixels, height: int, width: int, interpolation: Interpolation) -> torch.Tensor:
    # The kernel for uint8 is fastest on a (1, 3, h, w) view with the strides of (h, w, 3), which costs no copy.
    tensor = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy()).permute(2, 0, 1)[None]
    if tensor.shape[2:] == (height, width):
        return tensor[0]
    return F.interpolate(tensor, (height, width), mode=interpolation, antialias=True)[0]
