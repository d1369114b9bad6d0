"""Malformed packages that other programs exchange: Camtrap DP, Hugging Face, the shards of img2dataset."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judge import lines
from mutations import spoilt_bytes, spoilt_json, tarred, zipped
from readable import Make, accounted, ingest, spoilt_archive
from stock import Case, inputs_of

FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["copepod", "fish"], "_type": "ClassLabel"}}


def makers(stock: Path) -> dict[str, Make]:
    """Kind -> what makes one case of it in a sandbox, of a seeded generator."""
    photos = inputs_of(stock)["photos"]
    package = camtrap_dp(photos)

    def camtrap(rng: random.Random, sandbox: Path) -> Case:
        path, certain = spoilt_archive(package, rng, sandbox)
        asked = ["--format", "camtrap-dp"] if rng.random() < 0.7 else []
        return Case("camtrap dp", path.name, ingest(path, *asked), accounted(len(photos)) if certain else None)

    def hugging_face(rng: random.Random, sandbox: Path) -> Case:
        form, seed = rng.choice(("repository", "saved", "saved")), rng.randrange(1 << 30)

        def work() -> list[int]:
            folder = sandbox / "dataset"
            write_hugging_face(folder, form, inputs_of(stock)["photos"], random.Random(seed))
            return ingest(folder, "--format", "hugging-face")()

        return Case("hugging face", form, work)

    def img2dataset(rng: random.Random, sandbox: Path) -> Case:
        seed = rng.randrange(1 << 30)

        def work() -> list[int]:
            write_img2dataset(sandbox / "shards", inputs_of(stock)["photos"], random.Random(seed))
            return ingest(sandbox / "shards", "--format", "webdataset")()

        return Case("img2dataset", "shards", work)

    return {"camtrap dp": camtrap, "hugging face": hugging_face, "img2dataset": img2dataset}


def unspoilt(stock: Path, sandbox: Path) -> dict[str, Callable[[], list[int]]]:
    """Kind -> work that reads the valid package of it."""
    photos = inputs_of(stock)["photos"]
    (sandbox / "camtrap.zip").write_bytes(zipped(camtrap_dp(photos)))

    def written(folder: str, write: Callable[..., None], *how: Any) -> Callable[[], list[int]]:
        def work() -> list[int]:
            write(sandbox / folder, *how, photos, None)
            return lines(["ingest", sandbox / folder, "-o", f"{folder}.cosmos"])()

        return work

    return {
        "camtrap dp": lines(["ingest", sandbox / "camtrap.zip", "-o", "camtrap.cosmos"]),
        "hugging face, repository": written("repository", write_hugging_face, "repository"),
        "hugging face, saved": written("saved", write_hugging_face, "saved"),
        "img2dataset": written("shards", write_img2dataset),
    }


def camtrap_dp(photos: dict[str, bytes]) -> dict[str, bytes]:
    """A package with a box on one of its pictures, and an event."""
    media = ["mediaID,deploymentID,timestamp,filePath,filePublic,fileName,fileMediatype"]
    seen = [
        "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,scientificName,count,"
        "bboxX,bboxY,bboxWidth,bboxHeight"
    ]
    files = {}
    for i, (path, data) in enumerate(photos.items()):
        name = Path(path).name
        files[f"media/{name}"] = data
        media.append(f"m{i},d1,2020-05-30T02:{i:02}:10Z,media/{name},true,{name},image/png")
        box = "0.1,0.1,0.5,0.5" if i == 0 else ",,,"
        if i < len(photos) - 1:
            seen.append(f"o{i},d1,m{i},e1,,,media,animal,Anas platyrhynchos,1,{box}")
    seen.append("o9,d1,,e2,2020-05-30T02:00:00Z,2020-05-30T03:00:00Z,event,animal,Ardea cinerea,2,,,,")
    resources = [{"name": name, "path": f"{name}.csv", "profile": "tabular-data-resource"} for name in _CAMTRAP_TABLES]
    described = {
        "resources": resources,
        "profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.1/camtrap-dp-profile.json",
        "taxonomic": [{"scientificName": "Anas platyrhynchos", "taxonRank": "species", "family": "Anatidae"}],
    }
    texts = {
        "datapackage.json": json.dumps(described),
        "deployments.csv": "deploymentID,locationName,latitude,longitude\nd1,beek,51.181,5.655\n",
        "media.csv": "\n".join(media) + "\n",
        "observations.csv": "\n".join(seen) + "\n",
    }
    return {name: text.encode() for name, text in texts.items()} | files


_CAMTRAP_TABLES = ("deployments", "media", "observations")


def write_hugging_face(folder: Path, form: str, photos: dict[str, bytes], rng: random.Random | None) -> None:
    """Parquet files as in a repository, or what ``save_to_disk`` writes; spoilt where there is a generator."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata, features = json.dumps({"info": {"features": FEATURES}}).encode(), FEATURES
    images: Any = pa.array(
        [{"bytes": data, "path": Path(name).name} for name, data in photos.items()],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    labels: Any = pa.array([i % 2 for i in range(len(photos))], pa.int64())
    spoil = rng.choice(("metadata", "label", "image", "json", "json", "bytes", "bytes", "less")) if rng is not None else None
    if rng is not None and spoil == "metadata":
        metadata = spoilt_json(json.loads(metadata), rng)
    elif rng is not None and spoil == "label":
        labels = rng.choice(_ODD_LABELS)(len(photos))
    elif rng is not None and spoil == "image":
        images = rng.choice(_ODD_IMAGE_COLUMNS)(len(photos))
    table = pa.table({"image": images, "label": labels}).replace_schema_metadata({b"huggingface": metadata})
    folder.mkdir()
    if form == "repository":
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
        (folder / "data").mkdir()
        for number in range(2):
            pq.write_table(table.slice(number * 3, 3), folder / "data" / f"train-{number:05}-of-00002.parquet")
    else:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
        part = folder / "train"
        part.mkdir()
        names = [f"data-{number:05}-of-00002.arrow" for number in range(2)]
        for number, name in enumerate(names):
            piece = table.slice(number * 3, 3)
            with pa.OSFile(str(part / name), "wb") as file, pa.ipc.new_stream(file, piece.schema) as writer:
                writer.write_table(piece)
        state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f", "_split": "train"}
        (part / "state.json").write_text(json.dumps(state))
        (part / "dataset_info.json").write_text(json.dumps({"features": features}))
    if rng is not None and spoil in ("json", "bytes", "less"):
        _spoil_a_file(folder, rng, spoil)


def write_img2dataset(folder: Path, photos: dict[str, bytes], rng: random.Random | None) -> None:
    """Two shards with a .json for each picture, the Parquet of what was downloaded; spoilt with a generator."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    odd = rng.randrange(len(photos)) if rng is not None and rng.random() < 0.6 else -1
    for number in range(2):
        members, table = {}, []
        for i, data in list(enumerate(photos.values()))[number * 3 : number * 3 + 3]:
            key = f"{number:05}{i:04}"
            facts = {"caption": "a fox", "url": f"http://a/{key}.png", "key": key, "status": "success", "error_message": None}
            facts |= {"width": 40, "height": 30, "original_width": 80, "exif": "{}", "sha256": "ab", "tags": ["x"]}
            members[f"{key}.png"] = data
            members[f"{key}.txt"] = b"a fox"
            members[f"{key}.json"] = spoilt_json(facts, rng) if rng is not None and i == odd else json.dumps(facts).encode()
            table.append({"key": key, "url": f"http://a/{key}.png", "status": "success", "error_message": None})
        table.append({"key": f"{number:05}0009", "url": "http://a/9.png", "status": "failed_to_download", "error_message": "404"})
        (folder / f"{number:05}.tar").write_bytes(tarred(members))
        pq.write_table(pa.Table.from_pylist(table), folder / f"{number:05}.parquet")
        (folder / f"{number:05}_stats.json").write_text(json.dumps({"count": 4, "successes": 3}))
    if rng is not None and odd < 0:
        _spoil_a_file(folder, rng, rng.choice(("json", "bytes", "bytes", "bytes", "less")))


def _spoil_a_file(folder: Path, rng: random.Random, how: str) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if how == "json":
        path = rng.choice([path for path in files if path.suffix == ".json"] or files)
        if path.suffix == ".json":
            path.write_bytes(spoilt_json(json.loads(path.read_bytes()), rng))
            return
    path = rng.choice(files)
    if how == "less":
        path.unlink()
    else:
        path.write_bytes(spoilt_bytes(path.read_bytes(), rng))


def _arrays(*made: Callable[[Any, int], Any]) -> tuple[Callable[[int], Any], ...]:
    def array(make: Callable[[Any, int], Any]) -> Callable[[int], Any]:
        def of(rows: int) -> Any:
            import pyarrow as pa

            return make(pa, rows)

        return of

    return tuple(array(make) for make in made)


_ODD_LABELS = _arrays(
    lambda pa, n: pa.array([-1] * n),
    lambda pa, n: pa.array([2**40] * n),
    lambda pa, n: pa.array([None] * n, pa.int64()),
    lambda pa, n: pa.array([0.5] * n),
    lambda pa, n: pa.array([[0, 9]] * n),
    lambda pa, n: pa.array(["fish"] * n),
    lambda pa, n: pa.nulls(n),
    lambda pa, n: pa.array([{"a": 1}] * n),
    lambda pa, n: pa.array([2**63] * n, pa.uint64()),
)
_ODD_IMAGE_COLUMNS = _arrays(
    lambda pa, n: pa.array([None] * n, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    lambda pa, n: pa.array([{"bytes": None, "path": "../../escape.png"}] * n),
    lambda pa, n: pa.array([{"bytes": None, "path": "x" * 5000}] * n),
    lambda pa, n: pa.array([{"bytes": b"\x89PNG", "path": "a\0b"}] * n),
    lambda pa, n: pa.array([{"path": "a.png"}] * n),
    lambda pa, n: pa.array([b"no image"] * n),
    lambda pa, n: pa.array([[1, 2, 3]] * n),
    lambda pa, n: pa.array([7] * n),
    lambda pa, n: pa.array(["https://example.org/a.png"] * n),
)
