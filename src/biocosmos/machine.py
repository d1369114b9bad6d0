"""What this machine does fastest: timed once, remembered, overridable, and said in provenance. Nothing is guessed from a flag.

A question ("train.precision") has candidates, each a call that does a little of the real work one way. They are timed in turn,
the first is kept unless another is clearly faster, and the answer is remembered in a file under the processor's name, so that
later runs choose alike.

Environment:

- ``BIOCOSMOS_CHOOSE``: answers that are not measured, ``question=answer`` separated by commas. ``precision=bfloat16`` answers
  every question that ends in ``.precision``.
- ``BIOCOSMOS_ISA``: what the processor may be taken to have: ``avx2`` hides AVX-512, VNNI, bfloat16 and AMX from this package
  (torch and oneDNN are told by ``ATEN_CPU_CAPABILITY=avx2`` and ``ONEDNN_MAX_CPU_ISA=AVX2``).
- ``BIOCOSMOS_CACHE``: folder of the remembered answers, by default ``$XDG_CACHE_HOME/biocosmos`` or ``~/.cache/biocosmos``.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from biocosmos.errors import BiocosmosError
from biocosmos.unfinished import unfinished_path

CHOOSE, ISA, CACHE = "BIOCOSMOS_CHOOSE", "BIOCOSMOS_ISA", "BIOCOSMOS_CACHE"
ROUNDS = 5
"""Each candidate is timed so often, in turn; the fastest round counts, since noise only adds."""
BUDGET = 3.0
"""Seconds after which slow candidates are not timed again."""
CLEARLY = 0.9
"""Another candidate is taken if it needs at most this share of the first one's time: less would be decided by noise."""
_FLAGS_SHOWN = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
_BEYOND_AVX2 = ("avx512", "avx_vnni", "amx")

Source = Literal["measured", "remembered", "told", "only"]


@dataclass(frozen=True)
class Choice:
    """The answer to one question.

    question: with a dot, "search.scan"; answer: a candidate's name; seconds: of the fastest round of each candidate, empty when
    told; source: "measured" now, "remembered" from an earlier run, "told" by the environment, or the "only" candidate.
    """

    question: str
    answer: str
    seconds: dict[str, float] = field(default_factory=dict)
    source: Source = "measured"

    def ratio(self, other: str) -> float | None:
        """How many times as long as the answer ``other`` took; None if it was not timed."""
        mine = self.seconds.get(self.answer)
        return self.seconds[other] / mine if mine and other in self.seconds else None


_MADE: dict[str, Choice] = {}


def choose(
    question: str,
    candidates: Mapping[str, Callable[[], object]],
    *,
    about: str = "",
    rounds: int = ROUNDS,
    clearly: float = CLEARLY,
    budget: float = BUDGET,
) -> Choice:
    """The candidate that is fastest here; the first one unless another is clearly faster.

    Args:
        question: what is chosen, such as "search.scan"; told answers are matched by it.
        candidates: name -> a call that does some milliseconds of the real work. Those that raise are not taken.
        about: what else the answer depends on (model, size): part of what is remembered.
        rounds: how often each is timed, once at least. clearly: share of the first one's time that another must stay under.
        budget: seconds after which no further round is begun.

    Raises BiocosmosError for a told answer that is no candidate, and without a candidate that works.
    """
    key = f"{question} {about}".strip()
    if not candidates:
        raise BiocosmosError(f"nothing to choose from for '{question}'")
    if key in _MADE and _MADE[key].answer in candidates and told(question) in (None, _MADE[key].answer):
        return _MADE[key]
    choice = _decide(question, key, candidates, rounds, clearly, budget)
    _MADE[key] = choice
    return choice


def choices() -> dict[str, dict[str, Any]]:
    """Every choice this process made, for provenance: question -> answer, seconds, source."""
    return {key: asdict(choice) for key, choice in sorted(_MADE.items())}


def forget() -> None:
    """Drop what this process chose, so that the next question is answered anew (tests; the file stays)."""
    _MADE.clear()
    flags.cache_clear()


def told(question: str) -> str | None:
    """The answer that the environment gives to a question, or None."""
    answers = dict(part.split("=", 1) for part in os.environ.get(CHOOSE, "").replace(" ", "").split(",") if "=" in part)
    return answers.get(question) or answers.get(question.rpartition(".")[2])


@cache
def processor() -> str:
    """The processor's name as the system gives it, with the cores this process may use."""
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return f"{name}, {usable_cores()} cores"


@cache
def flags() -> frozenset[str]:
    """What the processor says it can, as Linux names it (empty elsewhere); never what is chosen by, only what may be tried."""
    found: list[str] = []
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found = next(line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    if os.environ.get(ISA, "").lower() == "avx2":
        found = [flag for flag in found if not flag.startswith(_BEYOND_AVX2)]
    return frozenset(found)


def shown_flags() -> Sequence[str]:
    """The flags that matter here, in order."""
    return [flag for flag in _FLAGS_SHOWN if flag in flags()]


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_file() -> Path:
    """Where answers are remembered."""
    return Path(os.environ.get(CACHE) or user_cache()) / "machine.json"


def user_cache() -> Path:
    """The package's folder among the user's caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biocosmos"


def _decide(
    question: str, key: str, candidates: Mapping[str, Callable[[], object]], rounds: int, clearly: float, budget: float
) -> Choice:
    answer = told(question)
    if answer is not None:
        if answer not in candidates:
            raise BiocosmosError(f"{CHOOSE} answers '{question}' by '{answer}': choose {' or '.join(candidates)}")
        return Choice(question, answer, source="told")
    if len(candidates) == 1:
        return Choice(question, next(iter(candidates)), source="only")
    place = f"{_this_machine()} | {key} | {','.join(candidates)}"
    stored = _remembered().get(place)
    if isinstance(stored, dict) and stored.get("answer") in candidates:
        return Choice(question, str(stored["answer"]), dict(stored.get("seconds", {})), "remembered")
    seconds = _timed(candidates, rounds, budget)
    if not seconds:
        raise BiocosmosError(f"no way to do '{question}' works on this machine: {', '.join(candidates)}")
    first, fastest = next(iter(seconds)), min(seconds, key=lambda name: seconds[name])
    answer = fastest if seconds[fastest] <= clearly * seconds[first] else first
    _remember(place, {"answer": answer, "seconds": seconds})
    return Choice(question, answer, seconds, "measured")


def _timed(candidates: Mapping[str, Callable[[], object]], rounds: int, budget: float) -> dict[str, float]:
    """Seconds of each candidate's fastest round, after one that warms up; in turns, so that all see the same noise."""
    works = {}
    for name, call in candidates.items():
        with suppress(Exception):  # a way that this machine cannot go is no candidate
            call()
            works[name] = call
    seconds = dict.fromkeys(works, float("inf"))
    begun = time.perf_counter()
    for number in range(rounds):
        if number and time.perf_counter() - begun > budget:
            break
        for name, call in works.items():
            start = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def _this_machine() -> str:
    from biocosmos.provenance import package_version

    isa = " ".join(shown_flags())
    limits = " ".join(
        f"{name}={os.environ[name]}" for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA") if name in os.environ
    )
    return f"{processor()} | {isa} {limits} | torch {package_version('torch')}"


def _remembered() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(memory_file().read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _remember(place: str, facts: Mapping[str, Any]) -> None:
    """Add one answer; a folder that cannot be written costs a measurement in the next run and nothing else."""
    file = memory_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = unfinished_path(file)
        temporary.write_text(json.dumps({**_remembered(), place: dict(facts)}, indent=1), encoding="utf-8")
        temporary.replace(file)
