"""identify with a place: real images of the shipped sample, at places that are made up for the test."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.evaluate.report import read_tables
from biocosmos.jobs.who_names import NAMERS

N = 300
ASK = ("--method", "centroid", "--novelty", "knn", "--known", "train")


@pytest.fixture(scope="module")
def placed(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """The small collection, each taxon around a made-up place and in a made-up month of its own; every tenth says neither."""
    folder = tmp_path_factory.mktemp("placed") / "mine.cosmos"
    shutil.copytree(embedded.path, folder, ignore=shutil.ignore_patterns(NAMERS))
    collection = bc.Collection.open(folder)
    table = collection.table(["id", "label"])
    _, kind = np.unique(np.array([label or "" for label in table["label"].to_pylist()]), return_inverse=True)
    rng = np.random.default_rng(0)
    nowhere = np.arange(len(kind)) % 10 == 0
    made = {
        "id": table["id"],
        "latitude": pa.array(45 + 0.5 * (kind % 8) + rng.normal(0, 0.2, len(kind)), mask=nowhere),
        "longitude": pa.array(3 + 0.5 * (kind // 8) + rng.normal(0, 0.2, len(kind)), mask=nowhere),
        "date": [None if no else f"2024-{1 + k * 5 % 12:02d}-15" for k, no in zip(kind, nowhere, strict=True)],
    }
    collection.update(pa.table(made))
    return collection


@pytest.fixture(scope="module")
def photo(placed: bc.Collection) -> Path:
    """An image from outside."""
    path = placed.path.with_name("photo.jpg")
    path.write_bytes(placed.image_bytes(placed.table(["id"], split="test")["id"][0].as_py()) or b"")
    return path


def run(*arguments: object, fails: int = 0) -> str:
    """What was printed, or raised."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == fails, (done.output, done.exception)
    return f"{done.output}{done.exception or ''}"


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_one_photo_with_a_place_has_both_confidences_and_says_what_the_prior_did(
    placed: bc.Collection, photo: Path, tmp_path: Path
) -> None:
    where = placed.table(
        ["latitude", "longitude", "label"], where="label = 'chordate_type1' AND latitude IS NOT NULL"
    ).to_pylist()
    at = f"{where[0]['latitude']},{where[0]['longitude']}"
    said = run("identify", placed.path, photo, *ASK, "--at", at, "--on", "03-15", "-o", tmp_path / "with.csv")
    run("identify", placed.path, photo, *ASK, "-o", tmp_path / "without.csv")
    (with_place,), (without,) = rows(tmp_path / "with.csv"), rows(tmp_path / "without.csv")
    assert "place was counted in for 1 of 1 specimens" in said and "held out by cells of 0.1 degrees" in said
    assert with_place["best_guess"] in with_place["place"] and "specimens within" in with_place["place"]
    assert with_place["best_guess_without_place"] == without["best_guess"]
    assert with_place["taxon_without_place"] == without["taxon"]
    same = [rank for rank in placed.ranks if without.get(rank) and with_place.get(rank) == without[rank]]
    assert same
    for rank in same:  # the confidence without place is what it is where no place is told
        assert float(with_place[f"{rank}_confidence_without_place"]) == pytest.approx(float(without[f"{rank}_confidence"]))
    facts = json.loads((tmp_path / "with.csv.provenance.json").read_text())
    assert facts["place"]["exponent"] > 0 and facts["place"]["chosen"]["with_place"] < facts["place"]["chosen"]["without"]
    assert facts["promise"] is None or "with a place" in facts["calibration"]["source"] + facts["settings"]["held_out"]


def test_without_a_place_nothing_changes_to_the_bit(placed: bc.Collection, photo: Path, tmp_path: Path) -> None:
    run("train", "place", placed.path, "--split", "train", "-o", tmp_path / "prior")
    fence = tmp_path / "fence.csv"
    fence.write_text("taxon,rule,country\nAnimalia,block,BE\n")
    named = {
        "plain": (),
        "none": ("--at", "46,4", "--prior", "none"),
        "nowhere": ("--prior", tmp_path / "prior"),
        "a fence elsewhere": ("--fence", fence, "--country", "NL"),
    }
    tables = {}
    for name, how in named.items():
        said = run("identify", placed.path, photo, *ASK, *how, "-o", tmp_path / f"{name}.csv")
        tables[name] = (tmp_path / f"{name}.csv").read_bytes()
        assert ("changes nothing" in said) == (name == "nowhere")
    assert len(set(tables.values())) == 1


