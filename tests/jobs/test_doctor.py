"""doctor: what it finds on the machine at hand, and that nothing it looks at can end it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from biocosmos import machine
from biocosmos.jobs import doctor

ANSWERS = "embed.way=torch-float32,train.way=float32,search.kernel=avx2,search.scan=float32,search.single=float32"


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed in a test."""
    monkeypatch.setenv(machine.CHOOSE, ANSWERS)
    machine.forget()


def test_it_tells_the_machine_its_packages_and_its_choices() -> None:
    found = {(each.section, each.what): each for each in doctor.examine()}
    assert found["machine", "processor"].value == machine.processor()
    assert found["versions", "biocosmos"].value[0].isdigit()
    assert found["weights", "efficientnet-lite0"].value == "here"
    assert found["environment", machine.CHOOSE].value == ANSWERS
    embedding = next(each for (section, _), each in found.items() if section == "fastest to embed")
    assert embedding.value == "torch-float32 (told)"
    assert all(each.well for each in found.values())
    assert {section for section, _ in found} == set(doctor.SECTIONS)


def test_an_extra_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "package_version", lambda name: "not installed" if name == "openvino" else "1.0")
    monkeypatch.setattr(doctor, "SECTIONS", {"extras": doctor.SECTIONS["extras"]})
    value = next(each.value for each in doctor.examine() if each.what == "openvino")
    assert value.startswith("without openvino") and value.endswith("pip install 'biocosmos[openvino]'")


def test_what_is_broken_is_a_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch, biocosmos: Callable[..., str]) -> None:
    def broken() -> doctor.Rows:
        yield "first", "well"
        raise OSError("no such device\nat all")

    monkeypatch.setattr(doctor, "SECTIONS", {"machine": doctor.SECTIONS["machine"], "GPU": broken})
    assert "GPU does not work: OSError: no such device" in biocosmos("doctor", fails=1)
    assert doctor.report()["broken"] == ["GPU: OSError: no such device"]
    monkeypatch.setattr(doctor, "SECTIONS", {"machine": doctor.SECTIONS["machine"]})
    assert json.loads(biocosmos("doctor", "--json"))["machine"]["processor"] == machine.processor()
    assert os.environ[machine.CHOOSE] == ANSWERS
