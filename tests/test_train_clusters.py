"""Cluster labels: of the training part only, contiguous, the same for the same specimens; what their audit says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.train.clusters import ClusterLabels, cluster_labels, taxon_labels
from biocosmos.train.views import mean_of_views, vectors_of_views, view

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
    with pytest.raises(
        BiocosmosError, match=f"cannot make 5,000 clusters.* only {count} images in part .*at most"
    ):
        cluster_labels(embedded, clusters=5000)
    assert cluster_labels(embedded, clusters=1).count == 1


def test_nothing_held_out_is_ever_labelled(embedded: bc.Collection, labels: ClusterLabels) -> None:
    for part in ("test", "val", "default:test"):
        with pytest.raises(BiocosmosError, match="held out"):
            cluster_labels(embedded, clusters=4, split=part)
    labels.refuse_held_out(embedded.split())
    stranger = embedded.split().part("test").to_pylist()[0]
    ids = labels.ids.copy()
    ids[5] = stranger
    mixed = ClusterLabels(ids, labels.labels, labels.near, labels.centroids)
    with pytest.raises(BiocosmosError, match=rf"1 of {len(ids)} labelled ids.*{stranger} is in part 'test'"):
        mixed.refuse_held_out(embedded.split())
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
    import torch

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
def captioned(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> bc.Collection:
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
    collection.make_split("random", fractions={"train": 1.0})
    return collection
