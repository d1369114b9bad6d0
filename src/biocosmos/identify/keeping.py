"""An identifier as a folder: JSON, NumPy arrays and Parquet, nothing that runs code when it is read; changes are noticed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from biocosmos.arrays import read_array, read_arrays
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError, Failure, Failures, first_line
from biocosmos.facts import Number, is_file_name, read_facts
from biocosmos.files import is_folder, is_there
from biocosmos.identify.confidence.calibration import Calibration
from biocosmos.identify.confidence.promises import Promise
from biocosmos.identify.confidence.sets import PredictionSets
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.namer import GalleryNamer, Namer
from biocosmos.identify.namers.registry import find_namer
from biocosmos.identify.novelty.alarm import Alarm
from biocosmos.identify.novelty.known_depth import Usual
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.taxonomy import Taxonomy
from biocosmos.unfinished import remove, unfinished_path

if TYPE_CHECKING:
    from biocosmos.identify.identifier import Identifier

FORMAT = 3
STATE = "identifier.json"
_ARRAYS, _VECTORS, _ROWS, _TAXONOMY = "arrays.npz", "vectors.npy", "known.parquet", "taxonomy.parquet"
_COUNTS, _COLUMN = "kmers.npz", "column/"
"""K-mers in place of vectors, and what columns of known specimens are called among the rows."""
_NO_VECTORS = np.empty((0, 0), np.float32)
_KEPT = {
    "features": ("f", 2),
    "held/logits?": ("f", 2),
    "held/features?": ("f", 2),
    "held/truth?": ("iu", 1),
    "held/ids?": ("U", 1),
}
_TOLD = {"what": "an identifier", "remedy": "fit the identifier again"}
_SHAPE = {
    "format": object,
    "namer": {"name": str, "folder?": str, "views?": int, "gradient?": bool, "temperature?": Number(0)},
    "files": {str: str},
    "known": (None, {}),
    "alarm": (None, {"detector": str, "false_alarms": Number(0, 1)}),
    "promise": (None, {}),
    "calibration": {},
    "threshold": (None, float),
    "sets": (None, {}),
    "alone?": {str: {}},
    "calibrated_on": [str],
    "settings": {},
    "notes": [str],
    "failures": [
        {"stage": str, "severity": ("error", "warning"), "reason": str}
        | {"source": (None, str), "row": (None, int), "id": (None, str)}
    ],
}
"""Of :data:`STATE`."""
_DAMAGE = (OSError, LookupError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, pa.ArrowException)
"""What a file that is damaged or of another kind may raise where it is read."""


def save_identifier(identifier: Identifier, folder: Path, *, apart: bool = False) -> Path:
    """Write to a temporary folder beside ``folder``, then take its place; an older identifier there is replaced, nothing else.

    apart: the vectors of the known specimens are kept elsewhere, and nothing is said of places on this machine:
    :func:`completed` gives such a folder its vectors again.
    """
    if is_there(folder) and not is_there(folder / STATE) and (not is_folder(folder) or any(folder.iterdir())):
        raise BiocosmosError(f"{folder} exists and is not an identifier: choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished_path(folder)
    temporary.mkdir()
    try:
        known = identifier.known
        identifier.namer.taxonomy.save(temporary / _TAXONOMY)
        if known is not None:
            assert known.taxa is not None
            rows = pa.table({"id": pa.array(known.ids, pa.string()), "taxon": pa.array(known.taxa)})
            if known.columns is not None and (known.counts is not None or identifier.namer.takes == "both"):
                for name in known.columns.column_names:
                    rows = rows.append_column(f"{_COLUMN}{name}", known.columns[name])
            pq.write_table(rows, temporary / _ROWS)
            if known.counts is None and not apart:
                np.save(temporary / _VECTORS, known.vectors, allow_pickle=False)
            elif known.counts is not None:
                _save_counts(known.counts, temporary / _COUNTS)
        with (temporary / _ARRAYS).open("wb") as out:
            np.savez(out, **_arrays(identifier))  # type: ignore[arg-type]
        record = _record(identifier, folder)
        (replace(record, what="the identifier of a pack", stands_on=()) if apart else record).save(temporary)
        state = _state(identifier)
        state["files"] = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
        (temporary / STATE).write_text(json.dumps(state, indent=1, default=str) + "\n", encoding="utf-8")
        if is_there(folder):
            former = unfinished_path(folder.with_name(f"{folder.name}.former"))
            folder.rename(former)  # at once, so that nobody finds half of it
            temporary.rename(folder)
            remove(former)
        else:
            temporary.rename(folder)
    finally:
        remove(temporary)
    return folder


def completed(folder: Path, vectors_of: Callable[[list[str]], NDArray[np.float32]]) -> Path:
    """Give an identifier that was saved ``apart`` the vectors of its known specimens; vectors_of: ids -> (n, d) unit rows.

    Raises BiocosmosError for a folder that holds no such identifier.
    """
    state = read_facts(folder / STATE, _SHAPE, **_TOLD)
    if state["known"] is None:
        return folder
    try:
        ids = pq.read_table(folder / _ROWS, columns=["id"]).column("id").to_pylist()
    except _DAMAGE as error:
        raise BiocosmosError(f"cannot read an identifier from {folder}: {first_line(error)}") from error
    np.save(folder / _VECTORS, vectors_of(ids), allow_pickle=False)
    state["files"][_VECTORS] = _digest(folder / _VECTORS)
    (folder / STATE).write_text(json.dumps(state, indent=1, default=str) + "\n", encoding="utf-8")
    return folder


def _record(identifier: Identifier, folder: Path) -> guard.Fitted:
    """What it was made from, for whoever judges it; a head's own specimens stand in the record of its folder."""
    known, namer = identifier.known, identifier.namer
    facts = {} if known is None else known.provenance
    split = facts.get("split") or {}
    return guard.Fitted.of(
        f"the identifier in {folder}",
        fitted=() if known is None else known.ids,
        calibrated=identifier.calibrated_on,
        split=split.get("hash"),
        stands_on=[str(part) for part in (encoder_of(facts).get("name"), getattr(namer, "folder", None)) if part],
    )


