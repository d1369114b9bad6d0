"""The contact sheet of docs/modalities.md: synthetic specimens by order, family, genus and species.

python tools/draw_contact_sheet.py docs/images/invented.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from biocosmos.images.invented import Inheritance, draw_specimen

ORDERS = ("Diptera", "Coleoptera", "Hymenoptera", "Hemiptera", "Lepidoptera", "Araneae", "Odonata")
RANKS = ("order", "family", "genus", "species")
COLUMNS, SIDE, LABEL = 11, 76, 86
SEED, QUALITY = 0, 82


def rows() -> list[tuple[str, list[tuple[str, ...]]]]:
    """What stands before each row, and the paths of its specimens."""
    found = [(order, [(order, f"family {i}", "genus 0", "species 0") for i in range(COLUMNS)]) for order in ORDERS]
    wasps = ("Hymenoptera", "family 5")
    found.append(("11 genera of\none family", [(*wasps, f"genus {i}", "species 0") for i in range(COLUMNS)]))
    found.append(("11 species of\none genus", [(*wasps, "genus 2", f"species {i}") for i in range(COLUMNS)]))
    found.append(("11 specimens\nof one species", [(*wasps, "genus 2", "species 4")] * COLUMNS))
    return found


def main(output: Path) -> None:
    """Draw it."""
    inheritance = Inheritance(SEED, RANKS)
    lines = rows()
    sheet = Image.new("RGB", (LABEL + COLUMNS * SIDE, len(lines) * SIDE), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (label, paths) in enumerate(lines):
        pen.multiline_text((4, row * SIDE + SIDE // 2 - 8), label, fill="black")
        for column, path in enumerate(paths):
            picture = draw_specimen(inheritance, path, f"{row}/{column}", 2 * SIDE)
            small = Image.fromarray(picture).resize((SIDE - 2, SIDE - 2), Image.Resampling.LANCZOS)
            sheet.paste(small, (LABEL + column * SIDE, row * SIDE))
    sheet.save(output, quality=QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
