"""Every verb and every option is run as a person runs it; one that no line of ``runs.py`` uses fails here."""

from __future__ import annotations

import inspect
import io
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

import biocosmos.specimens.sample
from biocosmos import machine
from biocosmos.cli.app import app
from biocosmos.jobs.packs import opening
from biocosmos.serve import running
from runs import LINES
from workshop import Workshop, workshop

__all__ = ["workshop"]
DOCS = Path(__file__).parents[2] / "docs"
SPECIMENS = 150
TELL = running._tell


def verbs(command: Any = None, name: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """("train heads", command) of every verb."""
    command = command or typer.main.get_command(app)
    for word, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*name, word))
    if not getattr(command, "commands", {}):
        yield " ".join(name), command


VERBS = dict(verbs())


def tell_and_stop(*arguments: Any) -> None:
    """What a server does once it answers, and a person's Ctrl-C."""
    TELL(*arguments)
    signal.raise_signal(signal.SIGINT)


def verb_of(words: list[str]) -> str:
    return next(name for size in (2, 1) if (name := " ".join(words[:size])) in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_used_by_a_line(verb: str) -> None:
    command, used, lines = VERBS[verb], set[str](), 0
    for line in LINES.values():
        words = shlex.split(line.text)
        if verb_of(words) == verb:
            context = command.make_context(verb, words[len(verb.split()) :])
            used |= {p.name for p in command.params if context.get_parameter_source(p.name).name == "COMMANDLINE"}
            lines += 1
    assert lines, f"no line of tests/cli/runs.py runs 'biocosmos {verb}'"
    unused = sorted(param.opts[0] for param in command.params if param.name not in used)
    assert not unused, f"no line of tests/cli/runs.py uses {', '.join(unused)} of 'biocosmos {verb}'"


@pytest.mark.parametrize("name", LINES)
def test_a_line_does_what_it_is_asked(workshop: Workshop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = biocosmos.specimens.sample.sample().slice(0, SPECIMENS)
    monkeypatch.setattr(biocosmos.specimens.sample, "sample", lambda: part)  # demo, in seconds
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: "the cache")  # fetch, without a network
    if name.startswith("doctor"):
        monkeypatch.setenv(machine.CHOOSE, "embed.way=torch-float32,train.way=float32")  # nothing is timed in a test
    monkeypatch.setattr(opening, "cache_folder", lambda: workshop.folder / "cache")  # packs are unpacked here
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))  # users: a password
    if name == "serve":
        monkeypatch.setattr(running, "_tell", tell_and_stop)
    outcome = workshop.run(name)
    assert outcome.code == 0, outcome.err
    assert LINES[name].says in outcome.out + outcome.err
    written = [word for word in shlex.split(LINES[name].text) if word.startswith("{out}")]
    for word in written:
        assert (workshop.folder / word.format(**workshop.paths)).exists(), f"{word} was not written"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_opens_with_an_example_and_says_every_default(verb: str) -> None:
    text = inspect.cleandoc(VERBS[verb].help or "")
    what, example, *_ = text.split("\n\n")
    assert what.endswith(".") and example.startswith((f"biocosmos {verb}", "torchrun")), "say what it does, then an example"
    for param in VERBS[verb].params:
        shown = Text.from_markup(param.help or "").plain  # as a terminal shows it: what stands in [] must not be lost
        assert not re.search(r" \.(\s|$)", shown) and (param.help or "").count("[default") == shown.count("[default"), shown
        assert param.required or not getattr(param, "help", None) or param.help.strip(), param.name


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_in_the_list_and_on_a_page_of_the_docs(verb: str) -> None:
    assert f"`{verb}" in (DOCS / "index.md").read_text(encoding="utf-8") or verb == "demo"
    pages = " ".join(page.read_text(encoding="utf-8") for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"])
    assert f"biocosmos {verb}" in pages
