"""Methods that tell the shares of a community, by name. Nothing heavy is imported here: the command line is made from it."""

from __future__ import annotations

METHODS = ("cc", "pcc", "acc", "pacc", "emq")
CORRECTING = ("emq", "pacc", "acc")
"""Those that correct what is counted by validation specimens, so that the gate stands before them; the best first."""
EACH = (
    "emq: expectation maximisation; pacc, acc: adjusted by the validation specimens' confusion; cc, pcc: counted, not corrected"
)
