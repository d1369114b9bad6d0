"""Naming, end to end on small synthetic galleries."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.identify import namer
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namer import Specimens
from biocosmos.identify.namers.registry import NAMERS
from biocosmos.identify.namers.text import TEMPLATES, prompts, read_templates
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.tables import PROVENANCE_KEY
from biocosmos.taxonomy import Taxonomy

RANKS = ("kingdom", "class", "genus", "species")
CLASSES = [
    ("Animalia", "Copepoda", "Calanus", "Calanus finmarchicus"),
    ("Animalia", "Copepoda", "Calanus", "Calanus hyperboreus"),
    ("Animalia", "Copepoda", "Oithona", "Oithona similis"),
    ("Animalia", "Hydrozoa", "Solmaris", "Solmaris rhodoloma"),
    ("Animalia", "Hydrozoa", "Liriope", None),
    ("Plantae", None, "Calanus", "Calanus alba"),
    (None, None, None, "detritus"),
]
DIM = 24
TAX = Taxonomy.from_table({rank: [c[i] for c in CLASSES] for i, rank in enumerate(RANKS)}, ranks=RANKS)
FACTS = {"encoder": {"name": "toy", "digest": "abc", "preprocessing": {"size": 8, "mean": (0.5, 0.5)}}, "split": {"hash": "h1"}}


def centre(i):
    """Relatives share directions: kingdom, class and genus add to the class's own."""
    total = np.zeros(DIM)
    for name in CLASSES[i]:
        if name:
            total += np.random.default_rng(sum(name.encode())).normal(size=DIM)
    return total / np.linalg.norm(total)


def make(counts, seed, prefix, noise=0.12, provenance=FACTS, shuffle=True):
    random = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(CLASSES)), counts)
    if shuffle:
        classes = random.permutation(classes)
    x = np.array([centre(c) for c in classes]).reshape(-1, DIM) + noise * random.normal(size=(len(classes), DIM))
    ids = [f"{prefix}{i}" for i in range(len(classes))]
    table = pa.table({rank: pa.array([CLASSES[c][i] for c in classes], pa.string()) for i, rank in enumerate(RANKS)})
    columns = pa.table({"image_path": [f"/images/{name}.jpg" for name in ids]})
    return Gallery.build(ids, x, table=table, taxonomy=TAX, provenance=provenance, columns=columns)


class Texts:
    """A text encoder that knows the centres by name."""

    def __init__(self, digest="abc"):
        self.digest = digest

    def metadata(self):
        return {"name": "toy", "digest": self.digest, "preprocessing": {"size": 9}}

    def encode_texts(self, texts):
        out = []
        for text in texts:
            found = [i for i, c in enumerate(CLASSES) if next(n for n in reversed(c) if n) in text]
            out.append(centre(found[0]) if found else np.ones(DIM) / DIM**0.5)
        return np.array(out, np.float32)


GALLERY = make([30, 30, 30, 30, 30, 30, 30], 0, "g")
HELD = make([12] * 7, 1, "c")
QUERIES = make([10] * 7, 2, "q")


def fit(method="nearest", gallery=GALLERY, **options):
    if not {"error_rate", "promise", "threshold"} & set(options):
        options["threshold"] = 0.9
    return Identifier.fit(gallery, method=method, encoder=Texts() if method == "zero-shot" else None, **options)


DEFAULT = fit()


