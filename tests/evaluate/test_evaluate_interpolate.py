"""Weights between two encoders: chosen on validation images, asked of the test part once, and gone on with when killed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import timm
import torch
from typer.testing import CliRunner

import biocosmos as bc
from biocosmos import evaluate
from biocosmos.cli.app import app
from biocosmos.encoders.interpolation import interpolated
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.encoders.places.models import new_place_model, save_place_model
from biocosmos.encoders.registry import build_encoder, load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.spaces import read_space, save_space
from biocosmos.encoders.towers import trainable, with_projection
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.jobs import interpolate as interpolating
from biocosmos.jobs.evaluate import embedded, evaluate_collection
from biocosmos.jobs.interpolate import interpolate_collection, parse_weights
from biocosmos.nn.projection import Projection
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

FILES = ["provenance.json", "report.html", "results.parquet"]

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tiny random network at 32 pixels, and the same after a long step."""
    room = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(2)
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=5), room / "source", safe_serialization=True)
    towers = load_towers(str(room / "source"))
    small = towers.preprocessing.replaced(size=32)
    save_encoder(room / "base", towers, base=str(room / "source"), preprocessing=small)
    trained = load_towers(str(room / "base"))
    module = trainable(trained)
    module(torch.randn(8, 3, 32, 32)).square().mean().backward()
    torch.optim.SGD([w for w in module.parameters() if w.grad is not None], 0.5).step()
    save_encoder(room / "run", trained, base=str(room / "base"))
    return str(room / "base"), str(room / "run")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table, pair: tuple[str, str]) -> bc.Collection:
    made = bc.Collection.create(tmp_path_factory.mktemp("interpolation") / "some.cosmos")
    made.add(Source("some", "sample", sample_table.slice(0, 160).to_batches(), SAMPLE_RANKS), pack=True)
    made.make_split("stratified", seed=0, fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    assert embedded(made, [f"{name}/" for name in pair]) == (list(pair), list(pair))
    return made


def recall(collection: bc.Collection, vectors: dict[str, np.ndarray], rank: str) -> float:
    """Recall@1 of the validation images among each other, in loops."""
    table = collection.table(["id", rank], split="val").to_pylist()
    names = {row["id"]: row[rank] for row in table}
    hits = []
    for one, x in vectors.items():
        if names[one] is None or list(names.values()).count(names[one]) < 2:
            continue
        nearest = max((other for other in vectors if other != one), key=lambda other: float(x @ vectors[other]))
        hits.append(names[nearest] == names[one])
    return float(np.mean(hits))


def test_the_curve_is_on_validation_images_and_the_test_part_is_asked_once(collection, pair, tmp_path, monkeypatch):
    asked: list[int] = []
    compare = evaluate.compare
    monkeypatch.setattr(evaluate, "compare", lambda *a, **k: asked.append(1) or compare(*a, **k))
    report = interpolate_collection(collection, encoders=pair, weights="0:1:0.5", output=tmp_path / "out")
    curve, found = report.parts
    assert asked == [1]
    main = curve.provenance["main_target"]
    ends = load_towers(pair[0]), load_towers(pair[1])
    rows = {row["weight"]: row for row in curve.rows(target=main, average="micro")}
    assert sorted(rows) == [0, 0.5, 1]
    table = collection.table(["id", "image"], split="val")
    for weight, row in rows.items():
        encoder = build_encoder("between", interpolated(*ends, weight))
        vectors, _ = encoder.encode_files(table["image"].to_pylist())
        assert row["value"] == pytest.approx(recall(collection, dict(zip(table["id"].to_pylist(), vectors)), main), abs=0.03)
    best = max(rows.values(), key=lambda row: (row["value"], -row["weight"]))
    assert curve.provenance["chosen"] == best["weight"]
    page = report.html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Which weight is best on validation images?".lower() in page.lower()
    assert not (collection.path / "work" / "interpolation").exists()
    assert {row["encoder"] for row in found.rows()} >= set(pair)


def test_an_encoder_between_is_compared_and_saved_and_a_killed_job_goes_on(collection, pair, tmp_path, monkeypatch):
    made: list[str] = []
    embed = interpolating._embedded

    def killed(*arguments):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(arguments[1].name)
        return embed(*arguments)

    monkeypatch.setattr(interpolating, "_embedded", killed)
    with pytest.raises(KeyboardInterrupt):
        interpolate_collection(collection, encoders=pair, weights=[0.3, 0.6])
    monkeypatch.setattr(interpolating, "_embedded", lambda *a: made.append((a[1].name, a[3])) or embed(*a))
    report = interpolate_collection(collection, encoders=pair, weights=[0.3, 0.6], output=tmp_path)
    chosen = report.parts[0].provenance["chosen"]
    name = f"{pair[1]} at {chosen:g}"
    assert made[1:] == [(f"{pair[1]} at 0.6", "val"), (name, "train"), (name, "test")]
    summary = report.parts[1].rows(encoder=name, k=1, average="micro", over="answerable")
    assert summary[-1]["queries"] > 0
    expected = interpolated(load_towers(pair[0]), load_towers(pair[1]), chosen)
    assert load_encoder(str(tmp_path / "encoder")).digest == expected.digest


def test_only_weights_with_such_names_move_and_the_rest_stays_as_trained(pair):
    base, trained = (load_towers(name) for name in pair)
    one, two = (dict(towers.image.state_dict()) for towers in (base, trained))
    mixed = interpolated(base, trained, 0.25, ["blocks.0*", "conv_stem.*"])
    moved = {name for name in two if name.startswith(("blocks.0", "conv_stem."))}
    for name, tensor in mixed.image.state_dict().items():
        if tensor.is_floating_point():
            expected = 0.75 * one[name] + 0.25 * two[name] if name in moved else two[name]
            assert torch.equal(tensor, expected), name
    assert len({mixed.digest, base.digest, trained.digest}) == 3
    assert interpolated(base, trained, 0, ["blocks.*"]).digest not in (base.digest, trained.digest)
    others = interpolated(base, trained, 0.25, ["!blocks.*"]).image.state_dict()
    assert torch.equal(others["blocks.0.0.conv.weight"], two["blocks.0.0.conv.weight"])
    for pattern, says in (("blck.*", "no weight has a name like 'blck.*': they are conv_stem.weight"), ("!*", "leave no weight")):
        with pytest.raises(BiocosmosError, match=re.escape(says)):
            interpolated(base, trained, 0.5, [pattern])


def test_an_encoder_under_a_projection_that_only_training_has_is_patched_beneath_it(pair, collection, tmp_path):
    base, trained = (load_towers(name) for name in pair)
    projected = with_projection(trained, Projection(trained.features(), 8))
    with pytest.raises(BiocosmosError, match=r"only the trained encoder has a projection.*leave it out \('!projection"):
        interpolated(base, projected, 0.5)
    mixed = interpolated(base, projected, 0.5, ["!projection.*"])
    assert torch.equal(mixed.projection.linear.weight, projected.projection.linear.weight)
    assert torch.equal(
        mixed.image.state_dict()["conv_stem.weight"], interpolated(base, trained, 0.5).image.state_dict()["conv_stem.weight"]
    )
    folder = tmp_path / "space"
    digests = {"image": save_encoder(folder / "image", trained, base=pair[0])}
    digests["place"] = save_place_model(folder / "place", new_place_model("geoclip", trained.features(), hidden=4), training={})
    space = save_space(folder, digests, dim=trained.features(), training={})
    names = [pair[0], str(folder / "image")]
    assert embedded(collection, names)[0] == names
    report = interpolate_collection(
        collection, encoders=names, weights=[0.4, 0.6], output=tmp_path / "out", patterns=["blocks.*"]
    )
    patched = read_space(tmp_path / "out" / "space")
    assert patched.digest != space and patched.digests["place"] == digests["place"]
    assert load_encoder(patched.towers["image"]).digest == load_encoder(str(tmp_path / "out" / "encoder")).digest
    assert report.parts[0].provenance["options"]["patterns"] == "blocks.*"
    assert load_place_encoder(patched.towers["place"], device="cpu").metadata()["space"] == patched.digest
    told = {record.what for record in guard.records(patched.towers["image"])}
    assert any("encoder" in what for what in told), "validation specimens that chose the weight are remembered"


READ = {"0:1:0.25": [0, 0.25, 0.5, 0.75, 1], "0.2:0.5:0.3": [0.2, 0.5], "0:1:0.3": [0, 0.3, 0.6, 0.9]}


@pytest.mark.parametrize("text, weights", READ.items())
def test_weights_are_read(text, weights):
    assert parse_weights(text) == weights


@pytest.mark.parametrize("text", ["0:1", "a:b:c", "0:1:0", "0:2:0.1", "1:0:0.1", "0:1:0.0001", "0:1:nan"])
def test_weights_that_make_no_sense_are_refused_in_one_line(text):
    with pytest.raises(BiocosmosError) as error:
        parse_weights(text)
    assert "\n" not in str(error.value)


def test_what_cannot_be_interpolated_is_refused_before_anything_is_embedded(collection, pair):
    with pytest.raises(BiocosmosError, match="two encoders"):
        interpolate_collection(collection, encoders=pair[:1])
    with pytest.raises(BiocosmosError, match="different architectures"):
        interpolate_collection(collection, encoders=["efficientnet-lite0", pair[1]])
    with pytest.raises(BiocosmosError, match="part of its own"):
        interpolate_collection(collection, encoders=pair, queries="val")


def test_the_command_compares_with_one_page_and_no_folder(collection, pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        app, ["evaluate", str(collection.path), "-e", pair[0], "-e", f"{pair[1]}/", "--by", "group,phylum", "--report", "c.html"]
    )
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["c.html"]
    page = Path("c.html").read_text(encoding="utf-8")
    for words in ("Test against train: how good is each?", "Test all-vs-all: what changed?", "training images"):
        assert words in page
    curve = CliRunner().invoke(
        app, ["evaluate", str(collection.path), "-e", pair[0], "-e", pair[1], "--interpolate", "0:1:1", "-o", "out"]
    )
    assert curve.exit_code == 0, curve.output
    assert read_tables("out")["interpolation_curve"].num_rows
    assert sorted(path.name for path in Path("out").iterdir() if path.is_file()) == FILES


def test_weights_that_changed_since_embedding_are_refused(collection, pair, tmp_path):
    folder = tmp_path / "again"
    save_encoder(folder, load_towers(pair[0]), base=pair[0])
    names, made = embedded(collection, [str(folder)])
    assert names == made
    save_encoder(folder, load_towers(pair[1]), base=pair[0])
    with pytest.raises(BiocosmosError, match="--overwrite"):
        embedded(collection, [str(folder)])


def test_one_encoder_by_both_protocols(collection, pair):
    report = evaluate_collection(collection, encoder=(pair[0],), protocol="both", by=("phylum",), identify=False)
    assert [part.provenance["protocol"] for part in report.parts] == ["query-gallery", "all-vs-all without self"]
    with pytest.raises(BiocosmosError, match="'three' is not known"):
        evaluate_collection(collection, encoder=(pair[0],), protocol="three")


def test_a_caveat_on_training_images_is_given_only_where_they_may_be_among_the_queries():
    whole = Gallery.build(["a", "b"], np.eye(2), table={"species": ["x", "x"]})
    part = Gallery.build(["a", "b"], np.eye(2), table={"species": ["x", "x"]}, provenance={"selection": {"split": "test"}})
    told = ["All-vs-all uses every specimen" in " ".join(evaluate.retrieval(g).caveats) for g in (whole, part)]
    assert told == [True, False]
