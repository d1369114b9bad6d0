"""Where results may be written, and what becomes of packed images whose files are gone."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.export import export
from biocosmos.specimens.settings import ExportSettings
from biocosmos.specimens.writers import write


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (6, 5), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pp"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(png(i))
    return folder


@pytest.fixture
def packed(tmp_path: Path, pictures: Path) -> bc.Collection:
    """Three images that are packed and lie in files too."""
    made = bc.Collection.create(tmp_path / "k.cosmos")
    files = sorted(pictures.iterdir())
    images = pa.array([file.read_bytes() for file in files], pa.large_binary())
    made.add(pa.table({"id": ["a", "b", "c"], "image_path": [str(file) for file in files], "image": images}))
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_packed_images_whose_files_are_gone_are_written_beside_the_table(
    tmp_path: Path, packed: bc.Collection, pictures: Path
) -> None:
    (pictures / "1.png").unlink()
    done = export(packed.path, tmp_path / "o.csv")
    rows = list(csv.DictReader((tmp_path / "o.csv").open(encoding="utf-8")))
    assert len(done.failures) == 0
    assert rows[0]["image_path"] == str(pictures / "0.png")
    assert rows[1]["image_path"].startswith("o_images/")
    assert [(tmp_path / row["image_path"]).read_bytes() for row in rows] == [png(0), png(1), png(2)]


def test_paths_that_lead_nowhere_are_told_where_the_bytes_are_not_given(
    tmp_path: Path, packed: bc.Collection, pictures: Path
) -> None:
    shutil.rmtree(pictures)
    done = write(packed.scan(), tmp_path / "o.csv")
    assert [row.reason for row in done.failures if row.reason.startswith("3 rows name image files that are not there")]
    whole = write(packed.scan(packed.filled_columns()), tmp_path / "p.csv")
    assert len(whole.failures) == 0
    assert len(list((tmp_path / "p_images").iterdir())) == 3


@pytest.mark.parametrize("name", ["o.csv", "sub/o.json", "checksums.json", "collection.json", "specimens.lance/o.parquet"])
def test_nothing_is_exported_into_a_collection(tmp_path: Path, packed: bc.Collection, name: str) -> None:
    before = contents(packed.path)
    (tmp_path / "link").symlink_to(packed.path)
    (tmp_path / f"to{Path(name).suffix}").symlink_to(packed.path / name)
    for output in (packed.path / name, tmp_path / "link" / name, tmp_path / f"to{Path(name).suffix}"):
        with pytest.raises(BiocosmosError, match="inside the collection"):
            export(packed.path, output)
        with pytest.raises(BiocosmosError, match="inside the collection"):
            write(packed.scan(), output)
    assert contents(packed.path) == before


def test_no_verb_writes_its_table_into_a_collection(biocosmos: Callable[..., str], packed: bc.Collection) -> None:
    before = contents(packed.path)
    inside = packed.path / "collection.json"
    for words in (
        ["failures", packed.path, "-o", inside],
        ["history", packed.path, "-o", inside],
        ["taxa", packed.path, "-o", inside],
        ["search", packed.path, packed.path, "-o", inside],
        ["identify", packed.path, packed.path, "-o", inside, "--overwrite"],
        ["evaluate", packed.path, "-o", packed.path / "report"],
        ["evaluate", packed.path, "-o", packed.path],
        ["evaluate", packed.path, "--report", inside],
        ["export", packed.path, "-o", packed.path / "v.npz", "--vectors", "x"],
    ):
        said = biocosmos(*words, fails=1)
        assert "inside the collection" in said or "it is a collection" in said, (words, said)
    assert contents(packed.path) == before


def test_an_image_of_the_collection_is_never_written_over(tmp_path: Path, packed: bc.Collection, pictures: Path) -> None:
    os.link(pictures / "2.png", tmp_path / "other.zip")
    for output, format in ((pictures / "0.png", "csv"), (pictures / "1.png", "ecotaxa"), (tmp_path / "other.zip", "ecotaxa")):
        with pytest.raises(BiocosmosError, match=r"is an image of the specimens|is no name for"):
            export(packed.path, output, ExportSettings(format=format))
    with pytest.raises(BiocosmosError, match="is an image of the specimens"):
        write(packed.scan(["id", "image", "image_path"]), tmp_path / "other.zip", format="darwin-core")
    assert [file.read_bytes() for file in sorted(pictures.iterdir())] == [png(0), png(1), png(2)]


@pytest.mark.parametrize(("name", "format"), [("x.zip", "csv"), ("z.csv", "darwin-core"), ("z.json", "parquet")])
def test_a_name_that_says_another_format_is_refused(tmp_path: Path, packed: bc.Collection, name: str, format: str) -> None:
    with pytest.raises(BiocosmosError, match=f"'{name}' is no name for {format}"):
        export(packed.path, tmp_path / name, ExportSettings(format=format))
    assert not (tmp_path / name).exists()


def test_a_link_is_written_through_and_a_pipe_is_refused(tmp_path: Path, packed: bc.Collection) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "o.csv").symlink_to(tmp_path / "there" / "real.csv")
    export(packed.path, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").is_symlink()
    assert (tmp_path / "there" / "real.csv").read_text(encoding="utf-8").startswith("id")
    os.mkfifo(tmp_path / "p.csv")
    with pytest.raises(BiocosmosError, match="device or a pipe"):
        export(packed.path, tmp_path / "p.csv")
