"""A space of a collection judged: image, DNA and text of seen and unseen species asked of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from biocosmos.encoders.modality import BOUND
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import Report
from biocosmos.evaluate.cross_modal.back_off import back_off_scores
from biocosmos.evaluate.cross_modal.counterparts import counterpart_scores
from biocosmos.evaluate.cross_modal.decisions import (
    LINEAR,
    NEAREST,
    SPECIES,
    Choices,
    best_threshold,
    decision_curve,
    decision_scores,
    linear_choices,
    nearest_choices,
)
from biocosmos.evaluate.cross_modal.report import Findings, cross_modal_report
from biocosmos.evaluate.cross_modal.scores import KS, Row, retrieval_scores
from biocosmos.evaluate.cross_modal.sides import DNA, IMAGE, SEEN, TEXT, UNSEEN, Array, Side, together
from biocosmos.evaluate.cross_modal.sums import sum_scores
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.open_world.report import asked_of, retrieved
from biocosmos.evaluate.report import split_hash
from biocosmos.jobs.cross_modal_asking import (
    KEYS,
    UNSEEN_KEYS,
    UNSEEN_VALIDATION,
    VALIDATION,
    asked_parts,
    refuse_meeting,
    those_with_specimens,
)
from biocosmos.jobs.cross_modal_damage import damaged
from biocosmos.jobs.cross_modal_names import by_names, names_of_ranks
from biocosmos.jobs.cross_modal_parts import Part, base_of, part_of, space_towers
from biocosmos.jobs.cross_modal_places import cells_of, shared_cells
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

PICTURE, SYNTHETIC = "picture", "synthetic"
"""The column, and what stands in it, by which 'biocosmos simulate pictures' marks a picture that is none of an animal."""


def judge_cross_modal(collection: Collection, settings: EvaluateSettings) -> Report:
    """Ask the parts ``queries`` and ``unseen`` of the parts ``gallery`` and ``unseen_keys``, every modality of every other.

    Thresholds and promises are set on ``calibration`` and ``calibration_unseen``, never on a part that asks. Specimens that a
    tower, or the encoder under it, was trained on are refused as queries and may be keys. Raises BiocosmosError for what is no
    space, for parts that are not there or meet, and for a collection without names.
    """
    if len(settings.encoder) > 1:
        raise BiocosmosError("--protocol cross-modal is of one space: name one with --encoder")
    space, towers, made = space_towers(collection, settings.encoder[0] if settings.encoder else None)
    names, caveats = asked_parts(collection, settings)
    who = (space, *towers.values())
    for which, name in names.items():
        if which not in (KEYS, UNSEEN_KEYS):
            guard.refuse_part(collection, name, *who, where=settings.where)
    parts = {which: part_of(collection, towers, name, settings.where) for which, name in names.items()}
    parts, more = those_with_specimens(parts, towers)
    refuse_meeting(parts)
    answering = parts[KEYS].joined(parts[UNSEEN_KEYS]) if UNSEEN_KEYS in parts else parts[KEYS].side
    asked = {which: parts[which].side for which in (SEEN, UNSEEN) if which in parts}
    keys, *sides = _named_somewhere(answering, *asked.values())
    asked = dict(zip(asked, sides))
    boot = Bootstrap(seed=settings.seed)
    found = Findings(retrieval_scores(keys, asked, bootstrap=boot), caveats=[*caveats, *more])
    if not found.retrieval:
        raise BiocosmosError("nothing to evaluate: no query has a name at any rank that a key has: name other parts")
    named: dict[str, tuple[Array, Array]] = {}
    if TEXT in towers:
        named = names_of_ranks(collection, towers[TEXT], list(keys.taxa), device=settings.device)
        found.names = by_names(named, asked, bootstrap=boot)
    asking = [parts[which] for which in (SEEN, UNSEEN) if which in parts]
    bound = set(towers) & set(BOUND)
    if bound:
        cells = cells_of(collection, np.concatenate([part.ids for part in asking]).tolist())
        found.counterparts = counterpart_scores(together([part.side for part in asking]), cells, bootstrap=boot)
        if VALIDATION in parts:
            two = [(anchor, each) for anchor in (IMAGE, DNA) if anchor in towers for each in BOUND if each in towers]
            validation, asking_side = parts[VALIDATION].side, together([part.side for part in asking])
            found.sums = sum_scores(keys, validation, asking_side, two, named, bootstrap=boot)
        found.caveats += shared_cells(collection, asking, [parts[which] for which in (KEYS, UNSEEN_KEYS) if which in parts])
    found.baselines = _baselines(collection, towers, names, settings, boot)
    _decide(found, parts, settings, boot)
    _back_off(found, parts, settings)
    if settings.damage:
        if DNA not in towers:
            raise BiocosmosError("--damage is of barcodes, and the space has no tower of DNA: leave it out")
        found.damage, said = damaged(towers[DNA], parts, keys, settings, boot)
        found.caveats += said
    found.caveats += _told(collection, parts, who)
    found.caveats += [f"{collection.path.name} was embedded with {name} for this report: it was not yet." for name in made]
    key_parts = " + ".join(names[which] for which in (KEYS, UNSEEN_KEYS) if which in names)
    sizes = {"keys": len(keys), "unseen_keys": len(parts[UNSEEN_KEYS]) if UNSEEN_KEYS in parts else 0}
    first = next(iter(parts[SEEN].galleries.values()))
    return cross_modal_report(
        found,
        space=space,
        modalities=tuple(towers),
        specimens={**sizes, **{which: len(parts[which]) if which in parts else 0 for which in (SEEN, UNSEEN)}},
        data=f"{collection.path.stem}: {', '.join(names[which] for which in (SEEN, UNSEEN) if which in names)} in {key_parts}",
        provenance={
            "encoders": {towers[modality]: gallery.provenance for modality, gallery in parts[SEEN].galleries.items()},
            "parts": names,
            "split_hash": split_hash(first.provenance),
            "options": {"ks": list(KS), "linear": settings.linear, "damage": settings.damage, "seed": settings.seed},
        },
    )


def _named_somewhere(*sides: Side) -> list[Side]:
    """The sides without the ranks at which no query (all but the first) has a name."""
    kept = [rank for rank in sides[0].taxa if any((side.taxa[rank] >= 0).any() for side in sides[1:])]
    return [replace(side, taxa={rank: side.taxa[rank] for rank in kept}) for side in sides]


def _baselines(
    collection: Collection, towers: Mapping[str, str], names: Mapping[str, str], settings: EvaluateSettings, boot: Bootstrap
) -> list[Row]:
    """The encoders under the towers, where the collection is embedded with them, each asked about its own modality."""
    rows: list[Row] = []
    answering = "+".join(dict.fromkeys(names[which] for which in (KEYS, UNSEEN_KEYS) if which in names))
    if answering.count(":") > 1:  # parts of a named split are told once: "clibd:a+b"
        split = answering.partition(":")[0]
        answering = f"{split}:{answering.replace(f'{split}:', '')}"
    for modality, tower in towers.items():
        base = base_of(tower)
        if base is None or base not in collection.encoders:
            continue
        gallery = collection.gallery(base, split=answering, where=settings.where, columns=[])
        who = [which for which in (SEEN, UNSEEN) if which in names]
        asking = {which: collection.gallery(base, split=names[which], where=settings.where, columns=[]) for which in who}
        found = {part: asked_of(gallery, queries, max(KS)) for part, queries in asking.items() if len(queries)}
        if len(found) == len(who):
            rows += [{**row, "query": modality, "key": modality} for row in retrieved(base, found, KS, boot)]
    return rows


def _decide(found: Findings, parts: Mapping[str, Part], settings: EvaluateSettings, boot: Bootstrap) -> None:
    """Open-world decisions, where there are images, barcodes, keys of unseen species and two parts to choose t on."""
    if not {UNSEEN, UNSEEN_KEYS, VALIDATION, UNSEEN_VALIDATION} <= set(parts):
        return
    keys, unseen_keys = parts[KEYS].side, parts[UNSEEN_KEYS].side
    asked = {which: parts[which].side for which in (VALIDATION, UNSEEN_VALIDATION, SEEN, UNSEEN)}
    there = {
        "images of seen species among the keys": len(keys.rows(IMAGE)),
        "barcodes of unseen species among the keys": len(unseen_keys.rows(DNA)),
        **{f"images in part '{parts[which].name}'": len(side.rows(IMAGE)) for which, side in asked.items()},
        "names of species": int(SPECIES in keys.taxa),
    }
    if lacking := [what for what, number in there.items() if not number]:
        found.caveats.append(f"No open-world decision is made: there are no {lacking[0]}.")
        return
    for scheme in (NEAREST, *([LINEAR] if settings.linear else [])):
        try:
            if scheme == NEAREST:
                choices = {which: nearest_choices(keys, unseen_keys, side) for which, side in asked.items()}
            else:
                choices = linear_choices(keys, unseen_keys, asked)
            _decided(found, scheme, choices, boot)
        except BiocosmosError as error:
            found.caveats.append(f"No open-world decision is made ({scheme}): {error}.")


def _decided(found: Findings, scheme: str, choices: Mapping[str, Choices], boot: Bootstrap) -> None:
    chosen = best_threshold(choices[VALIDATION], choices[UNSEEN_VALIDATION])
    found.decisions += decision_scores(scheme, chosen, choices[SEEN], choices[UNSEEN], bootstrap=boot)
    found.curve += decision_curve(scheme, choices[SEEN], choices[UNSEEN])


def _back_off(found: Findings, parts: Mapping[str, Part], settings: EvaluateSettings) -> None:
    """Images of unseen species named by barcodes with a promise, where there is a part of others to set it on."""
    if not {UNSEEN, UNSEEN_VALIDATION} <= set(parts) or not {IMAGE, DNA} <= set(parts[UNSEEN].galleries):
        return
    galleries = [parts[KEYS].galleries[DNA], *([parts[UNSEEN_KEYS].galleries[DNA]] if UNSEEN_KEYS in parts else [])]
    keys = galleries[0]
    if len(galleries) > 1:
        keys = keys.build(
            np.concatenate([gallery.ids for gallery in galleries]),
            np.concatenate([gallery.vectors for gallery in galleries]),
            taxa=np.concatenate([gallery.taxa for gallery in galleries if gallery.taxa is not None]),
            taxonomy=keys.taxonomy,
            provenance=keys.provenance,
        )
    asking = [parts[which].galleries[IMAGE] for which in (UNSEEN_VALIDATION, UNSEEN)]
    try:
        rows, notes = back_off_scores(keys, *asking, seed=settings.seed)
    except BiocosmosError as error:
        rows, notes = [], [f"no rank is trusted from images to DNA: {error}"]
    found.back_off = rows
    found.caveats += [note[:1].upper() + note[1:] + "." for note in notes]


def _told(collection: Collection, parts: Mapping[str, Part], who: Sequence[str]) -> list[str]:
    """What is no mistake and must be known: taught keys of unseen species, unseen species that are seen, drawn pictures."""
    last = UNSEEN if UNSEEN in parts else SEEN
    said = list(dict.fromkeys(guard.told(collection, parts[last].ids, *who)))
    if UNSEEN_KEYS in parts and (taught := guard.shared(parts[UNSEEN_KEYS].ids, *who)):
        count = sum(len(one.ids) for one in taught)
        said.append(f"{count:,} specimens of part '{parts[UNSEEN_KEYS].name}' trained the space: its species are not unseen.")
    known, asked = (np.unique(parts[which].side.taxa.get(SPECIES, np.empty(0))) for which in (KEYS, last))
    both = np.intersect1d(known[known >= 0], asked[asked >= 0])
    if len(both) and last == UNSEEN:
        said.append(
            f"{len(both):,} of {int((asked >= 0).sum()):,} species of part '{parts[UNSEEN].name}' have keys in part "
            f"'{parts[KEYS].name}' too: what is said of unseen species is not about unseen ones."
        )
    made_up = all(str(id_).startswith("SIM") for id_ in parts[last].ids)  # as simulated barcodes are numbered
    barcodes = "simulated barcodes" if made_up else "real barcodes"
    if PICTURE in collection.stored_columns and collection.dataset.count_rows(filter=f"{PICTURE} = '{SYNTHETIC}'"):
        said.append(
            f"Synthetic images, {barcodes}: the pictures were drawn ('biocosmos simulate pictures'), with traits that follow "
            "the tree. What is said of images is about the method and about no animal."
        )
    return said
