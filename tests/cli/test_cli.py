"""The command line, as people and scripts use it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biocosmos as bc
import warm
from biocosmos.cli import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """Standard output as the table it is in a pipe."""
        return list(csv.DictReader(io.StringIO(self.out), delimiter="\t"))


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["biocosmos", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture
def photos(tmp_path: Path, sample_table: pa.Table) -> Path:
    """A folder as people have them: sub-folders named by label, and one file that is not an image."""
    folder = tmp_path / "photos"
    for row in sample_table.slice(0, 40).to_pylist():
        path = folder / row["label"] / f"{row['id']}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"])
    (folder / sample_table["label"][0].as_py() / "notes.jpg").write_text("not an image")
    return folder


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "pyarrow", "lance", "numpy", "timm")
    program = f"import sys; from biocosmos.cli.app import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


TOO_EARLY = ("torch", "timm", "sklearn")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("search nowhere.cosmos {image}", "no collection at nowhere.cosmos: make one with 'biocosmos ingest"),
        ("search {collection} {image} --split tset", "split 'default' has no part 'tset': it has"),
        ("train heads {collection} -o run --split mine:train", "no split 'mine' in"),
        ("train zero-shot {collection} -o run --geometry attributes --attributes a.csv", "there is no file or folder a.csv"),
        ("search {collection} nothing.jpg", "images: there is no file or folder nothing.jpg"),
        ("search {collection} --id x --encoder run/", "no embedding 'run/': {collection} has efficientnet-lite0; make one with"),
        ("identify {collection} --part tset", "split 'default' has no part 'tset': it has"),
        ("identify {collection} {image} --head nowhere/", "--head: there is no file or folder nowhere"),
        ("identify {collection} --part test --device cpu --precision float32", "--precision does nothing here: it is used"),
        ("search {collection} {image} -o near.xls", "cannot write a table to near.xls: the name must end in"),
        ("embed {collection} --from v.npy -e mine", "--from: there is no file or folder v.npy"),
        (
            "search {collection} {image} -o {collection}/collection.json/near.csv",
            "which holds nothing else; write to another place",
        ),
        (
            "search {collection} {image} --split train --approximate",
            "--split does nothing here: it is used without --approximate",
        ),
        ("search {collection} --id x --device cpu", "--device does nothing here: it is used with images or with --text"),
        ("split {collection} --held-out 0.2", "--held-out does nothing here: it is used with --method open-world"),
        ("train unicom {collection} -o run --positives 3", "--positives does nothing here: it is used with --loss mlcd"),
        ("train unicom {collection} -o run --sweep 5 --clusters 5", "--clusters does nothing here: it is used without --sweep"),
        ("train heads {collection} -o run --head flat --hxe-alpha 1", "--hxe-alpha does nothing here: it is used with --head"),
        ("train zero-shot {collection} -o run --draws 2", "--draws does nothing here: it is used with --ablate"),
        ("encoders --default x", "--default does nothing here: it is used with a collection"),
        ("split {collection} --method wild", "'wild' is not one of"),
        ("search {collection} {image} --fish", "No such option: --fish"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_before_anything_heavy_is_imported(
    embedded: bc.Collection, tmp_path: Path, line: str, says: str
) -> None:
    program = (
        "import sys\nfrom biocosmos.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        f"    print(stop.code, [name for name in {TOO_EARLY} if name in sys.modules])"
    )
    image = tmp_path / "photo.jpg"
    image.write_bytes(b"")
    words = line.format(collection=embedded.path, image=image).split()
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = warm.run([sys.executable, "-c", program, *words], **said, cwd=tmp_path, original=warm.LIGHT)
    assert (
        says.format(collection=embedded.path) in done.stderr
        and done.stderr.startswith("error: ")
        and done.stderr.count("\n") == 1
    )
    code, _, heavy = done.stdout.strip().partition(" ")
    assert code in "12" and heavy == "[]"
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_the_embedding_that_verbs_use_by_default_is_recorded(run: Run, tiny_collection: bc.Collection, tmp_path: Path) -> None:
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    for name in ("first", "second", "third"):
        np.savez(tmp_path / f"{name}.npz", ids=ids, vectors=np.random.default_rng(0).normal(size=(len(ids), 4)))
        given = ("--from", tmp_path / f"{name}.npz", "-e", name, *(["--default"] if name == "third" else []))
        assert run("embed", tiny_collection.path, *given).code == 0
        assert bc.Collection.open(tiny_collection.path).default_encoder == {"second": "first"}.get(name, name)
    listed = run("encoders", tiny_collection.path, "--default", "second").rows
    assert [row["default"] for row in listed] == ["False", "True", "False"]
    assert bc.Collection.open(tiny_collection.path).gallery().provenance["encoder"] == "second"


def test_versions_and_galleries_say_what_they_are(embedded: bc.Collection) -> None:
    assert bc.__version__ == version("biocosmos")
    gallery = embedded.gallery(split="train")
    assert repr(gallery).startswith(f"<Gallery: {len(gallery):,} vectors of 1,280 numbers by efficientnet-lite0, ")
    label_of = dict(zip(*embedded.table(["id", "label"]).to_pydict().values()))
    assert gallery.labels.tolist() == [label_of[id_] for id_ in gallery.ids]


def test_from_a_folder_of_photos_to_a_described_collection(run: Run, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.cosmos"
    first = run("ingest", photos, "-o", target)
    assert first.code == 0
    assert "40 specimens added" in first.err
    assert "1 row failed" in first.err
    again = run("ingest", photos, "-o", target)
    assert "0 specimens added, 40 were there already" in again.err
    facts = {row["what"]: row["value"] for row in run("info", target).rows}
    assert facts["specimens"] == "40"
    told = run("failures", target).rows
    assert told[0]["source"].endswith("notes.jpg")
    assert run("ingest", photos, "-o", tmp_path / "strict.cosmos", "--strict").code == 1


def test_columns_of_a_table_are_given_as_ours_equals_theirs(run: Run, photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("planktonset-*.jpg"))[:3]
    lines = ["Bild;Art;Netz", *[f"{file.relative_to(photos)};{file.parent.name};WP2" for file in files]]
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    columns = ("--column", "image_path=Bild", "--column", "label=Art", "--images", photos)
    done = run("ingest", tmp_path / "table.csv", "-o", tmp_path / "t.cosmos", *columns)
    assert done.code == 0
    stored = bc.Collection.open(tmp_path / "t.cosmos").table(["label", "Netz", "width"])
    assert stored["label"].to_pylist() == [file.parent.name for file in files]
    assert stored["Netz"].to_pylist() == ["WP2"] * 3
    assert stored["width"].null_count == 0


def test_nothing_usable_ends_with_code_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    done = run("ingest", tmp_path / "bad", "-o", tmp_path / "bad.cosmos")
    assert done.code == 1
    assert "zero bytes" in done.err
    (tmp_path / "rows.csv").write_text("file,label\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    for path in ("rows.csv", "notes"):
        done = run("ingest", tmp_path / path, "-o", tmp_path / f"{path}.cosmos")
        assert done.code == 1
        assert f"no specimen was found in {tmp_path / path}" in done.err


def test_a_mistyped_path_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    done = run("ingest", tmp_path / "phtos", "-o", tmp_path / "mine.cosmos")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "mine.cosmos").exists()


def test_splits_taxa_and_export(run: Run, tiny_collection: bc.Collection, tmp_path: Path) -> None:
    made = run("split", tiny_collection.path, "--seed", 4)
    assert sum(int(row["specimens"]) for row in made.rows) == 120
    assert tiny_collection.split().seed == 4
    assert run("split", tiny_collection.path, "--fractions", "train=half").code == 2

    taxa = run("taxa", tiny_collection.path, "--rank", "phylum").rows
    counted = {row["taxon"]: int(row["specimens"]) for row in taxa}
    phyla = [name for name in tiny_collection.table(["phylum"])["phylum"].to_pylist() if name]
    assert counted == {name: phyla.count(name) for name in set(phyla)}

    done = run("export", tiny_collection.path, "-o", tmp_path / "out.parquet", "--split", "test")
    assert done.code == 0
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.num_rows == tiny_collection.split().counts()["test"]
    empty = [name for name in written.column_names if written[name].null_count == written.num_rows]
    assert "barcode" not in written.column_names and set(empty) <= set(tiny_collection.ranks)


def test_search_finds_the_image_itself_first_and_by_id_never(run: Run, embedded: bc.Collection, tmp_path: Path) -> None:
    row = embedded.table(["id", "image"]).slice(7, 1).to_pylist()[0]
    (tmp_path / "query.jpg").write_bytes(row["image"])
    by_image = run("search", embedded.path, tmp_path / "query.jpg", "-k", 3).rows
    assert [int(hit["position"]) for hit in by_image] == [1, 2, 3]
    assert by_image[0]["id"] == row["id"]
    assert float(by_image[0]["score"]) == pytest.approx(1, abs=1e-4)
    by_id = run("search", embedded.path, "--id", row["id"], "-k", 5).rows
    assert row["id"] not in [hit["id"] for hit in by_id]
    within = run("search", embedded.path, "--id", row["id"], "--within", "phylum:Arthropoda", "-k", 5).rows
    assert {hit["phylum"] for hit in within} == {"Arthropoda"}


def test_searching_by_text_without_a_text_tower_says_what_is_needed(run: Run, embedded: bc.Collection) -> None:
    done = run("search", embedded.path, "--text", "a copepod")
    assert done.code == 1
    assert "text" in done.err
    assert done.err.count("\n") == 1


def test_identify_keeps_every_path_and_lists_what_it_could_not_read(run: Run, embedded: bc.Collection, tmp_path: Path) -> None:
    test = embedded.table(["id", "image"], split="test").to_pylist()[:6]
    night = tmp_path / "night"
    night.mkdir()
    for row in test:
        (night / f"{row['id']}.jpg").write_bytes(row["image"])
    (night / "broken.jpg").write_bytes(test[0]["image"][:300])
    done = run("identify", embedded.path, night, "-o", tmp_path / "names.csv")
    assert done.code == 0
    names = list(csv.DictReader((tmp_path / "names.csv").open(encoding="utf-8")))
    assert [row["image_path"] for row in names] == sorted(str(night / f"{row['id']}.jpg") for row in test)
    for row in names:
        assert np.isfinite(float(row["novelty"])) and 0 < float(row["novelty_p"]) <= 1
        assert json.loads(row["neighbours"])
    failed = list(csv.DictReader((tmp_path / "names.failures.csv").open(encoding="utf-8")))
    assert [Path(row["source"] or row["id"]).name for row in failed] == ["broken.jpg"]
    about = json.loads((tmp_path / "names.csv.provenance.json").read_text())
    assert about["encoder"]["name"] == "efficientnet-lite0"
    for suffix in ("parquet", "json"):
        assert run("identify", embedded.path, "--part", "test", "-o", tmp_path / f"names.{suffix}").code == 0
    assert pq.read_table(tmp_path / "names.parquet").num_rows == embedded.split().counts()["test"]
    assert run("identify", embedded.path, night, "-o", tmp_path / "names.xls").code == 1


def test_evaluate_writes_tables_and_one_page(run: Run, embedded: bc.Collection, tmp_path: Path) -> None:
    done = run("evaluate", embedded.path, "-o", tmp_path / "report", "--by", "group")
    assert done.code == 0
    assert done.rows
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert embedded.split().hash in page
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["provenance.json", "report.html", "results.parquet"]


def test_encoders_are_listed_and_the_default_is_here(run: Run) -> None:
    rows = {row["name"]: row for row in run("encoders").rows}
    assert rows["efficientnet-lite0"]["on this machine"] in ("yes", "True")


def test_an_encoder_that_is_not_here_fails_with_the_command_that_fetches_it(run: Run, tiny_collection: bc.Collection) -> None:
    done = run("embed", tiny_collection.path, "--encoder", "open_clip:hf-hub:imageomics/bioclip-2")
    assert done.code == 1
    assert "biocosmos fetch open_clip:hf-hub:imageomics/bioclip-2" in done.err
