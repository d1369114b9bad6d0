"""Where and when, out of every format that says it: typed columns, and what looks wrong is told and never lost."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biocosmos.errors import Failures
from biocosmos.places import Places, great_circle
from biocosmos.places.oddities import Minutes
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.placed import place_columns, places_of
from biocosmos.specimens.readers import read
from biocosmos.specimens.readers.placing import metres
from biocosmos.specimens.writers import write
from reading import rows_of

PLACED = ("latitude", "longitude", "uncertainty", "depth_min", "depth_max", "altitude", "date", "country")
DNA = "ACGTTGCA" * 20


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (6, 5), 9).save(out, "PNG")
    return out.getvalue()


def csv(folder: Path, head: str, *rows: str, name: str = "t.csv") -> Path:
    (folder / name).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return folder / name


def darwin_core(folder: Path) -> Path:
    head = (
        "occurrenceID,scientificName,decimalLatitude,decimalLongitude,coordinateUncertaintyInMeters,minimumDepthInMeters,"
        "maximumDepthInMeters,minimumElevationInMeters,eventDate,countryCode"
    )
    return csv(folder, head, "a,Pica pica,52.05,-5.5,30,10,20,3,2026-06-01/2026-06-15,NL")


def ecotaxa(folder: Path) -> Path:
    head = "img_file_name\tobject_id\tobject_lat\tobject_lon\tobject_date\tobject_depth_min\tobject_depth_max"
    with zipfile.ZipFile(folder / "export.zip", "w") as out:
        out.writestr(
            "ecotaxa_export.tsv",
            f"{head}\tobject_annotation_category\n[t]\t[t]\t[f]\t[f]\t[t]\t[f]\t[f]\t[t]\na.png\ta\t52.05\t-5.5\t20260604\t10\t20\tCopepoda\n",
        )
        out.writestr("a.png", png())
    return folder / "export.zip"


def bold(folder: Path) -> Path:
    head = "processid\tbin_uri\tspecies\tcoord\tcoord_accuracy\tdepth\telev\tcountry/ocean\tcollection_date_start"
    row = "a\ts\tPica pica\t(52.05,-5.5)\t30\t15\t3\tNetherlands\t2026-06-01\t2026-06-15"
    return csv(folder, f"{head}\tcollection_date_end\tnuc", f"{row}\t{DNA}", name="bold.tsv")


def genbank(folder: Path) -> Path:
    from Bio import SeqIO
    from Bio.Seq import Seq
    from Bio.SeqFeature import SeqFeature, SimpleLocation
    from Bio.SeqRecord import SeqRecord

    said = {"organism": ["Pica pica"], "lat_lon": ["52.05 N 5.50 W"], "geo_loc_name": ["Netherlands: Utrecht"]}
    said |= {"collection_date": ["01-Jun-2026/15-Jun-2026"], "altitude": ["3 m"]}
    record = SeqRecord(Seq(DNA), id="a.1", name="a", description="Pica pica COI")
    record.annotations |= {"molecule_type": "DNA", "organism": "Pica pica"}
    record.features = [
        SeqFeature(SimpleLocation(0, len(DNA), 1), type="source", qualifiers=said),
        SeqFeature(SimpleLocation(0, len(DNA), 1), type="gene", qualifiers={"gene": ["COX1"]}),
    ]
    out = io.StringIO()
    SeqIO.write([record], out, "genbank")
    (folder / "a.gb").write_text(out.getvalue())
    return folder / "a.gb"


def camtrap(folder: Path) -> Path:
    (folder / "package").mkdir()
    names = ("deployments", "media", "observations")
    resources = [{"name": name, "path": f"{name}.csv"} for name in names]
    package = {"profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0/camtrap-dp-profile.json", "resources": resources}
    (folder / "package" / "datapackage.json").write_text(json.dumps(package))
    (folder / "package" / "a.png").write_bytes(png())
    csv(
        folder / "package",
        "deploymentID,latitude,longitude,coordinateUncertainty,deploymentStart,deploymentEnd,cameraDepth",
        "d,52.05,-5.5,30,2026-06-01T00:00:00Z,2026-06-15T00:00:00Z,15",
        name="deployments.csv",
    )
    csv(
        folder / "package",
        "mediaID,deploymentID,timestamp,filePath,fileMediatype",
        "m,d,2026-06-04T10:00:00Z,a.png,image/png",
        name="media.csv",
    )
    head = "observationID,deploymentID,mediaID,eventStart,eventEnd,observationLevel,observationType,scientificName,count"
    csv(
        folder / "package",
        head,
        "a,d,m,2026-06-04T10:00:00Z,2026-06-04T10:00:00Z,media,animal,Pica pica,1",
        name="observations.csv",
    )
    return folder / "package"


def parquet(folder: Path) -> Path:
    table = {"id": ["a"], "label": ["x"], "decimalLatitude": [52.05], "decimalLongitude": [-5.5], "eventDate": [date(2026, 6, 4)]}
    table |= {"minimumDepthInMeters": ["10"], "maximumDepthInMeters": [20], "barcode": [DNA]}
    pq.write_table(pa.table(table), folder / "t.parquet")
    return folder / "t.parquet"


def fasta(folder: Path) -> tuple[Path, Path]:
    (folder / "x.fasta").write_text(f">a\n{DNA}\n")
    return folder / "x.fasta", csv(folder, "id,lat,lon,depth,date,country", "a,52.05,-5.5,15 m,2026-06,Netherlands")


def shards(folder: Path) -> Path:
    said = {"id": "a", "label": "x", "latitude": 52.05, "longitude": -5.5, "minimumDepthInMeters": 10, "date": "2026-06-04"}
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name, content in (("a.png", png()), ("a.json", json.dumps(said).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return folder / "0.tar"


def photos(folder: Path) -> tuple[Path, Path]:
    (folder / "photos" / "x").mkdir(parents=True)
    (folder / "photos" / "x" / "a.png").write_bytes(png())
    return folder / "photos", csv(folder, "file,lat,lon,uncertainty,altitude", "a.png,52.05,-5.5,30,3")


WHOLE = (52.05, -5.5, 30, 10, 20, 3, "2026-06-01/2026-06-15", "NL")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (darwin_core, WHOLE),
        (ecotaxa, (52.05, -5.5, None, 10, 20, None, "2026-06-04", None)),
        (bold, (52.05, -5.5, 30, 15, 15, 3, "2026-06-01/2026-06-15", "Netherlands")),
        (genbank, (52.05, -5.5, None, None, None, 3, "2026-06-01/2026-06-15", "Netherlands: Utrecht")),
        (camtrap, (52.05, -5.5, 30, 15, 15, None, "2026-06-04", None)),
        (parquet, (52.05, -5.5, None, 10, 20, None, "2026-06-04", None)),
        (fasta, (52.05, -5.5, None, 15, 15, None, "2026-06", "Netherlands")),
        (shards, (52.05, -5.5, None, 10, None, None, "2026-06-04", None)),
        (photos, (52.05, -5.5, 30, None, None, 3, None, None)),
    ],
)
def test_a_reader_says_where_and_when(tmp_path: Path, make, expected) -> None:
    made = make(tmp_path)
    path, more = made if isinstance(made, tuple) else (made, None)
    rows, failures, _ = rows_of(path, metadata=more)
    assert failures.errors == 0, [failure.reason for failure in failures]
    (row,) = rows
    found = tuple(row.get(name) for name in PLACED)
    assert (*found[:6], None if found[6] is None else str(found[6])[: len(expected[6] or "")], found[7]) == expected


HEAD = "id,text,latitude,longitude,depth_min,depth_max,date,country"


def told(tmp_path: Path, *rows: str, head: str = HEAD) -> tuple[list[dict[str, object]], list[tuple[int | None, str]]]:
    found, failures, _ = rows_of(csv(tmp_path, head, *rows))
    assert failures.errors == 0 and len(found) == len(rows)
    return found, [(failure.row, failure.reason) for failure in failures]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0,0,,,,", "lies at 0,0"),
        ("152.05,5.05,,,,", "latitude and longitude look swapped"),
        ("52.05,185,,,,", "longitudes of 0 to 360 are written as -180 to 180: -175 here"),
        ("95,500,,,,", "is not a number of degrees within 90"),
        ("north,5,,,,", "is not a number of degrees"),
        ("52°03'N,5°03'E,,,,", "is read as 52.05 degrees"),
        ("52,5,20,10,,", "exchange them"),
        ("52,5,-10,-5,,", "above the surface"),
        ("52,5,20000,,,", "deeper than any sea"),
        ("52,5,deep,,,", "is not a number of metres"),
        ("52,5,,,2062-06-04,", "lies in the future"),
        ("52,5,,,2026-06-15/2026-06-01,", "ends before it begins"),
        ("52,5,,,2025-02-29,", "is not ISO 8601"),
    ],
)
def test_what_looks_wrong_is_told_with_its_row_and_kept(tmp_path: Path, row: str, says: str) -> None:
    found, said = told(tmp_path, "a,x,52,5,1,2,2026-06-04,NL", f"b,x,{row}")
    assert len(found) == 2 and found[1]["id"] == "b"
    assert any(says in reason for _, reason in said), said
    assert all("\n" not in reason for _, reason in said)
    assert all(at in (2, 3, None) for at, _ in said)


def test_what_is_right_is_not_told(tmp_path: Path) -> None:
    rows = ("90,0", "-90,180", "0,-180", "0,10", "52.5,179.9")
    dates = ("2024-02-29", "2025-12-30/2026-01-02", "2007-11-13/15", "2026", "2026-06-04T10:05:00Z")
    found, said = told(tmp_path, *(f"{i},x,{row},0,10,{day},NL" for i, (row, day) in enumerate(zip(rows, dates))))
    assert said == []
    assert [row["date"] for row in found] == list(dates)
    assert [row["longitude"] for row in found] == [0, 180, -180, 10, 179.9]


def test_swapped_places_within_their_ranges_are_told_by_their_country(tmp_path: Path) -> None:
    rows = [f"{i},x,{52 + i / 10:.1f},{5 + i / 10:.1f},,,,Netherlands" for i in range(12)]
    rows += ["s,x,5.3,52.2,,,,Netherlands", "f,x,-33.9,18.4,,,,South Africa", "h,x,5.3,52.2,,,,"]
    _, said = told(tmp_path, *rows)
    assert [reason for _, reason in said if "swapped" in reason] == [
        "1 row looks swapped: the other way round latitude and longitude lie where those of Netherlands do: exchange them"
        " (row 13)"
    ]


def test_degrees_and_minutes_written_as_a_decimal_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{i},x,{40 + i % 9}.{rng.integers(0, 60):02},{i % 7}.{rng.integers(0, 60):02},,,," for i in range(60)]
    _, said = told(tmp_path, *rows)
    assert sum("are they degrees and minutes" in reason for _, reason in said) == 2
    rows = [f"{i},x,{40 + i % 9}.{rng.integers(0, 100):02},{i % 7}.{rng.integers(0, 100):02},,,," for i in range(60)]
    assert not told(tmp_path, *rows)[1]
    near = Minutes("latitude")  # of one small place, where all decimals are small because the place is
    for step in range(100):
        near.add(52.1 + step / 1000)
    assert near.reason() is None


def test_verbatim_coordinates_and_ranges_of_metres_are_read(tmp_path: Path) -> None:
    head = "id,text,verbatimLatitude,verbatimLongitude,minimumElevationInMeters,maximumElevationInMeters"
    found, said = told(tmp_path, "a,x,52°03'N,5°03'W,100,200", "b,x,here,there,,", head=head)
    assert (found[0]["latitude"], found[0]["longitude"], found[0]["altitude"]) == (
        pytest.approx(52.05),
        pytest.approx(-5.05),
        150,
    )
    assert found[1]["latitude"] is None
    assert [reason.partition(":")[2][:28] for _, reason in said] == [
        " the place is that of the ve",
        " verbatim coordinates are no",
    ]
    assert [metres(cell) for cell in ("10", "0-10 m", "2,5 m", 7, "10 fathoms", None)] == [
        (10, 10),
        (0, 10),
        (2.5, 2.5),
        (7, 7),
        None,
        None,
    ]


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=12), min_size=6, max_size=6))
def test_no_cell_ends_a_reading(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "t.parquet"
    names = ("latitude", "longitude", "depth_min", "depth_max", "date", "country")
    pq.write_table(pa.table({"id": ["a"], "text": ["x"], **{name: [cell] for name, cell in zip(names, cells)}}), path)
    source = read(path, failures=Failures())
    for batch in source.batches:
        assert set(batch.schema.names) >= {"latitude", "longitude"}


def test_columns_of_other_types_are_no_places(tmp_path: Path) -> None:
    odd = {"latitude": [[52.0]], "longitude": [{"a": 1}], "depth_min": [[1.0, 2.0]], "date": [[2026]], "country": [["NL", "BE"]]}
    pq.write_table(pa.table({"id": ["a"], "text": ["x"], "elevation": [True], **odd}), tmp_path / "odd.parquet")
    (row,), failures, _ = rows_of(tmp_path / "odd.parquet")
    assert row["id"] == "a" and row.get("depth_min") is None and failures.errors == 0


def test_a_collection_made_before_there_were_these_columns_still_answers(tmp_path: Path) -> None:
    old = Collection.create(tmp_path / "old.cosmos")
    table = {
        "id": ["a", "b"],
        "text": ["x", "y"],
        "latitude": [52.0, None],
        "longitude": [5.0, None],
        "date": ["2026-06-04", None],
    }
    old.add(
        pa.table({**table, "object_depth_min": ["10", "deep"], "object_depth_max": [20.0, None], "countryCode": ["NL", None]})
    )
    old.dataset.drop_columns(["depth_min", "depth_max", "country"])
    old = Collection.open(old.path)
    assert place_columns(old.stored_columns)["depth_min"] == "object_depth_min"
    ids, places = places_of(old)
    assert ids.to_pylist() == ["a", "b"]
    assert (places.depth[0], places.country[0]) == (15, "NL") and np.isnan(places.depth[1])
    ids, places = places_of(old, ["b", "a", "none"])
    assert ids.to_pylist() == ["b", "a"] and places.has_place.tolist() == [False, True]
    again = csv(
        tmp_path, "id,text,latitude,longitude,object_depth_min,object_depth_max,date,countryCode", "a,x,52,5,10,20,2026-06-04,NL"
    )
    done = old.add(read(again))
    assert (done.known, done.different, done.added) == (1, 0, 0)  # the same source says the same as before
    done = old.add(read(csv(tmp_path, HEAD, "c,x,52,5,1,2,2026-06-04,NL", name="new.csv")))
    assert done.added == 1 and np.isnan(places_of(old, ["c"])[1].uncertainty[0])
    assert places_of(old, ["c"])[1].depth[0] == 1.5
    old.make_split(method="random", fractions={"train": 0.5, "test": 0.5})
    assert old.update(pa.table({"id": ["a"], "depth_min": [12.0]})) is not None
    assert isinstance(places_of(old)[1], Places) and float(great_circle(90, 0, 90, 180)) == pytest.approx(0, abs=1e-6)


def test_depths_of_ours_go_out_under_the_names_of_others_and_come_back(tmp_path: Path) -> None:
    table = {"id": ["a"], "label": ["Calanus"], "image": [png()], "latitude": [43.0], "longitude": [7.0], "uncertainty": [30.0]}
    start = pa.table({**table, "depth_min": [10.0], "depth_max": [20.5]})
    for name, format, theirs in (("d.zip", "darwin-core", "minimumDepthInMeters"), ("e.zip", "ecotaxa", "object_depth_min")):
        write(start, tmp_path / name, format=format)
        (row,), _, _ = rows_of(tmp_path / name)
        assert (row["depth_min"], row["depth_max"], row[theirs]) == (10, 20.5, 10)
    own = start.append_column("object_depth_min", pa.array([10.0]))
    write(own, tmp_path / "own.zip", format="ecotaxa")
    (row,), failures, _ = rows_of(tmp_path / "own.zip")
    assert row["depth_min"] == 10 and "object_depth_min_2" not in row and failures.errors == 0
