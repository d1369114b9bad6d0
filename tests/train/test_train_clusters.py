"""Cluster labels: of the training part only, contiguous, the same for the same specimens; what their audit says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import biocosmos as bc
from biocosmos.encoders.views import view
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import guard
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.specimens.splits import Split
from biocosmos.train.batches.views import mean_of_views, vectors_of_views
from biocosmos.train.unicom.audit import audit
from biocosmos.train.unicom.clusters import cluster_labels, taxon_labels
from biocosmos.train.unicom.labels import ClusterLabels
from tiny_clip import save_tiny_clip

ENCODER = "efficientnet-lite0"


@pytest.fixture(scope="module")
def labels(embedded: bc.Collection) -> ClusterLabels:
    return cluster_labels(embedded, clusters=20, seed=3)


def test_every_training_specimen_and_no_other_gets_one_of_contiguous_classes(
    embedded: bc.Collection, labels: ClusterLabels
) -> None:
    assert labels.ids.tolist() == sorted(embedded.split().part("train").to_pylist())
    assert set(labels.labels.tolist()) == set(range(labels.count))
    assert labels.sizes().sum() == len(labels)
    assert labels.labels.dtype == np.int32
    assert labels.facts["split"]["hash"] == embedded.split().hash


def test_a_label_is_the_nearest_centroid_and_mlcd_gets_the_next_ones(embedded: bc.Collection, labels: ClusterLabels) -> None:
    gallery = embedded.gallery(ENCODER, split="train")
    vector_of = dict(zip(gallery.ids.tolist(), gallery.vectors))
    for id_, near in zip(labels.ids, labels.nearest(5)):
        likeness = labels.centroids @ vector_of[id_]
        assert np.allclose(np.sort(likeness)[::-1][:5], likeness[near], atol=1e-5)
    assert (labels.nearest(5)[:, 0] == labels.labels).all()
    assert (np.diff(np.sort(labels.nearest(8), axis=1)) > 0).all(), "no class twice"
    with pytest.raises(BiocosmosError, match="its 17 nearest of 20 clusters"):
        labels.nearest(17)


def test_the_order_and_the_names_of_specimens_do_not_steer_the_clusters(
    embedded: bc.Collection, labels: ClusterLabels, tmp_path: Path
) -> None:
    table = embedded.table(["id", "image", "label"]).take(np.random.default_rng(0).permutation(300))
    other = bc.Collection.create(tmp_path / "turned.cosmos")
    other.add(Source("turned", "sample", table.to_batches(), ("label",)), pack=True)
    other.save_split(embedded.split())
    gallery = embedded.gallery(ENCODER)
    vector_of = dict(zip(gallery.ids.tolist(), gallery.vectors))
    rows = np.stack([vector_of[id_] for id_ in other.table(["id"])["id"].to_pylist()])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    other.add_vectors(ENCODER, embedded.encoders[ENCODER], iter([flat]))
    assert cluster_labels(other, clusters=20, seed=3).digest == labels.digest
    assert cluster_labels(other, clusters=20, seed=4).digest != labels.digest


def test_labels_are_saved_whole(labels: ClusterLabels, tmp_path: Path) -> None:
    path = labels.save(tmp_path / "labels.parquet")
    again = ClusterLabels.load(path)
    assert again.digest == labels.digest and again.facts == labels.facts
    assert (again.near == labels.near).all() and (again.centroids == labels.centroids).all()
    assert again.rows_of([labels.ids[7], "nobody"]).tolist() == [7, -1]
    (tmp_path / "labels.centroids.npy").unlink()
    with pytest.raises(BiocosmosError, match="make them again"):
        ClusterLabels.load(path)


def test_more_clusters_than_images_is_refused_with_both_numbers(embedded: bc.Collection) -> None:
    count = embedded.count(split="train")
    with pytest.raises(BiocosmosError, match=f"cannot make 5,000 clusters.* only {count} images in part .*at most"):
        cluster_labels(embedded, clusters=5000)
    assert cluster_labels(embedded, clusters=1).count == 1


def test_nothing_held_out_is_ever_labelled(embedded: bc.Collection, labels: ClusterLabels) -> None:
    for part in ("test", "val", "default:test"):
        with pytest.raises(BiocosmosError, match="held out"):
            cluster_labels(embedded, clusters=4, split=part)
    guard.refuse_outside(labels.ids, embedded.split(), "train", "labelled ids")
    stranger = embedded.split().part("test").to_pylist()[0]
    ids = labels.ids.copy()
    ids[5] = stranger
    with pytest.raises(BiocosmosError, match=rf"1 of {len(ids)} labelled ids.*{stranger} is in part 'test'"):
        guard.refuse_outside(ids, embedded.split(), "train", "labelled ids")
    with pytest.raises(BiocosmosError, match="number them anew"):
        ClusterLabels(labels.ids, labels.labels + 1, labels.near, labels.centroids)


def test_the_supervised_reference_has_the_true_taxa_as_classes(embedded: bc.Collection) -> None:
    taxa = taxon_labels(embedded, rank="label")
    truth = dict(zip(*[embedded.table(["id", "label"])[name].to_pylist() for name in ("id", "label")]))
    assert taxa.names is not None
    assert all(taxa.names[label].endswith(truth[id_]) for id_, label in zip(taxa.ids, taxa.labels))
    assert taxa.count == len({truth[id_] for id_ in taxa.ids})
    assert taxa.nearest(2).shape == (len(taxa), 2)


def test_the_eight_views_are_the_symmetries_of_a_square(embedded: bc.Collection) -> None:
    image = torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3)
    seen = {view(image, number).numpy().tobytes() for number in range(8)}
    assert len(seen) == 8 and view(image, 0).equal(image)
    ids = sorted(embedded.split().part("train").to_pylist())[:3]
    read, vectors = vectors_of_views(embedded, ENCODER, ids, (0, 1))
    stored = embedded.gallery(ENCODER)
    own = np.stack([stored.vectors[stored.ids.tolist().index(id_)] for id_ in ids])
    assert read.tolist() == ids and (vectors[:, 0] * own).sum(1).min() > 0.99
    _, mean = mean_of_views(embedded, ENCODER, ids, 2)
    by_hand = vectors[:, 0] + vectors[:, 1]
    assert np.allclose(mean, by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True), atol=1e-5)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random open_clip model that embeds images and texts in one space."""
    config = {
        "model_cfg": {
            "embed_dim": 12,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
            "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    return str(save_tiny_clip(tmp_path_factory.mktemp("clip"), config=config))


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table, tiny_clip: str) -> bc.Collection:
    """60 specimens, every second one with a caption, and every sixth of them naming the specimen."""
    table = sample_table.slice(0, 60)

    def caption(row: int, names: Sequence[str]) -> str | None:
        if row % 2:
            return None
        return f"A picture of {names[row].replace('_', ' ').upper()}." if row % 6 == 0 else f"something {row % 5} in water"

    labels = table["label"].to_pylist()
    table = table.append_column("text", pa.array([caption(row, labels) for row in range(60)]))
    collection = bc.Collection.create(tmp_path_factory.mktemp("captions") / "captions.cosmos")
    collection.add(Source("captions", "sample", table.to_batches(), SAMPLE_RANKS), pack=True)
    parts = pa.array(["train"] * 60)
    collection.save_split(Split("default", "column", 0, {}, pa.array(sorted(table["id"].to_pylist())), parts))
    wordless = sorted(id_ for id_, text in zip(table["id"].to_pylist(), table["text"].to_pylist()) if text is None)
    collection.save_split(Split("none", "column", 0, {}, pa.array(wordless), parts[:30]))
    bc.embed(collection, tiny_clip)
    bc.embed(collection, ENCODER)
    return collection


def test_the_audit_counts_what_a_naive_count_gives(embedded: bc.Collection, labels: ClusterLabels, tmp_path: Path) -> None:
    found = audit(embedded, labels)
    table = embedded.table(["id", "label", "phylum"])
    for rank in ("label", "phylum"):
        name_of = dict(zip(table["id"].to_pylist(), table[rank].to_pylist()))
        members = [[name_of[id_] for id_ in labels.ids[labels.labels == c] if name_of[id_]] for c in range(labels.count)]
        right = sum(max((names.count(name) for name in names), default=0) for names in members)
        row = next(row for row in found.tables["agreement"].to_pylist() if row["rank"] == rank)
        assert row["labelled"] == sum(map(len, members))
        assert row["purity"] == pytest.approx(right / row["labelled"])
        for cluster in found.tables["clusters"].to_pylist():
            names = members[cluster["cluster"]]
            assert cluster[rank] in names if names else cluster[rank] is None
    sizes = found.tables["sizes"].to_pylist()
    assert sum(row["clusters"] for row in sizes) == labels.count
    assert sum(row["specimens_in_them"] for row in sizes) == len(labels)
    folder = found.write(tmp_path / "audit")
    assert "adjusted mutual information" in (folder / "audit.txt").read_text()
    taxa = audit(embedded, taxon_labels(embedded, rank="label"))
    same = next(row for row in taxa.tables["agreement"].to_pylist() if row["rank"] == "label")
    assert same["purity"] == 1 and same["ami"] == pytest.approx(1)


def test_the_audit_warns_of_lone_specimens_and_of_copies_in_held_out_parts(
    embedded: bc.Collection, sample_table: pa.Table, tmp_path: Path
) -> None:
    many = cluster_labels(embedded, clusters=150)
    assert any("have a single specimen" in warning for warning in audit(embedded, many).warnings)
    table = sample_table.slice(0, 10)
    twin = pa.array([f"twin-{row}" for row in range(10)])
    collection = bc.Collection.create(tmp_path / "twins.cosmos")
    both = pa.concat_tables([table, table.set_column(0, "id", twin)])
    both = both.append_column("part", pa.array(["train"] * 10 + ["test"] * 10))
    collection.add(Source("twins", "sample", both.to_batches(), SAMPLE_RANKS), pack=True)
    collection.save_split(collection.make_split("column", column="part"))
    bc.embed(collection, ENCODER)
    warnings = audit(collection, cluster_labels(collection, clusters=2)).warnings
    assert any("10 images of part 'test' are byte-identical to a training image" in warning for warning in warnings)


def test_captions_that_name_their_specimen_are_told(captioned: bc.Collection, tiny_clip: str) -> None:
    texts = cluster_labels(captioned, clusters=4, source="text", text_encoder=tiny_clip)
    assert len(texts) == 30 and texts.facts["left_out"] == {"without text": 30}
    found = audit(captioned, texts)
    told = found.tables["captions"].to_pylist()[-1]
    assert (told["captions"], told["naming"]) == (30, 10)
    assert "33% of the captions name their own specimen's taxon" in " ".join(found.warnings)
    images = audit(captioned, cluster_labels(captioned, clusters=4, encoder=tiny_clip))
    assert "captions" not in images.tables and not any("captions" in warning for warning in images.warnings)


def test_image_and_text_are_averaged_in_one_space_and_laid_side_by_side_in_two(captioned: bc.Collection, tiny_clip: str) -> None:
    joint = cluster_labels(captioned, clusters=4, source="joint", encoder=tiny_clip)
    dim = captioned.encoders[tiny_clip]["dim"]
    assert joint.facts["joined"] == "mean of unit vectors" and joint.centroids.shape[1] == dim
    assert joint.facts["left_out"] == {"without a vector": 0, "without text": 30}
    gallery = captioned.gallery(tiny_clip)
    text_of = dict(zip(*[captioned.table(["id", "text"])[name].to_pylist() for name in ("id", "text")]))
    both = gallery.vectors + bc.load_encoder(tiny_clip).encode_texts([text_of[id_] or "" for id_ in gallery.ids])
    rows = [gallery.ids.tolist().index(id_) for id_ in joint.ids]
    unit = both[rows] / np.linalg.norm(both[rows], axis=1, keepdims=True)
    assert ((unit @ joint.centroids.T).argmax(1) == joint.labels).all()
    apart = cluster_labels(captioned, clusters=4, source="joint", encoder=ENCODER, text_encoder=tiny_clip)
    assert apart.facts["joined"] == "concatenation" and apart.centroids.shape[1] == 1280 + dim
    with pytest.raises(BiocosmosError, match="no text tower"):
        cluster_labels(captioned, clusters=4, source="text", text_encoder=ENCODER)
    with pytest.raises(BiocosmosError, match="has a text in this part"):
        cluster_labels(captioned, clusters=4, source="text", text_encoder=tiny_clip, split="none:train")
