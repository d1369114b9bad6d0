"""What an encoder is shown of individuals, and that killed work goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import correlate1d

from biocosmos.embed.parts import Work
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.sequences import Boxes, Frames
from biocosmos.sequences.difficulty import Measuring, looking
from biocosmos.sequences.difficulty.given import GivenFeatures
from biocosmos.sequences.difficulty.looking import AsReleased, Looking, look
from biocosmos.sequences.difficulty.pictures import blurred, blurred_around, crops, normalised

NOISE = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)


@pytest.mark.parametrize(("size", "sigma"), [(201, 38.0), (7, 1.5), (1, 3.0)])
def test_a_frame_is_blurred_as_a_gaussian_mirrored_at_its_edges_says(size: int, sigma: float) -> None:
    at = np.arange(size) - size // 2
    kernel = np.exp(-(at**2) / (2 * sigma**2))
    wanted = NOISE.astype(float)
    for axis in (0, 1):  # "mirror" is reflection without the edge twice
        wanted = correlate1d(wanted, kernel / kernel.sum(), axis=axis, mode="mirror")
    assert np.abs(blurred(NOISE, size, sigma).astype(float) - wanted).max() <= 0.501


def test_the_box_stays_sharp_and_the_rest_is_blurred() -> None:
    picture = next(blurred_around(NOISE, np.array([[10.9, 5.2, 20.9, 8.7]]), 21, 4.0))
    soft = blurred(NOISE, 21, 4.0)
    np.testing.assert_array_equal(picture[5:13, 10:30], NOISE[5:13, 10:30])
    soft[5:13, 10:30] = NOISE[5:13, 10:30]
    np.testing.assert_array_equal(picture, soft)


def test_crops_hold_every_pixel_that_is_touched() -> None:
    inside, none = crops(NOISE, np.array([[10.9, 5.2, 20.9, 8.7], [200, 5, 9, 9]]))
    np.testing.assert_array_equal(inside, NOISE[5:14, 10:32])
    assert none is None


def test_pixels_are_normalised_as_torchvision_does() -> None:
    found = normalised(NOISE)
    assert found.shape == (3, 40, 61) and found.dtype == np.float32
    assert found[1, 3, 7] == pytest.approx((NOISE[3, 7, 1] / 255 - 0.456) / 0.224, abs=1e-6)


class Mean:
    """An encoder: the mean colour of what it sees."""

    dim = 3

    def __init__(self) -> None:
        self.calls = 0

    def prepare(self, image):
        return torch.from_numpy(image.pixels.reshape(-1, 3).mean(axis=0).astype(np.float32))

    def encode_images(self, batch):
        self.calls += 1
        return batch.numpy()


def sequence(folder: Path, frames: int = 6, missing: int | None = None, write: bool = True) -> Boxes:
    """Two boxes a frame; each picture is of one colour but for a bright box."""
    files = []
    for i in range(frames):
        pixels = np.full((30, 40, 3), 10 + i, np.uint8)
        pixels[5:15, 5:15] = 200
        file = folder / f"{i + 1:06d}.png"
        if write and i != missing:
            Image.fromarray(pixels).save(file)
        files.append(str(file))
    found = Frames(np.arange(1, frames + 1), np.arange(float(frames)), tuple(files), 40, 30, 1.0)
    box = np.tile([[5.0, 5, 10, 10], [20, 10, 10, 10]], (frames, 1))
    track = np.array(["a", "b"] * frames, object)
    return Boxes("night", found, np.repeat(np.arange(frames), 2), box, track)


def test_every_box_is_looked_at_and_a_missing_picture_is_told(tmp_path: Path) -> None:
    boxes, failures = sequence(tmp_path, missing=2), Failures()
    vectors = look(Measuring().prepared(boxes), boxes.frames, Looking(Mean()), failures=failures)
    assert vectors.shape == (12, 3)
    np.testing.assert_allclose(vectors[0::2][[0, 1, 3, 4, 5]], 200)
    np.testing.assert_allclose(vectors[1::2][[0, 1, 3, 4, 5], 0], [10, 11, 13, 14, 15])
    assert np.isnan(vectors[4:6]).all()
    assert [row.id for row in failures] == ["night frame 3"]


def test_a_network_of_any_size_sees_whole_frames_and_one_of_one_size_is_refused(tmp_path: Path) -> None:
    from types import SimpleNamespace

    boxes = sequence(tmp_path)
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    whole = AsReleased("net", SimpleNamespace(whole=pooled, dim=3))  # type: ignore[arg-type]
    vectors = look(Measuring().prepared(boxes), boxes.frames, Looking(whole, "release", (5, 1.0)), failures=Failures())
    frame = np.full((30, 40, 3), 10, np.uint8)
    frame[5:15, 5:15] = 200
    shown = next(blurred_around(frame, boxes.box[:1], 5, 1.0))
    assert vectors[0, 0] == pytest.approx((shown[..., 0].mean() / 255 - 0.485) / 0.229, abs=1e-4)
    fixed = AsReleased("fixed", SimpleNamespace(whole=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 3)), dim=3))  # type: ignore[arg-type]
    with pytest.raises(BiocosmosError, match="does not take whole frames of 40 x 30 pixels"):
        look(Measuring().prepared(boxes), boxes.frames, Looking(fixed, "release", (5, 1.0)), failures=Failures())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_difficulty_looks import Mean, Measuring, Looking, Failures, Work, look, looking, sequence
looking.BLOCK = 4
class Dies(Mean):
    def encode_images(self, batch):
        if self.calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(batch)
boxes = sequence(Path({folder!r}), write=False)
look(Measuring().prepared(boxes), boxes.frames, Looking(Dies()), failures=Failures(), work=Work(Path({work!r})))
"""


