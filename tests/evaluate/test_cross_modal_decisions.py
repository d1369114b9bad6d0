"""Open-world decisions against CLIBD's grid in a loop, rank back-off against counting, damage against its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.back_off import UNANSWERED, back_off_scores
from biocosmos.evaluate.cross_modal.damage import DAMAGES, Damage
from biocosmos.evaluate.cross_modal.decisions import (
    Choices,
    best_threshold,
    decision_curve,
    decision_scores,
    linear_choices,
    nearest_choices,
)
from biocosmos.evaluate.cross_modal.report import Findings, cross_modal_report
from biocosmos.evaluate.cross_modal.sides import Side
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

SIZES = ("keys", "unseen_keys", "seen", "unseen")


def choices(rng: np.random.Generator, n: int, seen: bool) -> Choices:
    """Queries whose score tells a little which side is right."""
    score = np.clip(rng.normal(0.7 if seen else 0.5, 0.15, n), 0, 1)
    true = rng.integers(0, 4, n)
    by_seen = np.where(rng.random(n) < (0.8 if seen else 0.0), true, 9)
    by_unseen = np.where(rng.random(n) < (0.1 if seen else 0.6), true, 9)
    true[rng.random(n) < 0.1] = -1
    return Choices(score, {"species": true}, {"species": by_seen}, {"species": by_unseen})


def accuracy(part: Choices, t: float) -> float:
    """Species micro top-1 at a threshold, as published."""
    right = []
    for score, true, a, b in zip(part.score, *(side["species"] for side in (part.true, part.by_seen, part.by_unseen))):
        if true >= 0:
            right.append((a if score > t else b) == true)
    return sum(right) / len(right)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_that_of_the_published_grid_or_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen, unseen = choices(rng, 90, True), choices(rng, 70, False)
    best_t, best = 0.0, -1.0
    for t in np.linspace(0, 1, 1000):
        a, b = accuracy(seen, t), accuracy(unseen, t)
        mean = 2 / (1 / a + 1 / b) if a and b else 0.0
        if mean > best:
            best_t, best = t, mean
    chosen = best_threshold(seen, unseen)
    assert chosen.harmonic_mean >= best - 1e-12
    a, b = accuracy(seen, chosen.t), accuracy(unseen, chosen.t)
    assert 2 / (1 / a + 1 / b) == pytest.approx(chosen.harmonic_mean)
    assert seen.right("species", np.array([best_t]))[0] == pytest.approx(accuracy(seen, best_t))


def test_the_threshold_of_validation_is_kept_for_test() -> None:
    rng = np.random.default_rng(7)
    validation, test = ([choices(rng, 60, True), choices(rng, 60, False)] for _ in range(2))
    chosen = best_threshold(*validation)
    micro, _ = decision_scores("nearest", chosen, *test, bootstrap=Bootstrap(0))
    assert micro["t"] == chosen.t
    assert (micro["seen"], micro["unseen"]) == pytest.approx([accuracy(part, chosen.t) for part in test])
    assert micro["seen_by_seen"] == pytest.approx((test[0].score > chosen.t).mean())
    oracle = best_threshold(*test)
    assert micro["oracle_harmonic_mean"] == pytest.approx(oracle.harmonic_mean)
    assert micro["harmonic_mean"] <= oracle.harmonic_mean
    curve = decision_curve("nearest", *test)
    assert max(row["harmonic_mean"] for row in curve) <= oracle.harmonic_mean + 1e-12
    nobody = Choices(np.ones(1), *({"species": np.array([-1])} for _ in range(3)))
    with pytest.raises(BiocosmosError, match="no query of the unseen part"):
        best_threshold(validation[0], nobody)


def test_both_schemes_name_seen_by_images_and_unseen_by_barcodes() -> None:
    """Six species about the axes; image and DNA vectors agree but for noise; the last two have DNA keys alone."""
    rng = np.random.default_rng(0)

    def side(species: list[int], each: int) -> Side:
        taxa = np.repeat(species, each)
        vectors = {}
        for modality in ("image", "dna"):
            made = np.eye(6, dtype=np.float32)[taxa] + rng.normal(0, 0.15, (len(taxa), 6)).astype(np.float32)
            vectors[modality] = made / np.linalg.norm(made, axis=1, keepdims=True)
        return Side(vectors, {"genus": taxa // 2, "species": taxa})

    seen_keys, unseen_keys = side([0, 1, 2, 3], 10), side([4, 5], 5)
    parts = {"seen": side([0, 1, 2, 3], 6), "unseen": side([4, 5], 6)}
    for made in (
        {p: nearest_choices(seen_keys, unseen_keys, q) for p, q in parts.items()},
        linear_choices(seen_keys, unseen_keys, parts),
    ):
        chosen = best_threshold(made["seen"], made["unseen"])
        rows = decision_scores("s", chosen, made["seen"], made["unseen"], bootstrap=Bootstrap(0))
        assert {(row["rank"], row["average"]) for row in rows} == {
            (r, a) for r in ("genus", "species") for a in ("micro", "macro")
        }
        assert all(row["harmonic_mean"] > 0.85 for row in rows)


def tree(species: int) -> tuple[Taxonomy, np.ndarray]:
    table = pa.table(
        {
            "order": ["Diptera"] * species,
            "genus": [f"G{'abcdef'[i // 3]}us" for i in range(species)],
            "species": [f"G{'abcdef'[i // 3]}us minor{'abcdefghijklmnopqr'[i]}" for i in range(species)],
        }
    )
    taxonomy = Taxonomy.from_table(table)
    return taxonomy, taxonomy.index(table)


def test_answers_stop_at_the_rank_that_can_be_trusted(tmp_path: Path) -> None:
    """Images tell the genus and not the species: answers at genus, and few wrong."""
    rng = np.random.default_rng(1)
    taxonomy, nodes = tree(18)

    def gallery(each: int, prefix: str, by_species: float) -> Gallery:
        kinds = np.repeat(np.arange(18), each)
        x = np.eye(24)[kinds // 3] + by_species * np.eye(24)[6 + kinds] + rng.normal(0, 0.05, (len(kinds), 24))
        return Gallery.build(
            [f"{prefix}{i}" for i in range(len(kinds))], x.astype(np.float32), taxa=nodes[kinds], taxonomy=taxonomy
        )

    keys, calibration, queries = gallery(5, "k", 0.3), gallery(20, "c", 0.0), gallery(20, "q", 0.0)
    rows, notes = back_off_scores(keys, calibration, queries, error_rates=(0.001, 0.1))
    assert len(notes) == 1 and "0%" in notes[0]
    assert [row["rank"] for row in rows] == ["species", "genus", "order", UNANSWERED]
    assert sum(row["answered"] for row in rows) == len(queries) and sum(row["share"] for row in rows) == pytest.approx(1)
    genus = rows[1]
    assert genus["share"] > 0.8 and genus["precision"] > 0.95
    assert genus["right"] + genus["wrong"] == genus["answered"] and genus["precision_low"] <= genus["precision"]
    assert sum(row["wrong"] for row in rows) <= 0.15 * len(queries)
    assert rows[2]["reached"] == pytest.approx(1 - rows[3]["share"])
    found = Findings([], back_off=rows)
    report = cross_modal_report(found, space="run", modalities=("image", "dna"), specimens=dict.fromkeys(SIZES, 1))
    text = report.html(tmp_path / "page.html").read_text()
    assert "at which rank can it be trusted?" in text and "Where the answer stops" in text and ">nan" not in text


def test_damage_is_what_its_words_say() -> None:
    barcode = "NN" + "ACGT" * 150 + "NNN"
    for damage in DAMAGES:
        (found,) = damage.of(["a"], [barcode], seed=3)
        if damage.missing:
            assert found is None
        elif damage.bases is not None:
            inner = "ACGT" * 150
            assert found == (inner[: damage.bases] if damage.end == "start" else inner[-damage.bases :])
        elif damage.errors:
            assert found is not None and len(found) == len(barcode) and found.count("N") == 5
            wrong = sum(a != b for a, b in zip(found, barcode))
            assert 0 < wrong < 2.5 * damage.errors * 600 + 6
            assert damage.of(["b", "a"], [barcode, barcode], seed=3)[1] == found, "one specimen does not depend on others"
            assert damage.of(["a"], [barcode], seed=4) != [found]
        else:
            assert found == barcode
    assert Damage(bases=100).of(["a", "b"], [None, "AC"]) == [None, "AC"]
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) == 11
