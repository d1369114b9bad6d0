"""The model card of a pack: what the Hugging Face hub shows of it, and what a stranger must know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from biocosmos.encoders.registry import DEFAULT
from biocosmos.jobs.packs.proofs import Proofs

_HUB_LICENCES = (
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "gpl-3.0",
    "mit",
    "odbl",
    "odc-by",
    "pddl",
    "unlicense",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "cdla-sharing-1.0",
)
"""Short names that the hub takes, of those that data and weights may have."""
_SHOWN = 20
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def licence_lines(licence: str) -> list[str]:
    """How the hub is told of a licence: by its own short name, or as another one with its name."""
    if licence.lower() in _HUB_LICENCES:
        return [f"license: {licence.lower()}"]
    address = [f"license_link: {_quoted(licence)}"] if licence.startswith(("http://", "https://")) else []
    return ["license: other", f"license_name: {_quoted(licence)}", *address]


def card(facts: Mapping[str, Any], classes: pa.Table, proofs: Proofs) -> str:
    """Markdown with the front matter of the hub. classes: as :meth:`Classes.table` gives them."""
    encoder, kind = facts["encoder"], facts["vectors"]["kind"]
    front = ["---", *licence_lines(facts["licence"]), "library_name: biocosmos", "pipeline_tag: image-classification"]
    if base := _hub_name(encoder["name"]):
        front.append(f"base_model: {base}")
    front += ["tags:", "- biocosmos", "- biology", "- taxonomy", "- reference-pack", "---", ""]
    learnt = sum(classes["count"].to_pylist())
    lines = [
        f"# {facts['name']}",
        "",
        f"A reference pack of biocosmos: it names specimens of {facts['classes']:,} taxa by {learnt:,} that people named"
        f"{'' if kind == 'none' else ', and finds the most like one'}. It is data alone: nothing in it runs when it is opened.",
        "",
        "```",
        "biocosmos pack verify PACK",
        "biocosmos identify PACK photo.jpg",
        *([] if kind == "none" else ["biocosmos search PACK photo.jpg"]),
        "```",
        "",
        f"- encoder: `{encoder['name']}`, weights {encoder['digest']}, {encoder['dim']:,} numbers a specimen"
        f"{'; in the folder `encoder`' if facts['weights'] else '; not in the pack, and no other is accepted'}",
        f"- licence of the encoder: {encoder['licence'] or 'not recorded: look it up'}",
        f"- ranks: {', '.join(facts['ranks'])}",
        f"- specimens: {facts['specimens']:,}" + ("; none of them is in the pack" if kind == "none" else f", vectors as {kind}"),
        *_lost(facts["vectors"]["recall"], kind),
        *([f"- taxa with fewer than {facts['least']} specimens were left out"] if facts["least"] > 1 else []),
        f"- names are given by: {facts['method']}",
        f"- tests: {len(proofs.tests)} vectors with the answers they must get, {sum(t.held_out for t in proofs.tests)} of them "
        "of specimens that nothing here learnt from",
        f"- made by biocosmos {facts['biocosmos']} from {', '.join(source['name'] for source in facts['sources'])}",
        "",
        *_table(classes),
        "## Files",
        "",
        "`classes.parquet` has the number of specimens of each taxon and its share, `statistics.safetensors` mean and variance",
        "of their vectors in the same order: without them the shares of taxa in another place cannot be corrected.",
        "`sha256sum -c SHA256SUMS` checks all files without biocosmos.",
        "",
        "## Use and limits",
        "",
        "It names what looks like its own specimens: the same instruments, the same kinds of organisms. A name at a coarser",
        "rank, or none, is an answer too. Whatever biases the specimens have, in place, season and effort, the names have as",
        "well. What it has never seen it can only call unlike; a person who knows the organisms decides.",
        "",
    ]
    return "\n".join([*front, *lines])


def _lost(recall: Mapping[str, Any] | None, kind: str) -> list[str]:
    if recall is None:
        return []
    return [
        f"- recall@1 of the taxon, each of {recall['asked']:,} specimens asked about without itself: {recall['recall@1']:.4f} by "
        f"float32, {recall['recall@1 kept']:.4f} by {kind} (loss {recall['loss']:.4f}; the nearest is the same for "
        f"{recall['same']:.2%})"
    ]


def _table(classes: pa.Table) -> list[str]:
    rows = sorted(zip(classes["taxon"].to_pylist(), classes["count"].to_pylist()), key=lambda row: (-row[1], row[0]))
    shown = [f"| {taxon.replace('|', '/')} | {count:,} |" for taxon, count in rows[:_SHOWN]]
    more = [f"and {len(rows) - _SHOWN:,} more taxa", ""] if len(rows) > _SHOWN else []
    return ["## Taxa", "", "| taxon | specimens |", "|---|---|", *shown, "", *more]


def _hub_name(encoder: str) -> str | None:
    """The hub's name of an encoder that comes from there."""
    if encoder == DEFAULT:
        return None
    kind, _, rest = encoder.partition(":")
    name = rest.removeprefix("hf-hub:") if kind in ("hf", "open_clip") else f"timm/{rest}" if kind == "timm" else ""
    return name if name.count("/") == 1 and _PLAIN.fullmatch(name) and not name.startswith("ViT-") else None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "/").replace('"', "'").replace("\n", " ") + '"'
