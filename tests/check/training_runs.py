"""Really trained runs of a few steps in each framework, healthy and with faults planted in the training script.

Each function trains a tiny network, and leaves in `folder` what the framework itself logs.
"""

import logging
import warnings
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)

ROOTS = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "transformers")


@contextmanager
def quiet():
    """Trainers warn of what is meant here: few steps, no workers, schedulers in an odd order."""
    levels = {name: logging.getLogger(name).level for name in ROOTS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def numbers(samples=80):
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(samples, 4, generator=generator), torch.arange(samples) % 2)


def step_once(network, optimizer, batch):
    pictures, labels = batch
    nn.functional.cross_entropy(network(pictures), labels).backward()
    optimizer.step()
    optimizer.zero_grad()


def with_torch(folder, make, *, epochs=10, stepping="step", log="step", every=1, resume=None, late=False):
    """A plain loop, ten batches an epoch, which logs for TensorBoard; `make(optimizer)` gives its scheduler.

    `stepping` and `log` are "step" or "epoch"; the scheduler is stepped after `every` so many steps. At step `resume` the
    script is started again without the scheduler's state. `late` logs after the scheduler was stepped.
    """
    from torch.utils.tensorboard import SummaryWriter

    network, done = nn.Linear(4, 2), 0
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with quiet(), SummaryWriter(folder) as writer:
        scheduler = make(optimizer)
        for epoch in range(epochs):
            for batch in DataLoader(numbers(), 8):
                if done == resume:
                    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
                    scheduler = make(optimizer)
                rate = optimizer.param_groups[0]["lr"]
                step_once(network, optimizer, batch)
                done += 1
                if stepping == "step" and done % every == 0:
                    scheduler.step()
                if log == "step":
                    writer.add_scalar("train/lr", optimizer.param_groups[0]["lr"] if late else rate, done - 1)
            if log == "epoch":
                writer.add_scalar("train/lr", optimizer.param_groups[0]["lr"], epoch)
            if stepping == "epoch":
                scheduler.step()


def with_lightning(
    folder, make, *, interval="step", epochs=5, accumulate=1, monitor="step", checkpoint=None, groups=(0.1,)
):
    """Lightning's Trainer with a LearningRateMonitor and a CSVLogger, ten batches an epoch."""
    import lightning
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.ModuleList(nn.Linear(4, 2) for _ in groups)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(sum(part(batch[0]) for part in self.net), batch[1])

        def configure_optimizers(self):
            parts = [{"params": part.parameters(), "lr": lr} for part, lr in zip(self.net, groups, strict=True)]
            optimizer = torch.optim.SGD(parts)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(optimizer), "interval": interval}}

    with quiet():
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=CSVLogger(folder), log_every_n_steps=1,
            accumulate_grad_batches=accumulate, callbacks=[LearningRateMonitor(monitor)],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(), DataLoader(numbers(), 8))
        if checkpoint:
            trainer.save_checkpoint(checkpoint)


def with_transformers(folder, *, steps=40, lr=1e-3, make=None, logged=1, **settings):
    """The Trainer of transformers, which writes trainer_state.json with its checkpoint; `make(optimizer)` gives another scheduler than its own."""
    from transformers import Trainer, TrainingArguments

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x, labels):
            return {"loss": nn.functional.cross_entropy(self.head(x), labels)}

    data = [{"x": one, "labels": label} for one, label in numbers()]
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    with quiet():
        arguments = TrainingArguments(
            str(folder), max_steps=steps, per_device_train_batch_size=8, learning_rate=lr, logging_steps=logged,
            save_steps=steps, report_to=[], use_cpu=True, disable_tqdm=True, **settings,
        )  # fmt: skip
        chosen = (optimizer, make(optimizer)) if make else (None, None)
        trainer = Trainer(network, arguments, train_dataset=data, optimizers=chosen)
        trainer.remove_callback(type(trainer.callback_handler.callbacks[-1]))  # PrinterCallback
        trainer.train()


def with_timm(folder, *, epochs=10, updates=False, late=False, resume=None, stop=None, lr=0.1, **settings):
    """timm's own train.py in short: its scheduler, and its summary.csv written by its own function."""
    from timm.scheduler import create_scheduler_v2
    from timm.utils import update_summary

    network = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)

    def make():
        return create_scheduler_v2(
            optimizer, num_epochs=epochs, step_on_epochs=not updates, updates_per_epoch=10, **settings
        )[0]

    scheduler, done, begun = make(), 0, 0
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        for epoch in range(stop or epochs):
            if epoch == resume:
                scheduler, begun, done = make(), epoch, 0
            for batch in DataLoader(numbers(), 8):
                step_once(network, optimizer, batch)
                done += 1
                if updates:
                    scheduler.step_update(done)
            rate = sum(one["lr"] for one in optimizer.param_groups) / len(optimizer.param_groups)
            update_summary(
                epoch, {"loss": 1.0}, {"top1": 1.0}, str(folder / "summary.csv"), lr=rate, write_header=epoch == 0
            )
            scheduler.step(epoch - begun + (0 if late else 1))


def with_accelerate(folder, make, *, processes=1, accumulate=1, steps=40):
    """accelerate's wrapped optimizer and scheduler, as each of `processes` runs them; the log is TensorBoard's."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from torch.utils.tensorboard import SummaryWriter

    network = nn.Linear(4, 2)
    with quiet(), SummaryWriter(folder) as writer:
        try:
            accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
            plain = torch.optim.SGD(network.parameters(), lr=0.1)
            network, optimizer, scheduler = accelerator.prepare(network, plain, make(plain))
            PartialState._shared_state["num_processes"] = processes
            batches = [one for _ in range(50) for one in DataLoader(numbers(), 8)]
            for number, batch in enumerate(batches[: steps * accumulate]):
                if number % accumulate == 0:
                    writer.add_scalar("learning_rate", plain.param_groups[0]["lr"], number // accumulate)
                with accelerator.accumulate(network):
                    step_once(network, optimizer, batch)
                    scheduler.step()
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()
