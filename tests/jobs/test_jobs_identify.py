"""identify as a user runs it: every option, for every way of naming; what is kept; what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.identify.keeping import STATE
from biocosmos.jobs.identify import explain, identify_collection
from biocosmos.jobs.who_names import NAMERS, identifier_of
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import train_heads


@pytest.fixture(scope="module")
def mine(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """A copy of the small collection: namers are kept in it."""
    folder = tmp_path_factory.mktemp("identify")
    shutil.copytree(embedded.path, folder / "mine.cosmos", ignore=shutil.ignore_patterns(NAMERS))
    return bc.Collection.open(folder / "mine.cosmos")


@pytest.fixture(scope="module")
def head(mine: bc.Collection) -> Path:
    """A head on stored vectors."""
    folder = mine.path.with_name("run")
    train_heads(mine, head_settings(freeze=True, ranks="group,label", epochs=4, batch_size=32, device="cpu"), folder)
    return folder


@pytest.fixture(scope="module")
def photos(mine: bc.Collection) -> Path:
    """Five images from outside, and a file that is none."""
    folder = mine.path.with_name("photos")
    folder.mkdir()
    for number, id_ in enumerate(mine.table(["id"], split="test")["id"].to_pylist()[:5]):
        (folder / f"{number}.jpg").write_bytes(mine.image_bytes(id_) or b"")
    (folder / "broken.jpg").write_text("not an image")
    return folder


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and what was printed or raised."""
    done = CliRunner().invoke(app, ["identify", *map(str, arguments)])
    return done.exit_code, f"{done.output} {done.exception or ''}"


