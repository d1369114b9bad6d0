"""Command-line options made from settings: ``@takes(SearchSettings)`` above a verb, and every field is an option of it.

    @takes(SearchSettings)
    def search(collection: COLLECTION, settings: SearchSettings, output: OUTPUT = None) -> None: ...

The options stand where the parameter ``settings`` stands. A setting that is not ``told`` may be an argument of the verb of the
same name (``images``): it is part of the settings too. An option that was given and that the chosen mode does not use is
refused (``only`` of :class:`biocosmos.settings.Setting`). A verb that combines them with a file or with further options asks for
``given: Given`` in its place: what was stated, name -> value, for :func:`biocosmos.settings.told`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from biocosmos.cli.first import look_first
from biocosmos.cli.options import ANY_COLLECTION, OUTPUT
from biocosmos.cli.printing import say
from biocosmos.errors import BiocosmosError
from biocosmos.settings import (
    Setting,
    SettingError,
    UnusedSetting,
    defaults_of,
    flag,
    hints_of,
    names_in,
    read_toml,
    settings_of,
    spelled,
    told,
    used_where,
)
from biocosmos.trust import allowing_code

FOUND = {
    "near": ("Only within so many km or m of a place.", "52.05,5.05:10km"),
    "box": ("Only within a box; over the antimeridian where west is greater than east.", "SOUTH,WEST,NORTH,EAST"),
    "season": ("Only from one day of the year to another, in any year.", "03-01/05-31"),
    "depths": ("Only from so many metres below the surface to so many; 200- is open.", "0-100"),
}
"""Options of every verb that has the setting ``where``: they become part of it (:mod:`biocosmos.places.filters`)."""

Given = dict[str, Any]
"""What was stated on the command line: name of the setting -> value."""

Verb = TypeVar("Verb", bound=Callable[..., None])
CONFIG = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings; flags override it.", rich_help_panel="Run")
]

CODE = "allow_code"
ALLOW_CODE = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run Python code that an encoder's folder, a head or a collection names; without it they are data.",
        rich_help_panel="Run",
    ),
]
"""No setting: a file of settings must not allow it."""


def takes(
    kind: type,
    *,
    into: str | None = None,
    leave_out: Collection[str] = (),
    several: Collection[str] = (),
    switches: bool = False,
) -> Callable[[Verb], Verb]:
    """Give a verb an option for each setting of ``kind``.

    Args:
        into: the parameter they go into; by default ``given`` or ``settings``, whichever the verb has.
        leave_out: settings that this verb does not offer, or options of :data:`FOUND`.
        several: settings of which a comma-separated list may be told, one run each: given as text.
        switches: a setting that is on or off gets --x and --no-x, so that either overrides a file.
    """

    def decorate(verb: Verb) -> Verb:
        own = inspect.signature(verb, eval_str=True).parameters
        target = into or ("given" if "given" in own else "settings")
        shapes = {name: settings_of(kind)[name] for name in _order(kind, leave_out)}
        options = [_option(kind, name, shape, name in several, switches) for name, shape in shapes.items()]
        found = _found(shapes, leave_out)
        options += found
        untold = [name for name, shape in settings_of(kind).items() if not shape.told]
        table = "output" in own and own["output"].annotation == OUTPUT
        clash = sorted(set(shapes) & set(own) - {target})
        if clash:
            raise TypeError(f"{verb.__name__} has a parameter '{clash[0]}' of its own beside the setting: leave one of them out")

        @wraps(verb)
        def run(**values: Any) -> None:
            context = values["context"] if "context" in own else values.pop("context")
            given = {name: _value(kind, name, values.pop(name)) for name in shapes if stated(context, name)}
            for name in shapes:
                values.pop(name, None)
            filters = {option.name: values.pop(option.name) for option in found}
            filters = {name: value for name, value in filters.items() if value is not None}
            if filters:
                given["where"] = where_found(filters, given.get("where") or _filed(kind, values.get("config")))
            arguments: dict[str, Any] = {name: tuple(values[name]) for name in untold if values.get(name)}
            typed = [each for value in given.values() for each in (value if isinstance(value, tuple) else (value,))]
            trusted = allowing_code(None if values.pop(CODE, False) else [each for each in typed if isinstance(each, str)])
            with trusted:
                if "collection" in own and own["collection"].annotation == ANY_COLLECTION:
                    values["collection"] = unpacked(values["collection"], given.get("encoder"), kept=bool(values.get("save")))
                look_first(kind, given | arguments, values.get("collection"), values.get("output"), table=table)
                try:
                    settings = given if own[target].annotation is Given else told(kind, **given, **arguments)
                except UnusedSetting as unused:
                    raise _as_given(unused, filters) from None
                chosen_of = values.get("collection") or values.get("source")
                if chosen_of is not None and given.get("where"):
                    tell_not_known(chosen_of, given["where"])
                verb(**values, **{target: settings})

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own.values()]
        at = list(own).index(target)
        parameters[at : at + 1] = options
        if {"encoder", "image", "head"} & settings_of(kind).keys():
            parameters.append(inspect.Parameter(CODE, inspect.Parameter.KEYWORD_ONLY, annotation=ALLOW_CODE, default=False))
        if "context" not in own:
            parameters.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return typing.cast("Verb", run)

    return decorate


def unpacked(collection: Path, encoder: str | None, *, kept: bool = False) -> Path:
    """The collection itself, or the one that a pack was unpacked to; kept: results are to be kept with it.

    Raises SettingError where results are to be kept with a pack.
    """
    from biocosmos.specimens.packs.layout import is_pack

    if not is_pack(collection):
        return collection
    if kept:
        raise SettingError(f"--save keeps names with a collection, and {collection} is a pack: write a table with --output")
    from biocosmos.jobs.packs.opening import collection_of

    return collection_of(collection, encoder)


def where_found(filters: Mapping[str, str], where: str | None) -> str:
    """The condition ``where`` and what :data:`FOUND` say, as one. Raises BiocosmosError for an option that cannot be so."""
    from biocosmos.places.filters import OPTIONS

    try:
        said = [OPTIONS[name](text) for name, text in filters.items()]
    except BiocosmosError as error:
        raise SettingError(str(error)) from None
    return " AND ".join([*([f"({where})"] if where else []), *said])


def tell_not_known(collection: Path, where: str) -> None:
    """Say how many specimens do not tell the place, day or depth that a condition asks for, so that none of them is chosen."""
    from biocosmos.specimens.collection import Collection

    try:
        opened = Collection.open(collection)
    except BiocosmosError:  # a table, or pictures
        return
    for what, missing, all_of_them in opened.not_known(where):
        have = "1 specimen has" if missing == 1 else f"{missing:,} specimens have"
        say(f"{have} no {what} and so cannot be chosen by it (of {all_of_them:,} in {collection})")


def _found(shapes: Mapping[str, Setting], leave_out: Collection[str]) -> list[inspect.Parameter]:
    """The options of :data:`FOUND`, where there is a condition that they can be part of."""
    if "where" not in shapes:
        return []
    panel = shapes["where"].panel
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[
                str | None, typer.Option(f"--{name}", help=help, metavar=example, show_default=False, rich_help_panel=panel)
            ],
            default=None,
        )
        for name, (help, example) in FOUND.items()
        if name not in leave_out
    ]


def _filed(kind: type, config: Path | None) -> str | None:
    """The condition that a file of settings states."""
    return None if config is None else read_toml(kind, config).get("where")


def _as_given(unused: UnusedSetting, filters: Mapping[str, str]) -> UnusedSetting:
    """The refusal of a condition that was given as an option of :data:`FOUND`, by that option's name."""
    if unused.name != "where" or not filters:
        return unused
    name = next(iter(filters))
    return UnusedSetting(name, flag(name), str(unused).partition("does nothing here: it is used ")[2])


