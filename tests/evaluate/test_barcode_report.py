"""The report on barcodes: a collection of simulated ones, its numbers against what is counted here, its page, its refusals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from biocosmos import Collection
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.evaluate.barcode.accuracy import SEEN, UNNAMED, UNSEEN, named, ties
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.specimens.readers import read

INTERIM = "Aus sp. 1"


@pytest.fixture(scope="module")
def rows():
    """120 barcodes of 15 species: three species are unseen, and one specimen of either side has a provisional name."""
    sizes = {"orders": 2, "families": 3, "genera": 6, "species": 15, "specimens": 120}
    table = simulate_barcodes(seed=3, short=0, unsure=0, **sizes).to_pylist()
    mates: dict[str, set[str]] = {}
    for row in table:
        mates.setdefault(row["genus"], set()).add(row["species"])
    unseen = [sorted(species)[0] for species in mates.values() if len(species) > 2][:3]
    names = sorted({row["species"] for row in table} - set(unseen))
    seen_so_far: dict[str, int] = {}
    for row in table:
        count = seen_so_far[row["species"]] = seen_so_far.get(row["species"], 0) + 1
        row["split"] = "test_unseen" if row["species"] in unseen else "test" if count % 3 == 2 else "train"
    for part in ("train", "test"):
        next(row for row in table if row["split"] == part and row["species"] == names[5])["species"] = INTERIM
    return table


@pytest.fixture(scope="module")
def collection(rows, tmp_path_factory):
    """They, split and embedded with kmer:5."""
    made = Collection.create(tmp_path_factory.mktemp("barcodes") / "coi.cosmos")
    made.add(read(pa.Table.from_pylist(rows), provisional=True))
    made.make_split(method="column", column="split")
    from biocosmos.embed import embed

    embed(made, "kmer:5")
    return made


@pytest.fixture(scope="module")
def report(collection):
    return evaluate_collection(collection, encoder=("kmer:5",), protocol="barcode")


def cosine(a, b):
    """Of counts of overlapping words of five letters."""
    from collections import Counter

    x, y = (Counter(t[i : i + 5] for i in range(len(t) - 4)) for t in (a, b))
    return sum(x[w] * y[w] for w in x) / np.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))


def test_seen_and_unseen_species_are_counted_apart_as_by_hand(rows, report):
    answering = [row for row in rows if row["split"] == "train"]
    known = {row["species"] for row in answering} - {INTERIM}
    right = {SEEN: 0, UNSEEN: 0}
    total = {SEEN: 0, UNSEEN: 0, UNNAMED: 0}
    for row in rows:
        if row["split"] == "train":
            continue
        group = UNNAMED if row["species"] == INTERIM else SEEN if row["species"] in known else UNSEEN
        total[group] += 1
        best = max(
            (other for other in answering if other["species"] != INTERIM), key=lambda o: cosine(row["barcode"], o["barcode"])
        )
        if group == SEEN:
            right[SEEN] += best["species"] == row["species"]
        best = max(answering, key=lambda o: cosine(row["barcode"], o["barcode"]))
        if group == UNSEEN:
            right[UNSEEN] += best["genus"] == row["genus"]
    (seen,) = report.rows("accuracy", encoder="kmer:5", group=SEEN, rank="species", average="micro")
    (unseen,) = report.rows("accuracy", encoder="kmer:5", group=UNSEEN, rank="genus", average="micro")
    (nothing,) = report.rows("accuracy", encoder="kmer:5", group=UNSEEN, rank="species", average="micro")
    assert (seen["queries"], seen["right"]) == (total[SEEN], right[SEEN])
    assert unseen["queries"] + unseen["unanswerable"] == total[UNSEEN] and unseen["right"] == right[UNSEEN]
    assert (nothing["queries"], nothing["unanswerable"], nothing["value"]) == (0, total[UNSEEN], None)
    assert report.provenance["counts"][UNNAMED] == total[UNNAMED] == 1


def test_provisional_names_are_species_only_when_asked(collection, report):
    assert INTERIM not in {row["species"] for row in report.rows("gaps")}
    assert report.provenance["counts"]["provisional"] == {"gallery": 1, "queries": 1}
    assert any("provisional name" in each for each in report.caveats)
    asked = evaluate_collection(collection, encoder=("kmer:5",), protocol="barcode", provisional=True, identify=False)
    assert INTERIM in {row["species"] for row in asked.rows("gaps")}
    assert not any("provisional name" in each for each in asked.caveats)


def test_every_species_is_in_one_group_of_rarity_of_the_gallery(rows, report):
    held: dict[str, int] = {}
    for row in rows:
        if row["split"] == "train":
            held[row["species"]] = held.get(row["species"], 0) + 1
    asked = [
        held[row["species"]] for row in rows if row["split"] == "test" and held.get(row["species"]) and row["species"] != INTERIM
    ]
    bounds = {"1": (1, 1), "2-5": (2, 5), "6-20": (6, 20), "more than 20": (21, 10**9)}
    for name, (low, high) in bounds.items():
        found = report.rows("rarity", encoder="kmer:5", group=name, rank="species", average="micro")
        assert sum(row["queries"] for row in found) == sum(low <= count <= high for count in asked)


def test_bins_gaps_and_a_tree_are_there_and_the_page_shows_them(report, tmp_path):
    assert {row["concordance"] for row in report.rows("bins")} <= {"match", "split", "merge", "mixture"}
    assert {row["measure"] for row in report.rows("trees")} == {"p"}
    assert report.rows("trees")[0]["newick"].endswith(";")
    tips = report.rows("tips", genus=report.rows("trees")[0]["genus"])
    assert sum(row["tip"] is not None for row in tips) == report.rows("trees")[0]["tips"]
    cost, aligned = report.rows("cost")
    assert (cost["encoder"], aligned["encoder"]) == ("kmer:5", "kmer:5 + alignment")
    assert cost["embedded"] and cost["queries"] and cost["bytes"]
    page = report.write(tmp_path / "report", tables="csv").read_text(encoding="utf-8")
    for words in ("Is there a barcode gap?", "Do BINs and species agree?", "hang together", "What does it cost?"):
        assert words in page
    assert read_tables(tmp_path / "report")["gaps"].num_rows == report.table("gaps").num_rows
    assert (tmp_path / "report" / "tables" / "gaps.csv").exists()
    assert {card.label for card in report.cards()} >= {"species right, seen species", "genus right, unseen species"}


def test_a_genus_is_drawn_when_named_and_kimura_when_asked(collection, rows):
    genera = sorted({row["genus"] for row in rows})
    few = {genus: sum(row["genus"] == genus for row in rows) for genus in genera}
    chosen = sorted(few, key=few.get)[-2:]
    options = {"encoder": ("kmer:5",), "protocol": "barcode", "identify": False}
    report = evaluate_collection(collection, tree_genus=tuple(chosen), distance="k2p", **options)
    assert [row["genus"] for row in report.rows("trees")] == chosen
    assert {row["measure"] for row in report.rows("trees")} == {"k2p"}
    with pytest.raises(BiocosmosError, match="Nosuchgenus"):
        evaluate_collection(collection, tree_genus=("Nosuchgenus",), **options)


def test_what_cannot_be_is_refused_in_one_line(collection):
    options = {"encoder": ("kmer:5",), "protocol": "barcode"}
    with pytest.raises(BiocosmosError, match="no column 'nothere' with BINs"):
        evaluate_collection(collection, bins="nothere", **options)
    with pytest.raises(SettingError, match="distance 'hamming' is not known"):
        evaluate_collection(collection, distance="hamming", **options)
    with pytest.raises(SettingError, match="--tree-genus does nothing here"):
        evaluate_collection(collection, encoder=("kmer:5",), tree_genus=("Aus",))


def test_queries_that_an_encoder_was_fitted_on_are_refused(collection, rows, tmp_path, monkeypatch):
    asked = [row["id"] for row in rows if row["split"] == "test"]
    record = guard.Fitted.of("the barcode model in run", fitted=asked[:2])
    monkeypatch.setattr(guard, "records", lambda *who: iter([record]))
    with pytest.raises(BiocosmosError, match="trained"):
        evaluate_collection(collection, encoder=("kmer:5",), protocol="barcode")


def test_the_nearest_with_a_name_answers_and_none_without():
    target = Target("species", "rank", np.array([0, 1, 1]), np.array([-1, 0, 1, -1]), *(np.array([1, 2]),) * 3)
    rows = np.array([[0, 2, 1], [0, 3, -1], [1, 2, -1]])
    said, at = named(rows, target)
    assert said.tolist() == [1, -1, 0] and at.tolist() == [2, -1, 1]


def test_answers_of_a_namer_are_judged_with_seen_and_unseen_species_apart(collection, rows):
    report = evaluate_collection(collection, encoder=("kmer:5",), protocol="barcode", method="nearest", threshold=0.5)
    by_group = {row["group"]: row for row in report.rows("named", rank="species")}
    unseen = by_group[UNSEEN]
    assert unseen["queries"] == sum(row["split"] == "test_unseen" for row in rows)
    assert unseen["right"] == 0 and unseen["wrong"] == unseen["answered"]  # every species said of them is wrong
    assert by_group[SEEN]["right"] + by_group[SEEN]["wrong"] == by_group[SEEN]["answered"]
    answer = {row["group"]: row for row in report.rows("named", rank="the answer")}
    assert answer["all"]["queries"] == sum(row["split"] != "train" for row in rows)
    assert {row["promise"] for row in report.rows("named")} == {None}
    bins = report.rows("reliability", group=SEEN, rank="species")
    assert sum(row["count"] for row in bins) == by_group[SEEN]["queries"]
    assert "unseen species given a wrong species" in {card.label for card in report.cards()}


def test_ties_between_names_are_told_with_the_best_and_the_worst_they_could_be():
    target = Target("species", "rank", np.array([0, 1, 1]), np.array([0, 1, 1, -1]), *(np.array([1, 2]),) * 3)
    rows = np.array([[0, 1, 3], [1, 2, 0], [3, 0, 1]])
    tied = np.array([[True, True, False], [True, True, False], [True, True, False]])
    disagree, right = ties(rows, tied, target)
    assert disagree.tolist() == [True, False, False]  # two names; one name twice; no name and one
    assert right.tolist() == [True, True, False]
