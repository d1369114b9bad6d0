"""identify and its files: killed and run again, added to, watched; what is missing, broken or there already."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.jobs import asked as blocks
from biocosmos.jobs.identify import identify_collection, identifying
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.watch import watch
from biocosmos.jobs.who_names import NAMERS
from biocosmos.settings import SettingError

Run = Callable[..., str]
KILLED = """
import os, signal, sys
from pathlib import Path
import biocosmos as bc
from biocosmos.jobs import asked, naming_work
from biocosmos.jobs.identify import identifying
from biocosmos.jobs.identify_settings import IdentifySettings
asked.BLOCK = 4
save = naming_work.NamingWork.save
def once(self, number, block):
    save(self, number, block)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
naming_work.NamingWork.save = once
settings = IdentifySettings(method="nearest", batch_size=2)
with identifying(bc.Collection.open(sys.argv[1]), settings, images=[Path(a) for a in sys.argv[3:]], output=Path(sys.argv[2])):
    pass
"""


@pytest.fixture(scope="module")
def mine(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """A copy of the small collection: namers are kept in it."""
    folder = tmp_path_factory.mktemp("identify_files")
    shutil.copytree(embedded.path, folder / "mine.cosmos", ignore=shutil.ignore_patterns(NAMERS))
    return bc.Collection.open(folder / "mine.cosmos")


@pytest.fixture(scope="module")
def stock(mine: bc.Collection) -> list[bytes]:
    """Thirteen images."""
    return [mine.image_bytes(id_) or b"" for id_ in mine.table(["id"], split="test")["id"].to_pylist()[:13]]


@pytest.fixture
def photos(stock: list[bytes], tmp_path: Path) -> Path:
    """A folder of eleven of them, the seventh cut off in the middle."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, data in enumerate(stock[:11]):
        (folder / f"{number:02d}.jpg").write_bytes(data if number != 6 else data[: len(data) // 2])
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def named(path: Path) -> list[str]:
    return [Path(row["image_path"]).name for row in rows(path)]


def as_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of any format, nested cells as text where the format has no others."""
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    if path.suffix == ".json":
        return list(json.loads(path.read_text())["rows"])
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    parse = pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
    return list(pyarrow.csv.read_csv(path, parse_options=parse).to_pylist())


def into(mine: bc.Collection, output: Path, *images: Path, **options: Any) -> list[str]:
    """Name into a table; what was said."""
    said: list[str] = []
    settings = IdentifySettings(**{"method": "nearest", "batch_size": 2, **options})
    with identifying(mine, settings, images=images, output=output, say=said.append):
        pass
    return said


# ---------------------------------------------------------------------- killed


def test_killed_and_run_again_it_ends_with_the_same_bytes(
    mine: bc.Collection, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    asked = [tmp_path / "gone.jpg", photos]
    into(mine, tmp_path / "whole.csv", *asked)
    output = tmp_path / "names.csv"
    command = [sys.executable, "-c", KILLED, str(mine.path), str(output), *map(str, asked)]
    assert warm.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not output.exists() and len(list((tmp_path / "names.csv.part").glob("*.block"))) == 2
    looked: list[int] = []
    read = blocks.ImageReader.read
    monkeypatch.setattr(blocks.ImageReader, "read", lambda self, rows: looked.extend(rows.tolist()) or read(self, rows))
    assert into(mine, output, *asked) == ["going on after 8 that an interrupted run has named"]
    assert looked == [8, 9, 10]
    for suffix in ("csv", "failures.csv"):
        assert output.with_suffix(f".{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("names*")) == [
        "names.csv",
        "names.csv.provenance.json",
        "names.failures.csv",
    ]


def stopped_after(mine: bc.Collection, output: Path, number: int, *images: Path, **options: Any) -> None:
    """Name until so many blocks are kept, and break off."""
    from biocosmos.jobs.naming_work import NamingWork

    class Stop(Exception):
        pass

    save = NamingWork.save

    def until(self: NamingWork, block: int, what: Any) -> None:
        save(self, block, what)
        if block + 1 == number:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NamingWork, "save", until)
        with pytest.raises(Stop):
            into(mine, output, *images, **options)


def test_what_differs_begins_anew_and_says_so(
    mine: bc.Collection, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    output = tmp_path / "names.csv"
    stopped_after(mine, output, 2, photos)
    said = into(mine, output, photos, threshold=0.5)
    assert "was made otherwise (namer, settings): begun anew" in said[0]
    stopped_after(mine, output, 2, photos, threshold=0.5, overwrite=True)
    (photos / "05.jpg").touch()  # of the second block
    said = into(mine, output, photos, threshold=0.5, overwrite=True)
    assert said == [
        "files were changed since: 1 of 2 blocks of the interrupted run are named anew",
        "going on after 4 that an interrupted run has named",
    ]
    stopped_after(mine, output, 2, photos, threshold=0.5, overwrite=True)
    damaged = tmp_path / "names.csv.part/000000.block"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"something")
    assert "2 of 2 blocks" in into(mine, output, photos, threshold=0.5, overwrite=True)[0]
    assert len(named(output)) == 10


def test_a_part_goes_on_too_and_two_at_once_are_told(
    mine: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 8)
    output, settings = tmp_path / "names.parquet", IdentifySettings(method="nearest", part="test")
    whole = identify_collection(mine, settings).table
    with identifying(mine, settings, output=output) as done:
        assert done.summary.specimens == len(whole)
        with pytest.raises(BiocosmosError, match="another process is naming into"), identifying(mine, settings, output=output):
            pass
    found = pq.read_table(output)
    assert found.select(["id", "taxon", "confidence"]).equals(
        whole.select(["id", "taxon", "confidence"]).replace_schema_metadata(found.schema.metadata)
    )
    assert not (tmp_path / "names.parquet.part").exists()


# ---------------------------------------------------------------------- missing, broken, there already


def test_what_cannot_be_named_is_a_row_and_the_rest_is_named(
    biocosmos: Run, mine: bc.Collection, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("a diary")
    output = tmp_path / "names.csv"
    asked = [photos, tmp_path / "empty", tmp_path / "gone.jpg", tmp_path / "notes.txt", photos / "03.jpg"]
    biocosmos("identify", mine.path, *asked, "-o", output, "--method", "nearest")
    assert named(output) == [f"{number:02d}.jpg" for number in range(11) if number != 6]
    told = {Path(row["source"]).name: (row["severity"], row["reason"]) for row in rows(tmp_path / "names.failures.csv")}
    assert told == {
        "empty": ("error", "no image in this folder"),
        "gone.jpg": ("error", "no such file or folder"),
        "notes.txt": ("error", "not an image: a text file"),
        "03.jpg": ("warning", "asked about twice: named once"),
        "06.jpg": ("error", "truncated JPEG: the file ends before its image does"),
    }
    biocosmos("identify", mine.path, *asked, "-o", output, "--method", "nearest", "--strict", fails=1)
    biocosmos("identify", mine.path, photos / "01.jpg", "-o", output, "--overwrite", "--method", "nearest")
    assert named(output) == ["01.jpg"] and not (tmp_path / "names.failures.csv").exists()


def test_where_nothing_can_be_named_the_failures_are_still_written(
    biocosmos: Run, mine: bc.Collection, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "names.csv"
    said = biocosmos("identify", mine.path, tmp_path / "a.jpg", tmp_path / "b.jpg", "-o", output, fails=1)
    assert said.strip() == f"error: no such file or folder: {tmp_path / 'a.jpg'}"
    assert [Path(row["source"]).name for row in rows(tmp_path / "names.failures.csv")] == ["a.jpg", "b.jpg"]
    said = biocosmos("identify", mine.path, photos / "06.jpg", "-o", output, "--method", "nearest", fails=1)
    assert "none of 1 images could be read: truncated JPEG" in said and not output.exists()
    assert sorted(path.name for path in tmp_path.glob("names*")) == ["names.failures.csv"]


def test_names_are_replaced_only_where_none_would_be_lost(
    biocosmos: Run, mine: bc.Collection, photos: Path, stock: list[bytes], tmp_path: Path
) -> None:
    output, ask = tmp_path / "names.csv", ["--method", "nearest", "--threshold", "0.5"]
    biocosmos("identify", mine.path, photos, "-o", output, *ask)
    before = output.read_bytes()
    biocosmos("identify", mine.path, photos, "-o", output, *ask)
    assert output.read_bytes() == before
    assert into(mine, output, photos, threshold=0.6) == [
        f"{output} was made with --threshold 0.5, now it is 0.6: its names are replaced"
    ]
    before = output.read_bytes()
    said = biocosmos("identify", mine.path, "--part", "test", "-o", output, *ask, fails=2)
    assert "was made with --part not given" in said
    said = biocosmos("identify", mine.path, photos / "01.jpg", "-o", output, *ask, fails=2)
    assert "has names of 9 images that are not asked about now" in said and "--append" in said
    assert output.read_bytes() == before
    (tmp_path / "labels.csv").write_text("file,label\n01.jpg,copepod\n")
    said = biocosmos("identify", mine.path, photos, "-o", tmp_path / "labels.csv", *ask, fails=2)
    assert "exists and was not made by 'biocosmos identify'" in said
    assert (tmp_path / "labels.csv").read_text().startswith("file,label")


# ---------------------------------------------------------------------- added to


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "jsonl", "tsv"])
def test_more_names_are_added_and_none_twice(
    mine: bc.Collection, photos: Path, stock: list[bytes], tmp_path: Path, suffix: str
) -> None:
    output, whole = tmp_path / f"names.{suffix}", tmp_path / f"whole.{suffix}"
    into(mine, output, photos)
    first = as_rows(output)
    (photos / "11.jpg").write_bytes(stock[11])
    (photos / "06.jpg").write_bytes(stock[6])  # mended
    (photos / "12.jpg").write_bytes(b"no image")
    into(mine, output, photos, append=True)
    into(mine, output, photos, append=True)
    into(mine, whole, *(photos / f"{n:02d}.jpg" for n in (*range(6), *range(7, 11), 6, 11, 12)))
    found, expected = as_rows(output), as_rows(whole)
    assert [row["image_path"] for row in found] == [row["image_path"] for row in expected] and len(found) == 12
    assert found[:10] == [{**dict.fromkeys(found[0]), **row} for row in first]
    for mine_, theirs in zip(found, expected, strict=True):
        assert mine_.keys() == theirs.keys() and mine_["best_guess"] == theirs["best_guess"]
        for name in ("best_guess_confidence", "novelty_p"):  # float32 vectors of batches cut otherwise: alike, not the same bits
            assert mine_[name] == pytest.approx(theirs[name], rel=1e-4)
    assert [Path(row["source"]).name for row in rows(tmp_path / "names.failures.csv")] == ["12.jpg"]


def test_a_column_of_the_curator_stays_and_other_settings_are_told(
    mine: bc.Collection, photos: Path, stock: list[bytes], tmp_path: Path
) -> None:
    output = tmp_path / "names.csv"
    into(mine, output, photos)
    table = rows(output)
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*table[0], "checked"])
        writer.writeheader()
        writer.writerows({**row, "checked": "by Anna, yes"} for row in table)
    (photos / "11.jpg").write_bytes(stock[11])
    into(mine, output, photos, append=True)
    found = rows(output)
    assert [row["checked"] for row in found] == ["by Anna, yes"] * 10 + [""]
    assert [{name: row[name] for name in table[0]} for row in found[:10]] == table
    with pytest.raises(SettingError, match=r"was made with --threshold not given, now it is 0\.5"):
        into(mine, output, photos, append=True, threshold=0.5)
    facts = json.loads((tmp_path / "names.csv.provenance.json").read_text())
    facts["namer"]["digest"] = "of yesterday"
    (tmp_path / "names.csv.provenance.json").write_text(json.dumps(facts))
    (photos / "13.jpg").write_bytes(stock[12])
    with pytest.raises(SettingError, match="was made by another namer"):
        into(mine, output, photos, append=True)
    with pytest.raises(SettingError, match="leave one of them out"):
        into(mine, output, photos, append=True, overwrite=True)


# ---------------------------------------------------------------------- watched


class Clock:
    """Sleeps between looks: at each something happens, and at the end Ctrl-C."""

    def __init__(self, *happens: Callable[[], Any]) -> None:
        self._happens = iter(happens)

    def __call__(self, seconds: float) -> None:
        happen = next(self._happens, None)
        if happen is None:
            raise KeyboardInterrupt
        happen()


def nothing() -> None:
    pass


def test_a_watched_folder_is_named_as_it_fills_and_nothing_twice(mine: bc.Collection, stock: list[bytes], tmp_path: Path) -> None:
    folder, output = tmp_path / "camera", tmp_path / "names.csv"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(stock[number])
    settings = IdentifySettings(method="nearest", watch=True)
    half = folder / "half.jpg"
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(named(output) if output.exists() else [])

    def look_and(happen: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: (look(), happen())

    clock = Clock(
        lambda: half.write_bytes(stock[3][:200]),  # 0, 1, 2 were seen once
        look_and(lambda: half.write_bytes(stock[3][:700])),  # now they are named; the half one grew
        nothing,
        look_and(lambda: (half.write_bytes(stock[3]), (folder / "brief.jpg").write_bytes(stock[4]))),  # a failure, once
        lambda: (folder / "brief.jpg").unlink(),
        look_and(lambda: folder.rename(tmp_path / "away")),
        nothing,
        lambda: (tmp_path / "away").rename(folder),
        nothing,
        look_and(nothing),
    )
    said: list[str] = []
    done = watch(mine, settings, images=[folder], output=output, say=said.append, sleep=clock)
    assert seen == [["0.jpg", "1.jpg", "2.jpg"]] * 2 + [["0.jpg", "1.jpg", "2.jpg", "half.jpg"]] * 2
    assert done.interrupted and (done.named, done.there) == (4, 4) and f"waiting for {folder}" in said
    # the half one was a failure, and is mended: neither counted nor in the file
    assert not len(done.failures) and not (tmp_path / "names.failures.csv").exists()
    (folder / "4.jpg").write_bytes(stock[5])
    (folder / "bad.jpg").write_bytes(stock[5][:300])
    again = watch(mine, settings, images=[folder], output=output, sleep=Clock(nothing, nothing))
    assert (again.named, again.there) == (1, 5) and named(output) == ["0.jpg", "1.jpg", "2.jpg", "half.jpg", "4.jpg"]
    with (tmp_path / "names.failures.csv").open() as file:
        assert [row["source"] for row in csv.DictReader(file)] == [row.source for row in again.failures]
    assert [Path(row.source or "").name for row in again.failures] == ["bad.jpg"]
    (folder / "bad.jpg").write_bytes(stock[6])
    assert not len(watch(mine, settings, images=[folder], output=output, sleep=Clock(nothing, nothing)).failures)
    assert sorted(path.name for path in tmp_path.glob("names*")) == ["names.csv", "names.csv.provenance.json"]


def test_a_watch_that_saw_nothing_leaves_an_empty_table_and_one_that_is_idle_ends(mine: bc.Collection, tmp_path: Path) -> None:
    settings = IdentifySettings(method="nearest", watch=True, every=0.01, idle=0.05)
    done = watch(mine, settings, images=[tmp_path / "not yet"], output=tmp_path / "names.csv")
    assert not done.interrupted and rows(tmp_path / "names.csv") == []
    assert (tmp_path / "names.csv").read_text().startswith('"id","taxon","rank"')


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--append"], "--append is about a table: say which with --output"),
        (["--watch", "-o", "n.csv", "--report", "n.html"], "--report does nothing here"),
        (["--watch", "-o", "n.csv", "--save"], "--save does nothing here"),
        (["--every", "3"], "--every does nothing here: it is used with --watch"),
        (["--idle", "3"], "--idle does nothing here"),
        (["--top", "0"], "--top must be 1 to 100"),
        (["--batch-size", "0"], "--batch-size must be above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    biocosmos: Run, mine: bc.Collection, photos: Path, given: list[str], says: str
) -> None:
    assert says in biocosmos("identify", mine.path, photos, *given, fails=2)


def test_a_part_of_stored_vectors_has_no_use_for_how_images_are_read(biocosmos: Run, mine: bc.Collection) -> None:
    for option in ("--batch-size", "--workers"):
        assert f"{option} does nothing here" in biocosmos("identify", mine.path, "--part", "test", option, "2", fails=2)
    assert "--append does nothing here" in biocosmos("identify", mine.path, "--part", "test", "--append", fails=2)


@pytest.mark.parametrize("moment", ["try_lock", "NamingWork"])
def test_a_signal_while_the_work_folder_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    from biocosmos.jobs import naming_work

    whole, calls = getattr(naming_work, moment), []

    def interrupted(*given: object) -> object:
        calls.append(given)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(naming_work, moment, interrupted)
    with pytest.raises(KeyboardInterrupt), naming_work.locked(tmp_path / "names.csv", print):
        pass
    assert not list(tmp_path.iterdir())


def test_a_work_folder_that_another_process_has_is_left_to_it(tmp_path: Path) -> None:
    from biocosmos.jobs.naming_work import locked, work_beside

    output = tmp_path / "names.csv"
    with locked(output, print):
        with pytest.raises(BiocosmosError, match="another process is naming"), locked(output, print):
            pass
        assert work_beside(output).is_dir()
    assert not work_beside(output).exists()
