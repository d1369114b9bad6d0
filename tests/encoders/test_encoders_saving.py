"""Trained encoders are saved, opened again by every road, and refused when something is not as it was."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import biocosmos as bc
from biocosmos.encoders.agreement import check_agreement
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.interpolation import interpolated
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import build_encoder, load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import current_digest, trainable, with_projection, with_weights
from biocosmos.errors import BiocosmosError
from biocosmos.nn.projection import Projection
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.tables import file_stem
from tiny_clip import save_tiny_clip

torch.set_num_threads(1)
DEFAULT = "efficientnet-lite0"
SIZE = 32


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    """A folder of a tiny random vision transformer, 160 pixels, as timm saves it."""
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(1)
    timm.models.save_for_hf(timm.create_model("test_vit", num_classes=5), folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def convnet(tmp_path_factory):
    """A folder of a tiny random convolutional network at 32 pixels, as this package saves it."""
    folder = tmp_path_factory.mktemp("bases") / "convnet"
    torch.manual_seed(2)
    source = tmp_path_factory.mktemp("source")
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=5), source, safe_serialization=True)
    towers = load_towers(str(source))
    save_encoder(folder, towers, base=str(source), preprocessing=towers.preprocessing.replaced(size=SIZE))
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A folder of a tiny random open_clip model, image and texts."""
    return save_tiny_clip(tmp_path_factory.mktemp("clip"), seed=3)


def trained(towers, step=0.05):
    """Move the weights as training would: one step of a loss on random images, batch statistics included."""
    torch.manual_seed(4)
    size = towers.preprocessing.size
    module = trainable(towers)
    assert module.training
    module(torch.randn(4, 3, size, size)).square().mean().backward()
    torch.optim.SGD([weight for weight in module.parameters() if weight.grad is not None], step).step()
    module.zero_grad()
    return module


def pixels(size, count=3):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def vectors_of(towers, batch):
    """What an encoder must give, written out."""
    p = towers.preprocessing
    x = (batch / 255 - torch.tensor(p.mean)[:, None, None]) / torch.tensor(p.std)[:, None, None]
    with torch.no_grad():
        features = towers.image.eval()(x)
        if towers.projection is not None:
            features = towers.projection.eval()(features)
    return (features / features.norm(dim=1, keepdim=True)).numpy()


def png(seed=0):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


# ------------------------------------------------------------------------------------------------------ the projection


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("dim_out", [12, 20, 5])
def test_a_projection_starts_as_an_isometry_or_with_orthonormal_rows(dim_out, hidden):
    projection = Projection(12, dim_out, hidden=hidden)
    x = torch.randn(9, 12)
    unit = x / x.norm(dim=1, keepdim=True)
    y = projection(x).detach()
    if dim_out >= 12:
        torch.testing.assert_close(y @ y.T, unit @ unit.T)
    else:
        rows = projection.linear.weight.detach()
        torch.testing.assert_close(rows @ rows.T, torch.eye(dim_out))
        torch.testing.assert_close(y, unit @ rows.T)
    projection(x).sum().backward()
    assert all(weight.grad is not None for weight in projection.parameters())
    again = Projection(**json.loads(json.dumps(projection.settings())))
    again.load_state_dict(projection.state_dict())
    torch.testing.assert_close(again(x), projection(x))


def test_a_projection_without_dimensions_is_refused():
    for wrong in ({"dim_out": 0}, {"hidden": 0}):
        with pytest.raises(BiocosmosError, match="give at least 1"):
            Projection(4, **wrong)


# ------------------------------------------------------------------------------------------------------ save and load


