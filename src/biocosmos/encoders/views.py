"""Views of an image: its eight turned and mirrored copies, the symmetries of a square, so that no pixel is interpolated."""

from __future__ import annotations

import torch

from biocosmos.errors import BiocosmosError

VIEWS = 8
_QUARTERS = (0, 2, 1, 3)


def view(images: torch.Tensor, number: int) -> torch.Tensor:
    """View ``number`` in 0..7 of (n, 3, size, size) images: as it is, turned by a half, by a quarter, by three; then mirrored.

    So the first 2 views are the two ways up, the first 4 all turns, and 8 are all.
    """
    turned = torch.rot90(images, _QUARTERS[number % 4], (2, 3))
    return (turned.flip(3) if number >= 4 else turned).contiguous()


def check_views(views: int) -> int:
    """Refuse a number of views that an image has not."""
    if not 1 <= views <= VIEWS:
        raise BiocosmosError(f"an image has 1 to {VIEWS} views (turned and mirrored copies), not {views}")
    return views
