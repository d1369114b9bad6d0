"""Retrieval against plain loops over a full similarity matrix, and the defects of earlier scripts as regressions."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biocosmos import evaluate
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

RANKS = ("kingdom", "genus", "species")


def labels(n: int, rng: np.random.Generator) -> pa.Table:
    species = np.minimum(rng.geometric(0.12, n), 30)
    return pa.table(
        {
            "kingdom": ["Plantae" if s % 5 == 0 else "Animalia" for s in species],
            "genus": [f"G{s // 3}" for s in species],
            "species": [None if i % 11 == 0 else f"G{s // 3} s{s}" for i, s in enumerate(species)],
        }
    )


def gallery(n: int = 150, *, seed: int = 0, noise: float = 1.2, prefix: str = "id", taxonomy: Taxonomy | None = None) -> Gallery:
    rng = np.random.default_rng(seed)
    table = labels(n, rng)
    centres = np.random.default_rng(99).normal(size=(40, 16))
    which = [0 if s is None else int(s.split("s")[-1]) for s in table.column("species").to_pylist()]
    vectors = centres[which] + noise * rng.normal(size=(n, 16))
    columns = pa.table({"site": [None if i % 7 == 0 else f"site {w % 3}" for i, w in enumerate(which)]})
    provenance = {"encoder": "toy", "digest": "ab12", "split": {"name": "default", "hash": "h1"}}
    return Gallery.build(
        [f"{prefix}{i}" for i in range(n)], vectors, table=table, taxonomy=taxonomy, columns=columns, provenance=provenance
    )


def naive_neighbours(gallery: Gallery, queries: Gallery, k: int) -> list[list[int]]:
    out = []
    for i, query in enumerate(queries.vectors.astype(np.float64)):
        scores = [(-float(query @ row), j) for j, row in enumerate(gallery.vectors.astype(np.float64))]
        out.append([j for _, j in sorted(scores) if gallery.ids[j] != queries.ids[i]][:k])
    return out


def names_at(gallery: Gallery, rank: str) -> list[str | None]:
    if rank == "site":
        return gallery.columns.column("site").to_pylist()
    position = gallery.taxonomy.ranks.index(rank)
    return [
        "/".join(map(str, p[: position + 1])) if p[position] else None
        for p in (gallery.taxonomy.path(int(t)) for t in gallery.taxa)
    ]


def naive(gallery: Gallery, queries: Gallery, rank: str, k: int) -> dict[str, float]:
    """hit@k, micro and macro, over all and over answerable, one query at a time."""
    theirs, mine = names_at(gallery, rank), names_at(queries, rank)
    hits, can = {}, {}
    for i, near in enumerate(naive_neighbours(gallery, queries, k)):
        if mine[i] is None:
            continue
        hits.setdefault(mine[i], []).append(any(theirs[j] == mine[i] for j in near))
        can.setdefault(mine[i], []).append(any(t == mine[i] for j, t in enumerate(theirs) if gallery.ids[j] != queries.ids[i]))
    flat, able = [h for v in hits.values() for h in v], [c for v in can.values() for c in v]
    answered = [h for h, c in zip(flat, able) if c]
    macro = [np.mean(v) for v in hits.values()]
    macro_answerable = [np.mean([h for h, c in zip(hits[t], can[t]) if c]) for t in hits if any(can[t])]
    return {
        "micro all": np.mean(flat),
        "micro answerable": np.mean(answered),
        "macro all": np.mean(macro),
        "macro answerable": np.mean(macro_answerable),
        "unanswerable": len(able) - sum(able),
    }


def value(report: evaluate.Report, target: str, k: int, over: str, averaged_over: str) -> float:
    rows = report.rows(target=target, k=k, over=over, averaged_over=averaged_over, finder="specimens")
    assert len(rows) == 1
    return rows[0]["value"]


@pytest.mark.parametrize("target", [*RANKS, "site"])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_all_vs_all_equals_a_loop_over_the_full_matrix(target, k):
    gal = gallery()
    report = evaluate.retrieval(gal, groups=["site"], bootstrap=0)
    expected = naive(gal, gal, target, k)
    for over in ("all", "answerable"):
        assert value(report, target, k, over, "queries") == pytest.approx(expected[f"micro {over}"])
        assert value(report, target, k, over, target) == pytest.approx(expected[f"macro {over}"])
    row = report.rows("answerable", target=target)[0]
    assert row["unanswerable"] == expected["unanswerable"]
    assert row["null"] == sum(name is None for name in names_at(gal, target))


@pytest.mark.parametrize("target", RANKS)
def test_query_gallery_equals_a_loop_over_the_full_matrix(target):
    gal = gallery(140)
    queries = gallery(40, seed=1, prefix="q", taxonomy=gal.taxonomy)
    queries = queries.subset(queries.taxa > 0)
    report = evaluate.retrieval(gal, queries, bootstrap=0)
    for k in (1, 5, 10):
        expected = naive(gal, queries, target, k)
        for over in ("all", "answerable"):
            assert value(report, target, k, over, "queries") == pytest.approx(expected[f"micro {over}"])
            assert value(report, target, k, over, target) == pytest.approx(expected[f"macro {over}"])


def test_genus_retrieval_and_species_recall_averaged_by_genus_are_two_numbers():
    gal = gallery()
    report = evaluate.retrieval(gal, ks=(1,), bootstrap=0)
    near = naive_neighbours(gal, gal, 1)
    genus, species = names_at(gal, "genus"), names_at(gal, "species")
    per_genus: dict[str, list[bool]] = {}
    for i, (j,) in enumerate(near):
        if species[i] is not None:
            per_genus.setdefault(genus[i], []).append(species[j] == species[i])
    assert value(report, "species", 1, "all", "genus") == pytest.approx(np.mean([np.mean(v) for v in per_genus.values()]))
    assert value(report, "genus", 1, "all", "genus") == pytest.approx(naive(gal, gal, "genus", 1)["macro all"])
    assert value(report, "species", 1, "all", "genus") != value(report, "genus", 1, "all", "genus")


def test_per_taxon_rows_count_queries_and_hits():
    gal = gallery()
    report = evaluate.retrieval(gal, bootstrap=0)
    species, near = names_at(gal, "species"), naive_neighbours(gal, gal, 5)
    for row in report.rows("per_taxon", target="species"):
        mine = [
            i
            for i, s in enumerate(species)
            if s is not None and s.split("/")[-1] == row["taxon"] and row["path"].split(" / ")[0] in s
        ]
        assert row["queries"] == row["gallery"] == len(mine)
        assert row["answerable"] == (len(mine) > 1)
        assert row["hit@5"] == pytest.approx(np.mean([any(species[j] == species[i] for j in near[i]) for i in mine]))
        assert row["low@5"] <= row["hit@5"] <= row["high@5"]


def test_a_group_is_both_a_target_and_a_stratum():
    gal = gallery()
    report = evaluate.retrieval(gal, groups=["site"], bootstrap=0)
    sites, species, near = names_at(gal, "site"), names_at(gal, "species"), naive_neighbours(gal, gal, 1)
    inside = [i for i in range(len(gal)) if sites[i] == "site 1" and species[i] is not None]
    expected = np.mean([species[near[i][0]] == species[i] for i in inside])
    (row,) = report.rows("by_group", value_of_group="site 1", target="species", k=1, over="all", average="micro")
    assert row["value"] == pytest.approx(expected)
    assert row["queries"] == len(inside)


def test_duplicate_images_never_return_self_and_are_told():
    vectors = np.repeat(np.eye(4), 2, axis=0)
    table = pa.table({"species": ["a", "a", "b", "b", "c", "d", "e", "e"]})
    gal = Gallery.build([f"x{i}" for i in range(8)], vectors, table=table)
    report = evaluate.retrieval(gal, ks=(1,), bootstrap=0)
    assert value(report, "species", 1, "answerable", "queries") == 1.0
    for row in report.rows("examples"):
        assert row["id"] not in [near["id"] for near in row["neighbours"]]
    assert any("copy of themselves" in caveat for caveat in report.caveats)


def test_self_is_excluded_by_id_even_when_it_is_not_first():
    # Rows 0-2 are one picture: by rank, dropping the first hit of row 2 would drop row 0 and keep row 2 itself.
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    gal = Gallery.build(["p", "q", "r", "s"], vectors, table=pa.table({"species": ["a", "a", "b", "b"]}))
    report = evaluate.retrieval(gal, ks=(1,), bootstrap=0)
    assert [r["species first right"] for r in report.rows("queries")] == [1, 1, None, None]


def test_every_singleton_is_unanswerable_and_shown_apart():
    rng = np.random.default_rng(0)
    gal = Gallery.build(
        [f"x{i}" for i in range(9)], rng.normal(size=(9, 4)), table=pa.table({"species": [f"s{i}" for i in range(9)]})
    )
    report = evaluate.retrieval(gal)
    assert value(report, "species", 1, "all", "queries") == 0
    assert np.isnan(value(report, "species", 1, "answerable", "queries"))
    assert report.rows("answerable")[0]["answerable_share"] == 0
    assert any("9 of 9 at species (9 taxa)" in caveat for caveat in report.caveats)
    assert {row["kind"] for row in report.rows("examples")} == {"unanswerable"}


def test_one_specimen_and_k_beyond_the_gallery():
    gal = Gallery.build(["only"], np.ones((1, 3)), table=pa.table({"species": ["a"]}))
    report = evaluate.retrieval(gal)
    assert report.rows("answerable")[0]["unanswerable"] == 1
    assert any("k = 10 is more than the 1 gallery specimens" in caveat for caveat in report.caveats)


def test_unlabelled_specimens_are_left_out_and_counted():
    table = pa.table({"species": ["a", "a", None, None]})
    gal = Gallery.build(["p", "q", "r", "s"], np.array([[1, 0], [0, 1], [1, 0.1], [1, 0.2]]), table=table)
    report = evaluate.retrieval(gal, ks=(1,), bootstrap=0)
    assert value(report, "species", 1, "all", "queries") == 1.0
    assert any("2 specimens of the gallery have no label" in caveat for caveat in report.caveats)
    nothing = Gallery.build(["p", "q"], np.eye(2), table=pa.table({"species": [None, None]}))
    with pytest.raises(BiocosmosError, match="no specimen has a taxon"):
        evaluate.retrieval(nothing)


def test_names_that_differ_by_case_are_told():
    table = pa.table({"species": ["Gambusia affinis", "gambusia  Affinis", "b", "b"]})
    gal = Gallery.build(list("pqrs"), np.eye(4), table=table)
    caveats = evaluate.retrieval(gal, bootstrap=0).caveats
    assert any("differ only by case or white space" in caveat for caveat in caveats)


def test_queries_in_the_gallery_are_refused():
    gal = gallery()
    with pytest.raises(BiocosmosError, match="5 query ids are in the gallery"):
        evaluate.retrieval(gal, gal.subset(slice(0, 5)))


def test_queries_of_another_encoder_or_split_are_refused():
    gal, queries = gallery(), gallery(20, seed=3, prefix="q")
    queries.provenance["digest"] = "cd34"
    with pytest.raises(BiocosmosError, match="other weights"):
        evaluate.retrieval(gal, queries)
    queries.provenance = {**gal.provenance, "split": {"name": "default", "hash": "h2"}}
    with pytest.raises(BiocosmosError, match="two splits"):
        evaluate.retrieval(gal, queries)


def test_unknown_names_say_which_there_are():
    gal = gallery()
    with pytest.raises(BiocosmosError, match="unknown rank 'family'"):
        evaluate.retrieval(gal, ranks=["family"])
    with pytest.raises(BiocosmosError, match="cannot group by 'ship'"):
        evaluate.retrieval(gal, groups=["ship"])
    with pytest.raises(BiocosmosError, match="at least 1"):
        evaluate.retrieval(gal, ks=(0, 1))


def test_the_same_seed_gives_the_same_report_and_row_order_changes_no_value():
    gal = gallery()
    one, two = (evaluate.retrieval(gal, groups=["site"], seed=4) for _ in range(2))
    assert all(one.table(name).equals(two.table(name)) for name in one.tables)
    order = np.random.default_rng(0).permutation(len(gal))
    shuffled = Gallery.build(gal.ids[order], gal.vectors[order], taxa=gal.taxa[order], taxonomy=gal.taxonomy)
    again = evaluate.retrieval(shuffled, seed=4)
    plain = [row for row in one.rows() if row["kind"] == "rank"]
    assert plain == again.rows()


def test_provenance_is_in_every_table_and_file(tmp_path):
    report = evaluate.retrieval(gallery(), bootstrap=50)
    assert report.provenance["split_hash"] == "h1"
    for table in report.tables.values():
        assert json.loads(table.schema.metadata[b"biocosmos.provenance"])["gallery"]["digest"] == "ab12"
    report.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["provenance.json", "report.html", "results.parquet"]
    assert json.loads((tmp_path / "provenance.json").read_text())["split_hash"] == "h1"
    stored = evaluate.read_tables(tmp_path)
    assert list(stored) == list(report.tables)
    for name, table in report.tables.items():
        assert stored[name].to_pylist() == table.to_pylist() and stored[name].schema.equals(table.schema)
    whole = pq.read_table(tmp_path / "results.parquet")
    assert json.loads(whole.schema.metadata[b"biocosmos.provenance"])["gallery"]["encoder"] == "toy"
    assert whole.num_rows == sum(table.num_rows for table in report.tables.values())


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_tables_are_files_of_their_own_on_wish(suffix, tmp_path):
    report = evaluate.retrieval(gallery(), bootstrap=0)
    report.write(tmp_path, tables=suffix)
    written = {path.stem for path in (tmp_path / "tables").glob(f"*.{suffix}") if "provenance" not in path.name}
    assert written == set(report.tables)


def test_there_is_no_report_where_none_was_written(tmp_path):
    with pytest.raises(BiocosmosError, match="there is no report in"):
        evaluate.read_tables(tmp_path)


RULES = ("nearest", "nearest-euclidean", "class-mean", "class-mean-euclidean", "centroid")


def naive_rule(rule: str, query: np.ndarray, members: np.ndarray) -> float:
    if rule == "nearest":
        return max(float(query @ m) for m in members)
    if rule == "nearest-euclidean":
        return -min(float(np.linalg.norm(query - m)) for m in members)
    if rule == "class-mean":
        return float(np.mean([query @ m for m in members]))
    if rule == "class-mean-euclidean":
        return -float(np.mean([np.linalg.norm(query - m) for m in members]))
    centre = members.mean(axis=0)
    return float(query @ centre / np.linalg.norm(centre))


@pytest.mark.parametrize("rule", RULES)
def test_rules_rank_taxa_as_a_loop_over_classes_does(rule):
    gal = gallery(120)
    queries = gallery(40, seed=1, prefix="q", taxonomy=gal.taxonomy)
    queries = queries.subset(queries.taxa > 0)
    report = evaluate.retrieval(gal, queries, ks=(1, 3), rules=[rule], bootstrap=0)
    for rank in RANKS:
        theirs, mine = names_at(gal, rank), names_at(queries, rank)
        members = {t: gal.vectors[[i for i, x in enumerate(theirs) if x == t]] for t in dict.fromkeys(theirs) if t}
        for k in (1, 3):
            hits = []
            for i, name in enumerate(mine):
                if name is not None:
                    ranked = sorted(members, key=lambda t: -naive_rule(rule, queries.vectors[i], members[t]))
                    hits.append(name in ranked[:k])
            (row,) = report.rows(target=rank, k=k, over="all", averaged_over="queries", finder=rule)
            assert row["value"] == pytest.approx(np.mean(hits))


def test_both_distances_name_alike_on_unit_vectors_but_class_means_are_their_own():
    gal, queries = gallery(120, noise=3), gallery(60, seed=1, prefix="q", noise=3, taxonomy=gallery(120, noise=3).taxonomy)
    report = evaluate.retrieval(gal, queries.subset(queries.taxa > 0), ks=(1,), rules=RULES, bootstrap=0)
    values = {r["finder"]: r["value"] for r in report.rows(target="species", k=1, over="all", averaged_over="queries")}
    assert values["nearest"] == values["nearest-euclidean"]
    assert values["class-mean"] != values["nearest"]


def test_rules_need_queries_and_a_known_name():
    gal = gallery()
    with pytest.raises(BiocosmosError, match="rules need queries"):
        evaluate.retrieval(gal, rules=["nearest"])
    with pytest.raises(BiocosmosError, match="unknown rule 'mean'"):
        evaluate.retrieval(gal, gallery(20, seed=2, prefix="q", taxonomy=gal.taxonomy), rules=["mean"])


def test_no_queries_is_said():
    gal = gallery()
    with pytest.raises(BiocosmosError, match="no labelled specimen among the queries"):
        evaluate.retrieval(gal, gallery(20, seed=2, prefix="q", taxonomy=gal.taxonomy).subset(slice(0, 0)))
