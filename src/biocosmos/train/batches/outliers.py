"""Images of no taxon, made of images of the known taxa, to train or test that a model knows when it does not know.

    halves      one specimen up to a cut through its middle, another beyond it
    quadrants   two specimens in turn in the four sectors about their middle
    spectra     the outlines (Fourier phase) of one specimen with the textures (amplitude) of another
    shuffle     the pieces of one specimen in other places, turned

What gives a pasted image away is taken care of, else a network learns to see seams: the second specimen is moved, turned, scaled
and shaded to fit the first, its background becomes the first's, and seams are wavy and a few pixels wide. Chimeras as
anomalies: the plankton anomaly benchmark of OceanIA; as training outliers: CODEs (Tang et al., ICCV 2021, arXiv 2108.06024).
Near-boundary examples, which need a model, are in :mod:`biocosmos.train.batches.near_boundary`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.augment import background_of

OBJECT_CONTRAST = 0.2
"""A pixel is of the specimen when it differs from the background by this share of the image's largest difference."""
ZOOM = 1.6
SHADE = 2.0
"""Largest factors, either way, by which the second specimen is scaled and its contrast changed to fit the first."""
TURN = math.radians(20)
"""Standard deviation of the angle between the long axes of the two specimens."""
SEAM = 1 / 60
WAVE = 1 / 30
"""Width of a seam and height of its waves, shares of the image's side."""
GRIDS = (2, 3)
"""A shuffled specimen is cut into so many pieces along each side."""
SQUARE = 1.7
"""Side of the square that is cut into pieces, in diameters (twice the root mean square radius) of the specimen."""
ENVELOPE = 1 / 12
"""How far about the specimens mixed spectra are kept, share of the side; beyond it they are noise in the background."""


