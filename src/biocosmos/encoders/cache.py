"""Find weights that were downloaded before, without a network and without importing torch.

The Hugging Face hub keeps ``<cache>/models--ORG--NAME/snapshots/REVISION/FILE``; torch hub and open_clip keep plain files.
"""

from __future__ import annotations

import os
from pathlib import Path

from biocosmos.errors import BiocosmosError


def hub_cache() -> Path:
    """The Hugging Face hub's cache folder, as its environment variables place it."""
    if found := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(found)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(home) / "hub"


def torch_checkpoints() -> Path:
    """Where timm keeps files it downloaded by address."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return Path(home) / "hub" / "checkpoints"


def open_clip_checkpoints() -> Path:
    """Where open_clip keeps files it downloaded by address."""
    return Path.home() / ".cache" / "clip"


def hub_folder(repository: str) -> Path | None:
    """The newest downloaded snapshot of "org/name", or of "org/name@revision"; None if there is none."""
    repository, _, revision = repository.partition("@")
    folder = hub_cache() / f"models--{repository.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    if reference.is_file():
        revision = reference.read_text().strip()
    if revision:
        snapshot = folder / "snapshots" / revision
        return snapshot if snapshot.is_dir() else None
    snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
    return snapshots[-1] if snapshots else None


def anything_like(architecture: str) -> bool:
    """Whether the caches hold anything that could be this timm architecture: the question that costs no import of torch."""
    if any(torch_checkpoints().glob("*")):
        return True
    others = (path for path in hub_cache().glob("models--*") if not path.name.startswith("models--timm--"))
    return any(hub_cache().glob(f"models--timm--{architecture}*")) or any(others)


def not_here(name: str) -> BiocosmosError:
    """The error for weights that have not been downloaded."""
    return BiocosmosError(
        f"encoder '{name}' is not on this machine: where there is network run 'biocosmos fetch {name}', then load it again"
    )