def test_a_part_is_named_by_its_own_places_and_who_has_none_as_without(placed: bc.Collection, tmp_path: Path) -> None:
    run("train", "place", placed.path, "--split", "train", "-o", tmp_path / "prior")
    ask = ("identify", placed.path, "--part", "test", *ASK)
    said = run(*ask, "--prior", tmp_path / "prior", "-o", tmp_path / "with.csv")
    run(*ask, "-o", tmp_path / "without.csv")
    again = run(*ask, "--prior", tmp_path / "prior", "-o", tmp_path / "again.csv")  # as it was kept
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "with.csv").read_bytes() and "place counts with" in again
    facts = {row["id"]: row for row in placed.table(["id", "label", "latitude"]).to_pylist()}
    with_place, without = rows(tmp_path / "with.csv"), rows(tmp_path / "without.csv")
    right = dict.fromkeys(("with", "without"), 0)
    for one, other in zip(with_place, without, strict=True):
        if facts[one["id"]]["latitude"] is None:
            assert not one["place"] and {name: one[name] for name in other if name in one} == other
            continue
        assert one["best_guess_without_place"] == other["best_guess"] and one["place"]
        right["with"] += one["best_guess"] == facts[one["id"]]["label"]
        right["without"] += other["best_guess"] == facts[one["id"]]["label"]
    assert right["with"] > right["without"] + 10  # each taxon has a place of its own
    nowhere = sum(not row["place"] for row in with_place)
    assert nowhere > 0 and f"the other {nowhere} were named without it" in said


def test_who_taught_the_prior_is_not_judged_by_it(placed: bc.Collection, photo: Path, tmp_path: Path) -> None:
    run("train", "place", placed.path, "-o", tmp_path / "all")
    said = run("identify", placed.path, "--part", "test", *ASK, "--prior", tmp_path / "all", fails=1)
    assert "queries are among the specimens of the prior of places" in said
    run("identify", placed.path, photo, *ASK, "--prior", tmp_path / "all", "--at", "46,4")  # held-out cells are left out of it


def test_a_collection_without_places_says_so(embedded: bc.Collection, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere.cosmos"
    shutil.copytree(embedded.path, folder, ignore=shutil.ignore_patterns(NAMERS))
    collection = bc.Collection.open(folder)
    for name in ("latitude", "longitude", "date"):
        if name in collection.stored_columns:
            nothing = pa.nulls(len(collection), pa.string() if name == "date" else pa.float64())
            collection.update(pa.table({"id": collection.table(["id"])["id"], name: nothing}))
    path = tmp_path / "photo.jpg"
    path.write_bytes(collection.image_bytes(collection.table(["id"])["id"][0].as_py()) or b"")
    said = run("identify", folder, path, *ASK[:4], "--at", "46,4")
    assert "place was not counted in: no known specimen" in said
    said = run("identify", folder, path, *ASK[:4], "--at", "46,4", "--prior", "collection", fails=1)
    assert "has a place or a date" in said


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (("--at", "95,3"), "they look swapped"),
        (("--on", "soon"), "is not a day of the year"),
        (("--country", "Atlantis", "--at", "46,4"), "no country of ISO 3166"),
        (("--prior", "nowhere"), "holds no prior of places"),
        (("--country", "NL"), "it is used with --fence"),
    ],
)
def test_what_is_no_place_is_refused_in_a_line(placed: bc.Collection, photo: Path, how: tuple[str, ...], reason: str) -> None:
    said = run("identify", placed.path, photo, *how, fails=1)
    assert reason in said and "Traceback" not in said


def test_fences_and_checklists_stand_behind_what_is_said(placed: bc.Collection, photo: Path, tmp_path: Path) -> None:
    run("identify", placed.path, photo, *ASK, "-o", tmp_path / "plain.csv")
    (plain,) = rows(tmp_path / "plain.csv")
    fence, listed = tmp_path / "fence.csv", tmp_path / "list.csv"
    name = plain["best_guess"]
    fence.write_text(f"Taxon;Rule;Country\n{name};block;Netherlands\nNemo;block;NL\n{name};maybe;NL\n")
    said = run("identify", placed.path, photo, *ASK, "--fence", fence, "--country", "NL", "-o", tmp_path / "fenced.csv")
    (fenced,) = rows(tmp_path / "fenced.csv")
    assert "rules are of countries" not in said
    other = run("identify", placed.path, photo, *ASK, "--fence", fence, "--at", "46,4", "-o", tmp_path / "no_country.csv")
    assert "2 rules are of countries: without --country they take nothing away" in other
    assert fenced["best_guess"] != plain["best_guess"] and "touched the answers to 1 specimens" in said
    assert fenced["fences"].startswith(f"fence.csv:2: {plain['best_guess']} blocked in NL (p 0.")
    failures = (tmp_path / "fenced.failures.csv").read_text()
    assert "Nemo" in failures and "'maybe' is no rule" in failures
    facts = json.loads((tmp_path / "fenced.csv.provenance.json").read_text())
    assert list(facts["fences"]["files"]) == [str(fence)]
    group = next(name for name in placed.ranks if plain[name] and name != "status")
    listed.write_text(f"scientificName\n{fenced['best_guess']}\n")
    run("identify", placed.path, photo, *ASK, "--checklist", listed, "-o", tmp_path / "listed.csv")
    (only,) = rows(tmp_path / "listed.csv")
    assert only["best_guess"] == fenced["best_guess"] and "not on this checklist" in only["fences"], group
    how = ("--fence", fence, "--country", "NL", "--fence-way", "roll-up")
    run("identify", placed.path, photo, *ASK, *how, "-o", tmp_path / "rolled.csv")
    (rolled,) = rows(tmp_path / "rolled.csv")
    assert "rolled up to" in rolled["fences"] and rolled["best_guess"] in rolled["fences"]
    assert not rolled.get("label") and rolled["best_guess"] != plain["best_guess"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("name,rule\n,block\n", "no taxon in this row"),
        ("colour,rule\nred,block\n", "has no column of taxa"),
        ("taxon,rule,country\nAnimalia,block,Atlantis\n", "is no country of ISO 3166"),
        ("taxon,rule,region\nAnimalia,block,CA\n", "of which country"),
        ("taxon,rule,polygon\nAnimalia,block,POLYGON ((1 2))\n", "polygon needs three points"),
    ],
)
def test_a_file_without_a_usable_rule_is_refused_in_a_line(
    placed: bc.Collection, photo: Path, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "fence.csv").write_text(text)
    assert reason in run("identify", placed.path, photo, *ASK, "--fence", tmp_path / "fence.csv", fails=1)


