"""Few-shot: folds that depend on the seed alone, SimpleShot written out, and what is left out."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.few_shot.report import _draw, few_shot
from biocosmos.search.gallery import Gallery

SIZES = {"common": 30, "scarce": 12, "rare": 4, "single": 1}


def specimens(noise: float = 0.8, order: np.ndarray | None = None, name: str = "toy") -> Gallery:
    names = [taxon for taxon, size in SIZES.items() for _ in range(size)]
    x = np.eye(4)[[list(SIZES).index(n) for n in names]] + noise * np.random.default_rng(3).normal(size=(len(names), 4))
    rows = np.arange(len(names)) if order is None else order
    table = pa.table({"species": [names[i] for i in rows]})
    return Gallery.build([f"i{i:02}" for i in rows], x[rows], table=table, provenance={"encoder": name})


def naive(gallery: Gallery, train: list[int], test: list[int], labels: list[str]) -> dict[str, list[bool]]:
    mean = np.mean([gallery.vectors[i] for i in train], axis=0)

    def centred(i: int) -> np.ndarray:
        z = gallery.vectors[i].astype(np.float64) - mean
        return z / np.linalg.norm(z)

    taxa = sorted({labels[i] for i in train})
    means = {t: np.mean([centred(i) for i in train if labels[i] == t], axis=0) for t in taxa}
    out: dict[str, list[bool]] = {t: [] for t in taxa}
    for i in test:
        out[labels[i]].append(min(taxa, key=lambda t: float(np.linalg.norm(centred(i) - means[t]))) == labels[i])
    return out


@pytest.mark.parametrize("k", [1, 5])
def test_accuracy_is_simpleshots_on_the_folds_drawn(k):
    gallery = specimens()
    report = few_shot({"toy": gallery}, folds=3, seed=7)
    labels = [str(gallery.taxonomy.names[t]) for t in gallery.taxa]
    kept = {t for t, size in SIZES.items() if size > k}
    for fold in range(3):
        codes = np.unique(gallery.taxa, return_inverse=True)[1]
        place = _draw(gallery.ids.astype(str), codes, np.random.default_rng(7 + fold))
        train = [i for i in range(len(labels)) if labels[i] in kept and place[i] < k]
        test = [i for i in range(len(labels)) if labels[i] in kept and place[i] >= k]
        assert sorted(labels[i] for i in train) == sorted(k * list(kept))
        right = naive(gallery, train, test, labels)
        micro, macro = (report.rows("folds", shots=k, fold=fold, average=a)[0] for a in ("micro", "macro"))
        assert micro["value"] == pytest.approx(np.mean([hit for hits in right.values() for hit in hits]))
        assert macro["value"] == pytest.approx(np.mean([np.mean(hits) for hits in right.values()]))
        assert (micro["queries"], micro["taxa"]) == (len(test), len(kept))
    (row,) = report.rows("summary", shots=k, average="macro")
    values = [r["value"] for r in report.rows("folds", shots=k, average="macro")]
    assert (row["mean"], row["deviation"]) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert any("1 taxon with 1 training image and 2 taxa with 5 training images" in c for c in report.caveats)


def test_folds_do_not_depend_on_the_order_of_rows_nor_on_other_shots_or_encoders():
    plain, shuffled = specimens(), specimens(order=np.random.default_rng(1).permutation(sum(SIZES.values())))
    one = few_shot({"a": plain}, shots=(5,)).rows("folds")
    assert few_shot({"a": shuffled}, shots=(5,)).rows("folds") == one
    both = few_shot({"a": shuffled, "b": plain}, shots=(1, 5))
    assert both.rows("folds", encoder="a", shots=5) == one
    assert [r["value"] for r in both.rows("folds", encoder="b")] == [r["value"] for r in both.rows("folds", encoder="a")]
    assert all(row["mean"] == row["deviation"] == row["better_folds"] == 0 for row in both.rows("differences"))
    codes = np.unique(plain.taxa, return_inverse=True)[1]
    place = _draw(plain.ids.astype(str), codes, np.random.default_rng(0))
    assert (place < 1).sum() == len(SIZES)  # and the one of k = 1 is among the five of k = 5, by being the first


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(BiocosmosError, match="at least two taxa with more than 30"):
        few_shot({"a": specimens()}, shots=(30,))
    with pytest.raises(BiocosmosError, match="at least 1 shot"):
        few_shot({"a": specimens()}, shots=(0,))
    with pytest.raises(BiocosmosError, match="not of the same specimens"):
        few_shot({"a": specimens(), "b": specimens(order=np.arange(40))})
    with pytest.raises(BiocosmosError, match="labelled"):
        few_shot({"a": Gallery.build(["x", "y"], np.eye(2))})
    page = few_shot({"a": specimens(), "b": specimens(0.5)}).html(tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Guessing would be right" in page
    assert not re.search(r"\b(nan|None)\b", page)
