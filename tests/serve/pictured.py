"""A small collection of awkward images, and what an independent decoder says of a thumbnail."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

import biocosmos as bc
from biocosmos.specimens.records import Source


def ramp(width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: red grows to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), np.full((height, width), 40.0)], axis=2)
    return pixels.round().astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """An image file of these pixels."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def turned_jpeg(orientation: int) -> bytes:
    """A JPEG of 300 x 100 stored pixels that EXIF turns."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(ramp(300, 100), "JPEG", quality=95, exif=exif)


def cmyk_jpeg() -> bytes:
    """As Adobe's programs write it."""
    out = io.BytesIO()
    Image.fromarray(ramp(200, 150)).convert("CMYK").save(out, "JPEG", quality=95)
    return out.getvalue()


def deep_tiff() -> bytes:
    """12 bits of grey in 16, as instruments write."""
    out = io.BytesIO()
    Image.fromarray(ramp(500, 400)[:, :, 0].astype(np.uint16) * 16).save(out, "TIFF")
    return out.getvalue()


def see_through_png() -> bytes:
    """Red on nothing."""
    pixels = np.zeros((64, 200, 4), np.uint8)
    pixels[:, :100] = (255, 0, 0, 255)
    return encoded(pixels, "PNG")


def collection_of(
    folder: Path, images: Mapping[str, bytes | Path | None], *, crops: Mapping[str, tuple[float, ...]] | None = None
) -> bc.Collection:
    """A collection of packed bytes, files by their path, and specimens without an image (a barcode instead)."""
    collection = bc.Collection.create(folder / "pictured.cosmos")
    contents = list(images.values())
    table = pa.table(
        {
            "id": pa.array(list(images), pa.string()),
            "image": pa.array([content if isinstance(content, bytes) else None for content in contents], pa.large_binary()),
            "image_path": pa.array([str(content) if isinstance(content, Path) else None for content in contents], pa.string()),
            "crop": pa.array([(crops or {}).get(id_) for id_ in images], pa.list_(pa.float32(), 4)),
            "barcode": pa.array(["ACGT" * 30 if content is None else None for content in contents], pa.string()),
        }
    )
    collection.add(Source("pictured", "test", table.to_batches(), ()))
    return collection


def on_disk(folder: Path, name: str, content: bytes) -> Path:
    """An image file."""
    path = folder / name
    path.write_bytes(content)
    return path


def opened(jpeg: bytes | None) -> Image.Image:
    """A thumbnail as Pillow decodes it, whole."""
    assert jpeg is not None
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    image.load()
    return image.convert("RGB")
