"""What can be asked of ``identify``, the same for every way of naming."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.settings import ComputeSettings
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.names import NAMES as NAMERS
from biocosmos.identify.novelty.names import NAMES as DETECTORS
from biocosmos.identify.share_methods import CORRECTING
from biocosmos.settings import (
    GIVEN,
    NOT_GIVEN,
    SettingError,
    changed,
    check,
    check_readable,
    defaults_of,
    flag,
    other_than,
    setting,
    settings_of,
)
from biocosmos.specimens.settings import UNLABELLED

STOPS, WHO, OUTPUT, MACHINE = "Where answers stop", "Who names", "The table", "Machine"
PLACE = "Place and season"
METHODS = f"{', '.join(NAMERS[:-1])} or {NAMERS[-1]}"
NAMER, DETECTOR = ("method", "namers", NAMERS), ("novelty detector", "detectors", DETECTORS)
"""What a name is of, for the check before anything heavy begins."""
NOTHING = (
    "nothing to identify: give images, --part unlabelled for the specimens without a name, or a part of a split: --part test"
)
PROMISED = ("1", "5", "10", "20", "none")
"""What a form offers to promise, see :func:`stops_of`."""
SINTAX = "sintax"
"""The method that runs another tool, vsearch, in place of a namer of ours."""
_OURS: dict[str, Any] = {"method": other_than(SINTAX), "read": NOT_GIVEN}
_KNOWN = {"head": NOT_GIVEN}
_GALLERY = {"head": NOT_GIVEN, **_OURS}
_FILES = {"part": NOT_GIVEN, **_OURS}
NO_PRIOR, OWN_PRIOR = "none", "collection"
WAYS = ("leaves", "inaturalist")
DEEPEST = 12_000
"""Metres: below the bottom of the deepest trench."""
FENCE_WAYS = ("renormalise", "roll-up")
OF_PLACES = ("at", "on", "places", "depth", "country", "prior", "prior_way", "fence", "checklist", "fence_way")
"""Settings of what stands behind who names: the namer is fitted as without them."""
_EMBEDS = ({"part": NOT_GIVEN, **_OURS}, {"method": "zero-shot", "read": NOT_GIVEN})
"""Where images or texts are embedded; specimens have their vectors."""


def stops_of(promise: str) -> dict[str, float]:
    """The setting that says where answers stop. promise: of the answers at most so many percent are wrong, or "none"."""
    from biocosmos.identify.confidence.rollback import DEFAULT_THRESHOLD

    return {"threshold": DEFAULT_THRESHOLD} if promise == "none" else {"error_rate": int(promise) / 100}


@dataclass(frozen=True)
class IdentifySettings:
    """Settings of :func:`biocosmos.jobs.identify.identify_collection`."""

    part: str | None = setting(
        None,
        "In place of images: unlabelled, the specimens of the collection without a name, or a part of a split: test.",
        part="named",
    )
    method: str | None = setting(
        None,
        f"{METHODS}; or {SINTAX}, for barcodes: vsearch's, to compare with (docs/barcodes.md).",
        panel=WHO,
        unset="linear; for an embedding of barcodes, barcode",
        only={"head": NOT_GIVEN, "read": NOT_GIVEN},
        plugged=(NAMER[0], NAMER[1], (*NAMERS, SINTAX)),
    )
    read: Path | None = setting(
        None,
        "Name nothing anew: read what another tool said of sequences, a blast6, uc or sintax file, into the same table.",
        panel=WHO,
        names=("--from",),
        file=True,
        only={"head": NOT_GIVEN, "part": NOT_GIVEN},
    )
    head: Path | None = setting(None, "Name with this trained head ('biocosmos train heads').", panel=WHO, file=True)
    gate: Path | None = setting(
        None,
        "Ask this head first, of one 0/1 attribute: what it is sure has nothing has no class of the second (docs/attributes.md).",
        panel=WHO,
        file=True,
        only={"head": GIVEN},
    )
    scores: Path | None = setting(
        None,
        "Also write the score of every class of which several may be true: the predictions CSV of Sewer-ML.",
        panel=OUTPUT,
        only={"head": GIVEN, "append": False, "watch": False},
    )
    encoder: str | None = setting(
        None,
        "Which embedding; needed when there are several.",
        panel=WHO,
        names=("-e", "--encoder"),
        only=_GALLERY,
        embedding=True,
    )
    known: str | None = setting(
        None,
        "Name by the specimens of this part: train.",
        panel=WHO,
        part="given",
        unset="train with a part of a split, else all labelled specimens",
        only=_KNOWN,
    )
    within: str | None = setting(
        None, "Only this taxon, at any rank, may be the answer: Copepoda, or class:Copepoda.", panel=WHO, only=_GALLERY
    )
    taxa: Path | None = setting(
        None, "Only the taxa in this CSV may be (see 'biocosmos taxa').", panel=WHO, file=True, only=_GALLERY
    )
    where: str | None = setting(
        None,
        "Only specimens of the collection for which this SQL condition holds, known and named ones alike: 'latitude > 40'.",
        only=(_KNOWN, {"part": GIVEN}),
    )
    class_weight: str | None = setting(
        None,
        "Weigh rare taxa as much as common ones.",
        panel=WHO,
        choices=("balanced",),
        only={**_GALLERY, "method": ("linear", None)},
    )
    templates: Path | None = setting(
        None,
        "A file with one sentence a line, {name} in each.",
        panel=WHO,
        file=True,
        unset="six of our own",
        only={**_GALLERY, "method": "zero-shot"},
    )
    views: int = setting(1, "Turned and mirrored views of each image to average.", panel=WHO, low=1, high=8, only={"head": GIVEN})
    at: str | None = setting(
        None, "Where the images were taken: 52.05,5.05 or 52°03'N 5°03'E.", panel=PLACE, metavar="PLACE", only=_FILES
    )
    on: str | None = setting(
        None, "When: 2026-06-04, a month, a span 2026-06-01/15, or 06-04 of any year.", panel=PLACE, metavar="DATE", only=_FILES
    )
    places: Path | None = setting(
        None,
        "Where and when each image was taken: a CSV with columns file, latitude, longitude, date, depth, country.",
        panel=PLACE,
        file=True,
        only={"at": NOT_GIVEN, "on": NOT_GIVEN, "depth": None, "country": None, **_FILES},
    )
    depth: float | None = setting(
        None, "At which depth, in metres below the surface.", panel=PLACE, low=0, high=DEEPEST, only=_FILES
    )
    country: str | None = setting(
        None,
        "In which country: NL, or US-CA for a part of one; for fences and checklists.",
        panel=PLACE,
        only=({"fence": GIVEN, **_FILES}, {"checklist": GIVEN, **_FILES}),
    )
    prior: str | None = setting(
        None,
        f"The prior of places: a folder of 'biocosmos train place'; {OWN_PRIOR}: fitted now on the known specimens; "
        f"{NO_PRIOR}: place counts for nothing.",
        panel=PLACE,
        metavar="FOLDER",
        unset=f"{OWN_PRIOR} with --at, --on, --depth or --places, else {NO_PRIOR}",
        only=_OURS,
    )
    prior_way: str = setting(
        WAYS[0],
        "How place is counted in: leaves, p times (g / overall share), floor and exponent chosen on held-out cells; inaturalist, "
        "p times max(g, .005), as published.",
        panel=PLACE,
        choices=WAYS,
        only={"prior": other_than(NO_PRIOR), **_OURS},
    )
    fence: tuple[Path, ...] = setting(
        (),
        "A CSV of rules: taxon, allow or block, country, region, polygon (docs/places.md); applied to what is said.",
        panel=PLACE,
        repeated=True,
        file=True,
        only=_OURS,
    )
    checklist: tuple[Path, ...] = setting(
        (),
        "A CSV of taxa, with countries, regions or polygons if wanted: only these may be the answer there.",
        panel=PLACE,
        repeated=True,
        file=True,
        only=_OURS,
    )
    fence_way: str = setting(
        FENCE_WAYS[0],
        "What becomes of a name that is blocked: renormalise, the next one that is not; roll-up, as SpeciesNet does, the "
        "likeliest family, order, class and so on.",
        panel=PLACE,
        choices=FENCE_WAYS,
        only=({"fence": GIVEN, **_OURS}, {"checklist": GIVEN, **_OURS}),
    )
    error_rate: float | None = setting(
        None,
        "The share of wrong answers that is promised.",
        panel=STOPS,
        above=0,
        below=1,
        unset="0.1",
        only={"threshold": NOT_GIVEN, **_OURS},
    )
    promise: str | None = setting(
        None,
        "answered: of the given names at most the error rate is wrong, with probability 1 - delta; mean: of all specimens, "
        "answered or not, on average.",
        panel=STOPS,
        choices=("answered", "mean"),
        unset="answered",
        only={"threshold": NOT_GIVEN, **_OURS},
    )
    delta: float | None = setting(
        None,
        "Of the promise 'answered'.",
        panel=STOPS,
        above=0,
        below=1,
        unset="0.1",
        only={"threshold": NOT_GIVEN, "promise": (None, "answered"), **_OURS},
    )
    threshold: float | None = setting(
        None,
        "Promise nothing: answer at the lowest rank with this confidence.",
        panel=STOPS,
        above=0,
        high=1,
        unset="0.8 with --method sintax and of sintax files; an identity of 0.97 of blast6 and uc files",
    )
    sets: str | None = setting(
        None,
        "Also a set of taxa of this rank that holds the true one with probability 1 - error rate.",
        panel=STOPS,
        only=_OURS,
    )
    calibration: str | None = setting(
        None,
        "The part that confidence, promises and novelty are set on.",
        panel=STOPS,
        part="given",
        unset="the known specimens, cross-fitted; val of a split by groups; the head's validation part with --head",
        only=_OURS,
    )
    novelty: str | None = setting(
        None, "How novelty is scored (docs/novelty.md).", panel=STOPS, unset="combined", plugged=DETECTOR, only=_OURS
    )
    false_alarm_rate: float = setting(
        0.05, "The share of known specimens that may be flagged as novel.", panel=STOPS, above=0, below=1, only=_OURS
    )
    shares: str | None = setting(
        None,
        "Correct names by the shares of the taxa in what is asked about, which it takes for one community: emq, pacc, acc. Only "
        "where a gate finds that the community alone differs, not the images; no promise holds then (docs/communities.md).",
        panel=STOPS,
        choices=CORRECTING,
        unset="not corrected",
        only={"append": False, "watch": False, "sets": NOT_GIVEN, **_OURS},
    )
    top: int = setting(
        1, "Taxa of each rank in the table: the best, and the next in columns like genus_2.", low=1, high=100, only=_OURS
    )
    append: bool = setting(False, "Add the names of images that the output has not yet.", panel=OUTPUT, only=_FILES)
    overwrite: bool = setting(False, "Replace the output, whatever it holds.", panel=OUTPUT)
    watch: bool = setting(
        False,
        "Go on and add the names of new images as they come, until Ctrl-C; run again, it goes on.",
        panel=OUTPUT,
        only=_FILES,
    )
    every: float = setting(5.0, "Seconds between looks.", panel=OUTPUT, above=0, only={"watch": True})
    idle: float | None = setting(
        None, "End when nothing new has come for so many seconds.", panel=OUTPUT, above=0, unset="never", only={"watch": True}
    )
    fresh: bool = setting(False, "Fit anew, whatever is kept with the collection.", only=_OURS)
    seed: int = setting(0, "Seed of every random choice.", only={"read": NOT_GIVEN})
    device: str = changed(ComputeSettings, "device", panel=MACHINE, only=_OURS)
    precision: str = changed(ComputeSettings, "precision", panel=MACHINE, only=_EMBEDS)
    backend: str = changed(ComputeSettings, "backend", panel=MACHINE, only=_EMBEDS)
    batch_size: int | None = setting(
        None, "Images per model call.", above=0, unset="what the backend runs fastest", panel=MACHINE, only=_FILES
    )
    workers: int | None = setting(
        None,
        "Threads that read and embed images.",
        above=0,
        unset="one per core",
        panel=MACHINE,
        only=(_FILES, {"head": GIVEN, **_OURS}),
    )

    def __post_init__(self) -> None:
        check(self)
        _check_place(self)


def _check_place(settings: IdentifySettings) -> None:
    """Refuse what is no place, no day or no country, before anything heavy begins."""
    if settings.at is None and settings.on is None and settings.country is None:
        return
    from biocosmos.places import country_and_region, parse_day, parse_place

    check_readable(settings, {"at": parse_place, "on": parse_day})
    if settings.country is not None and country_and_region(settings.country)[0] is None:
        raise SettingError(f"--country: {settings.country!r} is no country of ISO 3166: write NL, or US-CA for a part of one")


def asks_place(settings: IdentifySettings) -> bool:
    """Whether a prior of places is asked for."""
    told = any(getattr(settings, name) is not None for name in ("at", "on", "depth", "places"))
    return settings.prior != NO_PRIOR and (told or settings.prior is not None)


NOT_OF_NAMES = (
    "scores",
    "append",
    "overwrite",
    "watch",
    "every",
    "idle",
    "fresh",
    "device",
    "precision",
    "backend",
    "batch_size",
    "workers",
)
"""Settings that change nothing about who names and what is said."""


def names_depend_on(settings: IdentifySettings) -> dict[str, Any]:
    """What was asked for, as far as names depend on it: the settings that are not as by default."""
    defaults = defaults_of(IdentifySettings)
    stated = {name: getattr(settings, name) for name in settings_of(IdentifySettings) if name not in NOT_OF_NAMES}
    return {name: value for name, value in stated.items() if value != defaults[name]}


def asks_unlabelled(settings: IdentifySettings) -> bool:
    """Whether the specimens without a name are asked about; a part of the split that is called so is "default:unlabelled"."""
    return settings.part == UNLABELLED


def asks_tool(settings: IdentifySettings) -> bool:
    """Whether another tool names, or has named."""
    return settings.read is not None or (settings.method == SINTAX and settings.head is None)


def check_asked(settings: IdentifySettings, images: bool, output: Path | None) -> None:
    """Refuse what asks for nothing, for two things, or for an output without one."""
    if settings.read is not None and images:
        raise SettingError("--from reads names that another tool gave: leave the files out, or --from")
    if settings.read is None and images == (settings.part is not None):
        raise BiocosmosError("give images or --part, not both" if images else NOTHING)
    for name in ("append", "overwrite", "watch"):
        if getattr(settings, name) and output is None:
            raise SettingError(f"{flag(name)} is about a table: say which with --output")
    if settings.append and settings.overwrite:
        raise SettingError("--append adds to the output and --overwrite replaces it: leave one of them out")
