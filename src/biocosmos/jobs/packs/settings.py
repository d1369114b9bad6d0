"""What packs are told. Nothing heavy is imported here: the command line is made from these."""

from __future__ import annotations

from dataclasses import dataclass

from biocosmos.identify.namers.names import NAMES as NAMERS
from biocosmos.jobs.identify_settings import DETECTOR, METHODS, NAMER
from biocosmos.settings import check, other_than, setting
from biocosmos.specimens.packs.layout import KINDS

CONTENT, NAMING = "What is in it", "Who names"
LEAST_TESTS = 3
_SPECIMENS = {"vectors": other_than("none")}


@dataclass(frozen=True)
class WriteSettings:
    """Settings of whoever writes a pack.

    licence: of the pack, as SPDX or the Hugging Face hub call it. name: what it calls itself. vectors: how they are kept. tests:
    vectors to ask with. overwrite: replace a pack that is there.
    """

    licence: str | None = setting(
        None,
        "Licence of the pack: cc-by-4.0, cc0-1.0 ...; without one nothing is written.",
        names=("--licence", "--license"),
        unset="the one that all specimens state",
    )
    name: str | None = setting(None, "What the pack calls itself.", unset="as the collection, or the output, is called")
    vectors: str = setting(
        "float16",
        "How the vectors are kept; none: of specimens nothing but what is known of each class.",
        panel=CONTENT,
        choices=KINDS,
    )
    tests: int = setting(8, "Vectors to ask with, and what must be answered.", panel=CONTENT, low=LEAST_TESTS, high=1000)
    method: str | None = setting(None, f"{METHODS}.", panel=NAMING, unset="linear", plugged=(NAMER[0], NAMER[1], NAMERS))
    novelty: str | None = setting(
        None,
        "How novelty is scored (docs/novelty.md).",
        panel=NAMING,
        unset="combined; class-angle with --vectors none",
        plugged=DETECTOR,
    )
    seed: int = setting(0, "Seed of every random choice.")
    overwrite: bool = setting(False, "Replace a pack that is there.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class BuildSettings(WriteSettings):
    """Settings of :func:`biocosmos.jobs.packs.build.build_pack`.

    encoder: which embedding. known: the part of a split that is learnt from. least: classes with fewer specimens are left out.
    columns: further columns of the specimens. weights: the encoder's own folder too. thumbnails: pixels.
    """

    encoder: str | None = setting(
        None,
        "Which embedding; needed when there are several.",
        names=("-e", "--encoder"),
        unset="the collection's default",
        embedding=True,
    )
    known: str | None = setting(
        None, "Only the specimens of this part: train.", panel=CONTENT, part="given", unset="all specimens with a vector"
    )
    least: int = setting(
        1, "Leave out taxa with fewer specimens, whose places or owners might be told from them.", panel=CONTENT, low=1
    )
    columns: tuple[str, ...] = setting(
        (),
        "Columns of the specimens to give away beside id, label and names: date,latitude.",
        only=_SPECIMENS,
        panel=CONTENT,
    )
    weights: bool = setting(False, "Put the folder of the encoder into the pack.", panel=CONTENT)
    thumbnails: int = setting(
        0,
        "A small picture of each specimen, its longer side so many pixels.",
        only=_SPECIMENS,
        panel=CONTENT,
        unset="none",
        low=0,
        high=512,
    )


@dataclass(frozen=True)
class JoinSettings(WriteSettings):
    """Settings of whoever joins packs."""
