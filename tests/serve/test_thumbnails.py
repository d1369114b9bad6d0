"""Thumbnails of awkward images, judged by Pillow; made once, kept, made anew when what is seen changes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from pictured import cmyk_jpeg, collection_of, deep_tiff, encoded, on_disk, opened, ramp, see_through_png, turned_jpeg

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.serve.thumbnails import NoSpecimen, Thumbnails, drawing, make_all, mark_of, places
from biocosmos.serve.thumbnails import thumbnails as asking
from biocosmos.serve.thumbnails.store import Kept, Store


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOCOSMOS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of all pictures that were decoded."""
    done: list[str] = []

    def make(picture, sizes, real=drawing.make):
        done.append(picture.id)
        return real(picture, sizes)

    monkeypatch.setattr(asking, "make", make)
    return done


def near(pixel: tuple[int, ...], wanted: tuple[int, ...], by: int = 12) -> bool:
    return bool(np.abs(np.subtract(pixel, wanted)).max() <= by)


@pytest.mark.parametrize("size", [128, 384])
@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_image_is_fitted_into_its_box(tmp_path, size, packed):
    contents = {
        "large.png": (encoded(ramp(1000, 500), "PNG"), 1000, 500),
        "small.png": (encoded(ramp(40, 30), "PNG"), 40, 30),
        "narrow.png": (encoded(ramp(2000, 3), "PNG"), 2000, 3),
        "cmyk.jpg": (cmyk_jpeg(), 200, 150),
        "deep.tif": (deep_tiff(), 500, 400),
        "clear.png": (see_through_png(), 200, 64),
        "turned.jpg": (turned_jpeg(6), 100, 300),
    }
    images = {name: content if packed else on_disk(tmp_path, name, content) for name, (content, *_) in contents.items()}
    pictures = Thumbnails(collection_of(tmp_path, images))
    for name, (_, width, height) in contents.items():
        share = min(1.0, size / max(width, height))
        shown = opened(pictures.get(name, size))
        assert max(shown.size) <= size
        assert shown.size == (max(1, round(width * share)), max(1, round(height * share))), name
    red_right = opened(pictures.get("large.png", size))
    assert near(red_right.getpixel((red_right.width - 2, 2)), (255, 4, 40)) and near(red_right.getpixel((2, 2)), (4, 4, 40))
    cmyk = opened(pictures.get("cmyk.jpg", size))
    assert near(cmyk.getpixel((cmyk.width - 3, 3)), (255, 4, 40), 40)
    deep = opened(pictures.get("deep.tif", size))
    assert deep.getpixel((1, 5))[0] < 12 and deep.getpixel((deep.width - 2, 5))[0] > 243  # stretched over what is used
    clear = opened(pictures.get("clear.png", size))
    assert near(clear.getpixel((5, 5)), (255, 0, 0)) and near(clear.getpixel((clear.width - 4, 5)), (255, 255, 255))
    turned = opened(pictures.get("turned.jpg", size))
    assert turned.height == 3 * turned.width or abs(turned.height - 3 * turned.width) <= 2
    assert turned.getpixel((turned.width // 2, turned.height - 4))[0] > 230  # what was right is below
    pictures.close()


def test_only_the_crop_is_shown_upright(tmp_path):
    pixels = np.full((100, 100, 3), 255, np.uint8)
    pixels[20:40, 60:90] = (0, 0, 255)
    content = encoded(pixels, "PNG")
    pictures = Thumbnails(collection_of(tmp_path, {"box": content, "all": content}, crops={"box": (60.0, 20.0, 30.0, 20.0)}))
    shown = opened(pictures.get("box", 128))
    assert shown.size == (30, 20) and near(shown.getpixel((15, 10)), (0, 0, 255))
    assert opened(pictures.get("all", 128)).size == (100, 100)
    full = pictures.full("box").result()
    assert full.kind == "image/jpeg" and opened(b"".join(full.pieces())).size == (30, 20)
    pictures.close()


def test_real_specimens_are_made_once_and_kept(tiny_collection, counted):
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    first = Thumbnails(tiny_collection)
    made = {id_: first.get(id_, 128) for id_ in ids}
    assert sorted(counted) == sorted(ids)
    widths = dict(zip(ids, tiny_collection.table(["width", "height"]).to_pylist()))
    for id_, jpeg in made.items():
        width, height = widths[id_]["width"], widths[id_]["height"]
        share = min(1, 128 / max(width, height))
        assert opened(jpeg).size == (max(1, round(width * share)), max(1, round(height * share)))
    first.close()
    again = Thumbnails(tiny_collection)
    assert {id_: again.get(id_, 128) for id_ in ids} == made
    assert len(counted) == len(ids)
    assert (tiny_collection.path / "thumbnails" / "128.sqlite").is_file()
    again.close()


def test_who_asks_at_the_same_time_waits_for_the_same_work(tmp_path, monkeypatch):
    begun, go, done = threading.Event(), threading.Event(), []

    def make(picture, sizes, real=drawing.make):
        begun.set()
        assert go.wait(30)
        done.append(picture.id)
        return real(picture, sizes)

    monkeypatch.setattr(asking, "make", make)
    pictures = Thumbnails(collection_of(tmp_path, {"a": encoded(ramp(300, 200), "PNG")}))
    futures = [pictures.ask("a", 128)]
    assert begun.wait(30)
    futures += [pictures.ask("a", 128) for _ in range(20)]
    assert not futures[0].cancel()  # one who goes away takes it from nobody
    go.set()
    assert len({future.result(30).jpeg for future in futures}) == 1 and done == ["a"]
    pictures.close()


def test_many_threads_get_what_they_asked_for(tiny_collection, counted):
    pictures = Thumbnails(tiny_collection)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    got: list[dict[str, bytes | None]] = []
    threads = [threading.Thread(target=lambda: got.append({i: pictures.get(i, 384) for i in ids})) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == got[0] for each in got) and sorted(set(counted)) == sorted(ids)
    assert all(got[0].values())
    pictures.close()


def test_two_processes_at_once_end_with_the_same_file(tiny_collection):
    command = [sys.executable, "-m", "biocosmos", "thumbnails", str(tiny_collection.path), "--strict"]
    both = [warm.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    pictures = Thumbnails(tiny_collection)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    assert all(pictures.get(id_, 128) for id_ in ids)
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    found = make_all(tiny_collection)
    assert (found.made, found.there) == (0, 120)
    pictures.close()


def test_a_killed_pass_goes_on_and_what_is_kept_is_whole(tiny_collection, monkeypatch):
    real, calls = drawing.make, []

    def make(picture, sizes):
        calls.append(picture.id)
        if len(calls) > 70:
            raise KeyboardInterrupt
        return real(picture, sizes)

    monkeypatch.setattr("biocosmos.serve.thumbnails.all_of_them.make", make)
    with pytest.raises(KeyboardInterrupt):
        make_all(tiny_collection, threads=1)
    monkeypatch.setattr("biocosmos.serve.thumbnails.all_of_them.make", real)
    found = make_all(tiny_collection)
    assert found.there == 64 and found.made == 56 and not len(found.failures)
    for size in (128, 384):
        with sqlite3.connect(tiny_collection.path / "thumbnails" / f"{size}.sqlite") as kept:
            assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert kept.execute("SELECT count(*) FROM thumbnails WHERE jpeg IS NOT NULL").fetchone() == (120,)


def test_an_image_that_changes_by_an_update_is_made_anew(tmp_path, counted):
    collection = collection_of(tmp_path, {"a": on_disk(tmp_path, "a.png", encoded(ramp(200, 100), "PNG"))})
    pictures = Thumbnails(collection)
    before = pictures.ask("a", 128).result()
    new = on_disk(tmp_path, "b.png", encoded(ramp(60, 90), "PNG"))
    collection.update({"id": ["a"], "image_path": [str(new)]})
    assert opened(pictures.ask("a", 128, before.mark).result().jpeg).size == (128, 64)  # the old address shows what it showed
    after = pictures.ask("a", 128).result()
    assert opened(after.jpeg).size == (60, 90) and after.mark != before.mark
    assert opened(pictures.ask("a", 128, before.mark).result().jpeg).size == (60, 90)  # the row was replaced
    assert counted == ["a", "a"]
    pictures.close()


def test_a_label_that_changes_makes_nothing_anew(tiny_collection, counted):
    pictures = Thumbnails(tiny_collection)
    id_ = tiny_collection.table(["id"])["id"][0].as_py()
    first = pictures.get(id_, 128)
    tiny_collection.update({"id": [id_], "label": ["something else"]})
    assert pictures.get(id_, 128) == first and counted == [id_]
    pictures.close()


def test_a_broken_image_is_remembered_with_its_reason_until_its_file_changes(tmp_path, counted):
    good = encoded(ramp(400, 300), "JPEG", quality=90)
    file = on_disk(tmp_path, "a.jpg", good)
    collection = collection_of(tmp_path, {"a": file, "fine": encoded(ramp(9, 9), "PNG")})
    file.write_bytes(good[: len(good) // 2])
    pictures = Thumbnails(collection)
    assert pictures.get("a", 128) is None and "truncated" in pictures.reason("a")
    pictures.close()
    again = Thumbnails(collection)
    assert again.get("a", 128) is None and "truncated" in again.reason("a") and counted == ["a"]
    found = make_all(collection)
    assert len(found.failures) == 1 and found.made == 1 and "truncated" in found.failures.reasons()[0][0]
    assert make_all(collection).failures.errors == 1
    file.write_bytes(good)
    assert opened(again.get("a", 128)).size == (128, 96)
    with pytest.raises(NoSpecimen):
        again.get("nobody", 128)
    again.close()


def test_a_missing_file_is_not_held_against_the_specimen(tmp_path, counted, monkeypatch):
    file = on_disk(tmp_path, "a.png", encoded(ramp(50, 50), "PNG"))
    collection = collection_of(tmp_path, {"a": file, "none": None})
    away = file.rename(tmp_path / "elsewhere.png")
    pictures = Thumbnails(collection)
    assert pictures.get("a", 128) is None and pictures.reason("a") == "missing file"
    assert counted == ["a"]  # not tried again at once
    assert pictures.get("none", 128) is None and pictures.reason("none") == "no image"
    away.rename(file)
    monkeypatch.setattr(asking, "TRY_AGAIN_SECONDS", 0.0)
    pictures._out_of_reach.clear()
    assert opened(pictures.get("a", 128)).size == (50, 50)
    found = make_all(collection)
    assert (found.made + found.there, found.without) == (1, 1)
    pictures.close()


@pytest.mark.parametrize("id_", ["../../etc/passwd", "a' OR '1'='1", "<script>", "x" * 3000, "é\u202e\n\t", "%00", ";--"])
def test_hostile_ids_are_only_names(tmp_path, id_):
    pictures = Thumbnails(collection_of(tmp_path, {id_: encoded(ramp(20, 10), "PNG"), "b": encoded(ramp(5, 5), "PNG")}))
    assert opened(pictures.get(id_, 128)).size == (20, 10)
    for other in ("' OR 1=1 --", "\0", "b\0", "", "\ud800".encode("utf-8", "replace").decode()):
        with pytest.raises(NoSpecimen):
            pictures.get(other, 128)
    with pytest.raises(BiocosmosError, match="128 or 384"):
        pictures.get(id_, 5000)
    pictures.close()


def test_a_collection_that_may_only_be_read_is_kept_in_the_cache(tiny_collection, tmp_path, monkeypatch, counted):
    brought = Thumbnails(tiny_collection)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    first = brought.get(ids[0], 128)
    brought.close()
    monkeypatch.setattr(places, "_may_write", lambda collection: False)
    pictures = Thumbnails(tiny_collection)
    assert pictures.get(ids[0], 128) == first and pictures.get(ids[1], 128)
    assert counted == ids[:2]
    pictures.close()
    kept = places.cache_folder(tiny_collection.path) / "128.sqlite"
    assert kept.is_file() and kept.is_relative_to(tmp_path / "cache")
    monkeypatch.setenv("BIOCOSMOS_CACHE", "/proc/nowhere")
    nowhere = Thumbnails(tiny_collection)
    assert nowhere.get(ids[2], 128) and counted == ids[:3]
    nowhere.close()


@pytest.mark.parametrize("what", [b"", b"no database at all, but long enough to be one" * 100, None])
def test_a_damaged_file_of_thumbnails_is_begun_anew(tiny_collection, what):
    make_all(tiny_collection)
    file = tiny_collection.path / "thumbnails" / "128.sqlite"
    whole = bytearray(file.read_bytes())
    if what is None:
        whole[9000:] = b"\xee" * (len(whole) - 9000)
        what = bytes(whole)
    file.write_bytes(what)
    pictures = Thumbnails(tiny_collection)
    for id_ in tiny_collection.table(["id"])["id"].to_pylist():
        assert pictures.get(id_, 128)
    pictures.close()
    assert make_all(tiny_collection).failures.errors == 0


def test_what_was_removed_is_forgotten(tiny_collection):
    make_all(tiny_collection)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    tiny_collection.remove(ids[:10])
    found = make_all(tiny_collection)
    assert (found.made, found.there, found.forgotten) == (0, 110, 10)


def test_the_whole_image_is_the_file_where_a_browser_shows_it(tmp_path):
    jpeg = encoded(ramp(300, 200), "JPEG", quality=90)
    images = {
        "jpg": jpeg,
        "file": on_disk(tmp_path, "a.jpg", jpeg),
        "png": encoded(ramp(30, 20), "PNG"),
        "gif": encoded(ramp(30, 20), "GIF"),
        "webp": encoded(ramp(30, 20), "WEBP"),
        "turned": turned_jpeg(6),
    }
    kinds = {"jpg": "jpeg", "file": "jpeg", "turned": "jpeg"}
    pictures = Thumbnails(collection_of(tmp_path, images))
    for id_, content in images.items():
        full = pictures.full(id_).result()
        assert full.kind == f"image/{kinds.get(id_, id_)}"
        content = content.read_bytes() if isinstance(content, Path) else content
        assert full.size == len(content) and b"".join(full.pieces()) == content
    pictures.close()


def test_the_whole_image_is_converted_where_no_browser_shows_it_as_it_is(tmp_path):
    exif_png = Path(tmp_path / "turned.png")
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp(60, 20)).save(exif_png, exif=exif)
    deep = Image.fromarray(ramp(40, 30)[:, :, 0].astype(np.uint16) * 16)
    deep.save(tmp_path / "deep.png")
    images = {
        "tiff": (deep_tiff(), (500, 400)),
        "cmyk": (cmyk_jpeg(), (200, 150)),
        "large": (encoded(ramp(6000, 300), "TIFF"), (4096, 205)),
        "bmp": (encoded(ramp(30, 20), "BMP"), (30, 20)),
        "turned": (exif_png.read_bytes(), (20, 60)),
        "deep": ((tmp_path / "deep.png").read_bytes(), (40, 30)),
    }
    pictures = Thumbnails(collection_of(tmp_path, {id_: content for id_, (content, _) in images.items()}))
    for id_, (_, size) in images.items():
        full = pictures.full(id_).result()
        assert full.kind == "image/jpeg" and opened(b"".join(full.pieces())).size == size, id_
    pictures.close()


def test_the_whole_image_of_what_cannot_be_shown_says_why(tmp_path):
    file = on_disk(tmp_path, "a.png", encoded(ramp(50, 50), "PNG"))
    pictures = Thumbnails(collection_of(tmp_path, {"a": file, "none": None}))
    file.write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(ImageError, match="SVG"):
        pictures.full("a").result()
    file.unlink()
    with pytest.raises(ImageError, match="missing file"):
        pictures.full("a").result()
    with pytest.raises(ImageError, match="no image"):
        pictures.full("none").result()
    with pytest.raises(NoSpecimen):
        pictures.full("nobody").result()
    pictures.close()


def test_marks_tell_content_and_crop_apart():
    marks = {mark_of("a", None), mark_of("b", None), mark_of("a", (0, 0, 1, 1)), mark_of("a", (0, 0, 1, 2)), mark_of(None, None)}
    assert len(marks) == 5 and all(mark.replace("-", "").isalnum() for mark in marks)


def test_a_wrong_position_costs_a_search_and_shows_the_right_picture(tmp_path):
    images = {f"i{n}": encoded(ramp(10 + n, 10), "PNG") for n in range(6)}
    collection = collection_of(tmp_path, images)
    for find in (lambda id_: 0, lambda id_: -1, lambda id_: 10**6):
        pictures = Thumbnails(collection, find)
        assert [opened(pictures.get(id_, 128)).width for id_ in images] == [10, 11, 12, 13, 14, 15]
        pictures.close()


def test_nothing_is_left_to_wait_for_when_it_is_closed(tiny_collection):
    pictures = Thumbnails(tiny_collection)
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    futures = [pictures.ask(id_, 384) for id_ in ids]
    pictures.close()
    for future in futures:
        assert future.done()
    with pytest.raises(BiocosmosError, match="stopping"):
        pictures.get(ids[0], 128)


def test_a_specimen_is_there_only_if_the_collection_says_so(tiny_collection):
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    pictures = Thumbnails(tiny_collection)
    mark = pictures.ask(ids[0], 128).result().mark
    tiny_collection.remove([ids[0]])
    after = Thumbnails(bc.Collection.open(tiny_collection.path), lambda id_: -1)
    with pytest.raises(NoSpecimen):
        after.ask(ids[0], 128, mark).result()
    pictures.close()
    after.close()


KEEPER = """
import sys
from pathlib import Path
from biocosmos.serve.thumbnails.store import Kept, Store
store = Store(Path(sys.argv[1]))
for number in range(10**9):
    assert store.keep([Kept(f"{number}-{part}", "mark", bytes([number % 256]) * 3000) for part in range(3)])
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_kept(tmp_path):
    file = tmp_path / "128.sqlite"
    process = warm.Popen([sys.executable, "-c", KEEPER, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(40):
        last = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().split()
    process.wait()
    last = int(rest[-1]) if rest and rest[-1].isdigit() and len(rest) > 1 else last
    store = Store(file)
    for number in range(last):
        for part in range(3):
            found = store.find(f"{number}-{part}")
            assert found is not None and found.jpeg == bytes([number % 256]) * 3000
    assert store.keep([Kept("after", "mark", b"x")]) and store.find("after") is not None
    store.close()
    with sqlite3.connect(file) as kept:
        assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)
