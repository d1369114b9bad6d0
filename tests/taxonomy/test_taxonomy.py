"""The tree against an oracle of plain dictionaries, on random tables with nulls and homonyms, and on known trees."""

from __future__ import annotations

import doctest
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos.taxonomy.tree
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy import DARWIN_CORE, KNOWN_RANKS, RollUpPlan, Taxonomy

RANKS = ("kingdom", "family", "genus", "species")
# Few names, so that homonyms, the same name at two ranks of one path, and repeated rows come up all the time.
NAMES = st.sampled_from([None, None, "", " \t", "a", " a", "b", "A", "ß é", "ß  é", "c/d", "e:f"])
ROWS = st.lists(st.tuples(*[NAMES] * len(RANKS)), max_size=14)


class Oracle:
    """The same tree with dictionaries: a node is the tuple of (rank, name) down to it."""

    def __init__(self, rows):
        self.parent = {(): None}
        self.of_row = []
        for row in rows:
            node = ()
            for rank, name in enumerate(row):
                name = " ".join((name or "").split())
                if name:
                    child = (*node, (rank, name))
                    self.parent[child] = node
                    node = child
            self.of_row.append(node)
        self.order = []
        self._visit(())
        self.id = {node: i for i, node in enumerate(self.order)}

    def _visit(self, node):
        self.order.append(node)
        for child in sorted((c for c, p in self.parent.items() if p == node and c != ()), key=lambda c: c[-1]):
            self._visit(child)

    def up(self, node):
        while node is not None:
            yield node
            node = self.parent[node]

    def ancestor(self, node, rank):
        for at in self.up(node):
            if at and at[-1][0] == rank:
                return self.id[at]
        return -1

    def lowest_common(self, a, b):
        above = list(self.up(a))
        return next(node for node in self.up(b) if node in above)


def table_of(rows, ranks=RANKS):
    return pa.table({rank: pa.array([row[i] for row in rows], pa.string()) for i, rank in enumerate(ranks)})


def pairs(n):
    a, b = np.meshgrid(np.arange(n), np.arange(n))
    return a.ravel(), b.ravel()


# ---- against the oracle ------------------------------------------------------------------------------------------------


@given(rows=ROWS)
@settings(max_examples=120, deadline=None)
def test_nodes_parents_ranges_and_order_match_the_oracle(rows):
    tax, oracle = Taxonomy.from_table(table_of(rows)), Oracle(rows)
    assert len(tax) == len(oracle.order)
    assert list(tax.names) == ["Life"] + [node[-1][1] for node in oracle.order[1:]]
    assert tax.rank.tolist() == [-1] + [node[-1][0] for node in oracle.order[1:]]
    assert tax.parent.tolist() == [-1] + [oracle.id[oracle.parent[node]] for node in oracle.order[1:]]
    assert tax.depth.tolist() == [len(node) for node in oracle.order]
    assert tax.index(table_of(rows)).tolist() == [oracle.id[node] for node in oracle.of_row]
    for i, node in enumerate(oracle.order):
        below = [j for j, other in enumerate(oracle.order) if other[: len(node)] == node]
        assert list(range(*tax.slice(i).indices(len(tax)))) == below == list(range(i, tax.end[i]))
        assert tax.children(i).tolist() == [j for j in below if oracle.parent[oracle.order[j]] == node]
    assert tax.leaves.tolist() == [i for i in range(1, len(tax)) if not len(tax.children(i))]


