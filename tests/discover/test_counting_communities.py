"""What was found in each sample: counts, concentrations, biovolumes, per m², and samples in which nothing was."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.export import export
from biocosmos.jobs.summarize import Summary, summarize
from biocosmos.jobs.summarize_settings import SummarizeSettings
from biocosmos.settings import SettingError, told
from biocosmos.specimens.biovolumes import formula_of
from biocosmos.specimens.guard import Fitted
from biocosmos.specimens.settings import ExportSettings
from biocosmos.tables import write_table

# The lead's golden values (facts, place_time.md §4): sample s1 of 12.5 m³, one quarter and one half of it looked at.
GOLDEN = [("Copepoda", 400, 4), ("Copepoda", 900, 4), ("Copepoda", 650, 4), ("Oithona", 120, 4), ("Copepoda", 2500, 2)]
VOLUMES = {"volume": "tot_vol=m3", "parts": "sub_part"}
BIOVOLUMES = VOLUMES | {"biovolume": "sphere", "pixel": "0.0106mm"}


def nets(**more: Any) -> list[dict[str, Any]]:
    """The golden sample, and s2 below it, with one Oithona in 10 m³."""
    rows = [
        {"sample_id": "s1", "label": name, "class": "Copepoda", "object_area": float(area), "acq_id": f"d{parts}"}
        | {"sub_part": float(parts), "tot_vol": 12.5, "depth_min": 0.0, "depth_max": 50.0, "station": "A"}
        for name, area, parts in GOLDEN
    ]
    rows.append(rows[3] | {"sample_id": "s2", "sub_part": 1.0, "tot_vol": 10.0, "depth_min": 50.0, "depth_max": 150.0})
    return [
        {"id": f"o{i}", "text": "t", "latitude": 43.7, "longitude": 7.3, "date": "2026-06-01"} | row | more
        for i, row in enumerate(rows)
    ]


def collection(folder: Path, rows: list[dict[str, Any]]) -> bc.Collection:
    made = bc.Collection.create(folder)
    made.add(pa.Table.from_pylist(rows))
    return made


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return collection(tmp_path_factory.mktemp("golden") / "nets.cosmos", nets())


def counted(of: bc.Collection, **given: Any) -> Summary:
    return summarize(of, told(SummarizeSettings, **given))


def cells(summary: Summary, value: str) -> dict[tuple[str, str], Any]:
    by = summary.counted.by if "sample" in summary.community.facts.column_names else ("station",)
    return {(row[by[0]], row["taxon"]): row[value] for row in summary.table().to_pylist()}


def reasons(summary: Summary) -> str:
    return " | ".join(failure.reason for failure in summary.failures)


def test_nothing_is_drawn_where_no_interval_is_shown(golden: bc.Collection) -> None:
    found, bare = counted(golden, **BIOVOLUMES), summarize(golden, told(SummarizeSettings, **BIOVOLUMES), intervals=False)
    assert found.doubt is not None and bare.doubt is None
    assert bare.overview() == found.overview() and bare.distances().equals(found.distances())


def test_golden_concentrations_and_biovolumes(golden: bc.Collection) -> None:
    found = counted(golden, **BIOVOLUMES)
    assert cells(found, "n") == {("s1", "Copepoda"): 4, ("s1", "Oithona"): 1, ("s2", "Oithona"): 1}
    said = cells(found, "concentration")
    assert said["s1", "Copepoda"] == pytest.approx(1.12) and said["s1", "Oithona"] == pytest.approx(0.32)
    volumes = cells(found, "biovolume")
    assert volumes["s1", "Copepoda"] == pytest.approx(0.03270467, rel=1e-6)
    assert volumes["s1", "Oithona"] == pytest.approx(0.00037688, rel=1e-5)
    assert not len(found.failures)


def test_per_m2_is_the_sum_over_layers(golden: bc.Collection) -> None:
    found = counted(golden, by=("station", "depth"), per_m2=True, **BIOVOLUMES)
    assert cells(found, "per_m2") == pytest.approx({("A", "Copepoda"): 1.12 * 50, ("A", "Oithona"): 0.32 * 50 + 0.1 * 100})


def test_the_exports_say_the_same(golden: bc.Collection, tmp_path: Path) -> None:
    told_of = {"format": "ecotaxa-summary", **BIOVOLUMES}
    export(golden.path, tmp_path / "out", told(ExportSettings, **told_of))
    mine = counted(golden, **BIOVOLUMES)
    for file, theirs, ours in (
        ("abundances", "count", "n"),
        ("concentrations", "concentration", "concentration"),
        ("biovolumes", "biovolume", "biovolume"),
    ):
        with (tmp_path / f"out/{file}.tsv").open(newline="", encoding="utf-8") as lines:
            there = {(r["sampleid"], r["taxonid"]): float(r[theirs]) for r in csv.DictReader(lines, delimiter="\t")}
        assert {key: value for key, value in there.items() if value} == pytest.approx(cells(mine, ours), rel=1e-9)
    with_events = {"format": "obis", **BIOVOLUMES}
    export(golden.path, tmp_path / "obis", told(ExportSettings, **with_events))
    with (tmp_path / "obis/emof.txt").open(newline="", encoding="utf-8") as lines:
        measured = list(csv.DictReader(lines, delimiter="\t"))
    per_volume = {
        tuple(row["occurrenceID"].split(":")): float(row["measurementValue"])
        for row in measured
        if row["measurementTypeID"].endswith("SDBIOL01/")
    }
    assert per_volume == pytest.approx(cells(mine, "concentration"))


def test_samples_without_specimens_stay(golden: bc.Collection, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("sample_id,tot_vol,sub_part,station\ns1,12.5,4,A\ns3,5,1,B\ns4,999999,1,B\n")
    found = counted(golden, samples=tmp_path / "all.csv", **VOLUMES)
    rows = {row["sample"]: row for row in found.table().to_pylist() if row["taxon"] is None}
    assert rows["s3"]["n"] == 0 and rows["s3"]["concentration"] == 0
    assert rows["s4"]["n"] == 0 and rows["s4"]["concentration"] is None and "999999" in reasons(found)
    by_station = counted(golden, samples=tmp_path / "all.csv", by=("station",))
    assert by_station.community.samples.tolist() == ["A", "B"] and by_station.community.fact("samples") == [2, 2]


def test_samples_without_the_taxon_stay(tmp_path: Path) -> None:
    rows = nets()
    rows[5] |= {"label": "Appendicularia", "class": "Appendicularia"}
    found = counted(collection(tmp_path / "c", rows), within="Copepoda")
    assert cells(found, "n") == {("s1", "Copepoda"): 4, ("s1", "Oithona"): 1, ("s2", None): 0}


def test_a_group_of_samples_has_the_mean_of_their_concentrations(golden: bc.Collection) -> None:
    found = counted(golden, by=("station",), **VOLUMES)
    assert cells(found, "n") == {("A", "Copepoda"): 4, ("A", "Oithona"): 2}
    assert cells(found, "concentration") == pytest.approx({("A", "Copepoda"): 1.12 / 2, ("A", "Oithona"): (0.32 + 0.1) / 2})


def test_a_rank_takes_coarser_names_as_they_are(tmp_path: Path) -> None:
    rows = nets()
    for row, family in zip(rows, ("Calanidae", "Calanidae", None, "Oithonidae", None, "Oithonidae")):
        row["family"] = family
    found = counted(collection(tmp_path / "c", rows), rank="family")
    table = {(row["sample"], row["taxon"], row["rank"]): row["n"] for row in found.table().to_pylist()}
    assert table == {
        ("s1", "Calanidae", "family"): 2,
        ("s1", "Copepoda", "class"): 2,
        ("s1", "Oithonidae", "family"): 1,
        ("s2", "Oithonidae", "family"): 1,
    }
    with pytest.raises(BiocosmosError, match="no rank 'genus'"):
        counted(collection(tmp_path / "d", nets()), rank="genus")


def test_names_of_identify_count(golden: bc.Collection, tmp_path: Path) -> None:
    answers = [
        {"id": f"o{i}", "taxon": "Copepoda", "rank": "class", "confidence": 0.9, "best_guess": "Oithona", "method": "nearest"}
        | {"best_guess_confidence": 0.5, "novelty": 0.1, "novel": False, "class": "Copepoda", "class_confidence": 0.9}
        for i in range(5)
    ]
    path = tmp_path / "names.parquet"
    pa.parquet.write_table(pa.Table.from_pylist(answers), path)
    found = counted(golden, names=str(path))
    assert cells(found, "n") == {("s1", "Copepoda"): 5, ("s2", None): 0} and found.community.predicted
    assert "1 specimens are not in the table of names" in reasons(found)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"tot_vol": 0.0}, "missing, 0 or 999999"),
        ({"tot_vol": 999999.0}, "missing, 0 or 999999"),
        ({"tot_vol": None}, "missing, 0 or 999999"),
        ({"tot_vol": float("inf")}, "missing, 0 or 999999"),
        ({"sub_part": 0.25}, "missing or below 1"),
        ({"sub_part": 0.0}, "missing or below 1"),
    ],
)
def test_what_cannot_be_makes_no_concentration_and_is_told(tmp_path: Path, spoilt: dict[str, Any], words: str) -> None:
    rows = nets()
    rows[0] |= spoilt
    found = counted(collection(tmp_path / "c", rows), **VOLUMES)
    assert cells(found, "concentration") == {("s1", "Copepoda"): None, ("s1", "Oithona"): 0.32, ("s2", "Oithona"): 0.1}
    assert words in reasons(found) and "s1" in reasons(found)


def test_a_share_above_one_is_told_with_its_remedy(golden: bc.Collection) -> None:
    found = counted(golden, volume="tot_vol=L", share="sub_part")
    assert "--parts" in reasons(found)
    assert cells(found, "concentration") == {("s1", "Copepoda"): None, ("s1", "Oithona"): None, ("s2", "Oithona"): 100.0}


def test_parts_of_a_sample_have_no_concentration(tmp_path: Path) -> None:
    rows = nets()
    rows[0] |= {"depth_min": 10.0, "depth_max": 20.0}
    rows[0]["acq_id"] = rows[1]["acq_id"]
    found = counted(collection(tmp_path / "c", rows), by=("sample", "depth"), **VOLUMES)
    assert "specimens of several depth and one volume" in reasons(found)
    said = {(r["sample"], r["depth"], r["taxon"]): r["concentration"] for r in found.table().to_pylist()}
    assert said["s1", "10-20 m", "Copepoda"] is None and said["s2", "50-150 m", "Oithona"] == 0.1


def test_depths_share_the_volume_of_a_sample_whatever_their_acquisitions(tmp_path: Path) -> None:
    rows = [row | {"sample_tot_vol": row["tot_vol"]} for row in nets()]
    rows[0] |= {"depth_min": 10.0, "depth_max": 20.0, "acq_id": "d9"}
    found = counted(collection(tmp_path / "c", rows), by=("sample", "depth"), volume="sample_tot_vol=m3", parts="sub_part")
    assert "specimens of several depth and one volume" in reasons(found)


def test_layers_and_their_faults(golden: bc.Collection, tmp_path: Path) -> None:
    layered = counted(golden, by=("station", "depth"), layers=(0, 60, 200))
    assert [row["depth"] for row in layered.table().to_pylist()] == ["0-60 m", "0-60 m", "60-200 m"]
    rows = nets()
    rows[5]["depth_min"] = 60.0
    told_of = {"by": ("station", "depth"), "per_m2": True, **VOLUMES}
    assert "no sample between 50 and 60 m" in reasons(counted(collection(tmp_path / "gap", rows), **told_of))
    rows[5]["depth_min"] = 40.0
    with pytest.raises(BiocosmosError, match="overlap"):
        counted(collection(tmp_path / "overlap", rows), **told_of)
    rows[5] |= {"depth_min": None, "depth_max": None}
    found = counted(collection(tmp_path / "bare", rows), **told_of)
    assert "no layer from one depth to another" in reasons(found)
    assert cells(found, "per_m2")["A", "Oithona"] is None
    with pytest.raises(BiocosmosError, match="no sample has one"):
        counted(collection(tmp_path / "flat", nets(depth_min=5.0, depth_max=5.0)), **told_of)


def test_a_collection_without_names_or_samples(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "t", "sample_id": "s1"}]
    found = counted(collection(tmp_path / "c", rows))
    assert cells(found, "n") == {("s1", None): 0} and "all samples are empty" in reasons(found)
    with pytest.raises(BiocosmosError, match=r"no specimen of .* is selected"):
        counted(collection(tmp_path / "e", rows), where="id = 'none'")
    with pytest.raises(BiocosmosError, match="--sample"):
        counted(collection(tmp_path / "d", [{"id": "a", "text": "t", "label": "x"}]))


@pytest.mark.parametrize(
    "given",
    [
        {"volume": "tot_vol"},
        {"volume": "tot_vol=gallons"},
        {"volume": "v=m3", "biovolume": "area*2"},
        {"volume": "v=m3", "biovolume": "sphere"},
        {"volume": "v=m3", "biovolume": "sphere", "pixel": "10.6"},
        {"volume": "v=m3", "biovolume": "sphere", "pixel": "-1mm"},
        {"volume": "v=m3", "biovolume": "area.__class__*px", "pixel": "1mm"},
        {"volume": "v=m3", "biovolume": "[area for area in px]", "pixel": "1mm"},
        {"volume": "v=m3", "biovolume": "px", "pixel": "1mm"},
        {"volume": "v=m3", "biovolume": "(" * 200 + "px", "pixel": "1mm"},
        {"layers": (0.0, 50.0)},
        {"by": ("depth",), "layers": (50.0, 0.0)},
        {"share": "part"},
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        told(SummarizeSettings, **given)


def test_formulas() -> None:
    values = {"px": 0.5, "area": 9.0, "major": 4.0, "minor": 2.0}
    assert formula_of("ellipsoid").of(values.__getitem__) == pytest.approx(4 / 3 * math.pi * 1.0 * 0.25)
    assert formula_of("sphere").of(values.__getitem__) == pytest.approx(4 / 3 * math.pi * (math.sqrt(9 / math.pi) * 0.5) ** 3)
    assert formula_of("area*9**9**9**9*px").of(values.__getitem__) != formula_of("area*9**9**9**9*px").of(values.__getitem__)
    assert math.isnan(formula_of("area/(px-px)").of(values.__getitem__))
    assert math.isnan(formula_of("(0-area)**0.5*px").of(values.__getitem__))


def test_a_confusion_that_would_judge_itself_is_refused(golden: bc.Collection, tmp_path: Path) -> None:
    rows = [{"id": f"v{i}", "text": "t", "sample_id": "v", "label": "ab"[i % 2]} for i in range(40)]
    rows += [{"id": f"s{i}", "text": "t", "sample_id": "s", "label": None} for i in range(10)]
    stored = collection(tmp_path / "c", rows)

    def names(ids: list[str], path: Path, **provenance: Any) -> str:
        table = pa.table(
            {"id": ids, "taxon": ["a" if int(id[1:]) % 4 < 3 else "b" for id in ids], "rank": ["label"] * len(ids)}
            | {"confidence": [0.9] * len(ids), "best_guess": ["a"] * len(ids), "method": ["nearest"] * len(ids)}
            | {"novelty": [0.0] * len(ids)}
        )
        write_table(table, path, provenance)
        return str(path)

    ids = [row["id"] for row in rows]
    said = names(ids[40:], tmp_path / "names.parquet")
    judged = names(ids[:40], tmp_path / "val.parquet")
    found = counted(stored, names=said, confusion=judged, draws=50)
    row = next(row for row in found.table().to_pylist() if row["sample"] == "s" and row["taxon"] == "b")
    # Of b every second is called a, of a none is called b: the 2 of 10 that are called b are 4.
    assert row["n"] == 2 and row["corrected"] == pytest.approx(4, abs=0.1) and row["low"] <= row["corrected"] <= row["high"]
    own = counted(stored, names=judged, confusion=judged, draws=5)
    assert any("40 specimens of its are counted too" in failure.reason for failure in own.failures)
    assert not any("counted too" in failure.reason for failure in found.failures)
    Fitted.of("the head in head", fitted=ids[:5]).save(tmp_path / "head")
    leaking = names(ids[:40], tmp_path / "leak.parquet", asked={"head": [str(tmp_path / "head")]})
    with pytest.raises(BiocosmosError, match="the head in head"):
        counted(stored, names=said, confusion=leaking)
    stored.make_split("random", name="own")
    learnt = names(ids[:40], tmp_path / "own.parquet", asked={"known": "own:train"})
    with pytest.raises(BiocosmosError, match="of the part 'own:train' that names were learnt from"):
        counted(stored, names=said, confusion=learnt)
    with pytest.raises(BiocosmosError, match="it takes 30"):
        counted(stored, names=said, confusion=said)


def test_chao1_of_predicted_names_has_its_warning(golden: bc.Collection) -> None:
    assert "chao1" not in counted(golden, draws=0).diversity().column_names
    assert not len(counted(golden, chao1=True, draws=0).failures)  # people named these
