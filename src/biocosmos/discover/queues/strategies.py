"""The strategies by name, and what each needs. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

SCORED = ("margin", "entropy", "novelty", "disagreement")
"""Each specimen has a score of its own, and the batch is spread among the highest."""
SPREAD = ("k-centre", "typicality")
"""The batch itself is what is chosen."""
EACH = "each"
"""So many of each taxon: for a new source, whose images differ from those that were learnt from."""
STRATEGIES = ("adaptive", *SCORED, *SPREAD, EACH, "random")
DEFAULT = "adaptive"
"""The best on validation specimens of PlanktonSet (docs/benchmarks.md)."""
EARLY = 400
"""Names from which "adaptive" asks a head: before, it knows too little to say what it does not know (Hacohen et al. 2022)."""
BY_HEAD = ("margin", "entropy", "disagreement", EACH)
"""Those that need names of two taxa, to fit a head on."""
DIVERSE = ("kmeans", "k-centre", "none")
SAYS = {
    "adaptive": "typicality until 400 specimens have names, then margin",
    "margin": "the two likeliest taxa are nearly as likely",
    "entropy": "undecided at the coarsest rank that is not decided",
    "novelty": "unlike every specimen that has a name",
    "disagreement": "a model fitted without it says another taxon than its label",
    "k-centre": "farthest from everything named or chosen",
    "typicality": "the middle of a part of the collection in which nothing is named",
    EACH: "some of each taxon that a head suggests, from sure to unsure",
    "random": "any",
}
