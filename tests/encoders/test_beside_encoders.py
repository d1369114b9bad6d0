"""Sounds through a CLAP model and satellite images through an encoder of images: tiny random models of the real classes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.encoders.beside import sounds
from biocosmos.encoders.beside.encoder import FileEncoder, load_file_encoder
from biocosmos.encoders.beside.features import clap_features
from biocosmos.encoders.beside.projected import save_projected_files
from biocosmos.encoders.beside.sounds import SoundError, read_sound
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
from biocosmos.nn.projection import Projection
from tiny_clap import song, tiny_clap

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clap(tmp_path_factory.mktemp("models") / "clap")


def test_features_are_those_of_the_published_extractor_with_the_middle_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = transformers.ClapFeatureExtractor(max_length_s=1)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(np.random, "choice", lambda third: third[len(third) // 2])
    monkeypatch.setattr(np.random, "randint", lambda low, high: high // 2)
    for samples in (9_000, 48_000, 48_100, 120_000):
        wave = rng.normal(0, 0.1, samples).astype(np.float32)
        for fused, truncation in ((True, "fusion"), (False, "rand_trunc")):
            told = extractor(wave, truncation=truncation, sampling_rate=48_000)
            found, longer = clap_features(extractor, wave, fused)
            np.testing.assert_allclose(found, np.asarray(told["input_features"][0], np.float32), atol=1e-3)
            assert longer == (samples > (48_100 if fused else 48_000))


def test_a_clap_folder_is_an_encoder_of_sounds_that_never_changes_its_mind(clap: Path, tmp_path: Path) -> None:
    encoder = load_file_encoder(str(clap))
    assert isinstance(encoder, FileEncoder) and modality_of(str(clap)) == modality_of(f"audio:{clap}") == "audio"
    short, long = song(tmp_path / "short.wav", 1.5), song(tmp_path / "long.wav", 12, pitch=900)
    vectors, why = encoder.encode_paths([str(short), str(long)])
    assert why == {} and vectors.shape == (2, 12) and np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    again, _ = encoder.encode_paths([str(long)])
    assert again[0] == pytest.approx(vectors[1], abs=1e-5)
    model = transformers.ClapAudioModelWithProjection.from_pretrained(clap).eval()
    told = transformers.ClapFeatureExtractor.from_pretrained(clap)(
        read_sound(short, 48_000), sampling_rate=48_000, return_tensors="pt"
    )
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(model(**told).audio_embeds, dim=1)[0]
    assert vectors[0] == pytest.approx(wanted.numpy(), abs=1e-4)
    assert load_file_encoder(f"audio:{clap}").digest == encoder.digest
    with pytest.raises(BiocosmosError, match="takes sounds, and images are asked for"):
        load_encoder(str(clap))


def test_sounds_are_read_alike_with_and_without_soundfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stereo = song(tmp_path / "stereo.wav", 0.5, rate=22_050, channels=2)
    rng = np.random.default_rng(0)
    for name, values in (("f", rng.normal(0, 0.1, 999).astype(np.float32)), ("u", rng.integers(0, 255, 999).astype(np.uint8))):
        wavfile.write(tmp_path / f"{name}.wav", 48_000, values)
    paths = [stereo, tmp_path / "f.wav", tmp_path / "u.wav"]
    with_it = [read_sound(path, 48_000) for path in paths]
    assert abs(len(with_it[0]) - 24_000) <= 1
    monkeypatch.setitem(sys.modules, "soundfile", None)
    for path, wanted in zip(paths, with_it):
        np.testing.assert_allclose(read_sound(path, 48_000), wanted, atol=1e-6)
    with pytest.raises(SoundError, match="only WAV is read without soundfile"):
        (tmp_path / "a.mp3").write_bytes(b"ID3")
        read_sound(tmp_path / "a.mp3", 48_000)


def test_resampling_keeps_a_tone() -> None:
    time = np.arange(44_100) / 44_100
    found = sounds.resampled(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 44_100, 48_000)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    assert len(found) == 48_000 and np.abs(found - wanted)[500:-500].max() < 2e-3


def test_files_that_give_no_sound_say_why(clap: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound")
    wavfile.write(tmp_path / "none.wav", 48_000, np.zeros(0, np.int16))
    wavfile.write(tmp_path / "nan.wav", 48_000, np.full(100, np.nan, np.float32))
    names = [str(tmp_path / name) for name in ("empty.wav", "text.wav", "none.wav", "nan.wav", "missing.wav", "")]
    vectors, why = load_file_encoder(str(clap)).encode_paths([*names, str(song(tmp_path / "good.wav", 0.2))])
    assert vectors.any(axis=1).tolist() == [False] * 6 + [True] and sorted(why) == list(range(6))
    for row, said in ((0, "the file is empty"), (1, "cannot be read as a sound"), (2, "no samples"), (3, "no number")):
        assert said in why[row] and "\n" not in why[row]


def test_a_damaged_clap_folder_is_refused_in_a_line(clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BiocosmosError, match="holds no CLAP model"):
        load_file_encoder(f"audio:{tmp_path}")
    with pytest.raises(BiocosmosError, match="names no encoder"):
        load_file_encoder("audio:")
    (tmp_path / "config.json").write_text((clap / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BiocosmosError, match="cannot read the CLAP model"):
        load_file_encoder(str(tmp_path))
    with pytest.raises(BiocosmosError, match="compute in float32"):
        load_file_encoder(str(clap), precision="bfloat16")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BiocosmosError, match=r"pip install 'biocosmos\[audio\]'"):
        load_file_encoder(str(clap))


def test_columns_of_sounds_and_satellite_images(clap: Path, tmp_path: Path) -> None:
    rows = simulate_barcodes(seed=1, species=3, specimens=6)
    (tmp_path / "data" / "beside").mkdir(parents=True)
    for row in range(3):
        song(tmp_path / "data" / "beside" / f"{row}.wav", 0.3, pitch=300 + 200 * row)
        Image.new("RGB", (40, 30), (80 * row, 120, 30)).save(tmp_path / "data" / "beside" / f"{row}.png")
    (tmp_path / "data" / "beside" / "4.wav").write_text("broken")
    audio = [*(f"beside/{row}.wav" for row in range(3)), None, "beside/4.wav", "beside/5.wav"]
    satellite = [*(f"beside/{row}.png" for row in range(3)), "beside/3.png", None, None]
    table = rows.append_column("audio_path", [audio]).append_column("satellite_path", [satellite])
    from biocosmos.tables import write_table

    write_table(table, tmp_path / "data" / "all.csv")
    collection = bc.Collection.create(tmp_path / "mine.cosmos")
    collection.add(bc.read(tmp_path / "data" / "all.csv"))
    done = bc.embed(collection, f"audio:{clap}")
    assert (done.images, done.failed, done.without_image, done.unit) == (3, 2, 1, "sounds")
    reasons = " ".join(done.failures.table()["reason"].to_pylist())
    assert "cannot be read as a sound" in reasons and "there is no such file" in reasons
    done = bc.embed(collection, "satellite:new:vit_tiny_patch8_96", precision="float32")
    assert (done.images, done.failed, done.without_image, done.lacking) == (3, 1, 2, "a satellite image")
    facts = collection.encoders["satellite:new:vit_tiny_patch8_96"]
    assert facts["modality"] == "satellite" and "resize" in facts["preprocessing"]
    image = load_encoder("new:vit_tiny_patch8_96", precision="float32")
    wanted, _ = image.encode_files([tmp_path / "data" / "beside" / "1.png"])
    ids, vectors = collection.vectors("satellite:new:vit_tiny_patch8_96")
    assert vectors[list(ids).index(rows["id"][1].as_py())] == pytest.approx(wanted[0], abs=1e-5)


def test_a_projection_over_a_file_encoder_is_a_folder(clap: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = load_file_encoder(f"audio:{clap}")
    projection = Projection(12, 5)
    digest = save_projected_files(tmp_path / "run" / "audio", base, projection, training={})
    name = f"{tmp_path}/run/audio"
    encoder = load_file_encoder(name)
    assert (encoder.digest, encoder.dim, modality_of(name)) == (digest, 5, "audio")
    path = str(song(tmp_path / "a.wav", 0.2))
    vectors, why = encoder.encode_paths([path, "nowhere.wav"])
    rows, _ = base.encode_paths([path])
    wanted = torch.nn.functional.normalize(projection.cpu()(torch.from_numpy(rows)), dim=1)[0].detach().numpy()
    assert vectors[0] == pytest.approx(wanted, abs=1e-5) and not vectors[1].any() and list(why) == [1]
    satellite = load_file_encoder("satellite:new:vit_tiny_patch8_96")
    save_projected_files(tmp_path / "run" / "satellite", satellite, Projection(satellite.dim, 5), training={})
    assert modality_of(f"{tmp_path}/run/satellite") == "satellite"
