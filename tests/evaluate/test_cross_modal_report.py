"""A space judged as a user would: tables, page, parts that are missing, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.specimens import guard
from space_sample import both, space

UNSEEN = ("key_unseen", "val_unseen", "test_unseen")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bc.Collection, Path]:
    """A collection of 12 species and a space of random projections over it, embedded."""
    folder = tmp_path_factory.mktemp("across")
    collection = both(folder, specimens=72, species_count=12, unseen_parts=UNSEEN)
    space(folder / "run")
    bc.embed(collection, str(folder / "run"))
    return bc.Collection.open(collection.path), folder / "run"


@pytest.fixture(scope="module")
def report(made: tuple[bc.Collection, Path]) -> Report:
    collection, run = made
    return evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal", linear=True, damage=True)


def test_figures_are_those_of_a_loop(made: tuple[bc.Collection, Path], report: Report) -> None:
    collection, run = made
    columns = ["genus", "species"]
    for query in ("image", "dna"):
        for key in ("image", "dna"):
            keys = [collection.gallery(f"{run}/{key}", split=part, columns=columns) for part in ("train", "key_unseen")]
            vectors = np.concatenate([one.vectors for one in keys])
            for part, name in (("seen", "test"), ("unseen", "test_unseen")):
                asked = collection.gallery(f"{run}/{query}", split=name, columns=columns)
                for rank in ("genus", "species"):
                    names = [each for one in keys for each in one.columns[rank].to_pylist()]
                    near = [int(np.argmax(vectors @ vector)) for vector in asked.vectors]
                    right = np.mean([names[i] == true for i, true in zip(near, asked.columns[rank].to_pylist())])
                    (row,) = report.rows(query=query, key=key, rank=rank, k=1, average="micro")
                    assert row[part] == pytest.approx(right) and row[f"{part}_specimens"] == len(asked)
                    assert row[f"{part}_low"] <= row[part] <= row[f"{part}_high"]


def test_every_table_is_there(report: Report) -> None:
    assert list(report.tables) == ["retrieval", "baselines", "decisions", "decision_curve", "damage", "published"]
    assert any("No error rate of 5% and 10%" in caveat for caveat in report.caveats), "eight specimens promise nothing"
    assert {(row["query"], row["key"]) for row in report.rows()} >= {("image", "all"), ("concatenated", "concatenated")}
    assert {row["encoder"] for row in report.rows("baselines")} == {"efficientnet-lite0", "kmer:5"}
    assert {row["scheme"] for row in report.rows("decisions")} == {"nearest", "linear"}
    for row in report.rows("decisions", rank="species", average="micro"):
        assert row["harmonic_mean"] <= row["oracle_harmonic_mean"] + 1e-9
    for by, kind in (("DNA", "dna"), ("image and DNA averaged", "averaged")):
        whole = report.rows("damage", barcode="whole", by=by, rank="species", average="micro")[0]
        same = report.rows(query=kind, key=kind, rank="species", k=1, average="micro")[0]
        assert (whole["seen"], whole["unseen"]) == (same["seen"], same["unseen"])
        missing = report.rows("damage", barcode="missing", by=by, rank="species", average="micro")[0]
        if kind == "dna":
            assert (missing["seen"], missing["unseen"], missing["harmonic_mean"]) == (0, 0, 0)
        else:
            alone = report.rows(query="image", key="averaged", rank="species", k=1, average="micro")[0]
            assert (missing["seen"], missing["unseen"]) == (alone["seen"], alone["unseen"])
    fused = report.rows("damage", by="the namer 'fused'", rank="species", average="micro")
    assert len(fused) == 11, report.caveats
    assert fused[0]["barcode"] == "whole" and fused[0]["seen"] > 0.5 and fused[-1]["seen"] <= fused[0]["seen"]
    mine = {(row["task"], row["model"]) for row in report.rows("published") if row["measured_here"] is not None}
    assert ("species, DNA to DNA", "not aligned") in mine and any(task == "genus, image to DNA" for task, _ in mine)
    parts = report.provenance["parts"]
    assert parts["validation"] == "val" and parts["unseen_validation"] == "val_unseen" and report.provenance["split_hash"]


def test_the_command_line_and_its_page(made: tuple[bc.Collection, Path], tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    collection, run = made
    page = tmp_path / "clibd.html"
    said = biocosmos("evaluate", collection.path, "-e", f"{run}/", "--protocol", "cross-modal", "--report", page)
    assert "DNA to DNA: species, harmonic mean" in said
    text = page.read_text()
    for words in ("As the table of CLIBD has it", "query down, key across", "harmonic mean", "by chance"):
        assert words in text
    assert ">nan" not in text and "None" not in text
    one = biocosmos("evaluate", collection.path, "-e", f"{run}/dna", "--protocol", "cross-modal", "--report", page)
    assert "DNA to DNA" in one, "a tower names its space"


def test_parts_that_are_missing_are_told_with_the_command(
    made: tuple[bc.Collection, Path], tmp_path: Path, biocosmos: Callable[..., str]
) -> None:
    collection, run = made
    collection.make_split("column", column="genus", name="genera")
    one, two, three, _ = collection.split("genera").counts()
    asked = ("evaluate", collection.path, "-e", run, "--protocol", "cross-modal", "--gallery", f"genera:{one}")
    parts = ("--queries", f"genera:{two}", "--unseen", f"genera:{three}")
    biocosmos(*asked, *parts, "-o", tmp_path / "out")
    caveats = (tmp_path / "out" / "provenance.json").read_text()
    assert "has no part 'val_unseen'" in caveats and "biocosmos split" in caveats and "of a species that no key has" in caveats
    wrong = biocosmos(*asked, "--unseen", "nowhere", *parts[:2], fails=1)
    assert "no part 'nowhere'" in wrong
    with pytest.raises(BiocosmosError, match=r"no part 'nowhere' .*name one with --unseen; 'biocosmos split"):
        evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal", unseen="nowhere")
    meets = biocosmos(*asked[:-1], f"genera:{one}+{two}", *parts, fails=1)
    assert f"in part 'genera:{one}+{two}' (--gallery) and in part 'genera:{two}' (--queries)" in meets


def test_parts_of_one_specimen_or_none(made: tuple[bc.Collection, Path]) -> None:
    """One pair a part, no validation at all, keys of unseen species among the gallery: a report, and what it lacks is told."""
    collection, run = made
    ids = {part: collection.table(["id"], split=part)["id"].to_pylist() for part in ("train", "test", "val", *UNSEEN)}
    few = ", ".join(f"'{rows[0]}'" for rows in ids.values())

    def asked(where: str | None, **more: Any) -> Report:
        return evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal", where=where, **more)

    report = asked(f"id IN ({few})", linear=True, damage=True)
    assert report.rows()[0]["seen_specimens"] == 1 and any("(linear)" in caveat for caveat in report.caveats)
    report.laid_out()
    none = ", ".join(f"'{id_}'" for id_ in ids["val"])
    report = asked(f"id NOT IN ({none})")
    assert "decisions" not in report.tables and any("Part 'val' has no specimen" in caveat for caveat in report.caveats)
    with pytest.raises(BiocosmosError, match=r"part 'train' has no specimen .* with --gallery"):
        asked("id = 'nobody'")
    joined = asked(None, gallery="train+key_unseen")
    assert joined.provenance["parts"] == asked(None).provenance["parts"] and "decisions" in joined.tables
    apart = asked(None, queries="val", unseen="val_unseen")
    assert "decisions" not in apart.tables and any("'val' is asked itself" in caveat for caveat in apart.caveats)


def test_what_is_no_space_is_refused(made: tuple[bc.Collection, Path], biocosmos: Callable[..., str], tmp_path: Path) -> None:
    collection, run = made
    across = ("--protocol", "cross-modal")
    assert "'kmer:5' is no space" in biocosmos("evaluate", collection.path, "-e", "kmer:5", *across, fails=1)
    assert "is no space" in biocosmos("evaluate", collection.path, "-e", tmp_path / "nothing", *across, fails=1)
    biocosmos("evaluate", collection.path, *across, "-o", tmp_path / "only")
    bare = bc.Collection.create(tmp_path / "bare.cosmos")
    bare.add(collection.table(["id", "barcode", "genus", "species"], split="val"))
    assert "train contrastive" in biocosmos("evaluate", bare.path, *across, fails=1)
    alone = biocosmos("evaluate", bare.path, "-e", run, *across, fails=1)
    assert f"vectors of {run}/dna alone" in alone and "add pictures" in alone and "biocosmos embed" in alone
    assert "is of one space" in biocosmos("evaluate", collection.path, "-e", run, "-e", "kmer:5", *across, fails=1)
    assert "does nothing here" in biocosmos("evaluate", collection.path, "--damage", fails=2)
    assert "does nothing here" in biocosmos("evaluate", collection.path, "--unseen-keys", "val", fails=2)


def test_a_query_that_trained_the_space_is_refused(made: tuple[bc.Collection, Path]) -> None:
    """Keys may have trained it; queries, and what sets a threshold, may not."""
    collection, run = made
    ids = {part: collection.table(["id"], split=part)["id"].to_pylist() for part in ("train", "test", "val_unseen", "key_unseen")}
    for part in ("test", "val_unseen"):
        guard.Fitted.of("the space", fitted=ids["train"] + ids[part][:2]).save(run)
        with pytest.raises(BiocosmosError, match=rf"'{part}', 2 \({ids[part][0]}, .* trained the space"):
            evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal")
    guard.Fitted.of("the space", fitted=ids["train"] + ids["key_unseen"]).save(run / "dna")
    (run / guard.RECORD).unlink()
    report = evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal")
    assert any("its species are not unseen" in caveat for caveat in report.caveats)
    (run / "dna" / guard.RECORD).unlink()


def test_another_training_in_the_same_folder_is_refused(made: tuple[bc.Collection, Path]) -> None:
    collection, run = made
    kept = run.with_name("kept")
    shutil.copytree(run, kept)
    space(run, seed=1)
    with pytest.raises(BiocosmosError, match="--overwrite"):
        evaluate_collection(collection, encoder=(str(run),), protocol="cross-modal")
    shutil.rmtree(run)
    kept.rename(run)


def test_a_space_without_barcodes_in_the_collection_is_told(made: tuple[bc.Collection, Path], tmp_path: Path) -> None:
    """Pictures alone: another modality must be added first."""
    collection, run = made
    pictures = bc.Collection.create(tmp_path / "pictures.cosmos")
    table = collection.table(["id", "genus", "species"], split="val")
    pictures.add(table.slice(0, 4).append_column("image_path", [[str(tmp_path.parent / "none.png")] * 4]))
    with pytest.raises(BiocosmosError, match=r"(add barcodes|no image|could embed|nothing that)"):
        evaluate_collection(pictures, encoder=(str(run),), protocol="cross-modal")
