"""The model card of a trained encoder: what it is, what it was made from, what it is for, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biocosmos.encoders import cache
from biocosmos.encoders.registry import DEFAULT
from biocosmos.files import is_file

LICENCES = {DEFAULT: "apache-2.0"}
"""Of bases whose licence is known without a model card beside them."""
_OWN_SECTIONS = ("what", "metrics", "settings")


def licence_of(base: str) -> str | None:
    """The licence of a base, from what is known or from the model card beside its weights; None if neither says."""
    if base in LICENCES:
        return LICENCES[base]
    kind, _, rest = base.partition(":")
    if kind == "timm" and "@" in rest:  # a checkpoint file of one's own
        return None
    repository = rest.removeprefix("hf-hub:") if kind in ("hf", "open_clip") else f"timm/{rest}" if kind == "timm" else None
    folder = cache.hub_folder(repository) if repository else Path(base)
    card = None if folder is None else folder / "README.md"
    if card is None or not is_file(card):
        return None
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if line.strip() == "---":
            break
        if colon and key.strip() == "license" and value.strip():
            return value.strip().strip("'\"")
    return None


def model_card(name: str, facts: Mapping[str, Any]) -> str:
    """Markdown with the front matter of the Hugging Face hub.

    Args:
        name: what to call the encoder.
        facts: what goes into ``biocosmos.json``. Of ``facts["training"]`` these keys have a place of their own: ``what`` (a
            sentence: how it was trained), ``settings`` (a mapping), ``metrics`` (one mapping per epoch; their keys are the
            columns). All others (collection, split, split hash, images, seconds ...) are listed as they are.
    """
    training, base, prepared = facts["training"], facts["base"], facts["preprocessing"]
    kind = facts["architecture"]["kind"]
    licence = base["licence"]
    front = ["---", f"library_name: {'open_clip' if kind == 'open_clip' and not facts['frozen'] else 'timm'}"]
    if facts["frozen"]:
        front = ["---", "library_name: biocosmos"]
    front += [f"license: {licence}"] if licence else []
    front += ["tags:", "- image-feature-extraction", "- biocosmos", "---"]
    made = "a projection on top of it, the encoder itself unchanged" if facts["frozen"] else "its own weights trained further"
    about = [
        f"# {name}",
        "",
        training.get("what") or "An image encoder trained with biocosmos.",
        "",
        f"- base: `{base['name']}` (weights {base['digest']}), {made}",
        f"- weights: {facts['digest']}",
        f"- input: {prepared['size']} x {prepared['size']} pixels, {prepared['resize']}, {prepared['interpolation']}",
        f"- saved: {facts['created']} by biocosmos {facts['biocosmos']}",
    ]
    about += [f"- {key}: {_value(value)}" for key, value in training.items() if key not in _OWN_SECTIONS]
    return "\n".join([*front, "", *about, "", *_loading(facts), *_settings(training), *_metrics(training), *_use(base, licence)])


def _loading(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Load it",
        "",
        "```python",
        "from biocosmos import load_encoder",
        "",
        'encoder = load_encoder("PATH/OF/THIS/FOLDER")',
    ]
    lines += ['vectors, kept = encoder.encode_files(["specimen.jpg"])', "```", ""]
    if facts["frozen"]:
        return [*lines, f"The base `{facts['base']['name']}` must be on the machine: this folder holds the projection alone.", ""]
    lines += ["Without biocosmos:", "", "```python"]
    if facts["architecture"]["kind"] == "open_clip":
        lines += [
            "import open_clip",
            "",
            'model, transform = open_clip.create_model_from_pretrained("local-dir:PATH/OF/THIS/FOLDER")',
        ]
    else:
        lines += ["import timm", "", 'model = timm.create_model("local-dir:PATH/OF/THIS/FOLDER", pretrained=True)']
    lines += ["```", ""]
    if facts["projection"] is not None:
        lines += ["That is the model without its projection (projection.safetensors), which only biocosmos applies.", ""]
    return lines


def _settings(training: Mapping[str, Any]) -> list[str]:
    settings = training.get("settings")
    if not settings:
        return []
    rows = [f"| {key} | {_value(value)} |" for key, value in settings.items()]
    return ["## Settings", "", "| setting | value |", "|---|---|", *rows, ""]


def _metrics(training: Mapping[str, Any]) -> list[str]:
    metrics: Sequence[Mapping[str, Any]] = training.get("metrics") or []
    if not metrics:
        return []
    columns = list(dict.fromkeys(key for row in metrics for key in row))
    table = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    table += [f"| {' | '.join(_value(row.get(column)) for column in columns)} |" for row in metrics]
    return ["## Validation", "", "Measured while training, on the validation part alone:", "", *table, ""]


def _use(base: Mapping[str, Any], licence: str | None) -> list[str]:
    known = (
        f"Licence of the base: {licence}."
        if licence
        else f"The licence of the base `{base['name']}` is not recorded: look it up."
    )
    return [
        "## Use and limits",
        "",
        "Made to search, name and group images of specimens like those it was trained on: the same instruments, the same kinds",
        "of organisms. On other images it may be worse than its base: compare both on your own data (`biocosmos evaluate`).",
        "",
        "Similar vectors are a reason to look, not an identification. It errs most on organisms that were absent from the",
        "training, rare stages and damaged specimens; whatever biases the collection has, in place, season, effort, it has.",
        "",
        f"{known} The rights in the training images are those of their collection.",
        "",
    ]


def _value(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
