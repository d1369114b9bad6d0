"""Every command of docs/barcodes.md, "Protocols of the BIOSCAN papers", on folders that look like BIOSCAN's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import biocosmos as bc
from bioscan_like import COLUMNS_1M, COLUMNS_5M, insects, write_1m, write_5m, write_canadian, write_clibd

Call = Callable[..., str]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return insects()


def test_bioscan_5m_by_its_own_parts_and_by_its_rules(tmp_path: Path, rows: list[dict[str, object]], biocosmos: Call) -> None:
    table, collection = write_5m(tmp_path / "bioscan5m", rows), tmp_path / "bioscan.cosmos"
    assert len(COLUMNS_5M) == 23 and len(table.read_text().splitlines()) == len(rows) + 1
    biocosmos("ingest", table, "-o", collection, "--provisional")
    opened = bc.Collection.open(collection)
    assert opened.count(where="image_path IS NOT NULL") == len(rows) == len(opened)
    biocosmos("split", collection, "--method", "column", "--column", "split")
    biocosmos("split", collection, "--method", "bioscan", "--name", "rules")
    published, ruled = opened.split(), opened.split("rules")
    assert published.hash == ruled.hash, "the invented column was made by the same rules"
    assert Counter(row["split"] for row in rows) == published.counts()

    biocosmos("embed", collection, "-e", "kmer:5")
    said = biocosmos(
        *("evaluate", collection, "-e", "kmer:5", "--protocol", "open-world", "--gallery", "train", "--queries", "test"),
        *("--unseen", "test_unseen", "-o", tmp_path / "genus"),
    )
    assert "genus of unseen species" in said
    keys = ("--gallery", "train+key_unseen", "--report", tmp_path / "keys.html")
    assert "species of unseen species" in biocosmos("evaluate", collection, "--protocol", "open-world", *keys)
    page = (tmp_path / "keys.html").read_text()
    assert "species, DNA to DNA" in page and "image to image" not in page

    named = tmp_path / "named"
    tiny = ("--k", "3", "--width", "16", "--epochs", "1", "--device", "cpu")
    biocosmos("train", "barcode", collection, "-o", named, "--objective", "species", *tiny)
    biocosmos("embed", collection, "-e", named)
    biocosmos(
        *("evaluate", collection, "-e", "kmer:5", "-e", named, "--protocol", "open-world", "--linear", "--device", "cpu"),
        *("-o", tmp_path / "probes"),
    )
    tables = bc.evaluate.read_tables(tmp_path / "probes")
    found = {(row["encoder"], row["how"]): row for row in tables["tasks"].to_pylist() if row["rank"] == "species"}
    assert found["kmer:5", "linear"]["accuracy"] > 0.9 and (str(named), "fine-tuned") in found
    assert ("kmer:5", "fine-tuned") not in found
    here = {(row["task"], row["model"]) for row in tables["published"].to_pylist() if row["measured_here"] is not None}
    assert {("species, linear", "kmer:5"), ("species, fine-tuned", str(named))} <= here

    said = biocosmos(
        *("evaluate", collection, "-e", "kmer:5", "--protocol", "clustering", "--queries", "test+test_unseen"),
        *("--reducer", "none", "--clusterer", "ward", "--by", "dna_bin", "-o", tmp_path / "clusters"),
    )
    assert "AMI" in said
    scores = bc.evaluate.read_tables(tmp_path / "clusters")["scores"].to_pylist()
    assert {"order", "family", "genus", "species", "dna_bin"} <= {row["rank"] for row in scores}


def test_bioscan_1m_image_baselines_and_clibd(tmp_path: Path, rows: list[dict[str, object]], biocosmos: Call) -> None:
    write_1m(tmp_path / "bioscan1m", rows)
    collection = tmp_path / "bioscan1m.cosmos"
    biocosmos("ingest", tmp_path / "bioscan1m", "-o", collection, "--format", "bioscan", "--provisional")
    opened = bc.Collection.open(collection)
    assert set(COLUMNS_1M) - set(opened.stored_columns) <= {"processid", "nucraw", "image_file", "name", "uri"}
    assert opened.count(where="species = 'not_classified' OR tribe IS NOT NULL") == 0
    for task, rank, column in (("order", "order", "medium_insect_order"), ("family", "family", "medium_diptera_family")):
        biocosmos("split", collection, "--method", "column", "--column", column, "--name", task)
        model = {"order": "test_resnet", "family": "test_vit"}[task]
        torch.manual_seed(0)
        torch.save(timm.create_model(model, num_classes=0).state_dict(), tmp_path / f"{model}.pth")
        recipe = {"order": "bioscan1m-resnet50", "family": "bioscan1m-vit-b"}[task]
        tiny = ("-e", f"timm:{model}@{tmp_path / model}.pth", "--epochs", "1", "--device", "cpu", "--precision", "float32")
        more = ("--size", "48") if task == "order" else ()
        biocosmos(
            *("train", "heads", collection, "--recipe", recipe, "--imbalance", "none,focal", "--ranks", rank),
            *("--split", f"{task}:train", "-o", tmp_path / task, *tiny, *more),
        )
        heads = sorted(path.parent for path in (tmp_path / task).rglob("head.json"))
        assert len(heads) == 2
        asked = [word for head in heads for word in ("--head", head)]
        said = biocosmos("evaluate", collection, *asked, "--queries", f"{task}:test", "--report", tmp_path / f"{task}.html")
        assert "F1" in (tmp_path / f"{task}.html").read_text() and said

    files = write_clibd(tmp_path / "clibd", rows)
    said = biocosmos("split", collection, "--method", "files", "--files", files, "--column", "sampleid", "--name", "clibd")
    counts = opened.split("clibd").counts()
    assert "all_keys" not in counts and sum(counts.values()) == len(rows) and "seen_keys" in said
    biocosmos("embed", collection, "-e", "kmer:5")
    keys = "clibd:seen_keys+val_unseen_keys+test_unseen_keys"
    said = biocosmos(
        *("evaluate", collection, "-e", "kmer:5", "--protocol", "open-world", "--gallery", keys, "--queries", "clibd:test_seen"),
        *("--unseen", "clibd:test_unseen", "-o", tmp_path / "open"),
    )
    assert "species of unseen species" in said


def test_canadian_invertebrates_have_other_names_for_columns(
    tmp_path: Path, rows: list[dict[str, object]], biocosmos: Call
) -> None:
    collection = tmp_path / "canada.cosmos"
    biocosmos("ingest", write_canadian(tmp_path / "canada.csv", rows), "-o", collection)
    opened = bc.Collection.open(collection)
    table = opened.table(["id", "barcode", "species"])
    assert len(table) == len(rows) and all(len(text) > 250 for text in table["barcode"].to_pylist())
    assert "no species has a placeholder" in " ".join(opened.make_split("bioscan", name="rules").notes)
    biocosmos("split", collection, "--method", "column", "--column", "split")
    assert {"pretrain", "train", "val", "test", "test_unseen"} <= set(opened.split().counts())


def test_the_invented_species_are_seen_and_unseen(rows: list[dict[str, object]]) -> None:
    species = {
        part: {row["species"] for row in rows if row["split"] == part} - {""}
        for part in ("train", "test", "key_unseen", "test_unseen")
    }
    assert species["test"] <= species["train"] and species["test_unseen"] <= species["key_unseen"]
    assert not species["train"] & species["key_unseen"]
    genera = {str(name).split()[0] for name in species["train"]}
    assert {str(name).split()[0] for name in species["test_unseen"]} <= genera
    assert np.mean([len(str(row["dna_barcode"])) for row in rows]) > 600