OPTIONS = {
    "default": [],
    "method": ["--method", "centroid"],
    "encoder": ["-e", "efficientnet-lite0"],
    "known": ["--known", "train"],
    "calibration": ["--calibration", "val"],
    "within": ["--within", "living"],
    "where": ["--where", "label IS NOT NULL"],
    "class_weight": ["--class-weight", "balanced"],
    "error_rate": ["--error-rate", "0.3"],
    "promise": ["--promise", "mean", "--error-rate", "0.2"],
    "delta": ["--delta", "0.4", "--error-rate", "0.3"],
    "threshold": ["--threshold", "0.6"],
    "sets": ["--sets", "phylum", "--error-rate", "0.2"],
    "novelty": ["--novelty", "knn"],
    "false_alarm_rate": ["--false-alarm-rate", "0.2"],
    "fresh": ["--fresh"],
    "seed": ["--seed", "3"],
    "device": ["--device", "cpu"],
    "precision": ["--precision", "float32"],
    "backend": ["--backend", "torch"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_names_photos_and_says_so(mine: bc.Collection, photos: Path, tmp_path: Path, option: str) -> None:
    """All are set apart by what they leave in the provenance or the table."""
    given = (
        OPTIONS[option]
        if "--method" in OPTIONS[option] or option == "class_weight"
        else [*OPTIONS[option], "--method", "nearest"]
    )
    code, said = run(mine.path, photos, *given, "-o", tmp_path / "names.csv")
    assert code == 0, said
    rows = list(csv.DictReader((tmp_path / "names.csv").open(encoding="utf-8")))
    assert [Path(row["image_path"]).name for row in rows] == [f"{i}.jpg" for i in range(5)]
    facts = json.loads((tmp_path / "names.csv.provenance.json").read_text())
    assert "of 5 specimens named" in said and "1 failed" in said
    expected = {
        "method": ("method", "centroid"),
        "class_weight": ("settings.class_weight", "balanced"),
        "within": ("settings.within", "living"),
        "error_rate": ("settings.rules.error_rate", 0.3),
        "promise": ("promise.kind", "mean"),
        "delta": ("promise.delta", 0.4),
        "threshold": ("threshold", 0.6),
        "sets": ("settings.rules.sets", "phylum"),
        "novelty": ("novelty.score", "knn"),
        "false_alarm_rate": ("novelty.false_alarm_rate", 0.2),
        "seed": ("settings.seed", 3),
        "known": ("gallery.selection.split", "train"),
        "where": ("gallery.selection.where", "label IS NOT NULL"),
    }
    if option in expected:
        at, value = expected[option]
        found = facts
        for key in at.split("."):
            found = found[key]
        assert found == value
    if option == "sets":
        assert all(row["set"] for row in rows)
    if option == "within":
        assert {row["status"] for row in rows} == {"living"}
    if option == "calibration":
        assert (
            facts["calibration"]["source"].endswith("calibration specimens")
            or "calibration gallery" in facts["settings"]["held_out"]
        )


def test_the_list_of_taxa_is_the_only_one_named(mine: bc.Collection, photos: Path, tmp_path: Path) -> None:
    groups = sorted({name for name in mine.table(["phylum"])["phylum"].to_pylist() if name})[:2]
    (tmp_path / "list.csv").write_text("\n".join(["phylum", *groups, "Nemo"]) + "\n")
    code, said = run(mine.path, photos, "--taxa", tmp_path / "list.csv", "--method", "nearest", "-o", tmp_path / "names.csv")
    assert code == 0 and "Nemo" in (tmp_path / "names.failures.csv").read_text(), said
    assert {row["phylum"] for row in csv.DictReader((tmp_path / "names.csv").open(encoding="utf-8"))} <= set(groups)


@pytest.mark.parametrize("way", ["linear", "head"])
def test_a_report_is_written_for_every_way_of_naming(
    mine: bc.Collection, head: Path, photos: Path, tmp_path: Path, way: str
) -> None:
    who = ["--head", head] if way == "head" else ["--method", "linear"]
    promise = ["--promise", "mean", "--error-rate", "0.3"]
    code, said = run(mine.path, photos, *who, *promise, "--report", tmp_path / "names.html", "--save")
    assert code == 0 and "kept in" in said, said
    page = (tmp_path / "names.html").read_text()
    assert page.count("data:image/jpeg") > 5 and "of 5 specimens named" in page and "promised: the expected share" in page
    assert ("has no model of images behind it" in page) == (way == "linear")
    done = identify_collection(
        mine, head=head if way == "head" else None, part="test", promise="mean", error_rate=0.3, evidence=True
    )
    report, _ = explain(done, mine)
    assert sum(row["queries"] for row in report.rows("splits")) == len(done.table) == mine.count(split="test")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--threshold", "0.9", "--error-rate", "0.1"], "--error-rate does nothing here: it is used without --threshold"),
        (["--promise", "mean", "--delta", "0.1"], "--delta does nothing here"),
        (["--views", "2"], "--views does nothing here: it is used with --head"),
        (["--templates", __file__], "--templates does nothing here: it is used without --head and with --method zero-shot"),
        (["--method", "nearest", "--class-weight", "balanced"], "--class-weight does nothing here"),
        (["--novelty", "odin"], "takes a gradient through a model of images"),
        (["--novelty", "smell"], "no novelty detector 'smell'"),
        (["--method", "magic"], "no method 'magic'"),
        (["--error-rate", "0.0001"], "the smallest possible is"),
        (["--method", "zero-shot"], "has no text tower"),
        (["--part", "test"], "give images or --part, not both"),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_refused_in_one_line(
    mine: bc.Collection, photos: Path, given: list[str], says: str
) -> None:
    code, said = run(mine.path, photos, *given)
    assert code != 0 and says in said, said


def test_a_head_has_its_own_specimens_and_a_part_embeds_nothing(mine: bc.Collection, head: Path, photos: Path) -> None:
    for option in (["--within", "living"], ["--method", "linear"], ["--known", "train"], ["--where", "label IS NOT NULL"]):
        code, said = run(mine.path, photos, "--head", head, *option)
        assert code != 0 and f"{option[0]} does nothing here" in said
    code, said = run(mine.path, "--part", "test", "--precision", "float32")
    assert code != 0 and "--precision does nothing here: it is used without --part" in said
    code, said = run(mine.path, photos, "--head", head, "--novelty", "odin")
    assert code != 0 and "stands on stored vectors" in said
    code, said = run(mine.path, photos, "--head", head, "--views", "2")
    assert code != 0 and "which are of one view" in said


def test_photos_are_named_by_all_labelled_specimens_and_a_part_by_the_training_part(mine: bc.Collection, photos: Path) -> None:
    counts = mine.split().counts()
    outside = identify_collection(mine, images=[photos], method="nearest")
    assert (
        len(outside.identifier.known or ()) == sum(counts.values()) and "cross-fitted" in outside.identifier.settings["held_out"]
    )
    part = identify_collection(mine, part="test", method="nearest")
    assert len(part.identifier.known or ()) == counts["train"] and "cross-fitted" in part.identifier.settings["held_out"]
    apart = identify_collection(mine, part="test", calibration="val", method="nearest")
    assert len(apart.identifier.known or ()) == counts["train"] and 0 < len(apart.identifier.calibrated_on) <= counts["val"]
    with pytest.raises(BiocosmosError, match="queries are among the specimens they would be named by"):
        identify_collection(mine, part="test", known="test", method="nearest")


def test_what_was_kept_names_as_what_is_fitted_anew(mine: bc.Collection, head: Path) -> None:
    ways = {"linear": {"method": "linear"}, "nearest": {"method": "nearest"}, "head": {"head": head}}
    for name, way in ways.items():
        first = identify_collection(mine, part="test", promise="mean", error_rate=0.3, fresh=True, **way).table
        kept = identify_collection(mine, part="test", promise="mean", error_rate=0.3, **way)
        assert first.equals(kept.table), name
        again = bc.Identifier.load(_folder(mine, kept.identifier))
        assert again.calibration == kept.identifier.calibration and again.promise == kept.identifier.promise


def _folder(collection: bc.Collection, identifier: bc.Identifier) -> Path:
    for state in (collection.path / NAMERS).glob(f"*/{STATE}"):
        facts = json.loads(state.read_text())
        if facts["settings"] == json.loads(json.dumps(identifier.settings)) and facts["threshold"] == identifier.threshold:
            return state.parent
    raise AssertionError("nothing was kept")


def test_a_damaged_or_half_written_namer_is_fitted_anew(mine: bc.Collection) -> None:
    first = identify_collection(mine, part="test", method="simpleshot", seed=7)
    folder = _folder(mine, first.identifier)
    (folder / "arrays.npz").write_bytes(b"damaged")
    with pytest.raises(BiocosmosError, match="was changed after it was saved"):
        bc.Identifier.load(folder)
    (folder / STATE).touch()  # another time stamp, so that the process does not remember it
    mended = identify_collection(mine, part="test", method="simpleshot", seed=7)
    assert mended.table.equals(first.table) and "fitted anew" in mended.failures.reasons()[0][0]
    for damage in ("[1]", "{}", "null", '{"format": 3, "files": []}', "not json"):
        (folder / STATE).write_text(damage)
        with pytest.raises(BiocosmosError, match=r"cannot read an identifier|fit the identifier again"):
            bc.Identifier.load(folder)
        assert identify_collection(mine, part="test", method="simpleshot", seed=7).table.equals(first.table)
    shutil.move(folder, folder.with_name(f".{folder.name}.1.tmp"))  # as a kill before the last step leaves it
    assert identify_collection(mine, part="test", method="simpleshot", seed=7).table.equals(first.table)
    assert (folder / STATE).is_file()


def test_a_changed_collection_is_named_by_what_it_is_now(mine: bc.Collection) -> None:
    before = identifier_of(mine, method="nearest")
    mine.make_split("stratified", name="another", seed=5)
    assert _key_count(mine) > 0 and identifier_of(mine, method="nearest") is not before


def _key_count(collection: bc.Collection) -> int:
    return len(list((collection.path / NAMERS).iterdir()))


def test_exports_have_no_empty_columns(mine: bc.Collection, tmp_path: Path) -> None:
    code, said = run(mine.path, "--part", "test", "--method", "nearest", "-o", tmp_path / "names.parquet")
    assert code == 0, said
    table = pq.read_table(tmp_path / "names.parquet")
    core = {"id", "taxon", "rank", "confidence", "novelty", "novel", "method"}
    assert core <= set(table.column_names)
    assert all(table[name].null_count < len(table) for name in set(table.column_names) - core)
