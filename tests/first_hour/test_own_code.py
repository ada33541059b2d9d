"""What people's own files hold in their first hour: datasets, schedulers, modules and checkpoints as they were written."""

from functools import partial

import lightning
import numpy as np
import pytest
import timm.scheduler
import torch
import transformers
from PIL import Image
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import ChainDataset, ConcatDataset, DataLoader, IterableDataset, Subset, random_split
from torchvision import transforms
from torchvision.datasets import ImageFolder

import classlens as cl
from classlens.adapters import Options, RunLength
from classlens.errors import ConfigError, DataError, NotOffered

SMALL = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16), transforms.ToTensor()])
FLIPPED = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])


@pytest.fixture
def folders(tmp_path):
    """Two folders of the same classes, and one with a third class between them."""
    for root, names in (("a", ("cat", "dog")), ("b", ("cat", "dog")), ("c", ("cat", "cow", "dog"))):
        for name in names:
            for number in range(2):
                path = tmp_path / root / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20 + number, 24), (number * 90, 60, 30)).save(path)
    return tmp_path


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        for number in range(self.count):
            yield torch.rand(3, 8, 8), number % 2


def members(folders):
    return [ImageFolder(folders / "a", SMALL), ImageFolder(folders / "b", FLIPPED)]


@pytest.mark.parametrize(
    ("wrap", "place", "file", "stages"),
    [
        (ConcatDataset, 0, "a/cat/0.png", ["Resize", "CenterCrop", "ToTensor"]),
        (ConcatDataset, 7, "b/dog/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: both[0] + both[1], 5, "b/cat/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: Subset(ConcatDataset(both), [6, 1]), 0, "b/dog/0.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: Subset(ConcatDataset(both), [-1, 1]), 0, "b/dog/1.png", ["RandomHorizontalFlip", "ToTensor"]),
        (lambda both: ConcatDataset([Subset(both[0], [3]), both[1]]), 0, "a/dog/1.png", ["Resize", "CenterCrop", "ToTensor"]),
        (lambda both: ConcatDataset([ConcatDataset(both), both[0]]), 9, "a/cat/1.png", ["Resize", "CenterCrop", "ToTensor"]),
        (lambda both: DataLoader(ConcatDataset(both), 2), 4, "b/cat/0.png", ["RandomHorizontalFlip", "ToTensor"]),
    ],
)  # fmt: skip
def test_a_concatenated_dataset_keeps_files_classes_and_pipelines(folders, wrap, place, file, stages):
    dataset = cl.open_source(wrap(members(folders))).dataset()

    trace = cl.trace(dataset, index=place)

    assert dataset.classes == ("cat", "dog")
    assert (trace.path, trace.class_names) == (str(folders / file), (file.split("/")[1],))
    assert [one.stage for one in trace.snapshots] == ["ImageFolder", *stages]


def test_a_random_split_of_a_concatenation_gives_the_samples_of_training(folders):
    part, _ = random_split(ConcatDataset(members(folders)), [5, 3])

    dataset = cl.open_source(part).dataset()

    labels = [dataset.sample(index).labels for index in range(dataset.length)]
    assert labels == [(part[index][1],) for index in range(len(part))]


def test_members_with_other_classes_name_their_own_and_this_is_said(folders):
    both = ConcatDataset([ImageFolder(folders / "a", SMALL), ImageFolder(folders / "c", SMALL)])

    dataset = cl.open_source(both).dataset()

    names = [dataset.class_names(index) for index in (2, 6, 8)]
    assert names == [("dog",), ("cow",), ("dog",)]  # training gets 1, 1 and 2
    assert "dataset 2 of ConcatDataset has 3 classes (cat, cow, dog), the first one 2 classes" in dataset.warnings[0]


def test_a_transform_beside_a_concatenation_stands_behind_every_member(folders):
    bare = [ImageFolder(folders / name, transforms.Resize(12)) for name in "ab"]

    dataset = cl.open_source((ConcatDataset(bare), FLIPPED)).dataset()

    assert [one.name for one in dataset.pipeline(7)] == ["Resize", "RandomHorizontalFlip", "ToTensor"]


def test_batches_of_a_concatenation_run_the_own_collate_function(folders):
    def stack(samples):
        return torch.utils.data.default_collate([(torch.zeros(3, 4, 4), label) for _, label in samples])

    dataset = cl.open_source(DataLoader(ConcatDataset(members(folders)), 2, collate_fn=stack)).dataset()

    _, shares = dataset.batch.collate([3, 4], [0, 0], 0)
    assert shares == ({"dog": 1.0}, {"cat": 1.0})


@pytest.mark.parametrize(
    ("stream", "count", "those"),
    [
        (Stream(5), 5, "all of one pass"),
        (Stream(10**9), 64, "the first 64 of one pass"),
        (DataLoader(Stream(5), 2), 5, "all"),
        (ChainDataset([Stream(2), Stream(3)]), 5, "all"),
        ((sample for sample in Stream(4)), 4, "all"),
    ],
)
def test_a_stream_shows_its_first_samples_in_order_and_says_so(stream, count, those):
    dataset = cl.open_source(stream).dataset()

    assert dataset.length == count
    assert [dataset.sample(index).labels for index in range(4)] == [(0,), (1,), (0,), (1,)]
    assert cl.trace(dataset, index=1).transformed.size == (8, 8)
    assert f"gives its samples one after the other, none by its number: {those}" in dataset.warnings[0]


def test_a_streaming_dataset_of_hugging_face_keeps_its_class_names(folders):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [Image.new("RGB", (9, 9))] * 3, "label": [1, 0, 1]}
    stream = datasets.Dataset.from_dict(rows, features).to_iterable_dataset()

    dataset = cl.open_source(stream).dataset()

    assert [dataset.class_names(index) for index in range(3)] == [("dog",), ("cat",), ("dog",)]


