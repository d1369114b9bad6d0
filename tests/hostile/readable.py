"""Malformed files that people give to ``ingest``: images, tables, archives, and the JSON of other programs."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judge import lines
from mutations import NASTY, bomb, cut, deep, spoilt_bytes, spoilt_json, spoilt_members, spoilt_rows, tarred, zipped
from stock import Case, inputs_of, lay_out, picture

Make = Callable[[random.Random, Path], Case]


def makers(stock: Path) -> dict[str, Make]:
    """Kind -> what makes one case of it in a sandbox, of a seeded generator."""
    given = inputs_of(stock)
    photos: dict[str, bytes] = given["photos"]

    def images(rng: random.Random, sandbox: Path) -> Case:
        files, odd = dict(photos), rng.random() < 0.3
        if odd:
            name, data = rng.choice(_ODD_IMAGES)()
            files[f"odd/{name}"] = data
        else:
            kind, mode = rng.choice(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")), rng.choice(("RGB", "L"))
            name = f"spoilt.{'jp2' if kind == 'JPEG2000' else kind.lower()}"
            files[f"odd/{name}"] = spoilt_bytes(picture((40, 30), mode, kind), rng)
        lay_out(sandbox / "photos", files)
        if odd and rng.random() < 0.2:
            (sandbox / "photos" / "odd" / "link.png").symlink_to(
                rng.choice(("/dev/zero", "/dev/full", "/etc", "loop.png", "link.png"))
            )
        return Case("images", name, ingest(sandbox / "photos"), accounted(len(files)))

    def tables(suffix: str, text: str) -> Make:
        def make(rng: random.Random, sandbox: Path) -> Case:
            lay_out(sandbox / "photos", photos)
            path = sandbox / f"table{suffix}"
            data, rows = spoilt_rows(text, rng, "\t" if suffix == ".tsv" else ",")
            path.write_bytes(data)
            check = None if rows is None else accounted(rows)
            return Case(f"tables {suffix[1:]}", path.name, ingest(path, "--images", sandbox / "photos"), check)

        return make

    def parquet(rng: random.Random, sandbox: Path) -> Case:
        lay_out(sandbox / "photos", photos)
        path, seed = sandbox / "table.parquet", rng.randrange(1 << 30)

        def work() -> list[int]:
            _write_parquet(path, given[".csv"], random.Random(seed))
            return ingest(path, "--images", sandbox / "photos")()

        return Case("parquet", path.name, work)

    def zips(kind: str, members: dict[str, bytes], form: str) -> Make:
        def make(rng: random.Random, sandbox: Path) -> Case:
            path, certain = spoilt_archive(members, rng, sandbox)
            check = accounted(len(photos)) if certain else None
            return Case(kind, path.name, ingest(path, *(["--format", form] if rng.random() < 0.7 else [])), check)

        return make

    def jsons(kind: str, facts: Any, form: str) -> Make:
        def make(rng: random.Random, sandbox: Path) -> Case:
            lay_out(sandbox / "photos", photos)
            path = sandbox / f"{form}.json"
            path.write_bytes(spoilt_json(facts, rng))
            return Case(kind, path.name, ingest(path, "--format", form, "--images", sandbox / "photos"))

        return make

    def tars(rng: random.Random, sandbox: Path) -> Case:
        path = sandbox / "shard-000000.tar"
        if rng.random() < 0.15:
            data = tarred(given["shards"], claim=rng.choice((1 << 40, 1 << 33, 10)))
        else:
            made = spoilt_members(
                given["shards"],
                rng,
                lambda name, data, rng: spoilt_json({"depth": "1"}, rng) if name.endswith("json") else spoilt_bytes(data, rng),
            )
            data = tarred({name[:90] or "nameless": data for name, data in made.items()})
            data = spoilt_bytes(data, rng) if rng.random() < 0.4 else data
        path.write_bytes(data)
        return Case("webdataset", path.name, ingest(path))

    def archives(rng: random.Random, sandbox: Path) -> Case:
        path = sandbox / "archive.zip"
        odd = rng.randrange(6)
        core = given["darwin core"]
        if odd == 0:
            path.write_bytes(bomb("occurrence.txt", 1 << 28))
        elif odd == 1:
            path.write_bytes(zipped(core | {"inner.zip": zipped({"inner.zip": zipped(core)})}))
        elif odd == 2:
            path.write_bytes(zipped({f"{i}/{j}.png": b"" for i in range(100) for j in range(100)}))
        elif odd == 3:
            path.write_bytes(zipped({rng.choice(("/etc/", "../", "..\\", "C:/")) + name: data for name, data in core.items()}))
        elif odd == 4:  # lengths that lie
            data = bytearray(zipped(core))
            place = data.find(b"PK\x01\x02")
            data[place + 24 : place + 28] = struct.pack("<I", rng.choice((0, 1, 0xFFFFFFFE)))
            path.write_bytes(bytes(data))
        else:
            path = sandbox / rng.choice(("a.tar.gz", "a.csv.gz", "a.json", "a.jsonl", "a.xlsx", "a.tar", "a.pdf"))
            path.write_bytes(rng.choice((deep(), rng.randbytes(500), b"", zlib.compress(b"a" * 1000), cut(zipped(core), rng))))
        return Case("archives", path.name, ingest(path))

    return {
        "images": images,
        "tables csv": tables(".csv", given[".csv"]),
        "tables tsv": tables(".tsv", given[".tsv"]),
        "inaturalist": tables(".csv", given["inaturalist"]),
        "parquet": parquet,
        "darwin core": zips("darwin core", given["darwin core"], "darwin-core"),
        "ecotaxa": zips("ecotaxa", given["ecotaxa"], "ecotaxa"),
        "coco": jsons("coco", given["coco"], "coco"),
        "megadetector": jsons("megadetector", given["detector"], "megadetector"),
        "webdataset": tars,
        "archives": archives,
    }


def unspoilt(stock: Path, sandbox: Path) -> dict[str, Callable[[], list[int]]]:
    """Kind -> work that reads the valid file of it."""
    given = inputs_of(stock)
    lay_out(sandbox / "photos", given["photos"])
    files = {
        "tables csv": ("a.csv", given[".csv"].encode()),
        "tables tsv": ("a.tsv", given[".tsv"].encode()),
        "inaturalist": ("i.csv", given["inaturalist"].encode()),
        "darwin core": ("d.zip", zipped(given["darwin core"])),
        "ecotaxa": ("e.zip", zipped(given["ecotaxa"])),
        "coco": ("c.json", json.dumps(given["coco"]).encode()),
        "megadetector": ("m.json", json.dumps(given["detector"]).encode()),
        "webdataset": ("s-000000.tar", tarred(given["shards"])),
    }
    options: dict[str, tuple[object, ...]] = dict.fromkeys(
        ("tables csv", "tables tsv", "coco", "megadetector"), ("--images", sandbox / "photos")
    )
    made = {}
    for name, (file, data) in files.items():
        (sandbox / file).write_bytes(data)
        made[name] = lines(["ingest", sandbox / file, "-o", f"{file}.cosmos", *options.get(name, ())])
    return made


def spoilt_archive(members: dict[str, bytes], rng: random.Random, sandbox: Path) -> tuple[Path, bool]:
    """A zip or a folder of these files, of which one is spoilt, and at times the zip; and whether the tables still say beyond
    doubt how many rows they have, because only a picture or a cell is another."""
    certain = True

    def spoil(name: str, data: bytes, rng: random.Random) -> bytes:
        nonlocal certain
        if name.endswith((".txt", ".tsv", ".csv")) and rng.random() < 0.7:
            made, rows = spoilt_rows(data.decode(), rng, "," if name.endswith(".csv") else "\t")
            certain = rows is not None
            return made
        certain = name.endswith(".png")
        if name == "meta.xml" and rng.random() < 0.6:
            return _spoilt_meta(data, rng)
        return spoilt_json(json.loads(data), rng) if name.endswith(".json") and rng.random() < 0.8 else spoilt_bytes(data, rng)

    made = spoilt_members(members, rng, spoil)
    certain = certain and all(name in made for name in members if not name.endswith(".png"))
    if rng.random() < 0.3:  # unpacked
        return lay_out(sandbox / "archive", {name: data for name, data in made.items() if _can_be_a_file(name)}), certain
    path, data = sandbox / "archive.zip", zipped(made)
    broken = rng.random() < 0.3
    path.write_bytes(spoilt_bytes(data, rng) if broken else data)
    return path, certain and not broken


def _can_be_a_file(name: str) -> bool:
    return bool(name) and not name.startswith(("/", "..")) and len(name) < 250 and "\\" not in name


def ingest(path: Path, *options: object) -> Callable[[], list[int]]:
    """Work: a path is read into a collection, whose failures and table are written."""
    return lines(
        ["ingest", path, "-o", "made.cosmos", *options],
        ["failures", "made.cosmos", "-o", "failures.csv"],
        ["export", "made.cosmos", "-o", "out.csv"],
    )


def accounted(files: int) -> Callable[[Path], str | None]:
    """Every file, or row of a table, is a specimen or has a failure, or a warning that it is no image."""

    def check(sandbox: Path) -> str | None:
        if not (sandbox / "made.cosmos").exists():
            return None
        stored = _rows(sandbox / "out.csv")
        refused = [
            row for row in _rows(sandbox / "failures.csv") if row["severity"] == "error" or row["reason"].endswith("left out")
        ]
        if len(stored) + len(refused) < files:
            return f"{files} files or rows, {len(stored)} specimens and {len(refused)} failures"
        return None

    return check


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------- odd ones


def _claiming(width: int, height: int, colour: int = 6) -> bytes:
    """A PNG whose header claims a size that its few bytes do not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _vast(side: int, mode: str) -> bytes:
    return picture((side, side), mode)


