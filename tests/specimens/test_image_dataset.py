"""A collection as a torch Dataset, in a DataLoader with worker processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import biocosmos as bc
from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.images import read_image
from biocosmos.specimens.image_dataset import ImageDataset


class Small:
    """A transform that worker processes can unpickle."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(image.float(), 8)


def test_images_and_classes_are_those_of_the_collection(embedded: bc.Collection) -> None:
    dataset = embedded.images("label", split="train")
    table = embedded.table(["id", "label"], split="train").to_pydict()
    assert dataset.ids == table["id"] and [dataset.classes[target] for target in dataset.targets] == table["label"]
    assert dataset.classes == tuple(sorted(set(table["label"])))
    image, target = dataset[3]
    assert image.dtype == torch.uint8 and target == dataset.targets[3]
    source = embedded.image_bytes(dataset.ids[3])
    assert source is not None and np.array_equal(image.permute(1, 2, 0).numpy(), read_image(source).pixels)
    picture, _ = embedded.images("label", split="train", pil=True)[3]
    assert isinstance(picture, Image.Image) and np.array_equal(np.asarray(picture), read_image(source).pixels)


def test_classes_of_the_training_part_number_another_part(embedded: bc.Collection) -> None:
    train = embedded.images("genus", split="train")
    test = embedded.images("genus", split="test", classes=train.classes)
    names = embedded.table(["id", "genus"], split="test").to_pydict()
    assert test.ids == names["id"]
    assert test.targets.tolist() == [train.classes.index(name) if name in train.classes else -1 for name in names["genus"]]
    everyone = embedded.images("genus", unlabelled=True)
    assert len(everyone) == 300 and (everyone.targets == -1).sum() == embedded.count(where="genus IS NULL")


def test_worker_processes_read_what_one_process_reads(embedded: bc.Collection) -> None:
    dataset = embedded.images("label", split="test", transform=Small())
    alone = [dataset[i] for i in range(len(dataset))]
    loader = DataLoader(dataset, batch_size=16, num_workers=2, multiprocessing_context="spawn", timeout=60)
    batches = list(loader)
    assert torch.equal(torch.cat([images for images, _ in batches]), torch.stack([image for image, _ in alone]))
    assert torch.cat([targets for _, targets in batches]).tolist() == dataset.targets.tolist()


def test_it_is_pickled_without_the_open_store(embedded: bc.Collection) -> None:
    dataset = embedded.images("label", split="test")
    first = dataset[0]
    again = pickle.loads(pickle.dumps(dataset))
    assert isinstance(again, ImageDataset) and again._opened is None
    assert torch.equal(again[0][0], first[0]) and again.ids == dataset.ids


def test_an_image_that_vanished_is_named(tmp_path: Path, sample_table: pa.Table) -> None:
    (tmp_path / "photos" / "copepod").mkdir(parents=True)
    file = tmp_path / "photos" / "copepod" / "a.jpg"
    file.write_bytes(sample_table["image"][0].as_py())
    collection = bc.Collection.create(tmp_path / "one.cosmos")
    collection.add(bc.read(tmp_path / "photos"))
    dataset = collection.images()
    file.unlink()
    with pytest.raises(ImageError, match=r"the image of specimen 'copepod/a\.jpg' cannot be read: missing file"):
        dataset[0]
    with pytest.raises(BiocosmosError, match=r"no rank 'genus' in .*: it has"):
        collection.images("genus")
    with pytest.raises(BiocosmosError, match="with an image and a name at rank"):
        collection.images(where="id = 'b'")


def test_homonyms_are_two_classes(tmp_path: Path, sample_table: pa.Table) -> None:
    images = sample_table["image"].slice(0, 4).to_pylist()
    frame = pa.table(
        {
            "id": list("abcd"),
            "image": images,
            "kingdom": ["Animalia", "Plantae", "Plantae", "Animalia"],
            "genus": ["Morus", "Morus", "Quercus", None],
        }
    )
    collection = bc.Collection.create(tmp_path / "homonyms.cosmos")
    collection.add(frame)
    dataset = collection.images("genus")
    assert [dataset.classes[target] for target in dataset.targets] == ["Animalia/Morus", "Plantae/Morus", "Quercus"]
