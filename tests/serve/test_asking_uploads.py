"""What strangers send: what is no image is a row with its reason or refused in one line; nothing is left behind."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from asked import huge_png, left_behind, png, zipped

from biocosmos.errors import BiocosmosError
from biocosmos.serve.asking import limits
from biocosmos.serve.asking.uploads import Uploads


class Sent:
    def __init__(self, filename: str | None, content: bytes) -> None:
        self.filename, self.file = filename, io.BytesIO(content)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def taken(*files: tuple[str | None, bytes], **how: Any) -> tuple[list[str], dict[str, str]]:
    with Uploads.of([Sent(*each) for each in files], **how) as uploads:
        assert all(image.path.parent.parent == Path(tempfile.gettempdir()) for image in uploads.images)
        return [image.name for image in uploads.images], dict(uploads.refused)


def test_images_keep_their_names_to_be_read_and_nothing_else(temporary: Path) -> None:
    names = [
        "a.png",
        "../../etc/passwd",
        "<script>alert(1)</script>.png",
        "C:\\x\\y.png",
        "a.png",
        None,
        "",
        "line\nbreak",
        "x" * 999,
    ]
    found, refused = taken(*((name, png()) for name in names))
    assert found == [*names[:5], "image", "image", "line\\nbreak", "x" * 200] and not refused
    assert not left_behind(temporary)
    with Uploads.of([Sent(name, png()) for name in names]) as uploads:
        files = uploads.file_names()
        assert len(set(files)) == len(files) and all("/" not in name and ".." not in name for name in files)
        assert files[1] == "00002-passwd.png"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "zero bytes"),
        (b"id,label\n1,a\n", "not an image: a text file"),
        (png()[:30], "truncated image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ""),
        (huge_png(), "image too large"),
        (huge_png(12_000), "at most 100,000,000 are looked at"),
        (b"%PDF-1.7", "not an image"),
        (b"PK\x03\x04", "a zip that is not whole"),
        (b"PK\x05\x06" + bytes(18), "an empty zip"),
        (zipped({}), "an empty zip"),
        (zipped({"folder/": b""}), "an empty zip"),
    ],
)
def test_what_is_no_image_is_a_row_with_its_reason(temporary: Path, content: bytes, says: str) -> None:
    found, refused = taken(("good.png", png()), ("bad", content), ("also good.jpg", png(kind="JPEG")))
    assert found == ["good.png", "also good.jpg"] and list(refused) == ["bad"] and says in refused["bad"]
    assert not left_behind(temporary)


def test_images_of_a_zip_are_taken_and_the_rest_is_told(temporary: Path) -> None:
    content = zipped(
        {
            "day 1/a.png": png(),
            "../../b.png": png(),
            "/etc/c.png": png(),
            "C:/d.png": png(),
            "back\\..\\slash.png": png(),
            "readme.txt": b"read me",
            "inner.zip": zipped({"e.png": png()}),
            "bomb.png": bytes(30 * limits.MB),
            "__MACOSX/._a.png": b"x",
            ".DS_Store": b"x",
            "<b>.png": png(kind="JPEG"),
        }
    )
    found, refused = taken(("s.zip", content))
    assert found == ["s.zip/day 1/a.png", "s.zip/<b>.png"]
    out = "its path leads out of the zip"
    assert {name.removeprefix("s.zip/"): reason.split(":")[0] for name, reason in refused.items()} == {
        "../../b.png": out,
        "/etc/c.png": out,
        "C:/d.png": out,
        "back/../slash.png" if "s.zip/back/../slash.png" in refused else "back\\..\\slash.png": out,
        "readme.txt": "not an image",
        "inner.zip": "a zip within a zip",
        "bomb.png": "a zip bomb",
    }
    assert not left_behind(temporary)


def test_zips_that_lie_are_refused(temporary: Path) -> None:
    good = zipped({"a.png": png()}, zipfile.ZIP_STORED)
    encrypted = bytearray(good)
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in taken(("z", bytes(encrypted)))[1]["z/a.png"]
    linked = zipfile.ZipInfo("link.png")
    linked.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(linked, "/etc/passwd")
    assert "a link" in taken(("z", out.getvalue()))[1]["z/link.png"]
    assert "packed in a way" in taken(("z", zipped({"a.png": png()}, zipfile.ZIP_LZMA)))[1]["z/a.png"]
    assert "packed in a way" in taken(("z", zipped({"a.png": png()}, zipfile.ZIP_BZIP2)))[1]["z/a.png"]
    damaged = bytearray(good)
    damaged[60] ^= 255
    assert "damaged in the zip" in taken(("z", bytes(damaged)))[1]["z/a.png"]
    many = bytearray(good)
    at = many.rindex(b"PK\x05\x06")
    many[at + 10 : at + 12] = struct.pack("<H", 60_000)
    assert "too many entries" in taken(("z", bytes(many)))[1]["z"]
    large = bytearray(good)
    large[at + 12 : at + 16] = struct.pack("<L", 1 << 30)
    assert "too many entries" in taken(("z", bytes(large)))[1]["z"]
    # the same through the record that zips of more than 4 GB have
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 40, 0)
    wide = good[:at] + record + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) + good[at:]
    assert "too many entries" in taken(("z", wide))[1]["z"]
    assert not left_behind(temporary)


def test_a_bomb_of_overlapping_or_many_entries_stops_at_the_limit(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOAD_BYTES", 3 * limits.MB)
    photo = png() + bytes(900_000)
    with pytest.raises(BiocosmosError, match="more than 3 MB at once"):
        taken(("z.zip", zipped({f"{i}.png": photo + bytes([i]) for i in range(8)}, zipfile.ZIP_STORED)))
    with pytest.raises(BiocosmosError, match="more than 3 MB at once"):
        taken(*((f"{i}.png", photo) for i in range(8)))
    assert not left_behind(temporary)


def test_too_many_files_are_refused_whole(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BiocosmosError, match="more than 2,000 files at once"):
        taken(("z.zip", zipped({f"{i}.png": b"x" for i in range(5000)})))
    monkeypatch.setattr(limits, "IMAGE_BYTES", 1000)
    found, refused = taken(("large.png", png() + bytes(2000)), ("small.png", png()), most=2)
    assert found == ["small.png"] and "an image may have" in refused["large.png"]
    assert not left_behind(temporary)