@pytest.mark.parametrize("held", [None, HELD], ids=["itself", "calibration gallery"])
@pytest.mark.parametrize("method", [name for name in NAMERS if name not in ("barcode", "fused")])  # which have tests of their own
def test_every_method_names_easy_specimens_right(method, held):
    table = fit(method, calibration=held).identify(QUERIES)
    assert table["id"].to_pylist() == QUERIES.ids.tolist()
    assert table["image_path"].to_pylist() == [f"/images/{name}.jpg" for name in QUERIES.ids]
    truth = [TAX.path(int(node)) for node in QUERIES.taxa]
    rows = table.to_pylist()
    assert np.mean([[row[rank] for rank in RANKS] == path for row, path in zip(rows, truth, strict=True)]) > 0.95
    answered = [(row, path) for row, path in zip(rows, truth, strict=True) if row["taxon"]]
    assert len(answered) > 60 and np.mean([row["taxon"] in path for row, path in answered]) > 0.95
    for row in rows:
        confidences = [row[f"{rank}_confidence"] for rank in RANKS]
        assert [c is None for c in confidences] == [row[rank] is None for rank in RANKS]
        filled = [c for c in confidences if c is not None]
        assert filled == sorted(filled, reverse=True) and all(0 <= c <= 1 for c in filled)
        sure = [rank for rank in RANKS if (row[f"{rank}_confidence"] or 0) >= 0.9]
        assert row["rank"] in (*sure, None) and (row["novel"] or row["rank"] == (sure[-1] if sure else None))
        assert row["taxon"] == (row[row["rank"]] if row["rank"] else None)
        assert row["confidence"] == (row[f"{row['rank']}_confidence"] if row["rank"] else None)
        assert row["best_guess"] == [row[rank] for rank in RANKS if row[rank]][-1] and row["best_guess_confidence"] == filled[-1]
        assert row["method"] == method and len(row["neighbours"]) == 5
        scores = [n["score"] for n in row["neighbours"]]
        assert scores == sorted(scores, reverse=True) and row["neighbours"][0]["id"].startswith("g")


def test_neighbours_carry_their_own_taxon_and_cosine():
    row = DEFAULT.identify((["one"], QUERIES.vectors[:1])).to_pylist()[0]
    best = np.argsort(-(GALLERY.vectors @ QUERIES.vectors[0]), kind="stable")[:5]
    assert [n["id"] for n in row["neighbours"]] == GALLERY.ids[best].tolist()
    assert [n["taxon"] for n in row["neighbours"]] == [TAX.name(int(t)) for t in GALLERY.taxa[best]]
    assert row["id"] == "one" and row["image_path"] is None


def test_rows_keep_the_order_and_paths_of_the_queries():
    order = np.random.default_rng(5).permutation(len(QUERIES))
    ids = [f"x{i}" for i in order]
    table = DEFAULT.identify((ids, QUERIES.vectors[order] * 7), image_paths=[f"{i}.png" for i in order])
    plain = DEFAULT.identify(QUERIES)
    assert table["id"].to_pylist() == ids and table["image_path"].to_pylist() == [f"{i}.png" for i in order]
    assert table["species"].to_pylist() == plain["species"].take(pa.array(order)).to_pylist()


def test_an_unsure_answer_rolls_back_and_a_hopeless_one_is_null():
    identifier = fit(calibration=HELD)
    between = centre(0) + centre(1)  # two species of one genus
    nowhere = np.random.default_rng(9).normal(size=DIM)
    table = identifier.identify((["between", "nowhere"], np.array([between, nowhere])))
    rows = table.to_pylist()
    assert rows[0]["rank"] != "species" and rows[0]["class"] == "Copepoda"
    strict = fit("linear", gallery=make([4] * 7, 0, "g", noise=0.5), threshold=1.0).identify(QUERIES)
    assert strict["taxon"].null_count == len(QUERIES) and strict["rank"].null_count == len(QUERIES)
    assert strict["confidence"].null_count == len(QUERIES) and strict["kingdom"].null_count < len(QUERIES)
    counts = [len(QUERIES) - identifier.with_threshold(t).identify(QUERIES)["taxon"].null_count for t in (0.5, 0.9, 0.999, 1.0)]
    assert counts == sorted(counts, reverse=True)


