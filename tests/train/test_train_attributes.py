"""Attributes are trained beside ranks or alone, kept in a folder, and answered by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.attribute_heads import ATTRIBUTES, WEIGHTS, AttributeHead
from biocosmos.identify.namers.heads import HEAD, TrainedHead
from biocosmos.jobs.identify import identify_collection
from biocosmos.settings import UnusedSetting
from biocosmos.specimens import guard
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import HeadResult, train_heads

FROZEN: dict[str, Any] = {"freeze": True, "epochs": 3, "batch_size": 16, "device": "cpu", "precision": "float32"}
IMAGES: dict[str, Any] = {
    "size": 32,
    "epochs": 1,
    "batch_size": 16,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "freeze_stages": 5,
}


@pytest.fixture
def tray(few: bc.Collection) -> bc.Collection:
    """The few specimens with attributes: of the label's letters, so that there is something to learn; some are not known."""
    table = few.table(["id", "label"])
    labels = table["label"].to_pylist()
    names = sorted(set(labels))
    place = [names.index(label) for label in labels]
    rows = np.arange(len(labels))
    columns = {
        "id": table["id"],
        "form": pa.array([["round", "long"][at % 2] if row % 5 else None for row, at in zip(rows, place)]),
        "torn": pa.array([int(at == 0) for at in place]),
        "eggs": pa.array([int(at in (1, 2)) if row % 7 else None for row, at in zip(rows, place)], pa.int64()),
        "same": pa.array(["one"] * len(rows)),
    }
    few.update(pa.table(columns))
    return few


def train(collection: bc.Collection, output: Path, **given: Any) -> HeadResult:
    return train_heads(collection, head_settings(**given), output)
