"""Packs of two museums in one, and what two packs differ in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from small_packs import CLASSES, EACH, small

import biocosmos as bc
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.packs.build import build_pack
from biocosmos.jobs.packs.diff import diff_packs
from biocosmos.jobs.packs.merge import merge_packs
from biocosmos.jobs.packs.verify import verify_pack
from biocosmos.specimens.packs.reading import open_pack

NORTH, SOUTH = tuple(CLASSES)[:3], tuple(CLASSES)[1:]
LICENCE = {"licence": "cc-by-4.0"}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> tuple[bc.Collection, bc.Collection]:
    folder = tmp_path_factory.mktemp("both")
    north = small(folder / "north.cosmos", prefix="n", classes=NORTH)
    return north, small(folder / "south.cosmos", prefix="s", classes=SOUTH, seed=1)


@pytest.fixture(scope="module")
def packs(collections: tuple[bc.Collection, bc.Collection]) -> tuple[Path, Path]:
    paths = [each.path.with_suffix(".pack") for each in collections]
    for collection, path in zip(collections, paths):
        build_pack(collection, path, **LICENCE)
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def joined(packs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("joined") / "both.pack"
    merge_packs(packs, output)
    return output


def test_every_row_says_which_pack_it_comes_from(packs: tuple[Path, Path], joined: Path) -> None:
    rows = pq.read_table(joined / "specimens.parquet")
    assert rows.column_names == ["id", "label", "genus", "species", "from_pack"]
    for path, prefix in zip(packs, "ns"):
        name = open_pack(path).short
        mine = rows.filter(pa.compute.equal(rows["from_pack"], name))["id"].to_pylist()
        assert sorted(mine) == [f"{prefix}-{i:03d}" for i in range(3 * EACH)]
    sources = open_pack(joined).facts["sources"]
    assert [(s["name"], s["digest"]) for s in sources] == [(open_pack(p).name, open_pack(p).digest) for p in packs]
    assert not verify_pack(joined).differing


def test_class_statistics_are_pooled(packs: tuple[Path, Path], joined: Path) -> None:
    def of(pack: Path) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
        table, tensors = pq.read_table(pack / "classes.parquet"), load_file(pack / "statistics.safetensors")
        each = zip(table["species"].to_pylist(), table["count"].to_pylist(), tensors["mean"], tensors["variance"])
        return {name: (count, mean.astype(np.float64), variance) for name, count, mean, variance in each}

    north, south, both = of(packs[0]), of(packs[1]), of(joined)
    assert {name: count for name, (count, _, _) in both.items()} == {
        name: EACH * ((name in NORTH) + (name in SOUTH)) for name in CLASSES
    }
    for name in set(NORTH) & set(SOUTH):
        (n, a, v), (m, b, w) = north[name], south[name]
        mean = (n * a + m * b) / (n + m)
        assert np.allclose(both[name][1], mean, atol=1e-3)
        assert np.allclose(both[name][2], (n * (v + (a - mean) ** 2) + m * (w + (b - mean) ** 2)) / (n + m), atol=1e-3)


def test_joining_is_the_same_every_time(packs: tuple[Path, Path], joined: Path, tmp_path: Path) -> None:
    merge_packs(packs, tmp_path / "both.pack")
    assert open_pack(tmp_path / "both.pack").digest == open_pack(joined).digest


def test_what_two_packs_have_by_id_or_by_vector_is_told(packs: tuple[Path, Path], tmp_path: Path) -> None:
    failures = Failures()
    done = merge_packs([packs[0], packs[0]], tmp_path / "twice.pack", failures=failures)
    assert (done.repeated, done.renamed, done.alike) == (3 * EACH, 0, 0) and failures.warnings == 3 * EACH
    assert done.written.facts["specimens"] == 3 * EACH
    taken = small(tmp_path / "taken.cosmos", prefix="n", classes=NORTH, seed=7)
    copied = small(tmp_path / "copied.cosmos", prefix="c", classes=NORTH)
    for collection in (taken, copied):
        build_pack(collection, collection.path.with_suffix(".pack"), **LICENCE)
    failures = Failures()
    done = merge_packs([packs[0], tmp_path / "taken.pack"], tmp_path / "renamed.pack", failures=failures)
    assert (done.repeated, done.renamed, done.alike) == (0, 3 * EACH, 0)
    ids = pq.read_table(tmp_path / "renamed.pack" / "specimens.parquet")["id"].to_pylist()
    assert {"n-000", "taken/n-000"} <= set(ids) and len(ids) == len(set(ids)) == 6 * EACH
    done = merge_packs([packs[0], tmp_path / "copied.pack"], tmp_path / "alike.pack", failures=failures)
    assert (done.repeated, done.renamed, done.alike) == (0, 0, 3 * EACH)
    assert any("vector is that of 'n-000'" in row.reason for row in failures)


def test_packs_of_two_encoders_are_refused_by_name(packs: tuple[Path, Path], tmp_path: Path) -> None:
    other = small(tmp_path / "other.cosmos", prefix="o", digest="beef")
    build_pack(other, tmp_path / "other.pack", **LICENCE)
    with pytest.raises(BiocosmosError, match=r"two encoders.*'model' \(f00d\).*'model' \(beef\)"):
        merge_packs([packs[0], tmp_path / "other.pack"], tmp_path / "c.pack")
    assert any("two encoders" in note for note in diff_packs(packs[0], tmp_path / "other.pack").notes)
    build_pack(other, tmp_path / "none.pack", vectors="none", **LICENCE)
    with pytest.raises(BiocosmosError, match="holds no vectors"):
        merge_packs([packs[0], tmp_path / "none.pack"], tmp_path / "c.pack")
    build_pack(other, tmp_path / "free.pack", licence="cc0-1.0")
    with pytest.raises(BiocosmosError, match="two encoders"):
        merge_packs([packs[0], tmp_path / "free.pack"], tmp_path / "c.pack")
    assert not (tmp_path / "c.pack").exists()


def test_what_is_said_of_specimens_goes_with_them(collections: tuple[bc.Collection, bc.Collection], tmp_path: Path) -> None:
    for collection, name in zip(collections, "ab"):
        build_pack(collection, tmp_path / f"{name}.pack", columns=("rights",), **LICENCE)
    for kind, columns in (("float16", ["rights"]), ("none", [])):
        merge_packs([tmp_path / "a.pack", tmp_path / "b.pack"], tmp_path / f"{kind}.pack", vectors=kind)
        assert open_pack(tmp_path / f"{kind}.pack").facts["columns"] == columns


def test_licences_that_differ_are_not_mixed(
    collections: tuple[bc.Collection, bc.Collection], packs: tuple[Path, Path], tmp_path: Path
) -> None:
    build_pack(collections[1], tmp_path / "free.pack", licence="cc0-1.0")
    with pytest.raises(BiocosmosError, match="2 licences"):
        merge_packs([packs[0], tmp_path / "free.pack"], tmp_path / "c.pack")
    merge_packs([packs[0], tmp_path / "free.pack"], tmp_path / "c.zip", licence="cc-by-4.0")
    assert open_pack(tmp_path / "c.zip").facts["licence"] == "cc-by-4.0"


def test_a_difference_lists_taxa_and_specimens_and_measures_both(packs: tuple[Path, Path], joined: Path) -> None:
    found = diff_packs(packs[0], joined)
    names = {(row[0], row[1]): row[2:] for row in found.rows}
    assert names["taxon", "Osmia/Osmia bicornis"] == ("gained", "0", str(EACH))
    assert names["taxon", "Bombus/Bombus terrestris"] == ("more", str(EACH), str(2 * EACH))
    assert found.count("specimen", "gained") == 3 * EACH and not found.count("specimen", "lost")
    measured = {row[0].partition(",")[0]: tuple(map(float, row[1:])) for row in found.measured}
    before, after = measured["taxon is the likeliest"]
    assert after > before, "the first has never seen one of the taxa"
    back = diff_packs(joined, packs[0])
    assert back.count("taxon", "lost") == 1 and back.count("specimen", "lost") == 3 * EACH
    assert not diff_packs(joined, joined).rows


def test_the_verbs(packs: tuple[Path, Path], tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    biocosmos("pack", "merge", packs[0], packs[0], "-o", tmp_path / "twice.pack")
    listed = (tmp_path / "twice.failures.csv").read_text()
    assert listed.count("kept once") == 3 * EACH
    assert "Osmia" in biocosmos("pack", "diff", *packs)
    biocosmos("pack", "diff", *packs, "-o", tmp_path / "changes.json")
    assert len(json.loads((tmp_path / "changes.json").read_text())) >= 1