_ODD_IMAGES: tuple[Callable[[], tuple[str, bytes]], ...] = (
    lambda: ("claims.png", _claiming(2**31 - 1, 2**31 - 1)),
    lambda: ("claims-wide.png", _claiming(2**20, 1)),
    lambda: ("nothing.png", _claiming(0, 0)),
    lambda: ("vast.png", _vast(13_000, "RGBA")),
    lambda: ("vast-grey.png", _vast(20_000, "1")),
    lambda: ("empty.jpg", b""),
    lambda: ("text.jpg", b"<html>not found</html>"),
    lambda: ("vector.svg", b"<svg/>"),
    lambda: ("gif.png", picture((5, 5), "L", "GIF")),
    lambda: ("\udce9.png", picture((5, 5))),
    lambda: ("a\nb.png", picture((5, 5))),
    lambda: ("x" * 250 + ".png", picture((5, 5))),
    lambda: ("two  blanks\u202f.png", picture((5, 5))),
    lambda: ("deep.tif", picture((5, 5), "I;16", "TIFF")),
    lambda: ("float.tif", picture((5, 5), "F", "TIFF")),
    lambda: ("cmyk.jpg", picture((5, 5), "CMYK", "JPEG")),
)


def _spoilt_meta(data: bytes, rng: random.Random) -> bytes:
    """meta.xml with an attribute that is something else."""
    text = data.decode()
    places = [
        (name, text.find(name + '="'))
        for name in (
            "index",
            "ignoreHeaderLines",
            "fieldsTerminatedBy",
            "linesTerminatedBy",
            "encoding",
            "rowType",
            "term",
            "fieldsEnclosedBy",
        )
    ]
    name, place = rng.choice([each for each in places if each[1] >= 0])
    start = place + len(name) + 2
    wrong = rng.choice(
        ("", "-1", "1e9", "1000000000", "x", "idna", "undefined", "utf-16", "\\", "ab", "\\t\\t", "0", "99", "&#9;", "é", "  ")
    )
    return (text[:start] + wrong + text[text.index('"', start) :]).encode()


