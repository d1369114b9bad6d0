"""How numbers of many points go to the browser: a header that says what comes, then arrays as they are.

    uint32                 bytes of the header
    header                 JSON in UTF-8, filled up with spaces so that the arrays begin at a multiple of eight
    arrays                 little-endian, one after another, each filled up to a multiple of eight bytes

The header's ``arrays`` says of each its name, type ("u2", "f4", "u1" ...), length and offset from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import Request, Response

BINARY = "application/octet-stream"
Array = npt.NDArray[Any]


def packed(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Header and arrays as one message."""
    listed: list[dict[str, Any]] = []
    # offsets are part of the header, whose length they change: they are counted from its end
    at, parts = 0, []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        data = little.tobytes()
        listed.append({"name": name, "type": little.dtype.str[1:], "length": len(little), "offset": at})
        filled = -len(data) % 8
        parts += [data, b"\0" * filled]
        at += len(data) + filled
    text = json.dumps({**header, "arrays": listed}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A mask as bits, the first the lowest of the first byte."""
    return np.packbits(mask, bitorder="little")


def etag(*parts: Any) -> str:
    """A mark of what an answer depends on."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"'


def answer(request: Request, mark: str, make: Callable[[], bytes]) -> Response:
    """The message that ``make`` makes, or that it has not changed since it was marked so."""
    headers = {"ETag": mark, "Cache-Control": "private, no-cache"}
    asked = request.headers.get("if-none-match", "")
    if mark in (each.strip().removeprefix("W/") for each in asked.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(make(), media_type=BINARY, headers=headers)
