"""The example package, built and installed as a user would have it, into a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biocosmos import plugins

EXAMPLE = Path(__file__).parents[1] / "packages" / "biocosmos-example"


@pytest.fixture(scope="session")
def installed_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with the example package in it: its wheel, built by its own build backend and unpacked."""
    work = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, work / "source")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work)],
        cwd=work / "source",
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        wheel.extractall(work / "site")
    return work / "site"


@pytest.fixture
def example(installed_example: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example package is installed in this process for one test."""
    monkeypatch.syspath_prepend(str(installed_example))
    forget_plug_ins()
    yield installed_example
    forget_plug_ins()


@pytest.fixture
def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Call it with a package's name and its entry points, as (kind, name, value): the package is then installed."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def install(package: str, *entries: tuple[str, str, str], source: str = "") -> None:
        module = package.replace("-", "_")
        facts = tmp_path / "site" / f"{module}-2.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
        groups = "".join(f"[biocosmos.{kind}]\n{name} = {value}\n" for kind, name, value in entries)
        (facts / "entry_points.txt").write_text(groups)
        (tmp_path / "site" / f"{module}.py").write_text(source)
        forget_plug_ins()

    yield install
    forget_plug_ins()


def forget_plug_ins() -> None:
    """What is installed changes within a test, which it does not in life."""
    plugins._installed.cache_clear()
    plugins._warn.cache_clear()
