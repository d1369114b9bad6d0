"""Tables of frames and tracks that are spoilt at random: a reader reads them or says in one line why not."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.sequences import individuals, read_sequences, write_mot
from biocosmos.specimens.readers import read

ODD = ("", "nan", "-1", "1e400", "9" * 30, "\0", "é", '"', "\n", ",", ";", "0", "-0.5", "2026-13-40", "[1,2,3,4]", "../a.jpg")
GT = "".join(f"{frame},{track},{10.5 * track},{20 + frame},15,12,1,1,0.5\n" for frame in range(1, 6) for track in range(1, 4))
SEQINFO = "[Sequence]\nframeRate=0.1\nseqLength=9\nimWidth=100\nimHeight=90\nstartTime=2026-07-01T22:00:00\nclassNames=a,b\n"
TREE = {
    "gt/gt.txt": GT,
    "seqinfo.ini": SEQINFO,
    "times.csv": "frame,date,time\n1,2026-07-01,22:00:00\n2,2026-07-01,22:00:10\n",
    "species.csv": "track,label,genus\n1,moth,Noctua\n2,fly,Musca\n",
}
TABLES = {
    "ami": "bbox,timestamp,source_image_path,sequence,label\n"
    + "".join(f'"[1, {i}, 30, 40]",2026-07-01T22:00:{i:02},{i}.jpg,t{i % 3},moth\n' for i in range(9)),
    "insect-detect": "rec_ID,timestamp,label,confidence,track_ID,x_min,y_min,x_max,y_max,file_path\n"
    + "".join(f"1,20260701_22-00-{i:02}.5,fly,0.5,{i % 2},0.1,0.1,0.2,0.2,c/{i}_crop.jpg\n" for i in range(9)),
    "insect-tracking": "".join(f"i,0,20260701,2200{i:02},50,3,10,20,30,4{i},CAM0/{i}.jpg\n" for i in range(9)),
}


def spoilt(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 5)):
        at, how = rng.randrange(len(data) + 1), rng.random()
        if how < 0.35:
            data[at:at] = rng.choice(ODD).encode()
        elif how < 0.65:
            cells = bytes(data).split(b",")
            cells[rng.randrange(len(cells))] = rng.choice(ODD).encode()
            data = bytearray(b",".join(cells))
        elif how < 0.8:
            del data[at : at + rng.randint(1, 30)]
        else:
            data[at:at] = bytes([rng.randrange(256)])
    return bytes(data)


def one_line(work: Callable[[], object]) -> bool:
    """Whether it went well; if not the reason must be one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            work()
    except BiocosmosError as error:
        assert str(error) and "\n" not in str(error)
        return False
    return True


def test_trees(tmp_path: Path) -> None:
    rng, well = random.Random(0), 0
    for trial in range(60):
        folder = tmp_path / str(trial)
        (folder / "gt").mkdir(parents=True)
        bad = rng.choice(list(TREE))
        for name, text in TREE.items():
            (folder / name).write_bytes(spoilt(text, rng) if name == bad else text.encode())

        def work(folder: Path = folder) -> None:
            boxes = read_sequences(folder, failures=Failures())
            individuals(boxes)
            write_mot(folder / "out", boxes)

        well += one_line(work)
        well += one_line(lambda folder=folder: [batch.validate(full=True) for batch in read(folder, empty=True).batches])  # type: ignore[misc]
    assert well > 60


@pytest.mark.parametrize("format", TABLES)
def test_tables(tmp_path: Path, format: str) -> None:
    rng, well = random.Random(1), 0
    for trial in range(40):
        path = tmp_path / f"{trial}.csv"
        path.write_bytes(spoilt(TABLES[format], rng))
        well += one_line(lambda path=path: individuals(read_sequences(path, format=format)))  # type: ignore[misc]
    assert well > 10