def test_homonyms_are_not_mixed():
    table = DEFAULT.identify(QUERIES).to_pylist()
    for row, node in zip(table, QUERIES.taxa, strict=True):
        path = TAX.path(int(node))
        if path[2] == "Calanus":
            assert (row["kingdom"], row["genus"]) == (path[0], "Calanus")


def test_a_held_out_taxon_is_more_novel_and_known_ones_are_seldom_flagged():
    gallery = make([60, 60, 60, 0, 60, 60, 60], 0, "g")
    identifier = fit(gallery=gallery, calibration=make([40, 40, 40, 0, 40, 40, 40], 1, "c"))
    known = identifier.identify(make([40, 40, 40, 0, 40, 40, 40], 2, "k"))
    novel = identifier.identify(make([0, 0, 0, 40, 0, 0, 0], 3, "n"))
    assert np.mean(novel["novelty"].to_numpy()) > np.mean(known["novelty"].to_numpy())
    assert np.mean(novel["novel"].to_pylist()) > 0.5
    assert np.mean(known["novel"].to_pylist()) == pytest.approx(0.05, abs=0.05)


@pytest.mark.parametrize("method", ["nearest", "class-mean-euclidean", "simpleshot", "linear"])
def test_saved_and_loaded_it_answers_the_same(method, tmp_path):
    identifier = fit(method, calibration=HELD, within="Animalia")
    folder = identifier.save(tmp_path / "identifier")
    again = Identifier.load(folder)
    first, second = identifier.identify(QUERIES), again.identify(QUERIES)
    assert first.equals(second)
    with pytest.raises(BiocosmosError, match="were used to calibrate"):
        again.identify(HELD)
    # and it left word of what it was made from, for whoever judges it
    for ids, did in ((again.known.ids[:2], "trained"), (HELD.ids[:2], "calibrated")):
        with pytest.raises(BiocosmosError, match=rf"of the 2 specimens asked about, 2 \(.*\) {did} the identifier in"):
            guard.refuse(ids, folder)
    guard.refuse(QUERIES.ids, folder)
    identifier.with_threshold(0.5).save(folder)
    assert Identifier.load(folder).threshold == 0.5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BiocosmosError, match="is not an identifier"):
        identifier.save(tmp_path / "mine")
    with pytest.raises(BiocosmosError, match="is not an identifier"):
        Identifier.load(tmp_path / "nothing")


def test_leaks_are_refused():
    with pytest.raises(BiocosmosError, match=r"84 calibration specimens are also in the gallery \(.*c\d+"):
        fit(gallery=make([12] * 7, 1, "c"), calibration=HELD)
    with pytest.raises(BiocosmosError, match="queries are among the specimens"):
        DEFAULT.identify(GALLERY.subset(np.array([3])))
    with pytest.raises(BiocosmosError, match="1 queries were used to calibrate"):
        fit(calibration=HELD).identify((["c5"], QUERIES.vectors[:1]))


def test_another_encoder_is_refused():
    for change in ({"digest": "xyz"}, {"preprocessing": {"size": 9}}):
        other = {"encoder": {**FACTS["encoder"], **change}}
        with pytest.raises(BiocosmosError, match="embedded with other"):
            DEFAULT.identify(make([1] * 7, 2, "q", provenance=other))
        with pytest.raises(BiocosmosError, match="calibration specimens were embedded"):
            fit(calibration=make([2] * 7, 2, "c", provenance=other))
        with pytest.raises(BiocosmosError, match="embedded with other"):
            DEFAULT.identify((["a"], QUERIES.vectors[:1]), provenance=other)
    with pytest.raises(BiocosmosError, match="the texts were embedded with other weights"):
        Identifier.fit(GALLERY, method="zero-shot", encoder=Texts("other"))


