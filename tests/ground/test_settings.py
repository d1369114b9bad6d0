"""Settings: told in Python, in a file or as options, checked alike, and refused where the mode does not use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from biocosmos.errors import Failures
from biocosmos.settings import (
    GIVEN,
    NOT_GIVEN,
    SettingError,
    changed,
    check,
    defaults_of,
    holding,
    read_toml,
    setting,
    told,
    used_where,
    write_toml,
)


@dataclass(frozen=True)
class Walk:
    steps: int = setting(10, "How many.", above=0, otherwise={"slow": 3})
    pace: float = setting(1.5, "Metres a second.", low=0.5, below=4)
    slow: bool = setting(False, "Take one's time.")
    on: str = setting("foot", "With what.", choices=("foot", "skis", "stilts"))
    wax: str | None = setting(None, "Of the skis.", only={"on": "skis"})
    rests: tuple[int, ...] = setting((), "After so many steps.", above=0, only={"slow": True})
    talk: str = setting("", "About what.", choices=("fish", "birds"), several=True)
    names: str | None = setting(None, "Of the birds.", names=("--called",), only={"talk": holding("birds")})
    alone: bool = setting(False, "Nobody else.", only=({"talk": NOT_GIVEN}, {"rests": GIVEN}))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Stroll(Walk):
    steps: int = changed(Walk, "steps", 4)


@dataclass(frozen=True)
class Rest:
    talk: str | None = setting(None, "About what.", choices=("fish", "birds"))
    long: bool = setting(False, "An hour.", only={"talk": None})
    far: bool = setting(False, "From home.", only={"talk": (None, "birds")})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 0}, "--steps must be above 0, not 0"),
        ({"steps": 2.5}, "--steps must be a whole number, not 2.5"),
        ({"steps": True}, "--steps must be a whole number, not True"),
        ({"pace": 4}, "--pace must be at least 0.5 and below 4, not 4"),
        ({"pace": float("nan")}, "--pace must be at least 0.5 and below 4, not nan"),
        ({"on": "wheels"}, "--on 'wheels' is not known: choose foot, skis or stilts"),
        ({"talk": "fish, stars"}, "--talk 'stars' is not known: choose fish or birds"),
        ({"wax": "blue"}, "--wax does nothing here: it is used with --on skis"),
        ({"names": "Ada", "talk": "fish"}, "--called does nothing here: it is used with --talk birds"),
        ({"alone": True, "talk": "fish"}, "--alone does nothing here: it is used without --talk or with --rests"),
        ({"rests": (2, 0), "slow": True}, "--rests must be above 0, not 0"),
        ({"stops": 1}, "there is no setting 'stops'"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_option(given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError) as error:
        told(Walk, **given)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_mode_has_defaults_of_its_own_and_what_is_given_goes_before() -> None:
    assert told(Walk).steps == 10 and told(Walk, slow=True).steps == 3 and told(Walk, slow=True, steps=7).steps == 7
    assert told(Walk, assumed={"slow": True}).steps == 3 and told(Walk, assumed={"slow": True}, slow=False).steps == 10
    assert told(Stroll).steps == 4 and defaults_of(Stroll)["pace"] == 1.5
    assert told(Walk, steps=np.int64(3)).steps == 3 and told(Walk, talk="birds,fish", names="Ada").names == "Ada"
    assert used_where(Walk, "rests") == "with --slow" and used_where(Walk, "pace") == ""


def test_where_no_mode_is_named_the_option_is_said_to_be_without_it() -> None:
    assert used_where(Rest, "long") == "without --talk" and used_where(Rest, "far") == "with --talk birds or without --talk"


def test_a_file_is_overridden_by_flags_and_may_hold_defaults_of_what_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "walk.toml"
    write_toml(Walk(steps=5, rests=(1, 2), slow=True), file)
    assert told(Walk, file, steps=6) == Walk(steps=6, rests=(1, 2), slow=True)
    file.write_text('on = "foot"\nsteps = 8\n')
    assert told(Walk, file).steps == 8
    file.write_text('wax = "blue"\n')
    with pytest.raises(SettingError, match=r"walk.toml: --wax does nothing here"):
        told(Walk, file)
    broken = {"step = 1": "unknown setting 'step'", 'steps = "two"': "must be a whole number", "steps =": "cannot read"}
    for text, says in broken.items():
        file.write_text(text)
        with pytest.raises(SettingError, match=says):
            read_toml(Walk, file)


def test_reasons_that_differ_in_a_name_only_are_one() -> None:
    failures = Failures()
    for i in range(3):
        failures.add(f"night/{i}.jpg: cannot be read, of '{i}'", stage="read", source=f"night/{i}.jpg", id=str(i))
    failures.add("zero bytes in 'a.jpg'", stage="read", source="a.jpg")
    assert failures.reasons() == [("...: cannot be read, of '...'", 3), ("zero bytes in 'a.jpg'", 1)]
