"""Tables of places and of fences that leave something open: told, not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.places.fence_files import read_fences
from biocosmos.jobs.place_table import PlaceTable


def test_a_file_in_two_rows_has_the_place_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("file,latitude,longitude\na.jpg,52,5\na.jpg,12,5\n")
    failures = Failures()
    found = PlaceTable(tmp_path / "places.csv", failures)(np.array(["photos/a.jpg"], object))
    assert found.places.latitude.tolist() == [52]
    assert [(one.row, "earlier row" in one.reason) for one in failures] == [(3, True)]


def test_a_fence_must_say_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("taxon,rules\nInsecta,allow\n")
    with pytest.raises(BiocosmosError, match="or give it as --checklist"):
        read_fences([tmp_path / "list.csv"], [], Failures())
