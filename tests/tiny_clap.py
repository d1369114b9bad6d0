"""Tiny sounds and a tiny CLAP model of random weights, as Hugging Face keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile


def tiny_clap(folder: Path, fused: bool = True, seed: int = 0) -> Path:
    """A ClapAudioModelWithProjection with random weights as Hugging Face keeps it."""
    import transformers

    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [1, 2],
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "projection_dim": 12,
        "window_size": 8,
    }
    config = transformers.ClapAudioConfig(enable_fusion=fused, **shape)
    transformers.ClapAudioModelWithProjection(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="fusion" if fused else "rand_trunc").save_pretrained(folder)
    return folder


def song(path: Path, seconds: float, rate: int = 48_000, channels: int = 1, pitch: float = 440.0) -> Path:
    """A WAV of 16 bits: a tone that rises."""
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (pitch + 40 * time) * time)
    wavfile.write(path, rate, np.repeat((wave * 32767).astype(np.int16)[:, None], channels, axis=1).squeeze())
    return path
