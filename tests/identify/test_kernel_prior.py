"""The kernel prior: published values, an oracle written out, what is not known, bandwidths from held-out cells, and combining."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.identify.priors import Bandwidths, KernelPrior, combined, load_prior
from biocosmos.identify.priors.choosing import choose, fit
from biocosmos.identify.priors.combining import inner_as_published
from biocosmos.places import Places, great_circle, on_sphere
from biocosmos.places.kernel import Apart, kernel
from biocosmos.specimens.guard import Fitted, refuse


def places(latitude, longitude, day=None, depth=None):
    n = len(latitude)
    return replace(
        Places.nowhere(n),
        latitude=np.array(latitude, float),
        longitude=np.array(longitude, float),
        day=np.full(n, np.nan) if day is None else np.array(day, float),
        depth=np.full(n, np.nan) if depth is None else np.array(depth, float),
    )


FOUR = places([52, 52.1, 52.5, 51.9], [5, 5.1, 5.6, 4.9], [150, 160, 200, 355])
TAXA = ["a", "a", "b", "c"]


class Counted(KernelPrior):
    """With the overall shares of the published example in place of those of its four specimens."""

    base = np.array([3, 2, 2]) / 7


def published(m):
    fitted = KernelPrior.fit(TAXA, FOUR, bandwidths=Bandwidths(30, 15, float("inf"), m))
    return Counted(fitted.taxa, fitted.taxon, fitted.where, fitted.bandwidths, fitted.learnt)


def test_the_published_values():
    here = places([52.05], [5.05], [155])
    assert published(20).shares(here)[0] == pytest.approx([0.476870, 0.261594, 0.261536], abs=1e-6)
    assert published(1).shares(here)[0] == pytest.approx([0.798978, 0.100734, 0.100288], abs=1e-6)
    assert published(1).shares(places([51.9], [4.9], [3]))[0][2] == pytest.approx(0.574060, abs=1e-6)  # over the new year


def test_it_is_the_sum_over_all_specimens_also_over_the_antimeridian_and_at_the_pole():
    rng = np.random.default_rng(0)
    n = 300
    own = places(
        np.r_[rng.uniform(-20, 20, n), 89.5, 89.9],
        np.r_[rng.uniform(170, 190, n), 0, 170] % 360 - 180,
        rng.uniform(0, 365, n + 2),
    )
    own = replace(own, longitude=(own.longitude + 360) % 360 - 180)
    taxa = [f"t{i}" for i in rng.integers(0, 5, n + 2)]
    prior = KernelPrior.fit(taxa, own, bandwidths=Bandwidths(200, 20, float("inf"), 2))
    asked = places([0, 10, 89.7, -60], [179.9, -179.9, -100, 0], [1, 360, 100, 100])
    base = np.array([taxa.count(f"t{c}") for c in range(5)]) / len(taxa)
    for row, found in enumerate(prior.shares(asked)):
        sums = np.zeros(5)
        for i, taxon in enumerate(taxa):
            d = float(great_circle(asked.latitude[row], asked.longitude[row], own.latitude[i], own.longitude[i]))
            apart = abs(asked.day[row] - own.day[i])
            apart = min(apart, 365.25 - apart)
            sums[int(taxon[1:])] += np.exp(-(d**2) / (2 * 200**2) - apart**2 / (2 * 20**2))
        assert found == pytest.approx((sums + 2 * base) / (sums.sum() + 2), abs=1e-7)
    assert prior.shares(asked)[3] == pytest.approx(base)  # nobody collected there


def test_what_is_not_known_is_not_asked():
    prior = KernelPrior.fit(TAXA, FOUR, bandwidths=Bandwidths(30, 15, float("inf"), 1))
    nothing = prior.shares(Places.nowhere(2))
    assert nothing == pytest.approx(np.tile(prior.base, (2, 1)))
    assert prior.shares(Places.nowhere(0)).shape == (0, 3)
    day_alone = prior.shares(places([np.nan], [np.nan], [200]))[0]
    assert day_alone.argmax() == 1
    place_alone = prior.shares(places([51.9], [4.9]))[0]
    assert place_alone[2] > prior.base[2]
    undated = KernelPrior.fit(TAXA, replace(FOUR, day=np.full(4, np.nan)), bandwidths=Bandwidths(30, 15, float("inf"), 1))
    dated = undated.shares(places([52], [5], [150]))[0]
    assert undated.base[0] < dated[0] < undated.shares(places([52], [5]))[0][0]  # a specimen of any day weighs less, not nothing


def test_depth_tells_taxa_apart():
    own = places([0] * 40, [0] * 40, None, [10] * 20 + [500] * 20)
    own = replace(own, latitude=np.full(40, 1.0))
    prior = KernelPrior.fit(["up"] * 20 + ["down"] * 20, own, bandwidths=Bandwidths(30, 15, 50, 1))
    assert prior.shares(places([1], [0], None, [490]))[0][prior.taxa.index("down")] > 0.9
    assert prior.shares(places([1], [0]))[0] == pytest.approx([0.5, 0.5])


def test_bandwidths_are_those_that_held_out_cells_like():
    rng = np.random.default_rng(1)
    n = 600
    latitude, longitude = rng.uniform(40, 44, n), rng.uniform(0, 4, n)
    side = (longitude > 2).astype(int)
    taxa = [f"{['west', 'east'][s]}" if rng.random() < 0.9 else "east" for s in side]
    own = places(latitude, longitude, rng.uniform(0, 365, n))
    chosen = choose(taxa, own)
    assert 10 <= chosen.bandwidths.kilometres <= 120 and chosen.bandwidths.days >= 30  # the season says nothing here
    assert len(chosen.nll) == len(chosen.tried) and chosen.nll.min() < 0.6
    assert fit(taxa, own).bandwidths == chosen.bandwidths
    assert fit(["a", "b"], places([1, 1], [1, 1], [3, 4])).bandwidths == Bandwidths()
    with pytest.raises(BiocosmosError, match="one cell"):
        choose(["a", "b"], places([1, 1], [1, 1]))


def test_it_is_written_and_read(tmp_path):
    prior = KernelPrior.fit(TAXA, FOUR, ids=np.array(list("wxyz"), object))
    prior.save(tmp_path / "prior")
    again = load_prior(tmp_path / "prior")
    here = places([52.05], [5.05], [155])
    assert again.taxa == prior.taxa and (again.shares(here) == prior.shares(here)).all() and again.learnt.tolist() == list("wxyz")
    (tmp_path / "prior" / "kernel.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(BiocosmosError, match="cannot read a kernel prior"):
        load_prior(tmp_path / "prior")
    with pytest.raises(BiocosmosError, match="holds no prior"):
        load_prior(tmp_path)


def test_what_cannot_be_fitted_is_told():
    with pytest.raises(BiocosmosError, match="no specimen has a place"):
        KernelPrior.fit(["a"], Places.nowhere(1))
    with pytest.raises(BiocosmosError, match="do not go with"):
        KernelPrior.fit(["a"], Places.nowhere(2))
    with pytest.raises(BiocosmosError, match="above 0"):
        Bandwidths(0)


P, G = np.array([[0.5, 0.3, 0.15, 0.05]]), np.array([[0.02, 0.6, 0.9, 0]])


def test_answers_are_combined_as_published():
    assert combined(P, G)[0] == pytest.approx([0.030746, 0.553420, 0.415065, 0.000769], abs=1e-6)
    assert combined(P, G, exponent=0.5)[0] == pytest.approx([0.157510, 0.517631, 0.316983, 0.007876], abs=1e-6)
    members = np.array([[True, True, False, False], [False, False, True, True]])
    assert inner_as_published(P, G, members)[0] == pytest.approx([0.48, 0.18], abs=1e-9)
    whole = combined(P, G)[0]
    assert [whole[:2].sum(), whole[2:].sum()] == pytest.approx([0.584, 0.416], abs=1e-3)


def test_nothing_changes_where_the_place_says_nothing():
    base = np.array([0.4, 0.3, 0.2, 0.1])
    assert combined(P, base[None], base) == pytest.approx(P)
    assert combined(P, np.full((1, 4), np.nan), base) == pytest.approx(P)
    assert combined(P, G, base, exponent=0) == pytest.approx(P)
    assert combined(np.zeros((1, 4)), G).tolist() == [[0, 0, 0, 0]]


def test_what_lies_beyond_six_bandwidths_is_less_than_is_said() -> None:
    """Against the exact sum over all specimens, of which some share a place, a day, or lack one of them."""
    rng = np.random.default_rng(5)
    n = 3000
    numbers = np.stack(
        [
            rng.choice(np.r_[rng.uniform(40, 60, 300), 90, -90], n),
            rng.choice(np.r_[rng.uniform(-30, 30, 300), 180, -180], n),
            np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 365, n) + 0.5),
            np.where(rng.random(n) < 0.3, np.nan, rng.choice([5.0, 20, 200], n)),
        ],
        1,
    )
    numbers[rng.random(n) < 0.1, :2] = np.nan
    taxa = np.array([f"t{i}" for i in rng.integers(0, 12, n)], object)
    asked = numbers[rng.choice(n, 40, replace=False)]
    for widths in (
        Bandwidths(80, 20, 30, 5),
        Bandwidths(2000, float("inf"), 30, 1),
        Bandwidths(float("inf"), 20, float("inf"), 3),
    ):
        prior = KernelPrior.fit(taxa, Places.of_numbers(numbers), bandwidths=widths)
        found = prior.shares(Places.of_numbers(asked))
        for row, here in enumerate(Places.of_numbers(asked[i : i + 1]) for i in range(len(asked))):
            told = here.has_place | here.has_day | np.isfinite(here.depth)
            weights = kernel(here, prior.where, widths)[0] if told[0] else np.zeros(n)
            each = np.bincount(prior.taxon, weights, minlength=12)
            exact = (each + widths.specimens * prior.base) / (each.sum() + widths.specimens)
            assert np.abs(found[row] - exact).sum() < 2 * n * 1.6e-8 / widths.specimens + 1e-12
            apart, inside = Apart.of(here, prior.where), np.ones(n, bool)
            for told, far, width in (
                (here.has_place[0], apart.kilometres[0], widths.kilometres),
                (here.has_day[0], apart.days[0], widths.days),
                (np.isfinite(here.depth[0]), apart.metres[0], widths.metres),
            ):
                if told and np.isfinite(width):
                    inside &= np.nan_to_num(far, nan=np.inf) <= 2 * width
            point = on_sphere(here.latitude, here.longitude)[0]
            near = prior.taxa_near(point, float(here.day[0]), float(here.depth[0]), 2)
            assert sorted(near) == sorted(prior.taxon[inside])


def test_a_kernel_prior_is_an_encoder_of_places(tmp_path: Path) -> None:
    numbers = np.array([[52.0, 5, 150, np.nan], [52.1, 5.1, 160, np.nan], [58, 5.6, 200, np.nan], [58.1, 4.9, 201, np.nan]])
    prior = KernelPrior.fit(["a", "a", "b", "c"], Places.of_numbers(numbers), bandwidths=Bandwidths(specimens=0.1))
    prior.save(tmp_path / "prior")
    assert modality_of(str(tmp_path / "prior")) == "place"
    encoder = load_place_encoder(f"place:{tmp_path / 'prior'}")
    there = Places.of_numbers(np.r_[numbers, [[np.nan, np.nan, 150, np.nan]]])
    vectors = encoder.encode_places(there)
    assert encoder.dim == 3 and np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1, 0], abs=1e-6)
    assert vectors[:4] ** 2 == pytest.approx(prior.shares(there)[:4], abs=1e-6)
    assert vectors[0] @ vectors[1] > 0.99 > vectors[0] @ vectors[2]
    assert load_place_encoder(str(tmp_path / "prior")).digest == encoder.digest
    Fitted.of("the prior", fitted=["x"]).save(tmp_path / "prior")
    with pytest.raises(BiocosmosError, match="trained the prior"):
        refuse(["x"], encoder.name)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("bandwidths", [np.nan, 15, 15, 20], "bandwidths of a kernel prior are above 0"),
        ("where", [[95.0, 5, 150, 0]] * 4, "places that cannot be"),
        ("where", [[52, 5, np.inf, 0]] * 4, "places that cannot be"),
        ("taxa", ["a", "b", "b"], "taxa twice"),
        ("taxon", [0, 0, 0, 2], "do not fit together"),
    ],
)
def test_damaged_numbers_of_a_prior_are_told_with_their_file(tmp_path: Path, name: str, value: list[object], says: str) -> None:
    folder = KernelPrior.fit(TAXA, FOUR).save(tmp_path / "prior")
    stored = dict(np.load(folder / "kernel.npz"))
    np.savez(folder / "kernel.npz", **stored | {name: np.array(value)})
    with pytest.raises(BiocosmosError, match=says) as told:
        load_prior(folder)
    assert str(folder) in str(told.value) and "train place" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.filterwarnings("error")
def test_narrow_bandwidths_warn_nobody() -> None:
    prior = KernelPrior.fit(TAXA, FOUR, bandwidths=Bandwidths(1e-300, 1e-300, 1e-300, 1))
    assert prior.shares(FOUR).sum(1) == pytest.approx(1)
