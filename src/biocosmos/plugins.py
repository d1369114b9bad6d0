"""Extension by entry points: an installed package adds encoders, readers, namers, detectors and recipes by name.

    [project.entry-points."biocosmos.encoders"]      # in the pyproject.toml of that package
    thumbnail = "mypackage.encoder:Thumbnail"

Each room asks :func:`plug_ins` beside its own table of names. Asking reads the metadata of installed packages and imports none
of them; :meth:`PlugIn.load` imports the one that was named. A plug-in that is broken is an error of that name alone, and one
whose name is taken is left out with a warning: what a name meant before a package was installed, it means afterwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from biocosmos.errors import BiocosmosError, first_line

KINDS = ("encoders", "readers", "namers", "detectors", "recipes")
"""What can be added; the group of entry points is ``biocosmos.KIND``."""


@dataclass(frozen=True)
class PlugIn:
    """One name that an installed package adds.

    Attributes:
        kind: one of :data:`KINDS`.
        name: what a user types.
        package: the installed distribution and its version, "biocosmos-example 1.0".
        entry: the entry point, not yet imported.
    """

    kind: str
    name: str
    package: str
    entry: EntryPoint

    def load(self) -> Any:
        """What the entry point names. Raises BiocosmosError, one line that names the package, if importing it fails."""
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:  # another's code may raise anything
            raise self.broken(f"{type(error).__name__}: {first_line(error)}") from error

    def load_kind(self, base: Any) -> Any:
        """A class with the attribute ``name``, whole child of ``base``. Raises BiocosmosError as :meth:`load`, and for others."""
        kind = self.load()
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise self.broken(f"it is no child of {base.__module__}.{base.__name__}")
        if getattr(kind, "name", None) != self.name:
            raise self.broken(f"its class calls itself {getattr(kind, 'name', None)!r}")
        if missing := sorted(getattr(kind, "__abstractmethods__", ())):
            raise self.broken(f"its class lacks {', '.join(missing)}")
        return kind

    def broken(self, why: str) -> BiocosmosError:
        """The error that says what is wrong with this plug-in and whose it is."""
        what = f"{self.kind.removesuffix('s')} '{self.name}' of the package {self.package} ({self.entry.value})"
        return BiocosmosError(f"{what} cannot be used: {why}; mend, update or uninstall that package")


def plug_ins(kind: str, built_in: Collection[str] = ()) -> dict[str, PlugIn]:
    """Name to plug-in of one kind, by name, without those whose name is taken; nothing is imported.

    ``built_in``: names of the package's own. A name in it, or one that two packages claim, is left out and warned of once.
    """
    found: dict[str, PlugIn] = {}
    for plug_in, *others in _installed(kind):
        if plug_in.name in built_in:
            for each in (plug_in, *others):
                _warn(f"{each.package} names {_a(kind)} '{each.name}', which biocosmos has itself: the package's is left out")
        elif others:
            claimants = " and ".join(each.package for each in (plug_in, *others))
            _warn(f"{claimants} each name {_a(kind)} '{plug_in.name}': neither is used, uninstall one")
        else:
            found[plug_in.name] = plug_in
    return found


def installed() -> list[PlugIn]:
    """Every plug-in that is installed, of every kind, those whose name is taken too."""
    return [plug_in for kind in KINDS for claimants in _installed(kind) for plug_in in claimants]


@cache
def _installed(kind: str) -> tuple[tuple[PlugIn, ...], ...]:
    """The plug-ins of one kind, those that share a name together."""
    if kind not in KINDS:
        raise ValueError(f"no kind of plug-in '{kind}': {', '.join(KINDS)}")
    by_name: dict[str, dict[str, PlugIn]] = {}
    for entry in entry_points(group=f"biocosmos.{kind}"):
        package = "unknown" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
        # one package may be found twice, in two folders of the path: the first is the one that is imported
        by_name.setdefault(entry.name, {}).setdefault(package.partition(" ")[0], PlugIn(kind, entry.name, package, entry))
    return tuple(tuple(each for _, each in sorted(by_name[name].items())) for name in sorted(by_name))


@cache
def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _a(kind: str) -> str:
    noun = kind.removesuffix("s")
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


__all__ = ["KINDS", "PlugIn", "installed", "plug_ins"]
