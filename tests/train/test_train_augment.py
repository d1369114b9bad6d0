"""Augmentation: the same views from the same generator, exact where the change is exact, nothing invented beyond the image."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.augment import PLANKTON, PRESETS, Augment, preset


@pytest.fixture(scope="module")
def images(sample_table: pa.Table) -> torch.Tensor:
    """24 real specimens, padded to squares of 48 pixels."""
    prepare = Preprocessing(size=48, resize="pad")
    return torch.stack([prepare.read(data) for data in sample_table["image"].slice(0, 24).to_pylist()])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive(image: np.ndarray, inverse: np.ndarray, background: np.ndarray) -> np.ndarray:
    """One image sampled bilinearly at ``inverse`` (2 x 3, pixel units about the middle) of every pixel, one pixel at a time."""
    side = image.shape[1]
    out = np.empty_like(image, dtype=float)
    for row in range(side):
        for column in range(side):
            middle = (side - 1) / 2
            x, y = inverse @ np.array([column - middle, row - middle, 1.0]) + middle
            left, top = math.floor(x), math.floor(y)
            total = np.zeros(3)
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(x - (left + dx))) * (1 - abs(y - (top + dy)))
                beyond = not (0 <= left + dx < side and 0 <= top + dy < side)
                total += weight * (background if beyond else image[:, top + dy, left + dx])
            out[:, row, column] = total
    return out


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_generator_gives_the_same_views(images: torch.Tensor, name: str) -> None:
    augment = preset(name)
    generator = seeded(1)
    state = generator.get_state()
    first, second = augment(images, generator), augment(images, generator)
    assert first.dtype == torch.uint8 and first.shape == images.shape
    generator.set_state(state)
    assert torch.equal(augment(images, generator), first)
    assert torch.equal(augment(images, generator), second)
    assert torch.equal(first, second) == (name == "none")


def test_none_changes_nothing_and_draws_as_many_numbers_as_any_other(images: torch.Tensor) -> None:
    plain, turned = seeded(3), seeded(3)
    assert torch.equal(preset("none")(images, plain), images)
    PLANKTON(images, turned)
    assert torch.equal(plain.get_state(), turned.get_state())


def test_the_input_is_left_alone_and_an_empty_batch_stays_empty(images: torch.Tensor) -> None:
    before = images.clone()
    PRESETS["photo"](images, seeded(0))
    assert torch.equal(images, before)
    assert PLANKTON(images[:0], seeded(0)).shape == (0, 3, 48, 48)


def test_mirrors_are_exact_and_about_half_of_the_images_are_mirrored(images: torch.Tensor) -> None:
    many = images.repeat(10, 1, 1, 1)
    across = Augment(horizontal_flip=True)(many, seeded(0))
    mirrored = [torch.equal(new, old.flip(2)) for new, old in zip(across, many)]
    assert all(was or torch.equal(new, old) for was, new, old in zip(mirrored, across, many))
    assert 0.4 < np.mean(mirrored) < 0.6
    down = Augment(vertical_flip=True)(many, seeded(0))
    assert all(torch.equal(new, old) or torch.equal(new, old.flip(1)) for new, old in zip(down, many))


@settings(max_examples=12, deadline=None)
@given(rotation=st.floats(0, 180), zoom=st.floats(0.6, 1.6), shift=st.floats(0, 0.3), seed=st.integers(0, 2**31))
def test_turn_zoom_and_shift_are_one_bilinear_sampling(
    images: torch.Tensor, rotation: float, zoom: float, shift: float, seed: int
) -> None:
    batch = images[:2, :, ::2, ::2]
    side = batch.shape[-1]
    got = Augment(rotation=rotation, zoom=(zoom, zoom), shift=shift)(batch, seeded(seed))
    draws = torch.rand(2, 17, generator=seeded(seed), dtype=torch.float64).numpy()
    for image, new, draw in zip(batch.numpy(), got.numpy(), draws):
        angle = math.radians(rotation) * (2 * draw[0] - 1)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / zoom
        move = side * shift * (2 * draw[5:7] - 1)
        border = np.concatenate([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], 1)
        background = np.sort(border, 1)[:, (border.shape[1] - 1) // 2]
        expected = naive(image, np.column_stack([turn, move]), background.astype(float))
        assert np.abs(new - expected).max() < 1  # rounding, and float32 coordinates


def test_a_turned_specimen_is_not_smeared_beyond_its_image(images: torch.Tensor) -> None:
    """A dark image with a light border: what appears in the corners is the border's colour, or the repeated edge if asked for."""
    image = torch.full((1, 3, 32, 32), 20, dtype=torch.uint8)
    image[:, :, :, :2] = image[:, :, :, -2:] = image[:, :, :2] = 230
    shrunk = Augment(zoom=(0.5, 0.5))(image, seeded(0))
    assert (shrunk[:, :, :7] == 230).all()
    streaked = images.clone()
    streaked[:, :, 0] = 9
    assert (Augment(zoom=(0.5, 0.5), fill="edge")(streaked, seeded(0))[:, :, :11, 24] == 9).all()


