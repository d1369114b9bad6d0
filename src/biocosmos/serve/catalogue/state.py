"""One moment of the catalogue: nothing in it changes, so that a request reads it in peace while the next is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue.answers import Answers
from biocosmos.serve.catalogue.label_states import DUBIOUS, PREDICTED, UNLABELLED, VALIDATED
from biocosmos.serve.catalogue.one_tree import FINEST, grown, nodes_called, one_tree
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
    taxonomy, moved = grown(moment.taxonomy, {each for each in said if each is not None})
    nodes, labels, predicted = moment.nodes, moment.labels, moment.predicted
    if taxonomy is not moment.taxonomy:
        labels, predicted = moved[labels], np.where(predicted >= 0, moved[predicted], -1).astype(np.int32)
        labels.setflags(write=False)
        predicted.setflags(write=False)
    nodes = nodes.copy() if taxonomy is moment.taxonomy else moved[nodes]
    after = replace(moment, number=moment.number + 1, taxonomy=taxonomy, nodes=nodes, labels=labels, predicted=predicted)
    after = replace(after, states=moment.states.copy(), kept=Kept(48), rows=Kept(12))
    _put(after, rows, said)
    for array in (after.nodes, after.states):
        array.setflags(write=False)
    return after


def _said_of(stored: Stored, people: People, about: Iterable[str]) -> tuple[Int32, list[Called | None]]:
    ids = [*about]
    rows = stored.rows_of_ids(ids)
    there = np.flatnonzero(rows >= 0)
    return rows[there], people.of([ids[i] for i in there.tolist()])


def _put(moment: Moment, rows: Int32, said: Sequence[Called | None]) -> None:
    """Write into a moment that nobody has seen yet what people say of these rows, or what is there where nothing stands."""
    number: dict[Called | None, int] = {}
    which = np.fromiter((number.setdefault(each, len(number)) for each in said), np.int32, len(said))
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(number)))
    for each, mine in zip(number, np.split(rows[order], ends[:-1])):
        if each is None or each.taxon is None:
            guess, own = np.maximum(moment.predicted[mine], 0), moment.stored.states[mine]
            moment.nodes[mine] = np.where(moment.labels[mine] > 0, moment.labels[mine], guess)
            usually = np.where((own == UNLABELLED) & (guess > 0), PREDICTED, own)
            moment.states[mine] = usually if each is None else DUBIOUS
            continue
        node = _node(moment.taxonomy, each, None)
        if node is None or node < 0:
            moment.nodes[mine] = np.maximum(as_called(moment, each.taxon, each.rank, mine), 0)
        else:
            moment.nodes[mine] = node
        moment.states[mine] = DUBIOUS if each.status == by_hand.DUBIOUS else VALIDATED


def as_called(moment: Moment, taxon: str, rank: str | None, rows: Int32) -> Int32:
    """(m,) int32: the node that each of these rows has once a person calls it by this name and rank."""
    said = Called(taxon, rank, by_hand.VALIDATED)
    node = _node(moment.taxonomy, said, None)
    if node is None or node >= 0:
        return np.full(len(rows), -1 if node is None else node, np.int32)
    near = np.maximum(np.maximum(moment.labels[rows], moment.predicted[rows]), 0).tolist()
    meant = {one: max(_node(moment.taxonomy, said, one) or 0, 0) for one in {*near}}
    return np.array([meant[one] for one in near], np.int32)


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
