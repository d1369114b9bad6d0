"""Published data sets in the layouts they come in: BIOSCAN, VLM4Bio, COCO and TreeOfLife shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers import detect, read
from biocosmos.specimens.readers.json_stream import elements

Rows = list[dict[str, object]]


def jpeg(shade: int = 99, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade).save(out, "JPEG")
    return out.getvalue()


def put(path: Path, content: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content or jpeg())
    return path


def rows_of(path: Path, **options: object) -> tuple[Rows, Failures, tuple[str, ...]]:
    failures = Failures()
    source = read(path, failures=failures, **options)  # type: ignore[arg-type]
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    return rows, failures, source.ranks


# ---------------------------------------------------------------- BIOSCAN

DNA, OTHER = "ACGT" * 30, "AACTNTAT" + "ACGT" * 30
BIOSCAN_5M = (
    "processid,sampleid,taxon,phylum,class,order,family,subfamily,genus,species,dna_bin,dna_barcode,country,coord-lat,coord-lon,"
    "split,chunk,inferred_ranks\n"
    f"P1,S1,Megaselia,Arthropoda,Insecta,Diptera,Phoridae,,Megaselia,,BOLD:A,{OTHER},Costa Rica,10.8,-85.6,pretrain,0,0\n"
    f"P2,S2,Aus bus,Arthropoda,Insecta,Diptera,Phoridae,,Aus,Aus bus,BOLD:B,{DNA},Kenya,,,train,,0\n"
    "P3,S3,Diptera,Arthropoda,Insecta,Diptera,,,,,,,Kenya,91,10,train,,1\n"
    f"P4,S4,Diptera,Arthropoda,Insecta,Diptera,,,,,BOLD:C,{DNA},Kenya,1,10,train,,1\n"
)


def test_bioscan_5m_images_are_found_by_size_split_and_chunk(tmp_path: Path) -> None:
    table = put(tmp_path / "bioscan5m/metadata/csv/BIOSCAN_5M_Insect_Dataset_metadata.csv", BIOSCAN_5M)
    images = tmp_path / "bioscan5m/images/cropped_256"
    put(images / "pretrain/0/P1.jpg")
    put(images / "train/P2.jpg")
    for path in (table, tmp_path / "bioscan5m"):
        rows, failures, ranks = rows_of(path, format=None if path == table else "bioscan")
        assert detect(table) == "bioscan"
        assert ranks == ("phylum", "class", "order", "family", "subfamily", "genus", "species")
        assert [(r["id"], r["image_path"]) for r in rows] == [
            ("P1", str(images / "pretrain/0/P1.jpg")),
            ("P2", str(images / "train/P2.jpg")),
            ("P4", None),
        ]
        assert [(r["label"], r["barcode"], r["split"], r["latitude"], r["country"]) for r in rows][:2] == [
            ("Megaselia", OTHER, "pretrain", 10.8, "Costa Rica"),
            ("Aus bus", DNA, "train", None, "Kenya"),
        ]
        assert [(f.severity, f.id, f.reason) for f in failures] == [
            ("error", "P3", "no image found, and no barcode"),
            ("warning", "P4", "no image found: kept with its barcode alone"),
        ]


def test_bioscan_1m_and_a_users_own_subset(tmp_path: Path) -> None:
    header = "sampleid\tprocessid\tname\tphylum\tfamily\tgenus\tspecies\tnucraw\timage_file\tchunk_number\n"
    table = put(
        tmp_path / "meta.tsv",
        header
        + f"S1\tP1\tPhoridae\tArthropoda\tPhoridae\tnot_classified\tnot_classified\t{DNA}\t4900531.jpg\t18\n"
        + f"S2\tP2\tPhoridae\tArthropoda\tPhoridae\tAus\tAus bus\t{DNA}\t4900532.jpg\t18\n",
    )
    put(tmp_path / "original_256/part18/4900531.jpg")
    put(tmp_path / "mine/P2.jpg")
    rows, failures, _ = rows_of(table)
    assert [(r["id"], r["genus"], r["species"]) for r in rows] == [("P1", None, None), ("P2", "Aus", "Aus bus")]
    assert [r["image_path"] for r in rows] == [str(tmp_path / "original_256/part18/4900531.jpg"), None]
    assert failures.warnings == 1
    rows, _, _ = rows_of(table, images=tmp_path / "mine")
    assert [r["image_path"] for r in rows] == [None, str(tmp_path / "mine/P2.jpg")]
    with pytest.raises(BiocosmosError, match="no folder 'huge'"):
        read(table, size="huge")


def test_bioscan_barcodes_alone(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(put(tmp_path / "m.csv", BIOSCAN_5M))
    assert [r["id"] for r in rows] == ["P1", "P2", "P4"]
    assert [f.reason for f in failures if f.severity == "warning" and f.row is None] == [
        "no folder of images (cropped_256, cropped, ...) near the table: read without images"
    ]


# ---------------------------------------------------------------- VLM4Bio


def test_vlm4bio_probes_names_and_cleans_them(tmp_path: Path) -> None:
    fish, bird = tmp_path / "datasets/Fish", tmp_path / "datasets/Bird"
    put(
        fish / "metadata/metadata_10k.csv",
        "fileNameAsDelivered,scientificName,ARKID\n"
        "INHS_1.jpg,Lepomis Gibbosus ,a1\n"
        "INHS_2.JPG,gambusia,a2\n"
        "INHS_3,notropis_hudsonius,a3\n"
        "INHS_4.jpg,,a4\n"
        "gone.jpg,Esox lucius,a5\n"
        ",Esox lucius,a6\n"
        "INHS_1.JPG,Lepomis gibbosus,a7\n",
    )
    put(fish / "metadata/imagelist_10k.txt", "INHS_1.JPG\nINHS_5.jpg\nlost.jpg\n\n")
    put(fish / "chunk_0/INHS_1.JPG")
    put(fish / "chunk_0/INHS_2.jpg")
    put(fish / "chunk_1/INHS_3.jpg")
    put(fish / "chunk_1/INHS_4.jpg")
    put(fish / "chunk_1/INHS_5.jpg")
    put(bird / "metadata/bird_metadata_10k.csv", "fileNameAsDelivered,scientificName\nBlack_Footed_1.jpg,Phoebastria nigripes\n")
    put(bird / "images/Black_Footed_1.jpg")
    (tmp_path / "datasets/Butterfly").mkdir()
    assert detect(tmp_path) == "vlm4bio"
    rows, failures, ranks = rows_of(tmp_path)
    assert ranks == ("genus", "species")
    assert [(r["id"], r["label"], r["genus"], r["species"], r["category"], r["ARKID"]) for r in rows] == [
        ("Fish/INHS_1.JPG", "Lepomis gibbosus", "Lepomis", "Lepomis gibbosus", "Fish", "a1"),
        ("Fish/INHS_2.jpg", "Gambusia", "Gambusia", None, "Fish", "a2"),
        ("Fish/INHS_3.jpg", "Notropis hudsonius", "Notropis", "Notropis hudsonius", "Fish", "a3"),
        ("Fish/INHS_4.jpg", None, None, None, "Fish", "a4"),
        ("Fish/INHS_5.jpg", None, None, None, "Fish", None),
        ("Bird/Black_Footed_1.jpg", "Phoebastria nigripes", "Phoebastria", "Phoebastria nigripes", "Bird", None),
    ]
    assert all(Path(str(r["image_path"])).is_file() for r in rows)
    assert sorted((f.severity, f.row or 0, f.reason.split(" in /")[0]) for f in failures) == [
        ("error", 0, "no table of names (metadata_10k.csv, butterfly_metadata_10k.csv, ...): the group is left out"),
        ("error", 3, "no image 'lost.jpg'"),
        ("error", 5, "no image 'gone.jpg'"),
        ("error", 6, "the name of the image is blank"),
        ("error", 7, "a second row for the image chunk_0/INHS_1.JPG"),
        ("warning", 2, "no label: kept, unlabelled"),
        ("warning", 4, "no label: kept, unlabelled"),
    ]


def test_a_folder_that_is_not_vlm4bio_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="none of the folders Fish, Bird, Butterfly"):
        read(tmp_path, format="vlm4bio")


# ---------------------------------------------------------------- COCO


def coco(**parts: object) -> str:
    whole: dict[str, object] = {
        "info": {"year": 2026, "nested": [1, {"a": "]"}]},
        "annotations": [],
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30, "license": 3, "date_captured": "2020-01-02"},
            {"id": 2, "file_name": "b.jpg", "width": 40, "height": 30},
        ],
        "categories": [
            {"id": 7, "name": "Calanus finmarchicus", "supercategory": "Copepoda", "genus": "Calanus"},
            {"id": 8, "name": "detritus", "supercategory": "none"},
        ],
    }
    return json.dumps(whole | parts)


def box(id: int, bbox: object, image: object = 1, category: int = 7, **more: object) -> dict[str, object]:
    return {"id": id, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


def test_boxes_become_crops_clipped_to_their_image(tmp_path: Path) -> None:
    boxes = [
        box(1, [1, 2, 10, 12.5], area=125.0, segmentation=[[1, 2, 3, 4]]),
        box(2, [-5, 10, 20, 10], category=8),
        box(3, [30, 20, 10.4, 10.2]),
        box(4, [5, 5, 0, 3]),
        box(5, [50, 50, 3, 3]),
        box(6, ["x", 1, 2, 3]),
        box(7, [1, 1, 2, 2], image=99),
        box(8, [1, 1, 2, 2], category=99),
        {"id": 9, "image_id": 1, "category_id": 8},
    ]
    file = put(tmp_path / "annotations/instances_train2017.json", coco(annotations=boxes))
    put(tmp_path / "train2017/a.jpg")
    for path in (file, tmp_path):
        assert detect(path) == "coco"
        rows, failures, ranks = rows_of(path)
        assert [(r["id"], r["crop"]) for r in rows] == [
            ("a.jpg#1", [1.0, 2.0, 10.0, 12.5]),
            ("a.jpg#2", [0.0, 10.0, 15.0, 10.0]),
            ("a.jpg#3", [30.0, 20.0, 10.0, 10.0]),
            ("a.jpg#8", [1.0, 1.0, 2.0, 2.0]),
            ("a.jpg#9", None),
        ]
        assert [r["label"] for r in rows] == ["Calanus finmarchicus", "detritus", "Calanus finmarchicus", None, "detritus"]
        assert {r["image_path"] for r in rows} == {str(tmp_path / "train2017/a.jpg")}
        first = rows[0]
        assert (first["supercategory"], first["genus"], first["license"], first["date_captured"]) == (
            "Copepoda",
            "Calanus",
            3,
            "2020-01-02",
        )
        assert first["segmentation"] == "[[1, 2, 3, 4]]" and first["area"] == 125.0 and first["annotation_id"] == 1
        assert ranks == ("genus", "label")
        assert [(f.severity, f.row, f.id) for f in failures] == [
            ("warning", 2, "a.jpg#2"),
            ("error", 4, "a.jpg#4"),
            ("error", 5, "a.jpg#5"),
            ("error", 6, "a.jpg#6"),
            ("error", 7, "annotation 7"),
            ("warning", 8, "a.jpg#8"),
            ("warning", None, None),
            ("warning", 8, "a.jpg#8"),
        ]
        assert any("1 images have no annotation" in f.reason for f in failures)


def test_an_image_name_that_leads_outside_is_refused(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "../../etc/passwd", "width": 4, "height": 4}, {"id": 2, "file_name": "/etc/passwd"}]
    file = put(tmp_path / "x.json", coco(images=images, annotations=[box(1, [0, 0, 1, 1]), box(2, [0, 0, 1, 1], image=2)]))
    rows, failures, _ = rows_of(file)
    assert rows == [] and failures.errors == 2
    assert all("leads outside the folder: refused" in f.reason for f in failures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "is not a JSON object"),
        ('{"images": [{"id": 1}', "is not a JSON object of arrays"),
        ("{}", "0 images and 0 annot"),
    ],
)
def test_damaged_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(BiocosmosError, match=message):
        read(put(tmp_path / "x.json", content))


def test_json_elements_are_the_same_however_the_text_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"n": 12345, "a": [1, 23, {"x": "]}ü\\"}, [], None, "t"], "b": {"a": [5]}, "images": [{"id": i} for i in range(50)]}
    file = put(tmp_path / "x.json", json.dumps(whole, indent=1))
    for size in (1, 2, 3, 7, 64, 1 << 20):
        monkeypatch.setattr("biocosmos.specimens.readers.json_stream.CHUNK", size)
        found = list(elements(file, {"a", "images"}))
        assert [e for key, e in found if key == "a"] == whole["a"]
        assert [e for key, e in found if key == "images"] == whole["images"]


# ---------------------------------------------------------------- TreeOfLife shards

PICA = {
    "jpg": jpeg(1),
    "sci.txt": b"Pica hudsonia",
    "com.txt": b"black-billed magpie",
    "taxon.txt": b"Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia",
    "taxonTag.txt": b"kingdom Animalia phylum Chordata class Aves order Passeriformes family Corvidae genus Pica "
    b"species hudsonia",
    "sci_com.txt": b"Pica hudsonia with common name black-billed magpie",
}
LARVA = {
    "jpg": jpeg(2),
    "sci.txt": b"Diptera",
    "com.txt": b"Diptera",
    "taxonTag.txt": b"kingdom Animalia class Insecta order Diptera",
}


def shard(path: Path, samples: dict[str, dict[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for key, files in samples.items():
            for kind, content in files.items():
                info = tarfile.TarInfo(f"{key}.{kind}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_shards_give_images_ranks_and_texts(tmp_path: Path) -> None:
    shard(tmp_path / "shard-000001.tar", {"k3": {**LARVA, "extra.txt": b"new"}})
    shard(tmp_path / "shard-000000.tar", {"k1": PICA, "k2": LARVA})
    assert detect(tmp_path) == "webdataset"
    rows, failures, ranks = rows_of(tmp_path)
    assert ranks == ("kingdom", "phylum", "class", "order", "family", "genus", "species")
    assert [row["id"] for row in rows] == ["k1", "k2", "k3"]
    assert [rows[0][rank] for rank in ranks] == [
        "Animalia",
        "Chordata",
        "Aves",
        "Passeriformes",
        "Corvidae",
        "Pica",
        "Pica hudsonia",
    ]
    assert [rows[1][rank] for rank in ranks] == ["Animalia", None, "Insecta", "Diptera", None, None, None]
    assert (rows[0]["image"], rows[0]["scientificName"], rows[0]["label"]) == (jpeg(1), "Pica hudsonia", "Pica hudsonia")
    assert rows[0]["com"] == "black-billed magpie" and rows[0]["sci_com"] == PICA["sci_com.txt"].decode()
    assert [f.reason for f in failures] == ["the text .extra is not in the first shard: left out, here and further on"]


def test_a_compressed_shard_is_read(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(shard(tmp_path / "x.tar.gz", {"k1": PICA}, "w:gz"))
    assert [row["id"] for row in rows] == ["k1"] and len(failures) == 0


def test_bad_members_are_failures_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in [
            ("k1.jpg", jpeg(1)),
            ("k1.sci.txt", "Müllerius capillaris".encode("latin-1")),
            ("../../evil.jpg", jpeg(2)),
            ("/abs/evil.jpg", jpeg(2)),
            ("k2.sci.txt", b"Pica pica"),
            ("k3.jpg", bytes(3000)),
            ("k4.jpg", jpeg(4)),
            ("k4.png", jpeg(5)),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("k5.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    rows, failures, _ = rows_of(path, max_image_bytes=2000)
    assert [(row["id"], row["image"]) for row in rows] == [("k1", jpeg(1)), ("k4", jpeg(4))]
    assert rows[0]["species"] == "Müllerius capillaris"
    assert sorted((f.severity, f.id, f.reason) for f in failures) == [
        ("error", "../../evil.jpg", "a path outside the archive: refused"),
        ("error", "/abs/evil.jpg", "a path outside the archive: refused"),
        ("error", "k2", "no image with this key"),
        ("error", "k3.jpg", "3,000 bytes, more than the limit of 2,000: refused"),
        ("error", "k5.jpg", "a link or device, not a file: refused"),
        ("warning", "k1", ".sci.txt is not UTF-8: read as latin-1"),
        ("warning", "k4", "a second .png: the first is used"),
        ("warning", "k4", "no label: kept, unlabelled"),
    ]


def test_a_shard_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    whole = shard(tmp_path / "a.tar", {f"k{i}": PICA for i in range(5)})
    whole.write_bytes(whole.read_bytes()[: 512 * 40 + 700])
    shard(tmp_path / "b.tar", {"last": PICA})
    rows, failures, _ = rows_of(tmp_path)
    assert rows[0]["id"] == "k0" and rows[-1]["id"] == "last"
    assert any("cannot be read further" in f.reason for f in failures)
