"""Small valid things that are spoilt: photographs, tables, archives, a collection, encoders, a head, a run with a checkpoint."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judge import lines

SPECIMENS, EACH = 60, 15
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")


@dataclass(frozen=True)
class Case:
    """One malformed input: files in a sandbox, what is done with them, and how to see that nothing went wrong in silence."""

    kind: str
    name: str
    work: Callable[[], Any]
    check: Callable[[Path], str | None] | None = None


def make_stock(place: Path) -> Callable[[], list[int]]:
    """Work that fills ``place`` with the stock. Images are real, of the shipped sample; models are tiny and random."""

    def work() -> list[int]:
        import timm
        import torch

        import biocosmos as bc
        from biocosmos.encoders.registry import load_towers
        from biocosmos.encoders.saving import save_encoder
        from biocosmos.nn.projection import Projection
        from biocosmos.specimens.records import Source
        from biocosmos.specimens.sample import SAMPLE_RANKS, sample
        from tiny_clip import save_tiny_clip

        torch.manual_seed(0)
        whole = sample()
        labels = whole["label"].to_pylist()
        kept = sorted(set(labels), key=labels.count, reverse=True)[: SPECIMENS // EACH]
        table = whole.take([row for row, label in enumerate(labels) if label in kept and labels[:row].count(label) < EACH])
        for row in table.take(list(range(0, SPECIMENS, 10))).to_pylist():
            (place / "photos" / row["label"]).mkdir(parents=True, exist_ok=True)
            (place / "photos" / row["label"] / f"{row['id']}.png").write_bytes(row["image"])
        timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=5), place / "source", safe_serialization=True)
        towers = load_towers(str(place / "source"))
        small = towers.preprocessing.replaced(size=32)
        save_encoder(place / "enc", towers, base="source", preprocessing=small, projection=Projection(towers.features(), 8))
        save_encoder(place / "frozen", towers, base=str(place / "enc"), projection=Projection(towers.features(), 4), frozen=True)
        save_tiny_clip(place / "clip")
        collection = bc.Collection.create(place / "mine.cosmos")
        collection.add(Source("mine", "sample", table.to_batches(), SAMPLE_RANKS), pack=True)
        collection.make_split("stratified", seed=0)
        mine, enc = place / "mine.cosmos", "enc"
        return lines(
            ["embed", mine, "--encoder", enc, "--device", "cpu"],
            [
                "train",
                "heads",
                mine,
                "-o",
                "head",
                "--encoder",
                enc,
                "--freeze",
                "--epochs",
                "2",
                "--ranks",
                "group,label",
                "--device",
                "cpu",
            ],
            [
                "train",
                "unicom",
                mine,
                "-o",
                "run",
                "--encoder",
                enc,
                "--freeze",
                "--epochs",
                "2",
                "--dim",
                "4",
                "--taxa",
                "label",
                "--device",
                "cpu",
            ],
            *BASELINE(mine, Path("baseline")),
            ["identify", mine, "--part", "test", "--head", "head", "--threshold", "0.5", "-o", "baseline/head.csv", "--fresh"],
            *_changes(place, table),
        )()

    return work


CHANGES = 4


def _changes(place: Path, table: Any) -> list[list[object]]:
    """A copy of the collection that is changed CHANGES times: lines, and after each a table of what it is."""
    changed, labels = place / "changed.cosmos", sorted(set(table["label"].to_pylist()))
    shutil.copytree(place / "mine.cosmos", changed)
    ids = table["id"].to_pylist()
    corrections = "id,label,depth\n" + "".join(f"{id_},other,{number}.5\n" for number, id_ in enumerate(ids[:20]))
    (place / "corrections.csv").write_text(corrections)
    made: list[list[object]] = [
        ["update", changed, "corrections.csv"],
        ["relabel", changed, labels[0], "Calanus finmarchicus"],
        ["remove", changed, "--yes", *(word for id_ in ids[30:33] for word in ("--id", id_))],
        ["relabel", changed, labels[1], labels[2]],
    ]
    found: list[list[object]] = [["export", changed, "-o", "baseline/state-0.csv"]]
    for number, line in enumerate(made, 1):
        found += [line, ["export", changed, "-o", f"baseline/state-{number}.csv"]]
    return found


def BASELINE(mine: Path | str, out: Path | str) -> list[list[object]]:
    """What a collection is asked, so that a damaged one can be seen to answer otherwise."""
    return [
        ["identify", mine, "--part", "test", "--method", "nearest", "--threshold", "0.5", "-o", f"{out}/names.csv", "--fresh"],
        ["export", mine, "-o", f"{out}/out.csv"],
    ]


def inputs_of(stock: Path) -> dict[str, Any]:
    """Name -> bytes of every small valid file that a reader takes, made without the package that reads them."""
    photos = sorted((stock / "photos").rglob("*.png"))
    names = [path.name for path in photos]
    rows = [
        (path.stem, path.parent.name, f"{path.parent.name}/{path.name}", str(40 + i), str(i * 7.5), f"2014-05-{i + 10}")
        for i, path in enumerate(photos)
    ]
    header = ("id", "label", "image_path", "latitude", "depth", "date")
    tables = {
        suffix: "".join(separator.join(row) + "\n" for row in [header, *rows])
        for suffix, separator in ((".csv", ","), (".tsv", "\t"))
    }
    boxes = [
        {"id": i, "image_id": i, "category_id": i % 2, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0} for i in range(len(photos))
    ]
    coco = {
        "info": {"year": 2014},
        "licenses": [],
        "categories": [{"id": 0, "name": "copepod", "supercategory": "animal"}, {"id": 1, "name": "fish"}],
        "images": [
            {"id": i, "file_name": row[2], "width": 40, "height": 40, "date_captured": row[5]} for i, row in enumerate(rows)
        ],
        "annotations": boxes,
    }
    detector = {
        "info": {"detector": "md_v5a", "format_version": "1.3"},
        "detection_categories": {"1": "animal", "2": "person"},
        "images": [
            {"file": row[2], "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}]} for row in rows
        ],
    }
    shards = {
        f"{row[0]}.{suffix}": data
        for row, path in zip(rows, photos)
        for suffix, data in (
            ("png", path.read_bytes()),
            ("cls", row[1].encode()),
            ("json", json.dumps({"depth": row[4]}).encode()),
        )
    }
    return {
        "photos": {row[2]: path.read_bytes() for row, path in zip(rows, photos)},
        "names": names,
        **tables,
        "coco": coco,
        "detector": detector,
        "shards": shards,
        "darwin core": _darwin_core(rows, photos),
        "ecotaxa": _ecotaxa(rows, photos),
        "inaturalist": _inaturalist(rows),
    }


def _darwin_core(rows: list[tuple[str, ...]], photos: list[Path]) -> dict[str, bytes]:
    terms = ("occurrenceID", "scientificName", "decimalLatitude", "eventDate", "genus", "taxonRank")
    fields = "".join(f'<field index="{i}" term="http://rs.tdwg.org/dwc/terms/{term}"/>' for i, term in enumerate(terms))
    media = "".join(
        f'<field index="{i}" term="http://purl.org/dc/terms/{term}"/>' for i, term in ((1, "identifier"), (2, "type"))
    )
    shape = 'encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1"'
    meta = (
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml"><core {shape} rowType="http://rs.tdwg.org/dwc/terms/Occurrence">'
        f'<files><location>occurrence.txt</location></files><id index="0"/>{fields}</core>'
        f'<extension {shape} rowType="http://rs.gbif.org/terms/1.0/Multimedia"><files><location>multimedia.txt</location></files>'
        f'<coreid index="0"/>{media}</extension></archive>'
    )
    core = ["\t".join(terms)] + [
        "\t".join((row[0], "Calanus finmarchicus", row[3], row[5], "Calanus", "species")) for row in rows
    ]
    extension = ["coreid\tidentifier\ttype"] + [f"{row[0]}\tmedia/{path.name}\tStillImage" for row, path in zip(rows, photos)]
    members = {
        "meta.xml": meta.encode(),
        "eml.xml": b"<eml><dataset><title>t</title></dataset></eml>",
        "occurrence.txt": ("\n".join(core) + "\n").encode(),
        "multimedia.txt": ("\n".join(extension) + "\n").encode(),
    }
    return members | {f"media/{path.name}": path.read_bytes() for path in photos}


def _ecotaxa(rows: list[tuple[str, ...]], photos: list[Path]) -> dict[str, bytes]:
    names = ("object_id", "img_file_name", "object_annotation_category", "object_lat", "object_date", "sample_id")
    table = ["\t".join(names), "\t".join(("[t]", "[t]", "[t]", "[f]", "[f]", "[t]"))]
    table += ["\t".join((row[0], path.name, row[1], row[3], row[5].replace("-", ""), "s1")) for row, path in zip(rows, photos)]
    return {"ecotaxa_export.tsv": ("\n".join(table) + "\n").encode()} | {path.name: path.read_bytes() for path in photos}


def _inaturalist(rows: list[tuple[str, ...]]) -> str:
    table = ["id,observed_on,latitude,longitude,scientific_name,common_name,image_url,quality_grade"]
    table += [
        f"{i},{row[5]},{row[3]},5,Calanus finmarchicus,copepod,https://example.org/{row[2]},research"
        for i, row in enumerate(rows)
    ]
    return "\n".join(table) + "\n"


def picture(size: tuple[int, int], mode: str = "RGB", kind: str = "PNG") -> bytes:
    """A picture of one colour as a file."""
    from PIL import Image

    out = io.BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def copied(stock: Path, sandbox: Path, *names: str) -> list[Path]:
    """Copies of things of the stock."""
    return [Path(shutil.copytree(stock / name, sandbox / name)) for name in names]