def make(kind: str, images: Tensor, targets: Tensor, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """``count`` outliers of one kind, those of one pair of images after those of another.

    Args:
        kind: one of :data:`KINDS`.
        images: (n, 3, side, side) uint8, or floats of any scale, on any device; they are not changed.
        targets: (n,) integers, equal for images of one taxon; parents have different ones. Images below 0 are not used.
        generator: on the CPU; the only source of randomness.
        count: how many.

    Returns: ((m, 3, side, side) of the images' type and device, (m, 2) int64 rows of the images each was made of, on the CPU, the
    first being the one whose background and place it has; both the same for those of :data:`ALONE`). m is ``count``, or 0 when
    there are no images of two taxa.
    Raises BiocosmosError for an unknown kind.
    """
    if kind not in KINDS:
        raise BiocosmosError(f"outliers of kind '{kind}' cannot be made of images alone: choose among {', '.join(KINDS)}")
    parents = pairs(targets, count, generator)
    draws = torch.rand(len(parents), _DRAWS, generator=generator, dtype=torch.float64).to(images.device, torch.float32)
    if not len(parents):
        return images[:0], parents
    # grey images, as most instruments give, are made in one channel
    grey = torch.equal(images[:, :1].expand_as(images), images)
    values = images[:, :1] if grey else images
    values = values if values.is_floating_point() else values.float()
    rows = parents.to(images.device)
    first = _Specimens(values[rows[:, 0]])
    if kind in ALONE:
        parents, second = parents[:, :1].repeat(1, 2), first
    else:
        second = _Specimens(values[rows[:, 1]])
    made = KINDS[kind](first, second, draws)
    made = made.repeat(1, images.shape[1], 1, 1) if grey else made
    if images.is_floating_point():
        low, high = values.amin(), values.amax()
        return made.clamp(low, high).to(images.dtype), parents
    return made.round_().clamp_(0, 255).to(images.dtype), parents


@dataclass(frozen=True)
class Outliers:
    """Some kinds of outliers, in turn.

    kinds: of :data:`KINDS`. Raises BiocosmosError for none, or an unknown one.
    """

    kinds: Sequence[str]

    def __post_init__(self) -> None:
        for kind in self.kinds or ("",):
            if kind not in KINDS:
                raise BiocosmosError(f"outliers of kind '{kind}' are not known: choose among {', '.join(KINDS)}")

    def make(self, images: Tensor, targets: Tensor, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """``count`` outliers, about as many of each kind, the kinds one after another; as :func:`make`."""
        shares = [len(range(start, count, len(self.kinds))) for start in range(len(self.kinds))]
        made = [make(kind, images, targets, generator, share) for kind, share in zip(self.kinds, shares)]
        return torch.cat([part for part, _ in made]), torch.cat([parents for _, parents in made])


def pairs(targets: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, 2) int64 rows of images of different taxa, on the CPU; (0, 2) when there is no such pair.

    The first of each pair goes through all images in a random order; the second is any of another taxon, equally likely.
    """
    targets = targets.cpu()
    known = (targets >= 0).nonzero().squeeze(1)
    _, code, sizes = torch.unique(targets[known], return_inverse=True, return_counts=True)
    by_taxon = known[code.argsort(stable=True)]
    start = sizes.cumsum(0) - sizes
    if len(sizes) < 2 or count <= 0:
        return torch.empty(0, 2, dtype=torch.int64)
    rounds = -(-count // len(known))
    first = torch.cat([torch.randperm(len(known), generator=generator) for _ in range(rounds)])[:count]
    own = code[first]
    others = len(known) - sizes[own]
    place = (torch.rand(count, generator=generator, dtype=torch.float64) * others).long()
    place += torch.where(place >= start[own], sizes[own], 0)  # jump over the taxon's own block
    return torch.stack([known[first], by_taxon[place]], 1)


class _Specimens:
    """Where the specimen of each image is: what differs from the background, its middle, long axis, size and contrast.

    difference: (n, c, s, s); background: (n, c, 1, 1); strength: (n, 1, s, s) size of the difference; inside: (n, 1, s, s) 0 or
    1; middle: (n, 2) x, y in pixels from the image's middle; axis: (n,) radians; radius: (n,) pixels, root mean square; contrast:
    (n,) mean strength inside.
    """

    def __init__(self, values: Tensor) -> None:
        self.background = background_of(values)
        self.difference = values - self.background
        self.strength = self.difference.abs().mean(1, keepdim=True)
        largest = self.strength.amax((2, 3), keepdim=True)
        self.inside = ((self.strength > OBJECT_CONTRAST * largest) & (largest > 0)).to(values.dtype)
        side = values.shape[-1]
        x = torch.arange(side, device=values.device, dtype=values.dtype) - (side - 1) / 2
        across, down = self.inside.sum((1, 2)), self.inside.sum((1, 3))  # (n, s): pixels in each column, row
        area = across.sum(1).clamp_min(1)
        middle_x, middle_y = across @ x / area, down @ x / area
        xx = across @ (x * x) / area - middle_x**2
        yy = down @ (x * x) / area - middle_y**2
        xy = torch.einsum("nyx,y,x->n", self.inside[:, 0], x, x) / area - middle_x * middle_y
        self.middle = torch.stack([middle_x, middle_y], 1)
        self.axis = 0.5 * torch.atan2(2 * xy, xx - yy)
        self.radius = (xx + yy).clamp_min(0).sqrt().clamp_min(side / 32)
        self.contrast = (self.strength * self.inside).sum((1, 2, 3)) / area
        self.side = side

    def offsets(self) -> tuple[Tensor, Tensor]:
        """x and y, (n, s, s) in pixels, of each pixel from the specimen's middle."""
        place = torch.arange(self.side, device=self.middle.device, dtype=self.middle.dtype) - (self.side - 1) / 2
        x = (place[None, :] - self.middle[:, :1])[:, None, :].expand(-1, self.side, -1)
        y = (place[None, :] - self.middle[:, 1:])[:, :, None].expand(-1, -1, self.side)
        return x, y


def _fitted(second: _Specimens, first: _Specimens, draws: Tensor) -> Tensor:
    """The differences of ``second`` from its background, (n, c, s, s), fitted to where ``first`` is; draws: (n, 4)."""
    normal = torch.sqrt(-2 * torch.log(1 - draws[:, 0])) * torch.cos(2 * math.pi * draws[:, 1])
    mirror = torch.where(draws[:, 2] < 0.5, -1.0, 1.0)
    half_turn = torch.where(draws[:, 3] < 0.5, math.pi, 0.0)
    zoom = (first.radius / second.radius).clamp(1 / ZOOM, ZOOM)
    # from a place about the first's middle, along its axis, back to one about the second's
    into = -(first.axis + TURN * normal)
    back = second.axis + half_turn
    cos_in, sin_in, cos_back, sin_back = torch.cos(into), torch.sin(into), torch.cos(back), torch.sin(back)
    a = (cos_back * cos_in - mirror * sin_back * sin_in) / zoom
    b = (-cos_back * sin_in - mirror * sin_back * cos_in) / zoom
    c = (sin_back * cos_in + mirror * cos_back * sin_in) / zoom
    d = (-sin_back * sin_in + mirror * cos_back * cos_in) / zoom
    x = second.middle[:, 0] - a * first.middle[:, 0] - b * first.middle[:, 1]
    y = second.middle[:, 1] - c * first.middle[:, 0] - d * first.middle[:, 1]
    units = 2 / second.side  # of grid_sample, to which a side is 2
    maps = torch.stack([a, b, x * units, c, d, y * units], 1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(second.difference.shape), align_corners=False)
    # bicubic, since a blurred half would be known by its blur
    moved = F.grid_sample(second.difference, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    shade = (first.contrast / second.contrast.clamp_min(1e-6)).clamp(1 / SHADE, SHADE)
    return moved * shade[:, None, None, None]


def _side_of(cut: Tensor, x: Tensor, y: Tensor, phase: Tensor, side: int) -> Tensor:
    """-1..1, (n, s, s): on which side of a wavy line through the middle at angle ``cut`` each pixel lies."""
    cos, sin = torch.cos(cut)[:, None, None], torch.sin(cut)[:, None, None]
    along, beyond = cos * x + sin * y, cos * y - sin * x
    wave = WAVE * side * torch.sin(2 * math.pi * (2.5 * along / side + phase[:, None, None]))
    return torch.tanh((beyond + wave) / (SEAM * side))


def _halves(first: _Specimens, second: _Specimens, draws: Tensor) -> Tensor:
    x, y = first.offsets()
    share = (1 + _side_of(2 * math.pi * draws[:, 4], x, y, draws[:, 5], first.side))[:, None] / 2
    return first.background + torch.lerp(first.difference, _fitted(second, first, draws), share)


def _quadrants(first: _Specimens, second: _Specimens, draws: Tensor) -> Tensor:
    x, y = first.offsets()
    cut = 2 * math.pi * draws[:, 4]
    sides = _side_of(cut, x, y, draws[:, 5], first.side) * _side_of(cut + math.pi / 2, x, y, draws[:, 6], first.side)
    return first.background + torch.lerp(first.difference, _fitted(second, first, draws), (1 + sides)[:, None] / 2)


def _spectra(first: _Specimens, second: _Specimens, draws: Tensor) -> Tensor:
    other = _fitted(second, first, draws)
    phase, amplitude = torch.fft.rfft2(first.difference), torch.fft.rfft2(other).abs()
    size = list(other.shape[-2:])
    mixed: Tensor = torch.fft.irfft2(amplitude * phase / phase.abs().clamp_min(1e-6), s=size)
    # kept where either specimen is: elsewhere it is noise that no real background has
    there = torch.maximum(first.strength, other.abs().mean(1, keepdim=True))
    reach = max(1, round(ENVELOPE * first.side))
    near = F.interpolate(F.avg_pool2d(there, reach, ceil_mode=True), scale_factor=reach, mode="bilinear")
    near = near[..., : first.side, : first.side]
    envelope = (near / (0.25 * near.amax((2, 3), keepdim=True)).clamp_min(1e-6)).clamp_max(1)
    mixed = mixed * envelope
    spread: Tensor = first.difference.std((1, 2, 3), keepdim=True) / mixed.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return first.background + mixed * spread


def _shuffle(first: _Specimens, _: _Specimens, draws: Tensor) -> Tensor:
    side = first.side
    out = torch.empty_like(first.difference)
    which = (draws[:, 4] * len(GRIDS)).long().clamp_max(len(GRIDS) - 1)
    for number, pieces in enumerate(GRIDS):
        mine = (which == number).nonzero().squeeze(1)
        if not len(mine):
            continue
        # a square about the specimen, of whole pieces
        piece = (SQUARE * 2 * first.radius[mine] / pieces).clamp(side / 12, side / pieces).long()
        corner = (first.middle[mine] + (side - 1) / 2 - piece[:, None] * pieces / 2).round().long()
        corner = torch.minimum(corner.clamp_min(0), (side - piece * pieces)[:, None])
        index, at_seam = _rearranged(piece, corner, pieces, side, draws[mine, 8:])
        image = first.difference[mine].flatten(2)
        moved = image.gather(2, index.flatten(1)[:, None].expand_as(image)).view(len(image), -1, side, side)
        out[mine] = torch.where(at_seam[:, None], F.avg_pool2d(moved, 3, stride=1, padding=1), moved)
    return first.background + out


def _rearranged(piece: Tensor, corner: Tensor, pieces: int, side: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """(n, s, s) pixel, counted row by row, that each pixel is taken from, and whether a seam is beside it.

    piece: (n,) side of a piece, pixels; corner: (n, 2) x, y of the first one; draws: (n, at least 2 pieces^2).
    """
    place = torch.arange(side, device=piece.device)
    x = (place - corner[:, :1])[:, None, :].expand(-1, side, -1)
    y = (place - corner[:, 1:])[:, :, None].expand(-1, -1, side)
    size = piece[:, None, None]
    within = (x >= 0) & (y >= 0) & (x < size * pieces) & (y < size * pieces)
    cell = (y.div(size, rounding_mode="floor") * pieces + x.div(size, rounding_mode="floor")).clamp(0, pieces**2 - 1).flatten(1)
    source = draws[:, : pieces**2].argsort(1).gather(1, cell).view_as(x)
    turn = (4 * draws[:, pieces**2 : 2 * pieces**2]).long().clamp_max(3).gather(1, cell).view_as(x)
    u, v = x.remainder(size), y.remainder(size)
    last = size - 1
    from_u = torch.where(turn == 0, u, torch.where(turn == 1, v, torch.where(turn == 2, last - u, last - v)))
    from_v = torch.where(turn == 0, v, torch.where(turn == 1, last - u, torch.where(turn == 2, last - v, u)))
    from_x = corner[:, 0, None, None] + source.remainder(pieces) * size + from_u
    from_y = corner[:, 1, None, None] + source.div(pieces, rounding_mode="floor") * size + from_v
    index = torch.where(within, from_y * side + from_x, place[:, None] * side + place)
    edge = torch.minimum(torch.minimum(u, last - u), torch.minimum(v, last - v))
    return index, within & (edge < max(1, round(SEAM * side)))


_DRAWS = 8 + 2 * max(GRIDS) ** 2
"""Random numbers per outlier, drawn whatever its kind."""
KINDS: dict[str, Callable[[_Specimens, _Specimens, Tensor], Tensor]] = {
    "halves": _halves,
    "quadrants": _quadrants,
    "spectra": _spectra,
    "shuffle": _shuffle,
}
ALONE = frozenset({"shuffle"})
"""Kinds that are made of one image."""
