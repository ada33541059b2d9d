import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

import classlens
from classlens.adapters import open_source
from classlens.adapters.feeding import IMAGENET
from classlens.dataset.dataset import Dataset as Record
from classlens.errors import ConfigError, DataError, MissingDependency, ModelError, NotFound
from classlens.image import Encoding, Image
from classlens.schedule.schedule import Clock, Group, Schedule
from classlens.source import Source

torchvision = pytest.importorskip("torchvision")
from torchvision import transforms  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402
from torchvision.transforms import v2  # noqa: E402


class Pictures(Dataset):
    """Six pictures, every pixel of number i being i; the transform stands where its author wanted it."""

    classes = ("even", "odd")

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        picture = Pillow.new("RGB", (8, 6), (index, index, index))
        for name in ("transform", "augment"):
            if name in vars(self):
                picture = getattr(self, name)(picture)
        return picture, index % 2


class Named(nn.Sequential):
    """Returns what transformers' models return."""

    def forward(self, batch):
        return {"logits": super().forward(batch)}


def network(classes=3):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            noise = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Pillow.fromarray(noise).save(tmp_path / name / f"{number}.png")
    return tmp_path


def write(folder, text):
    path = folder / "train.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_a_function_in_a_file_is_called_and_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_train.py").write_text("CLASSES = 5\n")
    path = write(
        tmp_path,
        """
        import torch
        from neighbour_of_train import CLASSES

        def model():
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 224 * 224, CLASSES))
        """,
    )
    before = list(sys.path)

    classifier = open_source(f"py:{path}:model").classifier()

    assert classifier.logits(torch.zeros(1, 3, 224, 224)).shape == (1, 5)
    assert sys.path == before


def test_objects_and_attributes_of_objects_are_found(tmp_path):
    path = write(tmp_path, "import torch\nclass Run:\n    model = torch.nn.Identity()\nrun = Run()\n")

    assert open_source(f"py:{path}:run.model").parts == ("classifier",)
    assert open_source("py:torchvision.models:squeezenet1_1").parts == ("classifier",)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("py:{folder}/nowhere.py:model", ConfigError, "no such file"),
        ("py:{folder}/train.py:modle", NotFound, "no object named 'modle'"),
        ("py:{folder}/train.py:needs", ConfigError, "without arguments: missing a required argument: 'depth'"),
        ("py:{folder}/train.py:three", ConfigError, "type int is nothing to look at"),
        ("py:{folder}/train.py", ConfigError, "names no object"),
        ("py:no_such_module_at_all:model", ConfigError, "no module named"),
    ],
)
def test_addresses_that_lead_nowhere_say_where_they_end(tmp_path, address, error, message):
    write(tmp_path, "model = None\nthree = 3\ndef needs(depth): ...\n")

    with pytest.raises(error, match=message):
        open_source(address.format(folder=tmp_path))


def test_a_package_that_the_users_module_needs_is_named(tmp_path, monkeypatch):
    (tmp_path / "needy_module.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingDependency, match="a_package_that_is_not_there is not installed"):
        open_source("py:needy_module:model")


def test_a_bare_module_is_fed_as_imagenet_models_are():
    classifier = open_source(network()).classifier()

    assert (classifier.encoding, classifier.size) == (IMAGENET, (224, 224))
    assert classifier.prepare(Image(np.zeros((300, 500, 3), np.uint8))).size == (224, 224)


def test_a_test_transform_says_how_the_module_is_fed():
    test = transforms.Compose(
        [
            transforms.Resize(40),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize([0.1] * 3, [0.2] * 3),
        ]
    )
    picture = Image(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))

    classifier = open_source((network(), test)).classifier()
    encoded = classifier.encoding.encode(classifier.prepare(picture))

    assert classifier.size == (32, 32)
    assert classifier.encoding == Encoding("RGB", "CHW", 1.0, (0.1, 0.1, 0.1), (0.2, 0.2, 0.2))
    np.testing.assert_allclose(encoded, test(Pillow.fromarray(picture.pixels)).numpy(), atol=1e-5)


def test_named_outputs_and_tuples_give_their_logits_and_anything_else_is_refused():
    batch = torch.rand(2, 3, 8, 8)
    named = Named(*network())

    assert open_source(named).classifier().logits(batch).shape == (2, 3)
    with pytest.raises(ModelError, match="returns a str, not class scores"):
        open_source(Texting()).classifier().logits(batch)


