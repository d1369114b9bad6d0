"""What a step costs: CPU seconds of this process, and the memory that it held at most above what was held before."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_FORGET_PEAK = "5"  # Linux: the highest resident size counts from here on


class Cost:
    """``with Cost() as cost: ...``; then seconds (CPU, all threads) and mib, NaN where the system does not tell (not Linux)."""

    seconds = mib = float("nan")

    def __enter__(self) -> Cost:
        try:
            _CLEAR.write_text(_FORGET_PEAK)
        except OSError:
            self._before = float("nan")
        else:
            self._before = _resident("VmRSS")
        self._start = time.process_time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = time.process_time() - self._start
        self.mib = _resident("VmHWM") - self._before


def _resident(line: str) -> float:
    """MiB, by the kernel's own account."""
    try:
        told = _STATUS.read_text()
    except OSError:
        return float("nan")
    found = [row.split() for row in told.splitlines() if row.startswith(f"{line}:")]
    return int(found[0][1]) / 1024 if found else float("nan")