def load_identifier(folder: Path, *, device: str = "cpu") -> Identifier:
    """Read what :func:`save_identifier` wrote; vectors are mapped from the file.

    Raises BiocosmosError when it is no identifier, of another format, or one of its files was changed.
    """
    try:
        return _loaded(folder, device)
    except BiocosmosError:
        raise
    except _DAMAGE as error:
        raise BiocosmosError(f"cannot read an identifier from {folder}: {first_line(error)}") from error


def _loaded(folder: Path, device: str) -> Identifier:
    state = read_facts(folder / STATE, _SHAPE, **_TOLD)
    if state["format"] != FORMAT:
        raise BiocosmosError(
            f"{folder} has format {str(state['format'])[:40]}, this version reads {FORMAT}: fit the identifier again"
        )
    if stray := [name for name in state["files"] if not is_file_name(name)]:
        raise BiocosmosError(f"{folder / STATE} names the file {stray[0]!r}, which lies elsewhere: fit the identifier again")
    for name, digest in state["files"].items():
        if _digest(folder / name) != digest:
            raise BiocosmosError(f"{folder / name} was changed after it was saved: fit the identifier again")
    taxonomy = Taxonomy.load(folder / _TAXONOMY)
    arrays = read_arrays(folder / _ARRAYS, _KEPT, **_TOLD)
    known = _known(folder, state["known"], taxonomy) if state["known"] is not None else None
    namer = _restored_namer(state["namer"], known, _under("namer/", arrays), device)
    made = _answering(state, arrays, namer, known)
    alone = {
        kind: _answering(each, _under(f"alone/{kind}/", arrays), namer, known) for kind, each in state.get("alone", {}).items()
    }
    failures = _failures(state["failures"])
    return replace(made, alone=alone, failures=failures, held=_held(namer, _under("held/", arrays)))


def _held(namer: Namer, arrays: Mapping[str, NDArray[Any]]) -> Predictions | None:
    """What was said of held-out specimens; None where an earlier version kept nothing of it."""
    if "truth" not in arrays:
        return None
    ids = arrays["ids"].astype(object)
    return Predictions(
        ids, namer.taxonomy, namer.classes, arrays["logits"], arrays["features"].astype(np.float32), arrays["truth"]
    )


def _answering(state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], namer: Namer, known: Gallery | None) -> Identifier:
    """Where answers stop, around a namer."""
    from biocosmos.identify.identifier import Identifier

    alarm = None
    if state["alarm"] is not None:
        like = namer.nothing(int(arrays["width"]))
        detector = make_detector(state["alarm"]["detector"]).restored(_under("detector/", arrays), like)
        inside = tuple(arrays[f"inside/{i}"] for i in range(len(namer.taxonomy.ranks)))
        usual = Usual(namer.taxonomy.ranks, arrays["usual"], inside)
        alarm = Alarm(detector, usual, state["alarm"]["false_alarms"])
    return Identifier(
        namer=namer,
        known=known,
        calibration=Calibration.from_dict(state["calibration"]),
        threshold=float("inf") if state["threshold"] is None else state["threshold"],
        promise=None if state["promise"] is None else Promise.from_dict(state["promise"]),
        alarm=alarm,
        sets=None if state["sets"] is None else PredictionSets(**state["sets"]),
        calibrated_on=np.array(state["calibrated_on"], object),
        features=arrays["features"],
        settings=state["settings"],
        notes=tuple(state["notes"]),
    )


def _failures(rows: list[dict[str, Any]]) -> Failures:
    found = Failures()
    for row in rows:
        found.append(Failure(**row))
    return found


