"""Decode an image, in one place: any file a museum or an instrument writes becomes 8-bit RGB, or an ImageError with the reason.

JPEG goes through simplejpeg (libjpeg-turbo), everything else through Pillow. Nothing is converted silently: every change that
could alter what a model sees is named in the notes. Memory is bounded from the header, whatever the file. All functions are
thread-safe.
"""

from biocosmos.images.content import MAX_FILE_BYTES, Source, file_bytes, file_size
from biocosmos.images.memory import MAX_PIXELS
from biocosmos.images.reading import (
    FORMATS,
    Decoded,
    ImageInfo,
    check_image,
    crop_inside,
    image_size,
    inspect_image,
    oriented,
    read_image,
)
from biocosmos.images.upright import Crop, Pixels, upright_crop

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "Crop",
    "Decoded",
    "ImageInfo",
    "Pixels",
    "Source",
    "check_image",
    "crop_inside",
    "file_bytes",
    "file_size",
    "image_size",
    "inspect_image",
    "oriented",
    "read_image",
    "upright_crop",
]
