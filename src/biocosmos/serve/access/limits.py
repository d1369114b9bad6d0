"""How much a request may bring, and how long it may take to bring it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import anyio
from fastapi import HTTPException
from starlette.types import Message, Receive

MB = 1 << 20
DRAIN_SECONDS = 2.0
"""What is still coming when a request is refused is thrown away for so long: a browser reads no answer while it sends."""


@dataclass(frozen=True)
class Limits:
    """Of one request.

    url: bytes of path and query; headers: their number; header_bytes: of all of them.
    body: bytes of anything but an upload (ids of 50,000 specimens are 5 MB); upload: bytes of a multipart body;
    stranger: bytes from somebody who is not logged in yet.
    body_seconds, upload_seconds: until all of it must be here; idle_seconds: between two pieces.
    """

    url: int = 16 * 1024
    headers: int = 100
    header_bytes: int = 32 * 1024
    body: int = 16 * MB
    upload: int = 512 * MB
    stranger: int = 16 * 1024
    body_seconds: float = 60.0
    upload_seconds: float = 900.0
    idle_seconds: float = 30.0


class TooMuch(HTTPException):
    """A request that brings more than it may, or takes too long: 413 or 408."""


class Body:
    """What is received of one request, counted as it comes; ``refusal`` says why it was stopped."""

    def __init__(self, receive: Receive, most: int, seconds: float, idle: float) -> None:
        self._receive, self._most, self._idle = receive, most, idle
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self._come, self._complete = 0, False
        self.refusal: TooMuch | None = None

    async def __call__(self) -> Message:
        """The next message. Raises TooMuch once there is more than there may be; what comes after the body passes."""
        if self.refusal is not None:
            raise self.refusal
        if self._complete:
            return await self._receive()
        message = None
        with anyio.move_on_after(max(0.0, min(self._idle, self._until - time.monotonic()))):
            message = await self._receive()
        if message is None:
            raise self.refuse(408, f"this took too long to arrive: it must be here within {self._seconds:,.0f} seconds")
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        self._come += len(message.get("body", b""))
        if self._come > self._most:
            raise self.too_long()
        return message

    def too_long(self) -> TooMuch:
        """That the body is longer than it may be."""
        return self.refuse(413, f"this is too much at once: at most {shown(self._most)}; send it in parts")

    def refuse(self, status: int, line: str) -> TooMuch:
        """Let nothing more through."""
        self.refusal = TooMuch(status, line)
        return self.refusal

    async def drain(self) -> None:
        """Throw away what is still coming, for a while."""
        with anyio.move_on_after(DRAIN_SECONDS):
            while not self._complete:
                message = await self._receive()
                self._complete = message["type"] != "http.request" or not message.get("more_body", False)


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """What Content-Length says; None where it says nothing, -1 where that is no number."""
    said = [value for name, value in headers if name == b"content-length"]
    if not said:
        return None
    return int(said[0]) if len(said) == 1 and said[0].isdigit() and len(said[0]) < 19 else -1


def shown(size: int) -> str:
    """ "16 kB", "512 MB"."""
    return f"{size // MB:,} MB" if size >= MB else f"{size // 1024:,} kB"
