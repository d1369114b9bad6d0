"""One specimen looked at closely: who is asked about it, what is kept, and where the namer looked."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.evidence.gather import image_reader
from biocosmos.identify.evidence.heat_maps import HeatMapper
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.jobs import one_specimen
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.one_specimen import CloseLook, LearntFrom, kept_candidates
from biocosmos.jobs.who_names import identifier_of
from biocosmos.specimens.identifications import answers_of, runners_up
from biocosmos.tables import write_table


@pytest.fixture(scope="module")
def mine(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """300 real specimens with vectors, of which ten have no name."""
    path = Path(shutil.copytree(embedded.path, tmp_path_factory.mktemp("close") / "close.cosmos"))
    collection = bc.Collection.open(path)
    ids = collection.split().part("test").to_pylist()[:10]
    blank = {name: pa.nulls(10, pa.string()) for name in ["label", *(r for r in collection.ranks if r != "label")]}
    collection.update(pa.table({"id": ids, **blank}), clear=True)
    return collection


@pytest.fixture(scope="module")
def look(mine: bc.Collection) -> CloseLook:
    return CloseLook(mine)


def of_part(collection: bc.Collection, part: str, named: bool) -> str:
    ids = collection.split().part(part)
    table = collection.take(ids.to_pylist(), ["label"])
    there = pc.is_valid(table["label"]) if named else pc.is_null(table["label"])
    return table.filter(there)["id"][0].as_py()


def test_a_specimen_is_named_by_what_has_not_learnt_from_it(mine, look):
    for id_, part in (
        (of_part(mine, "test", False), None),
        (of_part(mine, "test", True), "test"),
        (of_part(mine, "val", True), "val"),
    ):
        found = look.candidates(id_)
        identifier = identifier_of(mine, IdentifySettings(part=part))
        column = mine.embedding_column(mine.encoder_name())
        vector = np.array(mine.take([id_], [column])[column].to_pylist(), np.float32)
        row = identifier.identify(([id_], vector), top=5).to_pylist()[0]
        assert (found.taxon, found.rank, found.confidence) == (row["taxon"], row["rank"], row["confidence"])
        assert dict(found.ranks).keys() <= {*mine.ranks} and found.encoder == "efficientnet-lite0" and found.kept == ""
        for rank, taxa in found.ranks:
            assert [(each.taxon, each.confidence) for each in taxa] == runners_up(row, rank)
            assert [each.best for each in taxa] == [each.taxon == row[rank] for each in taxa]
            assert len(taxa) <= 5
        assert all(each.best or each.confidence >= 0.1 for _, taxa in found.likely(0.1) for each in taxa)


def test_what_every_namer_has_learnt_from_is_no_evidence(mine, look):
    with pytest.raises(LearntFrom, match="have learnt from"):
        look.candidates(of_part(mine, "train", True))


def test_what_there_is_no_answer_to_is_said(mine, look, tiny_collection, monkeypatch):
    with pytest.raises(BiocosmosError, match="no such specimen"):
        look.candidates("nobody")
    with pytest.raises(BiocosmosError, match="no such specimen"):
        look.heat("nobody")
    with pytest.raises(BiocosmosError, match="embed"):
        CloseLook(tiny_collection).heat(tiny_collection.table(["id"])["id"][0].as_py())
    monkeypatch.setattr(one_specimen, "MOST_BYTES", 1000)
    with pytest.raises(BiocosmosError, match="start the job 'identify'"):
        CloseLook(mine).candidates(of_part(mine, "test", False))


def test_a_heat_map_is_of_the_linear_namer_through_its_encoder(mine, look):
    id_ = of_part(mine, "test", True)
    namer = identifier_of(mine).namer
    mapper = HeatMapper(namer)
    images, good = image_reader(mapper.preprocessing, mine)([id_])
    assert good.all()
    column = mine.embedding_column(mine.encoder_name())
    vector = np.array(mine.take([id_], [column])[column].to_pylist(), np.float32)
    said = namer.predict(Specimens(np.array([id_], object), vectors=vector))
    with torch.no_grad():
        through = mapper._model(images, None).logits.numpy()
    assert np.abs(through - said.logits).max() < 0.05 * np.abs(said.logits).max()
    found = look.heat(id_)
    assert found.taxon == namer.taxonomy.name(int(namer.classes[through[0].argmax()]))
    node = namer.taxonomy.find(f"{found.rank}:{found.taxon}")
    heat = mapper(images, np.array([node], np.int32)).maps[0]
    picture = np.asarray(Image.open(io.BytesIO(found.png)).convert("RGB"), np.int32)
    plain = images[0].permute(1, 2, 0).numpy().astype(np.int32)
    assert picture.shape == plain.shape and found.method == "LayerCAM"
    changed = np.abs(picture - plain).sum(2)
    assert changed[heat < 0.01].max(initial=0) <= 8 < changed[heat > 0.9].min()


def test_a_heat_map_speaks_for_the_taxon_that_is_asked_about(mine, look):
    id_ = of_part(mine, "test", True)
    one, other = look.heat(id_, "class:Copepoda"), look.heat(id_, "Animalia")
    assert (one.taxon, one.rank, other.taxon) == ("Copepoda", "class", "Animalia") and one.png != other.png
    with pytest.raises(BiocosmosError, match="Unheard"):
        look.heat(id_, "Unheard of")


def test_the_namer_follows_the_collection(mine, tmp_path):
    collection = bc.Collection.open(shutil.copytree(mine.path, tmp_path / "again.cosmos"))
    look, id_ = CloseLook(collection), of_part(mine, "test", True)
    before = look.candidates(id_)
    wrong = collection.split().part("train").to_pylist()
    collection.update(pa.table({"id": wrong[:40], "label": ["tunicate_doliolid"] * 40}))
    assert look.candidates(id_).ranks != before.ranks


def test_what_was_kept_is_found_by_id_oldest_first(mine, tmp_path):
    collection = bc.Collection.open(shutil.copytree(mine.path, tmp_path / "kept.cosmos"))
    assert answers_of(collection, "x") == [] and kept_candidates(collection, "x") is None
    folder = collection.path / "identifications"
    folder.mkdir(exist_ok=True)
    row = {
        "id": "a",
        "class": "Copepoda",
        "class_confidence": 0.9,
        "genus": None,
        "genus_confidence": None,
        "class_2": "Hydrozoa",
    }
    row |= {"class_2_confidence": 0.1, "taxon": "Copepoda", "rank": "class", "confidence": 0.9}
    row |= {"novel": True, "novelty_p": 0.01}
    about = {"encoder": {"name": "lite", "digest": "12"}, "biocosmos": "0.1"}
    write_table(pa.Table.from_pylist([row, row | {"id": "b"}]), folder / "20260102T030405000000Z.parquet", about)
    write_table(
        pa.Table.from_pylist([row | {"taxon": None, "method": "linear"}]), folder / "20260202T030405000000Z.parquet", about
    )
    first, last = answers_of(collection, "a")
    assert (first.kept, last.kept, first.encoder, last.method) == ("2026-01-02 03:04:05", "2026-02-02 03:04:05", "lite", "linear")
    assert first.ranks == ("class", "genus") and runners_up(first.row, "class") == [("Copepoda", 0.9), ("Hydrozoa", 0.1)]
    found = kept_candidates(collection, "a")
    assert (found.taxon, found.novel, found.kept, found.method) == (None, True, "2026-02-02 03:04:05", "linear")
    assert [(rank, len(taxa)) for rank, taxa in found.ranks] == [("class", 2)]
    assert len(answers_of(collection, "b")) == 1
    (folder / "20260302T030405000000Z.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(BiocosmosError, match="damaged"):
        answers_of(collection, "a")


def test_an_identifier_that_compares_vectors_one_by_one_has_no_heat_map(mine, monkeypatch):
    gallery = mine.gallery(columns=())
    nearest = Identifier.fit(gallery, method="nearest")
    look = CloseLook(mine)
    monkeypatch.setattr(look, "_identifier", lambda part: nearest)
    with pytest.raises(BiocosmosError, match="no heat map"):
        look.heat(of_part(mine, "test", True))