@pytest.mark.parametrize("method", ["nearest", "centroid", "simpleshot", "linear", "zero-shot"])
def test_within_and_a_list_narrow_the_candidates(method, tmp_path):
    inside = fit(method, within="Copepoda").identify(QUERIES)
    assert set(inside["class"].to_pylist()) == {"Copepoda"}
    assert {n["taxon"].split()[0] for row in inside["neighbours"].to_pylist() for n in row} == {"Calanus", "Oithona"}
    path = tmp_path / "list.csv"
    path.write_text("name\nOithona similis\nNemo\nCalanus\nHydrozoa\n\nkingdom:Plantae\n")
    identifier = fit(method, taxa=path)
    assert {row.id: row.row for row in identifier.failures} == {"Nemo": 2, "Calanus": 3}
    assert any("ambiguous" in row.reason or "several" in row.reason or "Plantae" in row.reason for row in identifier.failures)
    kept = {TAX.name(int(node)) for node in identifier.namer.classes}
    assert kept == {"Oithona similis", "Solmaris rhodoloma", "Liriope", "Calanus alba"}


def test_a_list_with_rank_columns_tells_homonyms_apart(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("kingdom,genus,note\nPlantae,Calanus,a\nAnimalia,Oithona,b\nPlantae,Oithona,c\n,Calanus,d\n,,\n,,blank\n")
    identifier = fit(taxa=path)
    assert {TAX.name(int(node)) for node in identifier.namer.classes} == {"Calanus alba", "Oithona similis"}
    assert [(row.row, row.id) for row in identifier.failures] == [(3, "Oithona"), (4, "Calanus"), (5, None)]
    with pytest.raises(BiocosmosError, match="no name of the taxa list"):
        fit(taxa=["Nemo"])
    with pytest.raises(BiocosmosError, match="cannot read the taxa list"):
        fit(taxa=tmp_path / "missing.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("text", ["kingdom;genus;Anmerkung\nPlantae;Calanus;für a\nAnimalia;Oithona;b\n", "sep=;\nx"])
def test_a_list_comes_with_any_separator_and_encoding(tmp_path, text, encoding):
    path = tmp_path / "list.csv"
    text = text.replace("sep=;\nx", "sep=|\r\nnote|name\r\nfür a|Calanus alba\r\nb|Oithona\r\n")
    for sign in (";", "\t", ","):
        path.write_bytes(text.replace(";", sign).encode(encoding))
        identifier = fit(taxa=path)
        assert {TAX.name(int(node)) for node in identifier.namer.classes} == {"Calanus alba", "Oithona similis"}
        assert [row.severity for row in identifier.failures] == (["warning"] if encoding == "cp1252" else [])


def test_listed_taxa_without_specimens_are_a_warning():
    gallery = make([10, 10, 10, 0, 10, 10, 10], 0, "g")
    identifier = fit(gallery=gallery, taxa=["Solmaris", "Oithona", "Liriope"])
    assert [(row.id, row.severity) for row in identifier.failures] == [("Solmaris", "warning")]


def test_text_also_names_taxa_without_specimens():
    gallery = make([10, 10, 10, 0, 10, 10, 10], 0, "g")
    table = fit("zero-shot", gallery=gallery, taxa=["Solmaris", "Oithona", "Liriope"]).identify(
        make([0, 0, 0, 5, 0, 0, 0], 2, "q")
    )
    assert set(table["species"].to_pylist()) == {"Solmaris rhodoloma"}


def test_small_and_single_specimen_classes_do_not_break_anything():
    for method in ("nearest", "class-mean", "simpleshot", "linear", "zero-shot"):
        ones = fit(method, gallery=make([1] * 7, 0, "g"))
        table = ones.identify(QUERIES)
        assert table.num_rows == len(QUERIES) and table["confidence"].null_count < len(QUERIES) + 1
        mixed = fit(method, gallery=make([1, 2, 3, 1, 5, 2, 1], 0, "g")).identify(QUERIES)
        assert np.isfinite(mixed["kingdom_confidence"].drop_null().to_numpy()).all()


def test_bad_input_is_refused_in_one_clear_line():
    bare = Gallery.build(["a", "b"], np.eye(2, DIM))
    empty = GALLERY.subset(np.zeros(len(GALLERY), bool))
    blank = Gallery.build(["a", "b"], np.eye(2, DIM), taxa=[0, 0], taxonomy=TAX)
    for gallery, says in ((bare, "has no taxa"), (empty, "is empty"), (blank, "none of the gallery's 2 specimens")):
        with pytest.raises(BiocosmosError, match=says):
            fit(gallery=gallery)
    with pytest.raises(BiocosmosError, match="at least two taxa"):
        fit(within="Oithona")
    with pytest.raises(BiocosmosError, match="choose one of"):
        fit("magic")
    with pytest.raises(BiocosmosError, match="not a confidence"):
        fit(threshold=90)
    with pytest.raises(BiocosmosError, match="text tower"):
        Identifier.fit(GALLERY, method="zero-shot")
    bad = QUERIES.vectors[:2].copy()
    bad[1, 0] = np.nan
    with pytest.raises(BiocosmosError, match="id q-b"):
        DEFAULT.identify((["q-a", "q-b"], bad))
    with pytest.raises(BiocosmosError, match=f"3 dimensions and the gallery {DIM}"):
        DEFAULT.identify((["a"], np.ones((1, 3))))
    with pytest.raises(BiocosmosError, match="2 query ids for 1 vectors"):
        DEFAULT.identify((["a", "b"], QUERIES.vectors[:1]))
    with pytest.raises(BiocosmosError, match="another taxonomy"):
        other = Taxonomy.from_table({"species": ["x", "y"]})
        fit(calibration=Gallery.build(["a"], np.eye(1, DIM), taxa=[1], taxonomy=other))
    none = DEFAULT.identify(([], np.empty((0, DIM))))
    assert none.num_rows == 0 and none.schema.equals(DEFAULT.identify(QUERIES).schema)


def test_taxa_of_one_specimen_foretell_specimens_of_unseen_taxa():
    many = fit(gallery=make([20, 20, 20, 20, 1, 1, 1], 0, "g"), error_rate=0.2)
    assert "3 of the 83 known specimens are alone in their taxon" in many.notes[-1] and "about 4% will be" in many.notes[-1]
    assert not any("alone" in note for note in fit(error_rate=0.2).notes)


def test_unlabelled_specimens_neither_name_nor_support():
    labelled = np.where(np.arange(len(GALLERY)) % 2, GALLERY.taxa, 0)
    half = Gallery.build(GALLERY.ids, GALLERY.vectors, taxa=labelled, taxonomy=TAX, provenance=FACTS)
    identifier = fit(gallery=half)
    assert len(identifier.known) == int((labelled > 0).sum())
    assert None not in {n["taxon"] for row in identifier.identify(QUERIES)["neighbours"].to_pylist() for n in row}


def test_provenance_says_what_made_the_answers():
    table = fit("linear", calibration=HELD, within="Animalia").identify(QUERIES)
    facts = json.loads(table.schema.metadata[PROVENANCE_KEY])
    assert facts["encoder"]["digest"] == "abc" and facts["gallery"]["split"] == {"hash": "h1"}
    assert facts["method"] == "linear" and facts["threshold"] == 0.9 and facts["settings"]["within"] == "Animalia"
    assert facts["calibration"]["source"].startswith("60 specimens") and facts["calibration"]["ranks"]["species"]["points"] == 48
    assert facts["software"]["biocosmos"] and facts["taxonomy"] == TAX.digest


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_an_error_rate_is_promised_by_every_method(method):
    held = make([60] * 7, 1, "c")
    identifier = fit(method, calibration=held, error_rate=0.1, promise="answered", delta=0.2)
    facts = identifier.provenance()
    assert facts["promise"]["alpha"] == 0.1 and facts["promise"]["delta"] == 0.2 and facts["promise"]["kind"] == "answered"
    assert facts["promise"]["specimens"] == 315  # a quarter of the 420 fits confidence
    assert "promised: with probability 0.8, at most 0.1 of the answers" in identifier.describe()
    for kind, most in (("mean", 0.1), ("answered", 0.1)):
        table = fit(method, calibration=held, error_rate=0.1, promise=kind).identify(QUERIES)
        assert wrong(table, QUERIES) <= most * len(QUERIES) and table["taxon"].null_count < len(QUERIES) / 2
    crossed = fit(method, error_rate=0.1).identify(QUERIES)
    assert wrong(crossed, QUERIES) <= 0.1 * len(QUERIES)
    assert "cross-fitted" in fit(method, error_rate=0.1).settings["held_out"]


def wrong(table, queries):
    """How many answers are neither the truth nor above it."""
    truth = {name: TAX.path(int(node)) for name, node in zip(queries.ids, queries.taxa, strict=True)}
    return sum(row["taxon"] is not None and row["taxon"] not in truth[row["id"]] for row in table.to_pylist())


RESPLITS = [("calibration gallery", "mean"), ("cross-fitted", "mean"), ("calibration gallery", "answered")]


@pytest.mark.parametrize(("held", "kind"), RESPLITS)
def test_the_linear_namer_keeps_its_promise_on_resplits(held, kind):
    """Mean of the wrong share over resplits, within two standard errors of the rate; "answered": one of ten may break it."""
    rate, shares = 0.2, []
    for seed in range(8):
        gallery, queries = make([16] * 7, 3 * seed, "g", noise=0.35), make([40] * 7, 3 * seed + 2, "q", noise=0.35)
        calibration = make([16] * 7, 3 * seed + 1, "c", noise=0.35) if held == "calibration gallery" else None
        identifier = fit("linear", gallery=gallery, calibration=calibration, error_rate=rate, promise=kind, seed=seed)
        table = identifier.identify(queries)
        answered = len(table) - table["taxon"].null_count
        shares.append(wrong(table, queries) / (len(table) if kind == "mean" else max(1, answered)))
        assert answered > 0
    if kind == "mean":
        assert np.mean(shares) <= rate + 2 * np.std(shares, ddof=1) / len(shares) ** 0.5
    else:
        assert sum(share > rate for share in shares) <= 3  # more than 3 of 8 at 0.1 has probability 0.005


def test_a_promise_is_refused_where_asked_for_and_impossible_and_gives_way_where_not():
    few = make([2] * 7, 1, "c")
    with pytest.raises(BiocosmosError, match="smallest possible is"):
        fit(calibration=few, error_rate=0.01)
    quiet = Identifier.fit(GALLERY, method="nearest", calibration=few)
    assert quiet.promise is None and quiet.threshold == 0.9 and "no error rate is promised" in quiet.notes[-1]
    ones = make([1] * 7, 0, "g")
    with pytest.raises(BiocosmosError, match="every taxon has one only"):
        fit(gallery=ones, error_rate=0.1)
    assert Identifier.fit(ones, method="nearest").notes[0].startswith("no specimen could be held out")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 0.9, "error_rate": 0.05}, "an error rate has no effect"),
        ({"threshold": 0.9, "promise": "mean"}, "a promise has no effect"),
        ({"promise": "mean", "delta": 0.1}, "delta is of the promise 'answered'"),
        ({"promise": "surely", "error_rate": 0.1}, "no promise 'surely'"),
        ({"error_rate": 1.5}, "must be between 0 and 1"),
        ({"threshold": 0.9, "false_alarm_rate": 0.0}, "is not a share of specimens"),
        ({"threshold": 0.9, "novelty": "smell"}, "no novelty detector 'smell'"),
        ({"threshold": 0.9, "class_weight": "balanced"}, "has no class_weight: leave it out, or choose linear"),
        ({"threshold": 0.9, "templates": ["{name}"]}, "has no templates: leave it out, or choose zero-shot"),
    ],
)
def test_options_without_effect_are_refused(options, says):
    with pytest.raises(BiocosmosError, match=says):
        fit(**options)


