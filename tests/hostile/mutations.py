"""Ways to spoil a file, drawn from a seeded generator: bytes, nodes of a JSON, cells of a table, members of an archive."""

from __future__ import annotations

import copy
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

Rng = random.Random

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.1, -0.0, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "nan",
        "NaN",
        "null",
        "a",
        "é" * 40,
        "\0",
        "\ud800",
        "\u202e",
        "a\nb",
        "a\tb",
        "x" * 300,
        "x" * 70_000,
    ),
    *("../../escape", "/etc/passwd", "C:\\Windows", "=1+1", "_rowid", "`a`", "a.b", "id", "crop", "image"),
    *([], {}, [[]], [None], {"a": {"b": []}}, ["a", 1]),
)
"""Values that some program somewhere did not expect."""
ENDLESS = "9" * 5000


def deep(levels: int = 20_000) -> bytes:
    """A JSON that is nested deeper than a parser that calls itself can follow."""
    return b"[" * levels + b"]" * levels


# ---------------------------------------------------------------------- bytes


def cut(data: bytes, rng: Rng) -> bytes:
    """The beginning of it."""
    return data[: rng.randrange(len(data) + 1)]


def flip(data: bytes, rng: Rng) -> bytes:
    """A few bits the other way."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def garble(data: bytes, rng: Rng) -> bytes:
    """A stretch of noise, of zeros or of 0xff."""
    spoilt = bytearray(data)
    start = rng.randrange(len(spoilt) + 1)
    length = rng.choice((1, 4, 16, 64, 1000))
    filling = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    spoilt[start : start + length] = filling
    return bytes(spoilt)


def drop(data: bytes, rng: Rng) -> bytes:
    """A stretch less."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 7, 100)) :]


def repeat(data: bytes, rng: Rng) -> bytes:
    """A stretch twice, or many times."""
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice((1, 10, 200))]
    return data[:start] + piece * rng.choice((2, 3, 500)) + data[start:]


