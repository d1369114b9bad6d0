"""Settings as data: a frozen dataclass whose fields say how each is told, checked and shown; the command line is made from them.

    @dataclass(frozen=True)
    class SearchSettings:
        k: int = setting(10, "How many neighbours.", low=1, names=("-k",))
        approximate: bool = setting(False, "Lance's vector index, for collections larger than memory.")
        split: str | None = setting(None, "A part of a split.", unset="all", only={"approximate": False})

        def __post_init__(self) -> None:
            check(self)

A default is written here and nowhere else. :func:`told` makes settings from a TOML file and from what was given on the command
line, and refuses what the chosen mode does not use. Modules that hold settings import nothing heavy: ``--help`` reads them.
"""

from __future__ import annotations

import json
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_file
from biocosmos.trust import refuse_code

_KEY = "biocosmos.setting"
_MOST_WHOLE = 1 << 63


class SettingError(BiocosmosError):
    """A setting that cannot be so, or that the chosen mode does not use: on the command line, exit code 2."""


class UnusedSetting(SettingError):
    """A setting that was given and that the chosen mode does not use; ``name`` is the setting's."""

    def __init__(self, name: str, called: str, used_where: str, where: str = "") -> None:
        super().__init__(f"{where}{called} does nothing here: it is used {used_where}")
        self.name = name


@dataclass(frozen=True)
class _Mark:
    name: str


GIVEN, NOT_GIVEN = _Mark("given"), _Mark("not given")
"""Conditions of ``only``: the other setting is anything but None, "", 0 or False; or it is one of these."""


@dataclass(frozen=True)
class _Part:
    name: str


def holding(part: str) -> Any:
    """Condition of ``only``: the other setting is a list, joined by commas or +, that holds this part."""
    return _Part(part)


@dataclass(frozen=True)
class Setting:
    """How one setting is told, checked and shown.

    Attributes:
        help: one sentence.
        panel: heading of the help text under which it stands.
        choices: all it may be; of a comma-separated list (``several``) each part.
        low, above, high, below: bounds; the first of each pair may be reached.
        names: further names, "-e", or long ones in place of the one made from the field's name.
        metavar: what stands for the value in the help.
        unset: what a default of None or "" means, in words.
        otherwise: defaults that hold where another setting is on: {"freeze": 512}.
        only: used only where these other settings have these values (one or a tuple of them, GIVEN, NOT_GIVEN); several
            mappings are alternatives.
        several: a comma-separated list in one string.
        repeated: a tuple whose parts are told one by one, --text a --text b; other tuples are comma-separated.
        part: names a part of a split of the collection: looked for before anything heavy begins, "given" only where it was said
            or "always"; "named" as "given", and may be the specimens without a name.
        file: names a file or folder that must be there.
        embedding: names an embedding of the collection, None its default: looked for before anything heavy begins, "named" only
            where it was said.
        plugged: (what it is, the kind of plug-in, the built-in names) of a name that installed packages may add to: looked for
            before anything heavy begins.
        told: the command line has it; settings that are not told are arguments there, or for Python and TOML files.
    """

    help: str
    panel: str | None = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    names: tuple[str, ...] = ()
    metavar: str | None = None
    unset: str | None = None
    otherwise: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = ()
    several: bool = False
    repeated: bool = False
    part: Literal["given", "always", "named"] | None = None
    file: bool = False
    embedding: bool | Literal["named"] = False
    told: bool = True
    plugged: tuple[str, str, tuple[str, ...]] | None = None

    @property
    def conditions(self) -> tuple[Mapping[str, Any], ...]:
        """The alternatives of ``only``."""
        return (self.only,) if isinstance(self.only, Mapping) else self.only


@dataclass(frozen=True)
class _Other:
    values: tuple[Any, ...]


def other_than(*values: Any) -> Any:
    """Condition of ``only``: the other setting is none of these."""
    return _Other(values)


def setting(default: Any, help: str, **more: Any) -> Any:
    """A dataclass field with a default and a :class:`Setting`. A tuple's default is immutable and stands as it is."""
    return field(default=default, metadata={_KEY: Setting(help, **more)})


def changed(kind: type, name: str, default: Any = MISSING, **more: Any) -> Any:
    """The field ``name`` of a parent, with another default or other facts: ``keep: str = changed(Loop, "keep", "last")``."""
    parent = kind.__dataclass_fields__[name]  # type: ignore[attr-defined]
    return field(
        default=parent.default if default is MISSING else default, metadata={_KEY: replace(parent.metadata[_KEY], **more)}
    )


