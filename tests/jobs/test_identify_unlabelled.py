"""identify --part unlabelled: what nobody has named in a collection is named in one step, and goes back under its own ids."""

from __future__ import annotations

import csv
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos.cli.app import app
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.identify import identify_collection
from biocosmos.specimens.records import Source
from biocosmos.specimens.splits import Split

sys.path.append(str(Path(__file__).parents[1] / "specimens"))
from ecotaxa_rules import validate

Run = Callable[..., str]


def told(*arguments: object) -> str:
    """All that a command line that succeeds says."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.output


TAXA = ("trichodesmium_puff", "chaetognath_other")


def specimens_of(sample: pa.Table, taxon: str, count: int) -> pa.Table:
    return sample.filter(pc.equal(sample["label"], taxon)).slice(0, count)


@pytest.fixture(scope="module")
def project(sample_table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EcoTaxa export of 32 objects of two taxa, half of them without a name; object 31 is of a sample of its own."""
    path = tmp_path_factory.mktemp("ecotaxa") / "export.zip"
    columns = ("img_file_name", "object_id", "object_annotation_category", "object_annotation_hierarchy")
    rows = [(*columns, "object_annotation_status", "sample_id"), ("[t]",) * 6]
    with zipfile.ZipFile(path, "w") as archive:
        for taxon in TAXA:
            for number, image in enumerate(specimens_of(sample_table, taxon, 16)["image"].to_pylist()):
                named, object_ = number % 2 == 0, len(rows) - 2
                archive.writestr(f"{object_}.png", image)
                said = (taxon, f"living>{taxon}", "validated") if named else ("", "", "")
                rows.append((f"{object_}.png", f"net_{object_}", *said, "s2" if object_ == 31 else "s1"))
        archive.writestr("ecotaxa_export.tsv", "\n".join(map("\t".join, rows)) + "\n")
    return path


@pytest.fixture(scope="module")
def mine(project: Path) -> bc.Collection:
    """The export as a collection with vectors and a split by chance, in which unlabelled ones are in every part."""
    collection = bc.Collection.create(project.with_name("mine.cosmos"))
    collection.add(project)
    bc.embed(collection, "efficientnet-lite0")
    collection.make_split("random", seed=0)
    return collection


UNNAMED = [f"net_{number}" for number in range(1, 32, 2)]


