"""Leave taxa out, train without them, ask about them: one training after the other, each kept, killed and gone on at will."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.novelty.protocol import LEAST_SPECIMENS, NoveltyRun, measure
from biocosmos.evaluate.novelty.report import novelty_report
from biocosmos.evaluate.report import Report
from biocosmos.files import is_there
from biocosmos.identify.novelty.distances import DEFAULT_FALSE_ALARM_RATE
from biocosmos.progress import progress
from biocosmos.provenance import package_version
from biocosmos.tables import file_stem, replacing
from biocosmos.taxonomy import Taxonomy

RUNS, MEASURED = "runs", "runs.json"
"""Folder of the trainings that are under way, and the file of what the finished ones measured."""


@dataclass(frozen=True)
class LeftOut:
    """The taxa that one training does without, by names that :meth:`Taxonomy.find` takes."""

    name: str
    taxa: tuple[str, ...]


Train = Callable[[LeftOut, Path], NoveltyRun]
"""Trains without ``taxa`` in the folder given, which it may go on in, and returns predictions of all parts."""


def leave_out_plan(
    taxonomy: Taxonomy,
    training: npt.NDArray[np.int32],
    test: npt.NDArray[np.int32],
    rank: str,
    *,
    at_once: int = 1,
    most: int | None = None,
    least: int = LEAST_SPECIMENS,
    seed: int = 0,
) -> list[LeftOut]:
    """Which taxa of ``rank`` are left out of which training.

    training, test: (n,) deepest known node of each specimen of the two parts. Taxa with at least ``least`` test specimens and one
    training specimen are candidates; ``most`` of them are drawn at random with ``seed``. at_once 1: a training for each, the
    leave-one-out protocol. More: that many share a training ("fold"), siblings dealt to different ones, so that an unseen class
    keeps known relatives where it can.

    Raises BiocosmosError for an unknown rank, fewer than two taxa of it in the training part, and no candidate.
    """
    if at_once < 1 or least < 1 or (most is not None and most < 1):
        raise BiocosmosError("leaving out needs at least one taxon a training, one taxon in all and one test specimen")
    taxa = taxonomy.at_rank(rank)
    learnt, asked = taxonomy.count(training)[taxa], taxonomy.count(test)[taxa]
    if (learnt > 0).sum() < 2:
        raise BiocosmosError(f"the training part has {int((learnt > 0).sum())} taxa at rank {rank!r}: leaving one out needs two")
    fit = taxa[(learnt > 0) & (asked >= least)]
    if not len(fit):
        raise BiocosmosError(
            f"no {rank} has {least} specimens in the test part and one in the training part: leave out another rank"
        )
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(fit, min(most or len(fit), len(fit)), replace=False))
    names = [_name(taxonomy, int(node), rank) for node in chosen]
    if at_once == 1:
        return [LeftOut(name, (name,)) for name in names]
    folds = -(-len(chosen) // at_once)
    # node numbers are depth-first, so dealing them out one by one parts siblings
    return [LeftOut(f"fold {i + 1} of {folds}", tuple(names[i::folds])) for i in range(folds)]


def _name(taxonomy: Taxonomy, node: int, rank: str) -> str:
    """The plain name where it is the only one, else with its rank, else the path."""
    name = str(taxonomy.name(node))
    for text in (name, f"{rank}:{name}"):
        try:
            if taxonomy.find(text) == node:
                return text
        except BiocosmosError:
            continue
    return taxonomy.path_text(node)


def leave_out(
    plan: Sequence[LeftOut],
    train: Train,
    output: str | Path,
    *,
    detectors: Sequence[str] | None = None,
    false_alarms: float = DEFAULT_FALSE_ALARM_RATE,
    title: str = "Telling the unknown from the known",
    provenance: Mapping[str, Any] | None = None,
    keep: bool = False,
) -> Report:
    """Run the plan in ``output`` and write the report there.

    A run under way has a folder ``output/runs/<name>`` that ``train`` gets; what it measured goes to ``output/runs.json`` and
    the folder is removed, since a trained head for every taxon fills a disk (keep: it stays). Killed and run again, measured
    runs are read and the others made, those under way from where they were. A run that cannot be made (BiocosmosError) becomes a
    row of the table ``failed`` and is tried again the next time. Raises BiocosmosError for an empty plan, two runs of one name,
    and when every run failed.
    """
    output = Path(output)
    if not plan or len({run.name for run in plan}) < len(plan):
        raise BiocosmosError("a leave-out plan needs runs with names of their own: make one with leave_out_plan")
    kept = _Kept(output / MEASURED, detectors, false_alarms)
    measured, failed = [], []
    with progress("leaving out", len(plan), "runs") as bar:
        for left_out in plan:
            bar.describe(f"leaving out {left_out.name}")
            try:
                measured.append(kept.rows_of(left_out, train, output / RUNS / file_stem(left_out.name), keep))
            except BiocosmosError as error:
                failed.append({"run": left_out.name, "taxa": ", ".join(left_out.taxa), "reason": str(error)})
            bar.advance()
    if not measured:
        raise BiocosmosError(f"all {len(failed)} runs failed; the first, {failed[0]['run']}: {failed[0]['reason']}")
    facts = {"false_alarms": false_alarms, "plan": [asdict(run) for run in plan], **(provenance or {})}
    report = novelty_report(measured, title=title, provenance=facts, failed=failed)
    report.write(output)
    return report


class _Kept:
    """What finished runs measured, in one file; read where the same was asked, whole or not at all."""

    def __init__(self, path: Path, detectors: Sequence[str] | None, false_alarms: float) -> None:
        self.path = path
        self.detectors, self.false_alarms = detectors, false_alarms
        self.asked = {
            "detectors": None if detectors is None else list(detectors),
            "false_alarms": false_alarms,
            "biocosmos": package_version(),
        }
        self.found: dict[str, Any] = {}
        if is_there(path):
            try:
                self.found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                self.found = {}  # a broken file is a file of no run: all are made again

    def rows_of(self, left_out: LeftOut, train: Train, folder: Path, keep: bool) -> dict[str, list[dict[str, Any]]]:
        """Measurements of one run: those in the file, or else made and written there."""
        asked = json.loads(json.dumps({"run": asdict(left_out), **self.asked}))  # tuples become lists, as when read
        stored = self.found.get(left_out.name, {})
        if stored.get("asked") != asked:
            folder.mkdir(parents=True, exist_ok=True)
            made = train(left_out, folder)
            rows = measure(made, self.detectors, false_alarms=self.false_alarms)
            stored = {"asked": asked, "facts": {"train": made.train.facts, "test": made.test.facts}, "rows": rows}
            self.found[left_out.name] = json.loads(json.dumps(stored, default=str))
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(self.found), encoding="utf-8")
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # the last one takes their folder along
                folder.parent.rmdir()
        rows_: dict[str, list[dict[str, Any]]] = self.found[left_out.name]["rows"]
        return rows_
