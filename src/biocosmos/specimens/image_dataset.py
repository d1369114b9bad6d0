"""The images of a collection as a torch Dataset, for a training loop of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.images import read_image

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

UNLABELLED = -1
COLUMNS = ("image", "image_path", "crop")


class ImageDataset(Dataset[tuple[Any, int]]):
    """(image, class) of the selected specimens that have an image, in the order they were stored.

    It can be pickled, and opens the store anew in each worker of a DataLoader. Lance does not survive a fork, which is how Linux
    starts workers before Python 3.14: give the DataLoader ``multiprocessing_context="spawn"``.

    Attributes:
        ids: of the specimens, n.
        classes: names at ``rank`` in alphabetical order; of homonyms, and so of all names, the path down to the rank decides.
        targets: (n,) int64 number of the class of each, -1 without a name at the rank.
    """

    def __init__(
        self,
        collection: Collection,
        rank: str | None = None,
        *,
        transform: Callable[[Any], Any] | None = None,
        pil: bool = False,
        unlabelled: bool = False,
        split: str | None = None,
        within: str | None = None,
        where: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
            rank: whose names are the classes; default the finest.
            transform: applied to each image, (3, height, width) uint8 tensor in RGB or, with ``pil``, a Pillow image.
            unlabelled: keep specimens without a name at the rank, as class -1.
            split, within, where: as for :meth:`Collection.scan`.
            classes: those of the training part, for a dataset of another part; names that are not among them are class -1.

        Raises:
            BiocosmosError: no such rank, part, taxon or column; no image is selected.
        """
        if not collection.ranks:
            raise BiocosmosError(f"{collection.path} has no names at any rank: ingest labels first")
        self.rank = collection.ranks[-1] if rank is None else rank
        if self.rank not in collection.ranks:
            raise BiocosmosError(f"no rank '{self.rank}' in {collection.path}: it has {', '.join(collection.ranks)}")
        self.transform, self.pil = transform, pil
        self._path = str(collection.dataset.uri)
        self._version = collection.dataset.version
        self._opened: tuple[int, lance.LanceDataset] | None = None
        above = collection.ranks[: collection.ranks.index(self.rank) + 1]
        known = "(image IS NOT NULL OR image_path IS NOT NULL)"
        chosen = known if where is None else f"{known} AND ({where})"
        table = pa.Table.from_batches(
            collection.scan(["id", *above], split=split, within=within, where=chosen),
            pa.schema([("id", pa.string()), *[(name, pa.string()) for name in above]]),
        )
        names = _names(table, above)
        self.classes = tuple(sorted({name for name in names if name is not None}) if classes is None else classes)
        number = {name: i for i, name in enumerate(self.classes)}
        targets = np.array([UNLABELLED if name is None else number.get(name, UNLABELLED) for name in names], np.int64)
        if not unlabelled and classes is None:
            table, targets = table.filter(pa.array(targets >= 0)), targets[targets >= 0]
        if not len(table):
            raise BiocosmosError(f"no specimen of {collection.path} with an image and a name at rank '{self.rank}' was selected")
        self.ids: list[str] = table["id"].to_pylist()
        self.targets = targets
        stored = {id_: row for row, id_ in enumerate(collection.dataset.to_table(columns=["id"])["id"].to_pylist())}
        self._rows = np.array([stored[id_] for id_ in self.ids], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Raises ImageError that names the specimen if its file is gone or broken since it was ingested."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """Many at once, with one read of the store: what a DataLoader asks for."""
        order = np.argsort(self._rows[list(indices)], kind="stable")
        rows = self._dataset().take(self._rows[list(indices)][order].tolist(), columns=list(COLUMNS))
        out: list[tuple[Any, int]] = [(None, UNLABELLED)] * len(indices)
        for place, row in zip(order.tolist(), rows.to_pylist()):
            index = indices[place]
            out[place] = (self._image(row, self.ids[index]), int(self.targets[index]))
        return out

    def _image(self, row: dict[str, Any], id_: str) -> Any:
        source = row["image"] if row["image"] is not None else row["image_path"]
        try:
            pixels = read_image(source, crop=None if row["crop"] is None else tuple(row["crop"])).pixels
        except ImageError as error:
            raise ImageError(f"the image of specimen '{id_}' cannot be read: {error}") from error
        image: Any
        if self.pil:
            from PIL import Image

            image = Image.fromarray(pixels)
        else:
            image = torch.from_numpy(pixels).permute(2, 0, 1)
        return image if self.transform is None else self.transform(image)

    def _dataset(self) -> lance.LanceDataset:
        # a store that was opened before a fork must not be used after it
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), lance.dataset(self._path, version=self._version))
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


def _names(table: pa.Table, ranks: Sequence[str]) -> list[str | None]:
    """The name of each row at the last of the ranks, or its path from the top where several taxa share it."""
    own: list[str | None] = table[ranks[-1]].to_pylist()
    paths = pc.binary_join_element_wise(
        *[table[rank] for rank in ranks], "/", null_handling="replace", null_replacement=""
    ).to_pylist()
    meanings: dict[str, set[str]] = {}
    for name, path in zip(own, paths):
        if name is not None:
            meanings.setdefault(name, set()).add(path)
    return [name if name is None or len(meanings[name]) == 1 else path for name, path in zip(own, paths)]
