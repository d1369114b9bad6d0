"""Small work is done by one thread, and the threads are given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from biocosmos.identify.threads import one_thread


def blas() -> list[int]:
    return [int(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"]


def test_small_work_has_one_thread_and_gives_the_others_back() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    before, torchs = blas(), torch.get_num_threads()
    with one_thread():
        assert set(blas()) == {1} and torch.get_num_threads() == 1
        with one_thread(small=False):
            assert torch.get_num_threads() == 1
    assert blas() == before and torch.get_num_threads() == torchs
    with pytest.raises(ValueError, match="in the middle"), one_thread():
        raise ValueError("in the middle")
    assert blas() == before and torch.get_num_threads() == torchs