def test_killed_and_run_again_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, work = sequence(tmp_path), tmp_path / "work"
    work.mkdir()
    script = KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path), work=str(work))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(work.glob("*.part"))) == 2
    monkeypatch.setattr(looking, "BLOCK", 4)
    encoder = Mean()
    kept = Measuring().prepared(boxes)
    vectors = look(kept, boxes.frames, Looking(encoder), failures=Failures(), work=Work(work))
    assert encoder.calls == 1  # of three blocks two were there
    np.testing.assert_array_equal(vectors, look(kept, boxes.frames, Looking(Mean()), failures=Failures()))
    Image.new("RGB", (40, 30), (90, 90, 90)).save(tmp_path / "000001.png")  # another picture is looked at again
    changed = look(kept, boxes.frames, Looking(encoder), failures=Failures(), work=Work(work))
    assert encoder.calls == 2 and changed[0, 0] == 90


def test_given_vectors_are_those_of_the_sequence(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", frame=[1, 2], id=[0, 0], feat=np.eye(2))
    assert GivenFeatures(tmp_path / "one.npz").of("any", only=True) is not None
    assert GivenFeatures(tmp_path / "one.npz").of("any", only=False) is None
    np.savez(tmp_path / "lame.npz", **{"a/frame": [1], "a/id": [0]})
    with pytest.raises(BiocosmosError, match="no array 'a/feat'"):
        GivenFeatures(tmp_path / "lame.npz")
    (tmp_path / "none.npz").write_text("no zip")
    with pytest.raises(BiocosmosError, match="of vectors"):
        GivenFeatures(tmp_path / "none.npz")
    np.savez(tmp_path / "short.npz", frame=[1], id=[0, 1], feat=np.eye(2))
    with pytest.raises(BiocosmosError, match="need a frame, an individual and a vector each"):
        GivenFeatures(tmp_path / "short.npz").of("", only=True)


def test_damaged_vectors_are_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, frame=np.arange(90), id=np.arange(90) % 7, feat=np.random.default_rng(0).normal(size=(90, 8)))
    content = whole.read_bytes()
    assert GivenFeatures(whole).of("", only=True) is not None
    for at in range(0, len(content), 97):
        (tmp_path / "damaged.npz").write_bytes(
            content[:at] + bytes(each ^ 255 for each in content[at : at + 9]) + content[at + 9 :]
        )
        try:
            GivenFeatures(tmp_path / "damaged.npz").of("", only=True)
        except BiocosmosError as error:
            assert "\n" not in str(error)
