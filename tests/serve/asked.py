"""A server over a copy of the sample, asked through its application, for the tests of search and identify."""

from __future__ import annotations

import io
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

import biocosmos as bc
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk

TOKEN = "a-token-of-the-tests"
HERE = "http://127.0.0.1:8765"


def desk_over(collection: bc.Collection, folder: Path) -> Iterator[Desk]:
    """The desk of a copy of a collection, made in a folder and closed in the end."""
    shutil.copytree(collection.path, folder / "mine.cosmos")
    made = Desk(bc.Collection.open(folder / "mine.cosmos"))
    yield made
    made.close()


def site_of(desk: Desk) -> TestClient:
    """A client that has the token."""
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    return TestClient(make_app(desk, access), base_url=HERE, headers={"Authorization": f"Bearer {TOKEN}"})


def ask(site: TestClient, path: str, *, tries: int = 120, **given: Any) -> Any:
    """POST, again while the gallery is getting ready."""
    for _ in range(tries):
        answer = site.post(path, **given)
        if answer.status_code != 503:
            return answer
        time.sleep(0.5)
    raise AssertionError(answer.text)


def error(answer: Any, status: int = 400) -> str:
    """The one line of a refusal."""
    assert answer.status_code == status, answer.text
    line = answer.json()["error"]
    assert "\n" not in line and "Traceback" not in line
    return str(line)


def png(pixels: Any = None, kind: str = "PNG") -> bytes:
    """A small image as a file."""
    made = np.full((40, 30, 3), 120, np.uint8) if pixels is None else pixels
    out = io.BytesIO()
    Image.fromarray(made).save(out, kind)
    return out.getvalue()


def huge_png(side: int = 100_000) -> bytes:
    """A PNG that says it has so many pixels a side, and has next to none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def left_behind(folder: Path) -> list[Path]:
    """What uploads left in the folder of temporary files."""
    return sorted(folder.glob("biocosmos-upload-*"))
