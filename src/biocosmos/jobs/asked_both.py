"""Images and DNA barcodes of the same specimens that are asked about together: a sequence belongs to the image of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.fusion.modalities import BOTH, DNA, IMAGE
from biocosmos.jobs.asked import AskedBlock, AskedImages, _quietly, asked_files
from biocosmos.jobs.asked_barcodes import BLOCK, AskedBarcodes, known_ids
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.listing import AskedFile
from biocosmos.jobs.sequences import OfFiles
from biocosmos.specimens.collection import Collection


class AskedBoth:
    """Blocks of images with their barcodes, then of barcodes without an image; see :class:`biocosmos.jobs.asked.Asked`.

    A barcode belongs to every image whose name, with or without its ending, is its id. Barcodes of the files are in memory, about
    a kilobyte each; images are not. An image that cannot be read is a failure, and its specimen is named by its barcode.
    """

    images = True
    total: int | None = None

    def __init__(self, images: AskedImages, files: Sequence[AskedFile], barcodes: AskedBarcodes, sequences: OfFiles) -> None:
        self._images, self._files, self._asked, self._sequences = images, files, barcodes, sequences
        self._of_images = {key for file in files for key in _names(file.path)}

    @property
    def computed(self) -> dict[str, Any]:
        """That of images."""
        return self._images.computed

    def digests(self) -> Iterator[str]:
        """Of images and all files of sequences."""
        facts = "".join(f"{file.fact()};" for file in self._sequences.files)
        of_files = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()
        last = ""
        for last in self._images.digests():
            yield f"{of_files} {last}"
        for found in self._sequences.digests():
            yield f"{last} {found}"

    def blocks(self, done: Callable[[int], bool], advance: Callable[[int], None] = _quietly) -> Iterator[AskedBlock]:
        """Files of sequences are read twice: for those of images first, and for the others at the end."""
        barcodes, number = self._of_names(), -1
        for block in self._images.blocks(done, advance):
            number = block.number
            if not done(number):
                block.specimens = self._joined(block, barcodes)
            yield block
        for others in self._asked.blocks(lambda each: done(number + 1 + each), advance):
            found = [_alone(each, self._of_images) for each in others.specimens]
            others.number, others.specimens = number + 1 + others.number, [each for each in found if len(each)]
            yield others

    def _of_names(self) -> dict[str, str]:
        """Of ids that are an image's name and no known specimen's, which would be named by itself."""
        found: dict[str, str] = {}
        for block in self._sequences.blocks(lambda number: False):
            known = self._asked.known_among(block.ids)
            for id_, letters in zip(block.ids, block.barcodes, strict=True):
                if id_ in self._of_images and id_ not in known:
                    found.setdefault(id_, letters)
        return found

    def _joined(self, block: AskedBlock, barcodes: dict[str, str]) -> list[Specimens]:
        out, dim = [], 0
        for each in block.specimens:
            assert each.vectors is not None
            dim = each.vectors.shape[1]
            letters = _letters(each.ids.tolist(), barcodes)
            out.append(Specimens(each.ids, vectors=each.vectors, columns=each.columns, barcodes=letters))
        unread = [str(row.source) for row in block.failures if row.severity == "error" and row.source is not None]
        letters = _letters(unread, barcodes)
        there = np.flatnonzero(letters != "")
        if len(there):
            ids = np.array(unread, object)[there]
            paths = pa.table({"image_path": pa.array(ids, pa.string())})
            out.append(Specimens(ids, vectors=np.zeros((len(ids), dim), np.float32), columns=paths, barcodes=letters[there]))
        return out if dim else _bare(out)


def asked_both(
    collection: Collection,
    identifier: Identifier,
    settings: IdentifySettings,
    images: Sequence[AskedFile],
    sequences: Sequence[AskedFile],
    through: Any = None,
) -> AskedBoth:
    """Files of images and of sequences as the identifier takes them."""
    asking = OfFiles(sequences, BLOCK)
    barcodes = AskedBarcodes(asking, None, known_ids(identifier))
    return AskedBoth(asked_files(collection, identifier, settings, images, through), images, barcodes, asking)


def by_evidence(tables: Iterator[pa.Table]) -> str | None:
    """How many specimens were named by what, in one sentence; None where all were by both, or names do not say it."""
    counts = dict.fromkeys((BOTH, IMAGE, DNA), 0)
    contradicting = 0
    for table in tables:
        if "evidence" not in table.column_names:
            return None
        for kind in table["evidence"].to_pylist():
            if kind is not None:
                counts[kind] += 1
        contradicting += sum(bool(each) for each in table["disagree"].to_pylist())
    if not sum(counts.values()):
        return None
    said = (
        f"{counts[BOTH]:,} specimens were named by image and barcode, {counts[IMAGE]:,} by the image alone and {counts[DNA]:,} "
        "by the barcode alone"
    )
    return f"{said}; of {contradicting:,} image and barcode contradict each other (column 'disagree')" if contradicting else said


def _names(path: str) -> tuple[str, str]:
    """What a sequence of the specimen on an image may be called."""
    return Path(path).stem, Path(path).name


def _letters(paths: Sequence[str], barcodes: dict[str, str]) -> npt.NDArray[np.object_]:
    found = [next((barcodes[key] for key in _names(path) if key in barcodes), "") for path in paths]
    return np.array(found, object)


def _alone(specimens: Specimens, of_images: set[str]) -> Specimens:
    """Those of barcodes that belong to no image."""
    assert specimens.barcodes is not None
    rows = np.array([str(id_) not in of_images for id_ in specimens.ids], np.bool_)
    paths = pa.table({"image_path": pa.nulls(int(rows.sum()), pa.string())})
    return Specimens(specimens.ids[rows], barcodes=specimens.barcodes[rows], columns=paths)


def _bare(blocks: list[Specimens]) -> list[Specimens]:
    """Barcodes without vectors."""
    return [Specimens(each.ids, barcodes=each.barcodes, columns=each.columns) for each in blocks]
