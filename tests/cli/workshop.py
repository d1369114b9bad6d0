"""The folder in which every command line of ``runs.py`` is run: a collection that may be changed, files, and what runs left."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.cli import main
from bioscan_like import insects, write_1m, write_5m, write_clibd
from runs import LINES
from space_sample import both, space
from tiny_clap import song, tiny_clap
from tiny_clip import save_tiny_clip

BIOSCAN = "processid,taxon,phylum,class,order,family,genus,species,dna_barcode,split,chunk\n"
PHOTOS = 6


@dataclass(frozen=True)
class Outcome:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


class Workshop:
    """Runs the lines of the table, each once, after those that it needs."""

    def __init__(self, folder: Path, embedded: bc.Collection) -> None:
        self.folder, self.done = folder, dict[str, Outcome]()
        self.paths = _furnish(folder, embedded)

    def run(self, name: str) -> Outcome:
        """The outcome of the line of this name."""
        if name not in self.done:
            for other in LINES[name].after:
                self.run(other)
            self.done[name] = self.call(*(word.format(**self.paths) for word in shlex.split(LINES[name].text)))
        return self.done[name]

    def call(self, *arguments: str) -> Outcome:
        """Run ``biocosmos`` with these arguments in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            before, sys.argv = sys.argv, ["biocosmos", *arguments]
            try:
                main()
            except SystemExit as stop:
                return Outcome(int(stop.code or 0), out.getvalue(), err.getvalue())
            finally:
                sys.argv = before
        return Outcome(0, out.getvalue(), err.getvalue())