def test_a_network_that_does_not_take_the_picture_is_told_by_its_own_line(tmp_path):
    path = write(
        tmp_path,
        """
        import torch

        class Small(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.head = torch.nn.Linear(3 * 32 * 32, 10)

            def forward(self, batch):
                return self.head(batch.flatten(1))
        """,
    )

    with pytest.raises(
        ModelError, match=r"Small, given a picture of 224 x 224, fails at .*train\.py:10: RuntimeError"
    ) as caught:
        open_source(f"py:{path}:Small").classifier().logits(torch.rand(1, 3, 224, 224))

    assert caught.value.hint == "the line is: return self.head(batch.flatten(1))"


def test_a_network_for_grey_pictures_gets_grey_and_gradients_reach_the_colours():
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    test = transforms.Compose([transforms.Grayscale(), transforms.Resize((28, 28)), transforms.ToTensor()])
    picture = Image(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    classifier = open_source((grey.eval(), test)).classifier()

    batch = torch.from_numpy(classifier.encoding.encode(classifier.prepare(picture)))[None].requires_grad_()
    scores = classifier.logits(batch)
    scores.sum().backward()

    torch.testing.assert_close(scores, grey(test(Pillow.fromarray(picture.pixels))[None]), rtol=1e-5, atol=1e-5)
    assert batch.grad.any()


class Texting(nn.Module):
    def forward(self, batch):
        return "cat"


def test_class_names_are_taken_from_the_module():
    module = network()
    module.classes = ["cat", "dog", "cup"]

    assert open_source(module).classifier().classes == ("cat", "dog", "cup")


def test_a_checkpoint_goes_into_the_users_module(tmp_path):
    torch.manual_seed(0)
    other = network()
    torch.save(
        {"state_dict": {f"model.{name}": value for name, value in other.state_dict().items()}}, tmp_path / "a.ckpt"
    )

    classifier = open_source(network()).classifier(str(tmp_path / "a.ckpt"))

    torch.testing.assert_close(classifier.module[4].weight, other[4].weight)


def test_records_pass_through_unchanged():
    record = Record("mine", 1, lambda index: None, (), lambda state: Image(np.zeros((2, 2, 3), np.uint8)))
    schedule = Schedule((Group("all", {"lr": 0.1}),))
    clock = Clock(epochs=3, steps_per_epoch=7)
    source = open_source({"train": record, "schedule": schedule, "clock": clock})

    assert source.dataset() is record
    assert source.schedule() is schedule
    assert source.clock() is clock
    assert source.parts == ("dataset", "schedule")
    assert open_source(Source("x")).parts == ()


def test_an_image_folder_is_laid_open_with_files_labels_and_class_names(photos):
    pipeline = transforms.Compose([transforms.RandomCrop(8), transforms.ToTensor()])
    dataset = open_source(ImageFolder(str(photos), transform=pipeline)).dataset()

    result = classlens.trace(dataset, 3, seed=1)

    assert [snapshot.stage for snapshot in result.snapshots] == ["ImageFolder", "RandomCrop", "ToTensor"]
    assert result.class_names == ("dog",)
    assert Path(result.path) == photos / "dog" / "1.png"
    assert result.original.image.size == (20, 24)
    assert dataset.length == 4
    assert dataset.classes == ("cat", "dog")


def test_a_transform_of_picture_and_label_together_is_laid_open(photos):
    folder = ImageFolder(str(photos))
    folder.transforms = v2.Compose([v2.RandomCrop(8), v2.ToImage()])

    result = classlens.trace(open_source(folder).dataset(), 0)

    assert [snapshot.stage for snapshot in result.snapshots[1:]] == ["RandomCrop", "ToImage"]
    assert result.transformed.image.size == (8, 8)


@pytest.mark.parametrize("name", ["transform", "augment"])
def test_a_pipeline_is_found_under_its_usual_name_or_as_the_only_one(name):
    given = Pictures(**{name: transforms.Compose([transforms.Pad(1), transforms.ToTensor()])})

    result = classlens.trace(open_source(given).dataset(), 2)

    assert [snapshot.stage for snapshot in result.snapshots] == ["Pictures", "Pad", "ToTensor"]
    assert (result.original.image.pixels == 2).all()
    assert result.class_names == ("even",)
    assert vars(given)[name].transforms[0].padding == 1


@pytest.mark.parametrize("joined", ["tuple", "dict", "file"])
def test_pictures_by_address_get_the_transform_beside_them(photos, joined, tmp_path):
    pipeline = transforms.Compose([transforms.RandomCrop(8), transforms.ToTensor()])
    path = write(
        tmp_path,
        f"""
        from torchvision import transforms
        compose = transforms.Compose([transforms.RandomCrop(8), transforms.ToTensor()])
        data = ("folder:{photos}", compose)
        """,
    )
    whole = {
        "tuple": (f"folder:{photos}", pipeline),
        "dict": {"train": f"folder:{photos}", "transform": pipeline},
        "file": f"py:{path}:data",
    }[joined]

    result = classlens.trace(open_source(whole).dataset(), 3)

    assert [snapshot.stage for snapshot in result.snapshots[1:]] == ["RandomCrop", "ToTensor"]
    assert result.transformed.image.size == (8, 8)
    assert result.class_names == ("dog",)


def test_an_address_of_a_model_beside_pictures_offers_both(photos):
    source = open_source((f"folder:{photos}", [transforms.ToTensor()], "timm:test_resnet?pretrained=false"))

    assert source.parts == ("dataset", "classifier")
    assert source.classifier().name == "timm:test_resnet"
    assert len(source.notes) == 1


def test_a_list_of_functions_is_one_pipeline(photos):
    class Halved:
        def __call__(self, picture):
            return picture.resize((4, 4))

    def darker(picture):
        return np.asarray(picture) // 2

    row = [transforms.RandomCrop(8), Halved(), darker]
    result = classlens.trace(open_source((f"folder:{photos}", row)).dataset(), 0)

    assert [snapshot.stage for snapshot in result.snapshots[1:]] == ["RandomCrop", "Halved", "darker"]
    assert (result.transformed.image.pixels == result.snapshots[2].image.pixels // 2).all()


def test_a_dataset_that_loops_over_its_transforms_is_laid_open():
    class Looping(Pictures):
        def __getitem__(self, index):
            picture = Pillow.new("RGB", (8, 6), (index, index, index))
            for step in self.transform:
                picture = step(picture)
            return picture, index % 2

    result = classlens.trace(open_source(Looping(transform=[transforms.Pad(1), transforms.ToTensor()])).dataset(), 2)

    assert [snapshot.stage for snapshot in result.snapshots] == ["Looping", "Pad", "ToTensor"]


def test_modules_in_a_row_are_a_transform_if_all_of_them_are():
    beside = nn.Sequential(v2.CenterCrop(4), nn.Sequential(v2.Resize(2)))

    result = classlens.trace(open_source((Pictures(), beside)).dataset(), 3)

    assert [one.stage for one in result.snapshots] == ["Pictures", "CenterCrop", "Resize"]
    assert result.transformed.image.size == (2, 2)


def test_a_transform_cannot_be_put_behind_a_pipeline_of_another_kind(photos):
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale": 8}]
    data = {"type": "CustomDataset", "data_root": str(photos), "pipeline": pipeline}
    config = write(photos, f"train_dataloader = dict(batch_size=1, dataset={data})")

    with pytest.raises(ConfigError, match="has a pipeline: a transform cannot be put behind it") as caught:
        open_source((str(config), transforms.CenterCrop(4))).dataset("train")

    assert "folder:PATH" in caught.value.hint


def test_words_without_an_object_are_nothing_to_look_at():
    with pytest.raises(ConfigError, match="dict is nothing to look at"):
        open_source({"epochs": 3, "classes": ("cat", "dog")})


def test_a_transform_without_pictures_says_what_is_missing():
    with pytest.raises(ConfigError, match="is a transform without pictures") as caught:
        open_source(transforms.Compose([transforms.ToTensor()]))

    assert caught.value.hint == 'give the pictures, too: data = ("folder:PATH", transform)'


def test_kornia_beside_a_loader_runs_behind_its_pipeline_and_only_in_training(photos):
    K = pytest.importorskip("kornia.augmentation")
    folder = ImageFolder(str(photos), transform=transforms.ToTensor())
    augment = K.AugmentationSequential(K.RandomCrop((8, 8)), K.RandomMixUpV2(p=0.5), data_keys=["input"])
    loader = DataLoader(folder, batch_size=2)
    source = open_source({"train": loader, "val": loader, "augment": augment})

    train, val = (source.dataset(split) for split in ("train", "val"))

    assert [stage.name for stage in train.stages] == ["ToTensor", "RandomCrop", "RandomMixUpV2"]
    assert [stage.name for stage in val.stages] == ["ToTensor"]
    assert classlens.trace(train, 0).transformed.image.size == (8, 8)
    assert [(one.kind, one.alpha, one.probability) for one in train.batch.mixings] == [("Mixup", 1.0, 0.5)]


def test_subsets_and_loaders_show_the_samples_that_they_select():
    inner = Subset(Pictures(), [5, 3, 1])
    loader = DataLoader(Subset(inner, [2, 0]), batch_size=1)

    dataset = open_source(loader).dataset()

    assert dataset.length == 2
    assert [int(classlens.trace(dataset, index).original.image.pixels[0, 0, 0]) for index in (0, 1)] == [1, 5]


def test_splits_come_by_key_or_in_order_and_the_others_are_told():
    source = open_source({"val": Pictures(), "train": Subset(Pictures(), [0])})

    assert (source.dataset("train").length, source.dataset("val").length) == (1, 6)
    assert open_source((Pictures(), Subset(Pictures(), [0]))).dataset("val").length == 1
    with pytest.raises(NotFound, match="no split named 'test'") as caught:
        source.dataset("test")
    assert "--phase train" in caught.value.hint


def test_a_dataset_that_draws_by_itself_is_repeatable_and_leaves_chance_as_it_was():
    class Noise(Pictures):
        def __getitem__(self, index):
            return torch.rand(3, 4, 4), torch.tensor(index % 2)

    dataset = open_source(Noise()).dataset()
    torch.manual_seed(3)
    state = torch.get_rng_state()

    first, again = (classlens.trace(dataset, 1) for _ in range(2))

    assert (first.original.image.pixels == again.original.image.pixels).all()
    assert first.class_names == ("odd",)
    assert torch.equal(state, torch.get_rng_state())


def test_a_sample_that_cannot_be_read_is_a_data_error_with_its_file(photos):
    folder = ImageFolder(str(photos))
    (photos / "cat" / "0.png").write_bytes(b"not a picture")

    with pytest.raises(DataError, match=r"cat.0\.png: UnidentifiedImageError: cannot identify"):
        classlens.trace(open_source(folder).dataset(), 0)


def test_a_stream_without_samples_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

        def __len__(self):
            return 3

    with pytest.raises(DataError, match="Stream gives no sample"):
        open_source(DataLoader(Stream())).dataset()


def test_epochs_beside_a_loader_make_a_clock():
    source = open_source({"train": DataLoader(Pictures(), batch_size=4), "epochs": 3})

    assert source.clock() == Clock(3, 2, note="steps per epoch: the length of the DataLoader")


def test_samples_that_are_dicts_give_picture_and_label():
    class Rows(Pictures):
        def __getitem__(self, index):
            picture, label = super().__getitem__(index)
            return {"image": picture, "label": label}

    result = classlens.trace(open_source(Rows()).dataset(), 5)

    assert (result.original.image.pixels == 5).all()
    assert result.class_names == ("odd",)


def optimizer_of(module):
    return torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)


def rates(source, clock=None):
    curve, *_ = classlens.replay(source.schedule(), clock or Clock(epochs=4, steps_per_epoch=5)).only("lr")
    return curve.values


def test_a_scheduler_moves_once_an_epoch_unless_it_is_made_for_steps_or_the_user_says_so():
    optimizer = optimizer_of(network())
    halving = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    by_epoch = rates(open_source((optimizer, halving)))
    by_step = rates(open_source({"scheduler": halving, "interval": "step"}))

    np.testing.assert_allclose(by_epoch[::5], [0.1, 0.05, 0.025, 0.0125])
    np.testing.assert_allclose(by_step[:3], [0.1, 0.05, 0.025])
    assert halving.last_epoch == 0


def linear_and_milestones(optimizer):
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
    return linear, torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], 0.5)