def _write_parquet(path: Path, text: str, rng: random.Random) -> None:
    """A Parquet file with columns of odd types or values, or spoilt as bytes."""
    import datetime
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(csv.DictReader(io.StringIO(text)))
    columns: dict[str, Any] = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
    n, name = len(rows), rng.choice(list(columns))
    odd: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.array([[1, 2]] * n),
        lambda: pa.array([{"a": 1}] * n),
        lambda: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        lambda: pa.nulls(n),
        lambda: pa.array([b"\xff\xfe"] * n),
        lambda: pa.array([2**63 - 1] * n),
        lambda: pa.array([float("nan")] * n),
        lambda: pa.array([-(2**62)] * n, pa.timestamp("us")),
        lambda: pa.array([2**53] * n, pa.timestamp("s")),
        lambda: pa.array([-(2**31)] * n, pa.date32()),
        lambda: pa.array([decimal.Decimal(10) ** 30] * n),
        lambda: pa.array([datetime.timedelta(days=1)] * n),
        lambda: pa.array(["a"] * n).dictionary_encode(),
        lambda: pa.array(["x\0y"] * n),
        lambda: pa.array(["a"] * n, pa.string_view()),
        lambda: pa.array([[1]] * n, pa.list_view(pa.int8())),
        lambda: pa.array([True] * n),
        lambda: pa.array(["x" * 100_000] * n),
        lambda: pa.array([2**16 - 1] * n, pa.uint64()),
        lambda: pa.array([12] * n, pa.time64("ns")),
        lambda: pa.array([1.5] * n, pa.float16()),
        lambda: pa.array([None] * n, pa.binary()),
        lambda: pa.array([b"abcd"] * n, pa.binary(4)),
    )
    if rng.random() < 0.6:
        columns[name] = rng.choice(odd)()
    if rng.random() < 0.4:
        other = rng.choice([str(value) for value in NASTY if isinstance(value, str) and "\ud800" not in value])
        columns[other or "blank"] = columns.pop(name)
    pq.write_table(pa.table(columns), path)
    if rng.random() < 0.3:
        path.write_bytes(spoilt_bytes(path.read_bytes(), rng))
