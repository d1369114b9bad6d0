"""What people copy first: the Python of every page runs, every command exists with its options, and those of the sample run."""

from __future__ import annotations

import doctest
import functools
import importlib
import re
import shlex
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer

import biocosmos as bc
import biocosmos.specimens.sample
from biocosmos import machine, plugins
from biocosmos.cli.app import app
from biocosmos.jobs.simulate import SimulateSettings, simulate
from predictions_sample import example as made_up

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")),
]
SPECIMENS = 200
NEEDS_MORE = ("risk=", "hf-hub:", "BarcodeBERT/", "clustering_probe(", "unknown 1")
"""A promised risk needs more calibration specimens than this test has (tests/identify has them); other weights are not here."""
RUNNABLE = ["README.md", "docs/collections.md", "docs/search.md", "docs/identify.md", "docs/evaluate.md", "docs/taxonomy.md"]
ASKS_A_SERVER = ("docs/api.md",)
"""tests/serve/test_api_docs.py starts one."""
NEEDS = (
    "demo",
    "train",
    "fetch",
    "run/",
    "head/",
    "open_clip",
    "openvino",
    "cuda",
    "few-shot",
    "zero-shot",
    "--text",
    "sample_id",
    "unlabelled",
    "--watch",
    "umap",
    "prior/",
    "cruise",
    "--near",
    "place",
)
"""Commands with such a word need a training, other weights, another machine, places, more specimens or minutes, or never end."""


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def commands(page: str, *, inline: bool = False) -> list[list[str]]:
    """Every command line of ``biocosmos`` in the code blocks of a page, and with ``inline`` in its sentences.

    What has "..." or "[" in it shows a form and is none.
    """
    text = text_of(page)
    lines = [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
    lines += [line[4:] for line in text.splitlines() if re.match(r"    \S", line)]
    if inline:
        lines += re.findall(r"(?<!`)`(biocosmos [^`]+)`(?!`)", text)
    found = []
    for line in lines:
        if not re.search(r"(^|&& |\w=\S+ )biocosmos ", line):
            continue
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
                continue
            words = words[: words.index(">")] if ">" in words else words
            while words and "=" in words[0]:
                words.pop(0)  # the environment
            if words[:1] == ["biocosmos"] and not any(form in each for each in words for form in ("...", "[", "VERB", "PATH")):
                found.append(words[1:])
            words = []
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if "\n```python\n" in text_of(page) and page not in ASKS_A_SERVER])
def test_the_python_of_a_page_runs(
    page: str, sample_table: pa.Table, embedded: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(biocosmos.specimens.sample, "sample", lambda: sample_table.slice(0, SPECIMENS))
    names: dict[str, object] = {"__name__": "page"}
    if page in ("docs/embed.md", "docs/discover.md"):
        shutil.copytree(embedded.path, "plankton.cosmos")
    if page == "docs/encoders.md":
        for name in ("copepod.jpg", "larva.png"):
            Path(name).write_bytes(sample_table["image"][0].as_py())
    if page == "docs/barcodes.md":
        simulate("barcodes.fasta", SimulateSettings(seed=1, species=20), metadata="bold.tsv")
        simulate("unknown.fasta", SimulateSettings(seed=2, species=3))
    if page == "docs/novelty.md":
        names |= {"train": made_up(0), "held_out": made_up(1), "queries": made_up(2)}
    for block in re.findall(r"^```python\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        if block.startswith(">>>"):
            session = doctest.DocTestParser().get_doctest(block, names, page, page, 0)
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, clear_globs=False).failed == 0
            names = session.globs
        elif not any(word in block for word in NEEDS_MORE):
            file = tmp_path / f"{len(list(tmp_path.glob('*_block.py')))}_block.py"
            file.write_text(block)  # a function's digest is that of its source
            exec(compile(block, str(file), "exec"), names)


@functools.cache
def whole_command() -> Any:
    """The command line with all its verbs, which takes a tenth of a second to build."""
    return typer.main.get_command(app)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page, inline=True)])
def test_every_command_of_a_page_exists_with_its_options(page: str) -> None:
    for words in commands(page, inline=True):
        command, rest = whole_command(), list(words)
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"{page}: there is no 'biocosmos {' '.join(words[: len(words) - len(rest) + 1])}'"
            command = command.commands[rest.pop(0)]
        context = command.context_class(command, info_name=words[0])
        try:
            command.make_parser(context).parse_args(rest)
        except Exception as error:
            pytest.fail(f"{page}: biocosmos {shlex.join(words)}: {error}")