def test_light_and_erasing_stay_within_what_was_asked(images: torch.Tensor) -> None:
    lit = Augment(brightness=0.1)(images, seeded(0)).int() - images.int()
    assert 0 < lit.abs().max() <= math.ceil(25.5)
    flat = torch.full((40, 3, 32, 32), 100, dtype=torch.uint8)
    assert torch.equal(Augment(contrast=0.5)(flat, seeded(0)), flat)  # nothing but background: no contrast to change
    flat[:, :, 1:-1, 1:-1] = 50
    changed = (Augment(erase=0.5, erase_side=0.4)(flat, seeded(0)) != flat).any(1).flatten(1).sum(1)
    assert 0.25 < (changed > 0).float().mean() < 0.75
    assert changed.max() <= (0.4 * 32 + 1) ** 2


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"zoom": (1.2, 0.8)}, {"rotation": 270}, {"shift": 2}, {"fill": "mirror"}, {"stretch": -1}):
        with pytest.raises(BiocosmosError) as refused:
            Augment(**bad)  # type: ignore[arg-type]
        assert next(iter(bad)) in str(refused.value)
    with pytest.raises(BiocosmosError, match="choose none, plankton, photo"):
        preset("fish")
    assert PLANKTON.replaced(rotation=None, shift=0.2).shift == 0.2


def test_a_random_crop_shows_a_share_of_the_area_anywhere(images: torch.Tensor) -> None:
    """CLIBD's preset with square boxes alone: 8 to 100 % of the area, as torchvision's RandomResizedCrop draws them.

    The image is a slope in x (red) and in y (green), so that the outermost pixels of a view tell the box that it shows.
    """
    side, views = 200, 400
    slope = torch.arange(side, dtype=torch.float32) * (255 / side)
    image = torch.stack([slope.expand(side, side), slope[:, None].expand(side, side), torch.zeros(side, side)]).round()
    augment = PRESETS["clibd"].replaced(rotation=0.0, horizontal_flip=False, vertical_flip=False, stretch=0.0)
    seen = augment(image.to(torch.uint8).expand(views, -1, -1, -1), seeded(3)).float() / 255
    across, down = seen[:, 0, side // 2], seen[:, 1, :, side // 2]
    left, right, top, bottom = across[:, 0], across[:, -1], down[:, 0], down[:, -1]
    torch.testing.assert_close(right - left, bottom - top, atol=0.02, rtol=0)
    area = (right - left) * (bottom - top)
    assert float(area.min()) > 0.06 and float(area.mean()) == pytest.approx(0.54, abs=0.04)
    small = area < 0.5
    for first, last in ((left, right), (top, bottom)):
        room = (first / (1 - (last - first)))[small]
        assert float(room.min()) > -0.03 and float(room.max()) < 1.03 and float(room.mean()) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"crop": (0.0, 1.0)}, "crop must"),
        ({"crop": (0.5, 1.2)}, "crop must"),
        ({"crop": (0.5, 1.0), "shift": 0.1}, "leave zoom"),
    ],
)
def test_a_crop_that_cannot_be_is_refused(more: dict[str, object], words: str) -> None:
    with pytest.raises(BiocosmosError, match=words):
        Augment(**more)  # type: ignore[arg-type]