@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_ancestors_common_ancestors_and_distances_match_the_oracle(rows):
    tax, oracle = Taxonomy.from_table(table_of(rows)), Oracle(rows)
    ids = np.arange(len(tax))
    for r, rank in enumerate(RANKS):
        expected = [oracle.ancestor(node, r) for node in oracle.order]
        assert tax.ancestor(ids, rank).tolist() == tax.ancestor(ids, r).tolist() == tax.lineage(ids)[:, r].tolist() == expected
        assert tax.at_rank(rank).tolist() == [i for i, node in enumerate(oracle.order) if node and node[-1][0] == r]
    a, b = pairs(len(tax))
    common = [oracle.lowest_common(oracle.order[i], oracle.order[j]) for i, j in zip(a, b)]
    assert tax.lowest_common(a, b).tolist() == [oracle.id[node] for node in common]
    far = [len(oracle.order[i]) + len(oracle.order[j]) - 2 * len(node) for i, j, node in zip(a, b, common)]
    assert tax.distance(a, b).tolist() == far
    assert tax.is_ancestor(a, b).tolist() == [oracle.order[i] in oracle.up(oracle.order[j]) for i, j in zip(a, b)]


@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_counts_and_common_ancestors_of_many_match_loops(rows):
    tax = Taxonomy.from_table(table_of(rows))
    ids = tax.index(table_of(rows))
    assert tax.count(np.append(ids, -1)).tolist() == [sum(tax.is_ancestor(i, ids).tolist()) for i in range(len(tax))]
    if len(ids):
        common = 0 if 0 in ids else ids[0]
        for node in ids:
            common = tax.lowest_common(common, node)
        assert tax.lowest_common(ids.min(), ids.max()) == common


@given(rows=ROWS, data=st.data())
@settings(max_examples=120, deadline=None)
def test_roll_up_of_any_columns_matches_a_dictionary_loop(rows, data):
    tax, oracle = Taxonomy.from_table(table_of(rows)), Oracle(rows)
    nodes = data.draw(st.lists(st.integers(-1, len(tax) - 1), max_size=20))
    scores = np.random.default_rng(len(nodes)).integers(-9, 9, (3, len(nodes))).astype(np.float32)
    everything = tax.roll_up_all(scores, nodes=nodes)
    assert list(everything) == list(RANKS)
    for r, rank in enumerate(RANKS):
        expected = {int(taxon): [0.0] * 3 for taxon in tax.at_rank(rank)}
        unplaced = [0.0] * 3
        for q in range(3):
            for column, node in enumerate(nodes):
                taxon = -1 if node == -1 else oracle.ancestor(oracle.order[node], r)
                if taxon == -1:
                    unplaced[q] += scores[q, column]
                else:
                    expected[taxon][q] += scores[q, column]
        for found in (tax.roll_up(scores, rank, nodes=nodes), everything[rank]):
            assert found.taxa.tolist() == list(expected)
            assert found.scores.T.tolist() == list(expected.values())
            assert found.unplaced.tolist() == unplaced
        differentiable = tax.roll_up(torch.from_numpy(scores).requires_grad_(), rank, nodes=nodes)
        assert differentiable.scores.detach().T.tolist() == list(expected.values())
        assert differentiable.unplaced.tolist() == unplaced


@given(rows=ROWS, other=ROWS)
@settings(max_examples=60, deadline=None)
def test_rows_of_another_table_are_found_or_minus_one(rows, other):
    tax, oracle, asked = Taxonomy.from_table(table_of(rows)), Oracle(rows), Oracle(other)
    assert tax.index(table_of(other)).tolist() == [oracle.id.get(node, -1) for node in asked.of_row]
    kept = [(row[0], None, row[2], None) for row in other]
    without = table_of(other).select(["kingdom", "genus"])
    assert tax.index(without).tolist() == [oracle.id.get(node, -1) for node in Oracle(kept).of_row]


@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_round_trips_keep_the_tree_and_its_digest(rows):
    tax = Taxonomy.from_table(table_of(rows))
    again = Taxonomy.from_table(tax.to_table())
    assert again == tax and again.digest == tax.digest and again.ranks == tax.ranks
    assert Taxonomy.from_table(table_of(rows[::-1] * 2)) == tax
    assert tax.index(tax.to_table()).tolist() == list(range(len(tax)))
    assert tax.index(tax.rank_table(np.arange(len(tax)))).tolist() == list(range(len(tax)))


