"""What a text tower reads of a specimen, in each of BioCLIP's text types and as CLIBD publishes it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.taxon_texts import Wording, common_name_column, taxon_texts

RANKS = ("order", "family", "genus", "species")
TABLE = pa.table(
    {
        "order": ["Diptera", "Diptera", None, "Diptera", "Hymenoptera"],
        "family": ["Culicidae", None, None, "not_classified", "Apidae"],
        "genus": ["Aedes", None, None, "Aedes", "Apis"],
        "species": ["Aedes vexans (Meigen, 1830)", None, None, "vexans", "Apis_mellifera"],
        "vernacularName": [None, None, None, None, "western honey bee"],
    }
)


@pytest.mark.parametrize(
    ("kind", "missing", "texts"),
    [
        (
            "taxon",
            "left out",
            ["Diptera Culicidae Aedes vexans", "Diptera", None, "Diptera Aedes vexans", "Hymenoptera Apidae Apis mellifera"],
        ),
        (
            "taxon",
            "not_classified",
            [
                "Diptera Culicidae Aedes Aedes vexans",
                "Diptera not_classified not_classified not_classified",
                None,
                "Diptera not_classified Aedes Aedes vexans",
                "Hymenoptera Apidae Apis Apis mellifera",
            ],
        ),
        ("sci", "left out", ["Aedes vexans", "Diptera", None, "Aedes vexans", "Apis mellifera"]),
        ("com", "left out", ["Aedes vexans", "Diptera", None, "Aedes vexans", "western honey bee"]),
        (
            "sci_com",
            "left out",
            ["Aedes vexans", "Diptera", None, "Aedes vexans", "Apis mellifera with common name western honey bee"],
        ),
        (
            "taxonTag",
            "left out",
            [
                "order Diptera family Culicidae genus Aedes species Aedes vexans",
                "order Diptera",
                None,
                "order Diptera genus Aedes species Aedes vexans",
                "order Hymenoptera family Apidae genus Apis species Apis mellifera",
            ],
        ),
    ],
)
def test_texts_of_specimens(kind: str, missing: str, texts: list[str | None]) -> None:
    assert taxon_texts(TABLE, RANKS, missing=missing, kind=kind, common="vernacularName") == texts  # type: ignore[arg-type]


def test_a_wording_is_the_same_for_a_collection_and_for_one_taxon() -> None:
    wording = Wording(("family", "species"))
    assert wording.texts(TABLE, RANKS)[0] == wording.text(["Diptera", "Culicidae", "Aedes", "Aedes vexans"], RANKS)
    assert wording.text(["Diptera"], RANKS) is None, "no name at its ranks"
    assert Wording.from_dict(wording.as_dict()) == wording
    assert Wording(kind="com").columns(RANKS, TABLE.column_names) == (*RANKS, "vernacularName")
    assert common_name_column(["genus"]) is None


def test_what_cannot_be_written_is_refused_in_one_line() -> None:
    with pytest.raises(BiocosmosError, match="no text type 'latin': choose taxon"):
        taxon_texts(TABLE, RANKS, kind="latin")  # type: ignore[arg-type]
    with pytest.raises(BiocosmosError, match="writes common names, and no column has them"):
        taxon_texts(TABLE, RANKS, kind="taxon_com")
    with pytest.raises(BiocosmosError, match="no column 'tribe'"):
        taxon_texts(TABLE, ("tribe",))
    with pytest.raises(BiocosmosError, match="no names at tribe"):
        Wording(("tribe",)).ranks_of(RANKS)
    with pytest.raises(BiocosmosError, match="it has no ranks"):
        Wording().ranks_of(())
