"""What the folders of trained encoders have in common: weights that are numbers, a projection, what is beneath it, a card.

``biocosmos.json`` comes last in each: a kill leaves a folder that is not yet an encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from biocosmos.encoders.modality import TRAINED
from biocosmos.encoders.towers import plain_state
from biocosmos.encoders.weights import fill, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import Number
from biocosmos.nn.projection import Projection
from biocosmos.provenance import now, package_version
from biocosmos.tables import replacing, write_facts

PROJECTION, CARD, OWN_BASE = "projection.safetensors", "README.md", "base"
"""Files of an encoder's folder, and the sub-folder of an encoder that was tuned beneath a projection."""
_WIDTH = Number(1, 1 << 20, whole=True)
OF_PROJECTION = {"dim_in": _WIDTH, "dim_out": _WIDTH, "hidden": (None, _WIDTH), "normalise": bool}
"""Shape of what a description says of a projection."""


class _Encoder(Protocol):
    @property
    def digest(self) -> str:
        """Of its weights."""


E = TypeVar("E", bound=_Encoder)


def refuse_no_number(folder: Path, state: Mapping[str, torch.Tensor], whose: str = "") -> None:
    """Raise BiocosmosError for weights that hold values that are no number; whose: "of the head", where others lie beside."""
    whose = whose and f"{whose} "
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BiocosmosError(
                f"the trained weights {name} {whose}hold values that are no number: nothing was saved in {folder}"
            )


def save_weights(folder: Path, name: str, module: nn.Module) -> None:
    """Write a module's weights as the file ``name``. Raises BiocosmosError for weights that are no number."""
    state = plain_state(module)
    refuse_no_number(folder, state)
    with replacing(folder / name) as temporary:
        save_file(state, temporary)


def read_projection(path: Path, settings: Mapping[str, Any]) -> Projection:
    """The projection in a file of weights, built as ``settings`` (of :data:`OF_PROJECTION`) say, in evaluation mode.

    Raises BiocosmosError for a file that is missing, damaged, or of another shape.
    """
    weights = read_weights(path)
    with torch.device("meta"):  # what the JSON claims costs nothing until the file has it
        projection = Projection(**{name: settings[name] for name in OF_PROJECTION})
    fill(projection, weights, path)
    return projection.eval()


def place_of_base(folder: Path, name: str) -> str:
    """Where the encoder beneath a projection in ``folder`` is: its name, or the sub-folder it stands in."""
    return str(folder / OWN_BASE) if name == OWN_BASE else name


def base_beneath(folder: Path, base: Mapping[str, str], load: Callable[[str], E]) -> E:
    """The encoder beneath the projection in ``folder``; base: its name and digest; load: loads one by its name.

    Raises BiocosmosError for a projection over itself, and for other weights than it was trained on.
    """
    place = place_of_base(folder, base["name"])
    if Path(place).resolve() == folder.resolve():
        raise BiocosmosError(f"{folder} is a projection over itself: restore {TRAINED}, or train the encoder again")
    encoder = load(place)
    if encoder.digest != base["digest"]:
        raise BiocosmosError(
            f"{folder} is a projection over '{base['name']}' with weights {base['digest']}, and here it has {encoder.digest}: "
            "bring the one it was trained on, or train it again"
        )
    return encoder


def refuse_changed_weights(folder: Path, digest: str, facts: Mapping[str, Any], whose: str = "weights have") -> None:
    """Raise BiocosmosError for an encoder whose digest is not the one that its description says; whose: "weights and tokenizer
    have"."""
    if digest != facts["digest"]:
        raise BiocosmosError(
            f"{folder} was changed after it was saved: its {whose} the digest {digest}, {TRAINED} says {facts['digest']}; "
            "train it again, or restore the file"
        )


def describe(folder: Path, facts: Mapping[str, Any], card: Callable[[str, Mapping[str, Any]], str]) -> str:
    """Write the model card and, last, the description of an encoder whose weights are there; returns its digest.

    card: Markdown of a folder's name and its facts, to which version and time were added here.
    """
    facts = {**facts, "biocosmos": package_version(), "created": now()}
    with replacing(folder / CARD) as temporary:
        temporary.write_text(card(folder.name, facts), encoding="utf-8")
    write_facts(folder / TRAINED, facts)
    return str(facts["digest"])


def card_text(
    name: str, facts: Mapping[str, Any], *, tags: Sequence[str], default: str, weights: str, reads: str = "", advice: str
) -> str:
    """Markdown with the front matter of the Hugging Face hub.

    default: what it is, where the training does not say; weights: what follows their digest and length; reads: of which input,
    a line of its own; advice: behind the command that uses it.
    """
    training = facts["training"]
    lines = [
        "---",
        "library_name: biocosmos",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "- biocosmos",
        "---",
        "",
        f"# {name}",
        "",
        str(training.get("what") or default),
        "",
        f"- weights: {facts['digest']}, vectors of {facts['dim']} numbers{weights}",
        *([f"- reads: {reads}"] if reads else []),
        f"- saved: {facts['created']} by biocosmos {facts['biocosmos']}",
        *(f"- {key}: {value}" for key, value in training.items() if key not in ("what", "metrics", "settings")),
        "",
        f"Use: `biocosmos embed COLLECTION -e PATH/OF/THIS/FOLDER`. {advice}",
        "",
    ]
    return "\n".join(lines)
