"""Embedding a real collection: resumed, grown, refused, killed."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

import biocosmos as bc
import warm
from biocosmos.embed import embed, embedding, run
from biocosmos.embed.parts import Part, ids_digest, locked_work
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.records import Source

torch.set_num_threads(2)


class Coarse:
    """A quick encoder whose vectors tell the images apart: the picture itself, 8 x 8."""

    size = 8
    name = "coarse"
    digest = "one"
    calls = 0

    def __call__(self, batch):
        Coarse.calls += 1
        return batch.float().flatten(1) + 1


def image(seed):
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    small = Image.fromarray(rng.integers(0, 255, (4, 5, 3), dtype=np.uint8))
    small.resize((int(rng.integers(20, 90)), int(rng.integers(20, 90)))).save(out, ["JPEG", "PNG"][seed % 2])
    return out.getvalue()


def add(collection, images, first=0, pack=True, crop=None):
    count = len(images)
    table = {"id": [f"s{first + i}" for i in range(count)], "class": ["Copepoda"] * count}
    if isinstance(images[0], (str, Path)):
        table["image_path"] = [str(path) for path in images]
    else:
        table["image"] = pa.array(images, pa.large_binary())
    if crop is not None:
        table["crop"] = pa.array([crop] * count, pa.list_(pa.float32(), 4))
    batches = pa.table(table).to_batches(max_chunksize=100)
    return collection.add(Source(name="test", format="test", batches=batches, ranks=("class",)), pack=pack)


def made(path, count, **options):
    collection = Collection.create(path)
    add(collection, [image(seed) for seed in range(count)], **options)
    return collection


def vectors(collection, name="coarse"):
    """(n, dim) float32 in stored order, and which rows have one."""
    column = collection.dataset.to_table(columns=[collection.embedding_column(name)]).combine_chunks().column(0)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.array([row if row is not None else [np.nan] * column.type.list_size for row in column.to_pylist()], np.float32)


def naive(collection, encoder):
    """One image at a time, in stored order."""
    rows = []
    for batch in collection.scan(["id", "image", "image_path", "crop"]):
        for i in range(batch.num_rows):
            pixels = encoder.read(collection.image_source(batch, i), batch.column("crop")[i].as_py())
            rows.append(encoder.encode_images(pixels[None])[0])
    return np.stack(rows)


def test_every_specimen_gets_the_vector_of_its_own_image(tmp_path):
    collection = made(tmp_path / "c", 75)
    encoder = load_encoder(Coarse())
    summary = embed(collection, encoder)
    assert (summary.images, summary.failed, summary.kept, summary.column) == (75, 0, 0, "embedding/coarse")
    np.testing.assert_array_equal(vectors(collection), naive(collection, encoder))
    facts = collection.encoders["coarse"]
    assert facts["digest"] == "one" and facts["preprocessing"]["resize"] == "pad" and facts["precision"] == "float32"
    assert not (collection.path / "work" / "embedding_coarse").exists()


def test_embed_is_callable_from_the_package_and_by_path(tmp_path):
    made(tmp_path / "c", 3)
    assert bc.embed(str(tmp_path / "c"), load_encoder(Coarse())).images == 3
    assert bc.embed(tmp_path / "c", load_encoder(Coarse())).kept == 3


def test_image_files_and_crops(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(image(2 * i + 1))
    collection = Collection.create(tmp_path / "c")
    add(collection, [tmp_path / f"{i}.png" for i in range(4)], pack=False, crop=[2.0, 3.0, 10.0, 12.0])
    encoder = load_encoder(Coarse())
    embed(collection, encoder)
    expected = encoder.encode_images(torch.stack([encoder.read(tmp_path / f"{i}.png", (2, 3, 10, 12)) for i in range(4)]))
    np.testing.assert_array_equal(vectors(collection), expected)


@pytest.mark.parametrize(("workers", "batch_size"), [(1, None), (7, None), (None, 3)])
def test_threads_and_batches_change_nothing(tmp_path, workers, batch_size):
    collection = made(tmp_path / "c", 40)
    encoder = load_encoder(Coarse())
    embed(collection, encoder, workers=workers, batch_size=batch_size)
    np.testing.assert_array_equal(vectors(collection), naive(collection, encoder))


def test_the_batch_size_that_is_asked_for_is_that_of_the_model(tmp_path):
    sizes = set()

    class Counts(Coarse):
        def __call__(self, batch):
            sizes.add(len(batch))
            return super().__call__(batch)

    collection = made(tmp_path / "c", 40)
    encoder = load_encoder(Counts(), device="cpu")
    sizes.clear()
    embed(collection, encoder, batch_size=13)
    assert sizes == {13}
    np.testing.assert_array_equal(vectors(collection), naive(collection, encoder))


def test_failing_images_are_listed_and_null_and_tried_again(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        path.write_bytes(image(2 * i + 1))
    collection = Collection.create(tmp_path / "c")
    add(collection, paths, pack=False)
    good = paths[2].read_bytes()
    paths[2].write_bytes(good[: len(good) // 2])
    paths[4].unlink()
    encoder = load_encoder(Coarse())
    summary = embed(collection, encoder)
    assert (summary.images, summary.failed) == (4, 2)
    listed = [(row["id"], row["stage"], row["source"]) for row in collection.failures.to_pylist()]
    assert listed == [("s2", "embed", str(paths[2])), ("s4", "embed", str(paths[4]))]
    assert np.isnan(vectors(collection)).any(axis=1).tolist() == [False, False, True, False, True, False]
    assert embed(collection, encoder).failed == 2
    assert len(collection.failures) == 2  # the same failure is not recorded twice
    paths[2].write_bytes(good)
    again = embed(collection, encoder)
    assert (again.images, again.failed, again.kept) == (1, 1, 4)
    assert np.isnan(vectors(collection)).any(axis=1).tolist() == [False, False, False, False, True, False]


def test_specimens_without_an_image_have_no_vector_and_are_no_failure(tmp_path):
    collection = made(tmp_path / "c", 5)
    bare = pa.table({"id": ["b0", "b1"], "class": ["Copepoda", None], "barcode": ["ACGT" * 30, "TTTT" * 30]})
    collection.add(Source(name="t", format="t", batches=bare.to_batches(), ranks=("class",)))
    summary = embed(collection, load_encoder(Coarse()))
    assert (summary.images, summary.failed, summary.without_image) == (5, 0, len(collection) - 5)


def test_a_collection_that_grew_has_only_its_new_rows_embedded(tmp_path):
    collection = made(tmp_path / "c", 30)
    encoder = load_encoder(Coarse())
    embed(collection, encoder)
    before = vectors(collection)
    calls = Coarse.calls
    assert embed(collection, encoder).kept == 30
    assert Coarse.calls == calls
    add(collection, [image(100 + seed) for seed in range(11)], first=30)
    summary = embed(collection, encoder)
    assert (summary.images, summary.kept) == (11, 30)
    after = vectors(collection)
    np.testing.assert_array_equal(after[:30], before)
    np.testing.assert_array_equal(after, naive(collection, encoder))


def test_other_weights_under_the_same_name_are_refused(tmp_path):
    collection = made(tmp_path / "c", 4)
    embed(collection, load_encoder(Coarse()))
    other = Coarse()
    other.digest = "two"
    before = vectors(collection)
    with pytest.raises(BiocosmosError, match=r"digest one, this encoder has two: .*overwrite"):
        embed(collection, load_encoder(other))
    with pytest.raises(BiocosmosError, match="preprocessing"):
        embed(collection, load_encoder(Coarse(), resize="squash"))
    np.testing.assert_array_equal(vectors(collection), before)
    assert embed(collection, load_encoder(other), overwrite=True).images == 4
    assert collection.encoders["coarse"]["digest"] == "two"


class Stops(Coarse):
    """Fails after so many batches, as a full disk or a Ctrl-C would."""

    def __init__(self, after):
        self.after, self.done = after, -1  # the first call asks for the dimension

    def __call__(self, batch):
        self.done += 1
        if self.done > self.after:
            raise KeyboardInterrupt
        return super().__call__(batch)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(run, "PART_ROWS", 16)
    monkeypatch.setattr(embedding, "PART_ROWS", 16)


def interrupted(collection, after=4):
    with pytest.raises(KeyboardInterrupt):
        embed(collection, load_encoder(Stops(after)), workers=1)
    return sorted((collection.path / "work" / "embedding_coarse").glob("*.part"))


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, small_parts):
    collection = made(tmp_path / "c", 60)
    whole = made(tmp_path / "whole", 60)
    embed(whole, load_encoder(Coarse()))
    assert len(interrupted(collection)) == 2
    assert "coarse" not in collection.encoders
    summary = embed(collection, load_encoder(Coarse()))
    assert (summary.images, summary.resumed) == (60, 32)
    np.testing.assert_array_equal(vectors(collection), vectors(whole))


@pytest.mark.parametrize("damage", ["torn", "bit", "empty", "header", "other"])
def test_a_damaged_part_is_computed_again(tmp_path, small_parts, damage):
    collection = made(tmp_path / "c", 60)
    part, other = interrupted(collection)
    data = bytearray(part.read_bytes())
    if damage == "torn":
        data = data[:-5]
    elif damage == "bit":
        data[-100] ^= 1
    elif damage == "empty":
        data = b""
    elif damage == "header":
        data[2:9] = b"garbage"
    else:
        data = other.read_bytes()
    part.write_bytes(data)
    summary = embed(collection, load_encoder(Coarse()))
    assert summary.resumed == 16
    np.testing.assert_array_equal(vectors(collection), naive(collection, load_encoder(Coarse())))


def test_an_interrupted_run_of_another_encoder_is_refused_or_started_over(tmp_path, small_parts):
    collection = made(tmp_path / "c", 60)
    interrupted(collection)
    other = Coarse()
    other.digest = "two"
    with pytest.raises(BiocosmosError, match=r"interrupted embedding .* had digest one, now it is two: .*overwrite"):
        embed(collection, load_encoder(other))
    assert embed(collection, load_encoder(other), overwrite=True).resumed == 0


def test_a_collection_that_grew_while_interrupted(tmp_path, small_parts):
    collection = made(tmp_path / "c", 40)
    interrupted(collection)
    add(collection, [image(200)], first=40)
    assert embed(collection, load_encoder(Coarse())).resumed == 32
    np.testing.assert_array_equal(vectors(collection), naive(collection, load_encoder(Coarse())))


def test_a_part_comes_back_as_it_was_saved(tmp_path):
    rng = np.random.default_rng(0)
    ids = ["a", "bé", ""]
    part = Part(ids, rng.random((3, 5), np.float32), np.array([True, False, True]), [(1, None, "zero bytes")])
    part.save(tmp_path / "000000.part")
    back = Part.load(tmp_path / "000000.part", ids, 5)
    assert back is not None and back.failures == part.failures and back.ids == ids
    np.testing.assert_array_equal(back.vectors, part.vectors)
    np.testing.assert_array_equal(back.valid, part.valid)
    assert Part.load(tmp_path / "000000.part", ["a", "b", ""], 5) is None
    assert Part.load(tmp_path / "000000.part", ids, 4) is None
    assert Part.load(tmp_path / "gone.part", ids, 5) is None
    assert ids_digest(["ab", "c"]) != ids_digest(["a", "bc"])


def test_two_at_once_are_refused_and_a_dead_lock_is_free(tmp_path):
    collection = made(tmp_path / "c", 4)
    folder = collection.path / "work" / "embedding_coarse"
    code = f"""
