"""The report on token reductions from made-up measurements: figures written out, and a page that says them."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.tokens.overlays import overlay, plain
from biocosmos.evaluate.tokens.report import study
from biocosmos.evaluate.tokens.settings import LeftOut, Measured, Overlaid, Traced, pairs

GRID, IMAGES, QUERIES = (4, 4), 30, 200
PATCHES = 16
METHODS = {"topk": "prune", "evit": "prune", "tome": "merge", "atc": "merge"}


def traced(kind: str, keep: float, rng: np.random.Generator) -> Traced:
    counts = [max(1, int(PATCHES * keep**stage)) for stage in (1, 2, 3)]
    kept, sources = [], []
    score = rng.normal(size=(IMAGES, PATCHES))
    for count in counts:
        if kind == "prune":
            here = np.argsort(np.argsort(-score, 1), 1) < count
            kept.append(here)
            sources.append(np.where(here, here.cumsum(1) - 1, -1))
        else:
            sources.append(np.argsort(np.argsort(-score, 1), 1) % count)
    features = [rng.normal(size=(IMAGES, 5)) for _ in range(4)]
    return Traced([f"s{i}" for i in range(IMAGES)], GRID, [1, 2, 3], 4, sources, kept, features)


def measured(label: bool = False) -> list[Measured]:
    rng = np.random.default_rng(0)
    whole = (rng.random(QUERIES) < 0.8).astype(float)
    whole[:7] = np.nan
    dense = traced("merge", 1.0, rng)
    own = Traced(dense.ids, GRID, [1, 2, 3], 4, [], [], dense.features)
    found = [Measured("vit", "vit", "dense", "", "dense", whole, whole if label else None, np.ones(QUERIES), 1, 50.0, [], own)]
    for place, (method, kind) in enumerate(METHODS.items()):
        for keep in (0.5, 0.9):
            right = whole.copy()
            wrong = 20 + int((1 - keep) * 20 * (place + 1))
            right[20:wrong] = 0
            told = Measured(
                f"vit+{method}-{keep}",
                "vit",
                method,
                str(keep),
                kind,  # type: ignore[arg-type]
                right,
                right if label else None,
                np.full(QUERIES, 0.9),
                1 / keep,
                50.0,
                [8.0, 4.0, 2.0],
                traced(kind, keep, rng),
            )
            found.append(told)
    return found


@pytest.fixture(scope="module")
def report() -> Report:
    pixels = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    pictures = [Overlaid("s1", "Copepoda", pixels)]
    left_out = [LeftOut("vit+sit", "vit", "sit", "", "train it first")]
    return study(measured(), left_out, title="made up", pictures=pictures, boot=Bootstrap(draws=200))


def test_right_and_lost_are_shares_of_the_same_queries(report: Report) -> None:
    rows = {row["setting"]: row for row in report.rows("settings")}
    dense, half = rows["vit"], rows["vit+atc-0.5"]
    whole = measured()[0].recall
    asked = np.isfinite(whole)
    assert dense["accuracy"] == pytest.approx(whole[asked].mean()) and dense["queries"] == asked.sum() == QUERIES - 7
    lost = whole[20:60].sum() / asked.sum()  # atc at 0.5 gets (1 - 0.5) * 20 * 4 wrong that were right
    assert half["lost"] == pytest.approx(lost) and half["lost_low"] < lost < half["lost_high"]
    assert half["images_s"] == pytest.approx(100) and rows["vit+sit"]["status"] == "left out"


def test_what_nothing_beats_is_on_the_front(report: Report) -> None:
    rows = report.rows("settings", status="measured")
    for row in rows:
        beaten = any(
            other["accuracy"] >= row["accuracy"]
            and other["images_s"] >= row["images_s"]
            and (other["accuracy"], other["images_s"]) != (row["accuracy"], row["images_s"])
            for other in rows
        )
        assert row["front"] is not beaten


def test_what_drops_is_compared_by_kept_sets_and_what_merges_by_groups(report: Report) -> None:
    kinds = {row["method"]: row["kind"] for row in report.rows("settings", status="measured")}
    method = {row["setting"]: row["method"] for row in report.rows("settings")}
    for measure, kind in (("iou", "prune"), ("v_measure", "merge")):
        found = report.rows("patterns", measure=measure)
        assert found and all(kinds[method[row[side]]] == kind for row in found for side in ("first", "second"))
    assert {row["stage"] for row in report.rows("patterns", measure="cka")} == {"1", "2", "3", "last", "mean"}
    assert any(row["differ_in"] == "dense" for row in report.rows("patterns", measure="pwcca"))


def test_pairs_differ_in_one_thing() -> None:
    settings = measured()
    found = {(settings[i].name, settings[j].name): over for i, j, over in pairs(settings)}
    assert found["vit+topk-0.5", "vit+topk-0.9"] == "keep" and found["vit+topk-0.5", "vit+atc-0.5"] == "method"
    assert found["vit", "vit+atc-0.9"] == "dense" and ("vit+topk-0.5", "vit+atc-0.9") not in found


def test_the_proxy_tells_pairs_at_one_keep_rate_from_all(report: Report) -> None:
    rows = {(row["over"], row["stage"]): row for row in report.rows("proxy", measure="cka")}
    # of four methods at two rates: 2 x 6 pairs at one rate; 4 more of two rates and 8 with the dense encoder
    assert rows["methods at one keep rate", "mean"]["pairs"] == 12 and rows["all pairs", "mean"]["pairs"] == 24
    assert all(-1 <= row["spearman_low"] <= row["spearman_high"] <= 1 for row in rows.values())


def test_the_page_says_it(report: Report, tmp_path: Path) -> None:
    text = report.html(tmp_path / "page.html").read_text()
    for words in ("vit+atc-0.5", "train it first", "s1 at keep 0.5", "Copepoda", "By chance alone", "methods at one keep rate"):
        assert words in text, words
    assert "{{" not in text and not re.search(r"\bnan\b", re.sub(r"data:image[^\"]*", "", text), re.IGNORECASE)


def test_labels_of_the_head_count_where_every_encoder_has_one() -> None:
    assert study(measured(label=True), title="").provenance["judged_by"] == "label"
    mixed = [*measured(label=True)[:1], *measured()[1:]]
    assert study(mixed, title="").provenance["judged_by"] == "recall@1"


def test_nothing_measured_and_other_queries_are_refused() -> None:
    with pytest.raises(BiocosmosError, match="no setting was measured"):
        study([], title="")
    one, two = measured()[:2]
    short = Measured(**{**vars(two), "recall": two.recall[:-1]})
    with pytest.raises(BiocosmosError, match="other queries"):
        study([one, short], title="")


def test_dropped_patches_are_greyed_and_merged_ones_coloured() -> None:
    pixels = np.full((32, 32, 3), 255, np.uint8)
    pixels[:16] = 0

    def drawn(uri: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))).astype(float)

    source = np.arange(16)
    source[0], source[15] = -1, -1
    source[5] = source[6] = 5
    found, before = drawn(overlay(pixels, source, GRID)), drawn(plain(pixels))
    side = found.shape[0] // 4

    def middle(image: np.ndarray, patch: int) -> np.ndarray:
        row, column = (place * side + side // 3 for place in divmod(patch, 4))
        return np.asarray(image[row : row + side // 6, column : column + side // 6].mean((0, 1)))

    assert np.ptp(middle(found, 0)) < 6 and 80 < middle(found, 0).mean() < 140  # black that was dropped is lighter,
    assert np.ptp(middle(found, 15)) < 6 and 140 < middle(found, 15).mean() < 200  # white that was dropped is darker
    assert np.ptp(middle(found, 5)) > 40 and np.allclose(middle(found, 5), middle(found, 6), atol=8)
    assert np.allclose(middle(found, 9), middle(before, 9), atol=8)