@pytest.fixture
def workplace(embedded: bc.Collection, sample_table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: collections, photographs with and without a name, vectors and a list of taxa."""
    here = tmp_path / "demo"
    for name in ("plankton.cosmos", "mine.cosmos", "north.cosmos", "south.cosmos", "other.cosmos"):
        shutil.copytree(embedded.path, here / name)
    for row in sample_table.slice(300, 24).to_pylist():
        for folder in (f"demo/photos/{row['label']}", "demo/unknown", "unknown", "demo/new", "demo/images"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{row['id']}.jpg").write_bytes(row["image"])
    for name in ("unknown.jpg", "demo/query.jpg", "demo/query.png", "demo/photos/one.jpg"):
        (tmp_path / name).write_bytes(sample_table["image"][300].as_py())
    (here / "local_list.csv").write_text("class\nCopepoda\n")
    ids = embedded.table(["id"])["id"].to_pylist()
    (here / "corrections.csv").write_text(f"id,label\n{ids[0]},copepod_calanoid\n")
    usages = "ID\tparentID\tstatus\trank\tscientificName\n1\t\taccepted\tphylum\tCrustacea\n2\t1\taccepted\tclass\tCopepoda\n"
    for name in ("coldp.zip", "coldp-2026.zip"):
        with zipfile.ZipFile(here / name, "w") as archive:
            archive.writestr("NameUsage.tsv", usages)
    (here / "WoRMS").mkdir()
    (here / "WoRMS/taxon.txt").write_text("taxonID\tscientificName\ttaxonRank\tparentNameUsageID\n1\tCopepoda\tClass\t\n")
    (here / "names.txt").write_text("Copepoda\n")
    (here / "parents.csv").write_text("id,Oberbegriff,Rang,name\n1,,class,Copepoda\n")
    (here / "tree.csv").write_text("label,suborder\ncopepod_calanoid,Amphascandria\n")
    np.save(here / "vectors.npy", np.random.default_rng(0).normal(size=(len(ids), 8)))
    (here / "ids.csv").write_text("id\n" + "\n".join(ids))
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_commands_of_a_page_run(
    page: str, workplace: Path, biocosmos: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = 0
    for words in commands(page):
        if any(need in word for need in NEEDS for word in words):
            continue
        if words[0] == "doctor":
            monkeypatch.setenv(machine.CHOOSE, "embed.way=torch-float32,train.way=float32")  # nothing is timed in a test
        if words[0] == "ingest" and Path(words[words.index("-o") + 1]).exists():
            shutil.rmtree(words[words.index("-o") + 1])
            biocosmos(*words)
            shutil.rmtree(words[words.index("-o") + 1])
            shutil.copytree("plankton.cosmos", words[words.index("-o") + 1])
        else:
            biocosmos(*[str(found) for word in words for found in (sorted(workplace.glob(word)) if "*" in word else [word])])
        ran += 1
    assert ran


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = REPOSITORY / page
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        to = path.parent / target if target else path
        assert to.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", to.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{page} links to {target}#{anchor}, which has {slugs}"


def missing_part(name: str) -> str | None:
    """Of "biocosmos.room.module.Thing.method", the first part that does not exist; None if all do."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for end in range(2, len(parts) + 1):
        if hasattr(found, parts[end - 1]):
            found = getattr(found, parts[end - 1])
            continue
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            return ".".join(parts[:end])
    return None


GROUPS = {f"biocosmos.{kind}" for kind in plugins.KINDS}
SOURCES = sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "src").rglob("*.py"))


def test_names_of_the_code_that_pages_and_docstrings_say_exist() -> None:
    wrong = []
    for page in [*PAGES, *SOURCES]:
        said = r"^::: (\S+)|`(biocosmos\.[\w.]+\w)(?:\(\))?`" if page.endswith(".md") else r":\w+:`(biocosmos\.[\w.]+)`()"
        for name in {first or second for first, second in re.findall(said, text_of(page), re.MULTILINE)} - GROUPS:
            if not name.endswith((".json", ".toml")) and (part := missing_part(name)):
                wrong.append(f"{page} says {name}: there is no {part}")
    assert not wrong, "\n".join(wrong)


FILE = r"(?<!title=\")\b((?:tests|benchmarks|tools|docs|src)/[\w./-]*\w\.(?:py|md|sh|json|toml))\b"


def test_files_of_the_repository_that_pages_name_exist() -> None:
    named = {(page, name) for page in PAGES for name in re.findall(FILE, text_of(page)) if "NAME" not in name}
    assert len(named) > 10
    assert not [f"{page} names {name}" for page, name in sorted(named) if not (REPOSITORY / name).exists()]


def test_every_page_is_in_the_site() -> None:
    named = set(re.findall(r"[\w/]+\.md", text_of("mkdocs.yml")))
    assert named == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_the_extension_guide_shows_the_package_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    collect = importlib.import_module("collect_examples")
    shown = set(re.findall(r'title="([^"]+)"', text_of("docs/extending.md")))
    files = {str(path.relative_to(collect.PACKAGE)) for path in collect.PACKAGE.rglob("*") if path.suffix in (".py", ".toml")}
    assert shown == files
    assert collect.refreshed(text_of("docs/extending.md")) == text_of("docs/extending.md"), "run python tools/collect_examples.py"
    sys.modules.pop("collect_examples")


def test_the_drawing_of_the_house_has_every_room() -> None:
    drawing = text_of("docs/architecture.md").partition("```text")[2].partition("```")[0]
    package = REPOSITORY / "src" / "biocosmos"
    rooms = [path.name for path in package.iterdir() if path.is_dir() and (path / "__init__.py").exists()]
    files = [path.stem for path in package.glob("*.py") if not path.stem.startswith("__")]
    drawn = set(re.findall(r"\w+", drawing))
    assert not {*rooms, *files} - drawn
    (contract,) = [
        each for each in tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"] if "floors" in each["name"]
    ]
    checked = {name.strip().removeprefix("biocosmos.") for layer in contract["layers"] for name in re.split(r"[|:]", layer)}
    assert not {*rooms, *files} - checked, "a room that no floor holds: add it to the layers in pyproject.toml"
