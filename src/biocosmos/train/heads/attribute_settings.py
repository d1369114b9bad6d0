"""What a training of attributes is told: which columns, by which decoder, and how its tasks weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biocosmos.settings import GIVEN, SettingError, names_in, setting
from biocosmos.train.loop.settings import DATA, LoopSettings

RANKED = ("flat", "marginalised", "conditional", "multitask", "bcnn", "hbcnn", "bacnn", "sbacnn")
"""Heads over the tree of the ranks."""
OF_ATTRIBUTES = ("plain", "ctgnn")
"""Heads over tasks side by side, of which ranks may be some: a linear layer each, or the cross-task graph."""
CTGNN = "ctgnn"
GRAPHS = ("gcn", "gat")
ADJACENCIES = ("binary", "reweighted", "reweighted-conditional", "dynamic")
NORMS = ("none", "symmetric", "in")
RESIDUALS = ("pre", "post", "both", "none")
BOTTLENECKS = ("task", "shared")
WEIGHTINGS = ("equal", "fixed", "dwa", "uncertainty")
CLASS_WEIGHTS = ("none", "effective", "inverse")
SET_WEIGHTS = ("none", "positive", "inverse", "effective", "importance", "positive-importance")
THRESHOLDS = ("tuned", "half")

ATTRIBUTES, GRAPH = "Attributes", "Cross-task graph"
_LEARNT: Any = ({"attributes": GIVEN}, {"head": OF_ATTRIBUTES})
_GRAPH: Any = {"head": CTGNN}
_COUNTED: Any = {"head": CTGNN, "adjacency": ADJACENCIES[:-1]}
_SHARED: Any = {"head": CTGNN, "adjacency": ADJACENCIES[1:-1]}


@dataclass(frozen=True)
class AttributeSettings(LoopSettings):
    """The settings of attributes, of every head; see :class:`~biocosmos.train.heads.settings.HeadSettings`.

    Attributes:
        attributes: columns, declared groups or groups of 0/1 columns (``defects=RB+OB``), comma-separated, as
            :func:`biocosmos.specimens.attributes.attributes_of` takes them. Beside a head over the ranks each gets a linear
            layer of its own; with "plain" and "ctgnn" the ranks that are named are tasks as the attributes are.
        where: SQL condition on training and validation specimens of "plain" and "ctgnn", as of a second stage that learns from
            pipes with a defect only.
        attribute_weight: share of the attributes in the loss beside the ranks, 0..1.
        task_weighting: "equal"; "fixed", by ``task_weights``; "dwa", by how fast each task's loss falls (Liu et al., CVPR 2019,
            temperature 2); "uncertainty" (Kendall et al., CVPR 2018).
        task_weights: one number for each task, in the order of the tasks, ranks first.
        class_weights: of tasks with one true class: none, inverse frequency, or effective number (Cui et al., CVPR 2019).
        set_weights: of the classes of tasks any number of whose classes is true: "positive", absent over present specimens, on
            what is present; inverse frequency; effective number; "importance"; "positive-importance", on what is present. All
            are rescaled to sum to the classes.
        importance: CSV of class and weight, or "sewer-ml" (Haurum & Moeslund, CVPR 2021).
        thresholds: "tuned" fixes on the validation part the score from which a class of several is said to be true; "half" is
            0.5 for all.
        threshold_beta: the F-beta that is made largest, each class by itself.
        graph: layers of the cross-task graph: convolution (gcn) or attention (gat), as published (CT-GNN, Haurum et al.,
            WACV 2022, arXiv:2111.07846); graph_layers: how many; node_width: of a node embedding; graph_heads: of attention.
        task_hidden: widths of an MLP of each task before everything.
        adjacency: of the classes of all tasks, from their co-occurrence in the training part: P(row | column) at least
            adjacency_tau ("binary"), with the shares of ML-GCN ("reweighted"), in proportion to the probabilities
            ("reweighted-conditional"); or "dynamic": all are neighbours, and attention chooses.
        adjacency_tau: None is 1 / classes of the row's task. adjacency_share: p of the re-weighting; normalise: of the rows, or
            of rows and columns.
        bottleneck: one for each task, or one for all; bottleneck_width: of it.
        residual: where the activation stands: before a layer's input is added ("pre"), after it, at both, or nowhere; graph_skip:
            whether it is added.
        graph_dropout: share dropped of what a layer adds. shared_scores: one output layer for all classes.
        refined_share: of the loss after the graph; the rest is of the auxiliary heads before it.
    """

    attributes: str = setting(
        "",
        "Columns to learn as well: life_stage,sex, or 0/1 columns together: damage=torn+mouldy.",
        several=True,
        panel=ATTRIBUTES,
    )
    where: str = setting(
        "", "Only training specimens for which this SQL condition holds.", only={"head": OF_ATTRIBUTES}, panel=DATA
    )
    attribute_weight: float = setting(
        0.5,
        "Share of the attributes in the loss, beside the ranks.",
        low=0,
        high=1,
        only={"attributes": GIVEN, "head": RANKED},
        panel=ATTRIBUTES,
    )
    task_weighting: str = setting("equal", "How tasks weigh.", choices=WEIGHTINGS, only=_LEARNT, panel=ATTRIBUTES)
    task_weights: str = setting(
        "",
        "A number for each task, ranks first: 27,1,1,1.",
        only=({"attributes": GIVEN, "task_weighting": "fixed"}, {"head": OF_ATTRIBUTES, "task_weighting": "fixed"}),
        panel=ATTRIBUTES,
    )
    class_weights: str = setting("none", "Of tasks with one true class.", choices=CLASS_WEIGHTS, only=_LEARNT, panel=ATTRIBUTES)
    set_weights: str = setting(
        "none", "Of classes of which several may be true.", choices=SET_WEIGHTS, only=_LEARNT, panel=ATTRIBUTES
    )
    importance: str = setting(
        "",
        "A CSV of class and weight; 'sewer-ml' for the economic weights of its defects.",
        only=tuple({**each, "set_weights": ("importance", "positive-importance")} for each in _LEARNT),
        panel=ATTRIBUTES,
    )
    thresholds: str = setting(
        "tuned",
        "From which score on a class of several is true: tuned on the validation part, or half.",
        choices=THRESHOLDS,
        only=_LEARNT,
        panel=ATTRIBUTES,
    )
    threshold_beta: float = setting(
        2.0,
        "The F-beta that thresholds make largest.",
        above=0,
        only=tuple({**each, "thresholds": "tuned"} for each in _LEARNT),
        panel=ATTRIBUTES,
    )
    graph: str = setting("gcn", "Layers of the graph.", choices=GRAPHS, only=_GRAPH, panel=GRAPH)
    graph_layers: int = setting(1, "How many.", above=0, only=_GRAPH, panel=GRAPH)
    graph_heads: int = setting(8, "Heads of attention.", above=0, only={"head": CTGNN, "graph": "gat"}, panel=GRAPH)
    node_width: int = setting(128, "Width of a class's embedding.", above=0, only=_GRAPH, panel=GRAPH)
    adjacency: str = setting(
        "reweighted", "Which classes are neighbours, and how much.", choices=ADJACENCIES, only=_GRAPH, panel=GRAPH
    )
    adjacency_tau: float | None = setting(
        None,
        "Neighbours from this P(row | column) on.",
        above=0,
        high=1,
        unset="1 / classes of the row's task",
        only=_COUNTED,
        panel=GRAPH,
    )
    adjacency_share: float = setting(0.2, "Share of the neighbours in a row.", above=0, below=1, only=_SHARED, panel=GRAPH)
    normalise: str = setting("none", "Normalise the adjacency.", choices=NORMS, only={"head": CTGNN, "graph": "gcn"}, panel=GRAPH)
    bottleneck: str = setting(
        "task", "A bottleneck for each task, or one for all.", choices=BOTTLENECKS, only=_GRAPH, panel=GRAPH
    )
    bottleneck_width: int = setting(32, "Width of the bottleneck.", above=0, only=_GRAPH, panel=GRAPH)
    residual: str = setting(
        "pre",
        "Where the activation stands: before a layer's input is added, or after.",
        choices=RESIDUALS,
        only=_GRAPH,
        panel=GRAPH,
    )
    graph_skip: bool = setting(True, "Add a layer's input to what it gives.", only=_GRAPH, panel=GRAPH)
    task_hidden: tuple[int, ...] = setting(
        (), "Widths of an MLP of each task.", above=0, unset="none", only=_LEARNT, panel=ATTRIBUTES
    )
    graph_dropout: float = setting(0.0, "Share dropped of what a layer adds.", low=0, below=1, only=_GRAPH, panel=GRAPH)
    shared_scores: bool = setting(False, "One output layer for the classes of all tasks.", only=_GRAPH, panel=GRAPH)
    refined_share: float = setting(
        0.75, "Share of the loss after the graph, the rest before it.", low=0, high=1, only=_GRAPH, panel=GRAPH
    )

    def numbers_of_tasks(self) -> list[float] | None:
        """``task_weights``; None where there are none. Raises SettingError for what is no number above 0."""
        try:
            found = [float(each) for each in names_in(self.task_weights)]
        except ValueError:
            found = [-1.0]
        if any(not 0 < each < float("inf") for each in found):
            raise SettingError(f"--task-weights '{self.task_weights}' must be a number above 0 for each task, such as 27,1,1,1")
        return found or None
