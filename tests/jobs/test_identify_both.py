"""Specimens named by image and barcode together: parts of a collection, and files that belong together by their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv as csv
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.identify import explain, identifying
from biocosmos.jobs.identify_settings import IdentifySettings
from space_sample import both

RULES = {"method": "fused", "encoder": "efficientnet-lite0", "threshold": 0.7}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return both(tmp_path_factory.mktemp("both"), specimens=96, species_count=12)


@pytest.fixture(scope="module")
def files(collection: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos of six specimens that nobody knows, one of them broken, and barcodes of five of them and of two others."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "photos").mkdir()
    rows = collection.table(["id", "barcode", "image_path"], split="test").to_pylist()[:8]
    for i, row in enumerate(rows[:6]):
        source = collection.path.parent / "pictures" / f"{row['id']}.png"
        shutil.copy(source, folder / "photos" / f"new-{i}.png")
    (folder / "photos" / "new-5.png").write_bytes(b"broken")
    lines = [f">new-{i}\n{rows[i]['barcode']}\n" for i in (0, 1, 2, 3, 5, 6, 7)]
    (folder / "barcodes.fasta").write_text("".join(lines))
    return folder / "photos", folder / "barcodes.fasta"


def test_a_part_is_named_by_both(collection: bc.Collection, tmp_path: Path) -> None:
    settings = IdentifySettings(part="test", **RULES)  # type: ignore[arg-type]
    with identifying(collection, settings, output=tmp_path / "names.csv") as done:
        assert set(done.table["evidence"].to_pylist()) == {"image+dna"}
        assert any("by image and barcode" in note for note in done.notes)
    table = csv.read_csv(tmp_path / "names.csv")
    assert {"evidence", "disagree", "image_says", "dna_says"} <= set(table.column_names)


def test_files_belong_together_by_their_names(collection: bc.Collection, files: tuple[Path, Path], tmp_path: Path) -> None:
    settings = IdentifySettings(**RULES)  # type: ignore[arg-type]
    with identifying(collection, settings, images=files, output=tmp_path / "names.csv") as done:
        rows = {Path(row["id"]).stem: row for row in done.table.to_pylist()}
        notes = done.notes
    kinds = {name: row["evidence"] for name, row in rows.items()}
    assert kinds == {
        **dict.fromkeys(("new-0", "new-1", "new-2", "new-3"), "image+dna"),
        "new-4": "image",
        **dict.fromkeys(("new-5", "new-6", "new-7"), "dna"),
    }
    assert rows["new-6"]["image_path"] is None and rows["new-0"]["image_path"].endswith("new-0.png")
    assert any("4 specimens were named by image and barcode, 1 by the image alone and 3 by the barcode" in each for each in notes)
    assert any("new-5" in str(row.source) for row in done.failures)
    again = dict(zip(*(csv.read_csv(tmp_path / "names.csv")[name].to_pylist() for name in ("id", "taxon")), strict=True))
    assert len(again) == 8


def test_a_report_shows_both(collection: bc.Collection, files: tuple[Path, Path]) -> None:
    settings = IdentifySettings(**RULES)  # type: ignore[arg-type]
    with identifying(collection, settings, images=files, evidence=True) as done:
        report, pictures = explain(done, collection)
    assert report.tables and pictures(done.table["id"].to_pylist()[0]) is not None


@pytest.mark.parametrize("which", [0, 1])
def test_one_kind_of_file_is_named_by_it(collection: bc.Collection, files: tuple[Path, Path], which: int) -> None:
    settings = IdentifySettings(**RULES)  # type: ignore[arg-type]
    with identifying(collection, settings, images=[files[which]]) as done:
        assert set(done.table["evidence"].to_pylist()) == {("image", "dna")[which]}


def test_a_known_specimens_barcode_names_nothing(collection: bc.Collection, files: tuple[Path, Path], tmp_path: Path) -> None:
    """A photo called as a known specimen is not named by that specimen's own barcode."""
    known = collection.table(["id", "barcode"], split="train").to_pylist()[0]
    shutil.copy(files[0] / "new-0.png", tmp_path / f"{known['id']}.png")
    (tmp_path / "known.fasta").write_text(f">{known['id']}\n{known['barcode']}\n")
    settings = IdentifySettings(known="train", **RULES)  # type: ignore[arg-type]
    with identifying(collection, settings, images=[tmp_path / f"{known['id']}.png", tmp_path / "known.fasta"]) as done:
        assert done.table["evidence"].to_pylist() == ["image"]
        assert done.failures.errors == 1


def test_images_and_sequences_want_a_method_of_both(collection: bc.Collection, files: tuple[Path, Path]) -> None:
    with (
        pytest.raises(BiocosmosError, match="--method fused"),
        identifying(collection, IdentifySettings(method="nearest"), images=files),
    ):
        pass


def test_three_methods_side_by_side(collection: bc.Collection) -> None:
    report = evaluate_collection(
        collection, method="simpleshot,barcode,fused", encoder=["efficientnet-lite0"], protocol="ranks", queries="test"
    )
    text = str(report.tables)
    assert all(name in text for name in ("simpleshot", "barcode", "fused"))


def test_missing_vectors_and_barcodes_stay_in_the_gallery(collection: bc.Collection, tmp_path: Path) -> None:
    shutil.copytree(collection.path, tmp_path / "half.cosmos")
    half = bc.Collection.open(tmp_path / "half.cosmos")
    ids = half.table(["id"], split="train")["id"].to_pylist()
    half.dataset.update({"barcode": "nullif(barcode, barcode)"}, where=f"id IN ('{ids[0]}', '{ids[1]}')")
    gallery = half.gallery("efficientnet-lite0", split="train", columns=("barcode",), also="barcode")
    assert len(gallery) == len(ids)
    assert gallery.columns is not None and gallery.columns["barcode"].null_count == 2
    assert np.allclose(np.linalg.norm(gallery.vectors, axis=1), 1, atol=1e-5)


def test_a_collection_without_one_of_them_is_told(collection: bc.Collection, tmp_path: Path) -> None:
    rows = collection.table(["id", "barcode", *collection.ranks])
    bare = bc.Collection.create(tmp_path / "bare.cosmos")
    bare.add(rows)
    bare.make_split("random", fractions={"train": 0.7, "test": 0.3})
    bc.embed(bare, "kmer:5")
    with (
        pytest.raises(BiocosmosError, match="is not of images"),
        identifying(bare, IdentifySettings(method="fused", part="test")),
    ):
        pass
    shutil.copytree(collection.path, tmp_path / "images.cosmos")
    images = bc.Collection.open(tmp_path / "images.cosmos")
    images.dataset.update({"barcode": "nullif(barcode, barcode)"})
    with (
        pytest.raises(BiocosmosError, match=r"none of the .* known specimens has a DNA barcode"),
        identifying(images, IdentifySettings(part="test", **RULES)),  # type: ignore[arg-type]
    ):
        pass
