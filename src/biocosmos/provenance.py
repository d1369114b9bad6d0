"""What made a result: versions and machine, for every table and report."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "timm", "open_clip_torch", "pylance", "numpy", "scikit-learn")


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
