"""What the maps are drawn with: colours that stand apart, and a coastline that is one."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest

from biocosmos.serve.pages import STATIC

LACKING = {
    "nothing": np.eye(3),
    "red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
"""What is seen by those who lack a kind of cones, in linear RGB (Machado, Oliveira & Fernandes 2009)."""


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Björn Ottosson's OKLab."""
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]])
    cones = np.vstack([cones, [0.0883024619, 0.2817188376, 0.6299787005]])
    mixed = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]])
    mixed = np.vstack([mixed, [0.0259040371, 0.7827717662, -0.8086757660]])
    return mixed @ np.cbrt(cones @ np.clip(rgb, 0, None))


def palette() -> list[str]:
    source = (STATIC / "js/maps/palette.js").read_text()
    found = re.search(r"CLASSES = \[(.*?)\]", source, re.S)
    assert found
    return re.findall(r"#[0-9a-f]{6}", found[1])


@pytest.mark.parametrize("lacking", LACKING)
def test_classes_are_told_apart_by_people_who_lack_a_kind_of_cones(lacking: str) -> None:
    colours = palette()
    assert len(colours) == len(set(colours)) == 20
    seen = [oklab(LACKING[lacking] @ linear(colour)) for colour in colours]
    apart = [float(np.linalg.norm(a - b)) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) > 0.04  # 0.02 is just seen
    first = [float(np.linalg.norm(a - b)) for i, a in enumerate(seen[:8]) for b in seen[:i]]
    assert min(first) > 0.07


def test_classes_stand_out_from_both_grounds() -> None:
    for colour in palette():
        bright = float(linear(colour) @ [0.2126, 0.7152, 0.0722]) + 0.05
        assert 1.05 / bright >= 1.9 and bright / (0.0085 + 0.05) >= 1.9, colour


def rings() -> list[np.ndarray]:
    """Longitude and latitude of each ring of the coastline, read byte by byte."""
    data = (STATIC / "vendor/coastline/land-50m.bin").read_bytes()
    (count,) = struct.unpack_from("<I", data)
    lengths = struct.unpack_from(f"<{count}I", data, 4)
    at, found = 4 + 4 * count, []
    for length in lengths:
        numbers = np.array(struct.unpack_from(f"<{2 * length}H", data, at), float).reshape(-1, 2)
        found.append(numbers / 65535 * (360, 180) - (180, 90))
        at += 4 * length
    assert at == len(data) < 400_000
    return found


@pytest.mark.parametrize(
    ("longitude", "latitude", "land"),
    [
        (2.35, 48.85, True),  # Paris
        (-150.0, 0.0, False),  # the Pacific
        (51.0, 42.0, False),  # the Caspian Sea, a hole
        (0.0, -88.0, True),  # Antarctica, around the pole
        (-178.0, 67.5, True),  # Chukotka, across 180 degrees
        (178.0, -17.8, True),  # Viti Levu
        (-30.0, 40.0, False),  # the Atlantic
        (134.0, -25.0, True),  # Australia
    ],
)
def test_land_is_where_land_is(longitude: float, latitude: float, land: bool) -> None:
    crossings = 0
    for ring in rings():
        (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
        spans = (y0 <= latitude) != (y1 <= latitude)
        crossings += int((x0[spans] + (latitude - y0[spans]) / (y1 - y0)[spans] * (x1 - x0)[spans] > longitude).sum())
    assert (crossings % 2 == 1) == land


def test_its_origin_is_told() -> None:
    notice = (STATIC / "vendor/coastline/NOTICE").read_text()
    assert "Natural Earth" in notice and "ISC" in notice
