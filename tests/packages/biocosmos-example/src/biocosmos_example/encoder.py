"""An encoder without weights: the image itself, made very small."""

import torch
import torch.nn.functional as F


class Thumbnail:
    """(n, 3, 32, 32) uint8 pixels -> (n, 3 * side * side) float32: mean colours of tiles, less the image's mean."""

    size = 32
    """Pixels that an image is padded and scaled to before it comes here."""

    def __init__(self, side: str = "8") -> None:
        self.side = int(side)  # the text after the colon of "thumbnail:4"
        self.digest = f"thumbnail-{self.side}"  # changes when the vectors do, so that old and new ones are never mixed

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        tiles = F.adaptive_avg_pool2d(batch.float(), self.side).flatten(1)
        return tiles - tiles.mean(dim=1, keepdim=True) + 1e-3  # never the zero vector, which has no direction
