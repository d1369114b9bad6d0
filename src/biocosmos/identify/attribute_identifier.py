"""An identifier that answers attributes and no names: the table of what heads over attributes say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.identifier import Answered, Identifier
from biocosmos.identify.namers.attribute_heads import AttributeHead
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.summary import Summary

COMMONEST, NONE = 4, "none"


@dataclass(frozen=True)
class AttributeSummary(Summary):
    """told: a sentence for each attribute."""

    told: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people: how many specimens, and the commonest answers of each attribute."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return [f"{self.specimens:,} specimens answered{failed}", *self.told]


class AttributeIdentifier(Identifier):
    """Answers attributes; it names at no rank, promises nothing and has no known specimens to show. Make one with :meth:`of`."""

    @classmethod
    def of(cls, head: AttributeHead, seed: int) -> AttributeIdentifier:
        """Around trained attribute heads."""
        nothing = np.empty((0, 0), np.float32)
        calibration = Calibration.none((), "none: attributes are not calibrated")
        return cls(
            head, None, calibration, 1.0, None, None, None, np.empty(0, object), nothing, {"seed": seed, "views": head.views}
        )

    def answered(self, predictions: Predictions, *, device: str | None = None, top: int = 1) -> Answered:
        """The attributes of one block: id, image_path, ``<attribute>`` and ``<attribute> confidence`` of each, method."""
        n, columns = len(predictions), predictions.columns
        paths = (
            columns["image_path"] if columns is not None and "image_path" in columns.column_names else pa.nulls(n, pa.string())
        )
        table = pa.table(
            {
                "id": pa.array(predictions.ids.tolist(), pa.string()),
                "image_path": paths,
                **self.namer.shown(predictions, None),
                "method": pa.array([self.method] * n, pa.string()),
            }
        )
        return Answered(table, predictions, None)

    def summary(self, tables: Iterable[pa.Table], failed: int = 0) -> Summary:
        """How many specimens were answered, and what is commonest."""
        tasks = self.namer.asked_tasks
        counts: dict[str, Counter[str]] = {task.name: Counter() for task in tasks}
        specimens = 0
        for table in tables:
            specimens += len(table)
            for task in tasks:
                said = table[task.name].to_pylist()
                counts[task.name].update((name for names in said for name in names or [NONE]) if task.several else said)
        told = tuple(
            f"{name}: " + ", ".join(f"{said} {count:,}" for said, count in found.most_common(COMMONEST))
            for name, found in counts.items()
            if found
        )
        return AttributeSummary(specimens, {}, 0, 0, failed, (), told)

    def describe(self) -> str:
        """What its answers are worth, in one sentence."""
        assert isinstance(self.namer, AttributeHead)
        several = [task for task in self.namer.tasks if task.several]
        if not several:
            return "attributes are answered with their likeliest class; their confidence is what the model says"
        fixed = all(task.thresholds is not None for task in several)
        how = "thresholds that were fixed on the validation part" if fixed else "a threshold of 0.5"
        return f"attributes of several classes are answered by {how}, others with their likeliest class"
