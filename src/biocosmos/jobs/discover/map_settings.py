"""What ``discover map`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.settings import check, setting


@dataclass(frozen=True)
class MapSettings(DiscoverSettings):
    """A projection to two dimensions, and what its points are coloured by."""

    reducer: str | None = setting(
        None,
        "To two dimensions by.",
        choices=("umap", "pacmap", "tsne", "pca"),
        unset="umap where it is installed, else pca",
    )
    by: tuple[str, ...] = setting(
        (),
        "Colour by these columns or ranks; 'part' is that of the default split, 'cluster' that of the last 'discover clusters'.",
        unset="the finest rank of at most 12 taxa, part and cluster, as far as there are",
    )

    def __post_init__(self) -> None:
        check(self)