def test_the_default_trained_at_96_pixels_with_a_projection(tmp_path):
    base = load_towers(DEFAULT)
    towers = replace(with_projection(base, Projection(base.features(), 64)), preprocessing=base.preprocessing.replaced(size=96))
    trained(towers)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text("epoch\n")
    facts = {
        "what": "Trained by margins.",
        "split hash": "abc123",
        "settings": {"epochs": 2},
        "metrics": [{"epoch": 1, "recall@1": 0.51}],
    }
    digest = save_encoder(tmp_path / "run", towers, base=DEFAULT, training=facts)
    encoder = load_encoder(f"{tmp_path}/run/", device="cpu", precision="float32")
    assert encoder.name == f"{tmp_path}/run" and encoder.digest == digest != base.digest
    assert (encoder.dim, encoder.preprocessing.size, encoder.preprocessing.resize) == (64, 96, "pad")
    np.testing.assert_allclose(encoder.encode_images(pixels(96)), vectors_of(towers, pixels(96)), atol=1e-5)
    assert (tmp_path / "run" / "log.csv").exists()
    card = (tmp_path / "run" / "README.md").read_text()
    for said in ("license: apache-2.0", "Trained by margins.", "abc123", "| epochs | 2 |", "| 1 | 0.51 |", "56ec6cdc2b8e8b2f"):
        assert said in card
    facts = load_towers(str(tmp_path / "run")).facts
    assert (
        facts["base"]["name"] == DEFAULT
        and facts["base"]["digest"] == base.digest
        and facts["training"]["split hash"] == "abc123"
    )
    theirs = timm.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True).eval()  # timm alone, without the projection
    assert timm.data.resolve_data_config(model=theirs)["input_size"] == [3, 96, 96]
    torch.testing.assert_close(theirs(torch.ones(1, 3, 96, 96)), towers.image.eval()(torch.ones(1, 3, 96, 96)))


def test_open_clip_opens_what_was_trained_and_texts_are_as_before(clip, tmp_path):
    base, towers = load_towers(str(clip)), load_towers(str(clip))
    module = trained(towers)
    assert not any("token_embedding" in name for name in module.state_dict())
    save_encoder(tmp_path / "run", towers, base=str(clip))
    encoder = load_encoder(str(tmp_path / "run"), device="cpu", precision="float32")
    np.testing.assert_allclose(encoder.encode_images(pixels(32)), vectors_of(towers, pixels(32)), atol=1e-5)
    assert np.abs(encoder.encode_images(pixels(32)) - vectors_of(base, pixels(32))).max() > 1e-3
    np.testing.assert_array_equal(encoder.encode_texts(["a fly"]), build_encoder("b", base).encode_texts(["a fly"]))
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'run'}")
    with torch.inference_mode():
        image = model.eval().encode_image(transform(Image.open(io.BytesIO(png())))[None], normalize=True).numpy()
    assert (encoder.encode_files([png()])[0] @ image.T).item() > 0.999
    save_encoder(tmp_path / "projected", towers, base=str(clip), projection=Projection(16, 8))
    with pytest.raises(BiocosmosError, match="texts do not live in its space"):
        load_encoder(str(tmp_path / "projected")).encode_texts(["a fly"])


@pytest.mark.parametrize(("name", "size"), [("vit", 96), ("clip", 48)])
def test_a_vision_transformer_at_another_size(name, size, tmp_path, request):
    folder = request.getfixturevalue(name)
    towers = at_size(load_towers(str(folder)), size)
    assert towers.features() == load_towers(str(folder)).features()
    trained(towers)
    save_encoder(tmp_path / "run", towers, base=str(folder))
    encoder = load_encoder(str(tmp_path / "run"), device="cpu", precision="float32")
    assert encoder.preprocessing.size == size
    np.testing.assert_allclose(encoder.encode_images(pixels(size)), vectors_of(towers, pixels(size)), atol=1e-5)
    library = timm if name == "vit" else open_clip
    library.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=name == "vit" or None)
    if name == "vit":  # open_clip leaves the pixels over that make no whole patch
        with pytest.raises(BiocosmosError, match=f"cannot take images of {size + 3} x {size + 3} pixels"):
            at_size(load_towers(str(folder)), size + 3)
    with pytest.raises(BiocosmosError, match="cannot take images of 8 x 8"):  # the size changed without asking for it
        save_encoder(tmp_path / "no", towers, base=str(folder), preprocessing=towers.preprocessing.replaced(size=8))
    assert not (tmp_path / "no").exists()


def test_an_average_of_the_weights_becomes_an_encoder_of_its_own(convnet):
    towers = load_towers(str(convnet))
    before = current_digest(towers)
    average = torch.optim.swa_utils.AveragedModel(trainable(towers))
    trained(towers)
    copied = with_weights(towers, average.module.state_dict())
    assert copied.digest == before == load_towers(str(convnet)).digest
    assert current_digest(towers) != before
    with pytest.raises(BiocosmosError, match="of another model"):
        with_weights(towers, {"image.x": torch.ones(1)})


