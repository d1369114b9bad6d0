"""What summarize refuses before it counts: one file for two tables, options that nothing uses, columns that are no names."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.summarize import summarize
from biocosmos.jobs.summarize_settings import SummarizeSettings


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused") / "nets.cosmos"
    rows = [{"id": f"o{i}", "label": "ab"[i % 2], "sample_id": "s", "text": "t", "raw": b"\xff"} for i in range(4)]
    bc.Collection.create(folder).add(pa.Table.from_pylist(rows))
    return folder


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "s.csv", "--diversity", "./s.csv"], "--output and --diversity both name"),
        (["--rarefy", "5"], "--rarefy does nothing here"),
        (["--chao1"], "--chao1 does nothing here"),
        (["--ordination", "pcoa", "--diversity", "d.csv"], "--ordination does nothing here"),
    ],
)
def test_refused(nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["summarize", str(nets), *options])
    assert done.exit_code != 0 and says in str(done.exception) + done.output and not list(tmp_path.iterdir())


def test_ids_tell_samples_apart_and_bytes_do_not(nets: Path) -> None:
    assert len(summarize(nets, SummarizeSettings(sample="id")).community) == 4
    assert len(summarize(nets, SummarizeSettings(by=("sample", "text"))).community) == 1
    with pytest.raises(BiocosmosError, match="holds binary, no text or number"):
        summarize(nets, SummarizeSettings(sample="raw"))
