"""One file of every kind that breaks image pipelines."""

import io
import os
import struct
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import Failures, ImageError
from biocosmos.files import image_files
from biocosmos.images import (
    check_image,
    file_bytes,
    image_size,
    inspect_image,
    kinds,
    oriented,
    read_image,
    upright_crop,
)


def picture(height=60, width=80, seed=0):
    """A smooth colour picture, so that JPEG changes it little."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image, format, **options):
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, format, **options)
    return out.getvalue()


def error(source, **options):
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "PPM"])
def test_lossless_colour_comes_back_exactly_from_bytes_and_from_a_path(format, tmp_path):
    data = encoded(picture(), format)
    (tmp_path / "x").write_bytes(data)
    for source in (data, tmp_path / "x", str(tmp_path / "x")):
        decoded = read_image(source)
        assert decoded.notes == ()
        assert decoded.pixels.flags["C_CONTIGUOUS"] and decoded.pixels.dtype == np.uint8
        np.testing.assert_array_equal(decoded.pixels, picture())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_equals_pillows_decoding(options):
    data = encoded(picture(), "JPEG", quality=92, **options)
    mine = read_image(data)
    assert mine.notes == ()
    assert np.abs(mine.pixels.astype(int) - np.asarray(Image.open(io.BytesIO(data)))).max() <= 2


def test_grey_jpeg_becomes_three_equal_channels():
    grey = np.asarray(Image.fromarray(picture()).convert("L"))
    pixels = read_image(encoded(grey, "JPEG")).pixels
    assert pixels.shape == (60, 80, 3)
    assert (pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 0] == pixels[:, :, 2]).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95, -3])
def test_truncated_jpeg_is_refused_wherever_it_is_cut(keep, progressive):
    data = encoded(picture(300, 400), "JPEG", progressive=progressive)
    cut = data[: int(keep * len(data)) if keep > 0 else keep]
    assert "truncated" in error(cut)
    assert "truncated" in error(cut, short_side=20)


def test_jpeg_cut_and_closed_again_is_refused():
    data = encoded(picture(300, 400), "JPEG")
    assert "damaged JPEG" in error(data[: len(data) // 2] + b"\xff\xd9")


def test_jpeg_with_junk_after_its_end_is_read():
    assert read_image(encoded(picture(), "JPEG") + b"\0" * 500).notes == ()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_other_truncated_formats_are_refused_even_if_another_library_allows_them(format, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    data = encoded(np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8), format)
    error(data[: len(data) // 2])


def test_files_that_are_no_images_say_what_they_are(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("id,label\n1,Copepode à crête\n" * 40, encoding="utf-8")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert error(text) == error(text.read_bytes()) == "not an image: a text file"
    assert error(empty) == error(b"") == "zero bytes"
    assert error(tmp_path / "gone.jpg") == "missing file"
    assert "folder" in error(tmp_path)
    assert "HTML" in error(b"<!DOCTYPE html><html>404</html>")
    assert "unknown format" in error(bytes(range(256)))
    assert "truncated" in error(encoded(picture(), "JPEG")[:3])
    for source in (text, empty, tmp_path / "gone.jpg"):
        with pytest.raises(ImageError):
            inspect_image(source)
        with pytest.raises(ImageError):
            check_image(source)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_stretched_over_its_own_range(format):
    # A 12-bit camera: values 100..4000 in 16 bits.
    deep = np.linspace(100, 4000, 60 * 80).reshape(60, 80).astype(np.uint16)
    decoded = read_image(encoded(Image.fromarray(deep), format))
    assert decoded.notes == ("16-bit grey scaled from 100..4000 to 8 bits",)
    expected = np.rint((deep.astype(float) - 100) / 3900 * 255)
    assert np.abs(decoded.pixels[:, :, 1] - expected).max() <= 1


def test_sixteen_bit_grey_of_one_value_and_floating_point():
    flat = read_image(encoded(Image.fromarray(np.full((9, 9), 700, np.uint16)), "PNG"))
    assert (flat.pixels == 128).all() and "one value" in flat.notes[0]
    values = np.linspace(-1, 1, 81, dtype=np.float32).reshape(9, 9)
    values[0, 0] = np.nan
    real = read_image(encoded(Image.fromarray(values), "TIFF"))
    assert real.pixels.min() == 0 and real.pixels.max() == 255 and "floating-point" in real.notes[0]


def test_sixteen_bit_colour_png_is_noted():
    colour = (picture(6, 7).astype(">u2") * 257).tobytes()
    rows = b"".join(b"\0" + colour[i * 42 : (i + 1) * 42] for i in range(6))
    data = png(7, 6, 16, 2, zlib.compress(rows))
    decoded = read_image(data)
    assert decoded.notes == ("16-bit colour reduced to 8 bits",)
    np.testing.assert_array_equal(decoded.pixels, picture(6, 7))


def test_cmyk_jpeg_with_and_without_adobes_marker():
    adobe = encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)
    decoded = read_image(adobe)
    assert decoded.notes == ("CMYK converted to RGB",)
    assert np.abs(decoded.pixels.astype(int) - picture()).mean() < 4
    # Written the other way round and without the marker, it is the same picture.
    inverted = Image.fromarray(255 - np.asarray(Image.fromarray(picture()).convert("CMYK")), mode="CMYK")
    data = encoded(inverted, "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    plain = data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]
    assert np.abs(read_image(plain).pixels.astype(int) - picture()).mean() < 4


def test_cmyk_tiff():
    decoded = read_image(encoded(Image.fromarray(picture()).convert("CMYK"), "TIFF"))
    assert decoded.notes == ("CMYK converted to RGB",)
    np.testing.assert_array_equal(decoded.pixels, picture())


def test_palette_and_one_bit_images():
    palette = Image.fromarray(picture()).convert("P")
    decoded = read_image(encoded(palette, "PNG"))
    assert decoded.notes == ("palette converted to RGB",)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(palette.convert("RGB")))
    bits = read_image(encoded(Image.fromarray(picture()).convert("1"), "PNG"))
    assert set(np.unique(bits.pixels)) == {0, 255} and "1-bit" in bits.notes[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_flattened_on_white(mode):
    layer = Image.fromarray(picture()).convert(mode)
    layer.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 80).astype(np.uint8), (60, 1))))
    decoded = read_image(encoded(layer, "PNG"))
    assert decoded.notes == ("alpha flattened on white",)
    colour = np.asarray(layer.convert("RGB")).astype(float)
    alpha = np.asarray(layer)[:, :, -1:] / 255
    assert np.abs(decoded.pixels - (colour * alpha + 255 * (1 - alpha))).max() <= 1
    assert (decoded.pixels[:, 0] == 255).all()


def test_opaque_alpha_needs_no_note_and_transparent_palette_is_flattened():
    assert read_image(encoded(Image.fromarray(picture()).convert("RGBA"), "PNG")).notes == ()
    palette = Image.fromarray(picture()).convert("P")
    palette.info["transparency"] = int(np.asarray(palette)[0, 0])
    decoded = read_image(encoded(palette, "PNG", transparency=palette.info["transparency"]))
    assert decoded.notes == ("palette converted to RGB", "alpha flattened on white")
    assert (decoded.pixels[0, 0] == 255).all()


def test_animated_gif_gives_its_first_frame():
    frames = [Image.fromarray(picture(seed=seed)).convert("P") for seed in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    decoded = read_image(data)
    assert "first frame of several" in decoded.notes
    np.testing.assert_array_equal(decoded.pixels, np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(format, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), format, exif=exif, **({"quality": 95} if format == "JPEG" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    decoded = read_image(data)
    assert decoded.pixels.shape == upright.shape
    assert np.abs(decoded.pixels.astype(int) - upright).max() <= 2
    assert decoded.notes == (() if orientation == 1 else ("EXIF rotation applied",))
    assert decoded.pixels.flags["C_CONTIGUOUS"]


def test_damaged_exif_does_not_cost_the_image():
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 40)
    assert read_image(data).pixels.shape == (60, 80, 3)


def png(width, height, bits, colour, data=b""):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [13_378, 45_000])  # just over the limit, and two gigapixels
def test_gigapixel_headers_are_refused_without_memory(side):
    jpeg = encoded(picture(), "JPEG")
    at = jpeg.index(b"\xff\xc0")
    jpeg = jpeg[: at + 5] + struct.pack(">HH", side, side) + jpeg[at + 9 :]
    for data in (png(side, side, 8, 2, b"x"), jpeg):
        tracemalloc.start()
        assert "image too large" in error(data)
        with pytest.raises(ImageError, match="image too large"):
            inspect_image(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


def test_inspect_reads_the_header_alone():
    data = encoded(picture(300, 400), "JPEG")
    info = inspect_image(data[:2000])
    assert (info.format, info.width, info.height, info.mode) == ("JPEG", 400, 300, "RGB")


def test_crop_is_in_upright_pixels_and_clipped():
    data = encoded(picture(), "PNG")
    np.testing.assert_array_equal(read_image(data, crop=(10, 20, 30, 15)).pixels, picture()[20:35, 10:40])
    np.testing.assert_array_equal(read_image(data, crop=(-5, 50, 30, 100)).pixels, picture()[50:, :25])
    assert read_image(data, crop=(10.2, 10.2, 0.3, 0.3)).pixels.shape == (1, 1, 3)
    assert "outside" in error(data, crop=(80, 0, 10, 10))
    assert "outside" in error(data, crop=(-50, -50, 5, 5)) and "outside" in error(data, crop=(0, -9, 10, 9))
    assert "without area" in error(data, crop=(0, 0, 0, 10))
    assert "without area" in error(data, crop=(0, 0, float("nan"), 10))


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ({"short_side": 200}, (301, 403, 3)),
        ({"short_side": 150}, (151, 202, 3)),
        ({"short_side": 75}, (76, 101, 3)),
        ({"short_side": 10}, (38, 51, 3)),
        ({"long_side": 200}, (151, 202, 3)),
        ({"short_side": 200, "long_side": 50}, (301, 403, 3)),
    ],
)
def test_large_jpegs_are_decoded_smaller_but_never_below_the_wanted_side(wanted, shape):
    data = encoded(picture(301, 403), "JPEG", quality=95)
    small = read_image(data, **wanted).pixels
    assert small.shape == shape
    box = np.asarray(Image.fromarray(picture(301, 403)).resize((shape[1], shape[0]), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - box).mean() < 4


def test_many_threads_get_what_one_gets(tmp_path):
    sources = []
    for seed in range(24):
        path = Path(tmp_path / f"{seed}.jpg")
        path.write_bytes(encoded(picture(seed=seed), ["JPEG", "PNG", "TIFF"][seed % 3]))
        sources.append(path)
    alone = [read_image(source).pixels for source in sources]
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        return [read_image(source).pixels for source in sources]

    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(work, range(8)):
            for mine, expected in zip(result, alone, strict=True):
                np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_that_of_the_upright_image_whatever_the_format(format, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(60, 80), format, exif=exif.tobytes() if format != "TIFF" else exif)
    (tmp_path / "x").write_bytes(data)
    upright = (80, 60) if orientation in (6, 8) else (60, 80)
    for source in (data, tmp_path / "x"):
        decoded = read_image(source, short_side=8)
        assert decoded.size == image_size(source) == upright
        assert read_image(source).pixels.shape[:2] == upright
        crop = (10.0, -5.0, 30.6, 20.0)
        cut = read_image(source, crop=crop)
        assert cut.size == image_size(source, crop) == cut.pixels.shape[:2] == (15, 31)
    with pytest.raises(ImageError, match="lies outside"):
        image_size(data, (500.0, 500.0, 5.0, 5.0))


def test_orientation_after_the_pixels_of_a_png_counts_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = encoded(picture(60, 80), "PNG")
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    end = plain.rindex(b"IEND") - 4
    late = plain[:end] + chunk + plain[end:]
    assert image_size(late) == read_image(late).size == read_image(late).pixels.shape[:2] == (80, 60)
    assert image_size(plain) == (60, 80)


def test_a_heif_photograph_is_read_with_pillow_heif_and_explained_without(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(60, 80), "HEIF", quality=95)
    (tmp_path / "IMG_1.HEIC").write_bytes(data)
    decoded = read_image(tmp_path / "IMG_1.HEIC")
    assert np.abs(decoded.pixels.astype(int) - picture(60, 80)).mean() < 5
    assert image_files([tmp_path], Failures()) == [tmp_path / "IMG_1.HEIC"]
    monkeypatch.setattr(kinds, "can_read_heif", lambda: False)
    assert "pip install 'biocosmos[heif]'" in error(data)
    assert error(data[:200] + bytes(100))


# ---------------------------------------------------------------- more than 8 bits a sample


def png16(samples, colour):
    """A PNG of 16 bits a sample from (height, width, bands)."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + samples[y].astype(">u2").tobytes() for y in range(height))
    return png(width, height, 16, colour, zlib.compress(rows))


