"""Barcodes on the way of images: embedded, stored as k-mers, searched as they are; and again after a kill."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import biocosmos as bc
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.embed import strings as embedding
from biocosmos.encoders.barcodes import KmerEncoder, load_barcode_encoder
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.search import gallery as galleries
from biocosmos.settings import UnusedSetting

ROWS = simulate_barcodes(seed=1, species=10, specimens=60)


@pytest.fixture
def coi(tmp_path: Path) -> bc.Collection:
    made = bc.Collection.create(tmp_path / "coi.cosmos")
    made.add(ROWS)
    return made


def cosine(one: str, other: str, k: int) -> float:
    a, b = (Counter(s[i : i + k] for i in range(len(s) - k + 1) if "N" not in s[i : i + k]) for s in (one, other))
    dot = sum(a[word] * b[word] for word in a)
    return float(dot / (sum(n * n for n in a.values()) * sum(n * n for n in b.values())) ** 0.5)


def test_a_gallery_of_barcodes_is_searched_by_the_cosine_of_their_kmers(coi: bc.Collection) -> None:
    summary = bc.embed(coi, "kmer:6")
    assert (summary.images, summary.unit, summary.without_image) == (60, "barcodes", 0)
    gallery = coi.gallery("kmer:6", columns=("barcode",))
    assert gallery.counts is not None and gallery.dim == 4096 and len(gallery) == 60
    hits = gallery.search(gallery, 5, exclude_self=True)
    stored = gallery.columns["barcode"].to_pylist()
    for row in (0, 17, 59):
        wanted = np.array([cosine(stored[row], other, 6) for other in stored])
        wanted[row] = -1
        assert hits.scores[row] == pytest.approx(np.sort(wanted)[::-1][:5], abs=1e-6)
        assert wanted[hits.rows[row]] == pytest.approx(hits.scores[row], abs=1e-6)
    dense = gallery.search(gallery.vectors, 5, exclude=gallery.ids)
    assert dense.scores == pytest.approx(hits.scores, abs=1e-5)
    part = gallery.subset(np.arange(60) % 3 == 0)
    assert part.counts is not None and part.vectors == pytest.approx(gallery.vectors[::3])


def test_specimens_without_a_barcode_and_with_one_of_no_use(tmp_path: Path) -> None:
    made = bc.Collection.create(tmp_path / "few.cosmos")
    rows = ROWS.slice(0, 4).to_pylist()
    rows[1]["barcode"], rows[2]["barcode"] = None, "N" * 40
    import pyarrow as pa

    made.add(
        pa.Table.from_pylist([{**row, "text": "in a museum"} for row in rows], ROWS.schema.append(pa.field("text", pa.string())))
    )
    summary = bc.embed(made, "kmer:5")
    assert summary.images + summary.failed + summary.without_image == 4 and summary.images == 2
    assert len(made.gallery("kmer:5")) == 2
    assert bc.embed(made, "kmer:5").images == 0, "nothing is embedded twice"


def test_barcodes_added_later_are_embedded_alone_and_a_killed_run_goes_on(
    coi: bc.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PART_ROWS", 16)
    seen: list[int] = []

    class Dies(KmerEncoder):
        def encode_barcodes(self, barcodes: list[str]) -> KmerCounts:  # type: ignore[override]
            seen.append(len(barcodes))
            if len(seen) == 3:
                raise KeyboardInterrupt
            return super().encode_barcodes(barcodes)

    with pytest.raises(KeyboardInterrupt):
        bc.embed(coi, Dies(7))
    summary = bc.embed(coi, "kmer:7")
    assert (summary.resumed, summary.images) == (32, 60)
    more = simulate_barcodes(seed=2, species=3, specimens=9)
    coi.add(more.set_column(more.column_names.index("id"), "id", [[f"more-{i}" for i in range(len(more))]]))
    summary = bc.embed(coi, "kmer:7")
    assert (summary.images, summary.kept) == (9, 60)
    gallery = coi.gallery("kmer:7", columns=("barcode",))
    whole = KmerCounts.of(gallery.columns["barcode"].combine_chunks(), 7)
    assert gallery.counts is not None and np.array_equal(gallery.counts.codes, whole.codes)


def test_a_barcode_typed_is_found_as_a_stored_one_is(coi: bc.Collection) -> None:
    bc.embed(coi, "kmer:7")
    row = coi.table(["id", "barcode"]).to_pylist()[5]
    table, failures, _ = search_collection(coi, SearchSettings(dna=(row["barcode"], "NNNN"), k=3))
    assert table["score"][0].as_py() == pytest.approx(1.0) and len(failures) == 1
    assert row["id"] in table["id"].to_pylist()


def test_what_does_not_fit_is_refused_in_one_line(coi: bc.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert modality_of("kmer:7") == "dna" and modality_of("efficientnet-lite0") == "image"
    with pytest.raises(BiocosmosError, match="write kmer:5, kmer:6, kmer:7 or kmer:8"):
        load_barcode_encoder("kmer:9")
    with pytest.raises(BiocosmosError, match="'kmer:07' is not known: write kmer:5"):
        load_barcode_encoder("kmer:07")
    with pytest.raises(BiocosmosError, match="takes DNA barcodes"):
        bc.load_encoder("kmer:7")
    with pytest.raises(UnusedSetting, match="--resize"):
        bc.embed(coi, "kmer:7", resize="pad")
    bc.embed(coi, "kmer:7")
    monkeypatch.setattr(galleries, "MOST_DENSE", 1000)
    with pytest.raises(BiocosmosError, match="kmer:5 or a trained barcode model"):
        _ = coi.gallery("kmer:7").vectors
    with pytest.raises(BiocosmosError, match="searched exactly"):
        search_collection(coi, SearchSettings(dna=("ACGTACGTACGT",), approximate=True))


def test_an_encoder_of_images_says_what_barcodes_are_embedded_with(coi: bc.Collection) -> None:
    def coarse(batch: torch.Tensor) -> torch.Tensor:
        return batch.float().flatten(1) + 1

    with pytest.raises(BiocosmosError, match=r"has no image for.*: biocosmos embed .*coi\.cosmos -e kmer:7"):
        bc.embed(coi, load_encoder(coarse))
    assert not coi.encoders, "and it is not the collection's default"
