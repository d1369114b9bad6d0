"""Which parts of BIOSCAN stand for what: learnt from, keys, seen and unseen queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """The parts of one split.

    data: whose they are; split: its name in a collection, "" for the default one. named: specimens of named species that teach;
    learnt: all that may be learnt from; keys, unseen_keys: what answers, of seen and of unseen species; validation,
    unseen_validation: what is watched and what thresholds are chosen on; seen, unseen: what is asked at the end.
    """

    data: str
    split: str
    named: tuple[str, ...]
    learnt: tuple[str, ...]
    keys: tuple[str, ...]
    unseen_keys: tuple[str, ...]
    validation: str
    unseen_validation: str
    seen: str
    unseen: str

    def spelled(self, parts: Iterable[str]) -> str:
        """Parts together, as every option takes them: "clibd:test_seen+test_unseen"."""
        joined = "+".join(parts)
        return f"{self.split}:{joined}" if self.split else joined


BIOSCAN_5M = Parts(
    *(
        "BIOSCAN-5M",
        "",
        ("train",),
        ("pretrain", "train"),
        ("train",),
        ("key_unseen",),
        "val",
        "val_unseen",
        "test",
        "test_unseen",
    )
)
"""As its column ``split`` has them. CLIBD's keys of BIOSCAN-5M were not at hand: train and key_unseen stand for them here."""
CLIBD = Parts(
    *("BIOSCAN-1M", "clibd", ("train_seen", "seen_keys"), ("no_split", "train_seen"), ("seen_keys",)),
    *(("val_unseen_keys", "test_unseen_keys"), "val_seen", "val_unseen", "test_seen", "test_unseen"),
)
"""CLIBD's partition of BIOSCAN-1M (Gong et al., ICLR 2025, arXiv:2405.17537)."""