def _furnish(folder: Path, embedded: bc.Collection) -> dict[str, str]:
    """The files that the lines name."""
    shutil.copytree(embedded.path, folder / "mine.cosmos")
    mine = bc.Collection.open(folder / "mine.cosmos")
    mine.dataset.update({"text": "label", "latitude": "43.68", "longitude": "7.31", "date": "'2026-06-04'"})
    marks = {name: [str(i % every and 1) for i in range(len(mine))] for name, every in (("torn", 3), ("eggs", 5))}
    mine.update(pa.table({"id": mine.table(["id"])["id"], **marks, "depth_min": [10.0] * len(mine)}))
    shutil.copytree(embedded.path, folder / "half.cosmos")
    half = bc.Collection.open(folder / "half.cosmos")
    unnamed = ", ".join(f"'{id_}'" for id_ in half.table(["id"], split="test")["id"].to_pylist()[:3])
    half.dataset.update({rank: f"nullif(`{rank}`, `{rank}`)" for rank in half.ranks}, where=f"id IN ({unnamed})")
    rows = embedded.table(["id", "label", "image"], split="test").slice(0, PHOTOS).to_pylist()
    for row in rows:
        path = folder / "photos" / row["label"] / f"{row['id']}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"])
    (folder / "metadata.csv").write_text("file,depth\n" + "".join(f"{row['id']}.jpg,{i}\n" for i, row in enumerate(rows)))
    table = [f"{row['label']}/{row['id']}.jpg;{row['label']}" for row in rows]
    (folder / "table.csv").write_text("\n".join(["Bild;Art", *table]) + "\n")
    labels = sorted(set(embedded.table(["label"])["label"].to_pylist()))
    (folder / "tree.csv").write_text("label,family\n" + "".join(f"{label},F{label[0]}\n" for label in labels))
    (folder / "blank_review.csv").write_text("path,rank,use\n")
    (folder / "checklist.csv").write_text("id,above,rank,name\n1,,kingdom,Animalia\n2,1,phylum,Arthropoda\n3,2,class,Copepoda\n")
    corrections = [f"{row['id']};detritus_blob;;{i}" for i, row in enumerate(rows[:2])]
    (folder / "corrections.csv").write_text("\n".join(["Nummer;Art;text;depth", *corrections]) + "\n")
    (folder / "renames.csv").write_text(f"Alt,Neu\n{labels[0]},{labels[1]}\nCopepoda,Copepods\n")
    (folder / "attributes.csv").write_text("taxon,length\n" + "".join(f"{label},{len(label)}\n" for label in labels))
    _bioscan(folder / "bioscan")
    insects_of_two_kinds = insects(species=24, specimens=240)
    write_5m(folder / "bioscan5m", insects_of_two_kinds)
    write_1m(folder / "bioscan1m", insects_of_two_kinds)
    write_clibd(folder / "clibd", insects_of_two_kinds)
    dna = "ACGT" * 30
    (folder / "bold.fas").write_text(f">A1-10|Culex pipiens|COI-5P\n{dna}\n>A1-10|Culex pipiens|ITS\n{dna}\n")
    _detections(folder / "detections.json", f"photos/{rows[0]['label']}/{rows[0]['id']}.jpg")
    _boxes(folder / "boxes.json", f"photos/{rows[0]['label']}/{rows[0]['id']}.jpg")
    (folder / "foreign").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / "foreign" / f"{i}.png")
    ids = embedded.table(["id"])["id"].to_pylist()
    np.save(folder / "vectors.npy", rng.normal(size=(len(ids), 8)).astype(np.float32))
    looks = {"frame": [1, 1, 2, 2], "id": [1, 2, 1, 2], "feat": np.eye(4, 3)}
    np.savez(folder / "looks.npz", **{f"scene-1-001-15s/{part}": array for part, array in looks.items()})
    (folder / "told.csv").write_text("id,label\n" + "".join(f"{row['id']},{row['label']}\n" for row in rows))
    (folder / "hits.b6").write_text("q1\tnobody\t99.1\t600\t5\t0\t1\t600\t1\t600\t-1\t0\n")
    (folder / "one.txt").write_text(ids[0] + "\n")
    (folder / "weights.csv").write_text("class,weight\ntorn,5\n*,1\n")
    trays = [f"tray {i},text,{i % 2},{'' if i % 5 else 1},Apis;Bombus,{('train', 'test')[i % 2]}" for i in range(20)]
    nets = [f"net {i},net {i},st{i % 2},Calanus,2026-06-04,43,7,12.5,0.5,0.01,200,0.25,2,9,0,40" for i in range(6)]
    head = "id,text,sample_id,label,date,latitude,longitude,vol,part,mm3,mesh,mouth,parts,area,depth_min,depth_max"
    (folder / "nets.csv").write_text("\n".join([head, *nets]) + "\n")
    (folder / "net_samples.csv").write_text("sample_id,depth_min,depth_max,date\nst9,0,40,2026-07-04\n")
    (folder / "trays.csv").write_text("\n".join(["id,text,torn,mouldy,seen,part", *trays]) + "\n")
    scores = [f"tray {i},0.{i % 9}1,0.4,0.{i % 5}" for i in range(20)]
    (folder / "scores.csv").write_text("\n".join(["Filename,torn,mouldy,Apis", *scores]) + "\n")
    (folder / "ids.txt").write_text("\n".join(ids))
    (folder / "parts").mkdir()
    (folder / "parts" / "seen.txt").write_text("\n".join(ids[:9]))
    (folder / "accepted.csv").write_text(f"id,proposal,rank,accept\n{ids[5]},b,label,yes\n")
    (folder / "templates.txt").write_text("a photo of {name}.\n")
    places = "file,latitude,longitude,date\n" + f"{rows[0]['id']}.jpg,52.05,5.05,2026-06-04\n"
    (folder / "places.csv").write_text(places)
    (folder / "fence.csv").write_text("taxon,rule,country\nInsecta,allow,NL\nInsecta,allow,BE\n")
    (folder / "allowed.csv").write_text("taxon\nInsecta\n")
    (folder / "unicom.toml").write_text("epochs = 1\nclusters = 9\n")
    (folder / "heads.toml").write_text('epochs = 1\nfreeze = true\nranks = "group,label"\n')
    (folder / "zero_shot.toml").write_text("epochs = 1\ndim = 8\nhidden = 16\n")
    save_tiny_clip(folder / "clip")
    own = bc.Collection.create(folder / "out" / "theirs.cosmos")
    own.add(pa.table({"id": ids, "label": ["a"] * len(ids), "text": ["seen at night"] * len(ids)}))
    own.add_embedding("theirs", ids, rng.normal(size=(len(ids), 8)).astype(np.float32))
    dna, genus = _barcodes(folder)
    both(folder / "across", specimens=30, unseen_parts=("key_unseen", "val_unseen", "test_unseen"))
    space(folder / "across" / "run")
    _raster(folder / "rasters")
    _nature(folder, f"photos/{rows[0]['label']}/{rows[0]['id']}.jpg")
    names = {
        "both": "across/both.cosmos",
        "rasters": "rasters",
        "nature": "nature.csv",
        "song": "song.wav",
        "heard": "heard.csv",
        "sounds": "sounds",
        "clap": "clap",
        "space": "across/run",
        "paired": "SIM0-000001",
        "barcodes": "barcodes.cosmos",
        "fasta": "barcodes.fasta",
        "dna": dna,
        "genus": genus,
        "collection": "mine.cosmos",
        "half": "half.cosmos",
        "photos": "photos",
        "photo": f"photos/{rows[0]['label']}/{rows[0]['id']}.jpg",
        "id": ids[0],
        "metadata": "metadata.csv",
        "table": "table.csv",
        "tree": "tree.csv",
        "checklist": "checklist.csv",
        "blank_review": "blank_review.csv",
        "renames": "renames.csv",
        "corrections": "corrections.csv",
        "attributes": "attributes.csv",
        "weights": "weights.csv",
        "trays": "trays.csv",
        "nets": "nets.csv",
        "net_samples": "net_samples.csv",
        "scores": "scores.csv",
        "bioscan": "bioscan/metadata.csv",
        "bioscan5m": "bioscan5m",
        "bioscan1m": "bioscan1m",
        "clibd": "clibd",
        "bold": "bold.fas",
        "parts": "parts",
        "boxes": "boxes.json",
        "detections": "detections.json",
        "foreign": "foreign",
        "vectors": "vectors.npy",
        "looks": "looks.npz",
        "ids": "ids.txt",
        "accepted": "accepted.csv",
        "hits": "hits.b6",
        "told": "told.csv",
        "one": "one.txt",
        "templates": "templates.txt",
        "fence": "fence.csv",
        "places_of_photos": "places.csv",
        "allowed": "allowed.csv",
        "config": "unicom.toml",
        "heads": "heads.toml",
        "zero_shot": "zero_shot.toml",
        "clip": "./clip",
        "out": "out",
    }
    return names | {"name": "{name}"}


