"""--near, --box, --season and --depths: one more part of the condition, on every verb that takes one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import typer

from biocosmos.cli import main
from biocosmos.cli.app import app
from biocosmos.cli.generated import FOUND
from biocosmos.specimens.collection import Collection

Ran = tuple[int, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.chdir(tmp_path)
    made = Collection.create("mine.cosmos")
    table = {"id": ["a", "b", "c"], "text": ["x"] * 3, "label": ["A", "B", "A"], "date": ["2026-06-04", "2026-12-31", None]}
    made.add(pa.table({**table, "latitude": [52.05, -16.5, None], "longitude": [5.05, -179.9, None]}))

    def call(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["biocosmos", *words])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def chosen() -> list[str]:
    return [line.partition(",")[0] for line in Path("out.csv").read_text().splitlines()[1:]]


def test_they_go_with_each_other_and_with_a_condition(run: Callable[..., Ran]) -> None:
    code, said = run("export", "mine.cosmos", "-o", "out.csv", "--near", "52°03'N 5°03'E:1km", "--season", "06-01/06-30")
    assert (code, chosen()) == (0, ["a"])
    assert "1 specimen has no place and so cannot be chosen by it (of 3 in mine.cosmos)" in said
    assert "1 specimen has no day of the year and so cannot be chosen by it" in said
    assert (
        run("export", "mine.cosmos", "-o", "out.csv", "--box", "-20,170,-10,-170", "--where", "label = 'B' OR label = 'A'")[0]
        == 0
    )
    assert chosen() == ["b"]
    code, said = run("export", "mine.cosmos", "-o", "out.csv", "--season", "12-01/02-29", "--where", "label = 'A'")
    assert code == 1 and "no specimens are selected" in said
    code, said = run("export", "mine.cosmos", "-o", "out.csv", "--depths", "0-10")
    assert code == 1 and "no specimen has a depth" in said


def test_a_wrong_one_is_refused_as_any_option_is(run: Callable[..., Ran]) -> None:
    for option, text in (
        ("near", "52"),
        ("near", "52,5:0km"),
        ("box", "1,2"),
        ("season", "13"),
        ("depths", "10-5"),
        ("box", "9,0,8,0"),
    ):
        code, said = run("split", "mine.cosmos", f"--{option}", text)
        assert code == 2 and "Traceback" not in said and len(said.strip().splitlines()) <= 3, said
    code, said = run("identify", "mine.cosmos", "photo.jpg", "--head", "mine.cosmos", "--near", "52,5:1km")
    assert code == 2 and "--near does nothing here: it is used" in said and "--where" not in said


def test_a_file_of_settings_and_an_option_hold_together(run: Callable[..., Ran]) -> None:
    Path("heads.toml").write_text("where = \"label = 'B'\"\n")
    code, said = run("train", "heads", "mine.cosmos", "-o", "head", "--config", "heads.toml", "--near", "52,5:100km")
    assert code != 0 and not Path("head").exists() and "Traceback" not in said


def test_every_verb_with_a_condition_has_them() -> None:
    def verbs(command: typer.core.TyperCommand | typer.core.TyperGroup, name: str = "") -> list[tuple[str, set[str]]]:
        inner = getattr(command, "commands", {})
        return [each for word, one in inner.items() for each in verbs(one, f"{name} {word}")] or [
            (name.strip(), {str(parameter.name) for parameter in command.params})
        ]

    lacking = [name for name, options in verbs(typer.main.get_command(app)) if "where" in options and not set(FOUND) <= options]
    assert lacking == ["track"]
