"""Shares of the taxa in each sample, by what stands behind the names that identify gave: asked again, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.identifier import Identifier
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.quantification import UNKNOWN, Quantified, SampleShares, Validation, by_group
from biocosmos.jobs.identify_settings import IdentifySettings
from biocosmos.jobs.predict import part_blocks
from biocosmos.jobs.who_names import embedding_of, identifier_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.writers import provenance_of
from biocosmos.taxonomy import Taxonomy

WHO_NAMED = ("method", "head", "encoder", "known", "within", "taxa", "where", "class_weight", "templates", "views")
HOW_SURE = ("threshold", "error_rate", "promise", "delta", "calibration", "novelty", "false_alarm_rate", "part", "seed")
"""Settings of identify that a table of names says it was made with, and that say who is asked again."""
FILES = ("head", "taxa", "templates")
STAGE = "summarize"
NONE, DIGITS = 1e-6, 9
"""A share below which EM has found none, and digits that are told."""


@dataclass(frozen=True)
class SharesOfSamples:
    """found: of each sample, the gate's verdict first; taxa, ranks: (R,) of the shares."""

    found: Quantified
    taxa: tuple[str, ...]
    ranks: tuple[str, ...]

    def table(self) -> pa.Table:
        """One row for each sample and taxon with a share or an interval above none: sample, gate (open, shut, or null where none
        was asked), method, specimens, taxon, rank, n, share and their ends, why; the rows of unknown taxa last."""
        rows = [row for one in self.found for row in self._rows(one)]
        columns: dict[str, pa.DataType] = {"sample": pa.string(), "gate": pa.string(), "method": pa.string()}
        columns |= {"specimens": pa.int64(), "taxon": pa.string(), "rank": pa.string()}
        columns |= dict.fromkeys(("n", "n_low", "n_high", "share", "share_low", "share_high"), pa.float64())
        return pa.Table.from_pylist(rows, pa.schema([*columns.items(), ("why", pa.string())]))

    def _rows(self, one: SampleShares) -> list[dict[str, Any]]:
        gate = None if one.verdict is None else ("open" if one.verdict.open else "shut")
        same = {"sample": one.sample, "gate": gate, "method": one.method, "specimens": one.specimens, "why": one.why}
        told = [
            (taxon, rank, *ends)
            for taxon, rank, *ends in zip(self.taxa, self.ranks, one.values, one.low, one.high)
            if not max(ends[0], ends[2]) <= NONE
        ]
        told.sort(key=lambda row: -row[2])
        if any(one.unknown):
            told.append((UNKNOWN, None, *one.unknown))
        found = []
        for taxon, rank, share, low, high in told:
            ends = {"share": share, "share_low": low, "share_high": high}
            counts = {"n": share, "n_low": low, "n_high": high}
            numbers = ends | {name: value * one.specimens for name, value in counts.items()}
            found.append(same | {"taxon": taxon, "rank": rank} | {name: _number(value) for name, value in numbers.items()})
        return found


def quantify_samples(
    collection: Collection,
    names: pa.Table,
    sample_of: Mapping[str, str],
    method: str,
    *,
    rank: str | None = None,
    unknown: bool = False,
    draws: int = 100,
    seed: int = 0,
    failures: Failures,
) -> SharesOfSamples:
    """Shares of the specimens that ``sample_of`` names, by their sample.

    names: the table that identify gave, which says who named; that namer is asked again what it thinks of each specimen. rank: of
    the taxa, None: the classes of the namer. Specimens without a vector are in ``failures``. Raises BiocosmosError: a table that
    does not say who named; a specimen that the namer was fitted or calibrated on; a rank that it has not.
    """
    asked = _settings(provenance_of(names.schema))
    identifier = identifier_of(collection, asked, failures)
    identifier.refuse_seen(np.array(list(sample_of), object))
    encoder = None if asked.head is not None else embedding_of(collection, asked)
    blocks = part_blocks(collection, identifier.namer, None, encoder=encoder, only=list(sample_of), failures=failures)
    said = list(identifier.namer.stream(blocks))
    if not sum(map(len, said)):
        raise BiocosmosError("--quantify asks the namer again, and no specimen of the samples has what it looks at: embed them")
    predictions = Predictions.concatenate(said)
    validation = Validation.of(identifier)
    into, taxa, ranks = _at_rank(predictions.taxonomy, predictions.classes, rank)
    found = by_group(
        validation.said(predictions),
        np.array([sample_of[str(id_)] for id_ in predictions.ids], object),
        validation,
        method,
        features=predictions.features,
        novelty=_novelty(identifier, predictions) if unknown else None,
        into=into,
        draws=draws,
        seed=seed,
    )
    named = provenance_of(names.schema).get("namer")
    before = named.get("digest") if isinstance(named, dict) else None
    now = identifier.namer.about().get("digest")
    if before is not None and now is not None and before != now:
        reason = "who gave the names was fitted anew since, as labels or specimens are others now: shares are by the new one"
        failures.add(reason, stage=STAGE, severity="warning")
    return SharesOfSamples(found, taxa, ranks)


def _novelty(identifier: Identifier, predictions: Predictions) -> npt.NDArray[np.float64] | None:
    if identifier.alarm is None:
        raise BiocosmosError("--unknown: this namer has too few held-out specimens to tell what is novel")
    return -identifier.alarm.judge(predictions)[1]


def _settings(provenance: Mapping[str, Any]) -> IdentifySettings:
    """How identify was asked, as far as it says who named."""
    asked = provenance.get("asked")
    if not isinstance(asked, dict):
        raise BiocosmosError(
            "--quantify asks again who gave the names, and this table does not say: take one that 'biocosmos identify' wrote, "
            "with its .provenance.json, or keep names with --save"
        )
    stated = {name: asked[name] for name in (*WHO_NAMED, *HOW_SURE) if asked.get(name) is not None}
    if stated.get("method") == "sintax" or asked.get("read"):
        raise BiocosmosError("--quantify asks a namer of biocosmos again, and another tool gave these names")
    given: dict[str, Any] = {name: Path(each) if name in FILES else each for name, each in stated.items()}
    return IdentifySettings(**given)


def _at_rank(
    taxonomy: Taxonomy, classes: npt.NDArray[np.int32], rank: str | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...], tuple[str, ...]]:
    """(C,) the taxon of each class; names of the taxa, homonyms by their paths; their ranks. A class above the rank stays."""
    above = classes if rank is None else taxonomy.ancestor(classes, rank)
    nodes = np.where(above > 0, above, classes)
    several = set(taxonomy.homonyms().tolist())
    there, into = np.unique(nodes, return_inverse=True)
    names = [taxonomy.path_text(int(node)) if node in several else taxonomy.name(int(node)) for node in there]
    ranks = [taxonomy.ranks[int(taxonomy.rank[node])] for node in there]
    return into.astype(np.int64), tuple(str(name) for name in names), tuple(ranks)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


__all__ = ["SharesOfSamples", "quantify_samples"]