def test_training_goes_on_from_a_trained_folder(convnet, tmp_path):
    first = with_projection(load_towers(str(convnet)), Projection(load_towers(str(convnet)).features(), 8))
    save_encoder(tmp_path / "one", first, base=str(convnet))
    again = load_towers(str(tmp_path / "one"))
    trained(again)
    save_encoder(tmp_path / "two", again, base=f"{tmp_path / 'one'}/")
    facts = load_towers(str(tmp_path / "two")).facts
    assert facts["base"]["name"] == str(tmp_path / "one") and facts["base"]["digest"] == load_towers(str(tmp_path / "one")).digest
    with pytest.raises(BiocosmosError, match="has a projection already"):
        with_projection(again, Projection(8, 8))


def test_the_training_example_of_the_page_on_encoders_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8")
    (block,) = [text for text in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "save_encoder" in text]
    monkeypatch.chdir(tmp_path)
    names = {"load_encoder": load_encoder}
    exec(compile(block, "docs/encoders.md", "exec"), names)
    assert load_encoder("run").dim == 128 and load_encoder("run").preprocessing.size == 96


# ------------------------------------------------------------------------------------------------------ a frozen base


def test_a_frozen_base_is_found_by_its_name_and_its_weights_are_checked(convnet, vit, tmp_path):
    home = tmp_path / "here"
    shutil.copytree(convnet, home / "base")
    base = load_towers(str(home / "base"))
    projection = Projection(base.features(), 6, hidden=4)
    digest = save_encoder(home / "run", base, base=str(home / "base") + "/", projection=projection, frozen=True)
    assert sorted(path.name for path in (home / "run").iterdir()) == ["README.md", "biocosmos.json", "projection.safetensors"]
    encoder = load_encoder(str(home / "run"), device="cpu", precision="float32")
    assert encoder.digest == digest and encoder.dim == 6 and encoder.base.digest == base.digest
    own = build_encoder("base", base, device="cpu", precision="float32").encode_images(pixels(SIZE))
    np.testing.assert_allclose(encoder.project(own), encoder.encode_images(pixels(SIZE)), atol=1e-5)
    stacked = save_encoder(
        home / "top", load_towers(str(home / "run")), base=str(home / "run"), projection=Projection(6), frozen=True
    )
    assert load_encoder(str(home / "top")).digest == stacked
    home.rename(tmp_path / "elsewhere")  # both together
    assert load_encoder(str(tmp_path / "elsewhere" / "run")).digest == digest
    shutil.rmtree(tmp_path / "elsewhere" / "base")
    with pytest.raises(BiocosmosError, match=r"is a projection over .*base', which cannot be loaded: .* no such folder"):
        load_encoder(str(tmp_path / "elsewhere" / "run"))
    shutil.copytree(vit, tmp_path / "elsewhere" / "base")
    with pytest.raises(BiocosmosError, match=f"with weights {base.digest}, but here .* has weights"):
        load_encoder(str(tmp_path / "elsewhere" / "run"))


def test_what_cannot_be_saved_says_why(convnet, tmp_path):
    base = load_towers(str(convnet))
    projection = Projection(base.features(), 6)
    with pytest.raises(BiocosmosError, match="saved by its projection: give one"):
        save_encoder(tmp_path / "run", base, base=str(convnet), frozen=True)
    with pytest.raises(BiocosmosError, match="cannot be a projection over itself"):
        save_encoder(convnet, base, base=str(convnet), projection=projection, frozen=True)
    with torch.no_grad():
        projection.linear.weight[0, 0] = float("nan")
    with pytest.raises(BiocosmosError, match=r"linear\.weight hold values that are no number"):
        save_encoder(tmp_path / "run", base, base=str(convnet), projection=projection)
    own = replace(base, architecture={"kind": "none"}, takes_bytes=True)
    with pytest.raises(BiocosmosError, match="cannot be built again from a folder"):
        save_encoder(tmp_path / "run", own, base="python:a:b")
    with pytest.raises(BiocosmosError, match="cannot be trained here"):
        trainable(own)
    (tmp_path / "file").write_text("")
    with pytest.raises(BiocosmosError, match="cannot save the encoder in"):
        save_encoder(tmp_path / "file", base, base=str(convnet))
    assert not (tmp_path / "run").exists()


