"""What biocosmos itself wrote, damaged or tampered with: collections, heads, encoders, checkpoints; odd options and settings."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judge import lines
from mutations import BYTES, ENDLESS, NASTY, Rng, deep, foreign, spoilt_bytes, spoilt_json
from stock import BASELINE, Case, copied

Make = Callable[[random.Random, Path], Case]
TOLD = ("damaged", "checksum", "restore", "changed after", "fitted anew", "is gone", "cannot be read")


def makers(stock: Path) -> dict[str, Make]:
    """Kind -> what makes one case of it in a sandbox, of a seeded generator."""

    def collections(rng: random.Random, sandbox: Path) -> Case:
        (mine,) = copied(stock, sandbox, "mine.cosmos")
        if rng.random() < 0.5:
            shutil.rmtree(mine / "namers", ignore_errors=True)
        name = damage(mine, rng)
        asked = [
            ["info", mine],
            ["search", mine, "--id", _first_id(stock), "-k", "3"],
            ["failures", mine],
            *BASELINE(mine, "out"),
        ]
        if rng.random() < 0.3:
            copied(stock, sandbox, "enc")
            asked.append(["embed", mine, "--encoder", "enc", "--device", "cpu"])
        return Case("collections", name, lines(*asked), _same_answers(stock))

    def heads(rng: random.Random, sandbox: Path) -> Case:
        mine, head = copied(stock, sandbox, "mine.cosmos", "head")
        copied(stock, sandbox, "enc")
        name = damage(head, rng, prefer=("head.json", "head.safetensors", "head-taxonomy.parquet", "fitted.parquet"))
        line = ["identify", mine, "--part", "test", "--head", "head", "--threshold", "0.5", "-o", "out/head.csv", "--fresh"]
        return Case("heads", name, lines(line), _same_answers(stock, "head.csv"))

    def encoders(rng: random.Random, sandbox: Path) -> Case:
        kind = rng.choice(("enc", "enc", "frozen", "clip", "source"))
        (folder,) = copied(stock, sandbox, kind)
        if kind == "frozen":
            copied(stock, sandbox, "enc")
        name = damage(folder, rng)
        (mine,) = copied(stock, sandbox, "mine.cosmos")
        return Case(
            "encoders", f"{kind}/{name}", lines(["embed", mine, "--encoder", kind, "--device", "cpu", "--precision", "float32"])
        )

    def checkpoints(rng: random.Random, sandbox: Path) -> Case:
        (mine, run, _) = copied(stock, sandbox, "mine.cosmos", "run", "enc")
        for name in ("biocosmos.json", "run.json"):
            (run / name).unlink(missing_ok=True)  # not finished: it goes on from its checkpoint
        name = damage(run, rng, prefer=("shared.pt", "rank-0.pt", "settings.toml", "labels.parquet", "computing.json", "best.pt"))
        line = [
            "train",
            "unicom",
            mine,
            "-o",
            run,
            "--encoder",
            "enc",
            "--freeze",
            "--epochs",
            "2",
            "--dim",
            "4",
            "--taxa",
            "label",
            "--device",
            "cpu",
        ]
        return Case("checkpoints", name, lines(line))

    def namers(rng: random.Random, sandbox: Path) -> Case:
        (mine,) = copied(stock, sandbox, "mine.cosmos")
        folder = next(path for path in (mine / "namers").iterdir() if path.is_dir())
        name = damage(folder, rng)
        line = ["identify", mine, "--part", "test", "--method", "nearest", "--threshold", "0.5", "-o", "out/names.csv"]
        return Case("namers", name, lines(line), _same_answers(stock))

    def options(rng: random.Random, sandbox: Path) -> Case:
        mine, *_ = copied(stock, sandbox, "mine.cosmos", "enc")
        line = _odd_line(mine, rng)
        return Case("options", " ".join(str(word)[:60] for word in line), lines(line))

    def settings(rng: random.Random, sandbox: Path) -> Case:
        mine, *_ = copied(stock, sandbox, "mine.cosmos", "enc")
        path = sandbox / "settings.toml"
        path.write_bytes(_odd_toml(rng))
        return Case(
            "settings",
            path.name,
            lines(["train", "heads", mine, "-o", "head", "--freeze", "--epochs", "1", "--encoder", "enc", "--config", path]),
        )

    return {
        "collections": collections,
        "heads": heads,
        "encoders": encoders,
        "checkpoints": checkpoints,
        "namers": namers,
        "options": options,
        "settings": settings,
    }


def damage(folder: Path, rng: Rng, prefer: tuple[str, ...] = ()) -> str:
    """One file less, cut, flipped, garbled, of another kind, a folder, or a link; a JSON also by its values. What was done."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in ("lock", "README.md")]
    chosen = [path for path in files if path.name in prefer] if rng.random() < 0.8 else []
    path = rng.choice(chosen or files)
    kind = rng.choice(("remove", "cut", "flip", "flip", "bytes", "json", "json", "json", "empty", "folder", "link", "other"))
    data = path.read_bytes()
    if kind == "json" and path.suffix != ".json":
        kind = "flip"
    path.unlink()
    if kind == "json":
        path.write_bytes(spoilt_json(json.loads(data), rng))
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(rng.choice(("/dev/zero", "/etc/passwd", path.name, "/nowhere")))
    elif kind != "remove":
        spoil = {"cut": BYTES[0], "flip": BYTES[2], "bytes": spoilt_bytes, "other": foreign, "empty": lambda *_: b""}[kind]
        path.write_bytes(spoil(data, rng))
    return f"{path.relative_to(folder)}: {kind}"


