"""What a CLAP model takes of a sound (Wu et al. 2023), as its published extractor computes it, but always the same.

A short sound is repeated as often as it fits into ten seconds, and silence fills the rest ("repeatpad"). Of a long one a model
with fusion gets the whole, shrunk to ten seconds, and three cuts; the published extractor draws each from a third of the sound,
here it is the middle one of those that could be drawn. A model without fusion gets the middle ten seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.beside.sounds import Samples

Array = npt.NDArray[np.float32]


def clap_features(extractor: Any, samples: Samples, fused: bool) -> tuple[Array, bool]:
    """samples: (n,) float32 at the extractor's rate. Returns: (4, frames, mels) float32 with fusion, else (1, frames, mels), and
    whether the sound is longer than the model takes.

    extractor: a ClapFeatureExtractor of transformers, for its settings and its filters.
    """
    longest = int(extractor.nb_max_samples)
    filters = extractor.mel_filters if fused else extractor.mel_filters_slaney
    if len(samples) <= longest:
        whole = _spectrogram(extractor, _filled(samples, longest, extractor.padding), filters)
        return np.repeat(whole[None], 4 if fused else 1, axis=0), False
    if not fused:
        start = (len(samples) - longest + 1) // 2
        return _spectrogram(extractor, samples[start : start + longest], filters)[None], True
    whole = _spectrogram(extractor, samples, filters)
    frames = longest // int(extractor.hop_length) + 1
    if len(whole) <= frames:
        return np.repeat(whole[None], 4, axis=0), False
    cuts = [whole[start : start + frames] for start in _starts(len(whole) - frames + 1)]
    shrunk = torch.nn.functional.interpolate(
        torch.from_numpy(whole)[None, None], size=[frames, whole.shape[1]], mode="bilinear", align_corners=False
    )
    return np.stack([shrunk[0, 0].numpy(), *cuts]), True


def _starts(count: int) -> list[int]:
    """The middle start of each third of those that are possible; 0 for a third that has none."""
    return [int(third[len(third) // 2]) if len(third) else 0 for third in np.array_split(np.arange(count), 3)]


def _filled(samples: Samples, longest: int, padding: str) -> Samples:
    """The samples made ``longest`` long."""
    times = longest // len(samples)
    if padding == "repeat":
        return np.tile(samples, times + 1)[:longest]
    if padding == "repeatpad":
        samples = np.tile(samples, times)
    return np.pad(samples, (0, longest - len(samples)))


def _spectrogram(extractor: Any, samples: Samples, filters: Any) -> Array:
    """(frames, mels) float32, decibels."""
    from transformers.audio_utils import spectrogram, window_function

    window = window_function(extractor.fft_window_size, "hann")
    how = {"frame_length": extractor.fft_window_size, "hop_length": extractor.hop_length, "power": 2.0, "log_mel": "dB"}
    return np.ascontiguousarray(spectrogram(samples, window, mel_filters=filters, **how).T, np.float32)
