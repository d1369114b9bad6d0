"""Tables of places and of fences that leave something open: told, not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.places.fence_files import read_fences
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.place_table import PlaceTable
from biocosmos.jobs.placed_names import OnePlace


def test_a_file_in_two_rows_has_the_place_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("file,latitude,longitude\na.jpg,52,5\na.jpg,12,5\n")
    failures = Failures()
    found = PlaceTable(tmp_path / "places.csv", failures)(np.array(["photos/a.jpg"], object))
    assert found.places.latitude.tolist() == [52]
    assert [(one.row, "earlier row" in one.reason) for one in failures] == [(3, True)]


def test_a_country_is_read_alike_wherever_it_is_told(tmp_path: Path) -> None:
    for text, code, region in (("us-ca", "US", "CA"), ("Guinea-Bissau", "GW", None)):
        one = OnePlace.of(IdentifySettings(at="46,4", country=text, fence=(Path("fence.csv"),)))(np.array(["a.jpg"], object))
        (tmp_path / "places.csv").write_text(f"file,country\na.jpg,{text}\n")
        beside = PlaceTable(tmp_path / "places.csv", Failures())(np.array(["a.jpg"], object))
        (tmp_path / "fence.csv").write_text(f"taxon,rule,country\nInsecta,block,{text}\n")
        (rule,) = read_fences([tmp_path / "fence.csv"], [], Failures()).rules
        assert [(found.places.country[0], found.regions[0]) for found in (one, beside)] == [(code, region)] * 2
        assert (rule.country, rule.region) == (code, region)


def test_a_fence_must_say_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("taxon,rules\nInsecta,allow\n")
    with pytest.raises(BiocosmosError, match="or give it as --checklist"):
        read_fences([tmp_path / "list.csv"], [], Failures())
