"""What the verbs that read, select, split and write specimens are told. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.settings import GIVEN, NOT_GIVEN, SettingError, check, names_in, setting
from biocosmos.specimens.barcode_settings import BarcodeSettings
from biocosmos.specimens.survey_settings import COUNTED, SURVEYS, UNITS, Survey, biovolume_of, measure

SELECTION = "Which specimens"
SAMPLED = "What was found in each sample (obis, gbif-event, camtrap-dp, ecotaxa-summary)"
EVERYTHING = "all"
"""In place of a part of a split: the whole collection."""
UNLABELLED = "unlabelled"
"""In place of a part of a split, where one is named: the specimens without a name at any rank."""
METHODS = ("stratified", "random", "open-world", "grouped", "column", "bioscan", "files")
SHARED_OUT = ("stratified", "random", "open-world", "grouped")
"""Methods that are told shares."""
EXPORTS = ("csv", "parquet", "darwin-core", "ecotaxa", "coco", *SURVEYS)


@dataclass(frozen=True)
class Selection:
    """Which specimens of a collection; arguments of :meth:`Collection.scan` and :meth:`Collection.gallery`."""

    split: str | None = setting(
        None, "Only this part of a split: train, or openworld:novel.", unset="all", part="given", panel=SELECTION
    )
    within: str | None = setting(None, "Only this taxon, at any rank: Copepoda, or class:Copepoda.", panel=SELECTION)
    where: str | None = setting(None, "Only where this SQL condition holds: 'latitude > 40'.", panel=SELECTION)

    def __post_init__(self) -> None:
        check(self)

    def selected(self) -> dict[str, Any]:
        """These settings as keyword arguments."""
        return {"split": self.split, "within": self.within, "where": self.where}


@dataclass(frozen=True)
class IngestSettings(BarcodeSettings):
    """How files become specimens; the arguments of :func:`biocosmos.specimens.readers.read` of the same names."""

    format: str | None = setting(
        None,
        "folder, csv, parquet, darwin-core, ecotaxa, bioscan, fasta, genbank, xlsx, vlm4bio, coco, webdataset, hugging-face, "
        "camtrap-dp, megadetector, mot, mot-detections, ami, insect-detect, insect-tracking, wide, sewer-ml, "
        "isatnat, isoundnat, or a package's own.",
        unset="found from the path",
    )
    column: tuple[str, ...] = setting((), "ours=theirs: --column label=Taxon.", repeated=True)
    ranks: tuple[str, ...] = setting(
        (), "Rank columns or folder levels: family,genus,species.", unset="those the columns are named by"
    )
    metadata: Path | None = setting(None, "A CSV with more columns, joined by file name, or by id to sequences.", file=True)
    taxonomy: Path | None = setting(
        None,
        "The ranks of each label: a CSV with label and ranks, or a checklist (ColDP, GBIF, WoRMS; id, parent, rank, name).",
        file=True,
    )
    images: Path | None = setting(
        None, "Folder that relative image names in a table start from.", file=True, unset="the table's own"
    )
    beside: Path | None = setting(
        None,
        "Folder of the satellite images (iSatNat) or sounds (iSoundNat).",
        file=True,
        unset="satellite, sentinel, sounds_mp3 or sounds beside what is read",
    )
    size: str | None = setting(None, "Which image size (BIOSCAN): cropped_256.", unset="the best that is there")
    boxes: str | None = setting(
        None,
        "Boxes of photos that EXIF turns: as stored, or upright.",
        choices=("stored", "upright"),
        unset="told from the file's sizes",
    )
    confidence: float | None = setting(
        None, "Least confidence of a detection (MegaDetector).", low=0, high=1, unset="typical of the detector, or 0.2"
    )
    empty: bool = setting(False, "Keep pictures in which nothing was seen, whole (MegaDetector, Camtrap DP).")
    group: tuple[str, ...] = setting(
        (), "NAME=COLUMN+COLUMN: columns of 0 and 1 that are one attribute; * in a name: --group 'species=sp_*'.", repeated=True
    )
    sets: tuple[str, ...] = setting(
        (), "COLUMN=SEPARATOR: a column whose texts list several values: --sets 'species=;'.", repeated=True
    )
    encoding: str | None = setting(None, "Of text files: utf-8, latin-1 ...", unset="found from the file")
    separator: str | None = setting(None, "Of text tables.", unset="found from the file")
    pack: bool = setting(False, "Copy the images into the collection.")
    id_prefix: str = setting("", "Stands before every id, for the same file names in two folders: lake2/.", unset="nothing")

    def __post_init__(self) -> None:
        check(self)
        self.reading()

    def reading(self) -> dict[str, Any]:
        """The keyword arguments of :func:`biocosmos.specimens.readers.read`. Raises SettingError for a column without "="."""
        return {
            "format": self.format,
            "columns": renamed_columns(self.column),
            "ranks": self.ranks or None,
            "metadata": self.metadata,
            "taxonomy": self.taxonomy,
            "images": self.images,
            "beside": self.beside,
            "size": self.size,
            "boxes": self.boxes,
            "confidence": self.confidence,
            "empty": self.empty,
            "groups": self.group,
            "sets": self.sets,
            "encoding": self.encoding,
            "separator": self.separator,
            **self.barcodes(),
        }


@dataclass(frozen=True)
class SplitSettings:
    """How specimens are shared out; the arguments of :meth:`Collection.make_split`."""

    method: str = setting("stratified", "How they are shared out.", choices=METHODS)
    name: str = setting("default", "What to call it; 'default' is the one every verb uses.")
    seed: int = setting(0, "Seed of every random choice.", low=0, only={"method": (*SHARED_OUT, "bioscan")})
    fractions: str = setting("train=0.7,val=0.15,test=0.15", "Shares of the parts, adding up to 1.", only={"method": SHARED_OUT})
    rank: str | None = setting(
        None,
        "Stratify or hold out taxa of this rank.",
        unset="the lowest name of each",
        only={"method": ("stratified", "open-world")},
    )
    column: str | None = setting(
        None,
        "Whose values stay together, or are the parts, or stand in the files.",
        unset="the id, for files",
        only={"method": ("grouped", "column", "files")},
    )
    files: Path | None = setting(
        None, "Folder with a file PART.txt for each part, one id a line.", file=True, only={"method": "files"}
    )
    duplicates: bool = setting(
        False,
        "In place of --column: the groups that 'biocosmos discover duplicates' found last stay together.",
        only={"method": "grouped", "column": NOT_GIVEN},
    )
    held_out: str = setting("0.1", "A share of the taxa, or their names, comma-separated.", only={"method": "open-world"})
    where: str | None = setting(None, "Only where this SQL condition holds: 'latitude > 40'.")

    def __post_init__(self) -> None:
        check(self)
        if self.method == "files" and self.files is None:
            raise SettingError("--method files needs --files, the folder with a file PART.txt for each part")
        self.splitting()

    def splitting(self) -> dict[str, Any]:
        """The keyword arguments of :meth:`Collection.make_split`. Raises SettingError for shares that are no numbers."""
        try:
            held: float | tuple[str, ...] = float(self.held_out)
        except ValueError:
            held = names_in(self.held_out)
        try:
            shares = {part: float(share) for part, share in pairs(names_in(self.fractions), "--fractions").items()}
        except ValueError as error:
            raise SettingError(f"--fractions {self.fractions}: {error}") from None
        return {
            "method": self.method,
            "name": self.name,
            "seed": self.seed,
            "fractions": shares,
            "rank": self.rank,
            "column": self.column,
            "files": self.files,
            "held_out": held,
            "where": self.where,
        }


def _sampled(help: str, metavar: str, unset: str = "not known", **only: Any) -> Any:
    """What the formats that count are told of a sample or a specimen."""
    return setting(None, help, metavar=metavar, unset=unset, only={"format": COUNTED} | only, panel=SAMPLED)


def _measure(name: str, help: str, **only: Any) -> Any:
    """A column with its unit, of the formats that count."""
    return _sampled(f"{help} The unit is one of {', '.join(UNITS[name])}.", "COLUMN=UNIT", **only)


@dataclass(frozen=True)
class ExportSettings(Selection):
    """What is written of a collection, and how."""

    format: str | None = setting(None, "What to write.", choices=EXPORTS, unset="from the name", only={"vectors": NOT_GIVEN})
    vectors: str | None = setting(None, "Only ids and the vectors of this encoder, as .npz, .npy or .parquet.", metavar="ENCODER")
    identifications: str | None = setting(
        None,
        "Only what a machine named, as predicted: 'latest' or another name of 'biocosmos identifications', or a table of names.",
        metavar="WHICH",
        only={"vectors": NOT_GIVEN},
    )
    attributes: tuple[str, ...] = setting(
        (),
        "Only these attributes, as a table of 0 and 1 (docs/attributes.md).",
        only={"vectors": NOT_GIVEN, "identifications": NOT_GIVEN, "current": False, "spreadsheet": False, "within": NOT_GIVEN},
    )
    spreadsheet: bool = setting(
        False, "A CSV whose cells no spreadsheet takes for formulas; ingest takes it back as it was.", only={"vectors": NOT_GIVEN}
    )
    current: bool = setting(
        False,
        "Names as of now: what people said by hand over the labels, with who and when; where nobody did, what a machine named "
        "last, as predicted.",
        only={"vectors": NOT_GIVEN, "identifications": NOT_GIVEN},
    )
    ids: Path | None = setting(
        None,
        "Only the specimens whose ids stand in this file, one a line (or a JSON list), in this order.",
        file=True,
        only={"current": True},
    )
    without_images: bool = setting(False, "The pictures are not written.", only={"current": True})
    overwrite: bool = setting(False, "Write over a table of names that identify wrote.")
    sample: str | None = _sampled(
        "The column that says which sample a specimen is of.",
        "COLUMN",
        "sample_id, eventID, sample, deployment, station ...",
        format=SURVEYS,
    )
    volume: str | None = _measure("volume", "Water that a specimen's acquisition stands for: sample_tot_vol=m3.")
    share: str | None = _sampled(
        "The column that says which share of it was looked at, above 0 to 1.", "COLUMN", "all of it", volume=GIVEN
    )
    parts: str | None = _sampled(
        "In its place the column that says into how many parts it was split, of which one was looked at: acq_sub_part.",
        "COLUMN",
        "1",
        volume=GIVEN,
        share=NOT_GIVEN,
    )
    biovolume: str | None = _sampled(
        "The volume of a specimen: sphere, ellipsoid, an arithmetic of columns and px, or COLUMN=UNIT with one of mm3, um3.",
        "FORMULA",
        volume=GIVEN,
    )
    pixel: str | None = _sampled(
        "The side of a pixel, px of the formula: 10.6um, 0.0106mm or COLUMN=um.", "LENGTH", biovolume=GIVEN
    )
    mesh: str | None = _measure("mesh", "The mesh of the net: sample_net_mesh=um.", format="obis")
    aperture: str | None = _measure("aperture", "The opening of the net: sample_net_surf=m2.", format="obis")
    absences: bool = setting(
        False,
        "A row for each taxon that was not found in a sample and was in another.",
        only={"format": ("obis", "gbif-event")},
        panel=SAMPLED,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.survey()

    def survey(self) -> Survey:
        """Which columns are samples and volumes. Raises SettingError for a measure without a unit that is known."""
        measures: dict[str, Any] = {name: measure(name, getattr(self, name)) for name in UNITS if name != "biovolume"}
        measures["biovolume"], measures["pixel"] = biovolume_of(self.biovolume, self.pixel)
        return Survey(sample=self.sample, share=self.share, parts=self.parts, absences=self.absences, **measures)


def pairs(values: tuple[str, ...], called: str) -> dict[str, str]:
    """``("ours=theirs", ...)`` as a dictionary. Raises SettingError for anything else."""
    found = {}
    for value in values:
        left, equals, right = value.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise SettingError(f"{called} {value!r} must look like name=value")
        found[left.strip()] = right.strip()
    return found


def renamed_columns(values: Sequence[str] | None) -> dict[str, str]:
    """What ``--column ours=theirs`` says: their name -> ours. Raises SettingError for one without "="."""
    return {theirs: ours for ours, theirs in pairs(tuple(values or ()), "--column").items()}


__all__ = ["pairs", "renamed_columns", "ExportSettings", "IngestSettings", "Selection", "SplitSettings"]
