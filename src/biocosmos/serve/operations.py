"""The operations of the API, as its page shows them: read from what FastAPI says of its own routes (OpenAPI 3.1)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

METHODS = ("get", "post", "put", "patch", "delete")
DEEPEST = 4
"""Levels of nested objects that an example shows."""
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_SHOWN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "object"}
_LIMITS = (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("exclusiveMaximum", "below"))


@dataclass(frozen=True)
class Given:
    """A parameter, or a field of a body. place: "query", "path", "body", "form"; default: as JSON, None where there is none."""

    name: str
    place: str
    kind: str
    required: bool
    default: str | None
    what: str


@dataclass(frozen=True)
class Operation:
    """One operation. key: by which it is linked to; what: in words; given: what it takes; curl, python: an example of each."""

    key: str
    method: str
    path: str
    title: str
    what: tuple[str, ...]
    given: tuple[Given, ...]
    curl: str
    python: str


def operations(schema: Mapping[str, Any], base: str) -> list[tuple[str, list[Operation]]]:
    """All operations in groups, by their tag or the first word of their path. base: the address of the server, for examples."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in schema.get("paths", {}).items():
        for method in METHODS:
            if (facts := methods.get(method)) is not None:
                word = path.removeprefix("/api/").partition("/")[0]
                group = str((facts.get("tags") or [word])[0])
                groups.setdefault(group, []).append(_operation(schema, base, method, path, facts))
    return sorted(groups.items())


def _operation(schema: Mapping[str, Any], base: str, method: str, path: str, facts: Mapping[str, Any]) -> Operation:
    parameters = [each for each in facts.get("parameters", ()) if each["in"] in ("path", "query")]
    given = [_given(schema, each["name"], each["in"], each, each.get("required", False)) for each in parameters]
    content = facts.get("requestBody", {}).get("content", {})
    kind = next((each for each in ("application/json", *_FORMS) if each in content), None)
    body = _resolved(schema, content[kind].get("schema", {})) if kind else {}
    needed = body.get("required", ())
    place = "form" if kind in _FORMS else "body"
    given += [_given(schema, name, place, {"schema": each}, name in needed) for name, each in body.get("properties", {}).items()]
    values = {each["name"]: _example(schema, each.get("schema", {}), each["name"]) for each in parameters if each.get("required")}
    filled = path
    for each in parameters:
        if each["in"] == "path":
            filled = filled.replace("{" + each["name"] + "}", str(values.pop(each["name"])))
    sent = _example(schema, body, "body") if kind == "application/json" else None
    files = _form(schema, body) if kind in _FORMS else {}
    return Operation(
        key=f"{method}-{path.removeprefix('/api/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        title=_title(facts),
        what=tuple(part.strip() for part in facts.get("description", "").split("\n\n") if part.strip()),
        given=tuple(given),
        curl=_curl(base, method, filled, values, sent, files),
        python=_python(method, filled, values, sent, files) + (".json()" if _is_json(facts) else ".content"),
    )


def _title(facts: Mapping[str, Any]) -> str:
    """What somebody wrote as a title; "" for what FastAPI makes of the function's name."""
    title = str(facts.get("summary", ""))
    return "" if str(facts.get("operationId", "")).startswith(title.lower().replace(" ", "_") + "_") else title


def _is_json(facts: Mapping[str, Any]) -> bool:
    return "application/json" in facts.get("responses", {}).get("200", {}).get("content", {})


def _given(schema: Mapping[str, Any], name: str, place: str, facts: Mapping[str, Any], required: bool) -> Given:
    described = facts.get("schema", {})
    inner = _resolved(schema, described)
    default = described.get("default")
    what = facts.get("description") or described.get("description") or ""
    shown = None if default is None or default in ("", [], ()) else json.dumps(default, ensure_ascii=False)
    return Given(name, place, _kind(schema, inner), required, shown, what)


