"""Priors of places on held-out cells and rows: scores by oracles, what leaks, intervals, the page, the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.held_out_places import held_out_places
from biocosmos.evaluate.held_out_places.report import Fit
from biocosmos.evaluate.held_out_places.scores import held_out, judged, mean_average_precision
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.identify.priors import Bandwidths, KernelPrior
from biocosmos.jobs.evaluate import evaluate_collection
from biocosmos.places import Places, cells
from biocosmos.settings import SettingError

TRAPS, EACH = 80, 5


def traps() -> tuple[np.ndarray, Places]:
    """Eighty traps, a cell each, that caught one family each on a day of their own: flies in the north, beetles in the south, but
    every eighth trap is another's."""
    rng = np.random.default_rng(0)
    latitude = np.repeat(np.round(rng.uniform(50, 54, TRAPS), 2) + 0.005, EACH)
    longitude, day = np.repeat(rng.uniform(4, 6, TRAPS), EACH), np.repeat(rng.uniform(0, 365, TRAPS), EACH)
    odd = np.repeat(np.arange(TRAPS) % 8 == 0, EACH)
    taxa = np.where((latitude > 52) != odd, "Diptera/Tipulidae", "Coleoptera/Carabidae").astype(object)
    numbers = np.stack([latitude, longitude, day, np.full(len(day), np.nan)], 1)
    return taxa, Places.of_numbers(numbers)


def test_scores_by_hand() -> None:
    shares = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    own = np.array([0, 1, 1, 1])
    # taxon 0: order 3, 0, 1, 2, its specimen 0 is second: 1/2. taxon 1: order 2, 1, 0, 3: hits at 1, 2, 4: (1 + 1 + 3/4) / 3
    assert mean_average_precision(shares, own) == pytest.approx((1 / 2 + (1 + 1 + 3 / 4) / 3) / 2)
    found = judged(np.arange(4), shares, own, 3)
    assert found.nll == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.1])) and found.right.tolist() == [True, False, True, False]
    units = np.array([5, 5, 7, 9, 9, 9])
    test = held_out(units, 0, 0.34)
    assert len(set(units[test])) == 1 and not set(units[test]) & set(units[~test])


def test_intervals_draw_whole_cells() -> None:
    """Forty equal specimens of each of ten cells say no more than ten specimens do."""
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 10)
    _, low, high = Bootstrap().mean(np.repeat(values, 40), np.repeat(np.arange(10), 40))
    _, narrow, wide = Bootstrap().mean(np.repeat(values, 40))
    assert low < narrow < values.mean() < wide < high and high - low > 3 * (wide - narrow)


def test_rows_leak_and_it_is_said(tmp_path: Path) -> None:
    taxa, places = traps()
    never = float("inf")

    def kernel_of(widths: Bandwidths) -> Fit:
        return lambda learnt, at, seed: KernelPrior.fit(learnt, at, bandwidths=widths)

    fits = {"kernel": kernel_of(Bandwidths(40, never, never, 5)), "sharp": kernel_of(Bandwidths(1, never, never, 1))}
    report = held_out_places(taxa, places, fits, title="traps", seeds=3)
    overall, kernel = (report.rows("priors", held_out="cells", method=name)[0] for name in ("overall shares", "kernel"))
    assert kernel["nll"] < overall["nll"] - 0.1
    sharp, leaky = (report.rows("priors", held_out=how, method="sharp")[0] for how in ("cells", "rows"))
    assert leaky["top_1"] > 0.95 and sharp["top_1"] < 0.8
    assert kernel["top_1_low"] < kernel["top_1"] < kernel["top_1_high"] and kernel["seeds"] == 3
    squares = cells(places.latitude, places.longitude)
    test = held_out(squares, 0, 0.2)
    prior = fits["kernel"](taxa[~test], places.take(~test), 0)
    own = np.array([prior.taxa.index(taxon) for taxon in taxa[test]])
    nll = -np.log(prior.shares(places.take(test))[np.arange(test.sum()), own]).mean()
    assert report.rows("seeds", held_out="cells", method="kernel", seed=0)[0]["nll"] == pytest.approx(nll)
    told = " ".join(report.caveats)
    assert "By held-out rows sharp seems right in" in told and "where people collected" in told
    assert report.rows("against", held_out="cells", method="kernel")[0]["nll"] == pytest.approx(
        np.average([row["nll"] for row in report.rows("seeds", held_out="cells", method="kernel")]) - overall["nll"], abs=0.02
    )
    html = report.html(tmp_path / "place.html").read_text()
    assert "Cells and rows, side by side" in html and "it misled" in html


def test_what_cannot_be_held_out_is_told() -> None:
    taxa, places = traps()
    with pytest.raises(BiocosmosError, match="lie in one cell"):
        held_out_places(taxa[:EACH], places.take(slice(0, EACH)), {}, title="one")
    with pytest.raises(BiocosmosError, match="of one taxon"):
        held_out_places(np.full(len(taxa), "a", object), places, {}, title="one")


def test_the_command_compares_ways(tmp_path: Path) -> None:
    taxa, places = traps()
    collection = bc.Collection.create(tmp_path / "traps.cosmos")
    more = {"latitude": places.latitude, "longitude": places.longitude}
    dates = [f"2026-{1 + int(day) // 31:02d}-{1 + int(day) % 28:02d}" for day in places.day]
    families = [taxon.split("/")[1] for taxon in taxa]
    ids = [f"s{i}" for i in range(len(taxa))]
    collection.add(pa.table({"id": ids, "text": ["x"] * len(ids), "family": families, "date": dates, **more}))
    report = evaluate_collection(collection, protocol="place", place_method="kernel", place_seeds=1, place_least=20)
    assert [row["method"] for row in report.rows("priors", held_out="cells")] == ["overall shares", "kernel"]
    assert report.rows("against", held_out="cells", method="kernel", against="overall shares")
    with pytest.raises(BiocosmosError, match="lower --place-least"):
        evaluate_collection(collection, protocol="place", place_least=1000)
    with pytest.raises(SettingError, match="--encoder does nothing"):
        evaluate_collection(collection, protocol="place", encoder=("kmer:6",))
