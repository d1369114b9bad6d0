"""What comes from somebody else is data: no file of a model, a collection or settings makes us import or call its code."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import biocosmos as bc
from biocosmos.encoders.registry import load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.nn.projection import Projection
from biocosmos.train.loop.checkpoint import Checkpoints
from biocosmos.train.loop.processes import Processes
from biocosmos.trust import allowing_code
from tiny_clip import save_tiny_clip

Command = Callable[..., str]
THEIRS = """
from pathlib import Path
Path(__file__).with_name("it ran").touch()
def look(batch):
    return batch.float().mean((2, 3)) + 1
look.digest = "theirs"
"""
NAME = "python:theirs:look"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the module ``theirs``, which lies on the path, was imported since it was asked last."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "theirs.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    mark = tmp_path / "code" / "it ran"

    def asked() -> bool:
        sys.modules.pop("theirs", None)
        found = mark.exists()
        mark.unlink(missing_ok=True)
        return found

    return asked


@pytest.fixture
def folder(tmp_path: Path, ran: Callable[[], bool]) -> Path:
    """A trained encoder whose base is Python code."""
    save_encoder(tmp_path / "run", load_towers(NAME), base=NAME, projection=Projection(3, 2), frozen=True)
    assert ran()
    return tmp_path / "run"


@pytest.fixture(scope="session")
def convnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny convolutional encoder with a projection, as training saves it."""
    torch.manual_seed(2)
    source = tmp_path_factory.mktemp("source")
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=5), source, safe_serialization=True)
    towers = load_towers(str(source))
    made = tmp_path_factory.mktemp("made") / "run"
    save_encoder(made, towers, base=str(source), projection=Projection(towers.features(), 4))
    return made


