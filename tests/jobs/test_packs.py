"""Packs: equal bytes, every changed byte is told, and names from a pack are those of its collection."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from small_packs import CLASSES, DIM, EACH, small

import biocosmos as bc
from biocosmos import unfinished
from biocosmos.errors import BiocosmosError
from biocosmos.identify.identifier import Identifier
from biocosmos.jobs.packs import opening
from biocosmos.jobs.packs.build import build_pack
from biocosmos.jobs.packs.inside import gallery_of, identifier_in
from biocosmos.jobs.packs.verify import verify_pack
from biocosmos.specimens.packs.reading import open_pack
from biocosmos.specimens.packs.vectors import given_back, kept

LICENCE = {"licence": "cc-by-4.0"}


@pytest.fixture(scope="module")
def bees(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return small(tmp_path_factory.mktemp("bees") / "bees.cosmos")


@pytest.fixture(scope="module")
def pack(bees: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("packs") / "bees.pack"
    build_pack(bees, output, **LICENCE)
    return output


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "cache_folder", lambda: tmp_path / "cache")


def files(pack: Path) -> dict[str, bytes]:
    return {each.relative_to(pack).as_posix(): each.read_bytes() for each in sorted(pack.rglob("*")) if each.is_file()}


def told(pack: Path) -> str:
    with pytest.raises(BiocosmosError) as error:
        open_pack(pack)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_equal_input_gives_equal_bytes_in_a_folder_and_in_a_zip(bees: bc.Collection, pack: Path, tmp_path: Path) -> None:
    build_pack(bees, tmp_path / "other name.pack", **LICENCE)
    assert files(tmp_path / "other name.pack") == files(pack)
    for name in ("one.zip", "two.zip"):
        build_pack(bees, tmp_path / name, **LICENCE)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert open_pack(tmp_path / "one.zip").digest == open_pack(pack).digest
    assert str(bees.path.parent).encode() not in b"".join(files(pack).values()), "nothing of this machine is in it"


def test_the_list_of_checksums_is_that_of_sha256sum(pack: Path) -> None:
    lines = (pack / "SHA256SUMS").read_text().splitlines()
    named = {line[66:]: line[:64] for line in lines}
    assert set(named) == set(files(pack)) - {"SHA256SUMS"}
    assert all(hashlib.sha256((pack / name).read_bytes()).hexdigest() == digest for name, digest in named.items())


def test_classes_have_counts_shares_means_and_variances(bees: bc.Collection, pack: Path) -> None:
    table = pq.read_table(pack / "classes.parquet")
    assert dict(zip(table["species"].to_pylist(), table["count"].to_pylist())) == dict.fromkeys(CLASSES, EACH)
    assert table["share"].to_pylist() == [1 / len(CLASSES)] * len(CLASSES)
    tensors = load_file(pack / "statistics.safetensors")
    vectors = bees.gallery("model")
    for row, name in enumerate(table["species"].to_pylist()):
        mine = vectors.vectors[vectors.slice(f"species:{name}")].astype(np.float64)
        assert np.allclose(tensors["mean"][row], mine.mean(axis=0), atol=1e-6)
        assert np.allclose(tensors["variance"][row], mine.var(axis=0), atol=1e-6)


@pytest.mark.parametrize(("kind", "bytes_each"), [("float32", 4), ("float16", 2), ("int8", 1)])
def test_vectors_come_back_nearly_as_they_were(bees: bc.Collection, kind: str, bytes_each: int) -> None:
    vectors = bees.gallery("model").vectors
    arrays = kept(vectors, kind)
    assert arrays["vectors"].nbytes == vectors.size * bytes_each
    back = given_back(arrays)
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    assert np.abs(back - vectors).max() <= {"float32": 0, "float16": 5e-4, "int8": 5e-3}[kind]


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_a_pack_names_as_the_identifier_that_went_into_it(bees: bc.Collection, tmp_path: Path, kind: str) -> None:
    made = build_pack(bees, tmp_path / "a.pack", vectors=kind, **LICENCE)
    assert made.recall is not None and made.recall["asked"] == len(bees) and made.recall["recall@1"] > 0.9
    rng = np.random.default_rng(1)
    asked = ([f"q{i}" for i in range(20)], rng.normal(size=(20, DIM)).astype(np.float32))
    whole = Identifier.fit(bees.gallery("model")).identify(asked)
    opened = open_pack(tmp_path / "a.pack")
    mine = identifier_in(opened, gallery_of(opened)).identify(asked)
    near = [] if kind == "float32" else ["neighbours"]
    assert mine.drop_columns(near).equals(whole.drop_columns(near))


def test_identify_and_search_by_a_pack_say_what_they_say_by_its_collection(
    embedded: bc.Collection, tmp_path: Path, biocosmos: Callable[..., str], sample_table: pa.Table
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for row in sample_table.slice(400, 3).to_pylist():
        (photos / f"{row['id']}.jpg").write_bytes(row["image"])
    how, what = ("--method", "simpleshot", "--novelty", "energy"), ("--licence", "cc0-1.0", "--vectors", "float32")
    biocosmos("pack", "build", embedded.path, "-o", tmp_path / "plankton.zip", *what, *how)
    for name, source, more in (("pack", tmp_path / "plankton.zip", ()), ("collection", embedded.path, how)):
        biocosmos("identify", source, photos, "-o", tmp_path / f"{name}.parquet", *more)
        biocosmos("search", source, photos, "-k", "4", "-o", tmp_path / f"{name}-near.parquet")
    for table in ("", "-near"):
        mine, other = (pq.read_table(tmp_path / f"{name}{table}.parquet") for name in ("pack", "collection"))
        assert len(mine) and mine.equals(other)
    refused = biocosmos("identify", tmp_path / "plankton.zip", photos, "--save", fails=2)
    assert "is a pack" in refused


def test_verify_asks_what_was_asked_when_it_was_made(pack: Path, biocosmos: Callable[..., str]) -> None:
    done = verify_pack(pack)
    assert not done.differing and "8 of 8" in dict(done.rows)["tests"]
    assert "8 of 8" in biocosmos("pack", "verify", pack)
    tests = json.loads((pack / "tests.json").read_text())["tests"]
    assert {test["taxon"] for test in tests} == {f"{genus}/{name}" for name, genus in CLASSES.items()}
    assert all(len(test["taxa"]) == len(CLASSES) and len(test["nearest"]) == 5 for test in tests)
    assert all(test["id"] not in [id_ for id_, _ in test["nearest"]] for test in tests)


def test_specimens_that_nothing_learnt_from_are_asked_with_where_there_are_such(bees: bc.Collection, tmp_path: Path) -> None:
    part = small(tmp_path / "parts.cosmos")
    part.make_split("stratified", seed=0)
    build_pack(part, tmp_path / "a.pack", known="train", **LICENCE)
    tests = json.loads((tmp_path / "a.pack" / "tests.json").read_text())["tests"]
    inside = pq.read_table(tmp_path / "a.pack" / "specimens.parquet")["id"].to_pylist()
    assert all(test["held_out"] and test["id"] not in inside for test in tests)
    assert sorted(inside) == sorted(part.table(["id"], split="train")["id"].to_pylist())


def test_one_byte_changed_is_told_with_the_file(pack: Path, tmp_path: Path) -> None:
    for name, content in files(pack).items():
        other = tmp_path / "changed.pack"
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(pack, other)
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        (other / name).write_bytes(changed)
        said = told(other)
        assert name in said or (name == "SHA256SUMS" and "changed" in said), said


def test_one_byte_changed_in_a_zip_is_told_with_the_file(bees: bc.Collection, pack: Path, tmp_path: Path) -> None:
    build_pack(bees, tmp_path / "whole.zip", **LICENCE)
    content = (tmp_path / "whole.zip").read_bytes()
    for name, inside in files(pack).items():
        at = content.index(inside) + len(inside) // 2
        (tmp_path / "changed.zip").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        said = told(tmp_path / "changed.zip")
        assert name in said or "SHA256SUMS" in said, said
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    assert "zip" in told(tmp_path / "cut.zip")


def changed_facts(pack: Path, other: Path, **facts: object) -> Path:
    """A copy of a pack that says something else, with the right checksums."""
    shutil.copytree(pack, other)
    said = json.loads((other / "pack.json").read_text()) | facts
    (other / "pack.json").write_text(json.dumps(said))
    seal(other)
    return other


def seal(pack: Path) -> None:
    names = sorted(name for name in files(pack) if name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((pack / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (pack / "SHA256SUMS").write_text("".join(lines))


def test_a_pack_of_a_newer_version_is_told(pack: Path, tmp_path: Path) -> None:
    said = told(changed_facts(pack, tmp_path / "new.pack", format=99))
    assert "newer biocosmos" in said and "99" in said


@pytest.mark.parametrize("facts", [{"licence": 3}, {"specimens": -1}, {"vectors": {"kind": "float8"}}, {"encoder": []}])
def test_what_a_pack_may_not_say_is_told(pack: Path, tmp_path: Path, facts: dict[str, object]) -> None:
    assert "pack.json" in told(changed_facts(pack, tmp_path / "odd.pack", **facts))


def test_a_pack_that_contradicts_itself_is_told(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match=r"specimens.parquet does not hold 7 ids"):
        verify_pack(changed_facts(pack, tmp_path / "few.pack", specimens=7))
    other = tmp_path / "pickled.pack"
    shutil.copytree(pack, other)
    out = io.BytesIO()
    np.savez(out, features=np.array([{"a": 1}], object), allow_pickle=True)
    (other / "identifier" / "arrays.npz").write_bytes(out.getvalue())
    seal(other)
    with pytest.raises(BiocosmosError, match="code"):
        verify_pack(other)


def test_links_and_names_that_lead_out_are_refused(pack: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked.pack"
    shutil.copytree(pack, linked)
    (linked / "README.md").unlink()
    (linked / "README.md").symlink_to(pack / "README.md")
    assert "README.md is a link" in told(linked)
    for name, mode, said in (("../out.txt", 0o644, "no name"), ("evil", 0o120777, "is a link")):
        bad = tmp_path / "bad.zip"
        with zipfile.ZipFile(bad, "w") as archive:
            for each, content in files(pack).items():
                archive.writestr(each, content)
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | mode if mode == 0o644 else mode) << 16
            archive.writestr(info, "/etc/passwd")
        assert said in told(bad)
        assert not (tmp_path.parent / "out.txt").exists()


def test_a_file_that_grows_is_refused_before_it_does(pack: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files(pack).items():
            archive.writestr(name, content)
        archive.writestr("vectors2.safetensors", bytes(80 << 20))
    assert "would grow" in told(tmp_path / "bomb.zip")


def test_a_folder_zipped_by_hand_opens(pack: Path, tmp_path: Path) -> None:
    made = shutil.make_archive(str(tmp_path / "by hand"), "zip", pack)
    assert open_pack(made).digest == open_pack(pack).digest
    nested = shutil.make_archive(str(tmp_path / "nested"), "zip", pack.parent, pack.name)
    assert f"zip the files of {pack.name}" in told(Path(nested))


def test_without_a_licence_nothing_is_written(tmp_path: Path) -> None:
    made = small(tmp_path / "licensed.cosmos", each=4)
    build_pack(made, tmp_path / "a.pack")
    assert open_pack(tmp_path / "a.pack").facts["licence"] == "CC-BY-4.0"
    made.update(pa.table({"id": ["bee-000"], "rights": ["all reserved"]}))
    with pytest.raises(BiocosmosError, match="2 licences"):
        build_pack(made, tmp_path / "b.pack")
    assert not (tmp_path / "b.pack").exists()


def test_rare_taxa_are_left_out_with_their_names(tmp_path: Path) -> None:
    made = small(tmp_path / "rare.cosmos", rare=2)
    build_pack(made, tmp_path / "a.pack", least=5, **LICENCE)
    everything = b"".join(files(tmp_path / "a.pack").values())
    for table in (tmp_path / "a.pack").rglob("*.parquet"):
        everything += repr(pq.read_table(table).to_pylist()).encode()
    assert b"Nomada" not in everything and b"bee-048" not in everything
    assert not verify_pack(tmp_path / "a.pack").differing


def test_a_pack_without_vectors_holds_no_specimen_and_names_all_the_same(
    bees: bc.Collection, tmp_path: Path, biocosmos: Callable[..., str]
) -> None:
    build_pack(bees, tmp_path / "a.pack", vectors="none", tests=3, **LICENCE)
    proofs = {test["id"] for test in json.loads((tmp_path / "a.pack" / "tests.json").read_text())["tests"]}
    said = b""
    for name, content in files(tmp_path / "a.pack").items():
        said += b"" if name == "tests.json" else content
    for table in (tmp_path / "a.pack").rglob("*.parquet"):
        said += repr(pq.read_table(table).to_pylist()).encode()
    assert b"bee-0" not in said and len(proofs) == 3
    assert not verify_pack(tmp_path / "a.pack").differing
    found = bc.Collection.open(opening.collection_of(tmp_path / "a.pack"))
    assert sorted(found.table(["id"])["id"].to_pylist()) == sorted(f"mean of {g}/{n}" for n, g in CLASSES.items())
    refused = biocosmos(
        "pack",
        "build",
        bees.path,
        "-o",
        tmp_path / "b.pack",
        "--licence",
        "mit",
        "--vectors",
        "none",
        "--novelty",
        "knn",
        fails=1,
    )
    assert "holds vectors of specimens" in refused
    for option in (("--thumbnails", 32), ("--columns", "rights")):
        line = ("pack", "build", bees.path, "-o", tmp_path / "b.pack", "--licence", "mit", "--vectors", "none", *option)
        assert f"{option[0]} does nothing here" in biocosmos(*line, fails=2)


def test_another_encoder_is_refused_by_name(pack: Path) -> None:
    with pytest.raises(BiocosmosError, match=r"holds vectors of 'model'.*f00d.*none of 'efficientnet-lite0'"):
        opening.collection_of(pack, "efficientnet-lite0")


def test_an_unpacked_pack_is_used_again_and_a_changed_one_is_not(pack: Path, tmp_path: Path) -> None:
    other = shutil.copytree(pack, tmp_path / "mine.pack")
    first = opening.collection_of(other)
    assert first.name == "mine.cosmos" and opening.collection_of(other) == first
    (other / "pack.json").write_bytes((other / "pack.json").read_bytes() + b" ")
    with pytest.raises(BiocosmosError, match=r"pack.json was changed"):
        opening.collection_of(other)


def test_a_place_that_is_taken_is_left_alone(bees: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "a.pack").mkdir()
    (tmp_path / "a.pack" / "mine.txt").write_text("mine")
    for name, said in (("a.pack", "no pack"), ("a.tar", "NAME.pack")):
        with pytest.raises(BiocosmosError, match=said):
            build_pack(bees, tmp_path / name, overwrite=True, **LICENCE)
    build_pack(bees, tmp_path / "b.pack", **LICENCE)
    with pytest.raises(BiocosmosError, match="--overwrite"):
        build_pack(bees, tmp_path / "b.pack", **LICENCE)
    build_pack(bees, tmp_path / "b.pack", overwrite=True, **LICENCE)
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["a.pack", "b.pack"]


def test_a_killed_process_leaves_no_pack_and_the_next_one_clears_up(bees: bc.Collection, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from biocosmos.specimens.packs.writing import writing_pack\n"
        "with writing_pack(sys.argv[1]) as folder:\n"
        "    (folder / 'README.md').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    for name in ("a.pack", "a.zip"):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=False)
        assert done.returncode == -9 and not (tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 1, "what the first left, the second removed"
    unfinished._swept.discard(tmp_path)
    build_pack(bees, tmp_path / "a.pack", **LICENCE)
    assert [each.name for each in tmp_path.iterdir()] == ["a.pack"]


def test_what_a_stranger_may_put_into_a_pack_becomes_one_line(pack: Path, tmp_path: Path) -> None:
    rows = pq.read_table(pack / "specimens.parquet")
    paths = rows.append_column("image_path", pa.array(["/etc/passwd"] * len(rows), pa.string()))
    other = changed_facts(pack, tmp_path / "reads.pack", columns=["image_path"])
    pq.write_table(paths, other / "specimens.parquet")
    seal(other)
    with pytest.raises(BiocosmosError, match="may not have a column 'image_path'"):
        opening.collection_of(other)
    shutil.copytree(pack, tmp_path / "silent.pack")
    pq.write_table(paths, tmp_path / "silent.pack" / "specimens.parquet")
    seal(tmp_path / "silent.pack")
    found = bc.Collection.open(opening.collection_of(tmp_path / "silent.pack"))
    assert found.table(["image_path"])["image_path"].null_count == len(found), "a column that pack.json does not name is not read"
    narrow = shutil.copytree(pack, tmp_path / "narrow.pack")
    with np.load(narrow / "identifier" / "arrays.npz") as stored:
        arrays = {name: stored[name][..., :3] if name == "namer/weight" else stored[name] for name in stored.files}
    np.savez(narrow / "identifier" / "arrays.npz", **arrays)
    state = json.loads((narrow / "identifier" / "identifier.json").read_text())
    state["files"]["arrays.npz"] = hashlib.sha256((narrow / "identifier" / "arrays.npz").read_bytes()).hexdigest()
    (narrow / "identifier" / "identifier.json").write_text(json.dumps(state))
    seal(narrow)
    for look in (verify_pack, opening.collection_of):
        with pytest.raises(BiocosmosError, match="does not fit the rest"):
            look(narrow)


def test_the_card_is_one_that_the_hub_takes(pack: Path, tmp_path: Path, bees: bc.Collection) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard.load(pack / "README.md", ignore_metadata_errors=False).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "biocosmos", "image-classification")
    build_pack(bees, tmp_path / "own.pack", licence="Museum terms: ask us")
    data = ModelCard.load(tmp_path / "own.pack" / "README.md").data
    assert (data.license, data.license_name) == ("other", "Museum terms: ask us")


def test_labels_may_be_a_rank(tmp_path: Path) -> None:
    made = small(tmp_path / "labels.cosmos", each=4)
    made.save_facts(ranks=["genus", "label"])
    build_pack(bc.Collection.open(made.path), tmp_path / "a.pack", **LICENCE)
    assert not verify_pack(tmp_path / "a.pack").differing
    assert bc.Collection.open(opening.collection_of(tmp_path / "a.pack")).ranks == ("genus", "label")
