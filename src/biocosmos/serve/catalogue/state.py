"""One moment of the catalogue: nothing in it changes, so that a request reads it in peace while the next is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue.answers import Answers
from biocosmos.serve.catalogue.label_states import DUBIOUS, PREDICTED, UNLABELLED, VALIDATED
from biocosmos.serve.catalogue.one_tree import FINEST, nodes_called, one_tree
from biocosmos.serve.catalogue.people import Called, People
from biocosmos.serve.catalogue.stored import Kept, Stored
from biocosmos.specimens import by_hand
from biocosmos.taxonomy import Taxonomy

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Moment:
    """Stored specimens, answers of machines and names by people, joined over one taxonomy. n specimens.

    number: grows with every change; taxonomy: of the collection, the answers and what people added; nodes: (n,) int32, what each
    is called: by a person, else the label, else the prediction, 0 for none; states: (n,) uint8 (``view.STATES``); labels: (n,)
    int32, of the collection alone; predicted: (n,) int32, -1 where no answer is kept; confidence, novelty: (n,) float32, NaN.
    """

    number: int
    stored: Stored
    answers: Answers
    taxonomy: Taxonomy
    nodes: Int32
    states: npt.NDArray[np.uint8]
    labels: Int32
    predicted: Int32
    kept: Kept = field(default_factory=lambda: Kept(48))
    rows: Kept = field(default_factory=lambda: Kept(12))

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        return self.answers.confidence

    @property
    def novelty(self) -> npt.NDArray[np.float32]:
        return self.answers.novelty

    def __len__(self) -> int:
        return len(self.stored)

    def changed(self, rows: Int32, nodes: Int32, states: npt.NDArray[np.uint8]) -> Moment:
        """The moment after which these rows are called so."""
        new_nodes, new_states = self.nodes.copy(), self.states.copy()
        new_nodes[rows], new_states[rows] = nodes, states
        return replace(self, number=self.number + 1, nodes=new_nodes, states=new_states, kept=Kept(48), rows=Kept(12))


def join(number: int, stored: Stored, answers: Answers, people: People) -> Moment:
    """The moment of what is stored, answered and said."""
    rows, said = _said_of(stored, people, people.ids())
    used = np.unique(np.maximum(answers.nodes, 0))
    taxonomy, label_map, answer_map = one_tree(stored.taxonomy, answers.taxonomy, used, said)
    labels = label_map[stored.nodes]
    predicted = np.where(answers.nodes >= 0, answer_map[answers.nodes], -1).astype(np.int32)
    nodes = np.where(labels > 0, labels, np.maximum(predicted, 0)).astype(np.int32)
    guessed = (stored.states == UNLABELLED) & (predicted > 0)
    states = np.where(guessed, PREDICTED, stored.states).astype(np.uint8)
    moment = Moment(number, stored, answers, taxonomy, nodes, states, labels, predicted)
    _put(moment, rows, said)
    for array in (nodes, states, labels, predicted):
        array.setflags(write=False)
    return moment


def follow(moment: Moment, people: People, about: Iterable[str]) -> Moment:
    """The moment after people said more of the specimens ``about``."""
    rows, said = _said_of(moment.stored, people, about)
    names = {(each.taxon, each.rank): each for each in said if each is not None and each.taxon is not None}
    if any(_node(moment.taxonomy, each, None) is None for each in names.values()):
        return join(moment.number + 1, moment.stored, moment.answers, people)  # a name that the tree lacks
    after = replace(moment, number=moment.number + 1, nodes=moment.nodes.copy(), states=moment.states.copy())
    after = replace(after, kept=Kept(48), rows=Kept(12))
    _put(after, rows, said)
    return after


def _said_of(stored: Stored, people: People, about: Iterable[str]) -> tuple[Int32, list[Called | None]]:
    ids = [*about]
    rows = stored.rows_of_ids(ids)
    there = np.flatnonzero(rows >= 0)
    return rows[there], people.of([ids[i] for i in there.tolist()])


def _put(moment: Moment, rows: Int32, said: Sequence[Called | None]) -> None:
    """Write into a moment that nobody has seen yet what people say of these rows, or what is there where nothing stands."""
    labels, predicted, stored = moment.labels, moment.predicted, moment.stored
    usual: dict[tuple[str, str | None], int | None] = {}
    for row, each in zip(rows.tolist(), said):
        if each is None or each.taxon is None:
            guess = max(int(predicted[row]), 0)
            moment.nodes[row] = labels[row] or guess
            own = int(stored.states[row])
            usually = PREDICTED if own == UNLABELLED and guess else own
            moment.states[row] = usually if each is None else DUBIOUS
            continue
        key = each.taxon, each.rank
        if key not in usual:
            usual[key] = _node(moment.taxonomy, each, None)
        node = usual[key]
        if node is None or node < 0:
            node = _node(moment.taxonomy, each, max(int(labels[row]), int(predicted[row]), 0))
        moment.nodes[row] = max(node or 0, 0)
        moment.states[row] = DUBIOUS if each.status == by_hand.DUBIOUS else VALIDATED


def _node(tree: Taxonomy, said: Called, near: int | None) -> int | None:
    """The node that a person's name and rank mean; None where the tree has no such name; of homonyms the one that the specimen's
    own name ``near`` lies with, else what is above all of them; -1 where ``near`` is not told."""
    rank = said.rank if said.rank in tree.ranks else None
    taxon = said.taxon or ""
    found = nodes_called(tree, taxon, rank)
    if not len(found) and rank is None:
        found = nodes_called(tree, taxon, FINEST if FINEST in tree.ranks else tree.ranks[-1])
    if len(found) < 2:
        return int(found[0]) if len(found) else None
    if near is None:
        return -1
    depth = tree.depth[tree.lowest_common(found, near)]
    best = found[depth == depth.max()]
    return int(best[0]) if len(best) == 1 else int(tree.lowest_common(best.min(), best.max()))
