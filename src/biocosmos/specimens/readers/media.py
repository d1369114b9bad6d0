"""Addresses of pictures in one cell: associatedMedia and the like."""

from __future__ import annotations

import re

ADDRESSES = ("http://", "https://", "ftp://", "s3://")
_BETWEEN = re.compile(r"\s*[|;\n]\s*|\s*,\s*(?=\w+://)|\s+(?=\w+://)")
_ADDRESS = re.compile(r"(?:https?|ftp|s3)://\S+", re.IGNORECASE)


def media_of(text: str | None) -> list[str]:
    """The names and addresses of a list as Darwin Core recommends it (" | " between), or with other usual signs between.

    >>> media_of("https://a.org/1.jpg | pictures/2.jpg")
    ['https://a.org/1.jpg', 'pictures/2.jpg']
    """
    return [part for part in _BETWEEN.split(text.strip()) if part] if text else []


def first_address(text: str | None) -> str | None:
    """The first web address among them."""
    return next((part for part in media_of(text) if _ADDRESS.fullmatch(part)), None)
