"""Images and barcodes that somebody sends: in a folder of their own under numbers, whatever their names, and gone in the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Protocol

from biocosmos.errors import BiocosmosError, ImageError, one_line
from biocosmos.images import inspect_image
from biocosmos.serve.asking import limits, zips
from biocosmos.serve.asking.barcodes import Named, sequence_suffix

PREFIX = "biocosmos-upload-"
NAME_LENGTH = 200
UNNAMED = "image"
SUFFIXES = {"PNG": ".png", "TIFF": ".tif", "GIF": ".gif", "BMP": ".bmp", "WEBP": ".webp", "PPM": ".ppm"} | {
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "TGA": ".tga",
}
"""Of files that are made for a job; all else is a JPEG."""


class Sent(Protocol):
    """A file of a form: as Starlette gives it."""

    @property
    def filename(self) -> str | None: ...

    @property
    def file(self) -> IO[bytes]: ...


@dataclass(frozen=True)
class Image:
    """name: as its sender calls it, in one line, for people to read and nothing else; path: where it lies; kind: "JPEG"."""

    name: str
    path: Path
    kind: str = ""


@dataclass
class Uploads:
    """What one person sent at once; ``with`` it, or :meth:`close` it.

    images: in the order sent, those of a zip where it stood; sequences: files of barcodes; refused: (name, reason) of the others.
    """

    images: list[Image] = field(default_factory=list)
    sequences: list[Image] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0
    _folder: Path | None = None

    @classmethod
    def of(cls, files: Iterable[Sent], *, most: int = limits.FILES) -> Uploads:
        """Take over the files of a form; zips are opened. Raises BiocosmosError, one line, for more than may be; nothing is left
        behind then."""
        found = cls()
        try:
            for sent in files:
                found._take(sent, most)
        except BaseException:
            found.close()
            raise
        return found

    def paste(self, barcodes: Iterable[Named]) -> None:
        """Add barcodes that came as text, as a file of sequences."""
        lines = [f">{'_'.join(name.split())}\n{letters}\n" for name, letters in barcodes]
        if not lines:
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        path = self._folder / "pasted.fasta"
        path.write_text("".join(lines), encoding="utf-8")
        self.sequences.append(Image("pasted", path, "sequences"))

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def file_names(self) -> list[str]:
        """A name for each image that may be a file's: a number, letters and digits of its own name, and what it is."""
        found = []
        for number, image in enumerate(self.images, 1):
            stem = PurePosixPath(image.name.replace("\\", "/")).stem
            plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in stem)
            found.append(f"{number:05d}-{plain[:60]}{SUFFIXES.get(image.kind, '.jpg')}")
        return found

    def sequence_names(self) -> list[str]:
        """As :meth:`file_names`, of the files of barcodes."""
        return [f"{number:05d}{file.path.suffix}" for number, file in enumerate(self.sequences, 1)]

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------------ inside

    def _take(self, sent: Sent, most: int) -> None:
        name, file = shown_name(sent.filename), sent.file
        file.seek(0)
        head = file.read(4)
        file.seek(0)
        if zips.is_zip(head):
            try:
                self._unpack(name, file, most)
            except BiocosmosError as error:
                if isinstance(error, TooMuch):
                    raise
                self.refused.append((name, str(error)))
        else:
            self._keep(name, iter(lambda: file.read(zips.PIECE), b""), most)

    def _unpack(self, name: str, file: IO[bytes], most: int) -> None:
        with zips.opened(file) as archive:
            some = False
            for entry in zips.entries(archive):
                some = True
                inside = f"{name}/{shown_name(entry.filename)}"
                try:
                    self._keep(inside, zips.pieces(archive, entry), most)
                except zips.Refused as error:
                    self.refused.append((inside, str(error)))
            if not some:
                self.refused.append((name, "an empty zip"))

    def _keep(self, name: str, pieces: Iterable[bytes], most: int) -> None:
        if len(self.images) + len(self.sequences) + len(self.refused) >= most:
            raise TooMuch(f"more than {most:,} files at once: send them in parts, or use 'biocosmos identify' on their folder")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        path, size = self._folder / f"{len(self.images) + len(self.sequences):06d}", 0
        try:
            with path.open("wb") as out:
                for piece in pieces:
                    size += len(piece)
                    self.size += len(piece)
                    if self.size > limits.UPLOAD_BYTES:
                        raise TooMuch(f"more than {limits.UPLOAD_BYTES // limits.MB} MB at once: send them in parts")
                    if size > limits.IMAGE_BYTES:
                        raise zips.Refused(f"an image may have {limits.IMAGE_BYTES // limits.MB} MB, and this has more")
                    out.write(piece)
            suffix = _sequences(name, path)
            if suffix is not None:
                self.sequences.append(Image(name, path.rename(path.with_suffix(suffix)), "sequences"))
                return
            kind = _check_image(path)
        except (zips.Refused, ImageError) as error:
            path.unlink(missing_ok=True)
            self.refused.append((name, str(error)))
            return
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self.images.append(Image(name, path, kind))


class TooMuch(BiocosmosError):
    """More than one person may send at once: all of it is refused."""


def shown_name(name: str | None) -> str:
    """A name from a stranger as it is shown: one line, no blanks around it, cut."""
    return (one_line(name or "").strip() or UNNAMED)[:NAME_LENGTH]


def _sequences(name: str, path: Path) -> str | None:
    with path.open("rb") as file:
        return sequence_suffix(name, file.read(1 << 12))


def _check_image(path: Path) -> str:
    """What kind of image it is. Raises ImageError for what its header says is none, or too large."""
    info = inspect_image(path)
    if info.width * info.height > limits.PIXELS:
        raise ImageError(f"image too large: {info.width} x {info.height} pixels; at most {limits.PIXELS:,} are looked at")
    return info.format