def _same_answers(stock: Path, *names: str) -> Callable[[Path], str | None]:
    """What is written is what was written before the damage, or something was said."""

    def check(sandbox: Path) -> str | None:
        told = (sandbox / ".judge" / "err").read_text("utf-8", "replace")
        if any(word in told for word in TOLD):
            return None
        for name in names or ("names.csv", "out.csv"):
            found, wanted = sandbox / "out" / name, stock / "baseline" / name
            if found.exists() and plain(found) != plain(wanted):
                return f"{name} is another and nothing was said"
        return None

    return check


def plain(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without what differs from run to run."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: value for key, value in row.items() if key not in ("time", "made", "made_at", "created", "added")} for row in rows
    ]


def _first_id(stock: Path) -> str:
    return plain(stock / "baseline" / "out.csv")[0]["id"]


_BASE: dict[str, list[str]] = {
    "info": [],
    "split": ["--name", "other"],
    "export": ["-o", "out.csv"],
    "taxa": [],
    "failures": [],
    "encoders": [],
    "search": ["--id", "x"],
    "identify": ["--part", "test", "--method", "nearest", "-o", "names.csv"],
    "evaluate": ["-o", "report"],
    "embed": ["--encoder", "enc", "--device", "cpu"],
    "train heads": ["-o", "head", "--freeze", "--epochs", "1", "--encoder", "enc"],
    "train unicom": ["-o", "run", "--freeze", "--epochs", "1", "--encoder", "enc"],
    "history": [],
    "update": [],
    "remove": [],
    "ingest": [],
}


def _odd_line(mine: Path, rng: Rng) -> list[Any]:
    """A verb with one or two of its options set to something odd."""
    import typer

    from biocosmos.cli.app import app

    command: Any = typer.main.get_command(app)
    verb = rng.choice(list(_BASE))
    for word in verb.split():
        command = command.commands.get(word) if command is not None else None
    options = [param for param in getattr(command, "params", []) if param.param_type_name == "option" and param.name != "help"]
    words: list[Any] = [*verb.split(), mine, *_BASE[verb]]
    for option in rng.sample(options, min(len(options), rng.choice((1, 1, 2)))):
        flag = max(option.opts, key=len)
        words.append(flag)
        if not option.is_flag:
            words.append(_odd_value(rng))
    if rng.random() < 0.1:
        words.append(rng.choice(("--nothing", "-", "--", "-@", "\udcff", "extra")))
    return words


def _odd_value(rng: Rng) -> str:
    value = rng.choice(
        (
            *NASTY,
            ENDLESS,
            "(" * 10_000,
            "id = 'x' OR",
            "1=1; DROP TABLE x",
            "latitude > ",
            "default:",
            ":test",
            "a:b:c",
            "train,test",
            "../x",
            "/dev/null/x.csv",
            "nowhere/deep/out.csv",
            "*",
            "{name}",
            "train=0.5,val=nan",
            "train=1e400",
            "train=-1",
            "0:1:0",
            "label",
            "group",
            "test",
            "kingdom",
            "-5",
            "1e-400",
        )
    )
    return "" if value is None else str(value).replace("\0", "\\0")


def _odd_toml(rng: Rng) -> bytes:
    if rng.random() < 0.2:
        return spoilt_bytes(b'head = "flat"\nlr = 0.01\nranks = ["group", "label"]\n', rng)
    names = (
        "lr",
        "epochs",
        "head",
        "ranks",
        "batch_size",
        "hidden",
        "dropout",
        "seed",
        "rank_weights",
        "mix",
        "split",
        "encoder",
        "unheard",
        "weight_decay",
        "warmup",
    )
    values = (
        "1e400",
        "nan",
        "inf",
        "-1",
        "0",
        '""',
        '"x"',
        "[]",
        "[[1]]",
        "{a = 1}",
        "true",
        "1979-05-27",
        '"\\u0000"',
        "9" * 400,
        '["a", 1]',
        '"' + "x" * 10_000 + '"',
        '"../.."',
        "0x10",
        "1_000",
    )
    lines_ = [f"{rng.choice(names)} = {rng.choice(values)}" for _ in range(rng.choice((1, 1, 2)))]
    extra = rng.choice(("", "", "[table]\na = 1\n", "a.b.c = 1\n", "x = " + "[" * 5000, deep(10).decode()))
    return ("\n".join(lines_) + "\n" + extra).encode()