def test_pybioclip_columns():
    table = DEFAULT.identify(QUERIES, image_paths=[None, *[f"{i}.jpg" for i in range(len(QUERIES) - 1)]])
    view = Identifier.pybioclip_table(table)
    assert view.column_names == (
        [
            "file_name",
            "kingdom",
            "phylum",
            "class",
            "order",
            "family",
            "genus",
            "species_epithet",
            "species",
            "common_name",
            "score",
        ]
    )
    for ours, theirs in zip(table.to_pylist(), view.to_pylist(), strict=True):
        assert theirs["file_name"] == (ours["image_path"] or ours["id"]) and theirs["score"] == ours["confidence"]
        if ours["rank"] == "species" and " " in ours["species"]:
            assert theirs["species"] == ours["species"] and ours["species"].endswith(theirs["species_epithet"])
        if ours["rank"] in (None, "kingdom"):
            assert theirs["genus"] is None
        assert theirs["phylum"] is None and theirs["common_name"] is None


def test_zero_shot_prompts_and_user_templates(tmp_path):
    node = TAX.find("Oithona similis")
    assert "a photo of the species Oithona similis." in prompts(TAX, node)
    assert "a photo of Animalia Copepoda Oithona Oithona similis." in prompts(TAX, node) and len(prompts(TAX, node)) == len(
        TEMPLATES
    )
    path = tmp_path / "templates.txt"
    path.write_text("# mine\n\nshadowgraph of {name}\n{lineage}\n")
    assert read_templates(path) == ("shadowgraph of {name}", "{lineage}")
    path.write_text("a photo\n")
    with pytest.raises(BiocosmosError, match="names no taxon"):
        read_templates(path)
    with pytest.raises(BiocosmosError, match="no template"):
        fit("zero-shot", templates=())


