"""What the dial chose, as an encoder folder that every command takes; with the trained head of the folder it began from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from biocosmos.encoders.modality import described
from biocosmos.encoders.reduction.spec import split_name
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.attribute_heads import ATTRIBUTES, copy_attributes, has_attributes, read_attribute_facts
from biocosmos.identify.namers.heads import HEAD, TrainedHead, copy_head
from biocosmos.specimens import guard

BY = "biocosmos tokens dial"


def refuse_folder(output: Path, encoder: str) -> None:
    """Raise BiocosmosError for a place that is the encoder's own, another encoder's, or a file."""
    if Path(split_name(encoder)[0]).expanduser().resolve() == output.resolve():
        raise BiocosmosError(f"{output} is the encoder itself: choose another --output")
    if output.is_file():
        raise BiocosmosError(f"{output} is a file, and an encoder is a folder: choose another --output")
    training = described(output).get("training")
    if described(output) and not (isinstance(training, dict) and training.get("by") == BY):
        raise BiocosmosError(f"{output} holds an encoder that '{BY}' did not write: choose another --output")


def write_folder(
    output: Path,
    towers: Towers,
    encoder: str,
    way: Mapping[str, str],
    head: TrainedHead | None,
    *,
    judged: Sequence[str],
    split: str | None,
    training: Mapping[str, Any],
) -> str:
    """Save the towers, how they are computed, the heads over them, and on whom this was chosen. Returns the encoder's digest."""
    for former in (HEAD, ATTRIBUTES):  # heads of before are not over these weights
        (output / former).unlink(missing_ok=True)
    digest = save_encoder(output, towers, base=encoder, way=way, training={**training, "by": BY})
    if head is not None:
        copy_head(head, output, digest)
    elif has_attributes(encoder) and not read_attribute_facts(encoder)["frozen"]:
        copy_attributes(encoder, output, digest)
    seen: dict[str, list[pa.Array]] = {use: [] for use in guard.USES}
    for record in guard.records(encoder):  # also written here, should the folder it began from be gone one day
        for use in guard.USES:
            seen[use].append(record.used(use))
    seen[guard.CHOSEN].append(pa.array(list(judged), pa.string()))
    uses = {use: pa.concat_arrays(ids) if ids else pa.array([], pa.string()) for use, ids in seen.items()}
    guard.Fitted.of(f"the encoder in {output}", **uses, split=split, stands_on=[encoder]).save(output)
    return digest
