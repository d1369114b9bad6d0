"""What is shown beside an answer: neighbours, the rank where they part, and heat maps that look where they should."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import biocosmos as bc
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.evidence.report import evidence_report
from biocosmos.identify.answers import BestPaths, answer_table
from biocosmos.identify.evidence.gather import HEAT, KINDS, Evidence, first_split, gather, image_reader
from biocosmos.identify.evidence.heat_maps import GRAD_CAM, LAYER_CAM, ROLL_OUT, HeatMapper, overlay
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead, torch_tree
from biocosmos.identify.novelty.odin import odin_scores
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.images import read_image
from biocosmos.nn.heads import make_head
from biocosmos.search.gallery import Gallery
from predictions_sample import example

SIZE = 96
PREPROCESSING = Preprocessing(SIZE, "pad", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PREDICTIONS = example(n=200)
TAXONOMY, CLASSES = PREDICTIONS.taxonomy, PREDICTIONS.classes


def a_head(backbone: nn.Module) -> TrainedHead:
    trunk = Trunk(Towers(backbone.eval(), PREPROCESSING, "0" * 16), taps=1)
    torch.manual_seed(0)
    head = make_head("marginalised", torch_tree(TAXONOMY, CLASSES), trunk.channels[-1:])
    model = HeadModel(trunk, head, PREPROCESSING).eval()
    return SimpleNamespace(  # type: ignore[return-value]
        model=model, preprocessing=PREPROCESSING, device=torch.device("cpu"), wants_sizes=False, classes=CLASSES
    )


@pytest.fixture(scope="module")
def cnn() -> TrainedHead:
    torch.manual_seed(1)
    return a_head(timm.create_model("resnet10t", num_classes=0))


@pytest.mark.parametrize("method", [GRAD_CAM, LAYER_CAM])
def test_heat_maps_are_their_formula(cnn, method) -> None:
    images = torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    leaf, inner = int(CLASSES[2]), TAXONOMY.find("group:copepod")
    nodes = np.array([leaf, inner, 1], np.int32)
    found = HeatMapper(cnn, method)(images, nodes)
    assert found.method == method
    assert found.maps.shape == (3, SIZE, SIZE)

    backbone, kept = cnn.model.trunk.image, []
    hook = backbone.layer3.register_forward_hook(lambda _m, _g, out: kept.append(out))  # 6 x 6 cells; layer4 has 3 x 3
    logits = cnn.model(images).logits
    hook.remove()
    for row, node in enumerate(nodes):
        under = [i for i, c in enumerate(CLASSES) if TAXONOMY.is_ancestor(node, c)]
        slope = torch.autograd.grad(torch.log(torch.exp(logits[row, under]).sum()), kept[0], retain_graph=True)[0][row]
        weights = [g.mean() if method == GRAD_CAM else g.clamp_min(0) for g in slope]
        heat = sum(weight * channel for weight, channel in zip(weights, kept[0][row], strict=True)).clamp_min(0)
        heat = F.interpolate(heat[None, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0].detach().numpy()
        assert np.allclose(found.maps[row], heat / max(heat.max(), 1e-12), atol=1e-3)
    assert all(not part._forward_hooks for part in backbone.modules())


def test_a_method_that_the_model_cannot_serve_is_refused(cnn) -> None:
    with pytest.raises(BiocosmosError, match="no attention over all patches"):
        HeatMapper(cnn, ROLL_OUT)
    with pytest.raises(BiocosmosError, match="choose LayerCAM"):
        HeatMapper(cnn, "lime")


def test_roll_out_is_the_product_of_the_blocks_attention() -> None:
    torch.manual_seed(2)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=SIZE, depth=3)
    head = a_head(vit)
    images = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    found = HeatMapper(head)(images, CLASSES[:2])
    assert found.method == ROLL_OUT

    x, flow = vit._pos_embed(vit.patch_embed(head.model.pixels(images))), torch.eye(37).expand(2, 37, 37)
    for block in vit.blocks:
        q, k, _ = block.attn.qkv(block.norm1(x)).view(2, 37, 3, 3, 64).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) / 8).softmax(-1).mean(1)
        flow = (attention + torch.eye(37)) / 2 @ flow
        x = block(x)
    expected = F.interpolate(flow[:, 0, 1:].view(2, 1, 6, 6), (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
    expected = (expected / expected.amax((1, 2), keepdim=True)).detach().numpy()
    assert np.allclose(found.maps, expected, atol=1e-4)
    assert all(block.attn.fused_attn for block in vit.blocks)  # as it was


def test_odin_works_where_a_head_has_a_backbone_and_is_refused_where_not(cnn, tmp_path) -> None:
    facts = {"frozen": False, "sizes": False, "head": "marginalised", "digest": "d", "encoder": {}, "training": {}}
    facts |= {"preprocessing": {}, "biocosmos": "0"}
    head = TrainedHead(tmp_path, cnn.model, TAXONOMY, CLASSES, PREPROCESSING, facts)
    images = torch.randint(0, 256, (20, 3, SIZE, SIZE), dtype=torch.uint8)
    block = Specimens(np.array([f"s{i}" for i in range(20)], object), images=images, truth=np.full(20, CLASSES[0]))
    plain, found = head.predict(block), head.with_gradient().predict(block)
    np.testing.assert_array_equal(plain.logits, found.logits)
    expected = [odin_scores(lambda x: cnn.model(x).logits, part.float(), step=0.0014 * 255) for part in images.split(16)]
    np.testing.assert_allclose(found.columns["odin"].to_numpy(), torch.cat(expected).numpy(), rtol=1e-5)
    scores = make_detector("odin").fit(found).scores(found)
    np.testing.assert_array_equal(scores, found.columns["odin"].to_numpy())
    with pytest.raises(BiocosmosError, match="stands on stored vectors"):
        TrainedHead(tmp_path, cnn.model, TAXONOMY, CLASSES, PREPROCESSING, {**facts, "frozen": True}).with_gradient()


def test_an_overlay_is_the_image_where_it_is_cold() -> None:
    image = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    heat = np.zeros((20, 20), np.float32)
    heat[:, 10:] = 1
    pixels = read_image(overlay(image, heat)).pixels
    assert np.array_equal(pixels[:, :10], image.permute(1, 2, 0).numpy()[:, :10])
    assert not np.array_equal(pixels[:, 10:], image.permute(1, 2, 0).numpy()[:, 10:])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(-1, len(TAXONOMY) - 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_neighbours_part_at_the_first_rank_where_two_of_them_differ(taxa) -> None:
    found = first_split(np.array(taxa, np.int32), TAXONOMY)
    for row, split in zip(taxa, found):
        expected = -1
        for rank in reversed(range(3)):
            names = {int(TAXONOMY.ancestor(node, rank)) for node in row if node > 0} - {-1}
            expected = rank if len(names) > 1 else expected
        assert split == expected


def answers(novel: np.ndarray) -> tuple[pa.Table, object]:
    nodes, p = PREDICTIONS.best_path()
    gallery = Gallery.build(PREDICTIONS.ids[100:], PREDICTIONS.features[100:], taxa=PREDICTIONS.truth[100:], taxonomy=TAXONOMY)
    hits = gallery.search(PREDICTIONS.features[:100], 20)
    given = BestPaths(
        list(PREDICTIONS.ids[:100]), [None] * 100, nodes[:100], p[:100], 1 - p[:100, 0], np.where(novel, 0.01, 0.5), hits
    )
    return answer_table(given, TAXONOMY, threshold=0.8, false_alarm_rate=0.05, method="m", provenance={}), hits


def test_evidence_says_of_each_answer_what_is_true_of_it(cnn, tmp_path, sample_table) -> None:
    table, hits = answers(np.arange(100) < 9)
    asked = PREDICTIONS.subset(np.arange(100))
    pictures = dict(zip(asked.ids, sample_table["image"].to_pylist()))

    def read(ids):
        return torch.stack([PREPROCESSING.read(pictures[id_]) for id_ in ids]), np.ones(len(ids), np.bool_)

    evidence = gather(table, TAXONOMY, asked.truth, hits, mapper=HeatMapper(cnn), read=read, each=3)
    shown = evidence.shown.to_pylist()
    assert [row["kind"] for row in shown] == sorted((row["kind"] for row in shown), key=KINDS.index)
    assert len({row["id"] for row in shown}) == len(shown) == 15
    again = gather(table, TAXONOMY, asked.truth, hits, each=3).shown.to_pylist()
    assert [row["id"] for row in again] == [row["id"] for row in shown]  # the same draw for the same seed
    for row in shown:
        place = list(asked.ids).index(row["id"])
        truth = TAXONOMY.path(int(asked.truth[place]))
        answer = row["taxon"]
        assert row["right"] is (None if answer is None else answer in truth)
        assert row["truth"] == truth[-1]
        assert (row["kind"] == "wrong") <= (row["right"] is False)
        assert (row["kind"] == "no answer") <= (answer is None)
        near = hits.taxa[place]
        at = [name for rank, name in zip(TAXONOMY.ranks, range(3)) if len({*TAXONOMY.ancestor(near, rank)} - {-1}) > 1]
        assert row["splits_at"] == (TAXONOMY.ranks[at[0]] if at else None)
        for vote in row["votes"]:
            names = [TAXONOMY.name(node) for node in TAXONOMY.ancestor(near, vote["rank"]) if node >= 0]
            assert vote["votes"] == names.count(vote["taxon"])
        assert [found["id"] for found in row["neighbours"]] == list(hits.ids[place, :5])
        assert row["heat_of"] == (answer or row["path"][-1]["taxon"] or row["path"][0]["taxon"])
    splits = evidence.splits.to_pylist()
    assert sum(row["queries"] for row in splits) == 100
    report = evidence_report(evidence)
    page = report.write(tmp_path, thumbnails=evidence.thumbnails(pictures.get)).read_text()
    for heading in ("Where do the neighbours part?", "Wrong", "Flagged as novel", "No answer", "LayerCAM, red"):
        assert heading in page
    assert page.count("data:image/jpeg") >= 2 * len(shown)  # the specimen and its heat map


def test_evidence_without_heat_maps_truth_or_neighbours_says_so(tmp_path) -> None:
    table, _ = answers(np.zeros(100, np.bool_))
    blind = Evidence(**{**vars(gather(table, TAXONOMY, None, None)), "note": "the encoder is not here"})
    assert {row["splits_at"] for row in blind.splits.to_pylist() if row["queries"]} == {None}
    assert not any(row["neighbours"] or row["heat_of"] for row in blind.shown.to_pylist())
    page = evidence_report(blind).write(tmp_path).read_text()
    assert "no heat maps: the encoder is not here" in page
    assert "no neighbours can be shown" in page


def test_images_are_read_from_the_collection_or_from_files(tmp_path, tiny_collection: bc.Collection) -> None:
    ids = tiny_collection.table(["id"])["id"].to_pylist()[:3]
    images, good = image_reader(PREPROCESSING, tiny_collection)([ids[2], ids[0]])
    assert good.tolist() == [True, True]
    file = tmp_path / "one.jpg"
    file.write_bytes(tiny_collection.image_bytes(ids[2]))
    again, good = image_reader(PREPROCESSING)([str(file), str(tmp_path / "two.jpg")])
    assert good.tolist() == [True, False]
    assert torch.equal(again[0], images[0])
    pictures = Evidence(pa.table({}), pa.table({}), 0, 0, heat={str(file): b"map"}).thumbnails(lambda _id: None)
    assert pictures(f"{HEAT}{file}") == b"map"
    assert pictures(str(file)) == file.read_bytes()
    assert pictures("nothing") is None
