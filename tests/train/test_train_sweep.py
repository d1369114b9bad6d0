"""A sweep over numbers of clusters: resumable, honest about what it looked at, one page at the end."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.discover.choice.embeddings import cross_scale_recall, neighbour_agreement, neighbour_margin, rank_me
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report, read_tables
from biocosmos.train.unicom.settings import UnicomSettings, unicom_settings
from biocosmos.train.unicom.sweep import sweep

COUNTS = [4, 12, 40, 5000, 1]
SETTINGS: UnicomSettings = unicom_settings(freeze=True, epochs=2, batch_size=64, dim=32)


@pytest.fixture(scope="module")
def swept(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    folder = tmp_path_factory.mktemp("sweep")
    return sweep(embedded, SETTINGS, COUNTS, folder), folder


def test_every_possible_count_is_trained_and_the_others_are_named(swept: tuple[Report, Path], embedded: bc.Collection) -> None:
    report, folder = swept
    assert {row["clusters"] for row in report.rows("choice")} == {None, 4, 12, 40}
    images = embedded.count(split="train")
    reasons = {row["what"]: row["reason"] for row in report.rows("skipped")}
    assert f"only {images} training images" in reasons["5,000 clusters"] and "1 clusters" in reasons
    assert list(embedded.encoders) == ["efficientnet-lite0"], "a frozen sweep adds no column"
    assert bc.load_encoder(str(folder / "clusters-12")).dim == 32
    with pytest.raises(BiocosmosError, match=r"no number of clusters is possible.*ask for 2 to"):
        sweep(embedded, SETTINGS, [100000], folder)


def test_recall_is_what_a_naive_search_of_the_saved_encoder_finds(swept: tuple[Report, Path], embedded: bc.Collection) -> None:
    report, folder = swept
    from biocosmos.encoders.registry import load_towers

    projection = load_towers(str(folder / "clusters-40")).projection
    assert projection is not None
    import torch

    train, test = (embedded.gallery("efficientnet-lite0", split=part) for part in ("train", "test"))
    with torch.no_grad():
        x, q = (torch.nn.functional.normalize(projection(torch.from_numpy(g.vectors)), dim=1).numpy() for g in (train, test))
    assert train.columns is not None and test.columns is not None
    names, asked = (np.array(g.columns["label"].to_pylist()) for g in (train, test))
    naive = (names[(q @ x.T).argmax(1)] == asked).mean()
    row = report.rows("summary", model="40 clusters", part="test", target="label", average="micro")[0]
    assert row["value"] == pytest.approx(naive, abs=1 / len(asked) + 1e-9)
    assert {row["model"] for row in report.rows("summary")} == {"base", "4 clusters", "12 clusters", "40 clusters", "true taxa"}


def test_the_choice_is_the_highest_score_on_validation_and_knows_no_label(
    swept: tuple[Report, Path],
) -> None:
    report, _ = swept
    trained = [row for row in report.rows("choice") if row["clusters"]]
    best = max(trained, key=lambda row: row["cross-scale recall"])
    assert [row["clusters"] for row in trained if row["chosen"]] == [best["clusters"]]
    assert report.provenance["chosen"]["clusters"] == best["clusters"]
    assert any("chosen without a label" in caveat for caveat in report.caveats)


def test_a_finished_count_is_not_trained_again(
    swept: tuple[Report, Path], embedded: bc.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, folder = swept

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("biocosmos.train.unicom.training.fit", refuse)
    again = sweep(embedded, SETTINGS, COUNTS, folder)
    for name in ("summary", "choice", "criteria"):
        assert again.rows(name) == report.rows(name)


def test_the_page_stands_alone_and_draws_every_rank(swept: tuple[Report, Path]) -> None:
    report, folder = swept
    html = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="http', html)
    assert html.count("<figure>") >= 4 + 8 + 3
    for words in ("clusters chosen", "Every rank", "How the number was chosen", "true taxa", "What cannot be concluded"):
        assert words in html
    assert {"summary", "choice"} <= set(read_tables(folder))
    assert report.headlines()[0]["what"] == "clusters chosen"


def test_scores_without_labels_agree_with_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(n, 12)).astype(np.float32) for n in (60, 9))
    gallery, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (gallery, queries))
    draw, shares = np.random.default_rng(5), []
    for _ in range(4):
        order = draw.permutation(12)
        found = []
        for half in (order[:6], order[6:]):
            g, q = (x[:, half] / np.linalg.norm(x[:, half], axis=1, keepdims=True) for x in (gallery, queries))
            found.append([set(np.argsort(-(g @ row))[:10]) for row in q])
        shares += [len(a & b) / 10 for a, b in zip(*found)]
    assert neighbour_agreement(gallery, queries, 5) == pytest.approx(np.mean(shares))
    doubled = np.concatenate([gallery, gallery], 1) / np.sqrt(2)
    assert neighbour_agreement(doubled, doubled[:9], 0) > neighbour_agreement(gallery, gallery[:9], 0)
    values = np.linalg.svd(queries, compute_uv=False)
    share = values / values.sum()
    assert rank_me(gallery, queries) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)
    cosines = np.sort(queries @ gallery.T, axis=1)[:, ::-1][:, :10]
    rest = cosines[:, 1:].mean(1)
    assert neighbour_margin(gallery, queries) == pytest.approx(((cosines[:, 0] - rest) / (1 - rest)).mean(), rel=1e-4)
    with pytest.raises(BiocosmosError, match="too few to score"):
        rank_me(gallery[:3], queries)


def test_cross_scale_recall_leaves_out_the_own_clusters_and_compares_with_the_others() -> None:
    right, wrong = np.array([1, 0, 3, 2]), np.array([2, 3, 0, 1])
    pairs = np.array([0, 0, 1, 1])  # rows 0 and 1 are alike, and rows 2 and 3
    first = {"base": wrong, "a": right, "b": right, "c": wrong}
    clusters = {"a": pairs, "b": pairs, "c": pairs}
    # a and b find the pairs of everybody, c of nobody; of those not trained on a's clusters (b and c) one half does, and so on
    found = cross_scale_recall(first, clusters)
    assert found == {"a": pytest.approx((1 / 0.5 + 1 / 1) / 2), "b": pytest.approx((1 / 0.5 + 1 / 1) / 2), "c": 0.0}
    assert cross_scale_recall(first, {"a": pairs, "b": pairs}) == {}


def test_a_sweep_over_taxa_is_refused(embedded: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="leave --taxa and --labels out"):
        sweep(embedded, UnicomSettings(taxa="label", freeze=True), [4], tmp_path)
