"""Files of sounds as a CLAP model takes them: one channel, 48,000 samples a second.

WAV is read by scipy; with soundfile (extra [audio]) also FLAC, OGG, MP3 and whatever else libsndfile knows.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import first_line

MOST_SECONDS = 600
"""Of a file, from its beginning, that are read."""
MOST_RATE = 1 << 20
Samples = npt.NDArray[np.float32]


class SoundError(Exception):
    """Why a file gives no sound, in one line."""


def read_sound(path: str | Path, rate: int) -> Samples:
    """(n,) float32 samples in -1..1, the mean of the channels, at ``rate`` a second. Raises SoundError."""
    path = Path(path)
    try:
        if not path.is_file():
            raise SoundError("there is no such file")
        if not path.stat().st_size:
            raise SoundError("the file is empty")
        samples, own = _by_soundfile(path)
    except OSError as error:
        raise SoundError(f"cannot read the file: {error.strerror or error}") from error
    if not 0 < own <= MOST_RATE:
        raise SoundError(f"the file says {own} samples a second")
    if not len(samples):
        raise SoundError("the file holds no samples")
    if not np.isfinite(samples).all():
        raise SoundError("the file holds samples that are no number")
    return resampled(samples, own, rate)


def resampled(samples: Samples, own: int, rate: int) -> Samples:
    """(n,) float32 at ``own`` samples a second as (m,) at ``rate``, by a polyphase filter."""
    if own == rate:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(own, rate)
    return np.asarray(resample_poly(samples, rate // common, own // common), np.float32)


def _by_soundfile(path: Path) -> tuple[Samples, int]:
    try:
        import soundfile
    except ImportError:
        return _by_scipy(path)
    try:
        with soundfile.SoundFile(path) as file:
            own = int(file.samplerate)
            read: Any = file.read(min(file.frames, MOST_SECONDS * own), dtype="float32", always_2d=True)
    except Exception as error:  # libsndfile raises its own
        raise SoundError(f"cannot be read as a sound: {_said(error)}") from error
    return np.asarray(read.mean(axis=1), np.float32), own


def _by_scipy(path: Path) -> tuple[Samples, int]:
    if path.suffix.lower() not in (".wav", ".wave"):
        raise SoundError("only WAV is read without soundfile: pip install 'biocosmos[audio]'")
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of chunks that hold no samples
            own, read = wavfile.read(path)
    except Exception as error:  # scipy raises whatever struct and numpy do
        raise SoundError(f"cannot be read as a sound: {_said(error)}") from error
    read = np.asarray(read)[: MOST_SECONDS * int(own)]
    samples: npt.NDArray[Any]
    if read.dtype.kind == "u":
        samples = (read.astype(np.float32) - 128) / 128
    elif read.dtype.kind == "i":
        samples = read.astype(np.float32) / -float(np.iinfo(read.dtype).min)
    else:
        samples = read.astype(np.float32)
    return np.asarray(samples if samples.ndim == 1 else samples.mean(axis=1), np.float32), int(own)


def _said(error: Exception) -> str:
    return first_line(error)[:200]
