"""Runs of mmengine over a few epochs: its own Runner, schedulers and JSON log, healthy and with planted faults.

`python -m tests_peers.check.mmengine_runs` writes the logs of all of them into `tests/check/logs`.
"""

import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

LOGS = Path(__file__).parents[2] / "tests" / "check" / "logs"
CONFIG = """
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=6, by_epoch=True, begin=2, end=8, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=8)
train_dataloader = dict(batch_size=8, dataset=dict(type='ImageNet', data_root='none', split='train', pipeline=[]))
"""
STEPS = """
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[3, 6], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=8)
train_dataloader = dict(batch_size=8, dataset=dict(type='ImageNet', data_root='none', split='train', pipeline=[]))
"""
LAYERS = CONFIG.replace("momentum=0.9))", "momentum=0.9), paramwise_cfg=dict(bias_lr_mult=2.0))")

RUNS = {
    "healthy": dict(),
    "healthy_steps": dict(config=STEPS),
    "healthy_biases": dict(config=LAYERS),
    "healthy_accumulation": dict(overrides={"optim_wrapper.accumulative_counts": 2}),
    "healthy_resume": dict(resume=True),
    "four_gpus": dict(samples=20),
    "no_state_at_resume": dict(resume=True, forget=True),
    "scaled": dict(overrides={"auto_scale_lr": dict(enable=True, base_batch_size=2)}),
    "fewer_epochs": dict(
        overrides={"train_cfg.max_epochs": 4, "param_scheduler.1.T_max": 2, "param_scheduler.1.end": 4}
    ),
    "epochs_as_steps": dict(config=STEPS, overrides={"param_scheduler.by_epoch": False}),
}
"""Name of a log -> how its run was made. Those that are healthy follow their config, over 80 samples."""


def run_mmengine(folder, config=CONFIG, *, samples=80, overrides=None, resume=False, forget=False):
    """Train as `config` says, and return the newest scalars.json; `forget` resumes without the state of its schedulers."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # mmengine 0.10.7 resumes from pickles
    import torch
    from mmengine.config import Config
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from torch import nn

    class Tiny(BaseModel):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, inputs, labels, mode="loss"):
            return {"loss": nn.functional.cross_entropy(self.head(inputs), labels)}

    def collate(batch):
        return {"inputs": torch.stack([one[0] for one in batch]), "labels": torch.tensor([one[1] for one in batch])}

    settings = Config.fromstring(config, ".py")
    settings.merge_from_dict(overrides or {})
    data = [(torch.randn(4), number % 2) for number in range(samples)]
    loader = torch.utils.data.DataLoader(data, 8, collate_fn=collate)

    def train(epochs=None, load_from=None):
        runner = Runner(
            Tiny(), str(folder), train_dataloader=loader, train_cfg=dict(settings.train_cfg),
            optim_wrapper=dict(settings.optim_wrapper), param_scheduler=settings.param_scheduler,
            auto_scale_lr=settings.get("auto_scale_lr"), load_from=load_from, resume=load_from is not None,
            default_hooks=dict(logger=dict(type="LoggerHook", interval=1), checkpoint=dict(type="CheckpointHook")),
            visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]),
            experiment_name=f"{folder.name}{epochs}{load_from is not None}", log_level="ERROR",
        )  # fmt: skip
        if epochs:
            runner.train_loop._max_epochs = epochs
        if forget:
            runner.resume = partial(runner.resume, resume_param_scheduler=False)
        runner.train()

    train(epochs=4 if resume else None)
    if resume:
        checkpoint = folder / "epoch_4.pth"
        shutil.rmtree(next(folder.glob("*/vis_data")).parent)
        train(load_from=str(checkpoint))
    return max(folder.rglob("scalars.json"), key=lambda path: path.stat().st_mtime)


def main():
    """Write every log."""
    LOGS.mkdir(exist_ok=True)
    (LOGS / "cosine.py").write_text(CONFIG.lstrip())
    (LOGS / "steps.py").write_text(STEPS.lstrip())
    for name, how in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(run_mmengine(Path(folder) / name, **how), LOGS / f"mmengine_{name}.json")


if __name__ == "__main__":
    sys.exit(main())