def settings_of(kind: Any) -> dict[str, Setting]:
    """name -> how it is told, of every field that says so, in order."""
    return {each.name: each.metadata[_KEY] for each in fields(kind) if _KEY in each.metadata}


def hints_of(kind: Any) -> dict[str, Any]:
    """name -> type of every field."""
    if "_hints" not in vars(kind):
        kind._hints = typing.get_type_hints(kind)
    return dict(kind._hints)


def defaults_of(kind: Any, stated: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """name -> default, as it is where ``stated`` says which modes are on."""
    found = {each.name: each.default for each in fields(kind)}
    for name, shape in settings_of(kind).items():
        for mode, value in shape.otherwise.items():
            if (stated or {}).get(mode):
                found[name] = value
    return found


def refuse_changed(settings: Any, names: Iterable[str], used_where: str) -> None:
    """Raise UnusedSetting for the first of these settings that is another than by default."""
    defaults = defaults_of(type(settings))
    for name in names:
        if getattr(settings, name) != defaults[name]:
            raise UnusedSetting(name, flag(name), used_where)


def flag(name: str) -> str:
    """The command line's spelling of a setting."""
    return "--" + name.replace("_", "-")


def spelled(kind: Any, name: str) -> str:
    """What a user calls a setting: "--batch-size", "--from" where it has another long name, the plain name of an argument."""
    shape = settings_of(kind).get(name, Setting(""))
    return next((each for each in shape.names if each.startswith("--")), flag(name) if shape.told else name)


def used_where(kind: Any, name: str) -> str:
    """Where a setting is used, in words: "with --loss mlcd", "" for everywhere."""
    conditions = settings_of(kind)[name].conditions
    return " or ".join(" and ".join(_words(kind, other, wanted) for other, wanted in each.items()) for each in conditions)


def check(settings: Any) -> None:
    """Refuse values that are of the wrong kind, none of the choices or out of bounds. Raises SettingError, one line."""
    kind = type(settings)
    for name, shape in settings_of(kind).items():
        value, hint = getattr(settings, name), hints_of(kind)[name]
        if value is None and type(None) in typing.get_args(hint):
            continue
        if not _fits(value, hint):
            raise SettingError(f"{spelled(kind, name)} must be {_kind_words(hint)}, not {value!r}")
        if isinstance(value, str) and not value and getattr(kind, name, None) == "":
            continue
        _check_choice(spelled(kind, name), shape, value)
        _check_bounds(spelled(kind, name), shape, value)


def check_readable(settings: Any, readers: Mapping[str, Callable[[str], Any]]) -> None:
    """Raise SettingError, naming the option, where the reader of a setting by its name refuses the text that was given."""
    for name, read in readers.items():
        try:
            if (text := getattr(settings, name)) is not None:
                read(text)
        except BiocosmosError as error:
            raise SettingError(f"{flag(name)}: {error}") from None


def told(kind: type[S], config: str | Path | None = None, /, *, assumed: Mapping[str, Any] | None = None, **given: Any) -> S:
    """Settings from a TOML file and, over it, those of ``given`` that are not None; ``assumed`` holds where neither says it.

    Raises SettingError for a value that cannot be so, and for one that the chosen mode does not use: whatever was given, and
    what the file states in place of the default.
    """
    given = {name: value for name, value in given.items() if value is not None}
    filed = {} if config is None else read_toml(kind, config)
    for name, value in filed.items():
        if isinstance(value, str) and name not in given:
            refuse_code(value, str(config))
    stated = dict(assumed or {}) | filed | given
    unknown = sorted(set(stated) - set(hints_of(kind)))
    if unknown:
        raise SettingError(f"there is no setting '{unknown[0]}': there are {', '.join(sorted(hints_of(kind)))}")
    defaults = defaults_of(kind, stated)
    settings = kind(**{**{name: value for name, value in defaults.items() if value is not MISSING}, **stated})
    unused = [name for name in given if not used(settings, name)]
    unused += [name for name, value in filed.items() if value != defaults[name] and not used(settings, name)]
    if unused:
        where = "" if unused[0] in given else f"{config}: "
        raise UnusedSetting(unused[0], spelled(kind, unused[0]), used_where(kind, unused[0]), where)
    return settings


def used(settings: Any, name: str) -> bool:
    """Whether the mode that the other settings make uses this one."""
    shape = settings_of(type(settings)).get(name)
    if shape is None or not shape.conditions:
        return True
    values = vars(settings)  # a parent's setting may depend on one that only its children have
    return any(
        all(other not in values or _holds(values[other], wanted) for other, wanted in each.items()) for each in shape.conditions
    )


def names_in(given: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def read_toml(kind: type, path: str | Path) -> dict[str, Any]:
    """What a TOML file of plain ``name = value`` lines states of the settings of ``kind``.

    Raises SettingError for a file that cannot be read, an unknown name, or a value of the wrong type.
    """
    try:
        if not is_file(path):
            raise OSError("there is no such file")
        stated = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise SettingError(f"cannot read the settings in {path}: they are nested too deep") from None
    except (OSError, ValueError) as error:  # no TOML, no text, a number without end
        raise SettingError(f"cannot read the settings in {path}: {first_line(error)}") from error
    hints = hints_of(kind)
    for name, value in stated.items():
        if name not in hints:
            raise SettingError(f"{path} has an unknown setting '{name}': it may have {', '.join(sorted(hints))}")
        if isinstance(value, int) and abs(value) > _MOST_WHOLE:
            raise SettingError(f"{path}: {name} is too large: nothing has so many")
        if not _fits(value, hints[name]):
            raise SettingError(f"{path}: {name} = {value!r:.80} must be {_kind_words(hints[name])}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}


def write_toml(settings: Any, path: Path) -> None:
    """The settings as TOML; those that are None are left out, since TOML has no null."""
    from biocosmos.tables import replacing

    values = {each.name: getattr(settings, each.name) for each in fields(settings)}
    lines = [f"{name} = {json.dumps(value, default=str)}" for name, value in values.items() if value is not None]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


S = TypeVar("S")


def _words(kind: Any, name: str, wanted: Any) -> str:
    called = spelled(kind, name)
    if wanted is True or wanted is GIVEN:
        return f"with {called}"
    if wanted is False or wanted is NOT_GIVEN:
        return f"without {called}"
    if isinstance(wanted, _Part):
        return f"with {called} {wanted.name}"
    if isinstance(wanted, _Other):
        return f"with another {called} than {' or '.join(map(str, wanted.values))}"
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    values = [str(each) for each in wanted if each is not None]
    said = [f"with {called} {' or '.join(values)}"] if values else []
    return " or ".join([*said, f"without {called}"] if None in wanted else said)


def _holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, _Mark):
        return bool(value) == (wanted is GIVEN)
    if isinstance(wanted, _Other):
        return value not in wanted.values
    if isinstance(wanted, _Part):
        return wanted.name in names_in(str(value).replace("+", ","))
    return value in wanted if isinstance(wanted, tuple) else bool(value == wanted)


def _check_choice(called: str, shape: Setting, value: Any) -> None:
    if not shape.choices:
        return
    parts = names_in(value) if shape.several and isinstance(value, str) else value
    for part in parts if isinstance(parts, (tuple, list)) else (parts,):
        if part not in shape.choices:
            known = f"{', '.join(shape.choices[:-1])} or {shape.choices[-1]}" if len(shape.choices) > 1 else shape.choices[0]
            raise SettingError(f"{called} '{part}' is not known: choose {known}")


def _check_bounds(called: str, shape: Setting, value: Any) -> None:
    low, above, high, below = shape.low, shape.above, shape.high, shape.below
    for number in value if isinstance(value, (tuple, list)) else (value,):
        inside = (low is None or number >= low) and (above is None or number > above)
        if inside and (high is None or number <= high) and (below is None or number < below):
            continue
        if low is not None and high is not None:
            raise SettingError(f"{called} must be {low:g} to {high:g}, not {number}")
        words = (("at least", low), ("above", above), ("at most", high), ("below", below))
        bounds = " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)
        raise SettingError(f"{called} must be {bounds}, not {number}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type; a whole number is a number, a string may be a path, a list may be a tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in args)
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(_fits(part, args[0]) for part in value)
    if hint is bool or isinstance(value, bool):
        return hint in (bool, Any) and isinstance(value, bool)
    numbers: dict[Any, Any] = {int: Integral, float: Real, Path: (str, Path)}
    return hint is Any or isinstance(value, numbers.get(hint, hint))


def _kind_words(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return words.get(hint, "a list")
