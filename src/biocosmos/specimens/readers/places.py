"""Names of files in a table or JSON, looked for below some folders and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from biocosmos.files import Resolver
from biocosmos.specimens.readers.archive import leads_outside


@dataclass
class Inside:
    """A :class:`Resolver` whose answers lie below its folders: a name in somebody's file must not reach anybody's other files."""

    resolver: Resolver

    @cached_property
    def _roots(self) -> tuple[str, ...]:
        return tuple(os.path.join(root, "") for root in self.resolver.roots)  # noqa: PTH118

    def find(self, name: str) -> tuple[str, str | None]:
        """(path, why the name is refused); a missing file has the path it should have been at.

        A name that leads outside ("../", "/", "C:") is refused, unless it is found by its end below a folder: then it is the
        path that the file had on another computer.
        """
        found = self.resolver.find(name)
        if found.ambiguous:
            return found.path, found.problem
        path = os.path.abspath(found.path)  # noqa: PTH100 - Path.absolute keeps ".."
        if leads_outside(name) and not (found.there and path.startswith(self._roots)):
            return path, f"the image name {name!r} leads outside the folder: refused"
        return path, None