def _bioscan(folder: Path) -> None:
    (folder / "images/cropped_256/train").mkdir(parents=True)
    (folder / "metadata.csv").write_text(BIOSCAN + "P1,Diptera,Arthropoda,Insecta,Diptera,,,,ACGT,train,\n")
    Image.new("RGB", (40, 30), (90, 90, 90)).save(folder / "images/cropped_256/train/P1.jpg")


def _barcodes(folder: Path) -> tuple[str, str]:
    """barcodes.cosmos with 120 simulated barcodes, embedded and split, barcodes.fasta with others; one of these, and a genus."""
    rows = simulate_barcodes(seed=3, orders=2, families=3, genera=6, species=15, specimens=120)
    made = bc.Collection.create(folder / "barcodes.cosmos")
    made.add(rows)
    made.make_split("stratified", seed=1)
    bc.embed(made, "kmer:6")
    asked = simulate_barcodes(seed=4, orders=2, families=3, genera=6, species=6, specimens=6).to_pylist()
    (folder / "barcodes.fasta").write_text("".join(f">asked-{i}\n{row['barcode']}\n" for i, row in enumerate(asked)))
    genera = rows["genus"].to_pylist()
    return str(asked[0]["barcode"]), max(sorted(set(genera)), key=genera.count)


def _boxes(file: Path, photo: str) -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}
    parts = {"images": [{"id": 1, "file_name": photo}], "annotations": [annotation], "categories": [{"id": 1, "name": "copepod"}]}
    file.write_text(json.dumps(parts))


def _detections(file: Path, photo: str) -> None:
    animal = {"category": "1", "conf": 0.9, "bbox": [0, 0, 0.5, 0.5]}
    images = [{"file": photo, "detections": [animal]}, {"file": f"./{photo}", "detections": []}]
    file.write_text(json.dumps({"detection_categories": {"1": "animal"}, "images": images}))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, embedded: bc.Collection) -> Workshop:
    """The workshop, furnished once."""
    return Workshop(tmp_path_factory.mktemp("workshop"), embedded)


def _nature(folder: Path, picture: str) -> None:
    """Specimens of a place, with a sound and a picture from above."""
    tiny_clap(folder / "clap")
    song(folder / "song.wav", 1.5)
    lines = [f"n{i},a bird,{52 + i / 10},5.05,2026-06-0{i + 1},3,NL,song.wav,{picture},{picture}" for i in range(3)]
    head = "id,text,latitude,longitude,date,depth_min,country,audio_path,satellite_path,image_path"
    (folder / "heard.csv").write_text("id,scientific_name,sound_format\n7,Parus major,wav\n8,Parus ater,wav\n")
    (folder / "sounds").mkdir()
    song(folder / "sounds" / "7.wav", 0.5)
    (folder / "nature.csv").write_text("\n".join([head, *lines]) + "\n")


def _raster(folder: Path) -> None:
    """Warmth of the places of made-up specimens, in degrees north and east."""
    import rasterio

    folder.mkdir()
    facts = {"driver": "GTiff", "width": 40, "height": 40, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    turn = rasterio.transform.from_origin(0, 60, 0.5, 0.5)
    with rasterio.open(folder / "warmth.tif", "w", transform=turn, **facts) as file:
        file.write(np.random.default_rng(0).normal(size=(1, 40, 40)).astype(np.float32))