def test_a_stream_that_breaks_off_is_an_error_with_the_line():
    def broken():
        yield torch.rand(3, 8, 8), 0
        raise ValueError("shard 3 is gone")

    with pytest.raises(DataError, match=r"asked for its first 64 samples, fails at .*: ValueError: shard 3 is gone"):
        cl.open_source(broken()).dataset()


class Photos:
    """A dataset whose transform stands in the body of the class."""

    transform = SMALL

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.transform(Image.new("RGB", (30, 20), (90 * index, 0, 0))), index


class Named(Photos):
    transform = None
    augmentation = FLIPPED

    def __getitem__(self, index):
        return self.augmentation(Image.new("RGB", (30, 20))), index


class Looped(Photos):
    transforms = (transforms.Resize(16), transforms.ToTensor())

    def __getitem__(self, index):
        picture = Image.new("RGB", (30, 20))
        for one in self.transforms:
            picture = one(picture)
        return picture, index


class Method(Photos):
    def transform(self, picture):
        return FLIPPED(picture)


class Property(Photos):
    @property
    def transform(self):
        return FLIPPED


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        (Photos, ["Resize", "CenterCrop", "ToTensor"]),
        (Named, ["RandomHorizontalFlip", "ToTensor"]),
        (Looped, ["Resize", "ToTensor"]),
        (Method, []),
        (Property, []),
    ],
)
def test_a_transform_in_the_body_of_a_class_is_laid_open(kind, stages):
    trace = cl.trace(cl.open_source(kind()).dataset(), index=1)

    assert [one.stage for one in trace.snapshots] == [kind.__name__, *stages]
    assert "transform" not in vars(kind())  # the user's own class and objects are as they were


def sgd():
    return torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.1, momentum=0.9)


def warm(optimizer):
    return lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5)


def cosine(optimizer, length=25):
    return lr_scheduler.CosineAnnealingLR(optimizer, length)


