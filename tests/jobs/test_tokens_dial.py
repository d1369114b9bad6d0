"""The dial on the shipped sample with a tiny random vision transformer: it measures, chooses, writes, and goes on when killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import timm
import torch

import biocosmos as bc
import warm
from biocosmos import machine
from biocosmos.embed.reader import ImageReader, StoredImages
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.registry import load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.jobs.tokens import dial as job
from biocosmos.jobs.tokens.dial import turn
from biocosmos.jobs.tokens.dial_measures import names_of
from biocosmos.jobs.tokens.dial_settings import DialSettings
from biocosmos.jobs.tokens.nearest import nearest
from biocosmos.jobs.tokens.prepared import Prepared
from biocosmos.progress import Progress
from biocosmos.settings import SettingError
from biocosmos.specimens import guard
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

FEW = {"methods": "topk,tome", "keep": "0.5", "precision": "float32", "backend": "torch", "lose_at_most": 0.2, "device": "cpu"}
OPTIONS = ["--methods", "topk,tome", "--keep", "0.5", "--precision", "float32", "--backend", "torch", "--lose-at-most", "0.2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, sample_table):
    """A folder with a collection of 240 specimens of two parts, one without a split, and a vision transformer."""
    folder = tmp_path_factory.mktemp("dial")
    for name, split in (("mine", True), ("bare", False)):
        collection = bc.Collection.create(folder / f"{name}.cosmos")
        collection.add(Source(name, "sample", sample_table.slice(0, 240).to_batches(), SAMPLE_RANKS), pack=True)
        if split:
            collection.make_split("stratified", fractions={"train": 0.5, "val": 0.4, "test": 0.1}, seed=0)
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0, img_size=48)
    timm.models.save_for_hf(model, folder / "run", safe_serialization=True)
    return folder


@pytest.fixture
def here(place, monkeypatch):
    """In that folder; speeds are told and not measured: the fewer tokens the faster."""
    monkeypatch.chdir(place)
    speeds = {"all tokens": 1.0, "topk-0.5": 1.5, "tome-0.5": 1.8, "topk-0.25": 3.0}
    monkeypatch.setattr(job, "times_as_fast", lambda encoder, *_: (speeds[encoder.name.partition(",")[0]], 100.0))
    return place


def settings(**more):
    return DialSettings(**{"encoder": "run"} | FEW | more)


def test_it_takes_the_fastest_that_loses_little_and_writes_it(here):
    found = turn(bc.Collection.open("mine.cosmos"), settings(), here / "fast")
    rows = {row["tokens"]: row for row in found.report.rows("ways")}
    taken = max((row for row in rows.values() if row["taken"]), key=lambda row: row["times"])
    assert found.way.tokens == taken["tokens"]
    for row in rows.values():  # what is said of each follows from the counts
        if row["judged"]:
            assert row["loss"] == pytest.approx((row["losses"] - row["gains"]) / row["judged"])
            assert row["low"] <= row["loss"] <= row["high"]
            assert not row["taken"] or row["probability"] <= 0.05
    facts = json.loads((here / "fast" / "biocosmos.json").read_text())
    assert facts["way"] == {"backend": "torch", "precision": "float32"}
    assert facts.get("reduction") == (None if found.way.reduction is None else str(found.way.reduction))
    fast = load_encoder("fast", device="cpu")
    said_by = "folder" if machine.told("embed.precision") is None else "told"  # the environment goes before a folder
    assert fast.digest == facts["digest"] and fast.chosen["source"] == said_by
    turn(bc.Collection.open("mine.cosmos"), settings(), here / "fast")  # its own it writes anew
    with pytest.raises(BiocosmosError, match="holds an encoder that 'biocosmos tokens dial' did not write"):
        save_encoder("trained", load_towers("run"), base="run")
        turn(bc.Collection.open("mine.cosmos"), settings(), here / "trained")
    record = guard.Fitted.load("fast")
    assert len(record.used(guard.CHOSEN)) == found.report.provenance["judging"]["specimens"]


def test_the_losses_are_those_of_embedding_by_hand(here):
    collection = bc.Collection.open("mine.cosmos")
    found = turn(collection, settings(methods="topk", rank="label", lose_at_most=0.5))
    row = found.report.rows("ways", tokens="topk-0.5")[0]
    tables = {part: collection.table(["id", "label"], split=part).to_pylist() for part in ("train", "val")}
    images = {part: [collection.image_bytes(one["id"]) for one in rows] for part, rows in tables.items()}
    labels = {part: np.array([one["label"] for one in rows]) for part, rows in tables.items()}
    right = []
    for name in ("run", "run+topk-0.5"):
        encoder = load_encoder(name, device="cpu", precision="float32", backend="torch")
        train, val = (encoder.encode_files(images[part])[0] for part in ("train", "val"))
        right.append(labels["train"][(val @ train.T).argmax(1)] == labels["val"])
    answerable = np.isin(labels["val"], labels["train"])
    assert row["judged"] == answerable.sum()
    assert (row["losses"], row["gains"]) == (
        (right[0] & ~right[1])[answerable].sum(),
        (~right[0] & right[1])[answerable].sum(),
    )


def test_nothing_that_loses_more_is_taken(here, monkeypatch):
    monkeypatch.setattr(job, "right", lambda sides, answers, whole: _worse(sides, answers, whole))
    found = turn(bc.Collection.open("mine.cosmos"), settings(), here / "slow")
    assert found.way.exact
    assert found.report.rows("ways", taken=True)[0]["why"].startswith("taken: nothing faster")
    assert "reduction" not in json.loads((here / "slow" / "biocosmos.json").read_text())


def _worse(sides, answers, whole):
    """All tokens are always right, anything else is wrong of every third that judges."""
    same = answers[0] is whole[0] or np.array_equal(answers[0], whole[0])
    judged = np.ones(len(answers[1]), bool)
    judged[:: 1 if same else 3] = same
    return np.ones(len(sides.choosing), bool), judged


def test_without_labels_or_a_split_it_asks_whether_the_nearest_stays_the_same(here):
    found = turn(bc.Collection.open("bare.cosmos"), settings(measure="agreement", methods="topk", lose_at_most=0.9))
    facts = found.report.provenance
    assert (facts["measure"], facts["split_hash"], facts["rank"], facts["dense"]) == ("agreement", None, None, 1.0)
    row = found.report.rows("ways", tokens="topk-0.5")[0]
    assert row["gains"] == 0 and row["judged"] == 120
    assert any("no split" in one for one in found.report.caveats) and any("Without labels" in one for one in found.report.caveats)


def test_no_specimen_finds_itself():
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    assert nearest(vectors, vectors, own=True).tolist() == [1, 0, 0, 0]
    assert nearest(vectors, vectors).tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--queries", "test"], "nothing is chosen on a test part"),
        (["--gallery", "default:test"], "nothing is chosen on a test part"),
        (["--queries", "train"], "what chooses must not judge"),
        (["--methods", "sit"], "biocosmos train heads ... --reduce sit"),
        (["--methods", "atcc"], "did you mean atc"),
        (["--keep", "half"], "no share of tokens"),
        (["--lose-at-most", "0.001"], "too few to show that at most 0.001 is lost"),
        (["--measure", "accuracy"], "there is no trained head in run"),
        (["--rank", "mood"], "--rank mood: there are"),
        (["-e", "efficientnet-lite0"], "efficientnet-lite0.*convolutional network"),
        (["-e", "kmer:7"], "takes DNA barcodes"),
        (["-e", "run+topk-0.5"], "has a reduction of tokens already"),
        (["-o", "run"], "run is the encoder itself"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(here, biocosmos, options, says):
    code = 2 if any(word in says for word in ("test part", "must not", "sit", "share", "no trained", "--rank")) else 1
    said = biocosmos(
        "tokens", "dial", "mine.cosmos", *(["-e", "run"] if "-e" not in options else []), *OPTIONS, *options, fails=code
    )
    assert re.search(says, said), said
    assert len(said.strip().splitlines()) == 1


def test_what_the_encoder_was_trained_on_does_not_judge(here, monkeypatch):
    collection = bc.Collection.open("mine.cosmos")
    ids = collection.table(["id"], split="val")["id"].to_pylist()
    guard.Fitted.of("the encoder in run", fitted=ids).save("run")
    try:
        with pytest.raises(BiocosmosError, match="trained the encoder in run"):
            turn(collection, settings())
    finally:
        (here / "run" / guard.RECORD).unlink()


def test_a_trained_head_is_judged_by_its_names_and_goes_along(here, biocosmos):
    biocosmos(
        *("train", "heads", "mine.cosmos", "-o", "headed", "-e", "run", "--no-freeze", "--head", "flat", "--epochs", "1"),
        *("--ranks", "label", "--augment", "photo", "--device", "cpu", "--workers", "1"),
    )
    found = turn(
        bc.Collection.open("mine.cosmos"), settings(methods="topk", encoder="headed", lose_at_most=0.6), here / "fast-head"
    )
    assert found.report.provenance["measure"] == "accuracy"
    head, base = TrainedHead.load("fast-head"), TrainedHead.load("headed")
    assert head.digest != base.digest if found.way.reduction else head.digest == base.digest
    assert biocosmos("identify", "mine.cosmos", "--head", "fast-head", "--part", "test", "--report", "why.html")
    if found.way.reduction:
        assert "the patches are not followed through the network" in (here / "why.html").read_text()
    learnt = bc.Collection.open("mine.cosmos").table(["id"], split="train")["id"]
    assert len(guard.Fitted.load("fast-head").used(guard.FITTED)) == len(learnt)
    with pytest.raises(BiocosmosError, match="trained the encoder in"):
        guard.refuse(learnt, "fast-head")
    _names_are_those_it_predicts()


def _names_are_those_it_predicts():
    head = TrainedHead.load("headed")
    collection = bc.Collection.open("mine.cosmos")
    table = collection.table(["id"], split="test")
    batch = ImageReader(StoredImages(collection, table["id"].to_pylist()), head.preprocessing).read(np.arange(len(table)))
    rank = head.taxonomy.ranks[-1]
    mine = names_of(head, load_towers("headed"), rank, Prepared(batch.images.numpy(), batch.log_sizes), Progress("", None, ""))
    said = head.said(Specimens(np.array(batch.ids, object), images=batch.images))
    assert mine.tolist() == head.taxonomy.ancestor(head.classes[said.logits.argmax(1)], rank).tolist()


def test_killed_it_goes_on(here):
    told = "from biocosmos.jobs.tokens import dial; dial.times_as_fast = lambda encoder, *_: (2 - len(encoder.name) / 99, 9.0)"
    command = [sys.executable, "-c", f"{told}; from biocosmos.cli import main; main()", "tokens", "dial", "mine.cosmos"]
    command += ["-e", "run"]
    command += [*OPTIONS, "--device", "cpu", "--seed", "5", "--specimens", "60"]
    work = here / "mine.cosmos" / "work"
    before = set(work.glob("dial-*/*-vectors.npy")) if work.exists() else set()
    process = warm.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        end = time.monotonic() + 300
        while not set(work.glob("dial-*/*-vectors.npy")) - before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    made = set(work.glob("dial-*/*-vectors.npy")) - before
    stamps = {path: path.stat().st_mtime_ns for path in made}
    assert stamps
    found = turn(bc.Collection.open("mine.cosmos"), settings(seed=5, specimens=60))
    assert found.report.rows("ways", taken=True)
    assert {path: path.stat().st_mtime_ns for path in made} == stamps


def test_fewer_tokens_give_no_maps(here):
    with pytest.raises(BiocosmosError, match="the stages of this encoder give no feature maps"):
        Trunk(load_towers("run+topk-0.5"), taps=2)
    assert len(Trunk(load_towers("run+topk-0.5"), taps=1).channels) == 1


def test_settings_name_every_reduction():
    made = DialSettings(methods="atc.single,topk", keep="0.9,0.5").reductions()
    assert [str(each) for each in made] == ["atc.single-0.9", "atc.single-0.5", "topk-0.9", "topk-0.5"]
    with pytest.raises(SettingError, match="--methods names nothing"):
        DialSettings(methods=",")