def stated(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line or by an environment variable, rather than left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def refuse(name: str, where: str) -> None:
    """Refuse an option that the chosen mode does not use, as :func:`biocosmos.settings.told` does. Raises UnusedSetting."""
    raise UnusedSetting(name, flag(name), where)


def shown_default(kind: type, name: str, shape: Setting) -> str:
    """The default in words: "64; 512 with --freeze", "the encoder's own", "" where there is none to show."""
    default = defaults_of(kind)[name]
    unset = default is None or default in ("", ()) or (shape.unset is not None and default == 0)
    words = [shape.unset or ""] if unset else ["" if default is False else _shown(default)]
    words += [f"{_shown(value)} with {spelled(kind, mode)}" for mode, value in shape.otherwise.items()]
    return "; ".join(word for word in words if word)


def _order(kind: type, leave_out: Collection[str]) -> list[str]:
    """The settings that are told, a class's own before those of its parents, whose defaults it may have changed."""
    parents = {name for parent in kind.__mro__[1:] for name in getattr(parent, "__annotations__", ())}
    told_ones = [name for name, shape in settings_of(kind).items() if shape.told and name not in leave_out]
    return sorted(told_ones, key=lambda name: name in parents)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def _option(kind: type, name: str, shape: Setting, several: bool, switches: bool) -> inspect.Parameter:
    """One setting as a parameter that typer reads; None is "not given"."""
    hint, default = _without_none(hints_of(kind)[name]), shown_default(kind, name, shape)
    notes = [f"default: {default}"] if default else []
    if shape.conditions:
        notes.append(f"only {used_where(kind, name)}")
    text = shape.help.replace("[", "\\[")
    listed = shape.several or (typing.get_origin(hint) is tuple and not shape.repeated)
    if several or listed:
        text += f" Of {', '.join(shape.choices)}; several, comma-separated." if shape.choices else " Several, comma-separated."
    text += rf" [dim]\[{'; '.join(notes)}][/dim]" if notes else ""
    declared = list(shape.names)
    if not any(each.startswith("--") for each in declared):
        on_and_off = hint is bool and (switches or defaults_of(kind)[name] is True)
        declared.insert(0, f"{flag(name)}/--no-{flag(name)[2:]}" if on_and_off else flag(name))
    option = typer.Option(
        *declared,
        help=text,
        show_default=False,
        rich_help_panel=shape.panel,
        metavar=shape.metavar or ("LIST" if several or listed else None),
    )
    required = defaults_of(kind)[name] is MISSING
    given = _typer_type(hint, shape, several)
    annotation = Annotated[given if required else given | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=inspect.Parameter.empty if required else None
    )


def _typer_type(hint: Any, shape: Setting, several: bool) -> Any:
    if typing.get_origin(hint) is tuple and shape.repeated:
        return list[typing.get_args(hint)[0]]  # type: ignore[misc]
    if several or typing.get_origin(hint) is tuple:
        return str
    if shape.choices and not shape.several and hint is str:
        return Literal[shape.choices]
    return hint


def _value(kind: type, name: str, value: Any) -> Any:
    """What typer parsed as the setting's type: a comma-separated list becomes a tuple."""
    hint = _without_none(hints_of(kind)[name])
    if isinstance(value, list):
        return tuple(value)
    if typing.get_origin(hint) is not tuple or not isinstance(value, str):
        return value
    part = typing.get_args(hint)[0]
    try:
        return tuple(part(each) for each in names_in(value))
    except ValueError:
        raise SettingError(f"{spelled(kind, name)} '{value}' must be numbers, comma-separated") from None


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


__all__ = ["CONFIG", "Given", "refuse", "stated", "takes"]
