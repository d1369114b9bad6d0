"""Tables of AMI data companion, insectTracking, MCC24-trap and Insect Detect, by rows as these programs write them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.sequences import Boxes, read_sequence, read_sequences
from biocosmos.specimens.readers import detect, read

TRACKING = """i,0,20200610,144545,82,8,657,15,897,402,CAM0/20200610144545.jpg
i,0,20200610,144545,21,8,651,103,1016,317,CAM0/20200610144545.jpg
i,0,20200610,145047,11,3,615,559,733,862,CAM0/20200610145047.jpg
i,1,20200610,145139,13,3,129,247,210,312,CAM1/20200610145139.jpg
"""
DETECT_2023 = """rec_ID,timestamp,label,confidence,track_ID,x_min,y_min,x_max,y_max,file_path
39,20231212_17-52-35.905236,insect,0.72,1,0.45,0.3066,0.4783,0.3522,data/cropped/insect/20231212_17-52-35.905236_1_crop.jpg
39,20231212_17-52-35.934456,insect,0.74,2,0.4485,0.4773,0.4793,0.5298,data/cropped/insect/20231212_17-52-35.934456_2_crop.jpg
39,20231212_17-52-36.954157,insect,0.75,1,0.4478,0.3072,0.4811,0.3566,data/cropped/insect/20231212_17-52-36.954157_1_crop.jpg
"""
DETECT_2026 = """device_id,session_id,timestamp,label,confidence,track_id,track_status,x_min,y_min,x_max,y_max,filename
trap1,5,2026-07-01T10:00:00.250000,insect,0.8,0,NEW,0.25,0.5,0.5,0.75,trap1_2026-07-01_10-00-00-250000.jpg
trap1,5,2026-07-01T10:00:01.250000,insect,0.9,0,TRACKED,0.25,0.5,0.5,0.75,trap1_2026-07-01_10-00-01-250000.jpg
"""
AMI_HEADER = "id,cropped_image_path,bbox,label,score,deployment,session,sequence,source_image_path,timestamp,logits\n"
AMI = f"""{AMI_HEADER}
1,"/home/me/a.jpg","[10, 20, 60, 90]",moth,0.91,N,2022-07-10,SEQ-1,"/home/me/N/2.jpg","2022-07-10T23:59:50",
2,"/home/me/b.jpg","[12, 22, 62, 92]",moth,0.87,N,2022-07-10,SEQ-1,"/home/me/N/10.jpg","2022-07-11T00:00:00",
3,"/home/me/c.jpg","[0, 0, 5, 5]",,,"N","2022-07-10",,"/home/me/N/10.jpg","2022-07-11T00:00:00",
"""


def table(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def photo(path: Path, size: tuple[int, int] = (1920, 1080)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 200, 200)).save(path)


def told(failures: Failures) -> list[tuple[str, int | None, str]]:
    return [(row.severity, row.row, row.reason) for row in failures]


def by_name(path: Path, **options: Any) -> dict[str, Boxes]:
    return {boxes.name: boxes for boxes in read_sequences(path, **options)}


def test_insect_tracking(tmp_path: Path) -> None:
    path = table(tmp_path, "20200610.csv", TRACKING)
    for name in ("20200610144545", "20200610145047", "20200610145000"):  # the last has no box
        photo(tmp_path / "CAM0" / f"{name}.jpg")
    assert detect(path) == "insect-tracking"
    failures = Failures()
    found = by_name(path, failures=failures)
    first, second = found["20200610/CAM0"], found["20200610/CAM1"]
    assert first.frames.seconds.tolist() == [0, 255, 302] and first.frame.tolist() == [0, 0, 2]
    assert first.box[0].tolist() == [657, 15, 240, 387] and (first.frames.width, first.frames.height) == (1920, 1080)
    assert first.confidence is not None and first.confidence[0] == 0.82 and first.label is not None and first.label[2] == "3"
    assert first.track is None and first.frames.start == datetime(2020, 6, 10, 14, 45, 45)
    assert second.frames.files == (None,) and second.box[0].tolist() == [129, 247, 81, 65]
    reason = "the picture 'CAM1/20200610145139.jpg' is not there: its boxes are kept without"
    assert told(failures) == [("warning", 4, reason)]
    rows = [row for batch in read(path).batches for row in batch.to_pylist()]
    assert rows[0]["crop"] == [657, 15, 240, 387] and rows[0]["deployment"] == "CAM0" and rows[0]["frame"] == 1
    assert rows[3]["crop"] is None and rows[3]["frame_box"] == [129, 247, 81, 65]


def test_tracks_of_its_tracker_and_detections_of_mcc24(tmp_path: Path) -> None:
    header = "id, date, time, percent, class, xc, yc, x1, y1, width, height, image\n"
    path = table(tmp_path, "20200610TRS.csv", header + "4, 20200610, 90545, 82, Apis mellifera, 25, 30, 20, 20, 10, 20, a.jpg\n")
    boxes = read_sequence(path)
    assert detect(path) == "insect-tracking" and boxes.track is not None and boxes.track.tolist() == ["4"]
    assert boxes.box.tolist() == [[20, 20, 10, 20]] and boxes.label is not None and boxes.label[0] == "Apis mellifera"
    assert boxes.frames.start == datetime(2020, 6, 10, 9, 5, 45)  # a spreadsheet took its zero
    header = (
        "year,trap,date,time,detectConf,detectId,x1,y1,x2,y2,fileName,orderLabel,orderId,orderConf,aboveTH,key,speciesLabel\n"
    )
    row = "2024,OGL1,20240715,221030,88.5,0,10,20,30,60,20240715221030.jpg,Lepidoptera,3,77.0,True,1,Noctua pronuba\n"
    (found,) = read(table(tmp_path, "20240715.csv", header + row)).batches
    (values,) = found.to_pylist()
    assert (
        values["sequence"] == "20240715/OGL1" and values["label"] == "Noctua pronuba" and values["frame_box"] == [10, 20, 20, 40]
    )
    assert values["detection_confidence"] == 0.885 and values["classification_confidence"] == 0.77 and values["key"] == 1


def test_insect_detect_of_every_age(tmp_path: Path) -> None:
    old = table(tmp_path, "metadata_20231212.csv", DETECT_2023)
    failures = Failures()
    boxes = read_sequence(old, failures=failures)
    assert detect(old) == "insect-detect" and boxes.name == "39"
    assert boxes.frame.tolist() == [0, 0, 1]  # boxes of a frame were saved one after the other
    assert boxes.box[0, 0] == pytest.approx(0.45 * 3840) and boxes.track is not None and boxes.track.tolist() == ["1", "2", "1"]
    assert ("warning", 1, "the size of its frames is not known: taken as 3840 x 2160 pixels") in told(failures)
    photo(tmp_path / "data" / "cropped" / "insect" / "20231212_17-52-35.905236_1_crop.jpg", (50, 40))
    (batch,) = read(old).batches
    first = batch.to_pylist()[0]
    assert first["image_path"].endswith("_1_crop.jpg") and first["crop"] is None and first["frame_box"][0] == pytest.approx(1728)
    new = table(tmp_path, "metadata_2026.csv", DETECT_2026)
    photo(tmp_path / "trap1_2026-07-01_10-00-00-250000.jpg", (1000, 800))
    photo(tmp_path / "timelapse" / "trap1_2026-07-01_10-00-31-000000_timelapse.jpg", (1000, 800))
    boxes = read_sequence(new)
    assert boxes.name == "trap1/5" and boxes.box[0].tolist() == [250, 400, 250, 200]
    assert boxes.frames.seconds.tolist() == [0, 1, 30.75] and boxes.at(2) == slice(2, 2)  # a frame of its timelapse
    middle = "cam_ID,rec_ID,timestamp,label,confidence,track_ID,track_status,x_min,y_min,x_max,y_max\n"
    middle += "c,7,2024-09-01T10:00:00.5,fly,0.5,3,TRACKED,0,0,0.5,0.5\n"
    photo(tmp_path / "2024-09-01_10-00-00-500000.jpg", (400, 200))
    boxes = read_sequence(table(tmp_path, "m.csv", middle))
    assert boxes.box.tolist() == [[0, 0, 200, 100]] and boxes.frames.files[0] is not None


def test_ami_data_companion(tmp_path: Path) -> None:
    path = table(tmp_path, "detections.csv", AMI)
    for name in ("2.jpg", "10.jpg"):
        photo(tmp_path / "N" / name, (100, 100))
    failures = Failures()
    boxes = read_sequence(path, failures=failures)
    assert detect(path) == "ami" and boxes.name == "N/2022-07-10"
    assert [Path(str(file)).name for file in boxes.frames.files] == ["2.jpg", "10.jpg"]  # over midnight
    assert boxes.frames.seconds.tolist() == [0, 10] and boxes.box[0].tolist() == [10, 20, 50, 70]
    assert boxes.track is not None and boxes.track.tolist() == ["SEQ-1", "SEQ-1", None]
    assert boxes.label is not None and boxes.label.tolist() == ["moth", "moth", None]
    assert not failures.errors
    four = "source_image_id,bbox_x1,bbox_y1,bbox_x2,bbox_y2,timestamp,classification,classification_score\n"
    four += "7,1,2,4,8,2022-07-10,moth,0.5\n"
    (batch,) = read(table(tmp_path, "api.csv", four)).batches
    (row,) = batch.to_pylist()
    assert row["frame_box"] == [1, 2, 3, 6] and row["label"] == "moth" and row["classification_confidence"] == 0.5


def test_rows_that_cannot_be_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    ten, size = "2022-07-10T10:00:00", "lies outside the image of 100 x 100"
    rows: list[tuple[str, str, str, str, str | None]] = [
        ("[10, 20, 60, 90]", "t1", "a.jpg", ten, None),
        ("[10, 20, 60]", "t2", "a.jpg", ten, "the box '[10, 20, 60]' is not [x1, y1, x2, y2]"),
        ("[60, 20, 10, 90]", "t3", "a.jpg", ten, "the box [60.0, 20.0, -50.0, 70.0] has no area"),
        ("[600, 20, 700, 90]", "t4", "a.jpg", ten, f"the box [600.0, 20.0, 100.0, 70.0] {size}"),
        ("[90, 20, 120, 90]", "t5", "a.jpg", ten, "the box '90, 20, 120, 90' reaches outside the picture: clipped"),
        ("[10, 20, 60, 90]", "t1", "a.jpg", ten, "the track 't1' has a second box in frame 2 (first in row 1): left out"),
        ("[10, 20, 60, 90]", "t6", "a.jpg", "noon", "'noon' is not a moment that is understood"),
        ("[1, 2, 6, 9]", "t7", "b.jpg", "2022-07-10T09:00:00", "the picture 'b.jpg' is not there: its boxes are kept without"),
    ]
    header = "id,cropped_image_path,bbox,label,score,deployment,session,sequence,source_image_path,timestamp\n"
    lines = [f'1,c,"{box}",moth,0.9,N,1,{track},{file},{time}\n' for box, track, file, time, _ in rows]
    path = table(tmp_path, "ami.csv", header + "".join(lines))
    photo(tmp_path / "a.jpg", (100, 100))
    failures = Failures()
    boxes = read_sequence(path, failures=failures)
    for row, (*_, reason) in enumerate(rows, 1):
        assert reason is None or reason in [said for _, own, said in told(failures) if own == row], reason
    assert failures.errors == 5 and boxes.track is not None and boxes.track.tolist() == ["t7", "t1", "t5"]
    assert "1 row stands behind those of a later frame: sorted by frame" in [said for *_, said in told(failures)]
    with pytest.raises(BiocosmosError, match=r"no row of a table of ami: row 1: the box 'x' is not"):
        read(table(tmp_path, "bad.csv", header + "2,c,x,moth,0.9,N,1,t1,a.jpg,2022-07-10\n"))


def test_a_table_that_only_looks_like_one_stays_a_table(tmp_path: Path) -> None:
    plain = table(tmp_path, "plain.csv", 'image,bbox,timestamp,label\na.jpg,"[1, 2, 3, 4]",2022-07-10,moth\n')
    assert detect(plain) == "csv"
    assert detect(table(tmp_path, "points.csv", "image,x1,y1,x2,y2\na.jpg,1,2,3,4\n")) == "csv"
    assert detect(table(tmp_path, "six.txt", "1,2,3,4,5,6\n2,3,4,5,6,7\n")) == "csv"
