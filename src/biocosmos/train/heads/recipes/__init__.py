"""Settings to begin with, one TOML file for each kind of backbone; its first line says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError

FOLDER = Path(__file__).parent


def recipes() -> list[tuple[str, str]]:
    """(name, what it is) of each shipped recipe, by name."""
    files = sorted(FOLDER.glob("*.toml"))
    return [(file.stem, file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for file in files]


def recipe_file(name: str) -> Path:
    """The file of the recipe called ``name``, or of one's own: a path that ends in .toml. Raises BiocosmosError for neither."""
    file = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    shipped = [known for known, _ in recipes()]
    if not file.is_file() or (name not in shipped and not name.endswith(".toml")):
        raise BiocosmosError(f"no recipe '{name}': choose {', '.join(shipped)}, or give the path of a .toml file")
    return file


def recipe(name: str) -> dict[str, Any]:
    """What a recipe states of :class:`~biocosmos.train.heads.settings.HeadSettings`; errors as of :func:`recipe_file`."""
    from biocosmos.settings import read_toml
    from biocosmos.train.heads.settings import HeadSettings

    return read_toml(HeadSettings, recipe_file(name))
