"""The one reader of images: order, failures, sizes, threads, memory."""

import io
import threading

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from biocosmos.embed.reader import ImageFiles, ImageReader, StoredImages, ahead
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.records import Source

SQUARE = Preprocessing(size=16, resize="pad")


def picture(seed, width=40, height=30, **options):
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    small = Image.fromarray(rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    small.save(out, "JPEG" if options else "PNG", **options)
    return out.getvalue()


def turned(seed):
    """A photograph that lies on its side: 40 x 30 pixels stored, 30 x 40 once it is upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(seed, quality=95, exif=exif.tobytes())


@pytest.fixture
def collection(tmp_path):
    """Specimens 0 to 9: 5 has no image, 7 is turned, 8 is a crop; and "gone", whose file was removed."""
    images = [picture(seed, 30 + seed, 20 + seed) for seed in range(10)]
    images[5], images[7] = None, turned(7)
    crops = [None] * 8 + [[2.0, 3.0, 11.4, 500.0], None]
    table = pa.table(
        {
            "id": [f"s{i}" for i in range(10)],
            "class": ["Copepoda"] * 10,
            "image": pa.array(images, pa.large_binary()),
            "crop": pa.array(crops, pa.list_(pa.float32(), 4)),
        }
    )
    made = Collection.create(tmp_path / "c.cosmos")
    files = Source(name="test", format="test", batches=table.to_batches(max_chunksize=4), ranks=("class",))
    made.add(files, pack=True)
    path = tmp_path / "gone.png"
    path.write_bytes(picture(99))
    last = pa.table({"id": ["gone"], "class": ["Copepoda"], "image_path": [str(path)]})
    made.add(Source(name="test", format="test", batches=last.to_batches(), ranks=("class",)), pack=False)
    path.unlink()
    return made


def stored(collection):
    """id -> (source, crop), read row by row."""
    found = {}
    for batch in collection.scan(["id", "image", "image_path", "crop"]):
        for row in range(batch.num_rows):
            source, crop = collection.image_source(batch, row), batch["crop"][row].as_py()
            found[batch["id"][row].as_py()] = (source, crop)
    return found


def test_batches_come_in_order_with_every_image_in_its_place(collection):
    rows = stored(collection)
    ids = list(rows)
    ids = [*ids[4:], *ids[:4], ids[0]]  # not as stored, and one twice
    failures = Failures()
    reader = ImageReader(StoredImages(collection, ids), SQUARE, stage="identify", failures=failures)
    batches = list(reader.batches(4, workers=3))
    assert [len(batch.rows) for batch in batches] == [4] * (len(ids) // 4) + [len(ids) % 4] * (len(ids) % 4 > 0)
    assert [id_ for batch in batches for id_ in batch.ids] == ids
    assert np.concatenate([batch.rows for batch in batches]).tolist() == list(range(len(ids)))
    for batch in batches:
        for place, id_ in enumerate(batch.ids):
            source, crop = rows[id_]
            if batch.good[place]:
                assert torch.equal(batch.images[place], SQUARE.read(source, crop))
            else:
                assert id_ in ("s5", "gone")
                assert not batch.images[place].any() and np.isnan(batch.log_sizes[place]).all()
    told = sorted((row.id, row.stage, row.reason, row.source is None) for row in failures)
    assert told == [("gone", "identify", "missing file", False), ("s5", "identify", "no image", True)]
    assert not torch.equal(batches[0].images[0], batches[0].images[1])


def test_a_part_of_the_images_in_any_order_and_what_a_reader_says_once(collection):
    failures = Failures()
    reader = ImageReader(StoredImages(collection), SQUARE, failures=failures, required=False)
    some = reader.read([8, 2, 8])
    assert some.ids == ["s8", "s2", "s8"]
    assert torch.equal(some.images[0], some.images[2]) and some.good.all()
    for _ in range(3):
        list(reader.batches(5))
    assert [(row.id, row.reason) for row in failures] == [("gone", "missing file")]


def test_the_size_is_that_of_the_upright_image_or_crop_and_needs_no_decoding(collection):
    """In training and in prediction alike: log height, log width."""
    reader = ImageReader(StoredImages(collection), SQUARE, required=False)
    found = {id_: sides for batch in reader.batches(4) for id_, sides in zip(batch.ids, batch.log_sizes)}
    np.testing.assert_allclose(np.exp(found["s7"]), (40, 30), rtol=1e-6)
    np.testing.assert_allclose(np.exp(found["s8"]), (28 - 3, 11), rtol=1e-6)
    np.testing.assert_allclose(np.exp(found["s1"]), (21, 31), rtol=1e-6)
    headers = reader.log_sizes()
    decoded = np.concatenate([batch.log_sizes for batch in reader.batches(3)])
    assert np.isnan(headers[:, 0]).tolist() == [False] * 5 + [True] + [False] * 4 + [True]
    np.testing.assert_array_equal(headers, decoded)


def test_files_and_their_failures(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "turned.jpg").write_bytes(turned(2))
    (tmp_path / "b.png").write_text("no image")
    files = [tmp_path / "a.png", str(tmp_path / "b.png"), picture(3), tmp_path / "turned.jpg", tmp_path / "gone.png"]
    failures = Failures()
    reader = ImageReader(ImageFiles(files), SQUARE, stage="identify", failures=failures)
    (batch,) = reader.batches(64)
    assert batch.good.tolist() == [True, False, True, True, False]
    assert batch.ids == [str(files[0]), files[1], "image 3", str(files[3]), str(files[4])]
    np.testing.assert_allclose(np.exp(batch.log_sizes[3]), (40, 30), rtol=1e-6)
    expected = [("identify", files[1], "not an image: a text file"), ("identify", str(files[4]), "missing file")]
    assert [(row.stage, row.source, row.reason) for row in failures] == expected
    assert list(ImageReader(ImageFiles([]), SQUARE).batches(4)) == []


def test_an_unknown_specimen_is_named(collection):
    with pytest.raises(BiocosmosError, match="has no specimen 'nobody'"):
        StoredImages(collection, ["s0", "nobody"])
    assert len(StoredImages(collection, [])) == 0


def test_reading_ahead_keeps_order_is_bounded_and_stops_at_a_fault():
    begun, lock, most = [], threading.Lock(), []
    given = 0

    def make(item):
        with lock:
            begun.append(item)
            most.append(len(begun) - given)
        if item == 40:
            raise ValueError("forty")
        return item * item

    found = []
    with pytest.raises(ValueError, match="forty"):
        for value in ahead(make, iter(range(1000)), workers=4, each=2):
            found.append(value)
            given += 1
    assert found == [item * item for item in range(40)]
    assert max(most) <= 2 * 4 + 3 and max(begun) < 60


def test_reading_ahead_leaves_torchs_threads_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(ahead(lambda _: torch.get_num_threads(), range(5), workers=2)) == [1] * 5
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
