"""Modules and data modules of the real Lightning."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from torch.utils.data import DataLoader

import classlens
from classlens.adapters import Options, RunLength, open_source
from classlens.errors import ConfigError, NotFound

lightning = pytest.importorskip("lightning", reason="needs the extra lightning")
torchvision = pytest.importorskip("torchvision")
MisconfigurationException = pytest.importorskip("lightning.fabric.utilities.exceptions").MisconfigurationException

CLOCK = classlens.Clock(epochs=4, steps_per_epoch=5)


class Module(lightning.LightningModule):
    """A small classifier whose optimizers are made by `answer`."""

    def __init__(self, answer):
        super().__init__()
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.BatchNorm2d(4), torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(), torch.nn.Linear(4, 3),
        )  # fmt: skip
        self.answer, self.scores = answer, [0.0] * 100

    def forward(self, batch):
        return self.network(batch)

    def training_step(self, batch):
        self.log("score", self.scores[self.current_epoch], on_step=False, on_epoch=True)
        return self(batch).sum()

    def configure_optimizers(self):
        return self.answer(self)


def sgd(module, lr=1.0):
    return torch.optim.SGD(module.parameters(), lr=lr)


def halved(optimizer):
    return StepLR(optimizer, 1, gamma=0.5)


def trained_rates(module, epochs=4):
    """The rate of the first group before every step of a real training run by Lightning."""
    seen = []

    class Watching(lightning.Callback):
        def on_train_batch_start(self, trainer, module, batch, number):
            seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    loader = DataLoader(torch.rand(5, 3, 16, 16), batch_size=1)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[Watching()], enable_model_summary=False, **quiet)
    trainer.fit(module, loader)
    return np.array(seen)


FORMS = {
    "an optimizer": lambda module: sgd(module),
    "a list of one": lambda module: [sgd(module)],
    "two lists": lambda module: (lambda optimizer: ([optimizer], [halved(optimizer)]))(sgd(module)),
    "a dict": lambda module: (lambda optimizer: {"optimizer": optimizer, "lr_scheduler": halved(optimizer)})(sgd(module)),
    "a dict without a scheduler": lambda module: {"optimizer": sgd(module)},
    "by step": lambda module: (
        lambda optimizer: {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LinearLR(optimizer, 0.1, total_iters=12), "interval": "step"},
        }
    )(sgd(module)),
    "every third step": lambda module: (
        lambda optimizer: {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": halved(optimizer), "interval": "step", "frequency": 3},
        }
    )(sgd(module)),
    "every second epoch": lambda module: (
        lambda optimizer: ([optimizer], [{"scheduler": CosineAnnealingLR(optimizer, 4), "frequency": 2}])
    )(sgd(module)),
    "a warm-up by step and milestones by epoch": lambda module: (
        lambda optimizer: ([optimizer], [
            {"scheduler": LinearLR(optimizer, 0.1, total_iters=7), "interval": "step"}, MultiStepLR(optimizer, [2], 0.5),
        ])
    )(sgd(module)),
    "two that set the rate anew": lambda module: (
        lambda optimizer: ([optimizer], [
            {"scheduler": LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1)), "interval": "epoch"},
            {"scheduler": OneCycleLR(optimizer, 0.3, total_steps=30), "interval": "step", "frequency": 2},
        ])
    )(sgd(module)),
    "a chain by step beside a cosine by epoch": lambda module: (
        lambda optimizer: ([optimizer], [
            {"scheduler": CosineAnnealingLR(optimizer, 3, 0.01)},
            {"scheduler": ChainedScheduler([StepLR(optimizer, 6), LinearLR(optimizer, 0.5, total_iters=9)]), "interval": "step"},
        ])
    )(sgd(module)),
    "a decay that ends at nothing": lambda module: (
        lambda optimizer: ([optimizer], [{"scheduler": LinearLR(optimizer, 1, 0, 12), "interval": "step"}])
    )(sgd(module)),
    "a warm-up that was made and is not stepped": lambda module: (
        lambda optimizer: (LinearLR(optimizer, 0.25), ([optimizer], [halved(optimizer)]))[1]
    )(sgd(module)),
    "one cycle, by epoch as Lightning does unless told": lambda module: (
        lambda optimizer: ([optimizer], [OneCycleLR(optimizer, 1.0, total_steps=20)])
    )(sgd(module)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_configure_optimizers_gives_the_rates_of_a_real_run(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    curve, *_ = classlens.replay(open_source(Module(FORMS[form])).schedule(), CLOCK).only("lr")

    np.testing.assert_allclose(curve.values, trained_rates(Module(FORMS[form]))[:, 0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beside", [False, True])
def test_a_plateau_that_is_stepped_every_second_epoch_is_drawn_between_the_best_and_the_worst_real_run(
    beside, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def answer(module):
        optimizer = sgd(module)
        plateau = {"scheduler": ReduceLROnPlateau(optimizer, patience=1), "monitor": "score", "frequency": 2}
        warm_up = {"scheduler": LinearLR(optimizer, 0.1, total_iters=12), "interval": "step"}
        return [optimizer], [plateau, warm_up] if beside else [plateau]

    improving, stuck = Module(answer), Module(answer)
    improving.scores = [-float(epoch) for epoch in range(100)]
    curve, *_ = classlens.replay(open_source(Module(answer)).schedule(), classlens.Clock(14, 5)).only("lr")

    lowest = curve.trajectory.undecided.lowest(np.arange(70), 1.0)
    np.testing.assert_allclose(curve.values, trained_rates(improving, 14)[:, 0], rtol=1e-9)
    np.testing.assert_allclose(lowest, trained_rates(stuck, 14)[:, 0], rtol=1e-9)
    assert curve.trajectory.undecided.first == 5 * 6


REFUSED = {
    "an optimizer and a scheduler": (lambda one: (one, halved(one)), "returns a tuple of SGD, StepLR"),
    "no optimizer": (lambda one: {"lr_scheduler": halved(one)}, "returns a dict of StepLR"),
    "a list in a dict": (
        lambda one: {"optimizer": one, "lr_scheduler": {"scheduler": [halved(one), halved(one)]}},
        "gives a list where Lightning takes one scheduler",
    ),
    "another optimizer": (
        lambda one: ([one], [halved(torch.optim.SGD(one.param_groups[0]["params"], lr=1.0))]),
        "StepLR is made for an optimizer that is not returned",
    ),
    "no metric": (
        lambda one: {"optimizer": one, "lr_scheduler": ReduceLROnPlateau(one)},
        "ReduceLROnPlateau needs a metric to look at",
    ),
    "no metric in a dict": (
        lambda one: {"optimizer": one, "lr_scheduler": {"scheduler": ReduceLROnPlateau(one)}, "monitor": "score"},
        "ReduceLROnPlateau needs a metric to look at",
    ),
    "no interval": (
        lambda one: ([one], [{"scheduler": halved(one), "interval": "batch"}]),
        "StepLR: interval is 'step' or 'epoch', not 'batch'",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", REFUSED)
def test_what_stops_lightning_is_an_error(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer, message = REFUSED[form]

    with pytest.raises((MisconfigurationException, TypeError, KeyError, AttributeError)):
        trained_rates(Module(lambda module: answer(sgd(module))))
    with pytest.raises(ConfigError, match=message):
        open_source(Module(lambda module: answer(sgd(module)))).schedule()


def test_manual_optimization_is_remarked():
    module = Module(lambda module: (lambda optimizer: ([optimizer], [halved(optimizer)]))(sgd(module)))
    module.automatic_optimization = False

    (note,) = open_source(module).schedule().notes

    assert note.startswith("optimization is manual: the module's own code steps the schedulers")


def test_several_optimizers_are_all_drawn_with_their_own_schedulers():
    def answer(module):
        first, second = sgd(module, 1.0), sgd(module, 0.5)
        return {"optimizer": first, "lr_scheduler": halved(first)}, {"optimizer": second}

    curves = classlens.replay(open_source(Module(answer)).schedule(), CLOCK).only("lr")

    assert [curve.group.name for curve in curves] == ["optimizer 0, all parameters", "optimizer 1, all parameters"]
    np.testing.assert_allclose(curves[0].values[::5], [1, 0.5, 0.25, 0.125])
    assert set(curves[1].values) == {0.5}


def test_a_scheduler_made_for_steps_is_remarked_where_lightning_steps_it_by_epochs():
    def answer(interval):
        def make(module):
            optimizer = sgd(module)
            return [optimizer], [{"scheduler": OneCycleLR(optimizer, 1.0, total_steps=20), **interval}]

        return make

    (note,) = open_source(Module(answer({}))).schedule().notes

    assert note == 'OneCycleLR is made for steps, and Lightning steps it once an epoch: say "interval": "step"'
    assert open_source(Module(answer({"interval": "step"}))).schedule().notes == ()


def test_a_scheduler_that_waits_for_a_metric_is_opened_with_the_monitor_beside_it():
    def answer(module):
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ReduceLROnPlateau(optimizer), "monitor": "loss"}}

    curve, *_ = classlens.replay(open_source(Module(answer)).schedule(), CLOCK).only("lr")

    assert curve.values[0] == 1.0


def test_the_monitor_of_a_bare_scheduler_stands_beside_the_optimizer():
    def answer(module):
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": ReduceLROnPlateau(optimizer), "monitor": "score"}

    assert open_source(Module(answer)).schedule().notes == ()
    assert open_source(answer(Module(sgd))).schedule().notes == ()  # as what a function returns


def test_a_module_that_needs_its_trainer_is_told_and_one_that_has_one_is_not():
    def answer(module):
        optimizer = sgd(module)
        return [optimizer], [CosineAnnealingLR(optimizer, module.trainer.max_epochs)]

    module = Module(answer)
    with pytest.raises(ConfigError, match="outside training: RuntimeError: Module is not attached to a `Trainer`"):
        open_source(module).schedule()

    module.trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", logger=False)
    curve, *_ = classlens.replay(open_source(module).schedule(), CLOCK).only("lr")
    np.testing.assert_allclose(curve.values[::5], [(1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)])


def test_a_module_is_a_classifier():
    picture = classlens.Image(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))

    saliency = classlens.explain(open_source(Module(sgd)).classifier(), picture)[0]

    assert saliency.layer == "network.1"


class Photos(lightning.LightningDataModule):
    """Two folders of pictures, made known in `setup` as Lightning wants it."""

    def __init__(self, root):
        super().__init__()
        self.root = root

    def prepare_data(self):
        raise AssertionError("nothing is downloaded")

    def setup(self, stage):
        pipeline = torchvision.transforms.Compose(
            [torchvision.transforms.RandomCrop(8), torchvision.transforms.ToTensor()]
        )
        self.data = torchvision.datasets.ImageFolder(str(self.root), transform=pipeline)

    def train_dataloader(self):
        return DataLoader(self.data, batch_size=2)

    def val_dataloader(self):
        return [DataLoader(self.data, batch_size=1)]


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Pillow.new("RGB", (20, 24), "red").save(tmp_path / name / "0.png")
    return tmp_path


def test_a_data_module_offers_the_datasets_of_its_loaders(photos):
    source = open_source((Photos(photos), Module(sgd)))

    result = classlens.trace(source.dataset("train"), 1)

    assert source.parts == ("dataset", "schedule", "classifier")
    assert [snapshot.stage for snapshot in result.snapshots] == ["ImageFolder", "RandomCrop", "ToTensor"]
    assert result.class_names == ("dog",)
    assert (source.dataset("train").batch.size, source.dataset("val").batch.size) == (2, 1)
    with pytest.raises(NotFound, match="no split named 'test' in Photos"):
        source.dataset("test")


def test_what_a_trainer_may_have_and_this_run_has_not_is_asked_for_as_python_asks():
    def answer(module):
        optimizer = sgd(module)
        factor = getattr(module.trainer, "factor_of_mine", 0.25)
        return [optimizer], [StepLR(optimizer, module.trainer.max_epochs // 2, factor)]

    options = Options(run=RunLength(epochs=4, steps_per_epoch=5))
    curve, *_ = classlens.replay(open_source(Module(answer), options=options).schedule(), CLOCK).only("lr")

    assert curve.values[::5].tolist() == [1.0, 1.0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda self: {"a": DataLoader(self.data)}, "Photos.train_dataloader gives a dict, not one DataLoader"),
        (lambda self: self.nothing, "Photos.train_dataloader fails at .*AttributeError: .*'nothing'"),
    ],
    ids=["a dict", "an error"],
)
def test_a_hook_that_gives_no_loader_is_one_error(given, message, photos, monkeypatch):
    monkeypatch.setattr(Photos, "train_dataloader", given)

    with pytest.raises(ConfigError, match=message):
        open_source(Photos(photos)).dataset("train")


@pytest.mark.parametrize("frequency", [0, 1.5])
def test_a_frequency_that_is_none_is_an_error(frequency):
    def answer(module):
        optimizer = sgd(module)
        return [optimizer], [{"scheduler": halved(optimizer), "frequency": frequency}]

    with pytest.raises(ConfigError, match=f"StepLR: frequency is a whole number of 1 or more, not {frequency}"):
        open_source(answer(Module(sgd))).schedule()
