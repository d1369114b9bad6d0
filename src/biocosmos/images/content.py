"""The bytes of an image file: only from regular files, and never more than an image can sensibly have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from biocosmos.errors import ImageError

Source = bytes | str | Path

MAX_FILE_BYTES = 512 << 20
"""A larger image file is refused unread."""


def file_bytes(path: str | Path) -> bytes:
    """The whole file. Raises ImageError as :func:`file_size`, with a reason that does not repeat the path."""
    size = file_size(path)
    with Path(path).open("rb") as file:
        content = file.read(size + 1)  # never to an end that moves away: a file that grows is read as it was
    return content[:size]


def file_size(path: str | Path) -> int:
    """The size of a regular file in bytes; it is not read.

    Raises:
        ImageError: missing, a folder, no regular file (a device or a pipe never ends), unreadable, or above MAX_FILE_BYTES.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - Path() refuses nothing that os.stat does not, and costs more
    except FileNotFoundError:
        raise ImageError("missing file") from None
    except PermissionError:
        raise ImageError("the file may not be read (permission denied)") from None
    except (OSError, ValueError) as error:  # a name with NUL, too long, through a file that is no folder
        raise ImageError(f"cannot reach the file: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError("a folder, not an image file")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("not a regular file but a device, a pipe or a socket")
    if found.st_size > MAX_FILE_BYTES:
        raise ImageError(f"the file has {found.st_size:,} bytes; at most {MAX_FILE_BYTES:,} are read as one image")
    return found.st_size
