"""Trainings of heads that are compared: one for each combination of what was told several times over."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from biocosmos.settings import SettingError, UnusedSetting, names_in
from biocosmos.train.heads.recipes import recipe_file
from biocosmos.train.heads.settings import SEVERAL, HeadSettings, head_settings


def head_runs(
    given: Mapping[str, Any], *, recipe: str | None = None, config: str | Path | None = None
) -> dict[str, HeadSettings]:
    """Settings of each training, by a name that says what it differs in; one, named "", where nothing is told several times.

    Args:
        given: settings as :func:`biocosmos.train.heads.settings.head_settings` takes them; those of :data:`SEVERAL` may be
            comma-separated lists.
        recipe: shipped recipes or .toml files to begin with, comma-separated. config: one TOML file in their place.

    Raises SettingError for what the settings refuse, and for one that none of the trainings uses.
    """
    if recipe is not None and config is not None:
        raise SettingError("--recipe and --config both give settings: leave one of them out")
    told = {"recipe": recipe, **{name: given.get(name) for name in SEVERAL}}
    rest = {name: value for name, value in given.items() if name not in SEVERAL}
    runs, unused = {}, dict[str, UnusedSetting]()
    combinations = list(product(*([None] if value is None else names_in(value) for value in told.values())))
    for chosen in combinations:
        file = config if chosen[0] is None else recipe_file(chosen[0])
        own, ignored = _settings(file, {**rest, **dict(zip(SEVERAL, chosen[1:]))})
        runs["-".join(part.replace("/", "-") for part in chosen if part is not None)] = own
        unused = ignored if len(runs) == 1 else {name: error for name, error in unused.items() if name in ignored}
    if unused:
        raise next(iter(unused.values()))
    return runs


def _settings(file: str | Path | None, given: Mapping[str, Any]) -> tuple[HeadSettings, dict[str, UnusedSetting]]:
    """Settings of one training without what it does not use, and the refusal of each of these."""
    given, ignored = dict(given), dict[str, UnusedSetting]()
    while True:
        try:
            return head_settings(file, **given), ignored
        except UnusedSetting as error:
            if error.name not in given:  # the recipe itself states it
                raise
            del given[error.name]
            ignored[error.name] = error
