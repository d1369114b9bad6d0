"""The oracle of alignments over the overlap: a plain dynamic programme over all cells."""

from __future__ import annotations


def overlap_score(a: str, b: str, cost: int) -> int:
    """The best of matches - cost (mismatches + gaps) over all ways to lay a over b with free ends, N for nothing: O(nm)."""
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            known = a[i - 1] in "ACGT" and b[j - 1] in "ACGT"
            step = (1 if a[i - 1] == b[j - 1] else -cost) if known else 0
            best[i][j] = max(best[i - 1][j - 1] + step, best[i - 1][j] - cost, best[i][j - 1] - cost)
    return max([row[-1] for row in best] + best[-1])
