"""Libraries that come with ``pip install 'biocosmos[discover]'``: imported where they are used, or one line that says how to get
them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from biocosmos.errors import BiocosmosError

PACKAGES = {"umap": "umap-learn", "pacmap": "pacmap", "igraph": "igraph", "leidenalg": "leidenalg"} | {
    name: name for name in ("imagehash", "cleanlab")
}
"""Module -> the package that brings it."""


def has(module: str) -> bool:
    """Whether it is installed; imports nothing."""
    return find_spec(module) is not None


def load(module: str, wanted_by: str) -> Any:
    """The module. Raises BiocosmosError, "UMAP needs umap-learn, which is not installed: ...", where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        package = PACKAGES[module.partition(".")[0]]
        raise BiocosmosError(
            f"{wanted_by} needs {package}: install it with pip install 'biocosmos[discover]' ({error})"
        ) from error