LENGTHS = {
    "OneCycleLR": (lambda one: lr_scheduler.OneCycleLR(one, 0.1, epochs=5, steps_per_epoch=20), 100, None),
    "CosineAnnealingLR": (cosine, 25, 25),
    "PolynomialLR": (lambda one: lr_scheduler.PolynomialLR(one, 40), 40, 40),
    "SequentialLR": (lambda one: lr_scheduler.SequentialLR(one, [warm(one), cosine(one)], [5]), 30, 30),
    "ChainedScheduler": (lambda one: lr_scheduler.ChainedScheduler([warm(one), cosine(one)]), 25, 25),
    "transformers": (lambda one: transformers.get_cosine_schedule_with_warmup(one, 10, 200), 200, None),
    "transformers wsd": (lambda one: transformers.get_wsd_schedule(one, 10, 20, num_stable_steps=70), 100, None),
    "timm": (lambda one: timm.scheduler.CosineLRScheduler(one, 50, warmup_t=5), 50, 50),
    "timm as returned": (lambda one: timm.scheduler.create_scheduler_v2(one, num_epochs=60, cooldown_epochs=5), 65, 65),
    "timm by step": (
        lambda one: timm.scheduler.create_scheduler_v2(one, num_epochs=6, step_on_epochs=False, updates_per_epoch=50),
        300,
        6,
    ),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_scheduler_that_knows_how_long_it_runs_is_drawn_as_long(name):
    make, steps, epochs = LENGTHS[name]

    source = cl.open_source((optimizer := sgd(), make(optimizer)))

    assert (source.clock().steps, source.clock().epochs) == (steps, epochs)
    assert not cl.replay(source.schedule(), source.clock()).findings


def test_timms_factory_with_arguments_is_taken_as_it_returns():
    from types import SimpleNamespace

    arguments = SimpleNamespace(sched="step", epochs=30, decay_epochs=10, warmup_epochs=0)

    source = cl.open_source(timm.scheduler.create_scheduler(arguments, sgd()))

    assert source.clock().epochs == 30


@pytest.mark.parametrize(
    "make", [warm, lambda one: lr_scheduler.StepLR(one, 30), lambda one: lr_scheduler.LambdaLR(one, bool)]
)
def test_a_scheduler_that_does_not_know_its_length_says_how_to_say_it(make):
    with pytest.raises(NotOffered, match="does not say how long it trains") as caught:
        cl.open_source(make(sgd())).clock()

    assert caught.value.hint == "say --steps N, or --epochs N --epoch-length N"


@pytest.mark.parametrize(
    ("name", "epochs", "steps", "said"),
    [
        ("OneCycleLR", 4, 20, "OneCycleLR(total_steps=100) is made for 100 steps, and the run has 80: it is cut off"),
        ("transformers", 50, 10, "made for 200 steps, and the run has 500: it goes on after its end"),
        ("SequentialLR", 20, 3, "is made for 30 epochs, and the run has 20"),
        ("CosineAnnealingLR", 20, 3, "falls for 25 epochs, but acts for 20"),
        ("timm", 90, 3, ""),  # which holds its minimum, and is meant to
    ],
)
def test_a_run_of_another_length_than_the_scheduler_is_told(name, epochs, steps, said):
    schedule = cl.open_source(LENGTHS[name][0](sgd())).schedule()

    findings = [str(one) for one in cl.replay(schedule, cl.Clock(epochs, steps)).findings if one.kind != "vanished"]

    assert len(findings) == bool(said)
    assert said in "".join(findings)


def test_epochs_of_the_command_divide_the_steps_that_a_scheduler_knows():
    run = partial(RunLength, 5)

    sources = [cl.open_source(LENGTHS["OneCycleLR"][0](sgd()), options=Options(run=one())) for one in (RunLength, run)]

    assert [str(source.clock()) for source in sources] == ["100 steps", "100 steps = 5 epochs x 20 steps"]


class Asking(lightning.LightningModule):
    def __init__(self, ask):
        super().__init__()
        self.network, self.ask = nn.Linear(2, 2), ask

    def configure_optimizers(self):
        self.answer = self.ask(self.trainer)
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch):
        return self.network(batch[0]).sum()


ASKED = (
    *("estimated_stepping_batches", "max_epochs", "max_steps", "num_training_batches", "accumulate_grad_batches"),
    *(
        "world_size",
        "num_devices",
        "num_nodes",
        "current_epoch",
        "global_step",
        "is_global_zero",
        "limit_train_batches",
    ),
)


@pytest.mark.filterwarnings("ignore")  # those of Lightning are its own
@pytest.mark.parametrize("length", [{"max_epochs": 3}, {"max_steps": 17}])
def test_a_module_gets_the_answers_that_a_real_trainer_gives(length):
    def ask(trainer):
        return {name: getattr(trainer, name) for name in ASKED}

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    real, module = Asking(ask), Asking(ask)
    loader = DataLoader(torch.utils.data.TensorDataset(torch.zeros(20, 2)), 2)
    lightning.Trainer(**length, accelerator="cpu", devices=1, **quiet).fit(real, loader)

    run = RunLength(length.get("max_epochs"), 10, length.get("max_steps"))
    schedule = cl.open_source(module, options=Options(run=run)).schedule()

    # Without epochs Lightning sets up no data to count steps, so it does not know the batches yet, and a note says so.
    known = real.answer | ({} if "max_epochs" in length else {"num_training_batches": 10})
    assert module.answer == known
    assert module._trainer is None
    assert "trainer is answered for this run, without accumulation" in " ".join(schedule.notes)