def stepped_by_hand(optimizer, by_step=(), by_epoch=(), epochs=4, length=5):
    """The first rate before every step of a loop over epochs."""
    seen = []
    for _ in range(epochs):
        for _ in range(length):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for scheduler in by_step:
                scheduler.step()
        for scheduler in by_epoch:
            scheduler.step()
    return seen


SEVERAL = {
    "a tuple": lambda one, first, second: (one, first, second),
    "without the optimizer": lambda one, first, second: [first, second],
    "a list in a dict": lambda one, first, second: {"optimizer": one, "scheduler": [first, second]},
    "a list with an interval": lambda one, first, second: (one, {"scheduler": [first, second], "interval": "epoch"}),
    "given twice": lambda one, first, second: (one, first, second, {"optimizer": one, "schedulers": [first, second]}),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_several_schedulers_of_one_optimizer_act_together(form):
    mine, theirs = optimizer_of(network()), optimizer_of(network())

    values = rates(open_source(SEVERAL[form](mine, *linear_and_milestones(mine))))

    np.testing.assert_allclose(values, stepped_by_hand(theirs, by_epoch=linear_and_milestones(theirs)))


def test_each_of_several_schedulers_has_its_interval():
    mine, theirs = optimizer_of(network()), optimizer_of(network())
    linear, milestones = linear_and_milestones(mine)
    by_step, by_epoch = linear_and_milestones(theirs)

    source = open_source((mine, {"scheduler": linear, "interval": "step", "frequency": 1}, milestones))
    values = rates(source)

    assert source.schedule().notes == (
        "one optimizer is scheduled by LinearLR after every step and MultiStepLR after every epoch",
    )
    np.testing.assert_allclose(values, stepped_by_hand(theirs, [by_step], [by_epoch]))


def test_a_scheduler_inside_another_one_is_not_stepped_by_itself():
    parts = linear_and_milestones(optimizer_of(network()))
    theirs = optimizer_of(network())
    sequence = torch.optim.lr_scheduler.SequentialLR(parts[0].optimizer, parts, [2])
    expected = torch.optim.lr_scheduler.SequentialLR(theirs, linear_and_milestones(theirs), [2])

    values = rates(open_source((*parts, sequence)))

    np.testing.assert_allclose(values, stepped_by_hand(theirs, by_epoch=[expected]))


def test_several_optimizers_are_several_groups_each_with_its_schedulers():
    generator, critic = optimizer_of(network()), torch.optim.AdamW(network().parameters(), lr=0.5)
    source = open_source({"generator": generator, "critic": critic, "schedules": [halved(critic), halved(generator)]})

    curves = classlens.replay(source.schedule(), Clock(epochs=3, steps_per_epoch=2)).only("lr")

    assert [curve.group.name for curve in curves] == ["optimizer 0, all parameters", "optimizer 1, all parameters"]
    np.testing.assert_allclose(curves[0].values[::2], [0.1, 0.05, 0.025])
    np.testing.assert_allclose(curves[1].values[::2], [0.5, 0.25, 0.125])


def test_a_scheduler_of_another_optimizer_leaves_this_one_alone():
    curves = classlens.replay(
        open_source((optimizer_of(network()), halved(optimizer_of(network())))).schedule(), Clock(2, 2)
    ).only("lr")

    assert [curve.values.tolist() for curve in curves] == [[0.1] * 4, pytest.approx([0.1, 0.1, 0.05, 0.05])]
    assert curves.notes == ("optimizer 0: there is no scheduler: every value stays as it starts",)


def test_schedulers_of_timm_beside_others_are_refused_as_they_undo_what_those_did():
    schedulers = pytest.importorskip("timm.scheduler")
    optimizer = optimizer_of(network())
    cosine = schedulers.CosineLRScheduler(optimizer, t_initial=4)

    with pytest.raises(ConfigError, match="StepLR and CosineLRScheduler set the rates of one optimizer"):
        open_source((optimizer, halved(optimizer), cosine)).schedule()


def test_what_takes_over_at_an_epoch_that_only_the_loop_knows_is_refused():
    optimizer = optimizer_of(network())
    averaging = torch.optim.swa_utils.SWALR(optimizer, 0.05)

    with pytest.raises(
        ConfigError, match="StepLR and SWALR set the rates of one optimizer, and what SWALR sets undoes the others"
    ):
        open_source((optimizer, halved(optimizer), averaging)).schedule()


def test_two_of_a_kind_are_refused_where_one_can_be_meant_and_only_if_it_is_asked_for():
    first, second = network(), nn.Linear(3, 2)
    source = open_source((first, second, optimizer_of(first), optimizer_of(second)))

    assert len(source.schedule().groups) == 2
    with pytest.raises(ConfigError, match="two objects for the classifier: Sequential and Linear"):
        source.classifier()


def test_schedules_of_transformers_move_every_step():
    transformers = pytest.importorskip("transformers")
    optimizer = optimizer_of(network())
    linear = transformers.get_linear_schedule_with_warmup(optimizer, num_warmup_steps=4, num_training_steps=20)

    values = rates(open_source((optimizer, linear)))

    np.testing.assert_allclose(values[:5], [0, 0.025, 0.05, 0.075, 0.1], atol=1e-12)


def test_schedules_of_timm_are_read():
    schedulers = pytest.importorskip("timm.scheduler")
    optimizer = optimizer_of(network())
    cosine = schedulers.CosineLRScheduler(optimizer, t_initial=4, lr_min=0.0)

    values = rates(open_source(cosine))

    np.testing.assert_allclose(values[::5], [0.1 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)])


