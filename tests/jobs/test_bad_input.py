"""Every bad thing that real specimens come with: a row in the failures table each, the rest goes in, nothing stored is harmed."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import Failures
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import read

NOISE = np.random.default_rng(0)


def noise(mode: str = "RGB", size: tuple[int, int] = (48, 36)) -> Image.Image:
    return Image.fromarray(NOISE.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)  # type: ignore[arg-type]
    return out.getvalue()


def truncated() -> bytes:
    return saved(noise(size=(200, 200)), "JPEG")[:6000]


def sixteen_bit() -> bytes:
    return saved(Image.fromarray(NOISE.integers(0, 65536, (36, 48), dtype=np.uint16)), "PNG")


def seen_through() -> Image.Image:
    image = noise("RGBA")
    image.putalpha(noise("L"))
    return image


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(noise(), "JPEG", exif=exif)


def two_gigapixels() -> bytes:
    """A PNG whose header says 50,000 x 40,000, with next to nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


UNUSABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated.jpg": (truncated, "truncated"),
    "empty.jpg": (lambda: b"", "zero bytes"),
    "text.jpg": (lambda: b"This is a letter, not a picture.\n" * 20, "text"),
    "web page.jpg": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", ""),
    "huge.png": (two_gigapixels, "too large"),
    "garbage.tif": (lambda: random.Random(1).randbytes(4000), ""),
    "cut header.png": (lambda: saved(noise(), "PNG")[:20], ""),
}
CONVERTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "sixteen.png": (sixteen_bit, "16-bit"),
    "cmyk.jpg": (lambda: saved(noise("CMYK"), "JPEG"), "CMYK"),
    "palette.png": (lambda: saved(noise("P"), "PNG"), "palette"),
    "alpha.png": (lambda: saved(seen_through(), "PNG"), "alpha"),
    "rotated.jpg": (rotated, "EXIF"),
}


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for i in range(3):
        (folder / "copepod").mkdir(parents=True, exist_ok=True)
        (folder / "copepod" / f"good {i}.jpg").write_bytes(saved(noise(), "JPEG"))
    for name, (make, _) in (UNUSABLE | CONVERTED).items():
        (folder / "krill").mkdir(exist_ok=True)
        (folder / "krill" / name).write_bytes(make())
    (folder / "krill" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    return folder


def test_a_folder_with_everything_bad_in_it(bad_folder: Path, tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "x.cosmos")
    summary = collection.add(read(bad_folder))
    by_id = {failure.id: failure for failure in summary.failures}
    for name, (_, word) in UNUSABLE.items():
        failure = by_id[f"krill/{name}"]
        assert failure.severity == "error" and word.lower() in failure.reason.lower(), (name, failure.reason)
        assert "\n" not in failure.reason and len(failure.reason) < 200, name
    for name, (_, word) in CONVERTED.items():
        failure = by_id[f"krill/{name}"]
        assert failure.severity == "warning" and word.lower() in failure.reason.lower(), (name, failure.reason)
    gone = next(failure for failure in summary.failures if str(failure.source).endswith("krill/gone.jpg"))
    assert (gone.severity, gone.reason) == ("error", "missing file: a link that leads nowhere")
    assert summary.refused == len(UNUSABLE) + 1
    stored = set(collection.table(["id"])["id"].to_pylist())
    assert stored == {f"copepod/good {i}.jpg" for i in range(3)} | {f"krill/{name}" for name in CONVERTED}
    assert collection.failures.num_rows == len(summary.failures)


@pytest.mark.parametrize("pack", [False, True])
def test_what_was_stored_before_is_not_harmed(bad_folder: Path, tmp_path: Path, pack: bool) -> None:
    good = tmp_path / "first"
    good.mkdir()
    for i in range(4):
        (good / f"{i}.png").write_bytes(saved(noise(), "PNG"))
    collection = Collection.create(tmp_path / "x.cosmos")
    collection.add(read(good), pack=pack)
    columns = ["id", "image_path", "image", "content_hash", "width", "height"]
    before = collection.table(columns).to_pylist()
    collection.add(read(bad_folder), pack=pack)
    assert collection.table(columns).to_pylist()[: len(before)] == before
    again = Collection.open(tmp_path / "x.cosmos")
    assert len(again) == 4 + 3 + len(CONVERTED)


def test_the_same_images_packed_in_a_table_fare_the_same(bad_folder: Path, tmp_path: Path) -> None:
    files = sorted(path for path in bad_folder.rglob("*") if path.is_file())
    rows = "".join(f'"{path.relative_to(bad_folder).as_posix()}",krill\n' for path in files)
    (bad_folder / "labels.csv").write_text(f"file,label\n{rows}never/was/there.jpg,krill\n")
    collection = Collection.create(tmp_path / "x.cosmos")
    summary = collection.add(read(bad_folder / "labels.csv"))
    assert summary.added == 3 + len(CONVERTED)
    assert summary.refused == len(UNUSABLE) + 1
    assert {f.id: f.reason for f in summary.failures}["never/was/there.jpg"] == "missing file"


def test_bad_rows_of_a_table(tmp_path: Path) -> None:
    for name in "abcdefg":
        (tmp_path / f"{name}.png").write_bytes(saved(noise(), "PNG"))
    lines = [
        "id,file,scientific_name,lat",
        "1,a.png,Pica hudsonia,45",
        "2,b.png,,45",
        "3,c.png,black-billed magpie,45",
        "4,d.png,Pica pica",
        "5,e.png,Pica pica,45,extra",
        "1,f.png,Pica pica,45",
        "7,g.png,Mülleria sp.,north",
        ",,Pica pica,45",
    ]
    (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("latin-1"))
    collection = Collection.create(tmp_path / "x.cosmos")
    summary = collection.add(read(tmp_path / "t.csv"))
    assert collection.table(["id"])["id"].to_pylist() == ["1", "2", "3", "7"]
    said = [(f.severity, f.row, f.id, f.reason) for f in summary.failures]

    def has(severity: str, row: int | None, words: str) -> bool:
        return any(s == severity and r == row and words in reason for s, r, _, reason in said)

    assert has("warning", None, "read as Windows-1252")
    assert has("warning", 2, "no label")
    assert has("warning", 3, "not a Latin binomial")
    assert has("error", 4, "3 fields where the header has 4")
    assert has("error", 5, "5 fields where the header has 4")
    assert any(s == "error" and id == "1" and "duplicate id" in reason for s, _, id, reason in said)
    assert has("warning", 7, "latitude 'north'")
    assert has("error", 8, "no image")
    assert summary.refused == 4
    assert collection.table(["genus"])["genus"].to_pylist() == ["Pica", None, None, "Mülleria"]


def test_zips_with_paths_outside_never_write_there(tmp_path: Path) -> None:
    table = "img_file_name\tobject_id\nok.png\to1\n../../evil.png\to2\n"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("ecotaxa_x.tsv", table)
        archive.writestr("ok.png", saved(noise(), "PNG"))
        archive.writestr("bad.png", b"")
        for name in ("../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png"):
            archive.writestr(name, saved(noise(), "PNG"))
    collection = Collection.create(tmp_path / "deep" / "x.cosmos")
    summary = collection.add(read(tmp_path / "x.zip"))
    assert collection.table(["id"])["id"].to_pylist() == ["o1"]
    assert sum("outside the archive" in f.reason for f in summary.failures) == 5
    assert not list(tmp_path.rglob("evil*")) and not (tmp_path.parent / "evil.png").exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecotaxa_x.tsv", "img_file_name\tobject_id\nbomb.png\to1\nok.png\to2\n")
        archive.writestr("bomb.png", bytes(64 << 20))
        archive.writestr("ok.png", saved(noise(), "PNG"))
    failures = Failures()
    source = read(tmp_path / "x.zip", failures=failures, max_image_bytes=16 << 20)
    collection = Collection.create(tmp_path / "x.cosmos")
    collection.add(source)
    assert collection.table(["id"])["id"].to_pylist() == ["o2"]
    assert [f.reason for f in failures if f.id == "o1"] == [
        "bomb.png: 67,108,864 bytes once unpacked, more than the limit of 16,777,216: refused"
    ]
