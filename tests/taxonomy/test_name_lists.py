"""Lists of names as people keep them: lines, or tables with any separator."""

from __future__ import annotations

from pathlib import Path

import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy.name_lists import read_name_list


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("Copepoda\nPica pica\n", None, [["Copepoda"], ["Pica pica"]]),
        ("taxon\nCopepoda\n", ["taxon"], [["Copepoda"]]),
        ("taxon;count\nCopepoda;3\n", ["taxon", "count"], [["Copepoda", "3"]]),
        ("Taxon\tCount\nCopepoda\t3\n", ["taxon", "count"], [["Copepoda", "3"]]),
        ("family|genus\nCorvidae|Pica\n", ["family", "genus"], [["Corvidae", "Pica"]]),
        ("Copepoda;3\nPica;4\n", None, [["Copepoda", "3"], ["Pica", "4"]]),
        ("Copepoda\t3\nPica\t4\n", None, [["Copepoda", "3"], ["Pica", "4"]]),
        ("Pica pica (L., 1758)\nPica nuttalli (Aud., 1837)\n", None, [["Pica pica (L., 1758)"], ["Pica nuttalli (Aud., 1837)"]]),
        ('name,family\n"Pica pica (L., 1758)",Corvidae\n', ["name", "family"], [["Pica pica (L., 1758)", "Corvidae"]]),
        ("sep=;\nname;family\nPica pica;Corvidae\n", ["name", "family"], [["Pica pica", "Corvidae"]]),
        ("\ufeffname\r\n\r\nPica pica\r\n", ["name"], [["Pica pica"]]),
    ],
)  # fmt: skip
def test_a_list_in_any_form(tmp_path: Path, text: str, header: list[str] | None, rows: list[list[str]]) -> None:
    path = tmp_path / "list.txt"
    for encoding in ("utf-8", "utf-16"):
        path.write_bytes(text.encode(encoding))
        found = read_name_list(path)
        assert (found.header, [cells for _, cells in found.rows]) == (header, rows)


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\x00\x00")
    for name, said in (
        ("empty.txt", "is empty"),
        ("picture.jpg", "is no text"),
        ("gone.txt", "cannot read"),
        (".", "cannot read"),
    ):
        with pytest.raises(BiocosmosError, match=said):
            read_name_list(tmp_path / name)
    (tmp_path / "latin.txt").write_bytes("Müllerella\n".encode("cp1252"))
    assert read_name_list(tmp_path / "latin.txt").rows == [(1, ["Müllerella"])]
