"""What this machine has: processor, memory, GPU, packages, weights, and what it computes fastest; nothing here may fail whole."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos import machine
from biocosmos.errors import first_line
from biocosmos.files import is_there
from biocosmos.provenance import PACKAGES, package_version

VARIABLES = (
    machine.CHOOSE,
    machine.ISA,
    machine.CACHE,
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "OMP_NUM_THREADS",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "TORCH_HOME",
    "CUDA_VISIBLE_DEVICES",
)
"""Environment variables that change what is computed, or where weights are looked for."""
GIB = 1024**3
SEARCHED_DIM = 512
SIDE, IMAGES, LONG_RUN = 96, 4, 1_000_000
"""A training step is timed on so many images of so many pixels a side, as if a long run were to come."""

Rows = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """One line: where it belongs, what it is about, what was found; ``well`` is False for what does not work."""

    section: str
    what: str
    value: str
    well: bool = True


def examine() -> list[Finding]:
    """Everything, section by section. A section that cannot be examined is one line that says why."""
    findings: list[Finding] = []
    for section, rows in SECTIONS.items():
        try:
            findings += [Finding(section, what, value) for what, value in rows()]
        except (Exception, SystemExit) as error:  # of any library that is broken here
            findings.append(Finding(section, "does not work", f"{type(error).__name__}: {first_line(error)}", well=False))
    return findings


def _machine() -> Rows:
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "processor", machine.processor()
    yield "what it can", " ".join(machine.shown_flags()) or "not told by this system"
    yield "memory", _memory()
    yield "free in the cache folder", f"{shutil.disk_usage(_there(machine.memory_file().parent)).free / GIB:,.0f} GiB"


def _memory() -> str:
    with suppress(OSError, ValueError, AttributeError):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        free = ""
        with suppress(OSError, StopIteration):
            lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
            kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
            free = f", {kib * 1024 / GIB:,.1f} GiB of it free"
        return f"{whole:,.1f} GiB{free}"
    return "not told by this system"


def _accelerators() -> Rows:
    import torch

    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        yield f"cuda:{i}", f"{facts.name}, {facts.total_memory / GIB:,.0f} GiB"
    if torch.backends.mps.is_available():
        yield "mps", "Apple GPU"
    if not torch.cuda.device_count() and not torch.backends.mps.is_available():
        yield "GPU", f"none that torch {torch.__version__} can use"


def _software() -> Rows:
    yield "python", f"{platform.python_version()} in {Path(sys.prefix).name}"
    for name in ("biocosmos", *PACKAGES, "torchvision"):
        yield name, package_version(name)


def _extras() -> Rows:
    """Each optional part, and what is missing of it. Raises PackageNotFoundError where biocosmos is not installed itself."""
    facts = importlib.metadata.metadata("biocosmos")
    needed: dict[str, list[str]] = {extra: [] for extra in facts.get_all("Provides-Extra") or []}
    for line in facts.get_all("Requires-Dist") or []:
        package = re.match(r"[\w.-]+", line)
        part = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if package and part and part[1] in needed:
            needed[part[1]].append(package[0])
    for extra, packages in needed.items():
        missing = [name for name in packages if package_version(name) == "not installed"]
        yield extra, f"without {', '.join(missing)}: pip install 'biocosmos[{extra}]'" if missing else "installed"


def _barcodes() -> Rows:
    """What reads and aligns DNA barcodes, and the other tools that 'biocosmos identify --method sintax' and benchmarks run."""
    for name, extra, what in (
        ("edlib", "", "aligns"),
        ("biopython", "[dna]", "reads GenBank"),
        ("openpyxl", "[dna]", "reads spreadsheets of BOLD"),
    ):
        found = package_version(name)
        yield name, f"{found}, {what}" if found != "not installed" else f"not installed ({what}): pip install 'biocosmos{extra}'"
    yield "vsearch", shutil.which("vsearch") or "not here: 'identify --method sintax' needs it"


def _weights() -> Rows:
    from biocosmos.encoders import cache
    from biocosmos.encoders.registry import encoder_names

    for name in encoder_names():
        yield name, "here"
    yield "looked for in", ", ".join(str(_home(path)) for path in (cache.hub_cache(), cache.torch_checkpoints()))


def _plug_ins() -> Rows:
    from biocosmos.plugins import installed

    found = installed()
    for plug_in in found:
        yield f"{plug_in.kind.removesuffix('s')} {plug_in.name}", plug_in.package
    if not found:
        yield "plug-ins", "none"


def _variables() -> Rows:
    told = [name for name in VARIABLES if name in os.environ]
    for name in told:
        yield name, os.environ[name]
    if not told:
        yield "variables", f"none of {', '.join(VARIABLES)} is set"
    file = machine.memory_file()
    place = _there(file.parent)
    yield "choices are kept in", f"{_home(file)}{'' if os.access(place, os.W_OK) else f' (no: {place} cannot be written)'}"


def _embedding() -> Rows:
    """The ways to run the default encoder, each timed, whether or not one of them was chosen before."""
    from biocosmos.encoders.registry import DEFAULT, load_encoder
    from biocosmos.encoders.ways import TIMED_IMAGES

    load_encoder(DEFAULT, measure=True)
    yield from _chosen("embed.", "an image", TIMED_IMAGES)


def _training() -> Rows:
    import torch

    from biocosmos.encoders.registry import DEFAULT, load_towers
    from biocosmos.nn.depthwise import use_fast_depthwise
    from biocosmos.train.loop.computing import choose_computing

    tower = load_towers(DEFAULT).image
    use_fast_depthwise(tower)  # as every training does
    images = torch.rand(IMAGES, 3, SIDE, SIDE)
    choose_computing(tower, lambda model: model(images), images, "auto", images=LONG_RUN)
    yield from _chosen("train.", f"an image of {SIDE} px", IMAGES)


def _searching() -> Rows:
    import torch

    from biocosmos.search.kernel.plan import BATCHES, precision_for

    for kind in BATCHES:
        precision_for(torch.device("cpu"), SEARCHED_DIM, kind)
    yield from _chosen("search.", "a batch", 1)


def _chosen(prefix: str, unit: str, count: int) -> Rows:
    """The choices of this process that begin so, in milliseconds for each of ``count``."""
    for question, choice in machine.choices().items():
        if question.startswith(prefix):
            times = sorted(choice["seconds"].items(), key=lambda item: item[1])
            shown = ", ".join(f"{name} {1000 * seconds / count:,.2f} ms" for name, seconds in times)
            yield question, f"{choice['answer']} ({choice['source']}{f'; {unit}: {shown}' if shown else ''})"


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if is_there(place))


def _home(path: Path) -> Path:
    """With ~ for the home folder, so that it may be shown to others."""
    with suppress(ValueError):
        return Path("~") / path.relative_to(Path.home())
    return path


SECTIONS: dict[str, Callable[[], Rows]] = {
    "machine": _machine,
    "GPU": _accelerators,
    "versions": _software,
    "extras": _extras,
    "DNA barcodes": _barcodes,
    "weights": _weights,
    "plug-ins": _plug_ins,
    "environment": _variables,
    "fastest to embed": _embedding,
    "fastest to train": _training,
    "fastest to search": _searching,
}


def report() -> dict[str, Any]:
    """The findings as JSON holds them: section -> what -> value; what does not work is under "broken"."""
    findings = examine()
    found: dict[str, Any] = {section: {} for section in SECTIONS}
    for finding in findings:
        found[finding.section][finding.what] = finding.value
    return found | {"broken": [f"{finding.section}: {finding.value}" for finding in findings if not finding.well]}
