"""Vectors of the boxes of a sequence, by an encoder that looks at their pictures; killed and run again it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from biocosmos.embed.parts import Part, Work
from biocosmos.errors import BiocosmosError, Failures, ImageError, first_line
from biocosmos.images import Decoded, read_image
from biocosmos.sequences.difficulty.pictures import BLUR_SIGMA, BLUR_SIZE, Pixels, blurred_around, crops, normalised
from biocosmos.sequences.difficulty.prepared import Prepared
from biocosmos.sequences.frames import Frames

if TYPE_CHECKING:
    import torch

    from biocosmos.encoders.towers import Towers

Vectors = npt.NDArray[np.float32]
Shown = Literal["crop", "blurred", "release"]
Seen = list[tuple[int, "torch.Tensor"]] | str
"""Of a frame: the place of each box and its picture, or why there is none."""
BLOCK = 256
"""Boxes whose vectors are kept together."""
READERS = 4
STAGE = "difficulty"


class Sees(Protocol):
    """What of an encoder is needed; :class:`biocosmos.encoders.encoder.Encoder` has it."""

    dim: int

    def prepare(self, image: Decoded, /) -> torch.Tensor: ...

    def encode_images(self, batch: torch.Tensor, /) -> Vectors: ...


class AsReleased:
    """A network that is shown whole frames as they are, with ImageNet's mean and deviation; its vectors are not made unit.

    That is the public code's way; it fits networks that take pictures of any size (ResNet-18 there).
    """

    def __init__(self, name: str, towers: Towers) -> None:
        import torch

        self.name, self._tower = name, towers.whole.eval()
        self.dim = towers.dim or self.encode_images(torch.zeros(1, 3, *[towers.preprocessing.size] * 2)).shape[1]

    def prepare(self, image: Decoded) -> torch.Tensor:
        """(3, height, width) float32."""
        import torch

        return torch.from_numpy(normalised(image.pixels))

    def encode_images(self, batch: torch.Tensor) -> Vectors:
        """(n, 3, height, width) -> (n, dim) float32. Raises BiocosmosError for a network of one size alone."""
        import torch

        try:
            with torch.inference_mode():
                found = torch.cat([self._tower(each[None]).flatten(1) for each in batch]).float().numpy()
        except (RuntimeError, AssertionError, ValueError) as error:
            what = f"{self.name} does not take whole frames of {batch.shape[3]} x {batch.shape[2]} pixels ({first_line(error)})"
            raise BiocosmosError(f"{what}: use --picture blurred, which brings them to its size") from error
        return found


@dataclass(frozen=True)
class Looking:
    """How individuals are looked at. encoder: see :class:`Sees`. shown: "crop", the box alone; "blurred", the whole frame out of
    focus around it; "release" the same, for :class:`AsReleased`. blur: size in pixels and sigma."""

    encoder: Sees
    shown: Shown = "crop"
    blur: tuple[int, float] = (BLUR_SIZE, BLUR_SIGMA)

    def pictures(self, pixels: Pixels, box: npt.NDArray[np.float64]) -> Iterator[Any]:
        """What the encoder takes for each box; None where there is nothing to see."""
        seen = crops(pixels, box) if self.shown == "crop" else blurred_around(pixels, box, *self.blur)
        for picture in seen:
            yield None if picture is None else self.encoder.prepare(Decoded(picture))


def look(
    kept: Prepared,
    frames: Frames,
    looking: Looking,
    *,
    failures: Failures,
    work: Work | None = None,
    told: Callable[[int], None] = lambda count: None,
) -> Vectors:
    """Vectors of the boxes that take part.

    work: a folder in which blocks of vectors wait, should the job be killed. told: is called with the boxes that were looked at.
    Returns: (n, dim) float32, nan where a picture is not there or cannot be read, which ``failures`` tells once a frame.
    """
    place = {int(number): i for i, number in enumerate(frames.number)}
    files = [frames.files[place[int(number)]] for number in kept.number]
    out: list[Vectors] = []
    with ThreadPoolExecutor(READERS) as pool:
        for block, rows in enumerate(_blocks(kept.number)):
            ids = _ids(kept, files, rows)
            part = None if work is None else Part.load(work.part(block), ids, looking.encoder.dim)
            if part is None:
                part = _look_at(kept, files, rows, looking, ids, pool)
                if work is not None:
                    part.save(work.part(block))
            for row, source, reason in part.failures:
                failures.add(reason, stage=STAGE, source=source, id=f"{kept.name} frame {kept.number[rows[row]]}")
            out.append(np.where(part.valid[:, None], part.vectors, np.float32(np.nan)))
            told(len(rows))
    return np.concatenate(out) if out else np.zeros((0, looking.encoder.dim), np.float32)


def _blocks(number: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in pieces of whole frames, about BLOCK boxes each."""
    first = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    begin = 0
    for end in [*first[1:].tolist(), len(number)]:
        if end - begin >= BLOCK or end == len(number):
            if end > begin:
                yield np.arange(begin, end)
            begin = end


def _ids(kept: Prepared, files: Sequence[str | None], rows: npt.NDArray[np.int64]) -> list[str]:
    """What each vector is of: another box or another file is another one."""
    facts: dict[str | None, str] = {None: "-"}
    for file in {files[row] for row in rows} - {None}:
        try:
            found = Path(str(file)).stat()
            facts[file] = f"{file} {found.st_size} {found.st_mtime_ns}"
        except OSError:
            facts[file] = f"{file} -"
    return [f"{kept.number[row]} {kept.track[row]} {kept.box[row].tolist()} {facts[files[row]]}" for row in rows]


def _look_at(
    kept: Prepared,
    files: Sequence[str | None],
    rows: npt.NDArray[np.int64],
    looking: Looking,
    ids: list[str],
    pool: ThreadPoolExecutor,
) -> Part:
    import torch

    part = Part.empty(ids, looking.encoder.dim)
    starts = np.flatnonzero(np.diff(kept.number[rows], prepend=kept.number[rows[0]] - 1))
    frames = np.split(np.arange(len(rows)), starts[1:])

    def seen(places: npt.NDArray[np.int64]) -> Iterator[tuple[int, torch.Tensor]]:
        file = files[rows[places[0]]]
        if file is None:
            raise ImageError("the picture of the frame is not there")
        pictures = looking.pictures(read_image(file).pixels, kept.box[rows[places]])
        return ((place, picture) for place, picture in zip(places.tolist(), pictures) if picture is not None)

    def at_once(places: npt.NDArray[np.int64]) -> Seen:
        try:
            return list(seen(places))
        except ImageError as error:
            return str(error)

    def one_by_one(places: npt.NDArray[np.int64]) -> Iterator[Seen]:
        try:
            for one in seen(places):
                yield [one]
        except ImageError as error:
            yield str(error)

    def keep(found: list[tuple[int, torch.Tensor]]) -> None:
        if found:
            where = [place for place, _ in found]
            part.vectors[where] = looking.encoder.encode_images(torch.stack([picture for _, picture in found]))
            part.valid[where] = True

    waiting: list[tuple[int, torch.Tensor]] = []
    whole = looking.shown == "release"  # of whole frames no more than one is held
    for places, several in zip(frames, map(one_by_one, frames) if whole else ([each] for each in pool.map(at_once, frames))):
        for found in several:
            if isinstance(found, str):
                part.failures.append((int(places[0]), files[rows[places[0]]], found))
            elif whole:
                keep(found)
            else:
                waiting += found
    keep(waiting)
    return part
