"""An installed package adds an encoder, a reader, a namer, a detector and a recipe, and the verbs use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import biocosmos as bc
from biocosmos import plugins
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namer import FitOptions
from biocosmos.identify.namers.registry import find_namer
from biocosmos.identify.novelty.registry import DETECTORS, make_detector
from biocosmos.specimens.readers import detect
from biocosmos.train.heads.recipes import recipe, recipe_file
from predictions_sample import example as made_up

Call = Callable[..., str]
Install = Callable[..., None]


@pytest.fixture(scope="session")
def json_lines(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> Path:
    """120 images of the sample as files, and a file of JSON lines about them; two of its lines are broken."""
    folder = tmp_path_factory.mktemp("lines")
    lines = []
    for row in sample_table.slice(0, 120).to_pylist():
        (folder / f"{row['id']}.jpg").write_bytes(row["image"])
        lines.append(
            json.dumps({"id": row["id"], "image_path": f"{row['id']}.jpg", "class": row["class"], "label": row["label"]})
        )
    lines[50:50] = ["{", '{"label": "of no image"}']
    (folder / "specimens.jsonl").write_text("\n".join(lines))
    return folder / "specimens.jsonl"


def test_an_installed_package_is_seen_by_the_command_line(installed_example: Path) -> None:
    path = os.pathsep.join([str(installed_example), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "biocosmos", "encoders"], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    row = next(line for line in done.stdout.splitlines() if line.startswith("thumbnail"))
    assert row.endswith("added by biocosmos-example 1.0")


def test_asking_for_names_imports_no_plug_in(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "biocosmos_example", raising=False)
    assert [plug_in.name for plug_in in plugins.installed() if plug_in.package == "biocosmos-example 1.0"] == [
        "thumbnail",
        "json-lines",
        "nearest-three",
        "entropy",
        "first-look",
    ]
    assert "biocosmos_example" not in sys.modules
    with pytest.raises(ValueError, match="no kind of plug-in 'colours'"):
        plugins.plug_ins("colours")


def test_the_verbs_use_its_reader_encoder_detector_and_recipe(
    example: Path, json_lines: Path, tmp_path: Path, biocosmos: Call
) -> None:
    assert detect(json_lines) == "json-lines"
    mine = tmp_path / "mine.cosmos"
    biocosmos("ingest", json_lines, "-o", mine)
    collection = bc.Collection.open(mine)
    assert len(collection) == 120 and collection.ranks == ("class", "label")
    assert [(row["row"], row["reason"].partition(":")[0]) for row in collection.failures.to_pylist()] == [
        (51, "not a specimen"),
        (52, "not a specimen"),
    ]

    biocosmos("embed", mine, "-e", "thumbnail")
    biocosmos("embed", mine, "-e", "thumbnail:4")
    assert {name: facts["dim"] for name, facts in collection.encoders.items()} == {
        "thumbnail": 3 * 8 * 8,
        "thumbnail:4": 3 * 4 * 4,
    }
    assert collection.encoders["thumbnail:4"]["digest"] == "thumbnail-4"
    image = next(json_lines.parent.glob("*.jpg"))
    biocosmos("search", mine, image, "-e", "thumbnail:4", "-k", "2", "-o", tmp_path / "hits.csv")
    hits = pa.csv.read_csv(tmp_path / "hits.csv").to_pylist()
    assert hits[0]["id"] == image.stem and hits[0]["score"] == pytest.approx(1, abs=1e-4)

    collection.make_split(fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    biocosmos("train", "heads", mine, "--recipe", "first-look", "-o", tmp_path / "head")
    biocosmos("identify", mine, "--method", "nearest-three", "-e", "thumbnail", "--part", "test", "-o", tmp_path / "named.csv")
    named = pa.csv.read_csv(tmp_path / "named.csv")
    assert len(named) == collection.count(split="test") and set(named["method"].to_pylist()) == {"nearest-three"}
    for who in (("--method", "nearest-three", "-e", "thumbnail"), ("--head", tmp_path / "head")):
        novelty = []
        for detector in ("entropy", "msp"):
            asked = ("--part", "test", "--error-rate", "0.4", "--promise", "mean", "--novelty", detector)
            biocosmos("identify", mine, *who, *asked, "-o", tmp_path / "names.csv")
            novelty.append(pa.csv.read_csv(tmp_path / "names.csv")["novelty"].to_numpy())
        assert np.isfinite(novelty[0]).all() and not np.allclose(*novelty)


def test_its_namer_is_calibrated_judged_and_kept_as_any_other(example: Path, embedded: bc.Collection, tmp_path: Path) -> None:
    train, val, test = (embedded.gallery(split=part) for part in ("train", "val", "test"))
    identifier = bc.Identifier.fit(train, method="nearest-three", calibration=val)
    named = identifier.identify(test)
    assert set(named["method"].to_pylist()) == {"nearest-three"}
    identifier.save(tmp_path / "kept")
    assert bc.Identifier.load(tmp_path / "kept").identify(test)["taxon"].equals(named["taxon"])

    rows = train.subset(train.taxa > 0)
    best = []
    for query in test.vectors[:20]:
        nearest = {int(node): np.sort(rows.vectors[rows.taxa == node] @ query)[-3:].mean() for node in set(rows.taxa)}
        best.append(max(nearest, key=lambda node: nearest[node]))
    namer = find_namer("nearest-three").fit(rows, FitOptions())
    assert namer.classes[namer.scores(test.vectors[:20]).argmax(axis=1)].tolist() == best


def test_its_detector_agrees_with_its_equation(example: Path) -> None:
    train, queries = made_up(seed=0), made_up(seed=1)
    scores = make_detector("entropy").fit(train).scores(queries)
    logits = queries.logits.astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(scores, [-sum(x * np.log(x) for x in row if x > 0) for row in p])


def test_its_recipe_states_settings(example: Path, biocosmos: Call) -> None:
    assert "first-look\tadded by biocosmos-example 1.0\n" in biocosmos("train", "recipes")
    assert recipe("first-look") == {"head": "conditional", "size": 32, "epochs": 1, "batch_size": 32}
    assert recipe_file("first-look").parent == example / "biocosmos_example"


def test_a_broken_package_is_one_line_that_names_it_and_harms_no_other(
    example: Path, fake_package: Install, tmp_path: Path, tiny_collection: bc.Collection
) -> None:
    fake_package(
        "bad-lab",
        ("encoders", "gone", "bad_lab:Encoder"),
        ("readers", "nonsense", "bad_lab:NOTHING"),
        ("detectors", "wrong", "builtins:dict"),
        ("recipes", "nowhere", "builtins:dict"),
        ("namers", "half", "biocosmos.identify.namers.linear:Linear"),
        source="raise RuntimeError('this laboratory\\nis closed')",
    )
    said = r"of the package bad-lab 2\.0 \(bad_lab:Encoder\) cannot be used: RuntimeError: this laboratory; mend, update"
    with pytest.raises(BiocosmosError, match=said):
        bc.embed(tiny_collection, "gone")
    with pytest.raises(BiocosmosError, match=r"detector 'wrong' of the package bad-lab.* no child of"):
        make_detector("wrong")
    with pytest.raises(BiocosmosError, match=r"namer 'half' of the package bad-lab.* its class calls itself 'linear'"):
        find_namer("half")
    with pytest.raises(BiocosmosError, match=r"recipe 'nowhere' of the package bad-lab.* path of a \.toml file"):
        recipe_file("nowhere")
    with pytest.raises(BiocosmosError, match="reader 'nonsense' of the package bad-lab"):
        bc.read(tmp_path, format="nonsense")

    (tmp_path / "more.jsonl").write_text('{"id": "a", "image_path": "a.jpg"}')
    with pytest.warns(UserWarning, match="reader 'nonsense' of the package bad-lab"):
        assert detect(tmp_path / "more.jsonl") == "json-lines"
    assert make_detector("entropy").name == "entropy"


def test_no_package_changes_what_a_name_meant(fake_package: Install, tiny_collection: bc.Collection) -> None:
    source = "from biocosmos.identify.novelty.logits import Energy\nclass Mine(Energy):\n    name = 'energy'\n"
    fake_package("first-lab", ("detectors", "energy", "first_lab:Mine"), ("encoders", "pixels", "first_lab:A"), source=source)
    with pytest.warns(UserWarning, match=r"first-lab 2\.0 names a detector 'energy', which biocosmos has itself"):
        assert type(make_detector("energy")) is DETECTORS["energy"]
    fake_package("other-lab", ("encoders", "pixels", "other_lab:B"))
    with (
        pytest.warns(UserWarning, match=r"first-lab 2\.0 and other-lab 2\.0 each name an encoder 'pixels': neither is used"),
        pytest.raises(BiocosmosError, match="encoder 'pixels' is not known"),
    ):
        bc.embed(tiny_collection, "pixels")
