"""Names of specimens on the way of barcodes: embedded once for each text, taken away when they change, resumed after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import biocosmos as bc
from biocosmos.embed import strings as embedding
from biocosmos.encoders.taxon_tokens import TaxonTokens
from biocosmos.encoders.text_models import TransformerTexts, save_transformer
from biocosmos.encoders.texts import load_text_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.nn.text_transformer import TextTransformer
from biocosmos.settings import UnusedSetting
from biocosmos.specimens.taxon_texts import Wording

NAMES = [
    ("Diptera", "Culicidae", "Aedes", "Aedes vexans"),
    ("Diptera", "Culicidae", "Culex", "Culex pipiens"),
    ("Coleoptera", None, None, None),
    (None, None, None, None),
    ("???", None, None, None),
]
RANKS = ("order", "family", "genus", "species")
SPECIMENS = 40


@pytest.fixture
def named(tmp_path: Path) -> bc.Collection:
    rows = [dict(zip(RANKS, NAMES[i % len(NAMES)])) | {"id": f"s{i:02}", "barcode": "ACGT" * 30} for i in range(SPECIMENS)]
    made = bc.Collection.create(tmp_path / "named.cosmos")
    made.add(pa.Table.from_pylist(rows))
    return made


@pytest.fixture
def tower(tmp_path: Path) -> str:
    torch.manual_seed(0)
    tokens = TaxonTokens.learnt([" ".join(name for name in names if name) for names in NAMES[:3]])
    network = TextTransformer(tokens.size, 16, 32, 1, 4, tokens.length)
    save_transformer(tmp_path / "text", network, tokens, Wording(RANKS), training={})
    return str(tmp_path / "text")


def test_each_distinct_text_is_encoded_once_and_specimens_without_one_have_no_vector(
    named: bc.Collection, tower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PART_ROWS", 16)
    asked: list[str] = []
    features = TransformerTexts.features

    def counted(self: TransformerTexts, texts: list[str]) -> object:
        asked.extend(texts)
        return features(self, texts)

    monkeypatch.setattr(TransformerTexts, "features", counted)
    summary = bc.embed(named, tower)
    assert (summary.unit, summary.images, summary.without_image, summary.failed) == ("texts", 24, 8, 8)
    assert sorted(asked) == ["???", "Coleoptera", "Diptera Culicidae Aedes vexans", "Diptera Culicidae Culex pipiens"]
    assert "no word" in next(row["reason"] for row in named.failures.to_pylist() if row["stage"] == "embed")
    gallery = named.gallery(tower)
    wanted = load_text_encoder(tower).encode_texts(["Diptera Culicidae Aedes vexans"])[0]
    rows = [row for row, id_ in enumerate(gallery.ids) if int(id_[1:]) % 5 == 0]
    assert len(gallery) == 24 and len(rows) == 8
    np.testing.assert_array_equal(gallery.vectors[rows], np.broadcast_to(wanted, (8, 16)))
    assert named.encoders[tower]["modality"] == "text"
    assert bc.embed(named, tower).images == 0, "nothing is embedded twice"


def test_a_killed_run_goes_on(named: bc.Collection, tower: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART_ROWS", 16)
    encoder = load_text_encoder(tower)
    save = embedding._Blocks._save

    def dies(self: object, block: embedding._Block, part: pa.RecordBatch) -> None:
        if block.number == 2:
            raise KeyboardInterrupt
        save(self, block, part)  # type: ignore[arg-type]

    monkeypatch.setattr(embedding._Blocks, "_save", dies)
    with pytest.raises(KeyboardInterrupt):
        bc.embed(named, encoder)
    monkeypatch.setattr(embedding._Blocks, "_save", save)
    summary = bc.embed(named, encoder)
    assert summary.images == 24 and summary.resumed > 0


def test_a_vector_of_a_name_goes_when_the_name_changes_and_comes_back_with_it(named: bc.Collection, tower: str) -> None:
    bc.embed(named, tower)
    before = named.gallery(tower)
    bc.embed(named, "kmer:5")
    done = named.update(pa.table({"id": ["s00"], "species": ["Aedes cinereus"]}))
    assert done.vectors == 1 and len(named.gallery(tower)) == 23 and len(named.gallery("kmer:5")) == SPECIMENS
    assert bc.embed(named, tower).images == 1
    after = named.gallery(tower)
    row = list(after.ids).index("s00")
    assert np.allclose(
        after.vectors[row], load_text_encoder(tower).encode_texts(["Diptera Culicidae Aedes cinereus"])[0], atol=1e-6
    )
    named.undo()
    assert len(named.gallery(tower)) in (23, 24)
    bc.embed(named, tower)
    np.testing.assert_array_equal(named.gallery(tower).vectors, before.vectors)


def test_what_does_not_fit_is_refused_in_one_line(named: bc.Collection, tower: str, tmp_path: Path) -> None:
    with pytest.raises(UnusedSetting, match="--resize"):
        bc.embed(named, tower, resize="pad")
    with pytest.raises(BiocosmosError, match="compute in float32"):
        bc.embed(named, tower, precision="bfloat16")
    nameless = bc.Collection.create(tmp_path / "nameless.cosmos")
    nameless.add(pa.table({"id": ["a", "b"], "barcode": ["ACGT" * 30, "ACGA" * 30]}))
    with pytest.raises(BiocosmosError, match=r"no names at order, family, genus, species .*: it has no ranks"):
        bc.embed(nameless, tower)