@pytest.mark.parametrize("method", ["nearest", "linear", "class-mean-euclidean"])
def test_a_stream_of_blocks_says_what_the_whole_says(method, monkeypatch):
    whole = fit(method, calibration=HELD, sets="species").identify(QUERIES)
    monkeypatch.setattr(namer, "block_rows", lambda _: 5)
    identifier = fit(method, calibration=HELD, sets="species")
    blocks = [Specimens(QUERIES.ids[a : a + 13], vectors=QUERIES.vectors[a : a + 13]) for a in range(0, len(QUERIES), 13)]
    said = [answered.table for answered in identifier.stream(iter(blocks))]
    assert max(map(len, said)) == 5
    parts = pa.concat_tables(said)
    for name in whole.column_names:
        if whole[name].type == pa.float64():
            np.testing.assert_allclose(whole[name].to_numpy(), parts[name].to_numpy(), atol=1e-4)  # float32 scores
        elif name not in ("neighbours", "image_path"):
            assert whole[name].equals(parts[name]), name
    nothing = identifier.finished([answered.table for answered in identifier.stream([])])
    assert nothing.num_rows == 0 and nothing.schema.equals(whole.schema)


def test_an_encoder_stated_flat_beside_its_name_is_the_same_encoder():
    flat = {"encoder": "toy", "digest": "abc", "preprocessing": {"mean": [0.5, 0.5], "size": 8}, "collection": "somewhere"}
    gallery = make([3] * 7, 0, "g", provenance=flat)
    table = fit(gallery=gallery).identify(QUERIES)
    assert json.loads(table.schema.metadata[PROVENANCE_KEY])["encoder"]["name"] == "toy"
    with pytest.raises(BiocosmosError, match="other weights than the gallery"):
        fit(gallery=make([3] * 7, 0, "g", provenance={**flat, "digest": "xyz"})).identify(QUERIES)
