"""train place: from a collection to a prior of places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.priors import KernelPrior, load_prior
from biocosmos.jobs.train_place import PlaceSettings, train_place
from biocosmos.places import Places
from biocosmos.specimens import guard

N = 240


@pytest.fixture(scope="module")
def flies(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """Two families of which one is caught in the north and one in the south, mostly; some without a genus, name or place."""
    rng = np.random.default_rng(0)
    latitude = rng.uniform(50, 54, N)
    north = np.where(rng.random(N) < 0.9, latitude > 52, latitude <= 52)
    known = np.arange(N) % 10 > 0
    collection = bc.Collection.create(tmp_path_factory.mktemp("flies") / "flies.cosmos")
    collection.add(
        pa.table(
            {
                "id": [f"fly-{i:03d}" for i in range(N)],
                "text": ["caught in a trap"] * N,
                "order": [None if i < 5 else "Diptera" for i in range(N)],
                "family": [None if i < 5 else "Tipulidae" if far else "Culicidae" for i, far in enumerate(north)],
                "genus": [None if i < 5 or i % 2 else "Tipula" if far else "Culex" for i, far in enumerate(north)],
                "latitude": pa.array(latitude, mask=~known),
                "longitude": pa.array(rng.uniform(4, 6, N), mask=~known),
                "date": [f"2026-{1 + i % 12:02d}-11" if there else None for i, there in enumerate(known)],
            }
        )
    )
    collection.make_split("random", seed=1)
    return collection


def test_a_prior_is_fitted_on_a_part_and_says_so(flies: bc.Collection, tmp_path: Path) -> None:
    settings = PlaceSettings(rank="family", split="train", days=60, specimens=5)
    result = train_place(flies, tmp_path / "prior", settings)
    prior = load_prior(tmp_path / "prior")
    assert isinstance(prior, KernelPrior)
    assert prior.taxa == ("Diptera/Culicidae", "Diptera/Tipulidae") and prior.bandwidths.days == 60
    assert prior.bandwidths.specimens == 5 and prior.bandwidths.metres == float("inf")
    north, south = (prior.shares(Places.one(latitude=at, longitude=5))[0] for at in (53.5, 50.5))
    assert north[1] > 0.7 and south[0] > 0.7 and prior.shares(Places.nowhere(1))[0] == pytest.approx(prior.base)
    chosen = result.chosen
    assert chosen is not None and chosen.nll.min() < chosen.base - 0.1 and chosen.left_out == 0
    assert chosen.judged == len(prior.taxon) == result.placed
    train, test = (flies.table(["id"], split=part)["id"].to_pylist() for part in ("train", "test"))
    assert set(prior.learnt) <= set(train)
    guard.refuse(test, tmp_path / "prior")
    with pytest.raises(BiocosmosError, match="trained the prior of places"):
        guard.refuse(train, tmp_path / "prior")


def test_taxa_are_the_deepest_known(flies: bc.Collection, tmp_path: Path) -> None:
    result = train_place(flies, tmp_path / "prior", PlaceSettings(kilometres=50, days=60))
    assert result.prior.taxa == (
        "Diptera/Culicidae",
        "Diptera/Culicidae/Culex",
        "Diptera/Tipulidae",
        "Diptera/Tipulidae/Tipula",
    )
    rows = dict(result.rows())
    labelled = N - 5
    lost = int(rows["left out: neither place nor date"])
    assert lost == sum(i % 10 == 0 for i in range(5, N)) and int(rows["specimens"]) == labelled - lost


def test_what_is_there_is_kept(flies: bc.Collection, tmp_path: Path) -> None:
    settings = PlaceSettings(rank="family", kilometres=50, days=60)
    train_place(flies, tmp_path / "prior", settings)
    with pytest.raises(BiocosmosError, match="exists already"):
        train_place(flies, tmp_path / "prior", settings)
    again = train_place(flies, tmp_path / "prior", PlaceSettings(rank="family", kilometres=70, days=60), overwrite=True)
    assert again.prior.bandwidths.kilometres == 70
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    with pytest.raises(BiocosmosError, match="something else"):
        train_place(flies, tmp_path / "thesis", settings, overwrite=True)
    with pytest.raises(BiocosmosError, match="no folder"):
        train_place(flies, tmp_path / "thesis" / "thesis.tex", settings, overwrite=True)


def test_a_prior_is_not_written_into_a_collection(flies: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match="inside the collection"):
        train_place(flies, flies.path / "prior")


def test_what_cannot_be_learnt_is_told_in_a_line(flies: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="are of one taxon, Diptera"):
        train_place(flies, tmp_path / "prior", PlaceSettings(rank="order"))
    with pytest.raises(BiocosmosError, match=r"no labelled specimen of .* has a place or a date"):
        train_place(flies, tmp_path / "prior", PlaceSettings(where="latitude is null"))
    with pytest.raises(BiocosmosError, match="no specimen is labelled"):
        train_place(flies, tmp_path / "prior", PlaceSettings(where="family is null"))
    assert not (tmp_path / "prior").exists()


def test_one_cell_needs_bandwidths(tmp_path: Path) -> None:
    trap = bc.Collection.create(tmp_path / "trap.cosmos")
    columns = {"latitude": [52.01] * 4, "longitude": [5.01] * 4, "date": ["2026-06-04", "2026-09-04"] * 2}
    trap.add(pa.table({"id": list("abcd"), "text": ["in a trap"] * 4, "family": ["Culicidae", "Tipulidae"] * 2, **columns}))
    with pytest.raises(BiocosmosError, match="give --kilometres and --days"):
        train_place(trap, tmp_path / "prior")
    result = train_place(trap, tmp_path / "prior", PlaceSettings(kilometres=5, days=15, specimens=1))
    june = result.prior.shares(Places.one(latitude=52.01, longitude=5.01, day=154))[0]
    assert result.chosen is None and june[0] > 0.8