def tiff(samples, *, photometric=2, order="<", compression=1, planar=1, predictor=1, extra=(), bits=None, tile=None, rows=None):
    """A TIFF written out by hand from (height, width, bands)."""
    height, width, bands = samples.shape
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    planes = [samples[:, :, i : i + 1] for i in range(bands)] if planar == 2 else [samples]
    step, across = (tile or (rows or height)), (tile or width)
    blocks = []
    for plane in planes:
        for top in range(0, height, step):
            for left in range(0, width, across):
                part = plane[top : top + step, left : left + across]
                if tile:
                    part = np.pad(part, ((0, step - part.shape[0]), (0, across - part.shape[1]), (0, 0)))
                if predictor == 2:
                    part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)
                content = part.astype(part.dtype.newbyteorder(order)).tobytes()
                if predictor == 3:
                    raw = part.astype(part.dtype.newbyteorder(">"))
                    raw = raw.reshape(len(part), -1).view(np.uint8).reshape(len(part), -1, part.dtype.itemsize)
                    raw = raw.transpose(0, 2, 1).reshape(len(part), -1, part.shape[2])
                    content = np.concatenate([raw[:, :1], np.diff(raw, axis=1)], axis=1).tobytes()
                blocks.append(zlib.compress(content) if compression == 8 else content)
    bits = bits or samples.dtype.itemsize * 8
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * bands), 259: (3, [compression]),
            262: (3, [photometric]), 277: (3, [bands]), 278: (4, [step]), 284: (3, [planar]), 317: (3, [predictor]),
            339: (3, [kind] * bands)}  # fmt: skip
    if extra:
        tags[338] = (3, list(extra))
    offsets, counts = (324, 325) if tile else (273, 279)
    if tile:
        tags |= {322: (4, [tile]), 323: (4, [tile])}
    tags |= {offsets: (4, [0] * len(blocks)), counts: (4, [len(block) for block in blocks])}
    head = 8 + 2 + 12 * len(tags) + 4
    letters = {3: "H", 4: "I"}
    at = head + sum(struct.calcsize(letters[kind]) * len(values) for kind, values in tags.values())
    for i in range(len(blocks)):
        tags[offsets][1][i] = at + sum(map(len, blocks[:i]))
    entries, beyond = b"", b""
    for tag, (type_, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{letters[type_]}", *values)
        entries += struct.pack(f"{order}HHI", tag, type_, len(values))
        entries += packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", head + len(beyond))
        beyond += packed if len(packed) > 4 else b""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    ifd = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return (magic + struct.pack(f"{order}I", 8) + ifd + beyond).ljust(at, b"\0") + b"".join(blocks)


RAMP = np.linspace(0, 4095, 40 * 30).reshape(30, 40).round().astype(np.uint16)
TWELVE_BITS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


@pytest.mark.parametrize("write", [lambda a: png16(a, 2), tiff, lambda a: tiff(a, order=">"), lambda a: tiff(a, compression=8)])
def test_twelve_bits_in_sixteen_are_stretched_together_so_that_colours_stay(write):
    decoded = read_image(write(TWELVE_BITS))
    assert decoded.notes == ("16-bit colour scaled from 0..4095 to 8 bits",)
    np.testing.assert_array_equal(decoded.pixels, np.rint(TWELVE_BITS / 4095 * 255).astype(np.uint8))


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_alpha_of_deep_colour_and_deep_grey_is_full_in_the_bits_that_are_used(opaque):
    alpha = np.full_like(RAMP, opaque)
    colour = read_image(png16(np.dstack([TWELVE_BITS, alpha]), 6))
    np.testing.assert_array_equal(colour.pixels, np.rint(TWELVE_BITS / 4095 * 255).astype(np.uint8))
    grey = read_image(png16(np.dstack([RAMP, alpha]), 4))
    np.testing.assert_array_equal(grey.pixels[:, :, 0], np.rint(RAMP / 4095 * 255).astype(np.uint8))
    assert grey.notes == ("16-bit grey scaled from 0..4095 to 8 bits",)
    alpha[:, 20:] = 0
    half = read_image(png16(np.dstack([TWELVE_BITS, alpha]), 6))
    assert (half.pixels[:, 20:] == 255).all() and half.notes[-1] == "alpha flattened on white"


def test_white_stored_as_zero_is_no_negative():
    dark_left = RAMP[:, :, None]
    for data in (tiff(4095 - dark_left, photometric=0), tiff((4095 - dark_left).astype(np.float32), photometric=0)):
        decoded = read_image(data)
        assert "white stored as zero" in decoded.notes[0]
        assert np.abs(decoded.pixels[:, :, 0].astype(float) - dark_left[:, :, 0] / 4095 * 255).max() <= 1
    assert read_image(tiff(4095 - dark_left, photometric=0, order=">")).pixels[-1, -1, 0] == 255


@pytest.mark.parametrize(
    "options", [{}, {"order": ">"}, {"compression": 8, "predictor": 3}, {"planar": 2}, {"tile": 16}, {"rows": 7}]
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floating_colour_is_read_however_it_lies(options, dtype):
    values = (TWELVE_BITS / 4095.0 - 0.5).astype(dtype)
    decoded = read_image(tiff(values, **options))
    assert decoded.notes == (f"{np.dtype(dtype)} colour scaled from -0.5..0.5 to 8 bits",)
    assert np.abs(decoded.pixels.astype(float) - (values.astype(float) + 0.5) * 255).max() <= 1
    assert inspect_image(tiff(values, **options)).width == 40


def test_integers_that_pillow_does_not_open_are_read():
    for samples in (TWELVE_BITS.astype(np.uint32), TWELVE_BITS.astype(np.int32)):
        assert read_image(tiff(samples, compression=8, predictor=2)).pixels.max() == 255


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_deep_colour_whose_bands_lie_apart_or_beside_an_alpha_is_the_same_picture(order, compression):
    how = {"order": order, "compression": compression}
    expected = np.rint(TWELVE_BITS / 4095 * 255)
    alpha = np.full_like(RAMP, 4095)
    grey = np.dstack([RAMP, alpha])
    for data in (
        tiff(TWELVE_BITS, planar=2, **how),
        tiff(np.dstack([TWELVE_BITS, alpha]), planar=2, extra=(2,), **how),
        tiff(np.dstack([TWELVE_BITS, alpha]), extra=(2,), **how),
        tiff(np.dstack([TWELVE_BITS, alpha]), extra=(0,), **how),
    ):
        assert np.abs(read_image(data).pixels - expected).max() <= 1
    assert (
        np.abs(read_image(tiff(grey, photometric=1, extra=(2,), **how)).pixels[:, :, 0] - np.rint(RAMP / 4095 * 255)).max() <= 1
    )
    grey[:, :9, 1] = 0
    half = read_image(tiff(grey, photometric=1, extra=(2,), **how))
    assert (half.pixels[:, :9] == 255).all() and "alpha flattened on white" in half.notes[0]
    full = (picture(30, 40).astype(np.uint16)) * 257
    assert full.max() >= 1 << 15
    np.testing.assert_array_equal(read_image(tiff(full, planar=2, **how)).pixels, picture(30, 40))


def test_tiffs_of_many_bands_are_called_what_they_are():
    five = np.zeros((20, 30, 5), np.uint8)
    assert error(tiff(five, photometric=1)).startswith("a TIFF with 5 bands of 8-bit integer samples (uncompressed)")
    assert error(tiff(five.astype(np.float32), photometric=1)).startswith("a TIFF with 5 bands of 32-bit floating-point samples")
    assert "2 bands" in error(tiff(np.zeros((20, 30, 2), np.uint16), photometric=1))
    assert "truncated" in error(tiff(TWELVE_BITS.astype(np.float32))[:-100])


# ---------------------------------------------------------------- ends, kinds, limits


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_end_marker_alone_is_missing_is_read_with_a_word(mode, progressive):
    data = encoded(Image.fromarray(picture(300, 400)).convert(mode), "JPEG", progressive=progressive)
    whole = read_image(data)
    for cut in (data[:-1], data[:-2]):
        decoded = read_image(cut)
        np.testing.assert_array_equal(decoded.pixels, whole.pixels)
        assert decoded.notes[-1].startswith("JPEG without its end marker")
    for cut in (data[:-4], data[: len(data) // 2]):
        assert "truncated" in error(cut)


def test_a_progressive_jpeg_cut_between_two_scans_is_not_whole():
    data = encoded(picture(300, 400), "JPEG", progressive=True)
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 3
    for at in starts[1:]:
        tables = data.rfind(b"\xff\xc4", 0, at)  # the scan's own Huffman table goes before it
        assert "truncated" in error(data[:at]) and "truncated" in error(data[:tables])


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_takes_minutes():
    data = encoded(picture(60, 80), "JPEG", progressive=True)
    at = data.index(b"\xff\xc2")
    data = data[: at + 5] + struct.pack(">HH", 9000, 9000) + data[at + 9 :]
    last = data[data.rindex(b"\xff\xda") : -2]
    assert "scans: refused" in error(data[:-2] + last * 500 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1" + bytes(200), "HEIC"),
        (b"8BPS\0\1" + bytes(99), "Photoshop"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1" + bytes(99), "raw photograph"),
        (b"SIMPLE  =                    T", "FITS"),
        (bytes(128) + b"DICM" + bytes(99), "DICOM"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
        (b"\0\0\0\x18ftypisom\0\0\0\1mp42" + bytes(99), "film"),
        (b"\x1f\x8b\x08" + bytes(99), "gzip"),
        (b"II*\0\x08\0\0\0", "damaged TIFF"),
        (b"II*\0\xff\xff\xff\xff", "damaged TIFF"),
    ],
)
def test_a_file_that_is_not_read_is_called_what_it_is(head, name):
    assert name.lower() in error(head).lower()


def test_a_large_picture_with_alpha_is_decoded_a_strip_at_a_time():
    data = encoded(Image.new("RGBA", (3000, 3000), (10, 20, 30, 128)), "PNG", compress_level=1)
    tracemalloc.start()
    pixels = read_image(data).pixels
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tuple(pixels[0, 0]) == tuple(pixels[-1, -1]) == (132, 137, 142)
    assert held < 1.8 * pixels.nbytes  # the picture handed out, and strips


def test_what_would_take_too_much_memory_is_refused_from_its_header_with_the_option(monkeypatch):
    data = encoded(Image.new("RGBA", (3000, 2000)), "PNG", compress_level=1)
    assert read_image(data).pixels.shape == (2000, 3000, 3)
    monkeypatch.setenv("BIOCOSMOS_IMAGE_GB", "0.03")
    assert "image too large: 3000 x 2000 pixels of PNG take about 0.0 GB" in error(data) and "BIOCOSMOS_IMAGE_GB" in error(data)
    monkeypatch.setenv("BIOCOSMOS_IMAGE_GB", "many")
    with pytest.raises(Exception, match="BIOCOSMOS_IMAGE_GB='many' is not a number"):
        read_image(data)


def test_decoders_wait_for_each_other_when_memory_is_short(monkeypatch):
    monkeypatch.setenv("BIOCOSMOS_IMAGE_GB", "0.01")  # one of these pictures at a time
    data = [encoded(picture(1000, 1200, seed), "PNG", compress_level=1) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for seed, decoded in enumerate(pool.map(read_image, data)):
            np.testing.assert_array_equal(decoded.pixels, picture(1000, 1200, seed))


def test_what_never_ends_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.write(encoded(picture(), "JPEG"))
        file.truncate(1 << 40)
    assert error("/dev/zero") == error(tmp_path / "pipe.jpg") == "not a regular file but a device, a pipe or a socket"
    assert "1,099,511,627,776 bytes" in error(tmp_path / "sparse.jpg")
    for name in ("a\0b.jpg", "x" * 300 + ".jpg", str(tmp_path / "sparse.jpg" / "x.jpg")):
        error(name)
        with pytest.raises(ImageError):
            file_bytes(name)
    (tmp_path / "a").write_bytes(b"abc")
    assert file_bytes(tmp_path / "a") == b"abc"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_the_stored_picture_is_set_upright_with_it(orientation):
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[5:15, 30:50] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    info = oriented(data)
    assert (info.width, info.height, info.orientation) == (60, 40, orientation)
    crop = upright_crop((30, 5, 20, 10), orientation, info.width, info.height)
    pixels = read_image(data, crop=crop).pixels
    assert pixels.all() and pixels.shape[0] * pixels.shape[1] == 200


def test_a_tga_is_read_by_its_name_or_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "a.tga"
    Image.new("RGB", (8, 6), (0, 128, 128)).save(path)
    for source in (path, path.read_bytes()):
        assert read_image(source).pixels[0, 0].tolist() == [0, 128, 128]
    path.write_bytes(b"these words are no picture " * 4)
    with pytest.raises(ImageError, match="not an image"):
        read_image(path)
