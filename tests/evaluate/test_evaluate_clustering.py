"""The report on clusterings: planted clusters, ranks with nulls, bad input, what is kept, and its page."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score

import warm
from biocosmos.discover.clusters import ClusterSettings
from biocosmos.discover.clusters.settings import METHODS, REDUCERS
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering.grid import grid, name_of
from biocosmos.evaluate.clustering.report import clustering_report
from biocosmos.evaluate.clustering.work import Work
from biocosmos.evaluate.pages.heat import heat
from biocosmos.search.gallery import Gallery

TREE = {"Aa": "A", "Ab": "A", "Ba": "B", "Bb": "B", "Ca": None, "Cb": None}  # species -> family, of two none is known
EACH = 20
WAYS = grid(["none", "pca:3"], ["kmeans", "ward", "hdbscan"])


def specimens(noise: float = 0.15, name: str = "toy", dims: int = 8, unnamed: int = 4, seed: int = 0) -> Gallery:
    """Six species about orthogonal directions, two families of two, and some specimens without any name."""
    rng = np.random.default_rng(seed)
    species = [each for each in TREE for _ in range(EACH)] + [None] * unnamed
    places = [list(TREE).index(each) if each else 6 for each in species]
    x = np.eye(dims)[places] + noise * rng.normal(size=(len(species), dims))
    names = pa.table({"family": [TREE.get(each) for each in species], "species": species})
    day = pa.table({"day": ["mon" if i % 2 else "tue" for i in range(len(species))]})
    ids = [f"i{i:03}" for i in range(len(species))]
    return Gallery.build(ids, x, table=names, provenance={"encoder": name}, columns=day)


@pytest.fixture(scope="module")
def report():
    return clustering_report({"near": specimens(0.1), "far": specimens(0.45, "far")}, WAYS, groups=["day"], draws=20)


def test_planted_species_are_found_and_each_rank_is_scored_on_what_has_a_name_there(report):
    (row,) = report.rows("scores", encoder="near", setting="unreduced + ward", rank="species")
    assert (row["specimens"], row["unnamed"], row["taxa"], row["clusters"]) == (120, 4, 6, 6)
    assert row["ami"] == pytest.approx(1)
    (above,) = report.rows("scores", encoder="near", setting="unreduced + ward", rank="family")
    assert (above["specimens"], above["unnamed"], above["taxa"], above["clusters"]) == (80, 44, 2, 4)
    assert above["homogeneity"] == pytest.approx(1)
    assert above["completeness"] == pytest.approx(0.5)  # each family in two clusters of the same size
    (day,) = report.rows("scores", encoder="near", setting="unreduced + ward", rank="day")
    assert day["kind"] == "group"
    assert abs(day["ami"]) < 0.05


def test_the_table_of_labels_gives_back_every_score(report):
    labels, gallery = report.table("labels"), specimens(0.45)
    for row in report.rows(encoder="far"):
        found = labels.column(f"far | {row['setting']}").to_numpy()
        named = np.array(labels.column("species").to_pylist(), object) != None  # noqa: E711
        truth = np.array(labels.column("species").to_pylist(), object)[named].astype(str)
        assert row["ami"] == pytest.approx(adjusted_mutual_info_score(truth, found[named]))
        assert row["ami_low"] <= row["ami"] <= row["ami_high"]
        assert row["share_clustered"] == pytest.approx((found[named] >= 0).mean())
        assert row["silhouette_original"] == pytest.approx(silhouette_score(gallery.vectors.astype(float), found), abs=1e-6)
    assert labels.column("id").to_pylist() == list(gallery.ids)


def test_numbers_of_clusters_say_where_they_come_from(report):
    by = {row["setting"]: row["counted_by"] for row in report.rows()}
    assert by["pca 3 + kmeans"] == "these labels"
    assert by["unreduced + hdbscan"] == "the method"
    assert any("as many as there are taxa at species" in caveat for caveat in report.caveats)
    other = clustering_report({"toy": specimens()}, grid(["none"], ["kmeans"]), clusters=3, counted="another part", draws=0)
    (row,) = other.rows()
    assert (row["clusters"], row["counted_by"]) == (3, "another part")
    assert not any("as many as there are taxa" in caveat for caveat in other.caveats)
    given = clustering_report({"toy": specimens()}, [{"reducer": "none", "method": "ward", "clusters": 4}], draws=0)
    assert (given.rows()[0]["clusters"], given.rows()[0]["counted_by"]) == (4, "given")


def test_noise_is_a_cluster_in_ami_and_left_out_beside_it(report):
    (row,) = report.rows("scores", encoder="far", setting="unreduced + hdbscan", rank="species")
    found = report.table("labels").column("far | unreduced + hdbscan").to_numpy()
    truth = np.array([name or "" for name in report.table("labels").column("species").to_pylist()])
    assert 0 < row["share_clustered"] < 1
    assert row["ami"] == pytest.approx(adjusted_mutual_info_score(truth[truth != ""], found[truth != ""]))
    clustered = (truth != "") & (found >= 0)
    assert row["ami_clustered"] == pytest.approx(adjusted_mutual_info_score(truth[clustered], found[clustered]))
    kinds = {row["noise"] for row in report.rows("parted", encoder="far", setting="unreduced + hdbscan", labels="clusters")}
    assert kinds == {"left out", "one cluster"}


def test_taxa_and_clusters_are_scored_in_every_space_and_a_blurred_encoder_parts_them_worse(report):
    for space in ("original", "reduced"):
        near, far = (report.rows("parted", encoder=name, space=space, labels="species")[0] for name in ("near", "far"))
        assert near["silhouette"] > far["silhouette"]
        assert near["davies_bouldin"] < far["davies_bouldin"]
        assert near["specimens"] == 120
    assert not report.rows("parted", space="umap")
    assert any("no silhouette in its space" in caveat for caveat in report.caveats)
    differences = report.rows("differences")
    assert {(row["first"], row["encoder"]) for row in differences} == {("near", "far")}
    assert all(row["value"] < 0 for row in differences)


def test_the_purest_and_the_most_mixed_clusters_of_what_the_silhouette_picks_are_shown(report):
    rows = report.rows("looks")
    best = max(report.rows(), key=lambda row: row["silhouette_reduced"])
    labels = report.table("labels")
    found = labels.column(f"{best['encoder']} | {best['setting']}").to_numpy()
    named = dict(zip(labels.column("id").to_pylist(), zip(found, labels.column("species").to_pylist())))
    assert [row["kind"] for row in rows] == ["purest"] * 3 + ["most mixed"] * 3
    assert min(row["purity"] for row in rows[:3]) >= max(row["purity"] for row in rows[3:])
    for row in rows:
        assert (row["encoder"], row["setting"]) == (best["encoder"], best["setting"])
        inside = [name for cluster, name in named.values() if cluster == row["cluster"]]
        known = [name for name in inside if name]
        assert (row["specimens"], row["named"]) == (len(inside), len(known))
        assert row["purity"] == pytest.approx(known.count(row["taxon"]) / len(known))
        for one in row["members"]:
            assert named[one["id"]] == (row["cluster"], one["taxon"])
            assert one["right"] == (None if one["taxon"] is None else one["taxon"] == row["taxon"])


def test_the_page_shows_it(report, tmp_path):
    text = report.html(tmp_path / "clusters.html").read_text()
    for words in (
        "Which encoder, which way of clustering?",
        "Can one choose without labels?",
        "Do clusters follow something else?",
    ):
        assert words in text
    assert text.count("<svg") >= 5
    assert [card["what"] for card in report.headlines()][:2] == ["AMI, chosen by silhouette", "highest AMI of 12"]
    report.write(tmp_path / "report", tables="csv")
    assert (tmp_path / "report" / "tables" / "agreement.csv").exists()


def test_what_cannot_be_compared_is_said():
    gallery = specimens()
    nameless = Gallery(gallery.ids, gallery.vectors)
    with pytest.raises(BiocosmosError, match=r"no specimen has a name.*discover clusters"):
        clustering_report({"toy": nameless}, WAYS)
    with pytest.raises(BiocosmosError, match="every specimen with a name is of one species"):
        clustering_report({"toy": gallery.subset(slice(84, 104))}, WAYS)
    with pytest.raises(BiocosmosError, match="at least 2 specimens, but 1 are there"):
        clustering_report({"toy": gallery.subset(slice(100, 101))}, WAYS)
    with pytest.raises(BiocosmosError, match="stand in another order"):
        clustering_report({"toy": nameless, "turned": Gallery(gallery.ids[::-1], gallery.vectors)}, WAYS)
    with pytest.raises(BiocosmosError, match=r"nothing could be clustered: .*cannot make 500 clusters of 124"):
        clustering_report({"toy": gallery}, grid(["none"], ["kmeans"]), clusters=500)
    with pytest.raises(BiocosmosError, match="two settings are called"):
        clustering_report({"toy": gallery}, [*WAYS, WAYS[0]])
    with pytest.raises(BiocosmosError, match="there is nothing to cluster"):
        clustering_report({}, WAYS)


def test_rows_that_are_all_the_same_are_one_cluster_and_have_a_page(tmp_path):
    gallery = specimens()
    same = Gallery(gallery.ids, np.ones_like(gallery.vectors), gallery.taxa, gallery.taxonomy, columns=gallery.columns)
    found = clustering_report({"same": same}, WAYS, draws=10)
    for row in found.rows():
        assert row["clusters"] == 1
        assert row["ami"] == pytest.approx(0, abs=1e-9)
        assert np.isnan(row["silhouette_original"])
    assert "nothing" not in found.headlines()[0]["value"]
    found.html(tmp_path / "same.html")


def test_encoders_are_compared_on_the_specimens_that_all_have():
    whole, part = specimens(), specimens(0.45, "part").subset(slice(10, 100))
    found = clustering_report({"whole": whole, "part": part}, grid(["none"], ["ward"]), draws=0)
    assert found.provenance["specimens"] == 90
    assert any("left out of whole: 34" in caveat for caveat in found.caveats)


def test_a_setting_that_cannot_be_run_is_told_and_the_others_go_on():
    ways = [{"reducer": "none", "method": "kmeans"}, {"reducer": "none", "method": "ward", "clusters": 1000}]
    found = clustering_report({"toy": specimens()}, ways, draws=0)
    assert [row["setting"] for row in found.rows()] == ["unreduced + kmeans"]
    (lost,) = found.rows("failures")
    assert lost["setting"] == "unreduced + ward"
    assert "1,000 clusters of 124" in lost["reason"]
    assert any("1 clusterings could not be made" in caveat for caveat in found.caveats)


def test_settings_are_named_by_their_space_and_what_is_unusual():
    assert name_of(ClusterSettings(reducer="umap", method="hdbscan")) == "umap 50 + hdbscan"
    assert name_of(ClusterSettings(standardise="zscore", method="ward", clusters=9)) == "pca 85 % + ward"
    assert (
        name_of(ClusterSettings(method="hdbscan", min_cluster_size=9))
        == "pca 85 % + hdbscan (standardise none, min cluster size 9)"
    )
    names = [name_of(ClusterSettings(reducer=reducer, method=each, clusters=2)) for reducer in REDUCERS for each in METHODS[:4]]
    assert len(set(names)) == len(names)
    for wrong in ("ump", "umap:", "umap:0", "none:5", "pca:x"):
        with pytest.raises(BiocosmosError, match="there is no reducer"):
            grid([wrong])
    with pytest.raises(BiocosmosError, match="there is no clusterer 'kmean'"):
        grid(["pca"], ["kmean"])
    short = [(each["reducer"], each["method"]) for each in grid()]
    assert short[:3] == [("none", "kmeans"), ("pca", "kmeans"), ("pca", "ward")]
    assert len(grid(["pca"])) == len(grid(["pca:9"])) == 3


LONG = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_evaluate_clustering import WAYS, specimens
from biocosmos.evaluate.clustering.report import clustering_report
clustering_report({"toy": specimens()}, WAYS, draws=4000, work=Path(sys.argv[1]))
"""


