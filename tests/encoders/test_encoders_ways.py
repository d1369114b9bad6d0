"""auto, fast and by name: which way an encoder is computed, how that is chosen, and that a killed job keeps to it."""

import numpy as np
import pytest
import torch
from torch import nn

import biocosmos as bc
from biocosmos import machine
from biocosmos.embed import embedding, parts, run
from biocosmos.encoders import ways
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import build_encoder, load_encoder
from biocosmos.encoders.towers import Towers, weights_digest
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

SIZE = 32


def net():
    """A small network of two convolutions, whose maps may lie either way."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 24, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Towers(model.eval(), Preprocessing(size=SIZE), weights_digest(model.state_dict()))


pytestmark = pytest.mark.usefixtures("nothing_remembered")


def takes(monkeypatch, **seconds):
    """Say what each way takes, in place of timing it; a name's underscores stand for hyphens."""
    said = {name.replace("_", "-"): value for name, value in seconds.items()}
    monkeypatch.setattr(machine, "_timed", lambda candidates, *_: {name: said[name] for name in candidates if name in said})


def test_auto_keeps_the_numbers_of_float32_and_says_what_that_costs(monkeypatch):
    takes(monkeypatch, torch_float32=4.0, torch_float32_contiguous=3.0, torch_bfloat16=1.0, torch_bfloat16_contiguous=2.0)
    encoder = build_encoder("net", net(), device="cpu", backend="torch", measure=True)
    assert (encoder.precision, encoder.layout, encoder.backend) == ("float32", "contiguous", "torch")
    assert encoder.hint == "bfloat16 would be 3.0 times as fast here: --precision fast"
    assert encoder.chosen["source"] == "measured" and encoder.chosen["milliseconds per image"]["torch-float32"] == 1000.0
    assert encoder.metadata()["chosen"] == encoder.chosen
    fast = build_encoder("net", net(), device="cpu", backend="torch", precision="fast")
    assert (fast.precision, fast.layout, fast.hint) == ("bfloat16", "channels last", None)


def test_fast_is_float32_where_bfloat16_loses_or_does_not_agree(monkeypatch):
    takes(monkeypatch, torch_float32=1.0, torch_float32_contiguous=2.0, torch_bfloat16=1.5, torch_bfloat16_contiguous=2.5)
    assert build_encoder("net", net(), device="cpu", backend="torch", precision="fast").precision == "float32"
    machine.forget()
    machine.memory_file().unlink()
    takes(monkeypatch, torch_float32=1.0, torch_float32_contiguous=2.0, torch_bfloat16=0.1, torch_bfloat16_contiguous=0.2)
    monkeypatch.setattr(ways, "_agrees", lambda *_: False)
    assert build_encoder("net", net(), device="cpu", backend="torch", precision="fast").precision == "float32"


def test_a_real_measurement_is_remembered_and_all_ways_agree():
    first = build_encoder("net", net(), device="cpu", backend="torch", measure=True)
    assert first.precision == "float32" and first.chosen["source"] == "measured"
    assert {"torch-float32", "torch-float32-contiguous"} <= set(first.chosen["milliseconds per image"])
    machine.forget()
    again = build_encoder("net", net(), device="cpu", backend="torch", measure=True)
    assert again.chosen["source"] == "remembered" and again.layout == first.layout
    images = torch.randint(0, 255, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    exact = first.encode_images(images)
    for precision in ("float32", "bfloat16"):
        for layout in ("channels last", "contiguous"):
            towers = net()
            before = {name: tensor.clone() for name, tensor in towers.image.state_dict().items()}
            other = build_encoder("net", towers, device="cpu", precision=precision, backend="torch", layout=layout)
            assert (other.encode_images(images) * exact).sum(1).min() > 0.999
            for name, tensor in towers.image.state_dict().items():  # what was given stays as it was
                assert tensor.dtype == torch.float32 and torch.equal(tensor, before[name])


def test_the_environment_answers_auto_and_nothing_else(monkeypatch):
    monkeypatch.setenv(machine.CHOOSE, "precision=bfloat16")
    assert build_encoder("net", net(), device="cpu").precision == "bfloat16"
    assert build_encoder("net", net(), device="cpu", precision="float32").precision == "float32"
    with pytest.raises(BiocosmosError, match="precision 'half' is not known: choose auto, fast"):
        build_encoder("net", net(), device="cpu", precision="half")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_embedding_goes_on_in_the_way_it_was_begun_to_the_same_bytes(tiny_collection, monkeypatch, precision):
    """Whatever the machine would choose by then: in both precisions."""
    monkeypatch.setenv(machine.CHOOSE, f"precision={precision}")
    monkeypatch.setattr(run, "PART_ROWS", 64)
    monkeypatch.setattr(embedding, "PART_ROWS", 64)
    monkeypatch.setattr(embedding, "WORTH_TIMING", 1)
    slow = {"torch_float32": 9.0, "torch_bfloat16": 9.0}
    takes(monkeypatch, **slow, torch_float32_contiguous=1.0, torch_bfloat16_contiguous=1.0)
    save, saved = parts.Part.save, []

    def dies(self, path):
        save(self, path)
        saved.append(path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(parts.Part, "save", dies)
        with pytest.raises(Killed):
            bc.embed(tiny_collection, "efficientnet-lite0", device="cpu", backend="torch")
    machine.forget()
    machine.memory_file().unlink(missing_ok=True)
    takes(monkeypatch, torch_float32=1.0, torch_bfloat16=1.0, torch_float32_contiguous=9.0, torch_bfloat16_contiguous=9.0)
    summary = bc.embed(tiny_collection, "efficientnet-lite0", device="cpu", backend="torch")
    assert summary.resumed == 64 and summary.images == 120
    facts = tiny_collection.encoders["efficientnet-lite0"]
    assert (facts["precision"], facts["layout"], facts["chosen"]["source"]) == (precision, "contiguous", "measured")
    column = tiny_collection.embedding_column("efficientnet-lite0")
    stored = np.array(tiny_collection.dataset.to_table(columns=[column]).column(0).to_pylist(), np.float32)
    towers = load_encoder(device="cpu")._towers
    whole = build_encoder("whole", towers, device="cpu", precision=precision, backend="torch", layout="contiguous")
    bc.embed(tiny_collection, whole)
    column = tiny_collection.embedding_column("whole")
    unkilled = np.array(tiny_collection.dataset.to_table(columns=[column]).column(0).to_pylist(), np.float32)
    assert stored.tobytes() == unkilled.tobytes()


def test_rows_added_later_are_computed_as_the_column_was(tiny_collection, sample_table):
    bc.embed(tiny_collection, "efficientnet-lite0", device="cpu", precision="bfloat16", backend="torch")
    more = sample_table.slice(120, 6)
    tiny_collection.add(Source("more", "sample", more.to_batches(), SAMPLE_RANKS), pack=True)
    summary = bc.embed(tiny_collection, "efficientnet-lite0", device="cpu")
    assert (summary.kept, summary.images, summary.computed_with) == (120, 6, "bfloat16 by torch on cpu")
    facts = tiny_collection.encoders["efficientnet-lite0"]
    assert (facts["precision"], facts["backend"], facts["layout"]) == ("bfloat16", "torch", "channels last")
