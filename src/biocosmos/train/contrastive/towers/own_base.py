"""A tuned encoder in the sub-folder of its tower is an encoder by itself: what the tower was fitted on is known of it too."""

from __future__ import annotations

from pathlib import Path

from biocosmos.files import is_file
from biocosmos.specimens import guard


def guard_own_base(tower: Path, base: Path) -> None:
    """Write the guard's record of the folder ``tower``, where it has one, for ``base`` too, before an encoder stands there."""
    if is_file(tower / guard.RECORD):
        base.mkdir(parents=True, exist_ok=True)
        guard.Fitted.load(tower).save(base)
