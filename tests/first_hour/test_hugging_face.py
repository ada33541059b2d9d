"""What users of Hugging Face have in their first hour: transforms set on a dataset, a Trainer, paths of models."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from torchvision import transforms
from transformers import ViTImageProcessor

import classlens as cl
from classlens.dataset.trace import trace

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PROCESSOR = ViTImageProcessor(size={"height": 20, "width": 20}, image_mean=MEAN, image_std=STD)
READY = transforms.Compose([transforms.Resize((20, 20)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
COLOURS = ((200, 40, 10), (30, 90, 250), (0, 255, 0))


def photo(number):
    pixels = np.full((32, 48, 3), COLOURS[number], np.uint8)
    pixels[:16, :, :] //= 2
    return Image.fromarray(pixels)


@pytest.fixture
def rows():
    return Dataset.from_dict({"image": [photo(number) for number in range(3)], "label": [0, 1, 0]})


def beside(batch):
    batch["pixel_values"] = [PROCESSOR(one, return_tensors="pt")["pixel_values"][0] for one in batch["image"]]
    return batch


def instead(batch):
    beside(batch)
    del batch["image"]
    return batch


def with_torchvision(batch):
    return {"pixel_values": [READY(one) for one in batch["image"]], "label": batch["label"]}


def whole_batch(batch):
    inputs = PROCESSOR(batch["image"], return_tensors="pt")
    inputs["labels"] = batch["label"]
    return inputs


@pytest.mark.parametrize("change", [beside, instead, with_torchvision, whole_batch])
def test_a_transform_set_on_a_dataset_is_a_stage_and_what_it_makes_is_shown(change, rows):
    dataset = cl.open_source(rows.with_transform(change)).dataset("train")

    result = trace(dataset, 1, seed=0)

    assert [stage.name for stage in dataset.stages] == [change.__name__]
    assert dataset.sample(1).labels == (1,)
    assert result.snapshots[0].image.pixels.shape == (32, 48, 3)
    assert result.snapshots[-1].image.pixels.shape == (20, 20, 3)
    assert np.abs(result.snapshots[-1].image.pixels[-1, -1].astype(int) - COLOURS[1]).max() <= 1
    assert result.remarks == ()


class Normalised:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return READY(photo(index)), index


class ByHand(Normalised):
    def __getitem__(self, index):
        return torch.from_numpy((np.asarray(photo(index), np.float32) / 255 - 0.4) / 0.2).permute(2, 0, 1), index


def test_a_normalisation_inside_a_dataset_is_undone():
    result = trace(cl.open_source(Normalised()).dataset("train"), 0, seed=0)

    assert np.abs(result.snapshots[0].image.pixels[-1, -1].astype(int) - COLOURS[0]).max() <= 1
    assert result.remarks == ()


def test_values_of_an_unknown_normalisation_are_stretched_and_the_note_says_so(tmp_path):
    result = trace(cl.open_source(ByHand()).dataset("train"), 0, seed=0)
    pixels = result.snapshots[0].image.pixels

    assert (pixels.min(), pixels.max()) == (0, 255)
    assert "nothing says how they were normalised: shown stretched" in result.remarks[0]