def test_a_module_that_asks_for_batches_before_there_are_data_is_warned_of_what_lightning_answers():
    module = Asking(lambda trainer: trainer.num_training_batches)

    schedule = cl.open_source(module, options=Options(run=RunLength(3, 10))).schedule()

    assert "num_training_batches with inf until the data are set up" in " ".join(schedule.notes)


def test_the_loader_beside_a_module_says_how_long_an_epoch_is():
    loader = DataLoader(torch.utils.data.TensorDataset(torch.zeros(20, 2)), 2)
    module = Asking(lambda trainer: (trainer.estimated_stepping_batches, len(trainer.train_dataloader)))

    cl.open_source({"model": module, "train": loader, "epochs": 4}).schedule()

    assert module.answer == (40, 10)


def test_what_nobody_says_of_the_run_is_an_error_that_names_it():
    module = Asking(lambda trainer: trainer.estimated_stepping_batches)

    with pytest.raises(ConfigError, match=r"asks for trainer\.estimated_stepping_batches") as caught:
        cl.open_source(module, options=Options(run=RunLength(epochs=3))).schedule()

    assert caught.value.hint.startswith("say --epochs N --epoch-length N")


@pytest.mark.parametrize("key", ["scheduler", "lr_scheduler", "lr_lambda"])
@pytest.mark.parametrize("what", [lambda epoch: 0.9**epoch, lr_scheduler.CosineAnnealingLR, partial(cosine, length=3)])
def test_a_function_under_a_schedulers_key_is_no_augmentation_and_no_schedule(key, what, folders):
    source = cl.open_source({"train": ImageFolder(folders / "a", SMALL), "optimizer": sgd(), key: what})

    assert [one.stage for one in cl.trace(source.dataset(), 0).snapshots][1:] == ["Resize", "CenterCrop", "ToTensor"]
    with pytest.raises(ConfigError, match="what stands for the scheduler is a function"):
        source.schedule()


def test_losses_and_metrics_beside_a_network_stand_aside():
    bundle = {"model": network(), "criterion": nn.CrossEntropyLoss(), "loss_fn": nn.functional.cross_entropy}

    assert cl.open_source(bundle).classifier().module is bundle["model"]


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("classes", ["a", "b", "c"]),
        ("class_names", ("a", "b", "c")),
        ("classes", {0: "a", 1: "b", 2: "c"}),
        ("class_to_idx", {"b": 1, "a": 0, "c": 2}),
        ("id2label", {"0": "a", "1": "b", "2": "c"}),
        ("labels", ["a", "b", "c"]),
        ("classes", "a,b,c"),
    ],
)
def test_class_names_beside_a_network_are_read_in_every_form(key, names):
    assert cl.open_source({"model": network(), key: names}).classifier().classes == ("a", "b", "c")


def test_a_file_of_class_names_beside_a_network_is_read(tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\n")

    classifier = cl.open_source({"model": network(), "classes": str(tmp_path / "names.txt")}).classifier()

    assert classifier.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    "numbers",
    [
        {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.2], "input_size": (3, 40, 40)},
        {"mean": [127.5, 102, 76.5], "std": [63.75, 51, 51], "size": 40},
        {"encoding": cl.Encoding("RGB", "HWC", 1.0, (0.5, 0.4, 0.3), (0.25, 0.2, 0.2)), "image_size": 40},
    ],
)
def test_a_network_is_fed_with_the_mean_std_and_size_beside_it(numbers):
    photo = cl.Image(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))

    classifier = cl.open_source({"model": network(), **numbers}).classifier()

    fed = classifier.encoding.encode(classifier.prepare(photo))
    plain = classifier.prepare(photo).pixels.transpose(2, 0, 1) / 255
    expected = (plain - np.reshape([0.5, 0.4, 0.3], (3, 1, 1))) / np.reshape([0.25, 0.2, 0.2], (3, 1, 1))
    np.testing.assert_allclose(fed, expected, atol=1e-5)
    assert fed.shape == (3, 40, 40)


def test_plain_values_beside_the_objects_are_left_out_and_named():
    source = cl.open_source({"model": network(), "epoch": 7, "best_acc": 0.93, "name": "run 1", "device": "cpu"})

    assert source.parts == ("classifier",)
    assert source.notes == ("of what dict holds, this says nothing here: epoch, best_acc, name, device",)
