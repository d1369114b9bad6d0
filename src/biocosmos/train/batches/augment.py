"""Random views of prepared images: one affine sampling for turn, mirror, zoom, stretch and shift, then light and erasing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError

_WHITE = 255.0


@dataclass(frozen=True)
class Augment:
    """How far a training image may be changed without becoming another taxon; each image of a batch is changed for itself.

    Attributes:
        rotation: largest turn to either side, degrees; 180 is any direction.
        horizontal_flip, vertical_flip: mirror every second image, on average.
        zoom: (smallest, largest) magnification, drawn evenly on a logarithmic scale; below 1 the image shrinks.
        stretch: largest change of the aspect: width / height is multiplied by a number in 1/(1+stretch)..1+stretch.
        crop: (smallest, largest) share of the image's area that is seen, anywhere in it, in place of zoom and shift; None: all of
            it. With stretch 1/3 that is torchvision's RandomResizedCrop.
        shift: largest displacement in each direction, share of the side, 0..1.
        brightness: largest addition to all values, share of white, 0..1.
        contrast: largest relative change of the differences from the image's own background, 0..1.
        colour: largest relative change of each channel alone, 0..1.
        erase: probability that a rectangle is painted in the background colour, 0..1.
        erase_side: largest side of that rectangle, share of the image's side, 0..1.
        fill: what is seen beyond the image: "background", its own background colour, or "edge", its outermost pixels repeated.
    """

    rotation: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    zoom: tuple[float, float] = (1.0, 1.0)
    stretch: float = 0.0
    crop: tuple[float, float] | None = None
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    erase: float = 0.0
    erase_side: float = 0.4
    fill: str = "background"

    def __post_init__(self) -> None:
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise BiocosmosError(f"zoom must be (smallest, largest), both above 0, not {self.zoom}")
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise BiocosmosError(f"crop must be (smallest, largest) share of the area, above 0 and at most 1, not {self.crop}")
        if self.crop is not None and (self.zoom != (1.0, 1.0) or self.shift):
            raise BiocosmosError("crop says how near and where: leave zoom and shift out")
        if self.fill not in ("background", "edge"):
            raise BiocosmosError(f"fill '{self.fill}' is not known: choose background or edge")
        if not 0 <= self.rotation <= 180:
            raise BiocosmosError(f"rotation must be 0 to 180 degrees, not {self.rotation}")
        if self.stretch < 0:
            raise BiocosmosError(f"stretch must be at least 0, not {self.stretch}")
        for name in ("shift", "brightness", "contrast", "colour", "erase", "erase_side"):
            if not 0 <= getattr(self, name) <= 1:
                raise BiocosmosError(f"{name} must be 0 to 1, not {getattr(self, name)}")

    def replaced(self, **changes: Any) -> Augment:
        """A copy with some values changed; those given as None stay."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changed copies of ``images``, (n, 3, side, side) uint8, in the same shape and type and on the same device.

        All that is random comes from ``generator``, on the CPU and always as many numbers an image, so that a run that is
        resumed from the generator's state, or moved to a GPU, draws the same views.
        """
        n = len(images)
        draws = torch.rand(n, _DRAWS, generator=generator, dtype=torch.float64).to(images.device, torch.float32)
        if n == 0 or self == NONE:
            return images
        background = background_of(images)
        values = images.float()
        if self._moves:
            values = self._moved(values, draws[:, :7], background)
        values = self._lit(values, draws[:, 7:12], background)
        if self.erase:
            values = self._erased(values, draws[:, 12:17], background)
        return values.round_().clamp_(0, _WHITE).to(torch.uint8)

    @property
    def _moves(self) -> bool:
        flips = self.horizontal_flip or self.vertical_flip
        return bool(self.rotation or flips or self.stretch or self.shift or self.crop) or self.zoom != (1.0, 1.0)

    def _moved(self, values: torch.Tensor, draws: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        """``values`` sampled once along the inverse of each image's affine map."""
        angle = (2 * draws[:, 0] - 1) * math.radians(self.rotation)
        low, high = math.log(self.zoom[0]), math.log(self.zoom[1])
        zoom = torch.exp(low + draws[:, 1] * (high - low))
        if self.crop:
            zoom = (self.crop[0] + draws[:, 1] * (self.crop[1] - self.crop[0])).rsqrt()
        aspect = torch.exp((draws[:, 2] - 0.5) * math.log1p(self.stretch))  # on each axis half of it
        across, down = 1 / (zoom * aspect), aspect / zoom
        # grid_sample counts a side as 2 units: a shift of all the side is 2, and beside a crop there is room for 1 - its side
        room = torch.stack([1 - across, 1 - down], 1).clamp(min=0) if self.crop else 2 * self.shift
        if self.horizontal_flip:
            across = torch.where(draws[:, 3] < 0.5, -across, across)
        if self.vertical_flip:
            down = torch.where(draws[:, 4] < 0.5, -down, down)
        cos, sin = torch.cos(angle), torch.sin(angle)
        shift = (2 * draws[:, 5:7] - 1) * room
        maps = torch.stack([cos * across, -sin * down, shift[:, 0], sin * across, cos * down, shift[:, 1]], 1).view(-1, 2, 3)
        grid = F.affine_grid(maps, list(values.shape), align_corners=False)
        if self.fill == "edge":
            return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)
        # as differences from the background, so that the zeros beyond the image are the background
        return F.grid_sample(values - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + background

    def _lit(self, values: torch.Tensor, draws: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        signed = (2 * draws - 1)[:, :, None, None]
        if self.contrast:
            values = background + (values - background) * (1 + self.contrast * signed[:, :1])
        if self.colour:
            values = values * (1 + self.colour * signed[:, 2:5])
        if self.brightness:
            values = values + self.brightness * _WHITE * signed[:, 1:2]
        return values

    def _erased(self, values: torch.Tensor, draws: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        side = values.shape[-1]
        place = (torch.arange(side, device=values.device) + 0.5) / side
        extent = draws[:, 1:3] * self.erase_side
        start = draws[:, 3:5] * (1 - extent)
        inside = (place >= start[:, :, None]) & (place < (start + extent)[:, :, None])  # (n, axis, side)
        hole = inside[:, 0, :, None] & inside[:, 1, None, :] & (draws[:, 0] < self.erase)[:, None, None]
        return torch.where(hole[:, None], background, values)


_DRAWS = 17
"""Random numbers per image: 7 of place, 5 of light, 5 of erasing; drawn whether used or not."""


def background_of(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, 1, 1) float32: the median of the outermost pixels of each image (n, 3, s, s), as padding to a square takes it."""
    border = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], 2)
    return border.median(dim=2).values.float()[:, :, None, None]


NONE = Augment()
PLANKTON = Augment(rotation=180.0, horizontal_flip=True, vertical_flip=True, zoom=(0.8, 1.1), stretch=0.1, shift=0.05)
"""Specimens that drift in any direction before a plain background, padded to a square. A turn cuts the corners of the square,
which are padding unless the specimen lies along a diagonal: the zoom errs on the small side to keep most of those."""
PHOTO = Augment(
    rotation=15.0,
    horizontal_flip=True,
    zoom=(1.0, 1.6),
    stretch=0.3,
    shift=0.1,
    brightness=0.1,
    contrast=0.2,
    colour=0.1,
    fill="edge",
)
"""Photographs with an up and a down: of the animal in the field, or of a mounted specimen."""
CLIBD = Augment(rotation=45.0, horizontal_flip=True, vertical_flip=True, crop=(0.08, 1.0), stretch=1 / 3)
"""Gong et al., CLIBD, ICLR 2025 (arXiv:2405.17537): a crop of 8 % of the area and more, both mirrors, a turn of 45 degrees to
either side. Theirs is cut from 256 pixels and turned afterwards, with black corners; ours is sampled once from the prepared
image, with corners of its own background."""
PIPE = Augment(horizontal_flip=True, brightness=0.1, contrast=0.1, colour=0.1)
"""Haurum & Moeslund, Sewer-ML, CVPR 2021 (arXiv:2103.10895): a mirror, and a tenth of jitter. Theirs changes saturation
and hue too; ours changes each channel by itself."""
PRESETS = {"none": NONE, "plankton": PLANKTON, "photo": PHOTO, "clibd": CLIBD, "pipe": PIPE}


def preset(name: str) -> Augment:
    """The settings called ``name``. Raises BiocosmosError for a name that is none of :data:`PRESETS`."""
    if name not in PRESETS:
        raise BiocosmosError(f"augmentation '{name}' is not known: choose {', '.join(PRESETS)}")
    return PRESETS[name]
