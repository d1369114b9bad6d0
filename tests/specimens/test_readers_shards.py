"""Tar shards as people have them: keys that repeat, JSON, what was not downloaded, and tars that lie about themselves."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers import read

Rows = list[dict[str, Any]]


def jpeg(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (40, 30), shade).save(out, "JPEG")
    return out.getvalue()


def shard(path: Path, files: dict[str, bytes | str], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def rows_of(path: Path, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def test_keys_that_repeat_are_named_with_their_shard(tmp_path: Path) -> None:
    for i in range(3):
        shard(tmp_path / f"{i:05}.tar", {"000000.jpg": jpeg(i), "000001.jpg": jpeg(9 + i), "000000.png": jpeg(99)})
    rows, _ = rows_of(tmp_path)
    assert [row["id"] for row in rows] == [
        *("000000", "000001", "00000.tar/000000"),
        *("00001.tar/000000", "00001.tar/000001", "00001.tar/000000-2"),
        *("00002.tar/000000", "00002.tar/000001", "00002.tar/000000-2"),
    ]
    assert len({row["image"] for row in rows}) == 7  # the last of each shard is the same picture


def test_json_of_img2dataset_becomes_columns_and_what_was_not_downloaded_is_told(tmp_path: Path) -> None:
    def facts(key: str, **more: Any) -> str:
        facts = {"caption": "a fox", "url": f"http://a/{key}.jpg", "key": key, "status": "success", "error_message": None}
        return json.dumps(facts | {"width": 40, "height": 30, "exif": "{}", "sha256": "ab", "score": 1, "tags": ["x"]} | more)

    shard(
        tmp_path / "00000.tar",
        {
            "a.jpg": jpeg(1),
            "a.txt": "a fox",
            "a.json": facts("a", score=0.5),
            "b.jpg": jpeg(2),
            "b.txt": "a hare",
            "b.json": "[" * 5000,
            "c.jpg": jpeg(3),
            "c.txt": "an owl",
            "c.json": facts("c", width="many", status=None),
        },
    )
    shard(tmp_path / "00001.tar", {"d.jpg": jpeg(4), "d.json": facts("d", later=5, url="\ud800")})
    status = ["success", "failed_to_download", "failed_to_resize"]
    pq.write_table(
        pa.table({"key": ["a", "x", "y"], "url": ["u", "v", None], "status": status, "error_message": [None, "HTTP 404", None]}),
        tmp_path / "00000.parquet",
    )
    (tmp_path / "00001.parquet").write_bytes(b"PAR1 broken")
    rows, failures = rows_of(tmp_path)
    a, b, c, d = rows
    assert (a["text"], a["caption"], a["url"], a["json_width"], a["score"], a["tags"]) == (
        *("a fox", "a fox", "http://a/a.jpg"),
        *("40", 0.5, '["x"]'),
    )
    assert b["caption"] is None and c["json_width"] == "many" and d["url"] == "\\ud800" and d["text"] is None
    told = [(f.severity, f.id, f.reason) for f in failures]
    assert ("warning", "b", "its .json is no object: left out") in told
    assert ("error", "x", "not downloaded by img2dataset, failed_to_download: HTTP 404 (v)") in told
    assert ("error", "y", "not downloaded by img2dataset, failed_to_resize") in told
    assert any("the field 'later' of its .json is not in the first shard" in reason for _, _, reason in told)
    assert any(f.source == str(tmp_path / "00001.parquet") for f in failures)


def test_columns_are_mapped_and_a_mapping_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", {"a.jpg": jpeg(1), "a.json": '{"kind": "fox", "n": 1}'})
    (row,), _ = rows_of(path, columns={"kind": "label"})
    assert row["label"] == "fox" and row["n"] == 1
    with pytest.raises(BiocosmosError, match="no column 'sort'"):
        read(path, columns={"sort": "label"})


def test_names_with_points_are_explained(tmp_path: Path) -> None:
    rows, failures = rows_of(shard(tmp_path / "x.tar", {"a.jpg": jpeg(1), "obs.1.jpg": jpeg(2), "b.left.png": jpeg(3)}))
    assert [row["id"] for row in rows] == ["a"]
    assert len([f for f in failures if "a key ends at the first point" in f.reason]) == 2
    assert {f.id for f in failures if f.severity == "error"} == {"obs", "b"}


# ---------------------------------------------------------------- tars that lie


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """One header of 512 bytes with the size field as given."""
    block = bytearray(512)
    block[: len(name)] = name.encode()
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124 : 124 + len(size)], block[136:148], block[156:157] = size, b"00000000000\0", kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def big(size: int) -> bytes:
    """A size in base 256, as GNU tar writes what octal cannot hold."""
    return b"\x80" + size.to_bytes(11, "big") if size >= 0 else struct.pack(">Iq", 0xFFFFFFFF, size)


GOOD = {"a.jpg": jpeg(1)}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "lie",
    [
        header("b.jpg", big(1 << 40)),
        header("b.jpg", big(1 << 80)),
        header("b.jpg", big(-1024)),
        header("b.jpg", b"99999999999\0"),
        header("long", big(1 << 40), b"L") + bytes(512),
        header("pax", big(1 << 40), b"x") + bytes(512),
        header("pax", big(-512), b"x") + bytes(512),
        header("pax", b"00000000020\0", b"x") + b"16 size=1" + bytes(503),
        header("pax", b"00000000015\0", b"x") + b"13 size=-512\n".ljust(512, b"\0") + header("b.jpg", b"00000000000\0"),
        header("b.jpg", b"00000001000\0", b"S") + bytes(512),
        b"\xff" * 512,
    ],
)
def test_a_tar_that_claims_what_it_has_not_ends_there_with_a_row(tmp_path: Path, lie: bytes, compressed: bool) -> None:
    good = shard(tmp_path / "good.tar", GOOD).read_bytes()
    whole = good[: 512 + -(-len(GOOD["a.jpg"]) // 512) * 512] + lie
    path = tmp_path / ("x.tar.gz" if compressed else "x.tar")
    path.write_bytes(gzip.compress(whole) if compressed else whole)
    start = time.process_time()
    rows, failures = rows_of(path)
    assert rows[0]["id"] == "a" and len(rows) <= 2 and failures.errors >= 1
    assert time.process_time() - start < 20  # a hang, not a speed


@pytest.mark.parametrize("mode", ["gz", "xz", "bz2"])
def test_a_shard_that_unpacks_without_end_is_given_up(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biocosmos.specimens.readers.shards.FREE_BYTES", 1 << 20)
    path = shard(tmp_path / f"x.tar.{mode}", {**GOOD, **{f"b{i}.jpg": bytes(4 << 20) for i in range(6)}}, f"w:{mode}")
    rows, failures = rows_of(path)
    assert rows[0]["id"] == "a" and len(rows) < 7
    assert any("a bomb" in f.reason or "more than there are" in f.reason for f in failures)


def test_links_and_names_that_lead_outside_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    path = shard(inside / "x.tar", {**GOOD, "../../evil.jpg": jpeg(2), "/evil.jpg": jpeg(3), "C:\\evil.jpg": jpeg(4)})
    with tarfile.open(path, "a") as tar:
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "a.jpg"), (tarfile.CHRTYPE, "")):
            info = tarfile.TarInfo(f"link{kind.decode()}.jpg")
            info.type, info.linkname = kind, target
            tar.addfile(info)
    rows, failures = rows_of(inside)
    assert [row["id"] for row in rows] == ["a"]
    assert len([f for f in failures if f.reason == "a path outside the archive: refused"]) == 3
    assert len([f for f in failures if f.reason == "a link or device, not a file: refused"]) == 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.tar"]