def changed(folder: Path, place: Path, file: str = "biocosmos.json", **changes: Any) -> Path:
    """A copy of a folder in which a JSON says something else; keys of inner objects are written a__b."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    facts = json.loads((place / file).read_text())
    for key, value in changes.items():
        *outer, last = key.split("__")
        inner = facts
        for name in outer:
            inner = inner[name]
        inner[last] = value
    (place / file).write_text(json.dumps(facts))
    return place


def test_code_that_a_folder_names_runs_only_when_that_is_allowed(folder: Path, ran: Callable[[], bool]) -> None:
    for open_ in (load_encoder, load_towers):
        with pytest.raises(BiocosmosError, match=r"'theirs' and call its 'look': nothing was run; .* --allow-code") as told:
            open_(str(folder))
        assert "\n" not in str(told.value) and not ran()
    assert load_encoder(str(folder), allow_code=True, device="cpu").dim == 2 and ran()
    with allowing_code([NAME]):
        assert load_encoder(str(folder), device="cpu").dim == 2 and ran()
    with allowing_code(["python:another:one"]), pytest.raises(BiocosmosError, match="nothing was run"):
        load_encoder(str(folder))
    assert not ran()


def test_verbs_refuse_the_code_of_a_folder_and_run_what_was_typed(
    folder: Path, ran: Callable[[], bool], tiny_collection: bc.Collection, biocosmos: Command
) -> None:
    path = tiny_collection.path
    assert "nothing was run" in biocosmos("embed", path, "--encoder", folder, fails=1) and not ran()
    biocosmos("embed", path, "--encoder", folder, "--allow-code")
    assert ran()
    # the collection names the code now, and may come from somebody else
    photo = path.parent / "photo.png"
    photo.write_bytes(tiny_collection.table(["image"])["image"][0].as_py())
    assert "nothing was run" in biocosmos("search", path, photo, fails=1) and not ran()
    biocosmos("embed", path, "--encoder", NAME, "--default")
    assert ran()
    for verb in (("search", path, photo), ("identify", path, photo, "--method", "nearest")):
        assert "nothing was run" in biocosmos(*verb, fails=1) and not ran()
        biocosmos(*verb, "--encoder", NAME)
        ran()


def test_a_file_of_settings_names_no_code_and_does_not_allow_it(
    tmp_path: Path, ran: Callable[[], bool], tiny_collection: bc.Collection, biocosmos: Command
) -> None:
    tiny_collection.make_split("stratified", seed=0)
    settings = tmp_path / "settings.toml"
    settings.write_text(f'encoder = "{NAME}"\n')
    line = ("train", "unicom", tiny_collection.path, "-o", tmp_path / "out", "--freeze", "--taxa", "phylum", "--config", settings)
    assert f"{settings} names the encoder '{NAME}'" in biocosmos(*line, fails=1) and not ran()
    settings.write_text(f'encoder = "{NAME}"\nallow_code = true\n')
    assert "unknown setting 'allow_code'" in biocosmos(*line, fails=2) and not ran()


def test_a_tokenizer_may_not_bring_code_nor_lead_elsewhere(tmp_path: Path) -> None:
    clip = save_tiny_clip(tmp_path / "clip")
    text = json.loads((clip / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    for wrong, told in (
        ({"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}, "may not say 'trust_remote_code'"),
        ({"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}, "may not say 'bpe_path'"),
        ({"hf_model_name": "../elsewhere"}, "leads to another folder"),
        ({"vocab_size": 10**9}, "vocab_size' must be a whole number in 1 to"),
        ({"layers": 10**6}, "layers' must be"),
    ):
        bad = changed(clip, tmp_path / "bad", "open_clip_config.json", model_cfg__text_cfg={**text, **wrong})
        with pytest.raises(BiocosmosError, match=told) as error:
            load_encoder(str(bad))
        assert "\n" not in str(error.value)


def test_a_timm_folder_takes_no_address_no_other_file_and_no_more_weights_than_it_has(convnet: Path, tmp_path: Path) -> None:
    for wrong, told in (
        ({"architecture": "hf-hub:somebody/model"}, "has no model 'hf-hub:somebody/model'"),
        ({"architecture": "local-dir:/tmp"}, "has no model"),
        ({"architecture": 7}, "'architecture' must be text, not 7"),
        ({"architecture": "vit_giant_patch14_224"}, "numbers and the model that is described beside it"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "'checkpoint_path' is no argument"),
        ({"model_args": {"pretrained": True}}, "'pretrained' is no argument"),
        ({"model_args": {"nothing": 1}}, "cannot build"),
        ({"model_args": [1]}, "must be null or an object"),
    ):
        bad = changed(convnet, tmp_path / "bad", "config.json", **wrong)
        with pytest.raises(BiocosmosError, match=told) as error:
            load_encoder(str(bad))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"preprocessing__size": "224"}, "'size' must be a whole number in 1 to 4096, not \"224\""),
        ({"preprocessing__size": 10**12}, "'size' must be"),
        ({"preprocessing__size": -1}, "'size' must be"),
        ({"preprocessing__size": True}, "'size' must be"),
        ({"preprocessing__mean": [0.5]}, "'mean' must be a list of 3"),
        ({"preprocessing__mean": {"a": 1}}, "'mean' must be"),
        ({"preprocessing__mean": [0.5, 0.5, float("nan")]}, r"'mean\[2\]' must be"),
        ({"preprocessing__std": [0, 1, 1]}, r"'std\[0\]' must be"),
        ({"preprocessing__interpolation": "magic\nmore"}, "interpolation 'magic"),
        ({"preprocessing__crop_fraction": 0}, "'crop_fraction' must be"),
        ({"preprocessing__background": [1, 2]}, "'background' must be"),
        ({"preprocessing__unheard": 1}, "not a preprocessing"),
        ({"preprocessing": []}, "'preprocessing' must be an object"),
        ({"format": "7\n\n7"}, "has format"),
        ({"files": ["../../secret"]}, r"'files\[0\]' must be the plain name of a file"),
        ({"files": ["/etc/passwd"]}, "plain name"),
        ({"files": "README.md"}, "'files' must be a list"),
        ({"base": None}, "'base' must be an object"),
        ({"base__name": {}}, "'base.name' must be text"),
        ({"digest": [[]]}, "'digest' must be text"),
        ({"frozen": "no"}, "'frozen' must be true or false"),
        ({"architecture": {"kind": "pickle"}}, "'architecture.kind' must be"),
        ({"projection__dim_in": 10**9}, "'projection.dim_in' must be"),
        ({"projection__dim_out": 70_000, "projection__hidden": 70_000}, "does not fit its description"),
        ({"projection__normalise": 3}, "'projection.normalise' must be"),
    ],
    ids=str,
)
def test_a_tampered_description_is_one_line(convnet: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BiocosmosError, match=told) as error:
        load_encoder(str(changed(convnet, tmp_path / "bad", **changes)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "null", "[" * 100_000, '{"format": ' + "9" * 10_000 + "}", '{"format": 1, "digest": "\\ud800"}', "\x00\x01"],
    ids=["empty", "list", "cut", "null", "deep", "endless", "half a character", "bytes"],
)
def test_a_description_that_is_none_is_one_line(convnet: Path, tmp_path: Path, text: str) -> None:
    bad = changed(convnet, tmp_path / "bad")
    for file in ("biocosmos.json", "config.json"):
        kept = (bad / file).read_text()
        (bad / file).write_text(text)
        with pytest.raises(BiocosmosError, match=file) as error:
            load_encoder(str(bad))
        assert "\n" not in str(error.value)
        (bad / file).write_text(kept)


def test_encoders_that_stand_on_one_another_in_a_circle_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    changed(folder, other, base__name=str(folder))
    changed(other, tmp_path / "again", base__name=str(other))
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "again", folder)
    with pytest.raises(BiocosmosError, match="stands on itself"):
        load_encoder(str(other))
    changed(other, tmp_path / "self", base__name=str(tmp_path / "self"))
    (tmp_path / "link").symlink_to(tmp_path / "self")
    with pytest.raises(BiocosmosError, match="stands on itself"):
        load_encoder(str(tmp_path / "link"))


def test_an_interrupted_save_moves_and_removes_nothing_outside_the_folder(convnet: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    bad = changed(convnet, tmp_path / "bad", files=["README.md", "../victim.txt"])
    shutil.copytree(convnet, bad / ".saving")  # the new version lists fewer files: the former ones go
    load_encoder(str(bad))
    assert victim.read_text() == "mine"
    bad = changed(convnet, tmp_path / "bad")
    changed(convnet, bad / ".saving", files=["../../victim.txt"])
    with pytest.raises(BiocosmosError, match="plain name of a file"):
        load_encoder(str(bad))
    shutil.rmtree(bad / ".saving")
    shutil.copytree(convnet, tmp_path / "mine")
    (bad / ".saving").symlink_to(tmp_path / "mine")
    with pytest.raises(BiocosmosError, match="leads out of the folder"):
        load_encoder(str(bad))
    assert victim.read_text() == "mine" and (tmp_path / "mine" / "biocosmos.json").exists()


def test_a_checkpoint_with_one_bit_the_other_way_is_refused_or_the_same(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, Processes(0, 1, torch.device("cpu")))
    shared = {"step": 3, "stopped_early": False, "weights": torch.arange(64.0)}
    place = checkpoints.save(3, shared, {"centres": torch.ones(8)}) / "shared.pt"
    whole, rng, refused = place.read_bytes(), random.Random(0), 0
    for _ in range(200):
        spoilt = bytearray(whole)
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        place.write_bytes(spoilt)
        try:
            found = checkpoints.load()
        except BiocosmosError as error:
            assert "cannot read the checkpoint" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert found is not None and found[0].pop("weights").equal(shared["weights"])
            assert found[0] == {"step": 3, "stopped_early": False, "processes": 1}
    assert refused > 20
