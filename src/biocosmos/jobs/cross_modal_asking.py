"""Which parts of a split answer, ask, and set thresholds, when a space is judged across modalities."""

from __future__ import annotations

from collections.abc import Mapping

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.sides import SEEN, UNSEEN
from biocosmos.jobs.cross_modal_parts import Part
from biocosmos.jobs.evaluate_settings import UNSEEN as USUALLY_UNSEEN
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

KEYS, UNSEEN_KEYS, VALIDATION, UNSEEN_VALIDATION = "keys", "unseen_keys", "validation", "unseen_validation"
USUAL = {UNSEEN_KEYS: "key_unseen", VALIDATION: "val", UNSEEN_VALIDATION: "val_unseen"}
"""Names of BIOSCAN-5M's parts, taken where the split has them and nobody names others."""
LOST = {
    UNSEEN_KEYS: "no key is of an unseen species and no threshold is chosen",
    VALIDATION: "no threshold is chosen",
    UNSEEN_VALIDATION: "no threshold is chosen and no rank trusted",
}
OPTIONS = {
    KEYS: "--gallery",
    UNSEEN_KEYS: "--unseen-keys",
    VALIDATION: "--calibration",
    UNSEEN_VALIDATION: "--calibration-unseen",
    SEEN: "--queries",
    UNSEEN: "--unseen",
}
MAKE_PARTS = "'biocosmos split COLLECTION --method bioscan' makes such parts, --column takes them from a column"


def asked_parts(collection: Collection, settings: EvaluateSettings) -> tuple[dict[str, str], list[str]]:
    """What each part is for -> its name, and sentences on those that are not there and that nobody named.

    A gallery "train+key_unseen" is taken as what it says: keys of seen species, and of unseen ones. Raises BiocosmosError for a
    part that is not there and that cannot be done without.
    """
    names = {KEYS: settings.gallery, SEEN: settings.queries, UNSEEN: settings.unseen}
    caveats = []
    if settings.unseen == USUALLY_UNSEEN and not _has(collection, settings.unseen):
        names.pop(UNSEEN)
        caveats.append(f"The split has no part '{USUALLY_UNSEEN}': nothing is said of unseen species. {MAKE_PARTS}.")
    for which in names:
        _refuse_missing(collection, names[which], which)
    given = {UNSEEN_KEYS: settings.unseen_keys, VALIDATION: settings.calibration, UNSEEN_VALIDATION: settings.calibration_unseen}
    prefix, _, answering = settings.gallery.rpartition(":")
    before = f"{prefix}:" if prefix else ""
    answers = [each.strip() for each in answering.split("+")]
    if not given[UNSEEN_KEYS] and len(answers) > 1 and USUAL[UNSEEN_KEYS] in answers:
        answers.remove(USUAL[UNSEEN_KEYS])
        names[KEYS] = before + "+".join(answers)
    asking = [each.strip() for name in names.values() for each in name.rpartition(":")[2].split("+")]
    for which, usual in USUAL.items():
        if given[which]:
            names[which] = str(given[which])
        elif not _has(collection, before + usual):
            caveats.append(f"The split has no part '{usual}': {LOST[which]}. {MAKE_PARTS}.")
        elif usual in asking:
            caveats.append(f"Part '{usual}' is asked itself: {LOST[which]}; name another with {OPTIONS[which]}.")
        else:
            names[which] = before + usual
    return names, caveats


def those_with_specimens(parts: Mapping[str, Part], towers: Mapping[str, str]) -> tuple[dict[str, Part], list[str]]:
    """The parts that have a specimen with a vector, and a sentence on each that has none and can be done without.

    Raises BiocosmosError where nothing answers or asks.
    """
    caveats = []
    for which, part in parts.items():
        if len(part):
            continue
        said = f"part '{part.name}' has no specimen with a vector of {' or '.join(towers.values())}"
        if which in (KEYS, SEEN, UNSEEN):
            raise BiocosmosError(f"{said}: name another with {OPTIONS[which]}")
        caveats.append(f"{said[:1].upper()}{said[1:]}: {LOST[which]}.")
    return {which: part for which, part in parts.items() if len(part)}, caveats


def refuse_meeting(parts: Mapping[str, Part]) -> None:
    """Refuse a specimen that two parts have: a query would find itself, or set the threshold that it is judged by."""
    for i, (which, one) in enumerate(parts.items()):
        for another, other in list(parts.items())[i + 1 :]:
            what = f"specimens are in part '{one.name}' ({OPTIONS[which]}) and in part '{other.name}' ({OPTIONS[another]})"
            guard.refuse_shared(one.ids, other.ids, what, "name parts that do not meet")


def _refuse_missing(collection: Collection, part: str, which: str) -> None:
    if _has(collection, part):
        return
    split = part.rpartition(":")[0] or "default"
    has = ", ".join(collection.split(split).counts()) if split in collection.split_names else "no such split"
    raise BiocosmosError(f"{collection.path} has no part '{part}' (it has {has}): name one with {OPTIONS[which]}; {MAKE_PARTS}")


def _has(collection: Collection, part: str) -> bool:
    split, _, name = part.rpartition(":")
    return (split or "default") in collection.split_names and collection.split(split or "default").has(name)
