"""Public functions from many threads: the same results as from one, and the process is afterwards as it was."""

import io
import multiprocessing
import os
import random
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageFile
from torch import nn

import classlens
from classlens.dataset.listing import LoadImageFromFile

THREADS = 8


def state():
    """What every thread sees; not the generator of `random`, from which the checks of shapes draw in these tests."""
    return {
        "standard error": os.fstat(2),
        "path": sys.path[:],
        "gradients": torch.is_grad_enabled(),
        "numpy": hash(np.random.get_state()[1].tobytes()),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "settings": dict(matplotlib.rcParams),
        "warnings": warnings.filters[:],
        "Pillow": (Pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
    }


def many(function, things):
    """The results of one thread, and of eight at once; the process is afterwards as it was."""
    alone = [function(one) for one in things]
    before = state()
    with ThreadPoolExecutor(THREADS) as threads:
        together = list(threads.map(function, things))
    assert state() == before
    return alone, together


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for group in ("cat", "dog"):
        for number in range(4):
            place = tmp_path / "photos" / group / f"{number}.{'png' if number % 2 else 'jpg'}"
            place.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(place)
    return tmp_path / "photos"


def pixels(trace):
    return [snapshot.image.pixels.tobytes() for snapshot in trace.snapshots], trace.remarks


def test_pictures_are_read_and_traced_by_several_threads(folder):
    dataset = classlens.open_source(f"folder:{folder}").dataset()
    paths = sorted(folder.rglob("*.*"))
    classlens.trace(dataset, 0)
    highest = os.dup(2)
    os.close(highest)

    def look(turn):
        if turn % 2:
            return pixels(classlens.trace(dataset, turn % 8))
        return classlens.read_image(paths[turn % 8]).pixels.tobytes()

    alone, together = many(look, range(400))

    assert alone == together
    assert os.dup(2) == highest, "a descriptor is left open"
    os.close(highest)


def test_what_a_decoder_says_of_a_file_is_said_of_that_file():
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    whole = buffer.getvalue()
    broken = whole[: len(whole) // 2] + b"\xff\xd9"

    def remarks(turn):
        return LoadImageFromFile().state(broken if turn % 3 == 0 else whole, "a.jpg").remarks

    alone, together = many(remarks, range(200))

    assert alone == together
    assert [bool(found) for found in together] == [turn % 3 == 0 for turn in range(200)]


class Noisy:
    """A dataset as users write them: its transform draws from all three global generators."""

    def __init__(self):
        self.transform = self.add_noise

    @staticmethod
    def add_noise(picture):
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return Pillow.fromarray((np.asarray(picture) * (noise / 3)).astype(np.uint8))

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.transform(Pillow.new("RGB", (8, 8), (250, 200, 100))), index % 2


def test_draws_of_the_global_generators_do_not_depend_on_other_threads():
    dataset = classlens.open_source(Noisy()).dataset()

    alone, together = many(lambda index: pixels(classlens.trace(dataset, index, 3)), list(range(20)) * 5)

    assert alone == together
    assert len({found[0][-1] for found in together}) > 10


def test_draws_of_generators_that_transforms_own_do_not_depend_on_other_threads():
    albumentations = pytest.importorskip("albumentations")
    crop = albumentations.Compose([albumentations.RandomCrop(8, 8), albumentations.RandomBrightnessContrast(p=0.5)])

    class Pictures:
        transform = staticmethod(crop)

        def __init__(self):
            self.transform = crop

        def __len__(self):
            return 20

        def __getitem__(self, index):
            picture = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            return self.transform(image=picture)["image"], 0

    dataset = classlens.open_source(Pictures()).dataset()

    alone, together = many(lambda index: pixels(classlens.trace(dataset, index, 3)), list(range(20)) * 5)

    assert alone == together


@pytest.fixture
def classifier():
    """A network of random weights, made before anything is compared."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    module.train()
    return classlens.open_source(module).classifier()


def test_maps_of_one_network_do_not_mix(classifier):
    pictures = [
        classlens.Image(np.random.default_rng(one).integers(0, 256, (32, 32, 3), dtype=np.uint8)) for one in range(6)
    ]

    def look(turn):
        found = classlens.explain(
            classifier, pictures[turn % 6], methods=["GradCAM", "LayerCAM"], layers="2", targets=turn % 4
        )
        return [one.values.tobytes() for one in found]

    alone, together = many(look, range(16))

    assert alone == together
    assert classifier.module.training
    assert all(parameter.requires_grad for parameter in classifier.module.parameters())
    assert not any(part._forward_hooks for part in classifier.module.modules())


def test_curves_of_several_styles_are_drawn_at_once():
    source = classlens.open_source("schedule:torch.CosineAnnealingLR(T_max=10, epochs=10, steps_per_epoch=5)")
    curves = classlens.replay(source.schedule(), source.clock())

    def look(turn):
        style = ["dark_background", "whitegrid", "ggplot"][turn % 3]
        return classlens.draw(curves, style=style, size=(4, 3)).encode(".png")

    alone, together = many(look, range(24))

    assert alone == together


def test_configs_are_opened_by_several_threads(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.py").write_text(f"model = dict(type='ImageClassifier', number={number})  # \\\\d\n")

    alone, together = many(lambda turn: classlens.read_config(tmp_path / f"{turn % 4}.py")["model"], range(200))

    assert alone == together


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="processes are not copied")
def test_a_process_copied_while_another_thread_works_can_work_itself(folder):
    dataset = classlens.open_source(f"folder:{folder}").dataset()
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            classlens.trace(dataset, 0)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of what is tried here
            children = [
                multiprocessing.get_context("fork").Process(target=classlens.trace, args=(dataset, 1)) for _ in range(5)
            ]
            for child in children:
                child.start()
    finally:
        stop.set()
        thread.join()
    for child in children:
        child.join(20)

    assert [child.exitcode for child in children] == [0] * 5