def test_evaluate_sets_names_with_and_without_place_side_by_side(placed: bc.Collection, tmp_path: Path) -> None:
    ask = ("evaluate", placed.path, "--method", "centroid", "--novelty", "knn", "--protocol", "ranks")
    run("train", "place", placed.path, "-o", tmp_path / "all")  # of the test part too, so that rows are not judged
    said = run(*ask, "--prior", tmp_path / "all", "-o", tmp_path / "report")
    assert "centroid, place, cells held out" in said and "by rows" not in said
    tables = read_tables(tmp_path / "report")
    changed, ranks = tables["place_changed"].to_pylist(), tables["place_ranks"].to_pylist()
    labels = dict(zip(*placed.table(["id", "label"]).to_pydict().values(), strict=True))
    for row in changed:
        right = labels[row["id"]]
        assert row["truth"] == right and row["without"] != row["with"]
        assert row["kind"] == ("mended" if row["with"] == right else "broken" if row["without"] == right else "still wrong")
    last = ranks[-1]
    assert last["mended"] == sum(row["kind"] == "mended" for row in changed) > last["broken"]
    assert last["right_with"] - last["right_without"] == pytest.approx((last["mended"] - last["broken"]) / last["specimens"])
    known = [row for row in placed.table(["id", "latitude"], split="test").to_pylist() if row["latitude"] is not None]
    assert last["specimens"] == len(known) and last["low"] <= last["difference"] <= last["high"]
    assert "<img" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    said = run(*ask, "--prior", "collection", "-o", tmp_path / "own")  # fitted on those that name: rows may be judged too
    assert "centroid, place, by rows" in said


def test_a_table_says_where_each_image_was_taken(placed: bc.Collection, tmp_path: Path) -> None:
    columns = ["id", "latitude", "longitude", "date"]
    asked = placed.table(columns, split="test", where="latitude IS NOT NULL").slice(0, 4).to_pylist()
    (tmp_path / "images").mkdir()
    for number, row in enumerate(asked):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(placed.image_bytes(row["id"]) or b"")
    lines = ["File;Latitude;Longitude;Date;Depth"]
    lines += [f"images/{n}.jpg;{row['latitude']};{row['longitude']};{row['date']};5 m" for n, row in enumerate(asked[:2])]
    lines += ["2.jpg;95;3;soon;deep", ";1;2;;"]
    (tmp_path / "places.csv").write_text("\n".join(lines))
    how = ("--prior", "collection", "-o", tmp_path / "names.csv")
    said = run("identify", placed.path, tmp_path / "images", *ASK, "--places", tmp_path / "places.csv", *how)
    assert "place was counted in for 2 of 4 specimens" in said
    found = {Path(row["id"]).name: row["place"] for row in rows(tmp_path / "names.csv")}
    assert found["0.jpg"] and found["1.jpg"] and not found["2.jpg"] and not found["3.jpg"]
    failures = (tmp_path / "names.failures.csv").read_text()
    for reason in ("they look swapped", "is not a day of the year", "no number of metres", "no file in this row"):
        assert reason in failures
    (tmp_path / "places.csv").write_text("file,colour\n2.jpg,red\n")
    said = run("identify", placed.path, tmp_path / "images", *ASK, "--places", tmp_path / "places.csv", fails=1)
    assert "says neither where nor when" in said


def test_a_prior_of_other_taxa_is_refused(placed: bc.Collection, photo: Path, tmp_path: Path) -> None:
    birds = bc.Collection.create(tmp_path / "birds.cosmos")
    n = np.arange(40)
    family = ["Corvidae" if even else "Paridae" for even in n % 2 == 0]
    made = {"id": [f"bird {i}" for i in n], "text": ["seen"] * 40, "family": family}
    birds.add(pa.table({**made, "latitude": 50 + n % 2 + n / 100, "longitude": 5 + n / 100}))
    run("train", "place", birds.path, "-o", tmp_path / "prior")
    said = run("identify", placed.path, photo, *ASK, "--prior", tmp_path / "prior", "--at", "50,5", fails=1)
    assert "knows none of the" in said and "Corvidae" in said
