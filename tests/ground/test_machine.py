"""What this machine does fastest: measured, remembered, told; and never decided by noise."""

from __future__ import annotations

import json
import time

import pytest

from biocosmos import machine
from biocosmos.errors import BiocosmosError


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv(machine.CACHE, str(tmp_path))
    monkeypatch.delenv(machine.CHOOSE, raising=False)
    machine.forget()
    yield
    machine.forget()


def slow():
    time.sleep(0.004)


def quick():
    time.sleep(0.0005)


def broken():
    raise RuntimeError("not on this processor")


def test_the_fastest_is_chosen_and_remembered():
    found = machine.choose("toy.way", {"slow": slow, "quick": quick, "broken": broken}, about="size 3")
    assert (found.answer, found.source) == ("quick", "measured") and set(found.seconds) == {"slow", "quick"}
    assert found.ratio("slow") > 1 and found.ratio("broken") is None
    assert machine.choices()["toy.way size 3"]["answer"] == "quick"
    machine.forget()
    again = machine.choose("toy.way", {"slow": slow, "quick": quick, "broken": broken}, about="size 3")
    assert (again.answer, again.source) == ("quick", "remembered") and again.seconds == found.seconds
    (place,) = json.loads(machine.memory_file().read_text())
    assert machine.processor() in place


def test_the_first_stays_unless_another_is_clearly_faster():
    assert machine.choose("toy.same", {"first": slow, "second": slow}).answer == "first"


def test_the_environment_answers(monkeypatch):
    monkeypatch.setenv(machine.CHOOSE, "precision=bfloat16, toy.way=slow")
    ways = {"quick": quick, "slow": slow}
    assert machine.choose("toy.way", ways) == machine.Choice("toy.way", "slow", source="told")
    assert machine.choose("train.precision", {"float32": quick, "bfloat16": slow}).answer == "bfloat16"
    with pytest.raises(BiocosmosError, match=r"'toy\.precision' by 'bfloat16'.*float32"):
        machine.choose("toy.precision", {"float32": quick})


def test_a_memory_that_is_broken_or_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    machine.memory_file().write_text("{ not json")
    assert machine.choose("toy.way", {"slow": slow, "quick": quick}).source == "measured"
    machine.forget()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(machine.CACHE, str(tmp_path / "file" / "below"))
    assert machine.choose("toy.way", {"slow": slow, "quick": quick}).source == "measured"


def test_what_no_one_can_do_is_said():
    with pytest.raises(BiocosmosError, match=r"toy\.way"):
        machine.choose("toy.way", {"one": broken, "two": broken})


def test_an_older_processor_can_be_played(monkeypatch):
    monkeypatch.setenv(machine.ISA, "avx2")
    machine.forget()
    assert not any(flag.startswith(("avx512", "amx")) for flag in machine.flags())
