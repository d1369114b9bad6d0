"""What many tests share: the shipped sample, and a small collection made from it."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

import biocosmos as bc
from biocosmos import machine
from biocosmos.cli import main
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS, sample

# how long an example takes says how busy the machine is
# and in CI the examples are the same each time: what fails there fails here
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("any machine")

LONGEST = (
    "cli/test_every_option.py",
    "test_docs.py",
    "hostile/test_harnesses.py",
    "jobs/test_tokens_dial.py",
    "jobs/test_tokens_study.py",
    "jobs/test_benchmark_bioscan.py",
    "train/test_train_unicom.py",
    "train/test_train_teacher.py",
    "train/test_train_zero_shot.py",
)
"""Files of few tests that take long, the longest first: one of them begun last keeps everybody waiting."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest_collection_modifyitems has done it
        # a process that dies ends the run: what it left is given to others, with files that are done, and then nobody goes on
        config.option.maxworkerrestart = config.option.maxworkerrestart or "0"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several processes, the longest files come first, then those of the most tests."""
    if hasattr(config, "workerinput"):
        place = {Path(__file__).parent / name: number - len(LONGEST) for number, name in enumerate(LONGEST)}
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (place.get(item.path, 0), -tests[item.path]))


@pytest.fixture(scope="session")
def sample_table() -> pa.Table:
    """The shipped sample: 1,996 real images."""
    return sample()


@pytest.fixture(scope="session")
def _tiny(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> Path:
    collection = bc.Collection.create(tmp_path_factory.mktemp("tiny") / "tiny.cosmos")
    collection.add(Source("tiny", "sample", sample_table.slice(0, 120).to_batches(), SAMPLE_RANKS), pack=True)
    return collection.path


@pytest.fixture
def tiny_collection(_tiny: Path, tmp_path: Path) -> bc.Collection:
    """The first 120 specimens of the sample, packed, in a collection that a test may change."""
    return bc.Collection.open(shutil.copytree(_tiny, tmp_path / "tiny.cosmos"))


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> bc.Collection:
    """The first 300 specimens of the sample, split and embedded with the default encoder; tests must not change it."""
    collection = bc.Collection.create(tmp_path_factory.mktemp("embedded") / "embedded.cosmos")
    collection.add(Source("embedded", "sample", sample_table.slice(0, 300).to_batches(), SAMPLE_RANKS), pack=True)
    collection.make_split("stratified", seed=0)
    bc.embed(collection, "efficientnet-lite0")
    return collection


@pytest.fixture
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What this machine does fastest is not known, and the environment tells nothing of it."""
    monkeypatch.setenv(machine.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(machine.CHOOSE, raising=False)
    machine.forget()
    yield
    machine.forget()


@pytest.fixture
def biocosmos(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command line in this process: its standard output, or what it said on standard error where it is to fail."""

    def call(*arguments: object, fails: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["biocosmos", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        assert code == fails, f"exit {code}: {said.out}\n{said.err}"
        return said.err if fails else said.out

    return call
