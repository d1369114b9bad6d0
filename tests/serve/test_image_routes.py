"""Pictures over HTTP: what they are, how long they are kept, and what stands where there is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from pictured import collection_of, deep_tiff, encoded, on_disk, opened, ramp
from PIL import Image

from biocosmos.barcodes.stripes import stripes, stripes_mark
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.thumbnails import Thumbnails

TOKEN = "a-token-of-the-tests"
JPEG = encoded(ramp(300, 200), "JPEG", quality=90)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Any]:
    monkeypatch.setenv("BIOCOSMOS_CACHE", str(tmp_path / "cache"))
    broken = on_disk(tmp_path, "broken.jpg", JPEG)
    lie = on_disk(tmp_path, "lie.png", encoded(ramp(20, 20), "PNG"))
    images = {"a": JPEG, "deep": deep_tiff(), "broken": broken, "lie": lie, "none": None, "a&b='<x>\"": JPEG}
    collection = collection_of(tmp_path, images)
    broken.write_bytes(JPEG[:3000])
    lie.write_bytes(b"<html><script>alert(1)</script>")
    desk = SimpleNamespace(collection=collection, thumbnails=Thumbnails(collection))
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    app = make_app(desk, access)  # type: ignore[arg-type]
    yield TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {TOKEN}"})
    desk.thumbnails.close()


def ask(site, path, **parameters):
    headers = parameters.pop("headers", {})
    return site.get(f"/image/{path}?{urlencode(parameters)}", headers=headers)


def test_a_thumbnail_is_kept_by_the_browser_for_good_where_its_mark_is_right(site):
    first = ask(site, "thumb", id="a")
    assert first.status_code == 200 and first.headers["content-type"] == "image/jpeg"
    assert opened(first.content).size == (128, 85)
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    mark = tag.strip('"').rpartition("-")[0]
    for_good = ask(site, "thumb", id="a", v=mark)
    assert for_good.headers["cache-control"] == "private, max-age=31536000, immutable" and for_good.content == first.content
    assert ask(site, "thumb", id="a", v="old").headers["cache-control"] == "private, no-cache"
    same = ask(site, "thumb", id="a", headers={"If-None-Match": f'W/{tag}, "x"'})
    assert same.status_code == 304 and not same.content and same.headers["etag"] == tag
    larger = ask(site, "thumb", id="a", size=384)
    assert opened(larger.content).size == (300, 200) and larger.headers["etag"] != tag
    assert ask(site, "thumb", id="a", size=384, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("path", ["thumb", "full"])
@pytest.mark.parametrize("id_", ["broken", "lie", "none"])
def test_what_cannot_be_shown_is_a_drawing(site, path, id_):
    if (path, id_) == ("full", "broken"):
        assert ask(site, path, id=id_).content == JPEG[:3000]  # browsers show what there is of it
        return
    if (path, id_) == ("thumb", "none"):  # it has a barcode, which is drawn below
        return
    found = ask(site, path, id=id_)
    assert found.status_code == 200 and found.headers["content-type"] == "image/svg+xml"
    assert found.headers["cache-control"] == "private, no-cache" and b"<svg" in found.content
    assert b"script" not in found.content and (b"no image" in found.content) == (id_ == "none")


def drawn(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGBA")


def test_a_specimen_without_an_image_is_shown_by_its_barcode(site):
    first = ask(site, "thumb", id="none")
    assert first.headers["content-type"] == "image/png" and first.headers["cache-control"] == "private, no-cache"
    picture = drawn(first.content)
    assert picture.size == (128, 128) and drawn(ask(site, "thumb", id="none", size=384).content).size == (384, 384)
    colours = [picture.getpixel((9 + place, 54)) for place in (0, 1, 2, 3)] + [picture.getpixel((9 + 10, 73))]  # 110 bases a line
    assert colours == [(0, 158, 115, 255), (0, 114, 178, 255), (230, 159, 0, 255), (213, 94, 0, 255), (0, 0, 0, 0)]  # A C G T
    mark = stripes_mark("ACGT" * 30)
    for_good = ask(site, "thumb", id="none", v=mark)
    assert for_good.headers["cache-control"] == "private, max-age=31536000, immutable" and for_good.content == first.content
    assert ask(site, "thumb", id="none", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert ask(site, "thumb", id="a", v=mark).headers["content-type"] == "image/jpeg"  # an image was added since


def test_a_long_barcode_is_cut_and_letters_that_are_none_are_grey():
    line, whole = drawn(stripes("N" * 110)), drawn(stripes("T" * 5000))
    assert line.getpixel((118, 64)) == (154, 154, 154, 255) and line.getpixel((119, 64))[3] == 0
    tall = [whole.getpixel((64, y))[3] > 0 for y in range(128)]
    assert sum(tall) == 6 * 13 and not tall[0] and not tall[-1]


def test_the_whole_image_has_the_kind_of_its_content_and_is_never_sniffed(site):
    found = ask(site, "full", id="a")
    assert found.content == JPEG and found.headers["content-type"] == "image/jpeg"
    assert found.headers["x-content-type-options"] == "nosniff" and int(found.headers["content-length"]) == len(JPEG)
    assert "default-src 'self'" in found.headers["content-security-policy"]
    deep = ask(site, "full", id="deep")
    assert deep.headers["content-type"] == "image/jpeg" and opened(deep.content).size == (500, 400)
    again = ask(site, "full", id="deep", headers={"If-None-Match": deep.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_hostile_questions(site):
    assert opened(ask(site, "thumb", id="a&b='<x>\"").content).size == (128, 85)
    for id_ in ("../../../etc/passwd", "nobody", "", "\0", "' OR 1=1 --", "http://169.254.169.254/"):
        for path in ("thumb", "full"):
            found = ask(site, path, id=id_)
            assert found.status_code == 404, (path, id_)
            assert "Traceback" not in found.text
    assert ask(site, "thumb", id="a", size=100_000).status_code == 400
    assert ask(site, "thumb", id="a", size="x").status_code in (400, 422)
    assert ask(site, "thumb").status_code in (400, 422)
    assert ask(site, "thumb", id="a", v='"><script>').headers["cache-control"] == "private, no-cache"


def test_nobody_sees_a_picture_without_the_token(site):
    for path in ("thumb", "full"):
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong-wrong-wrong"}):
            found = site.get(f"/image/{path}?id=a", headers=headers, follow_redirects=False)
            assert found.status_code in (303, 401, 403), found.status_code
            assert JPEG[:100] not in found.content