def test_killed_it_goes_on_and_ends_with_the_same(tmp_path, monkeypatch):
    work = tmp_path / "work"
    child = warm.Popen([sys.executable, "-c", LONG, str(work), str(Path(__file__).parent)])
    end = time.monotonic() + 120
    while not list(work.glob("clusters-*.npz")) and time.monotonic() < end and child.poll() is None:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    kept = {path.name: path.read_bytes() for path in work.glob("clusters-*.npz")}
    assert kept
    works = []
    monkeypatch.setattr("biocosmos.evaluate.clustering.report.Work", lambda folder: works.append(Work(folder)) or works[-1])
    resumed = clustering_report({"toy": specimens()}, WAYS, draws=20, work=work)
    anew = clustering_report({"toy": specimens()}, WAYS, draws=20)
    again = clustering_report({"toy": specimens()}, WAYS, draws=20, work=work)
    assert works[0].found >= len(kept)
    assert works[0].made > 0
    assert works[2].made == 0
    assert {name: (work / name).read_bytes() for name in kept} == kept
    for name in ("scores", "parted", "agreement", "labels"):
        assert resumed.table(name).equals(anew.table(name))
        assert again.table(name).equals(anew.table(name))
    damaged = next(work.glob("scores-*.npz"))
    damaged.write_bytes(b"half")
    with pytest.raises(BiocosmosError, match=r"cannot read a kept scores.*remove the file"):
        clustering_report({"toy": specimens()}, WAYS, draws=20, work=work)


