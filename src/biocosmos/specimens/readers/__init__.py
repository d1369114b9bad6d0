"""Readers: one file a format, one call for all.

>>> source = read("images/", metadata="labels.csv")
>>> for batch in source.batches:
...     ...
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from biocosmos.barcodes.rules import Rules
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.files import is_file, is_folder, is_junk, is_there, refuse_special
from biocosmos.plugins import plug_ins
from biocosmos.settings import UnusedSetting, flag
from biocosmos.specimens.readers.added import Reader, format_by_suffix, load_reader
from biocosmos.specimens.readers.columnar import PARQUET_SUFFIXES, is_frame, is_parquet, read_frame
from biocosmos.specimens.readers.hugging_face import is_dataset
from biocosmos.specimens.readers.label_options import LabelColumns
from biocosmos.specimens.readers.options import MAX_IMAGE_BYTES, Options
from biocosmos.specimens.readers.packed import (
    SUFFIXES,
    TABLE_SUFFIXES,
    genbank_among,
    is_genbank,
    is_sequences,
    sequences_among,
    table_among,
)
from biocosmos.specimens.readers.taxonomy_table import open_taxonomy
from biocosmos.specimens.readers.trap_sniffing import trap_format
from biocosmos.specimens.readers.workbook import is_workbook
from biocosmos.specimens.records import Source

# format -> (module, function, what it is). The order is the order of the help text.
FORMATS: dict[str, tuple[str, str, str]] = {
    "folder": ("folder", "read", "a folder of images, sub-folders as labels or ranks"),
    "csv": ("delimited", "read_text", "CSV, TSV or any separated text with file names"),
    "parquet": ("columnar", "read_parquet", "Parquet with file names or packed images, one file or a folder of them"),
    "darwin-core": ("darwin_core", "read", "Darwin Core Archive, zip or folder"),
    "ecotaxa": ("ecotaxa", "read", "EcoTaxa export or import, zip or folder"),
    "bioscan": ("bioscan", "read", "BIOSCAN-5M/1M metadata CSV, or the folder it lies in"),
    "fasta": ("fasta", "read", "FASTA or FASTQ of DNA barcodes, packed or not"),
    "genbank": ("genbank", "read", "GenBank flat file: the barcode gene of each record"),
    "xlsx": ("workbook", "read", "Excel workbook: one sheet, or BOLD's spreadsheet of several"),
    "vlm4bio": ("vlm4bio", "read", "VLM4Bio datasets folder"),
    "coco": ("coco", "read", "COCO annotations JSON, of videos too: boxes become crops"),
    "webdataset": ("webdataset", "read", "tar shards: TreeOfLife, img2dataset"),
    "hugging-face": ("hugging_face", "read", "Hugging Face dataset: Parquet files with splits, or save_to_disk"),
    "camtrap-dp": ("camtrap_dp", "read", "Camtrap DP package, zip or folder: observations of camera traps"),
    "megadetector": ("megadetector", "read", "MegaDetector results JSON: animals become crops"),
    "wide": ("wide", "read", "CSV with a column of 0 and 1 for each label"),
    "sewer-ml": ("sewer_ml", "read", "Sewer-ML's tables of pipe defects, or the folder they lie in"),
    "mot": ("mot", "read", "MOTChallenge tree, sequence or gt.txt: boxes of tracks become crops"),
    "mot-detections": ("mot", "read_detections", "MOTChallenge tree: boxes of the detector, det.txt"),
    "ami": ("ami", "read", "AMI data companion: exported detections, CSV"),
    "insect-detect": ("insect_detect", "read", "Insect Detect: metadata CSV of a recording"),
    "insect-tracking": ("insect_tracking", "read", "insectTracking, MCC24-trap: CSV of detections or tracks of a day"),
    "isatnat": ("isatnat", "read", "iSatNat: iNaturalist's annotations JSON beside a folder of satellite images"),
    "isoundnat": ("isoundnat", "read", "iSoundNat: CSV of pictures and sounds by their id"),
}
ALIASES = {"dwca": "darwin-core", "tsv": "csv", "coco-video": "coco"}
BARCODES = ("keep_personal", "provisional", *vars(Rules()))
"""What every format with barcodes uses."""
USES: dict[str, tuple[str, ...]] = {
    "folder": ("metadata",),
    "csv": ("encoding", "separator", "images", "marker", *BARCODES),
    "parquet": ("images", *BARCODES),
    "data frame": ("images", *BARCODES),
    "darwin-core": BARCODES[1:],
    "ecotaxa": ("encoding",),
    "bioscan": ("encoding", "separator", "images", "size", "rows", "marker", *BARCODES),
    "genbank": ("encoding", "marker", *BARCODES),
    "xlsx": ("images", "marker", *BARCODES),
    "fasta": ("encoding", "separator", "metadata", "pattern", "marker", *BARCODES),
    "vlm4bio": ("encoding",),
    "coco": ("images", "boxes", "empty"),
    "hugging-face": ("images", *BARCODES),
    "camtrap-dp": ("images", "boxes", "empty"),
    "megadetector": ("images", "boxes", "confidence", "empty"),
    "mot": ("images", "empty"),
    "mot-detections": ("images", "empty"),
    **dict.fromkeys(("ami", "insect-detect", "insect-tracking"), ("encoding", "separator", "images", "empty")),
    "webdataset": (),
    "wide": ("encoding", "separator", "images", "marker", *BARCODES),
    "sewer-ml": ("encoding", "separator", "images"),
    "isatnat": ("images", "boxes", "empty", "beside"),
    "isoundnat": ("encoding", "separator", "images", "beside"),
}
"""What each format uses besides ranks, columns, taxonomy, groups and sets; a folder with ``metadata`` reads a table too."""
_TAKEN = (*FORMATS, *ALIASES)
CAMTRAP_TABLES = ("deployments", "media", "observations")
SNIFFED = 1 << 16  # bytes at either end of a JSON


def read(
    path: str | Path | Any,
    *,
    format: str | None = None,
    ranks: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    metadata: str | Path | None = None,
    taxonomy: str | Path | None = None,
    failures: Failures | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    images: str | Path | None = None,
    beside: str | Path | None = None,
    size: str | None = None,
    rows: tuple[str, Collection[str]] | None = None,
    boxes: str | None = None,
    confidence: float | None = None,
    empty: bool = False,
    rules: Rules | None = None,
    pattern: str | None = None,
    marker: str | None = None,
    keep_personal: bool = False,
    provisional: bool = False,
    groups: Sequence[str] = (),
    sets: Sequence[str] = (),
    max_image_bytes: int = MAX_IMAGE_BYTES,
) -> Source:
    """Open specimens of any known format, or of a data frame; rows are read as the batches are asked for.

    path: a file or folder, or a pandas or polars frame or an Arrow table with the columns of a Parquet file. format: one of
    FORMATS, or of what installed packages add; found from the path when None. ranks: rank columns, coarse to fine (for a
    folder: what its levels are). columns: their name -> ours. metadata: CSV about the files of a folder. taxonomy: CSV joined
    on ``label`` that gives rank columns. encoding, separator: of text files, found when None. images: folder that relative
    image names start from. beside: folder of satellite images (iSatNat) or of sounds (iSoundNat). size: which image size
    (BIOSCAN). rows: a column and its values, only rows with one of which are read, as of some parts of BIOSCAN. boxes: of
    photos as "stored" or "upright", told from the file when None. confidence: detections of less are left out. empty: keep
    pictures in which nothing was detected or seen. rules: what is done to barcodes, :class:`biocosmos.barcodes.cleaning.Rules`.
    pattern: a regular expression with named groups that reads the first lines of sequences. marker: only sequences of this
    marker. keep_personal: keep columns about people, who are left out of sources with barcodes. provisional: names such as
    "Culex sp. 1" are species there.
    groups: "name=column+column", columns of 0 and 1 that are one attribute, * and ? in names; sets: "column=separator", columns
    whose texts list several values. max_image_bytes: larger files inside archives are refused unread.
    Raises BiocosmosError for a path that is missing or of no clear format, and for mappings that do not fit.
    """
    for extra in (metadata, taxonomy, images, beside):
        if extra is not None:
            _refuse_missing(extra)
    added = plug_ins("readers", _TAKEN)
    format = _format_of(path, format, added)
    if format not in added:
        given: dict[str, Any] = {"metadata": metadata, "encoding": encoding, "separator": separator, "images": images}
        given["beside"] = beside
        given |= {"size": size, "rows": rows} | {"boxes": boxes, "confidence": confidence, "empty": empty or None}
        given |= {
            "pattern": pattern,
            "marker": marker,
            "keep_personal": keep_personal or None,
            "provisional": provisional or None,
        }
        given |= {} if rules is None else {name: value for name, value in vars(rules).items() if value != getattr(Rules(), name)}
        _refuse_unused(format, {name for name, value in given.items() if value is not None})
    failures = Failures() if failures is None else failures
    options = Options(
        failures=failures,
        ranks=None if ranks is None else tuple(ranks),
        columns=dict(columns or {}),
        metadata=None if metadata is None else Path(metadata),
        taxonomy=None if taxonomy is None else open_taxonomy(taxonomy, failures),
        encoding=encoding,
        separator=separator,
        images=None if images is None else Path(images),
        beside=None if beside is None else Path(beside),
        size=size,
        rows=rows,
        boxes=boxes,
        confidence=confidence,
        empty=empty,
        rules=Rules() if rules is None else rules,
        pattern=pattern,
        marker=marker,
        keep_personal=keep_personal,
        provisional=provisional,
        labels=LabelColumns.of(groups, sets),
        max_image_bytes=max_image_bytes,
    )
    if is_frame(path):
        return _labelled(read_frame(path, options), options)
    path = Path(path)
    if format in added:
        return _from(path, _labelled(load_reader(added[format]).read(path, options), options))
    module, function, _ = FORMATS[format]
    reader: Callable[[Path, Options], Source] = getattr(import_module(f"{__name__}.{module}"), function)
    return _from(path, _labelled(reader(path, options), options))


def _labelled(source: Source, options: Options) -> Source:
    """The source with the label columns that the caller named, if any."""
    if not options.labels:
        return source
    from biocosmos.specimens.readers.labels import labelled

    return labelled(source, options.labels)


def _refuse_missing(path: str | Path) -> None:
    """Raise BiocosmosError for a path that is not there, and for a device or a pipe."""
    if not is_there(path):
        raise BiocosmosError(f"there is no file or folder {path}")
    refuse_special(path)


def _format_of(path: Any, asked: str | None, added: Mapping[str, Any]) -> str:
    """The format that is asked for or found. Raises BiocosmosError for a path that is missing and for an unknown format."""
    if is_frame(path):
        if asked is not None:
            raise BiocosmosError(f"a data frame has no format {asked!r}: leave it out")
        return "data frame"
    _refuse_missing(path)
    format = detect(path) if asked is None else ALIASES.get(asked, asked)
    if format not in FORMATS and format not in added:
        raise BiocosmosError(f"unknown format {format!r}: choose one of {', '.join([*FORMATS, *added])}")
    return format


def _from(path: Path, source: Source) -> Source:
    source.origin = path
    return source


def _refuse_unused(format: str, given: set[str]) -> None:
    """Refuse what the format does not use. Raises UnusedSetting that names the formats that do."""
    uses = set(USES[format]) | ({"encoding", "separator", "images"} if "metadata" in given and format == "folder" else set())
    for name in sorted(given - uses):
        users = [other for other, used in USES.items() if name in used and other in FORMATS]
        extra = " with --metadata" if name in ("encoding", "separator", "images") and format == "folder" else ""
        where = f"with --format {' or '.join(users)}, not {format}" if not extra else f"on a folder{extra}"
        raise UnusedSetting(name, flag(name), where)


def detect(path: str | Path) -> str:
    """The format of a path by its name and, for folders and zips, by the names inside. Raises BiocosmosError if unclear."""
    path = Path(path)
    if is_file(path / "collection.json"):
        raise BiocosmosError(f"{path} is a collection: open it with Collection.open, or add it to another with Collection.add")
    found = _of_folder(path) if is_folder(path) else _of_file(path)
    if found is None:
        added = plug_ins("readers", _TAKEN)
        found = format_by_suffix(path, added)
    if found is None:
        raise BiocosmosError(f"cannot tell the format of {path}: say --format with one of {', '.join([*FORMATS, *added])}")
    return found


def _of_file(path: Path) -> str | None:
    from biocosmos.specimens.readers.isatnat import satellite_folder  # here, because it brings COCO's reader

    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return "parquet"
    if is_workbook(path):
        return "xlsx"
    if suffix in (".xls", ".ods"):
        raise BiocosmosError(f"{path} is a workbook: save the sheet as CSV (UTF-8) and read that")
    if suffix in (".txt", ".csv"):
        from biocosmos.specimens.readers import mot_tree  # here, because it brings all that reads pictures

        if mot_tree.is_table(path):
            return "mot"
    if (trap := trap_format(path)) is not None:
        return trap
    if suffix in TABLE_SUFFIXES or (suffix in SUFFIXES and Path(path.stem).suffix.lower() in TABLE_SUFFIXES):
        from biocosmos.specimens.readers import bioscan, sewer_ml

        return "bioscan" if bioscan.is_table(path) else "sewer-ml" if sewer_ml.is_table(path) else "csv"
    if is_sequences(path.name) or is_genbank(path.name):
        return "fasta" if is_sequences(path.name) else "genbank"
    if suffix == ".tar" or path.name.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        return "webdataset"
    if suffix == ".arrow":
        return "hugging-face"
    if path.name == "datapackage.json":
        return "camtrap-dp"
    if suffix == ".json":
        found = _of_json(path)
        return "isatnat" if found == "coco" and satellite_folder(path) is not None else found
    if suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.replace("\\", "/") for name in archive.namelist()]
                return _of_names(names) or _of_sequences(names) or _table_of(path, names)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise BiocosmosError(f"cannot read {path} as a zip: {error}") from error
    return None


def _of_sequences(names: Sequence[str]) -> str | None:
    """fasta or genbank for a zip with one such file."""
    return "fasta" if sequences_among(names) else "genbank" if genbank_among(names) else None


def _of_json(path: Path) -> str:
    """MegaDetector's files have "detections" in their images, COCO's do not; both may be too large to be read for this."""
    if not is_file(path):
        return "coco"
    with path.open("rb") as file:
        beginning = file.read(SNIFFED)
        file.seek(max(0, path.stat().st_size - SNIFFED))
        text = beginning + file.read(SNIFFED)
    return "megadetector" if re.search(rb'"(detections|detection_categories)"\s*:', text) else "coco"


def _table_of(path: Path, names: Sequence[str]) -> str:
    """csv for a zip with one table that is surely the one. Raises BiocosmosError for any other."""
    found, reason = table_among([name for name in names if not any(map(is_junk, name.split("/")))])
    if found is None:
        raise BiocosmosError(f"cannot tell the format of {path}: it {reason}; unpack it and read what is in it")
    return "csv"


def _of_names(names: Sequence[str]) -> str | None:
    lowered = [name.lower().rsplit("/", 1)[-1] for name in names]
    if "meta.xml" in lowered:
        return "darwin-core"
    if "datapackage.json" in lowered and all(any(name.startswith(table) for name in lowered) for table in CAMTRAP_TABLES):
        return "camtrap-dp"
    if any(name.startswith("ecotaxa") and name.endswith((".tsv", ".txt")) for name in lowered):
        return "ecotaxa"
    return None


def _of_folder(path: Path) -> str | None:
    from biocosmos.specimens.readers.isatnat import satellite_folder  # here, because it brings COCO's reader

    names = sorted(entry.name for entry in path.iterdir())
    by_names = _of_names(names)
    if by_names is not None:
        return by_names
    if any(name.endswith(".tar") for name in names):
        return "webdataset"
    if is_folder(path / "annotations") and any((path / "annotations").glob("*.json")):
        return "coco" if satellite_folder(path) is None else "isatnat"
    if any(name.endswith(".json") for name in names) and satellite_folder(path) is not None:
        return "isatnat"
    if is_dataset(path):
        return "hugging-face"
    from biocosmos.specimens.readers import mot_tree  # here, as above

    if mot_tree.is_tree(path):
        return "mot"
    plain = [name for name in names if not is_junk(name) and not name.startswith("_")]
    if path.suffix.lower() in PARQUET_SUFFIXES or (plain and all(is_parquet(path / name) for name in plain)):
        return "parquet"
    if any(is_folder(path / group / "metadata") for group in ("Fish", "Bird", "Butterfly")) or (
        is_folder(path / "datasets") and _of_folder(path / "datasets") == "vlm4bio"
    ):
        return "vlm4bio"
    return "folder"


__all__ = ["FORMATS", "Options", "Reader", "Source", "detect", "read"]
