"""discover clusters, as a person runs it: the table that is kept, the page, and what is said where it cannot be."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

import biocosmos as bc
from biocosmos.discover import kept
from biocosmos.discover.clusters import cluster
from biocosmos.jobs.discover.clusters import discover_clusters


@pytest.fixture
def mine(embedded, tmp_path):
    """A collection of 300 embedded images that a test may change."""
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def test_clusters_are_a_table_that_is_kept_and_a_page(mine, biocosmos, tmp_path):
    page, table = tmp_path / "c.html", tmp_path / "c.csv"
    said = biocosmos("discover", "clusters", mine.path, "--method", "ward", "--clusters", 9, "--report", page, "-o", table)
    assert said.splitlines()[0].split("\t")[:2] == ["cluster", "specimens"] and len(said.splitlines()) == 10
    written = pyarrow.csv.read_csv(table)
    there = kept.read_kept(mine, "clusters")
    assert written.column_names == ["id", "cluster", "typicality", "medoid"]
    assert written["id"].to_pylist() == there.table()["id"].to_pylist() and len(written) == 300
    assert written["cluster"].to_pylist() == there.table()["cluster"].to_pylist()
    assert pc.sum(there.table()["medoid"]).as_py() == 9  # one for each
    assert there.provenance["clustering"]["clusters"] == 9
    assert there.provenance["gallery"]["encoder"] == "efficientnet-lite0"
    html = page.read_text()
    assert html.count("data:image/jpeg") >= 9 * 5 and "Cluster 8:" in html and "<svg" in html
    assert not re.search(r"(src|href)=.https?://", html)


def test_the_vectors_alone_make_the_clusters(mine):
    """The same as a call on bare vectors: names and order of the collection play no part."""
    found = discover_clusters(mine, how={"method": "ward", "clusters": 12})
    gallery = mine.gallery("efficientnet-lite0")
    assert np.array_equal(found.clustering.labels, cluster(gallery.vectors, method="ward", clusters=12).labels)
    row = found.report.rows("clusters")[0]
    members = found.table.filter(pc.equal(found.table["cluster"], 0))["id"].to_pylist()
    names = mine.take(members, ["label"])["label"].to_pylist()
    assert row["purity"] == max(names.count(name) for name in names) / len(names)
    assert names.count(row["taxon"]) == max(names.count(name) for name in names)
    assert any("Names were not used" in caveat for caveat in found.report.caveats)


def test_without_names_there_is_nothing_said_of_names(mine):
    ids = mine.table(["id"])["id"]
    mine.change(
        {"id": ids, **{name: pa.nulls(len(ids), pa.string()) for name in ("label", *mine.ranks) if name != "id"}},
        verb="update",
        clear=True,
    )
    found = discover_clusters(mine, how={"method": "kmeans", "clusters": 5})
    assert found.report.table("agreement").num_rows == 0
    assert {row["taxon"] for row in found.report.rows("clusters")} == {None}


def test_the_deepest_taxon_that_nearly_all_share(mine):
    found = discover_clusters(mine, how={"method": "kmeans", "clusters": 1})
    row = found.report.rows("clusters")[0]
    tree, gallery = mine.taxonomy, mine.gallery("efficientnet-lite0")
    shares: dict[tuple[str, str], float] = {}
    lineage = tree.lineage(gallery.taxa[gallery.taxa > 0])
    for i, rank in enumerate(tree.ranks):
        nodes, counts = np.unique(lineage[:, i][lineage[:, i] >= 0], return_counts=True)
        shares |= {(rank, str(tree.names[node])): count / len(lineage) for node, count in zip(nodes, counts)}
    deep = [key for key, share in shares.items() if share >= 0.9]
    assert (row["common_rank"], row["common_taxon"]) == (deep[-1] if deep else (None, None))


def test_a_map_that_took_long_is_made_once(mine, monkeypatch):
    made = []
    real = bc.discover.clusters.spaces.space
    monkeypatch.setattr("biocosmos.jobs.discover.clusters.space", lambda *given: made.append(given) or real(*given))
    how = {"reducer": "tsne", "method": "kmeans", "clusters": 4}
    first = discover_clusters(mine, how=how)
    second = discover_clusters(mine, how={**how, "clusters": 6})
    assert len(made) == 1 and np.array_equal(first.clustering.reduced, second.clustering.reduced)
    (file,) = (mine.path / "work" / "clusters").glob("*.npy")
    file.write_bytes(b"half")
    discover_clusters(mine, how=how)
    assert len(made) == 2
    assert len(kept.kept(mine, "clusters")) == 3  # nothing that was kept is replaced


def test_what_cannot_be_clustered_is_said_in_one_line(mine, biocosmos):
    nothing = biocosmos("discover", "clusters", mine.path, "--where", "label = 'x'", "--method", "hdbscan", fails=1)
    assert "no selected specimen" in nothing and nothing.count("\n") == 1
    many = biocosmos("discover", "clusters", mine.path, "--method", "ward", "--clusters", 400, fails=1)
    assert "cannot make 400 clusters of 300 specimens" in many
    unused = biocosmos("discover", "clusters", mine.path, "--clusters", 4, fails=2)
    assert "--clusters does nothing here" in unused
