"""Zero-shot: what is written for a taxon, the average over sentences, and accuracies written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.zero_shot.report import zero_shot
from biocosmos.evaluate.zero_shot.texts import names_of, read_sentences, sentences, text_vectors
from biocosmos.jobs.evaluate import embedded, evaluate_collection
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy
from tiny_clip import save_tiny_clip

TABLE = pa.table(
    {
        "kingdom": ["Animalia"] * 4,
        "genus": ["Pica", "Pica", "Corvus", "Corvus"],
        "species": ["Pica hudsonia", "Pica pica", "corax", "Corvus_corone"],
    }
)
COMMON = ["black-billed magpie", None, "raven", " "]


class Letters:
    """A text tower that counts letters: a vector anyone can make again."""

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def birds(copies: int = 5) -> Gallery:
    rng = np.random.default_rng(0)
    species = np.repeat(np.arange(4), copies)
    x = Letters().encode_texts([TABLE["species"][s].as_py() for s in species.tolist()]) + 0.2 * rng.random((len(species), 26))
    return Gallery.build(
        [f"b{i}" for i in range(len(species))],
        x,
        table=TABLE.take(species),
        columns=pa.table({"vernacularName": [COMMON[s] for s in species]}),
    )


def test_what_stands_for_a_taxon():
    taxonomy = Taxonomy.from_table(TABLE)
    nodes = [taxonomy.find(name) for name in ("Pica hudsonia", "corax", "Corvus_corone")]
    words = names_of(taxonomy, np.array(nodes), {"Pica hudsonia": "black-billed magpie"})
    assert words["sci"] == ["Pica hudsonia", "Corvus corax", "Corvus corone"]
    assert words["com"] == ["black-billed magpie", "Corvus corax", "Corvus corone"]
    assert words["taxon"] == ["Animalia Pica hudsonia", "Animalia Corvus corax", "Animalia Corvus corone"]
    assert words["sci_com"][:2] == ["Pica hudsonia with common name black-billed magpie", "Corvus corax"]
    assert words["taxon_com"][0] == "Animalia Pica hudsonia with common name black-billed magpie"


def test_eighty_sentences_that_differ_and_name_the_taxon():
    shipped = sentences()
    assert len(shipped) == len(set(shipped)) == 80
    assert all(sentence.count("{name}") == 1 for sentence in shipped)


@pytest.mark.parametrize("kind", ["sci", "taxon_com"])
def test_accuracy_is_that_of_the_nearest_mean_of_sentences(kind):
    gallery, templates = birds(), ("a photo of {name}.", "{name} in nature")
    report = zero_shot({"letters": gallery}, {"letters": Letters()}, templates=templates, common="vernacularName")
    taxonomy = gallery.taxonomy
    candidates = [n for n in range(len(taxonomy)) if taxonomy.rank[n] == taxonomy.ranks.index("species")]
    written = dict(zip(report.table("texts")["taxon"].to_pylist(), report.table("texts")[kind].to_pylist()))
    means = []
    for text in written.values():
        mean = sum(Letters().encode_texts([template.replace("{name}", text)])[0].astype(np.float64) for template in templates)
        means.append(mean / np.linalg.norm(mean))
    ranked = [sorted(range(4), key=lambda c: -float(v @ means[c])) for v in gallery.vectors]
    for k in (1, 3):
        right = [candidates.index(t) in order[:k] for t, order in zip(gallery.taxa, ranked)]
        (row,) = report.rows(text=kind, k=k, average="micro")
        assert row["value"] == pytest.approx(np.mean(right))
    assert any("2 taxa of 4 have no common name" in caveat for caveat in report.caveats)


def test_text_vectors_do_not_depend_on_batches():
    names = [f"name {i} x{i * 7}" for i in range(30)]
    together = text_vectors(Letters(), names, sentences())
    assert np.array_equal(together[7:8], text_vectors(Letters(), names[7:8], sentences()))
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_what_is_refused(tmp_path):
    with pytest.raises(BiocosmosError, match="no text type 'latin'"):
        zero_shot({"l": birds()}, {"l": Letters()}, types=["latin"])
    (tmp_path / "t.txt").write_text("a photo of {lineage}\n")
    with pytest.raises(BiocosmosError, match=r"has no \{name\}"):
        read_sentences(tmp_path / "t.txt")
    with pytest.raises(BiocosmosError, match="labelled"):
        zero_shot({"l": Gallery.build(["x"], np.ones((1, 26)))}, {"l": Letters()})


def test_a_real_collection_with_an_open_clip_folder_embedded_on_demand(tiny_collection: bc.Collection, tmp_path: Path):
    folder = save_tiny_clip(tmp_path / "clip", seed=3)
    tiny_collection.make_split("stratified", seed=0)
    names, made = embedded(tiny_collection, [f"{folder}/"])
    assert names == made == [str(folder)]
    assert embedded(tiny_collection, [f"{folder}/"]) == (names, [])
    (tmp_path / "two.txt").write_text("a photo of {name}\n{name}\n")
    report = evaluate_collection(tiny_collection, encoder=tuple(names), protocol="zero-shot", templates=tmp_path / "two.txt")
    assert {row["text"] for row in report.rows()} == {"sci", "taxon"}
    assert report.rows(k=1, average="micro")[0]["queries"] == len(tiny_collection.gallery(names[0], split="test"))
    assert "Guessing would be right" in report.html(tmp_path / "page.html").read_text(encoding="utf-8")
    shots = evaluate_collection(tiny_collection, encoder=tuple(names), protocol="few-shot", queries="train")
    assert shots.provenance["split_hash"] == tiny_collection.split().hash
