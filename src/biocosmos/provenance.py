"""What made a result: versions and machine, for every table and report."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

PACKAGES = ("torch", "timm", "open_clip_torch", "pylance", "numpy", "scikit-learn")


ENCODER_KINDS = ("timm", "open_clip", "hf", "python", "kmer", "place", "environment", "satellite", "audio")
"""What may stand before the colon of an encoder's name; a name without one is the default's or a folder's."""


def encoder_name(name: str) -> str:
    """An encoder's name as a collection keeps it: a folder is the same with and without "./" before and "/" behind.

    >>> encoder_name("./run/")
    'run'
    """
    return name if name.partition(":")[0] in ENCODER_KINDS else PurePath(name.replace("/+", "+")).as_posix()


def package_version(name: str = "biocosmos") -> str:
    """The installed version of a package, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def now() -> str:
    """The time, UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def software() -> dict[str, Any]:
    """Version of biocosmos and of what it stands on, the machine and the time (UTC, ISO 8601)."""
    return {
        "biocosmos": package_version(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "time": now(),
    }
