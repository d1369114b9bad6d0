"""How far the label that a specimen came with can be taken for what a person said: as ``specimens.writers.naming`` tells it of a
row, by whole columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.serve.catalogue.view import STATES
from biocosmos.specimens.readers.ecotaxa_table import CATEGORY, STATUS
from biocosmos.specimens.readers.ecotaxa_table import STATES as ECOTAXA_STATES
from biocosmos.specimens.writers.naming import MACHINES_WORDS, VERIFICATION, is_answer_table
from biocosmos.taxonomy import Taxonomy

UNLABELLED, PREDICTED, DUBIOUS, VALIDATED = range(len(STATES))
_ALWAYS = ("label", CATEGORY, STATUS, VERIFICATION)
_OF_ANSWERS = ("method", "rank", "taxon")
Bool = npt.NDArray[np.bool_]
Int32 = npt.NDArray[np.int32]


def needed(names: Collection[str]) -> list[str]:
    """Which of a collection's columns say who named its specimens."""
    wanted = (*_ALWAYS, *_OF_ANSWERS) if is_answer_table(names) else _ALWAYS
    return [name for name in wanted if name in names]


def label_states(
    table: pa.Table, ranks: Sequence[str], nodes: Int32, taxonomy: Taxonomy | None
) -> tuple[npt.NDArray[np.uint8], Int32]:
    """((n,) uint8 codes of ``view.STATES``, nodes).

    table: the rank columns and those that are :func:`needed`, as texts, rows told apart; nodes: (n,) of the rank columns. Of a
    machine's answers that were ingested, the node is cut where the answer stops.
    """
    columns = _Columns(table, len(nodes))
    has_label, has_category = columns.says("label"), columns.says(CATEGORY)
    named = has_label | has_category | (nodes > 0)
    corrected = has_label & has_category & ~columns.equal("label", CATEGORY)
    told = columns.states()
    known = (told >= 0) & ~corrected
    by_machine = columns.any_word(VERIFICATION, MACHINES_WORDS)
    guessed = (columns.says(STATUS) | has_category) & ~corrected
    states = np.where(known, told, np.where(by_machine | guessed, PREDICTED, VALIDATED)).astype(np.uint8)
    states[~named] = UNLABELLED
    if "method" in table.column_names and "method" not in ranks:
        answers = columns.says("method")
        answered = columns.says("taxon" if "taxon" in table.column_names else "label")
        states[answers] = np.where(answered, PREDICTED, UNLABELLED)[answers]
        if taxonomy is not None:
            nodes = _cut(nodes, answers, answered, columns.ranks(ranks), taxonomy)
    return states, nodes


def _cut(nodes: Int32, answers: Bool, answered: Bool, rank: npt.NDArray[np.int64], taxonomy: Taxonomy) -> Int32:
    """The taxon at or above the rank of each answer; 0 where nothing was sure enough."""
    sure = np.where(answered, rank, -1)
    lineage = taxonomy.lineage(nodes[answers])
    allowed = np.where(np.arange(lineage.shape[1]) <= sure[answers, None], lineage, 0)
    cut = nodes.copy()
    cut[answers] = np.maximum(allowed.max(axis=1, initial=0), 0)  # ids grow on the way down
    return cut


class _Columns:
    """Columns of text, asked value by value where they are there."""

    def __init__(self, table: pa.Table, rows: int) -> None:
        self._table, self._rows = table, rows

    def _texts(self, name: str) -> list[str | None]:
        return self._table[name].to_pylist() if name in self._table.column_names else [None] * self._rows

    def says(self, name: str) -> Bool:
        return np.array([text is not None and bool(text.strip()) for text in self._texts(name)], bool)

    def any_word(self, name: str, words: Sequence[str]) -> Bool:
        return np.array([text is not None and any(word in text.lower() for word in words) for text in self._texts(name)], bool)

    def states(self) -> npt.NDArray[np.int64]:
        """EcoTaxa's state as our code, -1 where none of them is told; what it discarded is dubious here."""
        code = {"predicted": PREDICTED, "validated": VALIDATED, "dubious": DUBIOUS, "discarded": DUBIOUS}
        assert set(code) == set(ECOTAXA_STATES)
        return np.array([code.get((text or "").strip().lower(), -1) for text in self._texts(STATUS)], np.int64)

    def ranks(self, ranks: Sequence[str]) -> npt.NDArray[np.int64]:
        place = {rank: i for i, rank in enumerate(ranks)}
        return np.array([place.get(text or "", -1) for text in self._texts("rank")], np.int64)

    def equal(self, one: str, other: str) -> Bool:
        return np.array([first == second for first, second in zip(self._texts(one), self._texts(other))], bool)
