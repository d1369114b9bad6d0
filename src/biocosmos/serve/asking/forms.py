"""Forms with files, read within the limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.asking import limits

FIELDS, FIELD_BYTES = 500, 1 << 20


@dataclass(frozen=True)
class Form:
    """fields: (name, text) in order; files: those with a name or a content."""

    fields: list[tuple[str, str]]
    files: list[UploadFile]

    def all(self, *names: str) -> list[str]:
        """Every text of these fields that says something."""
        return [text.strip() for name, text in self.fields if name in names and text.strip()]

    def one(self, name: str, default: str = "") -> str:
        """The last text of a field."""
        return next(iter(reversed(self.all(name))), default)


def described(fields: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """What the API's page says of a form with images. fields: name -> JSON schema of what comes besides."""
    images = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "Image files, or zips of them.",
    }
    schema: dict[str, Any] = {"type": "object", "properties": {"images": images, **fields}}
    if required:
        schema["required"] = list(required)
    return {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Form]:
    """The form of a request, with what its address says before it; its files are gone at the end. A JSON object does as well.

    Raises BiocosmosError for too many files or fields, and for what is no form.
    """
    fields = request.query_params.multi_items()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield Form([*fields, *_pairs(await _json(request))], [])
        return
    try:
        form = await request.form(max_files=limits.FILES, max_fields=FIELDS, max_part_size=FIELD_BYTES)
    except HTTPException as error:
        if "files" in str(error.detail):
            raise BiocosmosError(
                f"more than {limits.FILES:,} files at once: send them in parts, or use 'biocosmos identify' on their folder"
            ) from None
        raise BiocosmosError(f"this form cannot be read: {first_line(Exception(error.detail))}") from None
    try:
        items = form.multi_items()
        files = [each for _, each in items if isinstance(each, UploadFile) and (each.filename or each.size)]
        yield Form([*fields, *((name, each) for name, each in items if isinstance(each, str))], files)
    finally:
        await form.close()


async def _json(request: Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except ValueError:
        raise BiocosmosError("the body is no JSON") from None
    if not isinstance(found, dict):
        raise BiocosmosError('the body must be a JSON object: {"ids": [...], "k": 10}')
    return found


def _pairs(found: dict[str, Any]) -> Sequence[tuple[str, str]]:
    return [
        (name, str(each))
        for name, value in found.items()
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, str | int | float) and not isinstance(each, bool)
    ]


def number(text: str, name: str, default: int) -> int:
    """A whole number of a form. Raises BiocosmosError."""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BiocosmosError(f"{name} must be a whole number, not {text[:40]!r}")
    return int(text)
