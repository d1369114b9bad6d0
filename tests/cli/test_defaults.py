"""What a command line does unasked is what Python does unasked: settings beside the functions that they are arguments of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from biocosmos.embed import embed
from biocosmos.encoders.registry import load_encoder
from biocosmos.encoders.settings import ComputeSettings
from biocosmos.jobs.settings import EmbedSettings
from biocosmos.nn.attributes import ATTRIBUTE_HEADS
from biocosmos.nn.attributes.class_costs import CLASS_WEIGHTS
from biocosmos.nn.attributes.co_occurrence import ADJACENCIES
from biocosmos.nn.attributes.weighting import WEIGHTINGS
from biocosmos.settings import defaults_of
from biocosmos.specimens import settings as specimens
from biocosmos.specimens import splits, writers
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import FORMATS, USES, read
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.heads import attribute_settings
from biocosmos.train.loop.settings import AUGMENTATIONS

PAIRS: list[tuple[Callable[..., Any], type, set[str]]] = [
    (embed, EmbedSettings, {"encoder", "device", "precision", "backend", "resize", "batch_size", "workers", "overwrite"}),
    (load_encoder, ComputeSettings, {"device", "precision", "backend"}),
    (Collection.make_split, specimens.SplitSettings, {"method", "name", "seed", "rank", "column", "where"}),
    (Collection.scan, specimens.Selection, {"split", "within", "where"}),
    (read, specimens.IngestSettings, {"format", "metadata", "taxonomy", "images", "size", "encoding", "separator"}),
    (Collection.add, specimens.IngestSettings, {"pack"}),
    (writers.write, specimens.ExportSettings, {"format"}),
]


@pytest.mark.parametrize(("function", "kind", "shared"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_setting_has_the_default_of_its_argument(function: Callable[..., Any], kind: type, shared: set[str]) -> None:
    arguments = inspect.signature(function).parameters
    assert {name: defaults_of(kind)[name] for name in shared} == {name: arguments[name].default for name in shared}


def test_choices_are_what_the_rooms_below_know() -> None:
    split = specimens.SplitSettings().splitting()
    assert split["fractions"] == splits.DEFAULT_FRACTIONS
    assert split["held_out"] == inspect.signature(Collection.make_split).parameters["held_out"].default
    assert sorted(specimens.METHODS) == sorted(splits.METHODS)
    assert specimens.EXPORTS == writers.FORMATS and tuple(PRESETS) == AUGMENTATIONS
    assert set(FORMATS) <= set(USES)


def test_choices_of_attributes_are_what_their_heads_know() -> None:
    told = attribute_settings
    assert (
        tuple(ATTRIBUTE_HEADS) == told.OF_ATTRIBUTES and tuple(WEIGHTINGS) == told.WEIGHTINGS and told.ADJACENCIES == ADJACENCIES
    )
    assert set(told.SET_WEIGHTS) == set(CLASS_WEIGHTS) and set(told.CLASS_WEIGHTS) < set(CLASS_WEIGHTS)
