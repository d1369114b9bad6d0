"""summarize --quantify: shares of each sample, the gate's verdict on each first."""

from __future__ import annotations

import numpy as np
import pyarrow.csv as csv
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.summarize import summarize
from biocosmos.jobs.summarize_settings import SummarizeSettings
from quantified_sample import EACH, SAMPLES, SPECIES, cruise


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """A cruise whose samples nobody has named."""
    return cruise(tmp_path_factory.mktemp("quantify"), named=False)


@pytest.fixture(scope="module")
def names(mine: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> str:
    from biocosmos.jobs.identify import identifying
    from biocosmos.jobs.identify_settings import IdentifySettings

    table = tmp_path_factory.mktemp("names") / "names.csv"
    with identifying(mine, IdentifySettings(part="unlabelled", calibration="val", known="train"), output=table):
        pass
    return str(table)


def test_every_sample_has_its_verdict_and_its_shares(mine, names):
    found = summarize(mine, SummarizeSettings(names=names, sample="sample", quantify="emq", unknown=True, where="sample != ''"))
    table = found.shares.table()
    gates = dict(zip(table["sample"].to_pylist(), table["gate"].to_pylist()))
    assert gates == {"st1": "open", "st2": "open", "blurred": "shut"}
    rows = {(row["sample"], row["taxon"]): row for row in table.to_pylist()}
    assert set(SPECIES) | {"unknown"} >= {taxon for _, taxon in rows}
    for sample in ("st1", "st2"):
        for share, species in zip(SAMPLES[sample], SPECIES):
            row = rows[sample, species]
            assert row["specimens"] == EACH and row["n"] == pytest.approx(EACH * row["share"]) and row["method"] == "emq"
            assert row["share_low"] <= row["share"] <= row["share_high"] and abs(row["share"] - share) < 0.2
    assert rows["blurred", SPECIES[0]]["method"] == "cc" and "label 5" in rows["blurred", SPECIES[0]]["why"]
    by_genus = summarize(mine, SummarizeSettings(names=names, sample="sample", quantify="pacc", rank="genus", draws=20))
    assert set(by_genus.shares.taxa) == {name.split()[0] for name in SPECIES} and set(by_genus.shares.ranks) == {"genus"}


def test_a_user_sees_the_gate_first(mine, names, tmp_path, biocosmos):
    line = ["summarize", mine.path, "--names", names, "--sample", "sample", "--quantify", "emq"]
    said = biocosmos(*line, "--shares", tmp_path / "shares.csv")
    assert said.index("shut") < said.index("as diverse")
    assert np.allclose(np.sum(csv.read_csv(tmp_path / "shares.csv")["share"].to_numpy().reshape(-1)), 3)
    assert "--quantify" in biocosmos("summarize", mine.path, "--shares", tmp_path / "a.csv", fails=2)
    assert "does nothing here" in biocosmos("summarize", mine.path, "--quantify", "emq", fails=2)


def test_what_no_output_shows_is_refused(mine, names, tmp_path, biocosmos):
    line = ["summarize", mine.path, "--sample", "sample"]
    for option, value in (("--rarefy", [5]), ("--chao1", []), ("--ordination", ["pcoa"])):
        assert f"{option} does nothing here" in biocosmos(*line, "-o", tmp_path / "a.csv", option, *value, fails=2)
    judged = [*line, "--names", names, "--confusion", names]
    assert "--confusion does nothing here" in biocosmos(*judged, fails=2)
    assert "--confusion does nothing here" in biocosmos(*judged, "--draws", 0, "-o", tmp_path / "a.csv", fails=2)


def test_a_table_that_does_not_say_who_named_is_refused(mine, tmp_path):
    head = "id,taxon,rank,species,confidence,novelty,method\n"
    (tmp_path / "bare.csv").write_text(head + "st1-0,Acartia clausi,species,Acartia clausi,0.9,0.1,linear\n")
    with pytest.raises(BiocosmosError, match="does not say"):
        summarize(mine, SummarizeSettings(names=str(tmp_path / "bare.csv"), sample="sample", quantify="emq"))
