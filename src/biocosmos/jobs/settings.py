"""What the jobs are told. Nothing heavy is imported here: the command line is made from these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.encoders.modality import MODALITIES
from biocosmos.encoders.reduction.settings import ReduceSettings
from biocosmos.encoders.reduction.spec import reduced_name
from biocosmos.encoders.registry import DEFAULT
from biocosmos.encoders.settings import ComputeSettings
from biocosmos.settings import GIVEN, NOT_GIVEN, changed, check_readable, setting
from biocosmos.specimens.settings import SELECTION, Selection

_ASKED = ({"images": GIVEN}, {"text": GIVEN})
_SEQUENCES = ({"dna": GIVEN}, {"fasta": GIVEN}, {"id": GIVEN})
_AROUND = ({"place": GIVEN}, {"sound": GIVEN}, {"satellite": GIVEN})
_COMPUTED = {"vectors": NOT_GIVEN}
PLACE = "Where and when"
ALL = "all"
"""Among the vectors of all towers of a space."""


@dataclass(frozen=True)
class SearchSettings(Selection, ComputeSettings):
    """A search; where a model runs matters for images and words only, since specimens have their vectors.

    images: files and folders that are asked about. text: words. dna: barcodes; fasta: files of them. place: places, as they are
    typed; sound, satellite: files of those. at, on, depth: where and when what is asked
    about was found. id: specimens of the collection, which never find themselves. k: neighbours of each.
    encoder: which embedding. align: barcodes stand in the order of their alignments. fold: each barcode once. approximate: by
    Lance's vector index. among: whose vectors are looked at in a space, which ``encoder`` names, or of which the collection has
    but one; None compares everything with its own kind. ask_with: which of its vectors stands for a specimen then.
    """

    images: tuple[Path, ...] = setting((), "Image files, or folders of them.", file=True, told=False)
    text: tuple[str, ...] = setting((), "Words (open_clip encoders, and spaces with a text tower).", repeated=True)
    id: tuple[str, ...] = setting((), "A specimen of the collection.", repeated=True)
    dna: tuple[str, ...] = setting(
        (), "A DNA barcode, as letters (encoders of DNA, such as kmer:7).", repeated=True, metavar="ACGT"
    )
    fasta: tuple[Path, ...] = setting(
        (), "Files of DNA barcodes: FASTA, FASTQ, or tables with a column of them.", repeated=True, file=True
    )
    place: tuple[str, ...] = setting(
        (),
        "A place: LATITUDE,LONGITUDE, behind it @DATE and @DEPTHm where they are known (encoders of places).",
        repeated=True,
        metavar="52.05,5.05@2026-06-04@10m",
    )
    sound: tuple[Path, ...] = setting((), "Files of sounds (encoders of sounds).", repeated=True, file=True)
    satellite: tuple[Path, ...] = setting((), "Satellite images (encoders of them).", repeated=True, file=True)
    at: str | None = setting(
        None,
        "Where it was found: says how far from there each neighbour was; alone, lists the nearest.",
        panel=PLACE,
        metavar="52.05,5.05",
    )
    on: str | None = setting(None, "When: 2026-06-04, 2026-06, or 06-04 of any year; as --at.", panel=PLACE, metavar="DATE")
    depth: float | None = setting(None, "At which depth, in metres below the surface; as --at.", low=0, high=11_000, panel=PLACE)
    country: str | None = setting(None, "Only specimens of this country: NL, NLD or Netherlands.", panel=PLACE)
    k: int = setting(10, "How many neighbours.", low=1, names=("-k",))
    align: bool = setting(
        True, "Align the nearest barcodes, and list them by alignment, with identity in percent.", only=_SEQUENCES
    )
    fold: bool = setting(False, "Show identical barcodes once, so that they do not use up the neighbours.", only=_SEQUENCES)
    encoder: str | None = setting(
        None, "Which embedding, or which space.", names=("--encoder", "-e"), unset="the collection's default", embedding="named"
    )
    among: str | None = setting(
        None,
        "Look among images, barcodes, texts, places or what else towers were trained for together, whatever is asked about "
        "('biocosmos train contrastive', 'biocosmos train bind').",
        choices=(*MODALITIES, ALL),
        unset="among its own kind",
    )
    ask_with: str | None = setting(
        None,
        "Which vector of the specimen asks.",
        choices=MODALITIES,
        unset="that of its image",
        only={"id": GIVEN, "among": GIVEN},
    )
    approximate: bool = setting(False, "Lance's vector index, for collections larger than memory.")
    split: str | None = changed(Selection, "split", only={"approximate": False}, panel=SELECTION)
    device: str = changed(ComputeSettings, "device", only=(*_ASKED, *_AROUND))
    precision: str = changed(ComputeSettings, "precision", only=_ASKED)
    backend: str = changed(ComputeSettings, "backend", only=_ASKED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at is self.on is self.country is None:
            return
        from biocosmos.places import parse_day, parse_place
        from biocosmos.places.filters import country_words

        check_readable(self, {"at": parse_place, "on": parse_day, "country": country_words})

    def selected(self) -> dict[str, Any]:
        """As of every selection, with the country."""
        chosen = super().selected()
        if self.country is not None:
            from biocosmos.places.filters import country_words

            terms = [*([f"({self.where})"] if self.where else []), country_words(self.country)]
            chosen["where"] = " AND ".join(terms)
        return chosen


@dataclass(frozen=True)
class EmbedSettings(ComputeSettings, ReduceSettings):
    """An embedding: by an encoder, or of vectors made elsewhere (``vectors``), which get the encoder's name.

    With ``reduce`` a vision transformer keeps fewer tokens, and the embedding has a name of its own, "run+atc-0.5".
    batch_size: images per call of the model. workers: threads that decode. resize: in place of the encoder's own.
    ids: of the rows of a .npy. overwrite: begin anew. default: what other verbs use where none is named.
    """

    encoder: str = setting(DEFAULT, "Which encoder; see 'biocosmos encoders'.", names=("--encoder", "-e"))
    batch_size: int | None = setting(
        None, "Images per model call.", above=0, unset="what the backend runs fastest", only=_COMPUTED, panel="Run"
    )
    workers: int | None = setting(None, "Decode threads.", above=0, unset="one per core", only=_COMPUTED, panel="Run")
    resize: str | None = setting(
        None,
        "Make images square so.",
        choices=("pad", "crop", "squash"),
        unset="what the encoder does best with",
        only=_COMPUTED,
    )
    vectors: Path | None = setting(
        None,
        "Vectors made elsewhere: .npz, .parquet or .csv with ids, .npy with --ids. They get the name of --encoder; those that "
        "export wrote have their own.",
        names=("--from",),
        file=True,
    )
    ids: Path | None = setting(
        None,
        "Ids of the rows of a .npy: one a line, or a .csv with a column 'id'; those that export wrote beside it are found.",
        file=True,
        only={"vectors": GIVEN},
    )
    overwrite: bool = setting(False, "Embed again even if the encoder's weights changed.")
    default: bool = setting(False, "Let every verb use it where no --encoder is given; the first embedding is so unasked.")
    reduce: str = changed(ReduceSettings, "reduce", only=_COMPUTED)
    device: str = changed(ComputeSettings, "device", only=_COMPUTED)
    precision: str = changed(ComputeSettings, "precision", only=_COMPUTED)
    backend: str = changed(ComputeSettings, "backend", only=_COMPUTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reduction()

    @property
    def name(self) -> str:
        """Of the encoder with its reduction. Raises BiocosmosError for one that has a reduction already."""
        reduction = self.reduction()
        return self.encoder if reduction is None else reduced_name(self.encoder, reduction)


@dataclass(frozen=True)
class DemoSettings(ComputeSettings):
    """The demonstration on the shipped sample."""

    seed: int = setting(0, "Seed of every random choice.", low=0, panel="Run")


__all__ = ["DemoSettings", "EmbedSettings", "SearchSettings"]