def _state(identifier: Identifier) -> dict[str, Any]:
    namer = identifier.namer
    kept: dict[str, Any] = {"name": namer.name, "digest": namer.about().get("digest")}
    if not isinstance(namer, GalleryNamer):
        from biocosmos.identify.namers.heads import TrainedHead

        if not isinstance(namer, TrainedHead):
            raise BiocosmosError(f"the namer {namer.title!r} cannot be kept in a folder: fit it again where it is needed")
        kept |= {"folder": str(namer.folder.resolve()), "views": namer.views, "gradient": namer.gradient}
    else:
        kept["temperature"] = namer.temperature
    return {
        "format": FORMAT,
        "namer": kept,
        "known": None if identifier.known is None else identifier.known.provenance,
        "failures": [asdict(row) for row in identifier.failures],
        **_stops(identifier),
        **({"alone": {kind: _stops(each) for kind, each in identifier.alone.items()}} if identifier.alone else {}),
    }


def _stops(identifier: Identifier) -> dict[str, Any]:
    alarm = identifier.alarm
    return {
        "threshold": identifier.threshold if np.isfinite(identifier.threshold) else None,
        "calibration": identifier.calibration.to_dict(),
        "promise": None if identifier.promise is None else identifier.promise.to_dict(),
        "alarm": None if alarm is None else {"detector": alarm.detector.name, "false_alarms": alarm.false_alarms},
        "sets": None if identifier.sets is None else identifier.sets.to_dict(),
        "calibrated_on": [str(name) for name in identifier.calibrated_on],
        "settings": identifier.settings,
        "notes": list(identifier.notes),
    }


def _arrays(identifier: Identifier) -> dict[str, NDArray[Any]]:
    namer = identifier.namer
    arrays: dict[str, NDArray[Any]] = {}
    if isinstance(namer, GalleryNamer):
        arrays |= {"namer/classes": namer.classes} | {f"namer/{name}": array for name, array in namer.arrays().items()}
    for kind, each in identifier.alone.items():
        arrays |= {f"alone/{kind}/{name}": array for name, array in _of_stops(each).items()}
    if (held := identifier.held) is not None:
        arrays |= {"held/ids": np.array([str(each) for each in held.ids], np.str_), "held/truth": held.truth}
        arrays |= {"held/logits": held.logits, "held/features": held.features}
    return arrays | _of_stops(identifier)


def _of_stops(identifier: Identifier) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"features": identifier.features}
    alarm = identifier.alarm
    if alarm is not None:
        arrays |= {f"detector/{name}": array for name, array in alarm.detector.arrays().items()}
        arrays |= {f"inside/{i}": scores for i, scores in enumerate(alarm.usual.inside)}
        arrays |= {"usual": alarm.usual.plain, "width": np.array(identifier.features.shape[1])}
    return arrays


def _known(folder: Path, provenance: Any, taxonomy: Taxonomy) -> Gallery:
    rows = pq.read_table(folder / _ROWS)
    counts = _read_counts(folder / _COUNTS) if is_there(folder / _COUNTS) else None
    names = [name for name in rows.column_names if name.startswith(_COLUMN)]
    return Gallery(
        ids=rows.column("id").to_numpy(zero_copy_only=False),
        vectors=read_array(folder / _VECTORS, ("f", 2), mapped=True, **_TOLD) if counts is None else _NO_VECTORS,
        taxa=rows.column("taxon").to_numpy().astype(np.int32),
        taxonomy=taxonomy,
        provenance=provenance,
        columns=rows.select(names).rename_columns([name.removeprefix(_COLUMN) for name in names]) if names else None,
        counts=counts,
    )


def _save_counts(counts: KmerCounts, path: Path) -> None:
    with path.open("wb") as out:
        np.savez(out, k=np.array(counts.k), codes=counts.codes, starts=counts.starts)


def _read_counts(path: Path) -> KmerCounts:
    stored = read_arrays(path, {"k": ("iu", 0), "codes": ("u", 1), "starts": ("i", 1)}, **_TOLD)
    return KmerCounts(
        int(stored["k"]), stored["codes"].astype(np.uint16, copy=False), stored["starts"].astype(np.int64, copy=False)
    )


def _restored_namer(kept: Mapping[str, Any], known: Gallery | None, arrays: dict[str, NDArray[Any]], device: str) -> Namer:
    if "folder" in kept:
        from biocosmos.identify.namers.heads import TrainedHead

        head = TrainedHead.load(kept["folder"], device=device).viewed(kept["views"])
        if head.digest != kept["digest"]:
            raise BiocosmosError(f"{kept['folder']} holds another head than the identifier was made for: fit it again")
        return head.with_gradient() if kept["gradient"] else head
    assert known is not None
    namer = find_namer(kept["name"]).restore(known, arrays.pop("classes").astype(np.int32), arrays)
    namer.temperature = float(kept["temperature"])
    return namer


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
