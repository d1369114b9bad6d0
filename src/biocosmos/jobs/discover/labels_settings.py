"""What ``discover labels`` is told. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, changed, check, setting
from biocosmos.specimens.settings import SELECTION

_AUDIT = {"accept": NOT_GIVEN}


@dataclass(frozen=True)
class LabelsSettings(DiscoverSettings):
    """An audit of labels, or the corrections that a person accepts."""

    second_encoder: str | None = setting(
        None,
        "Another embedding, of barcodes perhaps, whose neighbours vote beside: shown, and in no score.",
        embedding=True,
        unset="none",
        only=_AUDIT,
    )
    accept: Path | None = setting(
        None,
        "A table of suspects that a person went through: rows whose column 'accept' says yes get the proposal, or the taxon that "
        "it names, as an identification by hand.",
        file=True,
        panel="Corrections",
    )
    by: str | None = setting(None, "Who accepts.", unset="who is logged in", only={"accept": GIVEN}, panel="Corrections")
    to_labels: bool = setting(
        False,
        "Then make what people said the labels too: a change of the history, that 'biocosmos undo' takes back.",
        only={"accept": GIVEN},
        panel="Corrections",
    )
    encoder: str | None = changed(DiscoverSettings, "encoder", only=_AUDIT)
    seed: int = changed(DiscoverSettings, "seed", only=_AUDIT)
    split: str | None = changed(DiscoverSettings, "split", only=_AUDIT, panel=SELECTION)
    within: str | None = changed(DiscoverSettings, "within", only=_AUDIT, panel=SELECTION)
    where: str | None = changed(DiscoverSettings, "where", only=_AUDIT, panel=SELECTION)

    def __post_init__(self) -> None:
        check(self)
        if self.second_encoder is not None and self.second_encoder == self.encoder:
            raise SettingError("--second-encoder is the encoder itself: name another embedding, or leave it out")
