"""Stream a collection through an encoder into one more column; kill it at any moment, run it again, and it goes on.

reader.py      the images of a collection's specimens, for the one reader of images
embedding.py   embed(): what a user calls
run.py         the blocks of rows that are missing, computed into part files
column.py      the whole column, from part files, vectors that were there, and those of a base encoder
parts.py       part files that are whole or absent, and the lock of a work folder
sampling.py    a few images of a collection, to measure and calibrate with
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from biocosmos.embed.embedding import embed
from biocosmos.embed.summary import EmbedSummary

__all__ = ["EmbedSummary", "embed"]


class _CallableModule(ModuleType):
    """Lets ``biocosmos.embed(...)`` work although importing this module puts it under the same name in the package."""

    def __call__(self, *arguments: Any, **options: Any) -> EmbedSummary:
        return embed(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