def test_what_is_chosen_without_labels_stands_beside_the_others_with_what_it_loses(tmp_path, monkeypatch):
    monkeypatch.setattr("biocosmos.discover.choice.choosing.has", lambda module: False)  # UMAP takes half a minute to compile
    galleries = {"near": specimens(0.1), "far": specimens(0.45, "far")}
    found = clustering_report(galleries, WAYS, clusters="chosen", draws=10, work=tmp_path)
    assert not any("as many as there are taxa" in caveat for caveat in found.caveats)
    for row in found.rows("choices"):
        mine = found.rows(encoder=row["encoder"])
        chosen = next(each for each in mine if each["setting"] == "chosen without labels")
        assert chosen["counted_by"] == "no labels"
        assert row["ami"] == chosen["ami"]
        assert row["lost"] == pytest.approx(max(each["ami"] for each in mine) - chosen["ami"])
        told = next(each for each in mine if each["setting"] == "unreduced + kmeans")
        assert (told["clusters"], told["counted_by"]) == (row["clusters"], "no labels")
        assert row["reasons"]
    assert {row["clusterings"] for row in found.rows("agreement", over="all")} <= {10, 11, 12}  # of six settings, not seven
    assert found.rows("choices", encoder="near")[0]["clusters"] == pytest.approx(6, abs=2)
    assert "What would have been taken?" in found.html(tmp_path / "chosen.html").read_text()
    with pytest.raises(BiocosmosError, match="too few to choose"):
        clustering_report({"toy": galleries["near"].subset(slice(20, 27))}, WAYS, clusters="chosen")


def test_a_heat_table_frames_the_highest_and_turns_long_headings():
    drawn = heat("AMI", ["a", "b"], ["one", "two"], [[0.2, 0.9], [float("nan"), 0.5]], [["", ""], ["not made", ""]])
    assert drawn.count('class="best"') == 1
    assert drawn.index('class="best"') < drawn.index(">90.0<")
    assert 'class="h0"' in drawn
    assert 'class="h8"' in drawn
    assert "<title>not made</title>" in drawn
    assert "rotate(-90" not in drawn
    many = [f"encoder number {i}" for i in range(9)]
    assert heat("AMI", ["a"], many, [[0.5] * 9], [[""] * 9]).count("rotate(-90") == 9
