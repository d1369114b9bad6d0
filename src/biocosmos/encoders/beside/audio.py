"""A CLAP model as an encoder of sounds, from a folder as Hugging Face keeps it: laion/clap-htsat-fused, or TaxaBind's.

transformers (extra [audio]) computes it. No code of a folder is run, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from biocosmos.encoders.beside.encoder import Vectors
from biocosmos.encoders.beside.features import clap_features
from biocosmos.encoders.beside.sounds import MOST_SECONDS, SoundError, read_sound
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.provenance import encoder_name

BATCH = 8
EXTRACTOR = "preprocessor_config.json"


class ClapEncoder:
    """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`.

    model: a ClapAudioModelWithProjection; extractor: the ClapFeatureExtractor of its folder, whose settings are used; fused:
    whether the model takes a sound as four spectrograms. Raises BiocosmosError for a folder that holds no CLAP model.
    """

    modality: Literal["satellite", "audio"] = "audio"
    batch_size = BATCH

    def __init__(self, name: str, folder: Path, *, device: str = "auto") -> None:
        self.name, self.device = encoder_name(name), torch.device(choose_device(device))
        self.model, self.extractor = load_clap(folder)
        self.model.eval().to(self.device)
        self.fused = bool(self.model.config.enable_fusion)
        self.dim = int(self.model.config.projection_dim)
        told = json.dumps(self._preprocessing(), sort_keys=True)
        self.digest = hashlib.sha256(f"{weights_digest(plain_state(self.model))} {told}".encode()).hexdigest()[:DIGEST_LENGTH]
        self._source = f"a CLAP model of {folder.name}"

    def _preprocessing(self) -> dict[str, Any]:
        made = self.extractor
        kept = ("sampling_rate", "max_length_s", "padding", "fft_window_size", "hop_length", "frequency_min", "frequency_max")
        cuts = "fusion, the middle of each third" if self.fused else "the middle"
        return {
            "sound": {key: getattr(made, key) for key in kept} | {"mels": made.feature_size, "cut": cuts, "seconds": MOST_SECONDS}
        }

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": self._preprocessing(),
            "source": self._source,
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
        }

    def encode_paths(self, paths: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
        """See :class:`biocosmos.encoders.beside.encoder.FileEncoder`."""
        vectors, why = np.zeros((len(paths), self.dim), np.float32), dict[int, str]()
        for start in range(0, len(paths), self.batch_size):
            rows, features = [], []
            for row in range(start, min(start + self.batch_size, len(paths))):
                try:
                    features.append(self.features(paths[row]))
                    rows.append(row)
                except SoundError as error:
                    why[row] = f"{paths[row]}: {error}"
            if rows:
                vectors[rows] = self.encode_features(np.stack(features))
        return vectors, why

    def features(self, path: str | Path) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(4 or 1, frames, mels) float32 of a file. Raises SoundError."""
        samples = read_sound(path, int(self.extractor.sampling_rate))
        return clap_features(self.extractor, samples, self.fused)[0]

    @torch.no_grad()
    def encode_features(self, features: np.ndarray[Any, np.dtype[np.float32]]) -> Vectors:
        """features: (n, 4 or 1, frames, mels). Returns: (n, dim) float32 unit vectors.

        A model with fusion is told that every sound is long, as its published processor tells it of a sound that comes alone.
        """
        taken = torch.from_numpy(features).to(self.device)
        longer = torch.full((len(features), 1), self.fused, device=self.device)
        found = self.model(input_features=taken, is_longer=longer).audio_embeds.float()
        return torch.nn.functional.normalize(found, dim=-1).cpu().numpy()


def load_clap(folder: Path) -> tuple[Any, Any]:
    """A ClapAudioModelWithProjection in float32 and its feature extractor. Raises BiocosmosError for a folder without."""
    try:
        from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor
        from transformers.utils import logging
    except ImportError as error:
        raise BiocosmosError("sounds are encoded by transformers: pip install 'biocosmos[audio]'") from error
    if not (folder / "config.json").is_file():
        raise BiocosmosError(f"{folder} holds no CLAP model: name a folder with config.json and model.safetensors")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, told = ClapAudioModelWithProjection.from_pretrained(
            folder, **local, dtype=torch.float32, output_loading_info=True, weights_only=True
        )
        there = (folder / EXTRACTOR).is_file()
        extractor = ClapFeatureExtractor.from_pretrained(folder, **local) if there else ClapFeatureExtractor()
    except Exception as error:  # transformers, torch and safetensors each raise their own
        raise BiocosmosError(f"cannot read the CLAP model in {folder}: {first_line(error)}; restore it") from error
    if lacking := sorted(told["missing_keys"]):
        raise BiocosmosError(f"the weights in {folder} lack {lacking[0]}: it holds no whole CLAP model; restore it")
    return model, extractor
