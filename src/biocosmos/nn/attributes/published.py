"""Weights of CT-GNN in the layout of its public code, to and from ours.

Theirs, a state dict: ``mlp.T.2K`` the task's MLP, ``heads.T.0`` its auxiliary classifier, ``bottlenecks.T.0``, ``feat_projs.T.0``
the class vectors, ``ct_gnn.L.weight`` and ``.att`` the graph layers, ``linear_class.C`` the score of class C (one where shared),
``adj`` the normalised adjacency. A training's checkpoint has ``decoder.`` before each, beside the backbone's ``encoder.``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.cross_task import CrossTaskHead
from biocosmos.nn.attributes.graph_layers import Residual
from biocosmos.nn.attributes.plain import PlainHeads, Pool
from biocosmos.nn.attributes.tasks import TaskShape

DECODER = "decoder."
NAMES = (
    (r"mlp\.(\d+)\.(\d+)\.(weight|bias)", r"hidden.\1.\2.\3"),
    (r"heads\.(\d+)\.0\.(weight|bias)", r"classifiers.\1.\2"),
    (r"bottlenecks\.(\d+)\.0\.(weight|bias)", r"bottlenecks.\1.0.\2"),
    (r"feat_projs\.(\d+)\.0\.(weight|bias)", r"embeddings.\1.0.\2"),
    (r"ct_gnn\.(\d+)\.weight", r"layers.\1.weight"),
    (r"ct_gnn\.(\d+)\.att", r"layers.\1.attention"),
    (r"adj", "adjacency"),
)
SCORE = re.compile(r"linear_class\.(\d+)\.(weight|bias)")


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from the public one, of plain heads or CT-GNN.

    Raises BiocosmosError for a parameter that has no place here.
    """
    decoder = {name.removeprefix(DECODER): weights for name, weights in state.items() if name.startswith(DECODER)} or dict(state)
    found: dict[str, Tensor] = {}
    scores: dict[str, dict[int, Tensor]] = {"weight": {}, "bias": {}}
    for name, weights in decoder.items():
        score = SCORE.fullmatch(name)
        if score:
            scores[score[2]][int(score[1])] = weights
        else:
            found[_ours(name)] = weights
    for name, parts in scores.items():
        if parts:
            found[f"score_{name}"] = torch.cat([parts[i] for i in sorted(parts)])
    return found


def published_head(
    state: Mapping[str, Tensor],
    tasks: Sequence[TaskShape],
    *,
    residual: Residual = "Pre",
    skip: bool = True,
    pool: Pool = "Avg",
    dropout: float = 0.0,
) -> PlainHeads:
    """The head whose weights ``state`` holds, all its sizes read from them; the rest, which weights do not tell, as given.

    tasks: its questions. Returns a :class:`CrossTaskHead`, or :class:`PlainHeads` where there is no graph.
    Raises BiocosmosError where the weights are not those of such a head or not of these tasks.
    """
    ours = from_published(state)
    classifiers = [ours[name] for name in sorted(ours) if re.fullmatch(r"classifiers\.\d+\.weight", name)]
    if len(classifiers) != len(tasks) or "classifiers.0.weight" not in ours:
        raise BiocosmosError(f"published weights: they are of {len(classifiers)} tasks, {len(tasks)} are named")
    hidden = [len(ours[name]) for name in _in_order(ours, r"hidden\.0\.(\d+)\.weight")]
    width = ours["hidden.0.0.weight" if hidden else "classifiers.0.weight"].shape[1]
    head = (
        _cross_task(ours, tasks, width, hidden, residual=residual, skip=skip, pool=pool, dropout=dropout)
        if "adjacency" in ours
        else PlainHeads(tasks, width, hidden=hidden, pool=pool, standardised=False)
    )
    wanted = {name: tuple(weights.shape) for name, weights in head.state_dict().items()}
    for name in sorted(wanted.keys() | ours.keys()):
        given = tuple(ours[name].shape) if name in ours else None
        if given != wanted.get(name):
            raise BiocosmosError(f"published weights: '{name}' is {given}, but these tasks make it {wanted.get(name)}")
    head.load_state_dict(ours)
    return head


def _cross_task(
    ours: Mapping[str, Tensor],
    tasks: Sequence[TaskShape],
    width: int,
    hidden: Sequence[int],
    *,
    residual: Residual,
    skip: bool,
    pool: Pool,
    dropout: float,
) -> CrossTaskHead:
    layers = [ours[name] for name in _in_order(ours, r"layers\.(\d+)\.weight")]
    if not layers or "score_weight" not in ours or "bottlenecks.0.0.weight" not in ours:
        raise BiocosmosError("published weights: graph layers, bottlenecks or scores are missing: give the decoder's whole state")
    return CrossTaskHead(
        tasks,
        width,
        ours["adjacency"],
        graph="GCN" if layers[0].ndim == 2 else "GAT",
        layers=len(layers),
        channels=ours["score_weight"].shape[1],
        attention_heads=len(layers[0]) if layers[0].ndim == 3 else 1,
        bottleneck=len(ours["bottlenecks.0.0.weight"]),
        shared_bottleneck="bottlenecks.1.0.weight" not in ours and len(tasks) > 1,
        shared_output=len(ours["score_weight"]) == 1 < sum(task.classes for task in tasks),
        residual=residual,
        skip=skip,
        dropout=dropout,
        hidden=hidden,
        pool=pool,
        standardised=False,
    )


def _ours(name: str) -> str:
    for pattern, ours in NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    raise BiocosmosError(f"published weights: there is no place for '{name}': give the decoder's state alone")


def _in_order(names: Mapping[str, Tensor], pattern: str) -> list[str]:
    found = [(int(match[1]), name) for name in names if (match := re.fullmatch(pattern, name))]
    return [name for _, name in sorted(found)]
