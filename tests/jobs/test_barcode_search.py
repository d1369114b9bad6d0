"""search by DNA: files and letters, in the order of alignments, duplicates told apart or folded."""

from __future__ import annotations

from pathlib import Path

import pytest

import biocosmos as bc
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.search.gallery import Gallery
from biocosmos.settings import SettingError, told
from biocosmos.specimens.records import Source


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """60 simulated barcodes; the first three are alike."""
    rows = simulate_barcodes(seed=2, species=12, genera=4, families=2, orders=1, specimens=60, short=0, unsure=0).to_pylist()
    for i, row in enumerate(rows):
        row["barcode"] = rows[0]["barcode"] if i < 3 else row["barcode"]
        row["label"] = row["species"]
    made = bc.Collection.create(tmp_path_factory.mktemp("coi") / "coi.cosmos")
    import pyarrow as pa

    ranks = ("order", "family", "genus", "species")
    made.add(Source("coi", "simulated", pa.Table.from_pylist(rows).to_batches(), ranks))
    bc.embed(made, "kmer:6")
    return made


def first(collection: bc.Collection, count: int) -> list[tuple[str, str]]:
    table = collection.take([f"SIM2-{i:06}" for i in range(1, count + 1)], columns=["barcode"])
    return list(zip(table["id"].to_pylist(), table["barcode"].to_pylist()))


def test_files_are_searched_and_what_is_no_barcode_is_told(coi: bc.Collection, tmp_path: Path) -> None:
    (one, letters), *_ = first(coi, 1)
    path = tmp_path / "asked.fasta"
    path.write_text(f">cut\n{letters[100:400]}\n>protein\nMKVLAAGGTREWQ\n>gap\n{letters[:300]}{letters[303:]}\n")
    table, failures, provenance = search_collection(coi, SearchSettings(fasta=(path,), k=2))
    assert table["query"].to_pylist() == ["cut", "cut", "gap", "gap"] and failures.errors == 1
    assert next(iter(failures)).stage == "search"
    assert table["id"].to_pylist() == [one, "SIM2-000002"] * 2
    assert table["identity"].to_pylist()[:2] == [100, 100]
    assert table["alignment_length"].to_pylist() == [300, 300, len(letters), len(letters)]
    assert table["gaps"].to_pylist() == [0, 0, 3, 3] and table["identity"][2].as_py() < 100
    assert provenance["search"]["aligned"] == 50


def test_identical_barcodes_are_shown_once_if_asked(coi: bc.Collection) -> None:
    (one, letters), *_ = first(coi, 1)
    table, _, _ = search_collection(coi, SearchSettings(dna=(letters.lower(),), k=4, fold=True))
    assert table["id"].to_pylist()[0] == one and not {"SIM2-000002", "SIM2-000003"} & set(table["id"].to_pylist())
    table, _, _ = search_collection(coi, SearchSettings(dna=(letters,), k=4, align=False))
    assert table["id"].to_pylist()[:3] == ["SIM2-000001", "SIM2-000002", "SIM2-000003"]
    assert "identity" not in table.column_names


def test_a_specimen_does_not_find_itself_but_those_like_it(coi: bc.Collection) -> None:
    for fold, expected in ((False, ["SIM2-000002", "SIM2-000003"]), (True, ["SIM2-000002"])):
        for align in (True, False):
            found, _, _ = search_collection(coi, SearchSettings(id=("SIM2-000001",), k=2, fold=fold, align=align))
            assert found["id"].to_pylist()[: len(expected)] == expected
            assert "SIM2-000001" not in found["id"].to_pylist()


def test_what_fold_and_align_do_not_go_with_is_refused(coi: bc.Collection) -> None:
    with pytest.raises(SettingError, match="--fold does nothing here"):
        told(SearchSettings, text=("a",), fold=True)
    with pytest.raises(BiocosmosError, match="search twice"):
        search_collection(coi, SearchSettings(dna=("ACGT" * 40,), id=("SIM2-000001",)))
    with pytest.raises(BiocosmosError, match="nothing to ask"):
        search_collection(coi, SearchSettings(dna=("ACG",)))
    counts = KmerCounts.of(["ACGTACGTAA", "CCGTACGTTA"], 5)
    with pytest.raises(BiocosmosError, match="only counts of k-mers are folded"):
        Gallery.build(["a", "b"], counts.dense()).search(counts, 1, fold=True)
