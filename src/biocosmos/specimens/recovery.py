"""What a process left that was killed while it changed a collection: swept up by the next one that changes it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import lance

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder
from biocosmos.specimens.creating import SPECIMENS
from biocosmos.unfinished import sweep

_FOLDERS = ("", "splits", "embeddings", "identifications", "identifications/by_hand", "history", "namers", "work", "discoveries")
MERGER = "work/merge"
"""Where a merger keeps its plan: see :mod:`biocosmos.specimens.care.plan`."""
_FOREVER = timedelta(days=365 * 100)


def refuse_links(path: Path) -> None:
    """Raise BiocosmosError if a folder of the collection is a link that leaves it: somebody else's files would be changed."""
    home = path.resolve()
    inner = (f"{SPECIMENS}/{name}" for name in ("data", "_versions", "_transactions", "_deletions", "_indices"))
    for name in (*filter(None, _FOLDERS), MERGER, SPECIMENS, *inner):
        folder = path / name
        if folder.is_symlink() and not folder.resolve().is_relative_to(home):
            raise BiocosmosError(f"{folder} is a link out of the collection, nothing is written through it: put a folder there")


def sweep_up(path: Path, dataset: str | None) -> None:
    """Remove temporary files of dead processes, and what Lance wrote and did not commit. Only with the collection's lock held.

    dataset: None if somebody goes on with what is not committed.
    """
    for name in _FOLDERS:
        if is_folder(path / name):
            sweep(path / name)
    if dataset is None:
        return
    with suppress(OSError, ValueError, RuntimeError):  # it is only litter
        stored = lance.dataset(dataset)
        # nobody else writes now: what no version knows is nobody's; older versions stay, somebody may be reading one
        stored.cleanup_old_versions(older_than=_FOREVER, delete_unverified=True)
        folder = Path(dataset)
        for left in (*folder.glob("_versions/.tmp*"), *folder.glob(f"_transactions/{stored.version}-*.txn")):
            left.unlink()