def grey(batch):
    """(n, 3, h, w) uint8 -> (n, 4): an encoder of the user's own."""
    return torch.nn.functional.adaptive_avg_pool2d(batch.float().mean(1), 2).flatten(1) + 1


def test_a_projection_over_a_callable_of_the_users(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    name = "python:test_encoders_saving:grey"
    save_encoder(tmp_path / "run", load_towers(name), base=name, projection=Projection(4, 3), frozen=True)
    with pytest.raises(
        BiocosmosError, match="import the Python module 'test_encoders_saving' and call its 'grey': nothing was run"
    ):
        load_encoder(str(tmp_path / "run"), device="cpu")
    encoder = load_encoder(str(tmp_path / "run"), device="cpu", allow_code=True)
    own = load_encoder(name, device="cpu").encode_images(pixels(224))
    np.testing.assert_allclose(encoder.encode_images(pixels(224)), encoder.project(own), atol=1e-6)


def test_a_frozen_base_does_not_move(convnet):
    base = load_towers(str(convnet))
    towers = with_projection(base, Projection(base.features(), 6), frozen=str(convnet))
    trained(towers, step=1.0)
    assert current_digest(base) == base.digest and current_digest(towers) != towers.digest


# ------------------------------------------------------------------------------------------------------ damaged folders


def test_a_folder_that_is_not_as_it_was_saved_is_refused(convnet, tmp_path):
    base = load_towers(str(convnet))
    save_encoder(tmp_path / "run", base, base=str(convnet), projection=Projection(base.features(), 4))

    def refuses(reason, change):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(tmp_path / "run", tmp_path / "bad")
        change(tmp_path / "bad")
        with pytest.raises(BiocosmosError, match=reason):
            load_encoder(str(tmp_path / "bad"))

    def nudge(file):
        def change(folder):
            state = {name: tensor.clone() for name, tensor in load_file(folder / file).items()}
            next(tensor for tensor in state.values() if tensor.is_floating_point()).view(-1)[0] += 1e-3
            save_file(state, folder / file)

        return change

    def say(**changes):
        def change(folder):
            facts = json.loads((folder / "biocosmos.json").read_text())
            (folder / "biocosmos.json").write_text(json.dumps({**facts, **changes}))

        return change

    def architecture(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architecture": "test_resnet"}))

    refuses("was changed after it was saved", nudge("model.safetensors"))
    refuses("was changed after it was saved", nudge("projection.safetensors"))
    refuses("lacks model.safetensors", lambda folder: (folder / "model.safetensors").unlink())
    refuses("cannot read .*projection.safetensors", lambda folder: (folder / "projection.safetensors").write_bytes(b"torn"))
    refuses("does not fit the model", architecture)
    refuses("has format 9, this version", say(format=9))
    refuses("not a preprocessing of this version", say(preprocessing={"sise": 3}))
    refuses("is not the description of a trained encoder", lambda folder: (folder / "biocosmos.json").write_text("{"))
    refuses(
        "interrupted before it was whole",
        lambda folder: [path.unlink() for path in folder.iterdir()] and (folder / ".saving.tmp").mkdir(),
    )


def test_a_kill_while_saving_leaves_the_former_encoder_or_the_new_one(convnet, tmp_path, monkeypatch):
    base = load_towers(str(convnet))
    old = save_encoder(tmp_path / "run", base, base=str(convnet), projection=Projection(base.features(), 4))
    torch.manual_seed(9)
    move, left, seen = Path.replace, [0], set()

    def dying(self, target):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return move(self, target)

    for moves in range(7):
        shutil.rmtree(tmp_path / "try", ignore_errors=True)
        shutil.copytree(tmp_path / "run", tmp_path / "try")
        left[0] = moves
        with monkeypatch.context() as killed:
            killed.setattr(Path, "replace", dying)
            try:
                new = save_encoder(tmp_path / "try", base, base=str(convnet))
            except KeyboardInterrupt:
                new = None
        found = load_encoder(str(tmp_path / "try"))
        assert found.digest in (old, base.digest)
        assert (found.digest == old) == (tmp_path / "try" / "projection.safetensors").exists() == (found.dim == 4)
        seen.add((found.digest, new is None))
    assert seen == {(old, True), (base.digest, True), (base.digest, False)}


# ------------------------------------------------------------------------------------------------------ interpolation


@pytest.mark.parametrize("name", ["convnet", "clip"])
def test_interpolated_weights(name, request):
    folder = str(request.getfixturevalue(name))
    base, other = load_towers(folder), load_towers(folder)
    trained(other)
    other = replace(other, digest=current_digest(other))
    half = interpolated(base, other, 0.25)
    states = [towers.image.state_dict() for towers in (base, other, half)]
    for key, mixed in states[2].items():
        expected = states[1][key] if not mixed.is_floating_point() else 0.75 * states[0][key] + 0.25 * states[1][key]
        torch.testing.assert_close(mixed, expected)
    assert len({base.digest, other.digest, half.digest}) == 3
    size = base.preprocessing.size
    for weight, end in ((0, base), (1, other)):
        mixed = interpolated(base, other, weight)
        assert mixed.digest == end.digest
        np.testing.assert_array_equal(vectors_of(mixed, pixels(size)), vectors_of(end, pixels(size)))
    assert build_encoder("half", half).dim == half.features()


def test_what_cannot_be_interpolated(convnet, vit, clip):
    base = load_towers(str(convnet))
    projected = with_projection(base, Projection(base.features(), 4))
    other = with_projection(base, Projection(base.features(), 4))
    np.testing.assert_allclose(
        vectors_of(interpolated(projected, other, 0.5), pixels(SIZE)),
        vectors_of(
            replace(projected, projection=_mean(projected.projection, other.projection)),
            pixels(SIZE),
        ),
        atol=1e-5,
    )
    for one, two, reason in (
        (base, load_towers(str(vit)), "different architectures"),
        (load_towers(str(clip)), base, "different architectures"),
        (base, projected, "only the trained encoder has a projection"),
        (projected, with_projection(base, Projection(base.features(), 5)), "differ in shape"),
        (base, with_projection(base, Projection(base.features(), 4), frozen="x"), "nothing to interpolate"),
    ):
        with pytest.raises(BiocosmosError, match=reason):
            interpolated(one, two, 0.5)
    with pytest.raises(BiocosmosError, match=r"not 1\.5"):
        interpolated(base, base, 1.5)
    resampled = interpolated(load_towers(str(vit)), at_size(load_towers(str(vit)), 96), 0.5)
    assert resampled.preprocessing.size == 96 and resampled.features() == load_towers(str(vit)).features()


def _mean(one, two):
    mixed = Projection(**one.settings())
    mixed.load_state_dict({key: (one.state_dict()[key] + two.state_dict()[key]) / 2 for key in one.state_dict()})
    return mixed


# ------------------------------------------------------------------------------------------------------ collections


def test_a_frozen_projection_is_embedded_from_its_bases_column(tiny_collection, sample_table, convnet, tmp_path, monkeypatch):
    base = load_towers(str(convnet))
    (tmp_path / "damaged.png").write_bytes(png())
    row = pa.table({"id": ["damaged"], "image_path": [str(tmp_path / "damaged.png")]})
    tiny_collection.add(Source("bad", "sample", row.to_batches(), ()))
    (tmp_path / "damaged.png").write_bytes(b"no image at all")
    bc.embed(tiny_collection, str(convnet), precision="float32")
    save_encoder(tmp_path / "run", base, base=str(convnet), projection=Projection(base.features(), 6), frozen=True)
    read, opened = Preprocessing.read_with_size, []
    monkeypatch.setattr(
        Preprocessing, "read_with_size", lambda self, source, crop=None: opened.append(source) or read(self, source, crop)
    )
    summary = bc.embed(tiny_collection, f"{tmp_path}/run/", precision="float32")
    assert (summary.images, summary.projected, summary.base, summary.failed) == (120, 120, str(convnet), 1)
    assert len(opened) == 1  # the damaged image is tried again; no other is opened
    facts = tiny_collection.encoders[str(tmp_path / "run")]
    assert facts["computed from"] == f"the vectors of {convnet}" and facts["precision"] == "float32"
    table = tiny_collection.table(["id", tiny_collection.embedding_column(str(tmp_path / "run"))])
    stored = table.column(1).to_pylist()
    assert [vector is None for vector in stored] == [False] * 120 + [True]
    monkeypatch.undo()
    encoder = load_encoder(str(tmp_path / "run"), precision="float32")
    images = [tiny_collection.image_bytes(id_) for id_ in table.column(0).to_pylist()[:20]]
    np.testing.assert_allclose(encoder.encode_files(images)[0], np.array(stored[:20]), atol=1e-5)
    # later rows have no vector of the base yet: their images are read; vectors of before stay
    tiny_collection.add(Source("more", "sample", sample_table.slice(120, 10).to_batches(), SAMPLE_RANKS), pack=True)
    summary = bc.embed(tiny_collection, str(tmp_path / "run"))
    assert (summary.kept, summary.projected, summary.images) == (120, 0, 10)
    after = tiny_collection.table([tiny_collection.embedding_column(str(tmp_path / "run"))]).column(0).to_pylist()
    assert after[:121] == stored and all(vector is not None for vector in after[121:])
    # and with another way of preparing images the base's vectors are not the right ones
    with pytest.raises(BiocosmosError, match="with preprocessing"):
        bc.embed(tiny_collection, str(tmp_path / "run"), resize="squash")
    assert bc.embed(tiny_collection, str(tmp_path / "run"), resize="squash", overwrite=True).projected == 0


def test_every_command_takes_a_folder_with_and_without_a_slash(tiny_collection, convnet, monkeypatch):
    monkeypatch.chdir(convnet.parent)
    bc.embed(tiny_collection, "./convnet/")
    assert list(tiny_collection.encoders) == ["convnet"]
    assert bc.embed(tiny_collection, "convnet").kept == 120
    for name in ("convnet/", "./convnet", "convnet"):
        assert tiny_collection.gallery(name).vectors.shape[0] == 120


def test_names_that_differ_only_in_punctuation_are_kept_apart(tiny_collection, convnet):
    assert file_stem("a/b") != file_stem("a:b") and file_stem(DEFAULT) == DEFAULT
    assert len(file_stem("é" * 5000).encode()) < 200 and file_stem("a" * 5000) != file_stem("a" * 5001)
    encoder = build_encoder("a/b", load_towers(str(convnet)))
    bc.embed(tiny_collection, encoder)
    encoder.name = "a:b"
    bc.embed(tiny_collection, encoder)
    assert set(tiny_collection.encoders) == {"a/b", "a:b"}
    encoder.name = "a/b"
    bc.embed(tiny_collection, encoder, overwrite=True)
    assert set(tiny_collection.encoders) == {"a/b", "a:b"}


def test_a_column_described_by_a_file_beside_it_as_older_versions_did_is_known(tiny_collection, convnet):
    bc.embed(tiny_collection, build_encoder("net", load_towers(str(convnet))))
    facts = tiny_collection.encoders["net"]
    column = tiny_collection.embedding_column("net")
    tiny_collection.dataset.replace_field_metadata(column, {})
    assert not Collection.open(tiny_collection.path).encoders
    (tiny_collection.path / "embeddings").mkdir(exist_ok=True)
    (tiny_collection.path / "embeddings" / "net.json").write_text(json.dumps(facts))
    assert Collection.open(tiny_collection.path).encoders == {"net": facts}
    bc.embed(tiny_collection, build_encoder("net", load_towers(str(convnet))), overwrite=True)
    assert Collection.open(tiny_collection.path).encoders["net"]["created"] >= facts["created"]


def test_openvino_runs_a_tower_with_its_projection(convnet, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = load_towers(str(convnet))
    save_encoder(tmp_path / "run", base, base=str(convnet), projection=Projection(base.features(), 6, hidden=5))
    encoder = load_encoder(str(tmp_path / "run"), backend="openvino", precision="float32")
    assert encoder.dim == 6 and check_agreement(encoder, pixels(SIZE, 8)).least > 0.9999
