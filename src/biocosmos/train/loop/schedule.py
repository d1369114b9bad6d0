"""The learning rate of every step, from the step alone, so that a resumed run needs no state for it."""

from __future__ import annotations

import math

START, END = 1 / 25, 1 / 25e4
"""Shares of the highest rate at the first and at the last step, those of torch's OneCycleLR."""


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at ``step`` of 0..steps-1: a cosine up over the share ``warmup``, a cosine down after.

    Smith and Topin, Super-convergence, 2018 (arXiv:1708.07120), in the form of torch's OneCycleLR without momentum cycling.
    """
    top = warmup * steps - 1
    if step <= top:
        return _between(START, 1.0, step / top if top > 0 else 1.0)
    return _between(1.0, END, (step - max(top, 0.0)) / max(steps - 1 - max(top, 0.0), 1e-9))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
