"""Attributes from the command line, as a person goes: tables in, probabilities of other tools judged, tables out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.multi_label import Rules, multi_label
from biocosmos.evaluate.attributes.thresholds import tuned
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.settings import SettingError
from biocosmos.specimens.collection import Collection

SEEN = ("Apis", "Bombus", "Vespa")
STAGES = ("adult", "larva")
N = 90


class Trays:
    """A collection of trays with a split in three, and what a tool says of them."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(4)
        self.folder = folder
        self.seen = (rng.random((N, 3)) < (0.5, 0.3, 0.1)).astype(int)
        self.stage = rng.integers(0, 2, N)
        self.p = (1 / (1 + np.exp(-(rng.normal(size=(N, 3)) + 3 * self.seen - 2)))).round(4)
        self.q = rng.random(N).round(4)
        rows = [[f"tray {i}", "text", *self.seen[i], STAGES[self.stage[i]], ("train", "val", "test")[i % 3]] for i in range(N)]
        self.write("trays.csv", ["id", "text", *SEEN, "stage", "part"], rows)
        said = [[f"tray {i}", *self.p[i], 1 - self.q[i], self.q[i]] for i in range(N)]
        self.write("said.csv", ["id", *SEEN, "stage:adult", "stage:larva"], said)
        self.collection = Collection.create(folder / "trays.cosmos")
        self.collection.add(folder / "trays.csv")
        self.collection.save_facts(attributes={"seen": {"columns": list(SEEN), "several": True}})
        self.collection = Collection.open(self.collection.path)
        self.collection.make_split("column", column="part")

    def write(self, name: str, header: list[str], rows: list[list[object]]) -> Path:
        with (self.folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return self.folder / name

    def rows(self, part: str) -> np.ndarray:
        return np.arange(N)[np.arange(N) % 3 == ("train", "val", "test").index(part)]


@pytest.fixture(scope="module")
def trays(tmp_path_factory: pytest.TempPathFactory) -> Trays:
    return Trays(tmp_path_factory.mktemp("trays"))


def test_a_table_of_probabilities_is_judged_on_the_part(trays: Trays) -> None:
    report = evaluate_collection(trays.collection, names=(trays.folder / "said.csv",), attributes=("seen", "stage"))
    test = trays.rows("test")
    found = multi_label(trays.p[test], trays.seen[test])
    values = {(row["task"], row["measure"]): row["value"] for row in report.rows("summary")}
    assert values["seen", "mean F2"] == pytest.approx(found.averages.weighted)
    assert values["seen", "F1 empty"] == pytest.approx(found.averages.empty)
    right = (trays.q[test] > 0.5) == (trays.stage[test] == 1)
    assert values["stage", "accuracy"] == pytest.approx(right.mean())
    assert report.provenance["split_hash"] == trays.collection.split("default").describe()["hash"]
    assert "Thresholds: 0.5 for every class; a class is said at or above it." in report.caveats


def test_thresholds_are_set_on_another_part_and_never_on_the_one_that_is_judged(trays: Trays) -> None:
    how = {"names": (trays.folder / "said.csv",), "attributes": ("seen",), "beta": 1.0}
    report = evaluate_collection(trays.collection, calibration="val", **how)
    val, test = trays.rows("val"), trays.rows("test")
    cuts, _ = tuned(trays.p[val], trays.seen[val], 1.0)
    found = multi_label(trays.p[test], trays.seen[test], cuts, rules=Rules(1.0))
    assert [row["threshold"] for row in report.rows("classes")][:3] == pytest.approx(list(cuts))
    assert report.rows("summary", measure="mean F1")[0]["value"] == pytest.approx(found.averages.weighted)
    with pytest.raises(BiocosmosError, match="are in part 'test' too"):
        evaluate_collection(trays.collection, calibration="test", **how)
    with pytest.raises(SettingError, match="give one of them"):
        evaluate_collection(trays.collection, calibration="val", threshold=0.3, **how)
    fixed = evaluate_collection(trays.collection, threshold=0.3, **how)
    assert {row["threshold"] for row in fixed.rows("classes")[:3]} == {0.3}


def test_files_that_share_no_specimen_are_one_table_and_others_are_compared(trays: Trays, tmp_path: Path) -> None:
    header, rows = ["Filename", *SEEN], [[f"tray {i}", *trays.p[i]] for i in range(N)]
    parts = []
    for name, chosen in (("a.csv", rows[:50]), ("b.csv", rows[50:]), ("worse.csv", [[row[0], 0.5, 0.5, 0.5] for row in rows])):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *chosen])
        parts.append(tmp_path / name)
    one = evaluate_collection(trays.collection, names=tuple(parts[:2]), attributes=("seen",))
    whole = evaluate_collection(trays.collection, names=(trays.folder / "said.csv",), attributes=("seen",))
    assert one.rows("summary") == whole.rows("summary")
    both = evaluate_collection(trays.collection, names=tuple(parts), attributes=("seen",))
    assert {"a_summary", "worse_summary"} <= set(both.tables)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Filename,Apis,Bombus\ntray 1,0,0\n", "has no column for the class 'Vespa' of the attribute 'seen'"),
        ("Filename,Apis,Bombus,Vespa\ntray 1,0,0,0\n", "says nothing of 29 of 30 specimens|says nothing of part"),
        ("Filename,Apis,Bombus,Vespa\ntray 2,0,0,0\ntray 2,0,0,1\n", "names the specimen 'tray 2' twice"),
        ("Filename,Apis,Bombus,Vespa\ntray 2,0,-3.1,0\n", "row 1: column 'Bombus' holds '-3.1', which is no probability"),
        ("Filename,Apis,Bombus,Vespa\ntray 2,0,,0\n", "row 1: column 'Bombus' holds ''"),
        ("Filename,Apis,Bombus,Vespa\n", "has no rows"),
        ("who,Apis,Bombus,Vespa\na,0,0,0\n", "no column that names the specimens"),
        ("Filename,Apis,Bombus,Vespa\na,0,0,0\n", "says nothing of part 'test': its rows must be called as the specimens"),
    ],
)
def test_tables_that_cannot_be_judged_are_refused(text: str, words: str, trays: Trays, tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(text)
    with pytest.raises(BiocosmosError, match=words):
        evaluate_collection(trays.collection, names=(tmp_path / "said.csv",), attributes=("seen",))


def test_parquet_is_read_too_and_a_row_that_does_not_fit_is_refused(trays: Trays, tmp_path: Path) -> None:
    pq.write_table(pa.csv.read_csv(trays.folder / "said.csv"), tmp_path / "said.parquet")
    how = {"attributes": ("seen", "stage")}
    found = evaluate_collection(trays.collection, names=(tmp_path / "said.parquet",), **how)
    assert found.rows("summary") == evaluate_collection(trays.collection, names=(trays.folder / "said.csv",), **how).rows(
        "summary"
    )
    (tmp_path / "cut.csv").write_text("id,Apis,Bombus,Vespa\ntray 2,0,0\n")
    with pytest.raises(BiocosmosError, match=r"row 1: .* mend the row"):
        evaluate_collection(trays.collection, names=(tmp_path / "cut.csv",), attributes=("seen",))
    (tmp_path / "not.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(BiocosmosError, match=r"cannot read .*not\.parquet"):
        evaluate_collection(trays.collection, names=(tmp_path / "not.parquet",), attributes=("seen",))


def test_what_attributes_do_not_use_is_refused(trays: Trays) -> None:
    names = (trays.folder / "said.csv",)
    for options, words in (
        ({"gallery": "val"}, "--gallery"),
        ({"error_rate": 0.1}, "--error-rate"),
        ({"attributes": (), "beta": 1.0}, "--beta"),
    ):
        with pytest.raises(SettingError, match=words):
            evaluate_collection(trays.collection, **{"names": names, "attributes": ("seen",), **options})  # type: ignore[arg-type]
    with pytest.raises(BiocosmosError, match="has no column or group 'sex'"):
        evaluate_collection(trays.collection, names=names, attributes=("sex",))


def test_labels_go_out_as_a_wide_table_and_come_back(trays: Trays, tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    out = tmp_path / "labels.csv"
    biocosmos("export", str(trays.collection.path), "-o", str(out), "--attributes", "seen,stage", "--split", "test")
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == ["id", *SEEN, "stage"] and len(rows) == N // 3
    first = trays.rows("test")[0]
    assert [rows[0][name] for name in SEEN] == [str(value) for value in trays.seen[first]]
    assert rows[0]["stage"] == STAGES[trays.stage[first]]
    back = tmp_path / "back.csv"
    text = out.read_text().splitlines()
    back.write_text("\n".join([text[0] + ',"text"', *(f"{line},x" for line in text[1:])]))
    biocosmos("ingest", str(back), "-o", str(tmp_path / "back.cosmos"), "--format", "wide")
    assert Collection.open(tmp_path / "back.cosmos").attribute_groups["labels"].columns == SEEN