def insert(data: bytes, rng: Rng) -> bytes:
    """Something that does not belong there."""
    start = rng.randrange(len(data) + 1)
    strange = rng.choice(
        (b"\0", b"\r", b"\n\n", b'"', b"'", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\t\t\t", b"<!--", b"%s")
    )
    return data[:start] + strange * rng.choice((1, 1, 50)) + data[start:]


def foreign(data: bytes, rng: Rng) -> bytes:
    """Something else under its name."""
    kinds = (
        b"",
        b"\0",
        b"\n",
        b"not what it says",
        deep(),
        b"PK\x03\x04",
        b"\x89PNG\r\n\x1a\n",
        b"PAR1PAR1",
        b"{",
        rng.randbytes(300),
        b"\x1f\x8b\x08",
    )
    return rng.choice(kinds)


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (
    cut,
    cut,
    flip,
    flip,
    flip,
    garble,
    garble,
    drop,
    repeat,
    insert,
    insert,
    foreign,
)


def spoilt_bytes(data: bytes, rng: Rng) -> bytes:
    """One of these."""
    return rng.choice(BYTES)(data, rng)


# ---------------------------------------------------------------------- JSON


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON, the whole first."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from nodes(inner, (*path, key))


def spoilt_json(value: Any, rng: Rng) -> bytes:
    """One value replaced, left out, doubled or renamed; now and then endless, deep, or spoilt as bytes."""
    value = copy.deepcopy(value)
    kind = rng.choice(("replace",) * 6 + ("remove", "remove", "rename", "double", "deep", "endless", "bytes"))
    *above, last = rng.choice(list(nodes(value))[1:] or [("",)])
    inner = value
    for key in above:
        inner = inner[key]
    if kind == "replace":
        inner[last] = rng.choice(NASTY)
    elif kind == "remove" and last in (inner if isinstance(inner, dict) else range(len(inner))):
        del inner[last]
    elif kind == "rename" and isinstance(inner, dict):
        inner[rng.choice([key for key in NASTY if isinstance(key, str)])] = inner.pop(last)
    elif kind == "double" and isinstance(inner, list):
        inner.append(copy.deepcopy(inner[last]))
    elif kind in ("deep", "endless"):
        inner[last] = "MARK"
        text = json.dumps(value).encode("utf-8", "surrogatepass")
        return text.replace(b'"MARK"', deep() if kind == "deep" else ENDLESS.encode(), 1)
    text = json.dumps(value).encode()
    return spoilt_bytes(text, rng) if kind == "bytes" else text


# ---------------------------------------------------------------------- text tables


def spoilt_table(text: str, rng: Rng, separator: str = ",") -> bytes:
    """Cells, columns, lines, quotes, the encoding or the bytes of a text table are not as they were."""
    return spoilt_rows(text, rng, separator)[0]


def spoilt_rows(text: str, rng: Rng, separator: str = ",") -> tuple[bytes, int | None]:
    """:func:`spoilt_table`, and the rows that are in it beyond doubt; None where it may be read as having others."""
    rows = [line.split(separator) for line in text.rstrip("\n").split("\n")]
    kind = rng.choice(
        ("cell", "cell", "cell", "header", "header", "line", "quote", "encoding", "bytes", "bytes", "ends", "wide", "names")
    )
    strange = [str(value).encode("utf-8", "surrogatepass").decode("utf-8", "replace") for value in NASTY] + ENDLESS.split()
    row = rng.randrange(1, len(rows))
    column = rng.randrange(len(rows[0]))
    if kind == "cell":
        rows[row][min(column, len(rows[row]) - 1)] = rng.choice(strange)
    elif kind == "header":
        rows[0][column] = rng.choice([*strange, *rows[0]])
    elif kind == "line":
        rows[row] = rng.choice(([], rows[row][:1], rows[row] * 3, [""] * len(rows[row]), rows[0]))
    elif kind == "quote":
        rows[row][min(column, len(rows[row]) - 1)] = rng.choice(('"', '"open', 'a"b', '""', '"a"b"', "'", "\\"))
    elif kind == "wide":
        rows[0] = rows[0] + [f"c{i}" for i in range(rng.choice((1, 300, 5000)))]
    elif kind == "names":
        rows[row][0] = rng.choice(
            ("x" * 300 + ".png", "a/" * 200 + "b.png", "\\\\server\\share", "file:///etc/passwd", "~nobody/x.png", ".")
        )
    made = "\n".join(separator.join(cells) for cells in rows) + "\n"
    sound = (
        kind in ("cell", "header", "wide", "names") and not set(made) & {'"', "\r", "\0"} and made.count("\n") == text.count("\n")
    )
    certain = len(rows) - 1 if sound else None
    if kind == "encoding":
        encoding = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "cp037", "utf-8-sig", "latin-1"))
        return made.encode(encoding, "replace"), None
    if kind == "ends":
        made = made.replace("\n", rng.choice(("\r", "\r\n", "\r\r\n", "\n\r", "\0", "\u2028")))
    data = made.encode("utf-8", "replace")
    return (spoilt_bytes(data, rng) if kind == "bytes" else data), certain


# ---------------------------------------------------------------------- archives


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def tarred(members: dict[str, bytes], claim: int | None = None) -> bytes:
    """A tar of these files; claim: bytes that the last one says it has."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    made = out.getvalue()
    if claim is None:
        return made
    info = tarfile.TarInfo("claims.png")
    info.size = claim
    return made.rstrip(b"\0") + bytes(512 - len(made.rstrip(b"\0")) % 512) + info.tobuf() + b"little"


def spoilt_members(members: dict[str, bytes], rng: Rng, spoil: Callable[[str, bytes, Rng], bytes]) -> dict[str, bytes]:
    """One member spoilt, left out, doubled, or under a name that leads out."""
    made = dict(members)
    name = rng.choice(list(made))
    kind = rng.choice(("spoil",) * 5 + ("remove", "rename", "slip"))
    if kind == "spoil":
        made[name] = spoil(name, made[name], rng)
    elif kind == "remove":
        del made[name]
    elif kind == "rename":
        made[rng.choice(("", "a/b/" + name, name.upper(), "x" * 280, "é/" + name, "\\" + name, "__MACOSX/._" + name))] = made.pop(
            name
        )
    else:
        made[rng.choice(("../../escape", "/tmp/escape", "C:\\escape", "../" * 30 + "escape")) + name[-4:]] = made.pop(name)
    return made


def bomb(name: str, size: int = 1 << 31) -> bytes:
    """A zip whose one member expands to ``size`` bytes of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as member:
        block = bytes(1 << 24)
        for _ in range(size >> 24):
            member.write(block)
    return out.getvalue()
