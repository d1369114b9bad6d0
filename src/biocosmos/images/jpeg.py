"""What the bytes of a JPEG say about themselves: its scans, and whether its end alone is missing (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

END = b"\xff\xd9"
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within a scan: neither a stuffed byte, a restart nor a fill byte
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_COEFFICIENTS = 64
MAX_SCAN_PIXELS = 20_000_000_000
"""Scans times pixels: what a picture with thousands of scans would cost in time. Encoders write about ten."""


class Scan(NamedTuple):
    """Components, first and last coefficient, and the lowest bit it brings (0: all of them)."""

    components: tuple[int, ...]
    first: int
    last: int
    low_bit: int


class Frame(NamedTuple):
    """The kind of the frame (the low byte of its marker) and its components."""

    kind: int
    components: tuple[int, ...]


def segments(data: bytes) -> Iterator[Frame | Scan]:
    """The frame header and the scan headers, in order; ends where the file does or stops to be a JPEG."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return
            at = found.start()
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END_OF_IMAGE:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
            yield Frame(marker, tuple(body[6 + 3 * i] for i in range(body[5]) if 6 + 3 * i < len(body)))
        elif marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            yield Scan(tuple(body[1 + 2 * i] for i in range(body[0])), first, last, bits & 15)
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return
            at = found.start()


def scans(data: bytes) -> int:
    """How many scans there are."""
    return sum(isinstance(part, Scan) for part in segments(data))


def with_its_end(data: bytes) -> bytes | None:
    """The file with the end marker put back, or None where whole scans are missing too.

    Whether the last scan is whole only a decoder can say: libjpeg warns when its bits run out before its blocks do.
    """
    missing: dict[tuple[int, int], int] = {}
    for part in segments(data):
        if isinstance(part, Frame):
            if part.kind == _PROGRESSIVE:
                missing = {(component, k): 1 for component in part.components for k in range(_COEFFICIENTS)}
            elif part.kind in _BASELINE:
                missing = {(component, 0): 1 for component in part.components}
            else:
                return None
        elif part.low_bit == 0:
            for component in part.components:
                for k in range(part.first, part.last + 1):
                    missing.pop((component, k), None)
    return None if missing else (data[:-1] if data.endswith(b"\xff") else data) + END
