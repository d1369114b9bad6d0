"""evaluate --protocol quantification: errors by sample, gates, intervals; the page; leaks are refused."""

from __future__ import annotations

import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.settings import SettingError
from quantified_sample import EACH, SAMPLES, cruise


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return cruise(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def report(mine: bc.Collection):
    st = "part != 'test' OR sample != 'blurred'"
    return evaluate_collection(mine, protocol="quantification", by=("sample",), communities=6, specimens=80, where=st)


def test_errors_are_of_samples_and_em_errs_least(report):
    rows = {(row["what"], row["method"]): row for row in report.rows("methods")}
    made = {method: rows["made communities", method] for method in ("cc", "pcc", "acc", "pacc", "emq")}
    assert made["emq"]["bray_curtis"] < made["cc"]["bray_curtis"] < made["pcc"]["bray_curtis"]
    for row in made.values():
        assert row["bray_curtis_low"] <= row["bray_curtis"] <= row["bray_curtis_high"] and row["samples"] == 6
    assert made["emq"]["right_after"] >= made["emq"]["right_before"] and made["emq"]["held"] > 0.8
    samples = {row["sample"]: row for row in report.rows("samples", what="samples")}
    assert set(samples) == {"st1", "st2"} and samples["st1"]["specimens"] == EACH
    assert all(row["gate"] == "open" for row in samples.values())
    gates = {row["what"]: row for row in report.rows("gates")}
    assert gates["made communities"]["open"] >= 5 and gates["samples"]["samples"] == 2


def test_the_error_is_written_out(mine, report):
    """cc of one sample, by hand."""
    from biocosmos.jobs.who_names import identifier_of

    who = identifier_of(
        mine, part="test", known="train", method="linear", encoder="made", where="part != 'test' OR sample != 'blurred'"
    )
    gallery = mine.gallery("made", split="test", where="sample = 'st2'")
    names = who.identify(gallery)["best_guess"].to_pylist()
    truth = mine.take([str(each) for each in gallery.ids], columns=["species"])["species"].to_pylist()
    off = sum(abs(names.count(each) - truth.count(each)) for each in set(names) | set(truth)) / EACH / 2
    (row,) = report.rows("samples", sample="st2")
    assert row["cc"] == pytest.approx(off, abs=0.03)


def test_samples_are_found_as_summarize_finds_them(tmp_path):
    found = evaluate_collection(
        cruise(tmp_path, column="sample_id"), protocol="quantification", by=("sample",), communities=2, specimens=30
    )
    assert {row["sample"] for row in found.rows("samples")} >= set(SAMPLES)


def test_changed_images_shut_the_gate_and_the_page_says_so(mine, tmp_path, biocosmos):
    biocosmos(
        *("evaluate", mine.path, "--protocol", "quantification", "--by", "sample", "--communities", 3, "--specimens", 60),
        *("--report", tmp_path / "page.html"),
    )
    page = (tmp_path / "page.html").read_text()
    assert "Did the community change, or the images?" in page and "real samples" in page
    for name in SAMPLES:
        assert name in page


def test_what_cannot_be_judged_is_refused(mine):
    with pytest.raises(SettingError, match="one column"):
        evaluate_collection(mine, protocol="quantification", by=("sample", "part"))
    with pytest.raises(BiocosmosError, match="no column 'net'"):
        evaluate_collection(mine, protocol="quantification", by=("net",))
    with pytest.raises(BiocosmosError, match=r"fitted|among|calibrate"):
        evaluate_collection(mine, protocol="quantification", queries="train")
    with pytest.raises(SettingError, match="does nothing here"):
        evaluate_collection(mine, communities=5)
