"""--top k: the next likeliest taxa of every rank, from the calibrated probabilities of all; and samples of a stream."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.namers.names import NAMES
from biocosmos.identify.namers.registry import NAMERS
from biocosmos.identify.novelty.names import NAMES as DETECTOR_NAMES
from biocosmos.identify.novelty.registry import DETECTORS
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.runners_up import RunnersUp, column_names
from biocosmos.identify.sample import Sample

TOP = 4


@pytest.fixture(scope="module")
def asked(embedded: bc.Collection) -> tuple[Identifier, Predictions]:
    """An identifier, and what its namer says of the test part."""
    identifier = Identifier.fit(embedded.gallery(split="train"), method="centroid", threshold=0.5)
    test = embedded.gallery(split="test")
    from biocosmos.identify.namer import Specimens

    return identifier, identifier.namer.predict(Specimens(test.ids, vectors=np.asarray(test.vectors)))


def naive(calibration: Calibration, predictions: Predictions, row: int, rank: int, best: int) -> list[tuple[str, float]]:
    """All other nodes of the rank by their tempered p, each with the least of the confidences on the way to it."""
    taxonomy = predictions.taxonomy
    p = np.exp(calibration.temperatures.log_p(predictions)[row])
    found = []
    for node in range(1, len(taxonomy)):
        if taxonomy.rank[node] != rank or node == best or p[node] <= 0:
            continue
        way = [int(above) for above in taxonomy.lineage(np.array([node]))[0] if above >= 0]
        curves = [calibration.curves[int(taxonomy.rank[above])](p[[above]])[0] for above in way]
        found.append((-p[node], node, min(curves)))
    return [(str(taxonomy.name(node)), confidence) for _, node, confidence in sorted(found)]


def test_runners_up_are_the_likeliest_others_with_the_confidence_of_their_way(asked: tuple[Identifier, Predictions]) -> None:
    identifier, predictions = asked
    taxonomy, calibration = predictions.taxonomy, identifier.calibration
    table = identifier.answered(predictions, top=TOP).table
    best, confidence = calibration.best_path(predictions)
    for row in range(0, len(predictions), 7):
        for rank, name in enumerate(taxonomy.ranks):
            expected = naive(calibration, predictions, row, rank, int(best[row, rank]))[: TOP - 1]
            expected += [(None, None)] * (TOP - 1 - len(expected))
            found = [(table[f"{name}_{k}"][row].as_py(), table[f"{name}_{k}_confidence"][row].as_py()) for k in range(2, TOP + 1)]
            assert [taxon for taxon, _ in found] == [taxon for taxon, _ in expected]
            assert [each for _, each in found if each] == pytest.approx([each for _, each in expected if each], rel=1e-9)
    plain = identifier.answered(predictions).table
    assert table.select(plain.column_names).equals(plain)
    own = RunnersUp.of(predictions, calibration, np.full_like(best, -1), 1 + max(len(predictions.tree.nodes), 2))
    for row in range(len(predictions)):  # asked for without the best path, it stands among them with its own confidence
        for rank in np.flatnonzero(best[row] >= 0):
            at = np.flatnonzero(own.nodes[row, rank] == best[row, rank])
            assert own.confidence[row, rank, at] == pytest.approx(confidence[row, rank], rel=1e-9)


def test_columns_read_as_a_spreadsheet_does_and_no_rank_may_have_their_names() -> None:
    assert column_names(("genus", "species"), 3)[:3] == [
        ("genus_2", "genus_2_confidence"),
        ("genus_3", "genus_3_confidence"),
        ("species_2", "species_2_confidence"),
    ]
    assert column_names(("genus",), 1) == []
    with pytest.raises(BiocosmosError, match="the rank 'genus_2' has the name of a column of runners-up"):
        column_names(("genus", "genus_2"), 2)


def test_a_sample_of_a_stream_does_not_depend_on_where_it_was_broken_off() -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(size, 3)) for size in (50, 7, 120, 1, 80)]
    whole, kept = Sample(40, seed=3), []
    for number, block in enumerate(blocks):
        entering = whole.entering(number, len(block))
        kept.append((entering, block[entering]))
        whole.offer(number, len(block), entering, block[entering], pa.table({"x": block[entering, 0]}))
    again = Sample(40, seed=3)
    for number, (entering, part) in enumerate(kept):
        again.offer(number, len(blocks[number]), entering, part, pa.table({"x": part[:, 0]}))
    assert len(whole) == 40 and np.array_equal(whole.parts[0], again.parts[0]) and whole.parts[1].equals(again.parts[1])
    assert np.array_equal(whole.parts[0][:, 0], whole.parts[1]["x"].to_numpy())
    rows = [int(np.flatnonzero((np.concatenate(blocks) == row).all(1))[0]) for row in whole.parts[0]]
    assert rows == sorted(rows)  # in the order of the stream
    assert sum(len(entering) for entering, _ in kept) < 160  # of 258: what is kept with the blocks does not grow with them
    few = Sample(1000, seed=3)
    for number, block in enumerate(blocks):
        few.offer(number, len(block), few.entering(number, len(block)), block)
    assert np.array_equal(few.parts[0], np.concatenate(blocks))


def test_every_specimen_is_as_likely_to_be_in_the_sample() -> None:
    counts = np.zeros(60)
    for seed in range(400):
        sample = Sample(15, seed)
        for number in range(3):
            entering = sample.entering(number, 20)
            sample.offer(number, 20, entering, number * 20 + entering)
        counts[sample.parts[0]] += 1
    assert counts.sum() == 400 * 15 and abs(counts / 400 - 0.25).max() < 0.09  # four standard deviations


def test_names_that_are_looked_for_first_are_those_there_are() -> None:
    assert tuple(NAMERS) == NAMES and tuple(DETECTORS) == DETECTOR_NAMES
