"""Make the coastline of the map of places from Natural Earth's land, as the npm package world-atlas has it in TopoJSON.

    python tools/make_coastline.py world-atlas-2.0.2/package/land-50m.json

Writes src/biocosmos/serve/static/vendor/coastline/land-50m.bin, little-endian:

    uint32          how many rings
    uint32 each     how many points a ring has
    uint16 x, y     each point: longitude -180..180 and latitude -90..90, both on 0..65535

A ring is closed: its last point is joined to its first, which is not said twice. Land is what lies within an odd number of rings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).parents[1] / "src/biocosmos/serve/static/vendor/coastline/land-50m.bin"


def rings(topology: dict) -> list[np.ndarray]:
    """(n, 2) float64 longitude and latitude of each ring of the land, its arcs joined."""
    scale, translate = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + translate for arc in topology["arcs"]]
    found = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for ring in polygon:
                # an arc that is named ~n runs backwards; it begins where the one before ends
                parts = [arcs[arc] if arc >= 0 else arcs[~arc][::-1] for arc in ring]
                found.append(np.concatenate([parts[0], *[part[1:] for part in parts[1:]]])[:-1])
    return found


def unrolled(ring: np.ndarray) -> np.ndarray:
    """The ring with longitudes that go on past 180 where it crosses it; one around the pole is closed along latitude -90."""
    steps = np.diff(ring[:, 0], append=ring[0, 0])
    steps -= 360 * np.rint(steps / 360)
    longitude = ring[0, 0] + np.concatenate([[0], np.cumsum(steps)])
    path = np.column_stack([longitude, np.append(ring[:, 1], ring[0, 1])])
    if abs(longitude[-1] - longitude[0]) < 180:
        return path[:-1]
    return np.vstack([path, [[longitude[-1], -90], [longitude[0], -90]]])


def pieces(ring: np.ndarray) -> list[np.ndarray]:
    """What of an unrolled ring lies between -180 and 180, each turn of the globe a piece."""
    if ring[:, 0].min() >= -180 and ring[:, 0].max() <= 180:
        return [ring]
    turns = [clipped(clipped(ring + np.array([turn, 0]), -180, 1), 180, -1) for turn in (-360, 0, 360)]
    return [piece for piece in turns if len(piece) >= 3]


def clipped(ring: np.ndarray, at: float, side: int) -> np.ndarray:
    """The part of a ring (n, 2) where side * (longitude - at) >= 0 (Sutherland & Hodgman 1974)."""
    found: list[np.ndarray] = []
    for here, there in zip(ring, np.roll(ring, -1, axis=0)):
        a, b = side * (here[0] - at), side * (there[0] - at)
        if a >= 0:
            found.append(here)
        if (a < 0) != (b < 0):
            found.append(np.array([at, here[1] + (there[1] - here[1]) * a / (a - b)]))
    return np.array(found).reshape(-1, 2)


def quantised(ring: np.ndarray) -> np.ndarray:
    """(m, 2) uint16, without points that fall onto the one before."""
    units = np.rint((ring + np.array([180, 90])) / (360, 180) * 65535).clip(0, 65535).astype("<u2")
    return units[(units != np.roll(units, 1, axis=0)).any(axis=1)]


def main() -> None:
    """Read the TopoJSON that the first argument names, write the binary."""
    topology = json.loads(Path(sys.argv[1]).read_text())
    cut = [quantised(piece) for ring in rings(topology) for piece in pieces(unrolled(ring))]
    land = [ring for ring in cut if len(ring) >= 3]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    header = np.array([len(land), *map(len, land)], "<u4")
    OUTPUT.write_bytes(header.tobytes() + np.concatenate(land).tobytes())
    print(f"{OUTPUT}: {len(land):,} rings, {sum(map(len, land)):,} points, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
