"""Seen and unseen species asked of one gallery, against naive counting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.open_world.report import open_world
from biocosmos.evaluate.open_world.scores import harmonic_mean
from biocosmos.specimens.splits import Split


def collection_of(tmp_path: Path, *, keys: bool) -> bc.Collection:
    """Vectors about one centre a species and genus; parts train, test, test_unseen, and key_unseen where ``keys``."""
    rng = np.random.default_rng(0)
    rows, vectors = [], []
    for s in range(12):
        genus, unseen = s // 3, s % 3 == 2
        centre = np.eye(16)[genus] + 0.7 * np.eye(16)[4 + s]
        for i in range(12):
            part = ("key_unseen" if i < 6 else "test_unseen") if unseen else ("train" if i < 6 else "test")
            name = None if i == 11 and not unseen else f"G{'abcd'[genus]}us minor{'abcdefghijkl'[s]}"
            rows.append(
                {
                    "id": f"{s:02d}-{i:02d}",
                    "genus": f"G{'abcd'[genus]}us",
                    "species": name,
                    "part": part,
                    "barcode": "ACGTTGCA" * 80,
                }
            )
            vectors.append(centre + rng.normal(0, 0.25, 16))
    if not keys:
        vectors = [v for v, row in zip(vectors, rows) if row["part"] != "key_unseen"]
        rows = [row for row in rows if row["part"] != "key_unseen"]
    collection = bc.Collection.create(tmp_path / "open.cosmos")
    collection.add(pa.Table.from_pylist(rows))
    collection.add_embedding("made", [row["id"] for row in rows], np.array(vectors, np.float32))
    collection.make_split("column", column="part")
    return collection


def naive(collection: bc.Collection, gallery: str, queries: str, rank: str, k: int) -> tuple[float, float]:
    """Micro and macro share of queries with their taxon among the k nearest, by a loop."""
    known, asked = (collection.gallery("made", split=part, columns=["genus", "species"]) for part in (gallery, queries))
    names, truth = known.columns[rank].to_pylist(), asked.columns[rank].to_pylist()
    hits: dict[str, list[bool]] = {}
    for vector, true in zip(asked.vectors, truth):
        near = np.argsort(-(known.vectors @ vector), kind="stable")[:k]
        if true is not None:
            hits.setdefault(true, []).append(true in [names[i] for i in near])
    every = [hit for each in hits.values() for hit in each]
    return float(np.mean(every)), float(np.mean([np.mean(each) for each in hits.values()]))


@pytest.mark.parametrize("keys", [True, False])
def test_shares_are_those_of_a_loop(tmp_path: Path, keys: bool) -> None:
    collection = collection_of(tmp_path, keys=keys)
    part = "train+key_unseen" if keys else "train"
    sides = [{"made": collection.gallery("made", split=name)} for name in (part, "test", "test_unseen")]
    report = open_world(*sides, data="d", bootstrap=50)
    for rank in ("genus", "species"):
        for k in (1, 3):
            seen = naive(collection, part, "test", rank, k)
            unseen = naive(collection, part, "test_unseen", rank, k)
            for average, one, other in zip(("micro", "macro"), seen, unseen):
                (row,) = report.rows("open_world", rank=rank, k=k, average=average)
                other = float("nan") if rank == "species" and not keys else other  # none of them can be right
                assert (row["seen"], row["unseen"]) == pytest.approx((one, other), nan_ok=True)
                assert row["harmonic_mean"] == pytest.approx(harmonic_mean(one, other), nan_ok=True)
                assert row["seen_low"] <= one <= row["seen_high"]
    (task,) = report.rows("tasks", queries="seen", rank="species")
    assert (task["specimens"], task["unnamed"], task["unanswerable"]) == (40, 8, 0)
    assert (task["accuracy"], task["balanced_accuracy"]) == pytest.approx(naive(collection, part, "test", "species", 1))
    (task,) = report.rows("tasks", queries="unseen", rank="species")
    assert task["unanswerable"] == (0 if keys else 24)
    mine = {row["task"] for row in report.rows("published") if row["measured_here"] is not None}
    if keys:
        assert mine == {"genus, DNA to DNA", "species, DNA to DNA"}
    else:
        assert mine == {"species of seen species, 1-NN", "genus of unseen species, 1-NN"}
        assert any("their species cannot be right" in caveat for caveat in report.caveats)


def test_the_command_line(tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    collection = collection_of(tmp_path, keys=True)
    page = tmp_path / "open.html"
    said = biocosmos("evaluate", collection.path, "--protocol", "open-world", "--gallery", "train+key_unseen", "--report", page)
    assert "made: species of unseen species" in said
    text = page.read_text()
    assert "harmonic mean" in text and "image to image" in text, "an embedding of no known kind is one of images"
    wrong = biocosmos("evaluate", collection.path, "--protocol", "open-world", "--unseen", "test", fails=1)
    assert "are in --queries and in --unseen" in wrong
    assert "does nothing here" in biocosmos("evaluate", collection.path, "--unseen", "test_unseen", fails=2)


def test_a_part_that_also_answers_is_refused(tmp_path: Path) -> None:
    collection = collection_of(tmp_path, keys=True)
    both = collection.gallery("made", split="test")
    with pytest.raises(BiocosmosError):
        open_world({"made": both}, {"made": both}, {"made": collection.gallery("made", split="test_unseen")})


def test_a_split_knows_parts_together() -> None:
    split = Split("s", "column", 0, {}, pa.array(["a", "b", "c"]), pa.array(["x", "y", "z"]))
    assert split.has("x+z") and not split.has("x+w") and split.part("x+z").to_pylist() == ["a", "c"]


def test_a_part_of_unseen_species_that_are_seen_is_told(tmp_path: Path) -> None:
    collection = collection_of(tmp_path, keys=True)
    train, test, unseen = ({"made": collection.gallery("made", split=part)} for part in ("train", "test", "test_unseen"))
    assert not any("is not about unseen ones" in caveat for caveat in open_world(train, test, unseen, bootstrap=0).caveats)
    keys = {"made": collection.gallery("made", split="key_unseen")}
    wrong = open_world(keys, unseen, test, bootstrap=0)  # the parts exchanged: still no species in both
    assert not any("is not about unseen ones" in caveat for caveat in wrong.caveats)
    rows = [row["id"] for row in collection.table(["id"], split="test").to_pylist()]
    half = {
        name: {"made": collection.gallery("made", split="test", where=f"id {sign} '{rows[3]}'")}
        for name, sign in (("a", "<"), ("b", ">="))
    }
    told = open_world(train, half["a"], half["b"], bootstrap=0).caveats
    assert (
        told[-1].startswith("1 of 8 species of the part that stands for unseen species are in")
        and "is not about unseen ones" in told[-1]
    )
