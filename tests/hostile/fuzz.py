"""Feeds biocosmos malformed inputs of every kind, each in a process of its own within limits, and prints what became of them.

python tests/hostile/fuzz.py                       # the whole corpus: COUNTS inputs of each kind
python tests/hostile/fuzz.py --sample 60           # as CI does
python tests/hostile/fuzz.py --only coco --count 500 --seed 7 --keep failing/
python tests/hostile/fuzz.py --case coco:17        # one, with all it says
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1]):
    sys.path.insert(0, str(folder))

from judge import CLEAN, SILENT, VERDICTS, Outcome, judged, warm_up  # noqa: E402
from stock import make_stock  # noqa: E402

COUNTS = {
    "images": 120,
    "tables csv": 100,
    "tables tsv": 50,
    "inaturalist": 30,
    "parquet": 70,
    "darwin core": 90,
    "ecotaxa": 60,
    "coco": 90,
    "megadetector": 50,
    "webdataset": 50,
    "archives": 30,
    "camtrap dp": 30,
    "hugging face": 30,
    "img2dataset": 30,
    "checklists": 30,
    "corrections": 30,
    "histories": 30,
    "collections": 180,
    "heads": 70,
    "encoders": 90,
    "checkpoints": 40,
    "namers": 40,
    "options": 120,
    "settings": 50,
}
"""Inputs of each kind in the whole corpus."""


def main() -> None:
    """The command line; exit code 1 where an input did not end clean."""
    asked = _arguments()
    os.nice(5)
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends it with what was found so far
        signal.signal(number, signal.default_int_handler)
    warm_up()
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        stock = place / "stock"
        made = judged(make_stock(stock), stock, seconds=300)
        if made.verdict not in (CLEAN, "escape") or any(made.codes):
            sys.exit(f"the stock could not be made: {made.verdict} {made.why}\n{made.err}")
        kinds = _kinds(stock)
        if asked.case:
            kind, _, number = asked.case.rpartition(":")
            found = _one(kinds[kind], kind, int(number), asked.seed, place / "one")
            print(found[0], f"{found[1].verdict}: {found[1].why}", found[1].out, found[1].err, found[1].codes, sep="\n")
            return
        failed = _unspoilt(stock, place / "unspoilt") if asked.only is None else 0
        failed += _run(kinds, _plan(asked, list(kinds)), asked, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(1 if failed else 0)


def _unspoilt(stock: Path, sandbox: Path) -> int:
    """How many of the small valid files a reader does not take; a malformed one of those would prove nothing."""
    import corrected
    import exchanged
    import readable

    failed = 0
    sandbox.mkdir()
    work, check = corrected.unspoilt(stock, sandbox)
    found = judged(work, sandbox)
    why = found.why or (check(sandbox) if not any(found.codes) else found.err)
    print(f"unspoilt histories: {why or 'every change undone'}")
    failed += bool(why)
    for name, work in {**readable.unspoilt(stock, sandbox), **exchanged.unspoilt(stock, sandbox)}.items():
        found = judged(work, sandbox)
        said = [line for line in found.err.splitlines() if "specimens added" in line]
        print(f"unspoilt {name}: {said[0] if said else 'not read: ' + found.err}")
        failed += found.verdict != CLEAN or any(found.codes) or not said
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="these kinds, comma-separated")
    parser.add_argument("--count", type=int, help="inputs of each kind")
    parser.add_argument("--sample", type=int, help="so many inputs in all, of every kind in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the sandboxes of inputs that did not end clean here")
    parser.add_argument("--case", help="KIND:NUMBER, one input, with all it says")
    return parser.parse_args()


def _kinds(stock: Path) -> dict[str, object]:
    import corrected
    import exchanged
    import ours
    import readable

    return {**readable.makers(stock), **exchanged.makers(stock), **corrected.makers(stock), **ours.makers(stock)}


def _plan(asked: argparse.Namespace, kinds: list[str]) -> dict[str, int]:
    if asked.only:
        kinds = [kind for kind in kinds if any(kind.startswith(each) for each in asked.only.split(","))]
    if asked.sample:
        return {kind: asked.sample // len(kinds) + (place < asked.sample % len(kinds)) for place, kind in enumerate(kinds)}
    return {kind: asked.count or COUNTS[kind] for kind in kinds}


def _one(make: object, kind: str, number: int, seed: int, sandbox: Path) -> tuple[str, Outcome]:
    rng = random.Random(zlib.crc32(f"{seed} {kind} {number}".encode()))
    sandbox.mkdir(parents=True)
    outside = sandbox.parent / "outside"
    case = make(rng, sandbox)  # type: ignore[operator]
    found = judged(case.work, sandbox)
    if found.verdict == CLEAN and case.check is not None and (why := case.check(sandbox)):
        found.verdict, found.why = SILENT, why
    if outside.exists() or (Path("/tmp") / "escape").exists():
        found.verdict, found.why = "escape", "it wrote outside"
    return case.name, found


def _run(kinds: dict[str, object], plan: dict[str, int], asked: argparse.Namespace, place: Path) -> int:
    tallies: dict[str, Counter[str]] = {}
    begun, slowest, largest = time.monotonic(), (0.0, ""), (0, "")
    with suppress(KeyboardInterrupt):
        for kind, count in plan.items():
            tally = tallies.setdefault(kind, Counter())
            for number in range(count):
                sandbox = place / f"{kind.replace(' ', '-')}-{number}"
                name, found = _one(kinds[kind], kind, number, asked.seed, sandbox)
                tally[found.verdict] += 1
                slowest, largest = (
                    max(slowest, (found.seconds, f"{kind}:{number}")),
                    max(largest, (found.megabytes, f"{kind}:{number}")),
                )
                if found.verdict != CLEAN:
                    print(f"{kind}:{number} {name[:120]}: {found.verdict}: {found.why[:400]}", file=sys.stderr, flush=True)
                    if asked.keep:
                        shutil.copytree(sandbox, asked.keep / sandbox.name, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(sandbox, ignore_errors=True)
    print("| kind | tried | " + " | ".join(VERDICTS) + " |\n|---" * 1 + "|---" * (len(VERDICTS) + 1) + "|")
    for kind, tally in tallies.items():
        print(f"| {kind} | {tally.total()} | " + " | ".join(str(tally[verdict]) for verdict in VERDICTS) + " |")
    every = sum(tallies.values(), Counter[str]())
    print(f"| all | {every.total()} | " + " | ".join(str(every[verdict]) for verdict in VERDICTS) + " |")
    print(f"{time.monotonic() - begun:.0f} s; slowest {slowest[0]:.1f} s ({slowest[1]}), largest {largest[0]} MB ({largest[1]})")
    return every.total() - every[CLEAN]


if __name__ == "__main__":
    main()