def test_the_unnamed_objects_of_an_ecotaxa_project_go_back_named_under_their_own_ids(
    biocosmos: Run, mine: bc.Collection, tmp_path: Path
) -> None:
    names = tmp_path / "names.csv"
    said = told("identify", mine.path, "--part", "unlabelled", "-o", names, "--save")
    assert "16 of 16 specimens named" in said
    with names.open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == UNNAMED
    truth = {f"net_{number}": TAXA[number // 16] for number in range(32)}
    biocosmos("export", names, "-o", tmp_path / "back.zip", "--format", "ecotaxa")
    biocosmos("export", mine.path, "-o", tmp_path / "kept.zip", "--format", "ecotaxa", "--identifications", "latest")
    for sent in ("back.zip", "kept.zip"):
        verdict = validate(tmp_path / sent)
        assert verdict.errors == [] and [row["object_id"] for row in verdict.rows] == UNNAMED
        assert {row["object_annotation_status"] for row in verdict.rows} == {"predicted"}
        assert [row["sample_id"] for row in verdict.rows] == ["s1"] * 15 + ["s2"]
        right = sum(row["object_annotation_category"] == truth[row["object_id"]] for row in verdict.rows)
        assert right >= 14, "two taxa as unlike as these are told apart"
    with zipfile.ZipFile(tmp_path / "back.zip") as archive:
        assert sum(not name.endswith(".tsv") for name in archive.namelist()) == 16


def test_every_named_specimen_is_known_as_for_photos_whatever_its_part(mine: bc.Collection) -> None:
    named = set(mine.table(["id"])["id"].to_pylist()) - set(UNNAMED)
    done = identify_collection(mine, part="unlabelled", method="nearest")
    assert done.identifier.known is not None and set(done.identifier.known.ids) == named
    assert "cross-fitted" in done.identifier.settings["held_out"] and done.table["id"].to_pylist() == UNNAMED
    photo = identify_collection(mine, part="unlabelled", method="nearest", known="train")
    train = set(mine.table(["id"], split="train")["id"].to_pylist())
    assert photo.identifier.known is not None and set(photo.identifier.known.ids) == named & train


def test_where_chooses_the_named_and_the_known_alike(biocosmos: Run, mine: bc.Collection, tmp_path: Path) -> None:
    where = "id < 'net_3'"
    done = identify_collection(mine, part="unlabelled", method="nearest", where=where)
    chosen = {f"net_{number}" for number in range(32) if f"net_{number}" < "net_3"}
    assert set(done.table["id"].to_pylist()) == chosen & set(UNNAMED)
    assert done.identifier.known is not None and set(done.identifier.known.ids) == chosen - set(UNNAMED)
    ask = ("identify", mine.path, "--part", "unlabelled", "--where")
    assert "no named specimen where \"sample_id = 's2'\"" in biocosmos(*ask, "sample_id = 's2'", fails=1)
    assert "every specimen of" in biocosmos(*ask, "object_annotation_status = 'validated'", fails=1)
    assert "has no specimen where" in biocosmos(*ask, "sample_id = 's3'", fails=1)


def test_a_part_of_the_split_that_is_called_unlabelled_is_told_apart(mine: bc.Collection) -> None:
    before = mine.split()
    ids = [f"net_{number}" for number in range(8)]
    parts = ["unlabelled"] * 4 + ["train"] * 4
    try:
        mine.save_split(Split("default", "random", 0, {}, pa.array(ids), pa.array(parts)))
        done = identify_collection(mine, part="unlabelled", method="nearest")
        assert done.table["id"].to_pylist() == UNNAMED and any("--part default:unlabelled" in note for note in done.notes)
        with pytest.raises(BiocosmosError, match="at least two taxa"):  # its known ones are of one
            identify_collection(mine, part="default:unlabelled", method="nearest")
    finally:
        mine.save_split(before)


def test_what_has_no_vector_is_told_before_and_after(biocosmos: Run, sample_table: pa.Table, tmp_path: Path) -> None:
    """Sixteen named by rank and vectored, eight labelled only, four without anything."""
    rows = pa.concat_tables([specimens_of(sample_table, taxon, 14) for taxon in TAXA]).select(["id", "image", "label"])
    labels = rows["label"].to_pylist()
    genus = pa.array([None if number % 14 >= 8 else label for number, label in enumerate(labels)], pa.string())
    only = pa.array([None if number % 14 >= 12 else label for number, label in enumerate(labels)], pa.string())
    table = rows.set_column(2, "label", only).append_column("genus", genus)
    collection = bc.Collection.create(tmp_path / "mine.cosmos")
    collection.add(Source("mine", "table", table.to_batches(), ("genus",)), pack=True)
    named = [id_ for id_, name in zip(table["id"].to_pylist(), genus.to_pylist()) if name is not None]
    unnamed = [id_ for id_ in table["id"].to_pylist() if id_ not in named]
    vectors = {id_: [float(number + 1), 1.0 + number % 3, 2.0] for number, id_ in enumerate(table["id"].to_pylist())}
    collection.add_embedding("theirs", named, [vectors[id_] for id_ in named])
    said = biocosmos("identify", collection.path, "--part", "unlabelled", fails=1)
    assert "none of the 12 unlabelled specimens" in said and "biocosmos embed" in said
    there = [*named, *unnamed[:5]]
    collection.add_embedding("theirs", there, [vectors[id_] for id_ in there], overwrite=True)
    output = tmp_path / "names.csv"
    said = told("identify", collection.path, "--part", "unlabelled", "--method", "nearest", "-o", output)
    assert (
        "5 of 5 specimens named" in said and "7 failed" in said and "7 x no vector of theirs: run 'biocosmos embed' first" in said
    )
    assert "note: 8 of 24 labelled specimens have no name at any rank and are not among the known: give them one" in said
    with output.with_name("names.failures.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == unnamed[5:]


def test_a_collection_in_which_all_are_named_says_so_and_asking_nothing_says_what_can_be_asked(
    biocosmos: Run, embedded: bc.Collection
) -> None:
    said = biocosmos("identify", embedded.path, "--part", "unlabelled", fails=1)
    assert f"nothing to identify: every specimen of {embedded.path} has a name at some rank" in said
    assert "--part unlabelled" in biocosmos("identify", embedded.path, fails=1)
