"""What every benchmark shares: the machine it ran on, timing that counts processor seconds, and one way to write results.

from machine import cpu_and_wall, machine, write_results
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
)
PACKAGES = ("biocosmos", "torch", "numpy", "pyarrow", "timm", "pylance", "openvino", "faiss-cpu", "usearch", "scikit-learn")


def machine() -> dict[str, Any]:
    """Processor, cores, instruction sets that decide speeds, memory, system, GPU, versions and the UTC time.

    ``flags`` lists those of :data:`FLAGS` that the processor has. ``memory_gib`` is all the memory of the machine, ``load``
    the processes that wanted a core in the last minute: where it exceeds the cores, trust CPU seconds, not the clock.
    """
    cpu, flags = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu,
        "cores": cores,
        "flags": flags,
        "memory_gib": _memory_gib(),
        "gpu": _gpu(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "torch_threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@dataclass(frozen=True)
class Timing:
    """Median seconds of a call over ``repeats`` runs: ``cpu`` summed over the process's threads, ``wall`` on the clock."""

    cpu: float
    wall: float
    repeats: int
    result: Any


def cpu_and_wall(f: Callable[[], Any], *, repeats: int = 5, warmup: int = 1) -> Timing:
    """Time ``f`` after ``warmup`` unmeasured calls; medians; ``result`` is what the last call returned."""
    result = None
    for _ in range(warmup):
        f()
    cpu, wall = [], []
    for _ in range(repeats):
        result = None  # a large result of the run before must not live through the next one
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        result = f()
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - wall_start)
    return Timing(statistics.median(cpu), statistics.median(wall), repeats, result)


def peak_memory_gib() -> float:
    """Largest resident size of this process since it started, GiB (it never falls; run each size in a process of its own)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def said_command(arguments: Sequence[str]) -> str:
    """The command line as a reader can run it from the repository's root: a path of this machine is said relative to the root,
    one outside of it by its last name alone."""
    script = Path(arguments[0]).resolve()
    return shlex.join(["python", _said(str(script)), *map(_said, arguments[1:])])


def _said(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    path = Path(value)
    if not path.is_absolute():
        return argument
    root = RESULTS.parents[1]
    return option + equals + (path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)


def write_results(name: str, rows: Sequence[dict[str, Any]], notes: str) -> Path:
    """Write ``results/<name>.json`` and ``results/<name>.md``: the rows as a table, the notes, the command and the machine.

    rows: one dict per line of the table; missing keys are left blank. Returns the path of the Markdown file.
    """
    RESULTS.mkdir(exist_ok=True)
    here = machine()
    command = said_command(sys.argv)
    record = {"name": name, "command": command, "machine": here, "notes": notes.strip(), "rows": list(rows)}
    (RESULTS / f"{name}.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8"
    )
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        f"# {name}",
        "",
        f"`{command}`, {here['date'][:10]}, commit {here['commit']}  ",
        f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB, {' '.join(here['flags'])}; "
        f"GPU: {here['gpu'] or 'none'}; load at the end {here['load']}  ",
        f"Python {here['python']}, " + ", ".join(f"{package} {found}" for package, found in here["packages"].items()),
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---" for _ in columns) + "|",
        *("| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows),
        "",
        notes.strip(),
        "",
    ]
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _cell(value: Any) -> str:
    if value is None:
        return ""
    value = _plain(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _plain(value: Any) -> Any:
    """A numpy or torch scalar as a Python number; anything else json cannot hold as text."""
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        return value.item()
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _processor() -> tuple[str, list[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), []
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    present = set((facts.get("flags") or facts.get("Features") or "").split())
    name = facts.get("model name") or platform.machine()
    family = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return name + family, [flag for flag in FLAGS if flag in present]


def _memory_gib() -> float:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _gpu() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
