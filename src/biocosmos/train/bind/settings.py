"""What a training that binds modalities to an anchor is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import BOUND, MODALITIES
from biocosmos.settings import SettingError, changed, flag, names_in, setting, told
from biocosmos.train.contrastive.settings import AUTO, DEFAULTS, FROZEN, LEARNT, NEW, TUNES, ContrastiveSettings
from biocosmos.train.loop.settings import MODEL, LoopSettings

ANCHORS = ("image", "dna")
PLACE, ENVIRONMENT = "place", "environment"
SPHERE, GEOCLIP = "new:sphere", "new:geoclip"
"""Networks over places that begin with random weights."""
TAXABIND, GEOCLIP_LOSS, SEVERAL, CLIP = "taxabind", "geoclip", "several", "clip"
LOSSES = (TAXABIND, GEOCLIP_LOSS, SEVERAL, CLIP)
_NAMED = {
    "satellite": "--satellite satellite:ENCODER",
    "audio": "--audio audio:CLAP",
}


@dataclass(frozen=True)
class BindSettings(ContrastiveSettings):
    """A training that binds; what is not here is in :class:`biocosmos.train.contrastive.settings.ContrastiveSettings`.

    Attributes:
        modalities: what the space has, the anchor among them.
        anchor: what the others are bound to: image as published, or dna; "": image where it is among them, else dna.
        place: "new:sphere", a network that knows season and depth where the specimens do; "new:geoclip", the published one with
            random weights; a folder of weights that are trained on; "place:15km-15d", a projection of its vectors.
        environment: "environment:rasters/", a network over the rasters of a user, or environment:rasters/@weights/; nothing said:
            rasters that the collection is embedded with, else a folder "rasters" beside it.
        satellite, audio: encoders whose vectors are projected: "satellite:efficientnet-lite0", "audio:clap/".
        tune: by modality, image=full,place=heads. Nothing said: the anchor stays as it is (frozen), networks over places and
            environments are trained whole (full), all else is a projection of stored vectors (heads). One word alone is of all
            but the anchor. A network that begins with random weights ("new:") is always trained whole, whatever is said.
        loss: "taxabind", as published for each modality; "geoclip", anchor to place alone; "several", all specimens of a taxon
            are positives, whatever the modality; "clip", each specimen its own. See :class:`biocosmos.nn.bound_pairs.BoundPairs`.
        queue: past places (and their environments) that stand beside those of a batch as negatives.
        anywhere: negatives are points anywhere on earth instead, as in TaxaBind's code.
        width: 0 is the anchor's own where it stays as it is, and else 256.
    """

    modalities: str = setting(
        "image,place", "What the space has, the anchor among them.", choices=MODALITIES, several=True, panel=MODEL
    )
    anchor: str = setting(
        "", "What the others are bound to.", choices=ANCHORS, unset="image, without it among --modalities dna", panel=MODEL
    )
    place: str = setting(
        SPHERE, f"Network of places: {SPHERE}, {GEOCLIP}, a folder, or place:15km-15d.", metavar="ENCODER", panel=MODEL
    )
    environment: str = setting(
        "",
        "environment:RASTERS, a folder of GeoTIFF or NetCDF.",
        metavar="ENCODER",
        unset="rasters the collection is embedded with, else the folder 'rasters' beside it",
        panel=MODEL,
    )
    satellite: str = setting("", "satellite:ENCODER of images.", metavar="ENCODER", unset="must be named", panel=MODEL)
    audio: str = setting("", "audio:FOLDER of a CLAP model.", metavar="ENCODER", unset="must be named", panel=MODEL)
    loss: str = setting(TAXABIND, "As which publication has it.", choices=LOSSES, panel=LEARNT)
    queue: int = setting(
        512, "Past places beside those of a batch; GeoCLIP: 4096.", low=0, high=1 << 20, unset="none", panel=LEARNT
    )
    anywhere: bool = setting(False, "As many points anywhere on earth instead, as TaxaBind's code draws.", panel=LEARNT)
    tune: str = changed(
        ContrastiveSettings,
        "tune",
        "",
        help="frozen, heads, lora or full, by modality: image=full.",
        unset="anchor frozen, networks of places and environments full, else heads",
    )
    width: int = changed(ContrastiveSettings, "width", 0, low=0, unset="the anchor's own where it is frozen, else 256")
    as_published: bool = changed(
        ContrastiveSettings, "as_published", help="Logarithms and positives as the published code has them.", only=()
    )
    within: float = changed(ContrastiveSettings, "within", 0.0, told=False)
    bind_to: str = changed(ContrastiveSettings, "bind_to", "", told=False)
    drop: str = changed(ContrastiveSettings, "drop", "", told=False)
    epochs: int = changed(LoopSettings, "epochs", 20)

    every = MODALITIES

    def __post_init__(self) -> None:
        asked = names_in(self.modalities)
        if unknown := [each for each in asked if each not in MODALITIES]:
            raise SettingError(
                f"--modalities '{unknown[0]}' is not known: choose {', '.join(MODALITIES[:-1])} or {MODALITIES[-1]}"
            )
        if not self.anchor:
            object.__setattr__(self, "anchor", next((each for each in ANCHORS if each in asked), "image"))
        if self.anchor not in asked or len(set(asked)) < 2:
            raise SettingError(
                f"--modalities {self.modalities or chr(39) * 2} must name --anchor {self.anchor} and one more, such as "
                f"{self.anchor},place"
            )
        for modality in MODALITIES:
            name, usual = str(getattr(self, modality)), type(self).__dataclass_fields__[modality].default
            if modality in asked:
                if modality == ENVIRONMENT:
                    name = name or AUTO
                elif not (name := DEFAULTS.get(modality, "") if name == AUTO else name):
                    raise SettingError(f"--modalities has {modality}: name its encoder, {_NAMED.get(modality, flag(modality))}")
                object.__setattr__(self, modality, name)
            elif name and name != usual:
                raise SettingError(f"{flag(modality)} does nothing here: --modalities {self.modalities} has no {modality}")
            else:
                object.__setattr__(self, modality, "")
        object.__setattr__(self, "modalities", ",".join(each for each in MODALITIES if each in asked))
        object.__setattr__(self, "bind_to", self.anchor)
        super().__post_init__()

    def tune_of(self, modality: str) -> str:
        """What is trained of one modality. Raises SettingError for another word, and what that modality cannot."""
        own, common = self._words_of_tune((FROZEN, *TUNES), "image=full")
        how = own.get(modality) or (FROZEN if modality == self.anchor else common or self._usual(modality))
        cannot = {
            "text": (FROZEN,),
            **dict.fromkeys((PLACE, ENVIRONMENT), ("lora",)),
            **dict.fromkeys(("satellite", "audio"), ("lora", "full")),
        }
        if how in cannot.get(modality, ()) and modality in own:
            raise SettingError(f"--tune {modality}={how}: what is known for {modality} is {self._usual(modality)}")
        if modality in ("dna", PLACE) and getattr(self, modality).startswith(NEW) and how in ("heads", FROZEN):
            return "full"
        return self._usual(modality) if how in cannot.get(modality, ()) else how

    def _usual(self, modality: str) -> str:
        if modality == PLACE:
            return "heads" if self.place.startswith("place:") else "full"
        return "full" if modality == ENVIRONMENT else "heads"

    def without(self, modality: str) -> str:
        """See :class:`ContrastiveSettings`."""
        return f"leave it out of --modalities (a word of '{self.modalities}')" if modality in BOUND else "name other --modalities"


def bind_settings(config: str | Path | None = None, **given: Any) -> BindSettings:
    """Settings from a TOML file and, over it, those of ``given`` that are not None, as :func:`biocosmos.settings.told`."""
    return told(BindSettings, config, **given)


__all__ = ["BindSettings", "bind_settings"]