def test_an_optimizer_alone_keeps_its_rate():
    assert set(rates(open_source(optimizer_of(network())))) == {0.1}


class Lightning(nn.Sequential):
    def __init__(self, answer):
        super().__init__(nn.Linear(2, 2))
        self.answer = answer

    def configure_optimizers(self):
        return self.answer(torch.optim.SGD(self.parameters(), lr=1.0))


def halved(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


@pytest.mark.parametrize(
    ("answer", "second"),
    [
        (lambda optimizer: optimizer, 1.0),
        (lambda optimizer: [optimizer], 1.0),
        (lambda optimizer: ([optimizer], [halved(optimizer)]), 0.5),
        (lambda optimizer: {"optimizer": optimizer, "lr_scheduler": halved(optimizer)}, 0.5),
        (
            lambda optimizer: {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": halved(optimizer), "interval": "step"},
            },
            0.5**5,
        ),
        (lambda optimizer: ([optimizer], [{"scheduler": halved(optimizer), "interval": "epoch", "frequency": 1}]), 0.5),
    ],
)
def test_every_form_of_configure_optimizers_is_understood(answer, second):
    source = open_source(Lightning(answer))

    assert source.parts == ("schedule", "classifier")
    assert rates(source)[5] == pytest.approx(second)


def test_a_lightning_module_that_needs_its_trainer_is_told():
    def answer(optimizer):
        raise RuntimeError("Training is not attached to a `Trainer`.")

    with pytest.raises(ConfigError, match="outside training: RuntimeError: Training is not attached") as caught:
        open_source(Lightning(answer)).schedule()

    assert "(optimizer, scheduler)" in caught.value.hint


def test_a_loader_says_how_samples_are_batched_and_mixed():
    mixup = pytest.importorskip("timm.data").Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, prob=0.9, switch_prob=0.25)
    choice = v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=2), v2.CutMix(alpha=1.0, num_classes=2)], p=[1, 3])
    loader = DataLoader(Pictures(), batch_size=4)

    plans = [open_source({"train": loader, "mixing": mixing}).dataset().batch for mixing in (mixup, choice, None)]

    assert [plan.size for plan in plans] == [4, 4, 4]
    told = [[(one.kind, one.alpha, pytest.approx(one.probability)) for one in plan.mixings] for plan in plans]
    assert told == [
        [("Mixup", 0.8, 0.675), ("CutMix", 1.0, 0.225)],
        [("Mixup", 0.2, 0.25), ("CutMix", 1.0, 0.75)],
        [],
    ]
    assert open_source(Pictures()).dataset().batch is None


def test_validation_batches_are_not_mixed():
    loader = DataLoader(Pictures(), batch_size=2)
    source = open_source({"train": loader, "val": loader, "mixing": v2.MixUp(alpha=1.0, num_classes=2)})

    assert len(source.dataset("train").batch.mixings) == 1
    assert source.dataset("val").batch.mixings == ()


def test_a_timm_collate_function_is_read_off_the_loader():
    collate = pytest.importorskip("timm.data").FastCollateMixup(mixup_alpha=0.3)

    plan = open_source(DataLoader(Pictures(), batch_size=2, collate_fn=collate)).dataset().batch

    assert [(one.kind, one.alpha, one.probability) for one in plan.mixings] == [("Mixup", 0.3, 1.0)]
