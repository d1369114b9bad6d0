"""Attributes are trained beside ranks or alone, kept in a folder, and answered by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from killed_training import kill
from safetensors.torch import load_file, save_file

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.attribute_heads import ATTRIBUTES, WEIGHTS, AttributeHead
from biocosmos.identify.namers.heads import HEAD, TrainedHead
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.jobs.identify import identify_collection, identifying
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.settings import SettingError, UnusedSetting
from biocosmos.train.heads import training
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import HeadResult, train_heads

FROZEN: dict[str, Any] = {"freeze": True, "epochs": 8, "batch_size": 16, "device": "cpu", "precision": "float32", "lr": 0.01}
IMAGES: dict[str, Any] = {
    "size": 32,
    "freeze_stages": 5,
    "epochs": 1,
    "batch_size": 16,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
}


@pytest.fixture
def tray(few: bc.Collection) -> bc.Collection:
    """The few specimens with attributes that their labels decide; some are not known, and one is the same for all."""
    table = few.table(["id", "label"])
    labels = table["label"].to_pylist()
    place = [sorted(set(labels)).index(label) for label in labels]
    columns = {
        "id": table["id"],
        "form": pa.array([["round", "long"][at % 2] if row % 5 else None for row, at in enumerate(place)]),
        "torn": pa.array([str(int(at == 0)) for at in place]),
        "eggs": pa.array([str(int(at in (1, 2))) if row % 7 else None for row, at in enumerate(place)], pa.string()),
        "same": pa.array(["one"] * len(place)),
    }
    few.update(pa.table(columns))
    return few


def train(collection: bc.Collection, output: Path, **given: Any) -> HeadResult:
    return train_heads(collection, head_settings(**given), output)


def answered(collection: bc.Collection, head: Path, **more: Any) -> pa.Table:
    return identify_collection(collection, IdentifySettings(part="test", head=head, **more)).table


@pytest.mark.parametrize(
    "given", [{"head": "plain"}, {"head": "ctgnn"}, {"head": "ctgnn", "graph": "gat", "adjacency": "dynamic"}]
)
def test_attributes_alone_are_learnt_from_vectors_and_answered(
    tray: bc.Collection, tmp_path: Path, given: dict[str, Any]
) -> None:
    result = train(tray, tmp_path / "run", attributes="form,damage=torn+eggs,same", ranks="label", **FROZEN, **given)
    assert [row.severity for row in result.failures] == ["warning"] and "one value only (one)" in result.failures.gravest()
    assert set(result.history.epochs[-1]) == {
        "epoch",
        "mean of attributes",
        "accuracy of label",
        "accuracy of form",
        "mean AP of damage",
    }
    head = AttributeHead.load(tmp_path / "run")
    label, form, damage = head.tasks
    assert (label.rank, form.rank, damage.classes, damage.several) == (True, False, ("torn", "eggs"), True)
    assert form.thresholds is None and damage.thresholds is not None and len(damage.thresholds) == 2
    table = answered(tray, tmp_path / "run")
    assert table.column_names == [
        "id",
        "image_path",
        *(name for task in ("label", "form", "damage") for name in (task, f"{task} confidence")),
        "method",
    ]
    true = {row["id"]: row for row in tray.table(["id", "form", "torn"], split="test").to_pylist()}
    rows = table.to_pylist()
    known = [row for row in rows if true[row["id"]]["form"] is not None]
    assert np.mean([row["form"] == true[row["id"]]["form"] for row in known]) > 0.7
    assert np.mean([("torn" in row["damage"]) == (true[row["id"]]["torn"] == "1") for row in rows]) > 0.7
    for row in rows:
        assert len(row["damage"]) == len(row["damage confidence"]) and row["form confidence"] >= 0.5
        for name, share in zip(row["damage"], row["damage confidence"]):
            assert share >= damage.thresholds[damage.classes.index(name)]


def test_attributes_beside_ranks_add_columns_to_names(tray: bc.Collection, tmp_path: Path) -> None:
    train(tray, tmp_path / "run", attributes="form,damage=torn+eggs", ranks="label", head="flat", **FROZEN)
    both, alone = TrainedHead.load(tmp_path / "run"), AttributeHead.load(tmp_path / "run")
    assert both.asked_tasks == alone.tasks and both.digest != both.facts["digest"]
    done = identify_collection(tray, IdentifySettings(part="test", head=tmp_path / "run", threshold=0.5))
    table = done.table
    assert {"label", "label_confidence", "form", "form confidence", "damage", "damage confidence"} <= set(table.column_names)
    from biocosmos.errors import Failures
    from biocosmos.jobs.predict import part_blocks

    blocks = list(part_blocks(tray, alone, "test", failures=Failures()))
    said = [alone.attributes(block) for block in blocks]
    by_id = {id_: p for one in said for id_, p in zip(one.ids, one.task("form").probabilities.max(1))}
    for row in table.to_pylist():
        assert row["form confidence"] == pytest.approx(by_id[row["id"]], abs=1e-6)


@pytest.mark.parametrize("head", ["flat", "plain"])
def test_a_validation_part_without_any_vector_tunes_no_threshold(
    tray: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    looked, held = training.stored_vectors, set(tray.table(["id"], split="val")["id"].to_pylist())

    def without(*given: Any) -> Any:
        look_up = looked(*given)

        def found(ids: Any) -> tuple[Any, Any]:
            there, x = look_up(ids)
            kept = np.array([str(id_) not in held for id_ in ids], bool)
            return there & kept, x[kept[there]]

        return found

    monkeypatch.setattr(training, "stored_vectors", without)
    train(tray, tmp_path / "run", attributes="damage=torn+eggs", ranks="label", head=head, **{**FROZEN, "epochs": 1})
    assert AttributeHead.load(tmp_path / "run").tasks[-1].thresholds == (0.5, 0.5)


def test_a_backbone_is_trained_with_its_attributes(tray: bc.Collection, tmp_path: Path) -> None:
    train(tray, tmp_path / "run", attributes="form,torn", head="ctgnn", resize="squash", mean=(0.5, 0.4, 0.3), **IMAGES)
    head = AttributeHead.load(tmp_path / "run")
    assert not head.frozen and head.preprocessing.resize == "squash" and head.preprocessing.mean == (0.5, 0.4, 0.3)
    assert bc.load_encoder(str(tmp_path / "run")).preprocessing.mean == (0.5, 0.4, 0.3)
    path = tmp_path / "one.png"
    path.write_bytes(tray.image_bytes(str(tray.table(["id"], split="test")["id"][0])) or b"")
    table = identify_collection(tray, IdentifySettings(head=tmp_path / "run", views=2), images=[path]).table
    assert table["id"].to_pylist() == [str(path)] and table["form"][0].as_py() in ("round", "long")
    with pytest.raises(BiocosmosError, match="answers attributes and names at no rank"):
        TrainedHead.load(tmp_path / "run")
    with pytest.raises(UnusedSetting, match="--error-rate does nothing here"):
        identify_collection(tray, IdentifySettings(part="test", head=tmp_path / "run", error_rate=0.1))
    for what in ("train", "val"):
        if what == "train":
            with pytest.raises(BiocosmosError, match="trained the attribute heads"):
                identify_collection(tray, IdentifySettings(part=what, head=tmp_path / "run"))


def test_two_stages_join_and_write_scores(tray: bc.Collection, tmp_path: Path) -> None:
    shared = {**FROZEN, "head": "plain"}
    train(tray, tmp_path / "first", attributes="any=torn", **shared)
    train(tray, tmp_path / "second", attributes="damage=torn+eggs,form", where="torn = '1' OR eggs = '1'", **shared)
    alone = answered(tray, tmp_path / "second")
    settings = IdentifySettings(part="test", head=tmp_path / "second", gate=tmp_path / "first", scores=tmp_path / "scores.csv")
    with identifying(tray, settings, output=tmp_path / "ids.csv") as done:
        joined = done.table
    first, second = AttributeHead.load(tmp_path / "first"), AttributeHead.load(tmp_path / "second")
    cut = (first.tasks[0].thresholds or (0.5,))[0]
    passed = {row["id"]: bool(row["any"]) for row in answered(tray, tmp_path / "first").to_pylist()}
    assert 0 < sum(passed.values()) < len(passed) and 0 < cut < 1
    by_id = {row["id"]: row for row in alone.to_pylist()}
    for row in joined.to_pylist():
        assert row["form"] == by_id[row["id"]]["form"]
        assert row["damage"] == (by_id[row["id"]]["damage"] if passed[row["id"]] else [])
    scores = pyarrow.csv.read_csv(tmp_path / "scores.csv")
    assert scores.column_names == ["Filename", "torn", "eggs"] and len(scores) == len(joined)
    stopped = np.array([not passed[row["id"]] for row in joined.to_pylist()])
    assert not scores["eggs"].to_numpy()[stopped].any() and scores["eggs"].to_numpy()[~stopped].all()
    with pytest.raises(BiocosmosError, match="a gate answers one column of 0 and 1"):
        first.gated(second)


def test_what_cannot_be_is_refused_in_one_line(tray: bc.Collection, tmp_path: Path) -> None:
    for given, said in [
        ({"head": "ctgnn", "attributes": "same"}, "nothing can be learnt .*has one value only"),
        ({"head": "plain", "attributes": "content_hash"}, "has another value for each specimen"),
        ({"head": "ctgnn", "attributes": "nowhere"}, "no column or group 'nowhere'"),
        ({"head": "plain", "attributes": "id"}, "has the name of a column of the answer"),
        ({"head": "flat", "ranks": "label", "attributes": "label"}, "has the name of a column of the answer"),
        ({"head": "plain", "attributes": "form", "task_weighting": "fixed"}, "needs 1 numbers with --task-weights"),
        ({"head": "plain", "attributes": "a=torn+eggs", "set_weights": "importance"}, "--importance weights.csv"),
        ({"head": "plain", "attributes": "form", "set_weights": "importance"}, "exactly one class is true"),
    ]:
        with pytest.raises(BiocosmosError, match=said):
            train(tray, tmp_path / "no", **FROZEN, **given)  # type: ignore[arg-type]
    for given, said in [
        ({"head": "ctgnn"}, "learns attributes: name columns"),
        ({"head": "ctgnn", "attributes": "form", "graph": "gat", "graph_heads": 3}, "must be a multiple of the 3 --graph-heads"),
        ({"head": "ctgnn", "attributes": "form,torn", "adjacency": "dynamic"}, "needs --graph gat"),
        ({"head": "plain", "attributes": "form", "graph": "gat"}, "--graph does nothing here: it is used with --head ctgnn"),
        ({"head": "ctgnn", "attributes": "form", "imbalance": "focal"}, "--imbalance does nothing here"),
        ({"head": "flat", "task_weighting": "dwa"}, "--task-weighting does nothing here"),
        ({"head": "flat", "attributes": "form", "mix": "mixup", "freeze": True}, "--attributes does not go with --mix"),
        ({"head": "plain", "attributes": "form", "task_weighting": "fixed", "task_weights": "1,x"}, "must be a number above 0"),
        ({"head": "plain", "attributes": "form", "mean": (0.5,)}, "--mean takes three numbers"),
    ]:
        with pytest.raises(SettingError, match=said):
            head_settings(**given)  # type: ignore[arg-type]


def test_a_changed_folder_is_refused(tray: bc.Collection, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tray, run, attributes="form,torn", head="ctgnn", **{**FROZEN, "epochs": 1})
    weights = load_file(run / WEIGHTS)
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, run / WEIGHTS)
    with pytest.raises(BiocosmosError, match="were changed after they were saved"):
        AttributeHead.load(run)
    text = (run / ATTRIBUTES).read_text()
    for old, new, said in [('"kind": "ctgnn"', '"kind": "tree"', "no attribute heads"), ('"layers": 1', '"layers": 0', "layers")]:
        (run / ATTRIBUTES).write_text(text.replace(old, new))
        with pytest.raises(BiocosmosError, match=said):
            AttributeHead.load(run)
    (run / ATTRIBUTES).write_text(text[:-20])
    with pytest.raises(BiocosmosError):
        AttributeHead.load(run)


@pytest.mark.parametrize("weighting", ["dwa", "uncertainty"])
def test_a_run_that_was_broken_off_ends_with_the_same_weights(tray: bc.Collection, tmp_path: Path, weighting: str) -> None:
    given = {
        **FROZEN,
        "epochs": 4,
        "attributes": "form,torn",
        "head": "ctgnn",
        "task_weighting": weighting,
        "checkpoint_steps": 2,
    }
    train(tray, tmp_path / "whole", **given)

    import biocosmos.train.loop.loop as loop

    class Killed(Exception):
        pass

    original, steps = loop._Loop._step, [0]

    def step(self: Any, *arguments: Any) -> Any:
        steps[0] += 1
        if steps[0] == 9:
            raise Killed
        return original(self, *arguments)

    loop._Loop._step = step  # type: ignore[method-assign]
    try:
        with pytest.raises(Killed):
            train(tray, tmp_path / "broken", **given)
    finally:
        loop._Loop._step = original  # type: ignore[method-assign]
    result = train(tray, tmp_path / "broken", **given)
    assert result.history.resumed_at > 0
    one, other = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "broken" / WEIGHTS)
    for name in one:
        np.testing.assert_array_equal(one[name].numpy(), other[name].numpy())
    again = train(tray, tmp_path / "broken", **given)
    assert again.already_done and not (tmp_path / "broken" / HEAD).exists()


def one_process(rank: int, folder: str, given: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29683"}
    train(bc.Collection.open(Path(folder) / "few.cosmos"), Path(folder) / "two", **given)


def test_two_processes_train_the_weights_of_one(tray: bc.Collection, tmp_path: Path) -> None:
    """Labels are missing here and there, so that each process knows another number of them."""
    given = {**FROZEN, "epochs": 3, "dropout": 0.0, "clip": 0.0, "head": "ctgnn", "attributes": "form,damage=torn+eggs"}
    given |= {"task_weighting": "uncertainty", "batch_size": 8}
    train(tray, tmp_path / "one", **{**given, "batch_size": 16})
    warm.spawn(one_process, args=(str(tmp_path), given), nprocs=2)
    one, two = load_file(tmp_path / "one" / WEIGHTS), load_file(tmp_path / "two" / WEIGHTS)
    for name in one:
        np.testing.assert_allclose(two[name].numpy(), one[name].numpy(), atol=2e-3)


def test_evaluate_judges_attributes_by_the_part_that_asks(tray: bc.Collection, tmp_path: Path) -> None:
    train(tray, tmp_path / "run", attributes="form,damage=torn+eggs", head="plain", **FROZEN)
    report = evaluate_collection(tray, head=(tmp_path / "run",), beta=1.0)
    found = {(row["task"], row["measure"]): row["value"] for row in report.tables["summary"].to_pylist()}
    table = {row["id"]: row["form"] for row in answered(tray, tmp_path / "run").to_pylist()}
    true = {row["id"]: row["form"] for row in tray.table(["id", "form"], split="test").to_pylist() if row["form"]}
    assert found["form", "accuracy"] == pytest.approx(np.mean([table[id_] == form for id_, form in true.items()]))
    with pytest.raises(BiocosmosError, match="trained the attribute heads"):
        evaluate_collection(tray, head=(tmp_path / "run",), queries="train")
    with pytest.raises(BiocosmosError, match="calibrated the attribute heads"):
        evaluate_collection(tray, head=(tmp_path / "run",), queries="val")
    with pytest.raises(BiocosmosError, match="answer no attribute 'sex'"):
        evaluate_collection(tray, head=(tmp_path / "run",), attributes=("sex",))
    with pytest.raises(UnusedSetting, match="--error-rate does nothing here"):
        evaluate_collection(tray, head=(tmp_path / "run",), error_rate=0.2)
    weights = tmp_path / "weights.csv"
    weights.write_text("class,weight\ntorn,3\neggs,1\n")
    report = evaluate_collection(
        tray, head=(tmp_path / "run",), importance=str(weights), attributes=("damage",), calibration="val"
    )
    assert "part 'val'" in report.provenance["thresholds"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The order of a sum, and so its last bits, depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_goes_on_to_the_same_weights(tray: bc.Collection, tmp_path: Path) -> None:
    given = {**FROZEN, "epochs": 12, "attributes": "form,torn", "head": "ctgnn", "ranks": "label", "task_weighting": "dwa"}
    given |= {"checkpoint_steps": 1}
    train(tray, tmp_path / "whole", **given)
    command = ["train", "heads", str(tray.path), "-o", str(tmp_path / "killed")]
    for name, value in given.items():
        command += ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
    kill(command, tmp_path / "killed", steps="step-*[2-9]")
    assert not (tmp_path / "killed" / ATTRIBUTES).exists()
    result = train(tray, tmp_path / "killed", **given)
    assert result.history.resumed_at > 0
    one, other = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "killed" / WEIGHTS)
    for name in one:
        np.testing.assert_array_equal(one[name].numpy(), other[name].numpy())
