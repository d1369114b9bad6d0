"""Outliers from known images: two taxa each, the first one's background, the same for the same generator, no seams to see."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.near_boundary import near_boundary
from biocosmos.train.batches.outliers import ALONE, KINDS, Outliers, make, pairs

SIDE = 64


@pytest.fixture(scope="module")
def images(sample_table: pa.Table) -> torch.Tensor:
    """24 real specimens, padded to squares."""
    prepare = Preprocessing(size=SIDE, resize="pad")
    return torch.stack([prepare.read(data) for data in sample_table["image"].slice(0, 24).to_pylist()])


TARGETS = torch.arange(24) // 4


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def square(top: int, left: int, height: int, width: int, value: int = 40) -> torch.Tensor:
    image = torch.full((3, SIDE, SIDE), 240, dtype=torch.uint8)
    image[:, top : top + height, left : left + width] = value
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_outliers_have_two_taxa_and_come_again_from_the_same_generator(images: torch.Tensor, kind: str) -> None:
    before = images.clone()
    made, parents = make(kind, images, TARGETS, seeded(1), 40)
    assert made.shape == (40, 3, SIDE, SIDE) and made.dtype == torch.uint8 and parents.shape == (40, 2)
    first, second = TARGETS[parents].T
    assert (first == second).all() if kind in ALONE else (first != second).all()
    again, _ = make(kind, images, TARGETS, seeded(1), 40)
    assert torch.equal(made, again) and torch.equal(images, before)
    assert not torch.equal(made, make(kind, images, TARGETS, seeded(2), 40)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_an_outlier_is_none_of_its_parents_but_looks_like_an_image_of_its_kind(images: torch.Tensor, kind: str) -> None:
    made, parents = make(kind, images, TARGETS, seeded(0), 48)
    changed = (made.int() - images[parents[:, 0]].int()).abs().float().mean((1, 2, 3))
    assert (changed > 1).float().mean() > 0.9
    # as light, and with as much in it, as real ones
    assert abs(made.float().mean() - images.float().mean()) < 12
    assert 0.6 < made.float().std((1, 2, 3)).mean() / images.float().std((1, 2, 3)).mean() < 1.4


def test_halves_are_the_first_on_one_side_and_the_second_in_the_same_place_on_the_other() -> None:
    long_one, high_one = square(40, 4, 8, 40), square(4, 50, 40, 8, 90)
    pair = torch.stack([long_one, high_one])
    made, parents = make("halves", pair, torch.tensor([0, 1]), seeded(3), 60)
    for image, (first, _) in zip(made, parents.tolist()):
        dark = image[0] < 200
        y, x = np.argwhere(dark.numpy()).mean(0)
        assert abs(y - (43.5 if first == 0 else 23.5)) < 10 and abs(x - (23.5 if first == 0 else 53.5)) < 10
        own = pair[first, 0]
        same = (image[0].int() - own.int()).abs() < 2
        assert same[own == 240].float().mean() > 0.85  # the background stays


@pytest.mark.parametrize("kind", ["halves", "quadrants", "shuffle"])
def test_no_seam_stands_out(images: torch.Tensor, kind: str) -> None:
    """Steps between neighbouring pixels are no steeper than in real images."""
    made, _ = make(kind, images, TARGETS, seeded(0), 64)
    steepest = [
        (batch[..., 1:].float() - batch[..., :-1].float()).abs().flatten(1).quantile(0.999, 1).mean() for batch in (made, images)
    ]
    assert steepest[0] < 1.25 * steepest[1]


def test_shuffling_moves_pixels_and_makes_none(images: torch.Tensor) -> None:
    made, parents = make("shuffle", images, TARGETS, seeded(0), 24)
    for new, old in zip(made, images[parents[:, 0]]):
        assert abs(new.float().mean() - old.float().mean()) < 2
        assert new.min() >= old.min() and new.max() <= old.max()


def test_images_of_outliers_and_of_one_taxon_only_are_not_joined(images: torch.Tensor) -> None:
    some = torch.where(torch.arange(24) % 3 == 0, -1, TARGETS)
    _, parents = make("halves", images, some, seeded(0), 100)
    assert (some[parents] >= 0).all()
    made, parents = make("halves", images, torch.zeros(24, dtype=torch.int64), seeded(0), 10)
    assert made.shape == (0, 3, SIDE, SIDE) and parents.shape == (0, 2)
    assert len(make("spectra", images[:0], some[:0], seeded(0), 10)[0]) == 0


def test_floats_of_any_scale_are_made_alike(images: torch.Tensor) -> None:
    for kind in KINDS:
        made, _ = make(kind, images, TARGETS, seeded(5), 12)
        scaled, _ = make(kind, images.float() / 255 - 0.5, TARGETS, seeded(5), 12)
        assert scaled.dtype == torch.float32
        assert ((scaled + 0.5) * 255 - made.float()).abs().mean() < 1


def test_grey_images_stay_grey_and_are_made_like_coloured_ones(images: torch.Tensor) -> None:
    tinted = images.clone()
    tinted[0, 0, 0, 0] -= 1  # one pixel of colour, and all channels are computed
    for kind in KINDS:
        made, _ = make(kind, images, TARGETS, seeded(5), 12)
        assert torch.equal(made[:, :1].expand_as(made), made)
        assert (made.int() - make(kind, tinted, TARGETS, seeded(5), 12)[0].int()).abs().float().mean() < 0.1


def test_blank_images_do_no_harm() -> None:
    blank = torch.full((4, 3, 32, 32), 255, dtype=torch.uint8)
    for kind in KINDS:
        assert (make(kind, blank, torch.arange(4), seeded(0), 8)[0] == 255).all()


@settings(max_examples=40, deadline=None)
@given(targets=st.lists(st.integers(-1, 4), max_size=20), count=st.integers(0, 50), seed=st.integers(0, 99))
def test_pairs_are_of_different_taxa_and_use_every_image(targets: list[int], count: int, seed: int) -> None:
    got = pairs(torch.tensor(targets, dtype=torch.int64), count, seeded(seed)).tolist()
    known = [row for row, target in enumerate(targets) if target >= 0]
    if len({targets[row] for row in known}) < 2:
        assert got == []
        return
    assert len(got) == count
    assert all(targets[a] != targets[b] and targets[a] >= 0 and targets[b] >= 0 for a, b in got)
    uses = [sum(a == row for a, _ in got) for row in known]
    assert max(uses) - min(uses) <= 1


def test_seconds_are_any_image_of_another_taxon_alike() -> None:
    targets = torch.tensor([0, 1, 1, 1, 2, 2])
    got = pairs(targets, 20_000, seeded(0))
    of_zero = got[got[:, 0] == 0, 1].bincount(minlength=6).float()
    assert of_zero[0] == 0 and (of_zero[1:] / of_zero.sum() - 0.2).abs().max() < 0.04


def test_kinds_take_turns_and_unknown_ones_are_refused(images: torch.Tensor) -> None:
    made, parents = Outliers(("halves", "shuffle")).make(images, TARGETS, seeded(0), 7)
    assert len(made) == len(parents) == 7
    assert (parents[:4, 0] != parents[:4, 1]).all() and (parents[4:, 0] == parents[4:, 1]).all()
    for kinds in (("fish",), ()):
        with pytest.raises(BiocosmosError, match="choose among halves"):
            Outliers(kinds)
    with pytest.raises(BiocosmosError, match="choose among halves"):
        make("adversarial", images, TARGETS, seeded(0), 1)


def test_near_boundary_examples_are_where_a_model_hesitates_between_two_taxa(images: torch.Tensor) -> None:
    """A model that goes by the nearest of six images: what is changed was one of them, and is scored as two."""
    some = images[::4].float()

    def scores(x: torch.Tensor) -> torch.Tensor:
        return -0.03 * ((x[:, None] - some) / 255).square().sum((2, 3, 4))

    targets = torch.arange(len(some))
    made, parents = near_boundary(images[::4], targets, scores, seeded(0), 12, steps=8, reach=0.3)
    assert made.shape == (12, 3, SIDE, SIDE) and made.dtype == torch.uint8
    before, after = scores(some[parents[:, 0]]).softmax(1), scores(made.float()).softmax(1)
    assert (before.argmax(1) == parents[:, 0]).all()
    assert after.amax(1).mean() < before.amax(1).mean() - 0.1
    assert (after.gather(1, parents[:, 1:]) > before.gather(1, parents[:, 1:])).float().mean() > 0.9
    change = made.float() - some[parents[:, 0]]
    assert change.abs().max() <= 0.3 * 255 + 1
    steps = (change[..., 1:] - change[..., :-1]).abs().mean()
    assert steps < 0.4 * change.abs().mean()  # smooth: no pixel is changed alone
    assert torch.equal(made, near_boundary(images[::4], targets, scores, seeded(0), 12, steps=8, reach=0.3)[0])
    assert len(near_boundary(images, torch.zeros(24), scores, seeded(0), 3)[0]) == 0
