"""Download an encoder's weights: the only place in the package that uses the network for a model."""

from __future__ import annotations

import os

from biocosmos.errors import BiocosmosError

HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")


def fetch(name: str) -> str:
    """Download the weights of a ``timm:``, ``open_clip:`` or ``hf:`` encoder into their library's own cache.

    Copy that cache to a machine without network to use the encoder there. Returns the place, for people; the default encoder
    came with its package and is there already.

    Raises:
        BiocosmosError: unknown name, a name of nothing that is downloaded, or no network.
    """
    if name == "efficientnet-lite0":
        from biocosmos.encoders.shipped import weights_path

        return weights_path()
    kind, _, rest = name.partition(":")
    if kind not in ("timm", "open_clip", "hf") or not rest or "@/" in rest:
        raise BiocosmosError(f"'{name}' needs no download: only timm:, open_clip: and hf: encoders are fetched")
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise BiocosmosError("HF_HUB_OFFLINE=1 forbids downloads: unset it, or fetch on another machine and copy the cache")
    try:
        if kind == "timm":
            from biocosmos.encoders.timm_models import hub_location

            repository, file, address = hub_location(rest)
            if repository:
                return _hub(repository, [file, "config.json"] if file else None)
            from timm.models._hub import download_cached_file

            return str(download_cached_file(address))
        if kind == "open_clip" and not rest.startswith("hf-hub:"):
            import open_clip
            from open_clip.pretrained import download_pretrained

            architecture, _, tag = rest.rpartition("/")
            config = open_clip.get_pretrained_cfg(architecture, tag)
            if not config:
                raise BiocosmosError(f"open_clip {open_clip.__version__} has no weights '{tag}' for '{architecture}'")
            return str(download_pretrained(config))
        return _hub(rest.removeprefix("hf-hub:"), None)
    except BiocosmosError:
        raise
    except Exception as error:  # httpx, huggingface_hub, urllib: each raises its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BiocosmosError(f"cannot fetch '{name}': {reason}; is there network here?") from error


def _hub(repository: str, files: list[str] | None) -> str:
    from huggingface_hub import snapshot_download

    repository, _, revision = repository.partition("@")
    return str(snapshot_download(repository, revision=revision or None, allow_patterns=files or list(HUB_FILES)))