def _kind(schema: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """A type in words."""
    facts = _resolved(schema, facts)
    if "enum" in facts or "const" in facts:
        return "one of " + ", ".join(str(each) or '""' for each in facts.get("enum", [facts.get("const")]))
    if "anyOf" in facts:
        return " or ".join(dict.fromkeys(_kind(schema, each) for each in facts["anyOf"] if each.get("type") != "null"))
    if _is_file(facts):
        return "file"
    if facts.get("type") == "array":
        return f"list of {_kind(schema, facts.get('items', {}))}"
    limits = [f"{word} {facts[key]:g}" for key, word in _LIMITS if key in facts]
    return " ".join([_SHOWN.get(str(facts.get("type")), "anything"), *limits])


def _is_file(facts: Mapping[str, Any]) -> bool:
    return facts.get("format") == "binary" or "contentMediaType" in facts


def _resolved(schema: Mapping[str, Any], facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with what it refers to, and without the possibility of being null."""
    for _ in range(8):
        if "$ref" in facts:
            found: Any = schema
            for word in str(facts["$ref"]).removeprefix("#/").split("/"):
                found = found.get(word, {})
            facts = found
        elif len(some := [each for each in facts.get("anyOf", ()) if each.get("type") != "null"]) == 1:
            facts = {**{key: value for key, value in facts.items() if key != "anyOf"}, **some[0]}
        elif len(facts.get("allOf", ())) == 1:
            facts = facts["allOf"][0]
        else:
            break
    return facts


def _example(schema: Mapping[str, Any], facts: Mapping[str, Any], name: str, depth: int = 0) -> Any:
    """A value that fits a schema; a text is the name of what it stands for, in capitals."""
    facts = _resolved(schema, facts)
    if facts.get("examples"):
        return facts["examples"][0]
    if facts.get("default") is not None:
        return facts["default"]
    if "enum" in facts or "const" in facts:
        return facts.get("enum", [facts.get("const")])[0]
    if facts.get("anyOf"):
        return _example(schema, facts["anyOf"][0], name, depth)
    kind = facts.get("type")
    if kind == "array":
        return [] if depth > DEEPEST else [_example(schema, facts.get("items", {}), name.removesuffix("s"), depth + 1)]
    if kind == "object":
        fields = facts.get("properties", {})
        chosen = [each for each in fields if each in facts.get("required", ())] or list(fields)[:1]
        return {} if depth > DEEPEST else {each: _example(schema, fields[each], each, depth + 1) for each in chosen}
    numbers = {"integer": int(facts.get("minimum", 1)), "number": float(facts.get("minimum", 0.5))}
    return {**numbers, "boolean": True}.get(str(kind), name.upper())


def _form(schema: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, str]:
    """Field -> value of an example; a file is "@" and its name."""
    fields = {name: _resolved(schema, each) for name, each in body.get("properties", {}).items()}
    made: dict[str, str] = {}
    for name, each in fields.items():
        inner = _resolved(schema, each.get("items", {})) if each.get("type") == "array" else each
        if _is_file(inner):
            made[name] = "@photo.jpg"
        elif name in body.get("required", ()):
            made[name] = str(_example(schema, inner, name))
    return made


def _curl(base: str, method: str, path: str, query: Mapping[str, Any], sent: Any, form: Mapping[str, str]) -> str:
    address = base + path + (f"?{urlencode(query, doseq=True)}" if query else "")
    parts = ["curl", '-H "Authorization: Bearer $TOKEN"']
    if method != "get" and not (method == "post" and (sent is not None or form)):
        parts.append(f"-X {method.upper()}")
    if sent is not None:
        parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(sent, ensure_ascii=False))}"]
    parts += [f"-F {shlex.quote(f'{name}={value}')}" for name, value in form.items()]
    return " ".join([*parts, shlex.quote(address)])


def _python(method: str, path: str, query: Mapping[str, Any], sent: Any, form: Mapping[str, str]) -> str:
    return f"api.{method}({', '.join(_arguments(path, query, sent, form))})"


def _arguments(path: str, query: Mapping[str, Any], sent: Any, form: Mapping[str, str]) -> Iterator[str]:
    yield json.dumps(path, ensure_ascii=False)
    if query:
        yield f"params={dict(query)!r}"
    if sent is not None:
        yield f"json={sent!r}"
    plain = {name: value for name, value in form.items() if not value.startswith("@")}
    files = [name for name, value in form.items() if value.startswith("@")]
    if plain:
        yield f"data={plain!r}"
    if files:
        yield "files={" + ", ".join(f'{name!r}: open("photo.jpg", "rb")' for name in files) + "}"
