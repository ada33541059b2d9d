"""mmengine's own schedulers, stepped as its runner and hook step them, without a model."""

import warnings

import numpy as np
import torch
from mmengine.registry import PARAM_SCHEDULERS
from mmpretrain.engine.schedulers.weight_decay_scheduler import CosineAnnealingWeightDecay

THEIRS = {"CosineAnnealingWeightDecay": CosineAnnealingWeightDecay}


def stepped(configs, *, epochs, epoch_length, steps=None, initial=None, loss=None):
    """Every value of a run, by hyper-parameter, as mmengine's objects set them.

    `steps` makes it a run over iterations, in which epochs never end. `loss(epoch)` is what validation finds after it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "scheduler.step() before optimizer.step()": there is nothing to optimize
        return step_all(configs, epochs, epoch_length, steps, initial, loss)


def step_all(configs, epochs, epoch_length, steps, initial, loss):
    initial = initial or {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], **initial)
    total = steps or epochs * epoch_length
    schedulers = []
    for config in configs:
        settings = dict(config)
        by_epoch = settings.get("by_epoch", True)
        settings.setdefault("end", (1 if steps else epochs) if by_epoch else total)
        settings["type"] = THEIRS.get(settings["type"], settings["type"])
        default = {"optimizer": optimizer, "epoch_length": epoch_length}
        schedulers.append(PARAM_SCHEDULERS.build(settings, default_args=default))
    values = {name: np.empty(total) for name in initial}
    for step in range(total):
        for name in values:
            values[name][step] = optimizer.param_groups[0][name]
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if not steps and (step + 1) % epoch_length == 0:
            end_epoch([scheduler for scheduler in schedulers if scheduler.by_epoch], (step + 1) // epoch_length, loss)
    return values


def end_epoch(schedulers, epoch, loss):
    for scheduler in schedulers:
        scheduler.step()
    for scheduler in schedulers:
        if getattr(scheduler, "need_val_args", False):
            scheduler.step({"loss": loss(epoch)})
