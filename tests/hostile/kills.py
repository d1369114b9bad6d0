"""Kills every job at system calls drawn at random, runs it again until it is done, and compares the end with an unkilled run.

    python tests/hostile/kills.py                      # KILLS kills over all jobs
    python tests/hostile/kills.py --sample 12          # as CI does
    python tests/hostile/kills.py --only ingest --kills 50 --seed 3
    python tests/hostile/kills.py --at "embed:120,45"  # these calls, and all that is said

What is promised of a job stands with it in :data:`JOBS`: its files byte for byte, or, of a collection, whose files carry names
and times of their own, every specimen, failure, vector and part of a split. Nothing half made may be left in the output, in the
collection or among the temporary files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for folder in (Path(__file__).parent, Path(__file__).parents[1]):
    sys.path.insert(0, str(folder))

from judge import CLEAN, judged, lines, warm_up  # noqa: E402
from killer import can_trace, traced  # noqa: E402
from mutations import zipped  # noqa: E402
from stock import copied, inputs_of, lay_out, make_stock  # noqa: E402

from biocosmos.specimens.sample import sample  # noqa: E402

KILLS = 200
MOST_RUNS = 4
"""Runs until a job must be done: it is killed in one or two of them."""
AGAIN = 0.3
"""How often the second run is killed too."""
TEMPORARY = re.compile(r"\.tmp$|^\.[^/]*-\d+-\d+|etilqs_|^biocosmos-|\.partial$|^\.saving|^\.step-|-again$")


@dataclass(frozen=True)
class Job:
    """A command line; needs: what of the stock it stands on; collection: whose content is compared, files: byte for byte."""

    line: tuple[str, ...]
    needs: tuple[str, ...] = ()
    collection: str | None = None
    files: tuple[str, ...] = ()


MINE = "mine.cosmos"
TRAIN = ("--encoder", "enc", "--freeze", "--epochs", "2", "--device", "cpu", "--checkpoint-steps", "2")
JOBS: dict[str, Job] = {
    "ingest a folder": Job(("ingest", "photos", "-o", "new.cosmos"), collection="new.cosmos"),
    "ingest a zip": Job(("ingest", "archive.zip", "-o", "new.cosmos"), collection="new.cosmos"),
    "ingest a table": Job(("ingest", "table.csv", "--images", "photos", "-o", "new.cosmos", "--pack"), collection="new.cosmos"),
    "ingest a collection": Job(("ingest", MINE, "-o", "new.cosmos"), (MINE,), "new.cosmos"),
    "merge": Job(("merge", MINE, "other.cosmos", "-o", "new.cosmos", "--id-prefix", "o-"), (MINE,), "new.cosmos"),
    "update": Job(("update", MINE, "--taxonomy", "tree.csv"), (MINE,), MINE),
    "embed": Job(("embed", MINE, "--encoder", "source", "--device", "cpu", "--batch-size", "8"), (MINE, "source"), MINE),
    "split": Job(("split", MINE, "--name", "other", "--seed", "3"), (MINE,), MINE),
    "export csv": Job(("export", MINE, "-o", "out/out.csv"), (MINE,), MINE, ("out",)),
    "export darwin core": Job(("export", MINE, "-o", "out/out.zip", "--format", "darwin-core"), (MINE,), MINE, ("out",)),
    "export ecotaxa": Job(("export", MINE, "-o", "out/out.zip", "--format", "ecotaxa"), (MINE,), MINE, ("out",)),
    "identify": Job(
        ("identify", MINE, "--part", "test", "--method", "nearest", "--threshold", "0.5", "-o", "out/names.csv"),
        (MINE,),
        MINE,
        ("out/names.csv",),
    ),
    "train heads": Job(
        ("train", "heads", MINE, "-o", "out", "--ranks", "phylum,label", *TRAIN), (MINE, "enc"), MINE, ("out/head.safetensors",)
    ),
    "train unicom": Job(
        ("train", "unicom", MINE, "-o", "out", "--dim", "4", "--taxa", "label", *TRAIN),
        (MINE, "enc"),
        MINE,
        ("out/projection.safetensors",),
    ),
}


class Trials:
    """Trials of all jobs in one folder, whose path is the same in every run, since tables name files by their path."""

    def __init__(self, stock: Path, place: Path) -> None:
        self.stock, self.sandbox = stock, place / "run"
        self.given = inputs_of(stock)
        self._unkilled: dict[str, tuple[dict[str, Any], int]] = {}

    def trial(self, name: str, rng: random.Random, at: list[int] | None = None) -> tuple[int, list[int], str | None]:
        """One job, killed once or twice: (kills, at which calls, what is wrong at the end)."""
        wanted, calls = self.unkilled(name)
        at = [rng.randrange(1, calls + 1)] + ([rng.randrange(1, calls + 1)] if rng.random() < AGAIN else []) if at is None else at
        self._prepare(name)
        kills = 0
        for run in range(MOST_RUNS):
            ended = traced(self._work(name), at[run] if run < len(at) else None)
            kills += ended.killed
            if not ended.killed and ended.status == 0:
                return kills, at, self._difference(self._answers(name), wanted)
            if not ended.killed:
                return kills, at, f"run {run + 1} failed: {(self.sandbox / 'err').read_text().strip()[-400:]}"
        return kills, at, f"not done after {MOST_RUNS} runs"

    def unkilled(self, name: str) -> tuple[dict[str, Any], int]:
        """What an unkilled run leaves, and how many calls it made."""
        if name not in self._unkilled:
            self._prepare(name)
            ended = traced(self._work(name))
            if ended.status:
                raise SystemExit(f"{name} fails unkilled: {(self.sandbox / 'err').read_text()}")
            self._unkilled[name] = self._answers(name), ended.calls
        return self._unkilled[name]

    def _prepare(self, name: str) -> None:
        shutil.rmtree(self.sandbox, ignore_errors=True)
        (self.sandbox / "tmp").mkdir(parents=True)
        copied(self.stock, self.sandbox, *JOBS[name].needs)
        if name == "merge":
            shutil.copytree(self.sandbox / MINE, self.sandbox / "other.cosmos")
        if name == "update":
            labels = sorted(set(sample()["label"].to_pylist()))
            (self.sandbox / "tree.csv").write_text("\n".join(["label,suborder", *(f"{each},of {each}" for each in labels)]))
        if name.startswith("ingest"):
            photos = self.given["photos"] | {"odd/cut.png": next(iter(self.given["photos"].values()))[:200], "odd/empty.jpg": b""}
            lay_out(self.sandbox / "photos", photos)
            (self.sandbox / "archive.zip").write_bytes(zipped(self.given["darwin core"] | {"media/cut.png": b"\x89PNG"}))
            (self.sandbox / "table.csv").write_text(
                self.given[".csv"] + "lost,fish,odd/gone.png,1,2,2014\nlast,fish,odd/cut.png,1,2,2014\n"
            )

    def _work(self, name: str) -> Callable[[], None]:
        def work() -> None:
            for number, file in ((1, "out-text"), (2, "err")):
                os.dup2(os.open(self.sandbox / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(self.sandbox)
            os.environ |= {"TMPDIR": str(self.sandbox / "tmp"), "XDG_CACHE_HOME": str(self.stock / "cache")}
            tempfile.tempdir = None
            if any(lines(list(JOBS[name].line))()):
                raise RuntimeError("failed")

        return work

    def _answers(self, name: str) -> dict[str, Any]:
        """All that is promised, as plain values."""
        job, found = JOBS[name], dict[str, Any]()
        for file in job.files:
            paths = sorted(path for path in (self.sandbox / file).rglob("*") if path.is_file()) or [self.sandbox / file]
            found |= {str(path.relative_to(self.sandbox)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        stray = [path for path in self.sandbox.rglob("*") if TEMPORARY.search(path.name)]
        found["stray"] = sorted({str(path.relative_to(self.sandbox)) for path in [*stray, *(self.sandbox / "tmp").iterdir()]})
        if job.collection is not None:
            path, out = self.sandbox / job.collection, self.sandbox.parent / "answers.json"
            done = judged(lambda: out.write_text(json.dumps(_content(path))), self.sandbox.parent / "reading")
            if done.verdict not in (CLEAN, "escape"):
                return found | {"collection": done.why}
            found |= json.loads(out.read_text())
        return found

    @staticmethod
    def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
        for key in {**wanted, **found}:
            if found.get(key) != wanted.get(key):
                return f"{key}: {str(found.get(key))[:300]} instead of {str(wanted.get(key))[:300]}"
        return None


def _content(path: Path) -> dict[str, Any]:
    """Everything a collection says, as plain values: specimens, failures, vectors, splits, and files that nothing refers to."""
    import biocosmos as bc

    collection = bc.Collection.open(path)
    table = collection.dataset.to_table()
    columns = sorted(name for name in table.column_names if name not in ("added", "created"))
    rows = sorted(repr({name: row[name] for name in columns}) for row in table.to_pylist())
    failures = (
        [json.dumps(vars(row), default=str) for row in collection.failures()]
        if callable(getattr(collection, "failures", None))
        else []
    )
    splits = {
        name: sorted(zip(map(str, collection.split(name).ids), map(str, collection.split(name).parts)))
        for name in collection.split_names
    }
    named = {
        file.path
        for version in collection.dataset.versions()
        for fragment in collection.dataset.checkout_version(version["version"]).get_fragments()
        for file in fragment.data_files()
    }
    data = next(path.glob("*.lance"), path)
    orphans = sorted(file.name for file in (data / "data").glob("*.lance") if file.name not in named)
    return {
        "specimens": [hashlib.sha256(row.encode()).hexdigest()[:16] for row in rows],
        "count": len(rows),
        "failures": sorted(failures),
        "splits": json.loads(json.dumps(splits)),
        "encoders": sorted(collection.encoders),
        "orphans": len(orphans),
    }


def main() -> None:
    """The command line; exit code 1 where an end differed."""
    asked = _arguments()
    if not can_trace():
        sys.exit("a process may not be traced here (ptrace and seccomp): nothing was tried")
    os.nice(5)
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends it with what was found so far
        signal.signal(number, signal.default_int_handler)
    warm_up()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        stock = place / "stock"
        made = judged(make_stock(stock), stock, seconds=300)
        if made.verdict not in (CLEAN, "escape") or any(made.codes):
            sys.exit(f"the stock could not be made: {made.verdict} {made.why}\n{made.err}")
        trials = Trials(stock, place)
        if asked.at:
            name, _, calls = asked.at.rpartition(":")
            print(
                *trials.trial(name, random.Random(0), [int(call) for call in calls.split(",")]),
                (trials.sandbox / "err").read_text(),
            )
            return
        failed = _run(trials, asked)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="jobs whose names begin so, comma-separated")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--sample", type=int, help="so many trials, of every job in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", help="JOB:CALL,CALL, one trial")
    return parser.parse_args()


def _run(trials: Trials, asked: argparse.Namespace) -> int:
    names = [name for name in JOBS if not asked.only or name.startswith(tuple(asked.only.split(",")))]
    tried, killed, different = Counter[str](), Counter[str](), Counter[str]()
    begun, number = time.monotonic(), 0
    with suppress(KeyboardInterrupt):
        while tried.total() < asked.sample if asked.sample else killed.total() < asked.kills:
            name = names[number % len(names)]
            rng = random.Random(zlib.crc32(f"{asked.seed} {name} {number}".encode()))
            kills, at, wrong = trials.trial(name, rng)
            number += 1
            tried[name], killed[name] = tried[name] + 1, killed[name] + kills
            if wrong is not None:
                different[name] += 1
                print(f'--at "{name}:{",".join(map(str, at))}": {wrong}', file=sys.stderr, flush=True)
    print("| job | trials | kills | different at the end | calls of an unkilled run |\n|---|---|---|---|---|")
    for name in names:
        print(
            f"| {name} | {tried[name]} | {killed[name]} | {different[name]} | {trials.unkilled(name)[1] if tried[name] else ''} |"
        )
    print(f"| all | {tried.total()} | {killed.total()} | {different.total()} | |\n{time.monotonic() - begun:.0f} s")
    return different.total()


if __name__ == "__main__":
    main()