@given(rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_every_candidate_an_error_lists_can_be_typed_back(rows):
    tax = Taxonomy.from_table(table_of(rows))
    for i in range(len(tax)):
        try:
            assert tax.find(str(tax.names[i])) == i
        except BiocosmosError as error:
            candidates = str(error).split("write one of ")[1].split(" and ")[0].split(", ")
            same = np.flatnonzero(tax.names == tax.names[i])
            if not any("/" in name or ":" in name for name in tax.names):  # names with separators may need a longer form
                assert set(map(tax.find, candidates)) <= set(same.tolist())
                assert len(set(map(tax.find, candidates))) == len(candidates) == min(len(same), 5)


# ---- known trees -------------------------------------------------------------------------------------------------------


def golden_tree():
    """The tree of facts/hierarchy_novelty.md: parents [-1,0,0,1,1,2,3,3,4,4,4,5,5], leaves 6..12."""
    parents = [-1, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 5, 5]
    rows = []
    for leaf in range(6, 13):
        rows.append((f"n{parents[parents[leaf]]}", f"n{parents[leaf]}", f"n{leaf:02d}"))
    return Taxonomy.from_table(table_of(rows, ("order", "family", "species")))


def test_golden_tree_rolls_up_to_the_published_log_probabilities():
    tax = golden_tree()
    logits = np.array([[1, 0.5, -0.5, 0.2, 0, 2, -1]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    columns = [tax.find(f"n{leaf:02d}") for leaf in range(6, 13)]
    expected = {"n1": -0.731459, "n2": -0.656249, "n3": -1.23076, "n4": -1.66529, "n5": -0.656249, "n06": -1.704837}
    found = {}
    for rank in tax.ranks:
        scores, taxa = tax.roll_up(softmax, rank, nodes=columns)
        found.update(zip(tax.name(taxa), np.log(scores[0])))
    for name, log_p in expected.items():
        assert found[name] == pytest.approx(log_p, abs=1e-5)


def test_homonyms_are_different_taxa_and_the_error_says_what_to_write():
    rows = {"kingdom": ["Animalia", "Plantae", None], "family": ["Cebidae", "Fabaceae", None], "genus": ["Aotus"] * 3}
    tax = Taxonomy.from_table(rows)
    with pytest.raises(BiocosmosError) as error:
        tax.find("Aotus")
    assert str(error.value) == (
        "taxon 'Aotus' is ambiguous, 3 fit: write one of Animalia/Cebidae/Aotus, Plantae/Fabaceae/Aotus, Life/Aotus"
    )
    assert tax.path(tax.find("Plantae/Aotus")) == ["Plantae", "Fabaceae", "Aotus"]
    assert tax.path(tax.find("Life/Aotus")) == [None, None, "Aotus"]
    assert tax.find("Animalia/Cebidae/Aotus") == tax.find("animalia / genus:Aotus") == 3
    assert tax.name(tax.homonyms()).tolist() == ["Aotus"] * 3


def test_a_path_without_gaps_wins_over_one_that_skips_taxa():
    tax = Taxonomy.from_table({"kingdom": ["A", "A"], "family": [None, "F"], "genus": ["G", "G"]})
    assert tax.path(tax.find("A/G")) == ["A", None, "G"]
    assert tax.path_text(tax.find("A/G")) == "A/G" and tax.path_text(tax.find("A/G"), " / ") == "A / G"
    assert tax.path(tax.find("A/F/G")) == tax.path(tax.find("F/G")) == ["A", "F", "G"]


def test_one_name_at_two_ranks_of_a_path_needs_its_rank():
    tax = Taxonomy.from_table({"class": ["Acantharia"], "genus": ["Acantharia"]})
    with pytest.raises(BiocosmosError, match="write one of class:Acantharia, genus:Acantharia"):
        tax.find("Acantharia")
    assert [tax.find("class:Acantharia"), tax.find("genus:Acantharia")] == [1, 2]
    assert tax.find("Acantharia/Acantharia") == 2
    scores, taxa = tax.roll_up(np.ones((1, 1)), "class")
    assert (scores.tolist(), taxa.tolist()) == ([[1.0]], [1])


def test_a_label_that_repeats_its_taxon_is_no_homonym_of_it():
    tax = Taxonomy.from_table({"class": ["Copepoda", "Copepoda"], "order": [None, "Calanoida"], "label": ["Copepoda", "mixed"]})
    assert tax.repeats.tolist() == [tax.name(node) == "Copepoda" and tax.rank[node] == 2 for node in range(len(tax))]
    assert tax.find("Copepoda") == tax.find("class:Copepoda") == 1 and tax.find("label:Copepoda") > 1
    assert tax.find_all(["Copepoda", "mixed"]).tolist() == [1, tax.find("mixed")]
    other = Taxonomy.from_table({"class": ["A", "B"], "label": ["A", "A"]})  # the A of B is another
    with pytest.raises(BiocosmosError, match="ambiguous"):
        other.find("A")


def test_paths_that_differ_only_in_ranks_are_told_apart():
    tax = Taxonomy.from_table({"class": ["X", None], "order": [None, "X"], "genus": ["G", "G"]})
    with pytest.raises(BiocosmosError, match="write one of class:X/genus:G, order:X/genus:G"):
        tax.find("G")
    assert tax.path(tax.find("order:X/genus:G")) == [None, "X", "G"]


def test_find_ignores_case_only_when_one_taxon_fits():
    tax = Taxonomy.from_table({"genus": ["Calanus", "CALANUS", "Oithona"]})
    assert tax.find("Calanus") != tax.find("CALANUS")
    assert tax.name(tax.find("oithona")) == "Oithona"
    with pytest.raises(BiocosmosError, match="ambiguous, 2 fit: write one of genus:CALANUS, genus:Calanus"):
        tax.find("calanus")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Copepodda", "no taxon 'Copepodda' in the taxonomy: did you mean Copepoda?"),
        ("class:Copepodda", "no taxon 'class:Copepodda' in the taxonomy: did you mean class:Copepoda?"),
        ("genus:Copepoda", "no taxon 'genus:Copepoda' in the taxonomy: 'Copepoda' is there as class:Copepoda"),
        ("Oithona/Copepoda", "no taxon 'Oithona/Copepoda' in the taxonomy: 'Copepoda' is there as class:Copepoda"),
        ("Copepoda/Oithna", "no taxon 'Oithna' of the path 'Copepoda/Oithna' in the taxonomy: did you mean Oithona?"),
        ("Xyz", "no taxon 'Xyz' among the 3 of the taxonomy, nor one like it: see biocosmos taxa list COLLECTION"),
        (" ", "cannot find a taxon: the name is blank"),
        (3, "a taxon is found by its name, not by 3"),
    ],
)
def test_an_unknown_name_is_one_line_that_helps(name, message):
    tax = Taxonomy.from_table({"class": ["Copepoda", "Copepoda"], "genus": ["Oithona", "Calanus"]})
    with pytest.raises(BiocosmosError) as error:
        tax.find(name)
    assert str(error.value) == message


def test_a_list_of_names_is_found_and_what_is_not_becomes_a_row():
    tax = Taxonomy.from_table({"class": ["Copepoda", "Copepoda", "X"], "genus": ["Oithona", "Calanus", "Calanus"]})
    failures = Failures()
    names = [" Copepoda ", "oithona", "Calanus", "Copepoda/Calanus", "Oithna", "", None, "Copepoda"]
    found = tax.find_all(names, failures)
    copepoda, oithona = tax.find("Copepoda"), tax.find("Oithona")
    assert found.tolist() == [copepoda, oithona, -1, tax.find("Copepoda/Calanus"), -1, -1, -1, copepoda]
    assert [(row.row, row.id) for row in failures] == [(3, "Calanus"), (5, "Oithna"), (6, ""), (7, "None")]
    reasons = [row.reason for row in failures]
    assert "ambiguous" in reasons[0] and "did you mean Oithona?" in reasons[1]
    with pytest.raises(BiocosmosError, match="ambiguous"):
        tax.find_all(["Copepoda", "Calanus"])
    assert tax.find_all([]).tolist() == []


def test_names_are_composed_and_their_white_space_normalised():
    tax = Taxonomy.from_table({"species": ["Mu\u0308lleria  a", " M\u00fclleria\u00a0a\t", "日本 b", "🦠"]})
    assert tax.names.tolist() == ["Life", "Mülleria a", "日本 b", "🦠"]
    assert tax.index({"species": ["Mülleria a", "  "]}).tolist() == [1, 0]
    assert tax.find("Mu\u0308lleria   a") == 1


def test_mass_without_a_taxon_at_the_rank_is_reported_not_lost():
    tax = Taxonomy.from_table({"family": ["F", None], "genus": ["G", "H"]})
    scores = np.array([[0.25, 0.75]], np.float32)
    done = tax.roll_up(scores, "family")
    assert (done.scores.tolist(), tax.name(done.taxa).tolist(), done.unplaced.tolist()) == ([[0.25]], ["F"], [0.75])


# ---- shapes, types, edges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [{"genus": []}, {"genus": [None, " "]}, pa.table({"genus": pa.nulls(2)})])
def test_no_names_leave_the_root_alone(rows):
    tax = Taxonomy.from_table(rows)
    assert (len(tax), tax.parent.tolist(), tax.end.tolist(), tax.rank.tolist(), len(tax.leaves)) == (1, [-1], [1], [-1], 0)
    assert tax.index({"genus": ["a", None]}).tolist() == [-1, 0]
    done = tax.roll_up(np.zeros((2, 0)), "genus")
    assert done.scores.shape == (2, 0) and done.unplaced.tolist() == [0, 0]
    assert Taxonomy.from_table(tax.to_table()) == tax
    assert tax.find("Life") == 0 and len(tax.homonyms()) == 0
    with pytest.raises(BiocosmosError, match="nor one like it"):
        tax.find("a")


def test_every_kind_of_table_gives_the_same_tree():
    columns = {"class": ["B", "A", None], "genus": ["x", None, "y"], "depth_m": [1.0, 2.0, 3.0]}
    table = pa.table(columns)
    tax = Taxonomy.from_table(columns)
    batch = table.to_batches()[0]
    frame = pd.DataFrame(columns)
    categories = frame.assign(genus=frame["genus"].astype("category"))
    encoded = table.set_column(1, "genus", table.column("genus").dictionary_encode())
    large = table.set_column(1, "genus", table.column("genus").cast(pa.large_string()))
    chunked = pa.concat_tables([encoded.slice(0, 1), encoded.slice(1)], promote_options="default")
    arrays = {"class": np.array(["B", "A", None], object), "genus": pd.Series(["x", np.nan, "y"])}
    for form in (table, batch, frame, categories, encoded, large, chunked, arrays):
        assert Taxonomy.from_table(form) == tax
        assert tax.index(form).tolist() == [tax.find("x"), tax.find("A"), tax.find("y")]


def test_default_ranks_are_the_known_columns_in_rank_order():
    table = {"label": ["l"], "depth": ["9"], "class": ["c"], "status": ["living"]}
    assert Taxonomy.from_table(table).ranks == ("status", "class", "label")
    assert Taxonomy.from_table(table, ranks=["depth", "class"]).ranks == ("depth", "class")
    assert set(DARWIN_CORE) < set(KNOWN_RANKS) and sorted(DARWIN_CORE, key=KNOWN_RANKS.index) == list(DARWIN_CORE)


@pytest.mark.parametrize(
    ("table", "ranks", "message"),
    [
        ({"a": ["x"]}, None, "no rank column in the table: its columns are a"),
        ({"class": ["x"]}, ["class", "genus"], "no rank column 'genus' in the table: its columns are class"),
        ({"class": ["x"]}, ["class", "class"], "a rank is given twice"),
        ({"class": ["x"]}, "class", "ranks must be a list"),
        ({"name": ["x"]}, ["name"], "a rank cannot be named 'name'"),
        ({"class": [["x"]]}, None, "rank column 'class' holds list"),
        ({"class": [b"\xff"]}, None, "rank column 'class' holds binary"),
        ({"class": ["x", 3]}, None, "cannot read the rank columns"),
        (["x"], None, "cannot read taxa from a list"),
        (pa.Table.from_arrays([pa.array(["x"])] * 2, ["class", "class"]), None, "two columns named 'class'"),
    ],
)
def test_a_table_without_usable_ranks_is_refused_in_one_line(table, ranks, message):
    with pytest.raises(BiocosmosError, match=re.escape(message)) as error:
        Taxonomy.from_table(table, ranks)
    assert "\n" not in str(error.value)


def test_minus_one_goes_through_every_method():
    tax = golden_tree()
    assert tax.ancestor([-1, 3], "order").tolist() == [-1, 1]
    assert tax.lineage(-1).tolist() == [-1, -1, -1]
    assert tax.lowest_common(-1, [0, 3]).tolist() == tax.distance(3, [-1, -1]).tolist() == [-1, -1]
    assert tax.is_ancestor([-1, 0, 0], [0, -1, 3]).tolist() == [False, False, True]
    assert tax.name([-1, 0]).tolist() == [None, "Life"] and tax.name(-1) is None
    assert tax.rank_table([-1]).to_pylist() == [{"order": None, "family": None, "species": None}]


def test_scalars_in_scalars_out_and_matrices_keep_their_shape():
    tax = golden_tree()
    assert tax.ancestor(3, "order") == 1 and np.ndim(tax.ancestor(3, "order")) == 0
    assert tax.ancestor(np.zeros((2, 3), int), "order").shape == (2, 3)
    assert tax.lineage(np.zeros((2, 5), int)).shape == (2, 5, 3)
    assert tax.name(1) == "n1"
    assert tax.lowest_common(3, 4).dtype == tax.ancestor([1], 0).dtype == tax.index({"order": ["n1"]}).dtype == np.int32


def test_arrays_are_read_only_also_after_pickling():
    tax = pickle.loads(pickle.dumps(golden_tree()))
    assert tax == golden_tree() and hash(tax) == hash(golden_tree())
    for array in (tax.parent, tax.rank, tax.end, tax.depth, tax.leaves, tax.names, tax.at_rank("order")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_digest_tells_trees_apart_and_never_changes():
    digests = {
        Taxonomy.from_table(rows).digest
        for rows in (
            {"class": ["a"]},
            {"class": ["b"]},
            {"order": ["a"]},
            {"class": ["a"], "order": ["b"]},
            {"class": ["a", "b"]},
        )
    }
    assert len(digests) == 5
    assert golden_tree().digest == "e163a7ec35fb910b3ec42b80f27940708e650aff152cfdc328e4e7460ecaa566"


def test_unknown_ranks_and_nodes_are_refused():
    tax = golden_tree()
    with pytest.raises(BiocosmosError, match="no rank 'genus' in this taxonomy: its ranks are order, family, species"):
        tax.ancestor([1], "genus")
    for rank in (3, -1):
        with pytest.raises(BiocosmosError, match="no rank"):
            tax.at_rank(rank)
    with pytest.raises(BiocosmosError, match="no node 99 in this taxonomy of 13 nodes"):
        tax.slice(99)
    with pytest.raises(BiocosmosError, match="node 99 is not in this taxonomy"):
        tax.roll_up(np.zeros((1, 1)), "order", nodes=[99])
    with pytest.raises(BiocosmosError, match="scores have 5 columns, the taxonomy has 7 leaves and 13 nodes"):
        tax.roll_up(np.zeros((1, 5)), "order")
    with pytest.raises(BiocosmosError, match=re.escape("scores have shape (1, 5), expected (queries, 2)")):
        tax.roll_up(np.zeros((1, 5)), "order", nodes=[1, 2])


def test_save_and_load(tmp_path):
    tax = golden_tree()
    assert Taxonomy.load(tax.save(tmp_path / "tree.parquet")) == tax
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(BiocosmosError, match=r"cannot read a taxonomy from .*bad.parquet"):
        Taxonomy.load(tmp_path / "bad.parquet")


# ---- roll-up: types, order, chunks, accuracy -----------------------------------------------------------------------------


def test_columns_default_to_leaves_or_nodes_and_inner_mass_counts_where_it_ends():
    tax = golden_tree()
    assert tax.roll_up(np.ones((2, 7)), "family").scores.tolist() == [[2, 3, 2]] * 2
    done = tax.roll_up(np.ones((1, 13)), "family")  # a family's own column counts too; root and orders stay unplaced
    assert (done.scores.tolist(), done.unplaced.tolist()) == ([[3, 4, 3]], [3])


@pytest.mark.parametrize(
    ("given_type", "summed"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("int8", "int64"), ("bool", "int64")],
)
def test_types_in_and_out(given_type, summed):
    tax = golden_tree()
    ours = np.ones((2, 7), given_type)
    assert tax.roll_up(ours, "order").scores.dtype == summed
    tensor = tax.roll_up(torch.from_numpy(ours), "order")
    assert isinstance(tensor.scores, torch.Tensor) and isinstance(tensor.unplaced, torch.Tensor)
    assert tensor.scores.dtype == getattr(torch, summed) and tensor.scores.tolist() == [[5, 2]] * 2


def test_bfloat16_is_summed_in_float32():
    scores = torch.full((1, 7), 1 / 3, dtype=torch.bfloat16)
    for x in (scores, scores.clone().requires_grad_()):
        done = golden_tree().roll_up(x, "order").scores
        assert done.dtype == torch.float32 and done.tolist() == [[5 * float(scores[0, 0]), 2 * float(scores[0, 0])]]


def test_gradients_flow_to_the_columns():
    tax = golden_tree()
    scores = torch.rand(2, 7, dtype=torch.float64, requires_grad=True)
    order = [6, 0, 3, 2, 5, 1, 4]
    assert torch.autograd.gradcheck(lambda x: tax.roll_up(x, "order", nodes=tax.leaves[order]).scores, (scores,))


def test_chunks_give_what_the_whole_gives():
    tax = golden_tree()
    scores = np.random.default_rng(0).random((10, 7))
    whole = tax.roll_up_all(scores)
    parts = list(tax.roll_up_chunks((scores[i : i + 3] for i in range(0, 10, 3)), ranks=["order", "species"]))
    assert len(parts) == 4 and list(parts[0]) == ["order", "species"]
    for rank in ("order", "species"):
        assert np.array_equal(np.concatenate([part[rank].scores for part in parts]), whole[rank].scores)
    assert list(tax.roll_up_chunks([])) == []
    assert len(RollUpPlan(tax, tax.leaves, tax.ranks)(scores[:0])["order"].scores) == 0


def test_float32_sums_of_200_000_leaves_stay_accurate():
    n = 200_000
    rng = np.random.default_rng(0)
    genus = np.sort(rng.zipf(1.3, n).clip(max=30_000))
    tax = Taxonomy.from_table({"kingdom": ["k"] * n, "genus": genus.astype(str), "species": np.arange(n).astype(str)})
    scores = rng.random((2, n), np.float32)
    for x in (scores, torch.from_numpy(scores).requires_grad_()):
        for rank in ("kingdom", "genus"):
            exact = tax.roll_up(scores.astype(np.float64), rank).scores
            found = torch.as_tensor(tax.roll_up(x, rank).scores).detach().numpy()
            assert np.max(np.abs(found - exact) / exact) < 2e-6


# ---- the documentation -------------------------------------------------------------------------------------------------


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(biocosmos.taxonomy.tree).failed == 0


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "taxonomy.md"
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 10 and found.failed == 0