import sys, time
from pathlib import Path
from biocosmos.embed.parts import locked_work
with locked_work(Path({str(folder)!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    holder = warm.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(BiocosmosError, match=f"process {holder.pid} .* is embedding with this encoder already"):
        embed(collection, load_encoder(Coarse()))
    holder.kill()
    holder.wait()
    assert (folder / "lock").exists()
    assert embed(collection, load_encoder(Coarse())).images == 4
    with locked_work(folder), pytest.raises(BiocosmosError, match="already"), locked_work(folder):
        pass


SLOW = """
import sys, time
import torch
from biocosmos.embed import embed, embedding, run
from biocosmos.encoders.registry import load_encoder

torch.set_num_threads(1)
embedding.PART_ROWS = run.PART_ROWS = 8

class Slow:
    size, name, digest = 8, "coarse", "one"
    def __call__(self, batch):
        time.sleep(0.02)
        return batch.float().flatten(1) + 1

encoder = load_encoder(Slow())
print("ready", flush=True)
embed(sys.argv[1], encoder, workers=2)
"""


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PART_ROWS", 8)
    monkeypatch.setattr(embedding, "PART_ROWS", 8)
    whole = made(tmp_path / "whole", 200)
    collection = made(tmp_path / "killed", 200)
    embed(whole, load_encoder(Coarse()))
    rng = np.random.default_rng(int(os.environ.get("BIOCOSMOS_TEST_SEED", "0")))
    killed = 0
    for _ in range(3):
        process = warm.Popen([sys.executable, "-c", SLOW, str(collection.path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert len(Collection.open(collection.path)) == 200  # nothing stored is harmed
    assert killed >= 1
    done = Collection.open(collection.path)
    embed(done, load_encoder(Coarse()))
    assert vectors(done).tobytes() == vectors(whole).tobytes()
    assert not np.isnan(vectors(done)).any()
    assert not list((done.path / "work").rglob("*.part"))


KILLED = """
import os, signal, sys
from biocosmos.embed import embed
from biocosmos.encoders.registry import load_encoder
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.embedding_columns import EmbeddingColumns

class Other:
    size, name, digest = 8, "coarse", "two"
    def __call__(self, batch):
        return 300 - batch.float().flatten(1)

encoder = load_encoder(Other())
collection = Collection.open(sys.argv[1])  # which finishes what a kill left
EmbeddingColumns.finish_interrupted = lambda self: os.kill(os.getpid(), signal.SIGKILL)
embed(collection, encoder, overwrite=True)
"""


def test_a_kill_right_after_the_commit_leaves_new_vectors_under_the_new_digest(tmp_path):
    collection = made(tmp_path / "c", 20)
    embed(collection, load_encoder(Coarse()))
    before = vectors(collection)
    done = warm.run([sys.executable, "-c", KILLED, str(collection.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    seen = Collection.open(collection.path)
    assert seen.encoders["coarse"]["digest"] == "two"
    pixels = np.stack([load_encoder(Coarse()).read(collection.image_bytes(f"s{i}")).numpy().reshape(-1) for i in range(20)])
    other = 300 - pixels.astype(np.float32)
    np.testing.assert_allclose(vectors(seen), other / np.linalg.norm(other, axis=1, keepdims=True), atol=1e-6)
    assert embed(seen, load_encoder(Coarse()), overwrite=True).images == 20
    np.testing.assert_array_equal(vectors(Collection.open(collection.path)), before)


def test_the_default_encoder_on_openvino_says_how_well_it_agrees(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    class Net(torch.nn.Module):
        size, name, digest = 16, "net", "one"

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)

        def forward(self, batch):
            return self.conv(batch.float() / 255).relu().mean(dim=(2, 3)) + 0.1

    collection = made(tmp_path / "c", 12)
    embed(collection, load_encoder(Net(), backend="openvino"))
    facts = collection.encoders["net"]
    assert facts["backend"] == "openvino" and facts["agreement"]["mean cosine"] > 0.999 and facts["agreement"]["images"] == 12
