"""Settings to begin with, one TOML file for each kind of backbone; its first line says what it is.

An installed package adds one by an entry point of the group ``biocosmos.recipes`` that names the path of its file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file
from biocosmos.plugins import plug_ins

FOLDER = Path(__file__).parent


def recipes() -> list[tuple[str, str]]:
    """(name, what it is) of each shipped recipe, by name, then of those that installed packages add."""
    rows = [(name, file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for name, file in _shipped().items()]
    return [*rows, *((name, f"added by {plug_in.package}") for name, plug_in in plug_ins("recipes", _shipped()).items())]


def recipe_file(name: str) -> Path:
    """The file of the recipe called ``name``, or of one's own: a path that ends in .toml. Raises BiocosmosError for neither."""
    shipped = _shipped()
    added = plug_ins("recipes", shipped)
    if name in shipped:
        return shipped[name]
    if name in added:
        file = added[name].load()
        if not isinstance(file, (str, Path)) or not is_file(file):
            raise added[name].broken(f"it must be the path of a .toml file, not {file!r}")
        return Path(file)
    if name.endswith(".toml") and is_file(name):
        return Path(name)
    raise BiocosmosError(f"no recipe '{name}': choose {', '.join([*shipped, *added])}, or give the path of a .toml file")


def _shipped() -> dict[str, Path]:
    return {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}


def recipe(name: str) -> dict[str, Any]:
    """What a recipe states of :class:`~biocosmos.train.heads.settings.HeadSettings`; errors as of :func:`recipe_file`."""
    from biocosmos.settings import read_toml
    from biocosmos.train.heads.settings import HeadSettings

    return read_toml(HeadSettings, recipe_file(name))
