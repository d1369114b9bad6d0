"""Wrong labels: found against the tree, accepted by a person as a row more, never written over."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import biocosmos as bc
from biocosmos.discover import kept
from biocosmos.discover.labels.audit import audit, parting_ranks, votes
from biocosmos.discover.labels.out_of_fold import _kept_together, consistent
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.discover.labels import accept_labels, discover_labels
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import neighbour_graph
from biocosmos.specimens import by_hand
from biocosmos.taxonomy import Taxonomy

PLACES = {"a1": 0, "a2": 1, "b1": 2, "b2": 3}
TREE = {"genus": ["A", "A", "B", "B"], "species": ["a1", "a2", "b1", "b2"]}


def made(per=25, noise=0.15, wrong=(), spread=8):
    """Specimens of two species in each of two genera about four directions; ``wrong``: (row, genus, species) it is called
    instead."""
    rng = np.random.default_rng(0)
    names = np.repeat(["a1", "a2", "b1", "b2"], per)
    x = np.eye(spread)[[PLACES[name] for name in names]] + noise * rng.normal(size=(len(names), spread))
    genus, species = [name[0].upper() for name in names], names.tolist()
    for row, other, name in wrong:
        genus[row], species[row] = other, name
    table = pa.table({"genus": pa.array(genus, pa.string()), "species": pa.array(species, pa.string())})
    tree = Taxonomy.from_table({"genus": [*TREE["genus"], "C"], "species": [*TREE["species"], "c1"]})
    return Gallery.build([f"x{i}" for i in range(len(names))], x, table=table, taxonomy=tree)


def test_flipped_labels_are_the_first_suspects():
    found = audit(made(wrong=[(0, "A", "a2"), (30, "B", "b1"), (99, "A", "a1")])).table.to_pylist()
    assert {
        row["id"]: (row["label"], row["proposal"], row["parts_at"], row["height"], row["common_taxon"]) for row in found[:3]
    } == {
        "x0": ("a2", "a1", "species", 1, "A"),  # a mix-up of sisters
        "x30": ("b1", "a2", "genus", 2, "Life"),
        "x99": ("a1", "b2", "genus", 2, "Life"),
    }
    assert all(row["score"] > 0 for row in found)
    assert len(found) == 3  # no other label is doubted
    again = audit(made(wrong=[(0, "A", "a2"), (30, "B", "b1"), (99, "A", "a1")])).table
    assert again.to_pylist() == found


def test_a_genus_does_not_contradict_its_species():
    """Half of genus A is labelled no finer: nobody is a suspect for it, of the one or of the other."""
    coarse = [(row, "A", None) for row in range(0, 50, 2)]
    found = audit(made(wrong=[*coarse, (60, "A", None)])).table.to_pylist()
    assert [(row["id"], row["label"], row["proposal"]) for row in found] == [("x60", "A", "b1")]


def test_who_can_be_both():
    tree = Taxonomy.from_table(TREE)
    names = ["A", "a1", "a2", "B", "b1"]
    nodes = np.array([tree.find(name) for name in names])
    expected = [[a == b or (a in "AB" and b[0].upper() == a) or (b in "AB" and a[0].upper() == b) for b in names] for a in names]
    assert consistent(tree, nodes, nodes).tolist() == expected
    assert parting_ranks(tree, nodes[[1, 1, 0]], nodes[[2, 4, 1]]) == ["species", "genus", None]


def test_votes_are_weighed_and_doubles_have_none():
    gallery = made(per=4)
    graph = neighbour_graph(gallery.vectors, 15)
    proposal = np.full(len(gallery), gallery.taxonomy.find("B"))
    together = np.full(len(gallery), -1)
    together[:2] = 7
    label, rival = votes(gallery, proposal, graph, together)
    for row in range(len(gallery)):
        near = [(n, s) for n, s in zip(graph.rows[row], graph.scores[row]) if not (row < 2 and n < 2)][:10]
        weights = [max(float(score), 0) ** 4 for _, score in near]
        named = [gallery.taxonomy.names[gallery.taxa[n]] for n, _ in near]
        own = gallery.taxonomy.names[gallery.taxa[row]]
        assert label[row] == pytest.approx(sum(w for w, n in zip(weights, named) if n == own) / sum(weights), abs=1e-6)
        assert rival[row] == pytest.approx(sum(w for w, n in zip(weights, named) if n[0] == "b") / sum(weights), abs=1e-6)


def test_doubles_are_in_one_fold_and_those_called_otherwise_are_named():
    fold = np.array([0, 1, 2, -1, 3])
    assert _kept_together(fold, np.array([5, -1, 5, 5, -1])).tolist() == [0, 1, 0, -1, 3]
    gallery = made(wrong=[(0, "B", "b1")])
    together = np.full(len(gallery), -1)
    for id_ in ("x0", "x1"):
        together[gallery.ids.tolist().index(id_)] = 0
    (first, *_) = audit(gallery, together=together).table.to_pylist()
    assert first["id"] == "x0" and first["doubles"] == ["x1: a1"]


def test_a_taxon_of_one_is_told_and_never_a_suspect():
    found = audit(made(wrong=[(3, "C", "c1")]))
    assert found.alone == 1 and "x3" not in found.table["id"].to_pylist()


def test_where_no_label_can_be_doubted():
    gallery = made(per=3)
    with pytest.raises(BiocosmosError, match="no specimen has a label that could be wrong"):
        audit(Gallery.build(gallery.ids, gallery.vectors))
    with pytest.raises(BiocosmosError, match="all labelled specimens are one taxon"):
        audit(gallery.subset(slice(0, 3)))
    with pytest.raises(BiocosmosError, match="no taxon has two specimens"):
        audit(gallery.subset(np.array([0, 3, 6, 9])))
    few = audit(gallery)  # fewer of a taxon than folds: it goes on with those there are
    assert few.audited == 12


@pytest.fixture
def mine(embedded, tmp_path):
    shutil.copytree(embedded.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def test_suspects_are_kept_and_what_a_person_accepts_is_a_row_more(mine, biocosmos, tmp_path):
    table, page = tmp_path / "s.csv", tmp_path / "s.html"
    said = biocosmos("discover", "labels", mine.path, "-o", table, "--report", page)
    assert said.startswith("id\tlabel\tproposal")
    suspects = kept.read_kept(mine, "suspects").table()
    rows = suspects.to_pylist()
    assert len(rows) > 3 and rows == sorted(rows, key=lambda row: -row["score"])
    html = page.read_text()
    assert rows[0]["id"] in html and "No label was changed" in html and html.count("data:image/jpeg") > 10
    before = mine.table(["id", "label"])
    read = pyarrow.csv.read_csv(table)
    words = ["yes", "Hydrozoa", "no", *[""] * (len(rows) - 3)]
    pyarrow.csv.write_csv(read.append_column("accept", pa.array(words)), table)
    assert biocosmos("discover", "labels", mine.path, "--accept", table, "--by", "ada") == ""
    names = {row["id"]: (row["taxon"], row["by"], row["how"]) for row in by_hand.current(mine).to_pylist()}
    assert names == {
        rows[0]["id"]: (rows[0]["proposal"], "ada", "label audit"),
        rows[1]["id"]: ("Hydrozoa", "ada", "label audit"),
    }
    assert mine.table(["id", "label"]) == before
    biocosmos("discover", "labels", mine.path, "--accept", table, "--by", "ada", "--to-labels")
    changed = bc.Collection.open(mine.path)
    assert changed.take([rows[0]["id"]], ["label"])["label"].to_pylist() == [rows[0]["proposal"]]
    changed.undo(by="ada")
    assert bc.Collection.open(mine.path).table(["id", "label"]) == before


def test_corrections_that_cannot_be_taken_are_told(mine, tmp_path, biocosmos):
    ids = mine.table(["id"])["id"].to_pylist()
    path = tmp_path / "c.csv"
    path.write_text(f"id,proposal,accept\nnobody,Copepoda,yes\n{ids[0]},Copepoda,Copepodo\n{ids[1]},Copepoda,yes\n")
    done = accept_labels(mine, path, by="ada")
    assert done.recorded == 1 and {row.id for row in done.failures} == {"nobody", ids[0]}
    path.write_text("id,proposal,accept\nnobody,Copepoda,yes\n")
    told = biocosmos("discover", "labels", mine.path, "--accept", path, fails=1)
    assert "not taken: nobody: no specimen of the collection has this id" in told
    path.write_text(f"id,proposal,accept\n{ids[0]},Copepoda,no\n")
    with pytest.raises(BiocosmosError, match="no row is accepted"):
        accept_labels(mine, path)
    path.write_text(f"id,proposal\n{ids[0]},Copepoda\n")
    assert "has no column 'accept'" in biocosmos("discover", "labels", mine.path, "--accept", path, fails=1)
    assert "leave out -o" in biocosmos("discover", "labels", mine.path, "--accept", path, "-o", tmp_path / "x.csv", fails=2)


def test_another_embedding_votes_beside(mine):
    ids, matrix = mine.vectors("efficientnet-lite0")
    mine.add_embedding("other", ids[:200], np.ascontiguousarray(matrix[:200, :64]))
    found = discover_labels(bc.Collection.open(mine.path), encoder="efficientnet-lite0", second_encoder="other")
    rows = found.table.to_pylist()
    assert all((row["second_votes_label"] is None) == (row["id"] not in set(ids[:200].tolist())) for row in rows)
    told = [row for row in rows if row["second_votes_label"] is not None]
    assert told and all(0 <= row["second_votes_label"] + row["second_votes_proposal"] <= 1 + 1e-9 for row in told)
