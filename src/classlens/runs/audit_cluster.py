"""An audit spread over a Ray cluster: Ray Data hands out the numbers of shards, and its actors make and write them.

What an actor makes is what a process of one machine makes. Ray starts those that die again, and gives their shards to
others; a shard that was written twice is the same twice. Machines see the pictures, the checkpoint and the output by the
same paths or addresses.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from classlens.errors import ClasslensError, DataError, MissingDependency, first_line
from classlens.runs.audit_run import AuditSpec, OpenAudit
from classlens.runs.processes import MOST_WORKERS

if TYPE_CHECKING:
    import numpy as np

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""What Ray would say, do or send unless it is asked not to."""


SHARDS_OF_GPU = 8  # that an actor makes from one stream of pictures, so that its decoders start seldom


class ShardMaker:
    """What Ray runs in a process of its own, once for each of its shards: a class because Ray keeps it between them.

    On a GPU other processes decode for it.
    """

    def __init__(self, spec: AuditSpec, decoders: int) -> None:
        self.spec, self.decoders = spec, decoders
        self.opened: OpenAudit | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Make the shards of a batch; gives the number of rows, or what went wrong, which Ray would hide."""
        try:
            if self.opened is None:
                opened = self.spec.open()
                self.opened = opened.with_decoders(self.decoders) if self.decoders else opened
            return {"rows": [make_marked(self.opened, batch["shard"].tolist())], "error": [""], "hint": [""]}
        except ClasslensError as error:
            return {"rows": [0], "error": [str(error)], "hint": [error.hint]}


def make_marked(opened: OpenAudit, shards: list[int]) -> int:
    """Make shards, each under a mark: where one is found, a process died, perhaps of a picture. Then they are decoded apart.

    Ray would try for ever.
    """
    marks = [f"rows/{one:05}.begun" for one in shards]
    if any(opened.place.read(mark) is not None for mark in marks):
        opened = opened.with_decoders(1)
    for mark in marks:
        opened.place.write(mark, b"")
    rows = sum(opened.make(shards))
    for mark in marks:
        opened.place.remove(mark)
    return rows


def make_in_cluster(spec: AuditSpec, shards: Sequence[int]) -> Iterator[int]:
    """Have shards made by a cluster; gives how many rows were made after each.

    Raises:
        MissingDependency: Ray is not installed.
        DataError: there is no such cluster, or a shard cannot be made.
    """
    try:
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingDependency("ray", extra="ray") from error
    request, on_gpu = spec.request, not spec.manifest.device.startswith("cpu")
    with connected(request.ray or "auto", request.workers):
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        actors = int(resources.get("GPU", 1)) if on_gpu else request.workers or int(resources.get("CPU", 1))
        decoders = (request.workers or MOST_WORKERS) if on_gpu else 0
        made = ray.data.from_items([{"shard": one} for one in shards], override_num_blocks=len(shards)).map_batches(
            ShardMaker,
            batch_size=SHARDS_OF_GPU if on_gpu else 1,
            fn_constructor_args=(spec, decoders),
            compute=ray.data.ActorPoolStrategy(size=max(1, min(actors, len(shards)))),
            num_cpus=decoders or 1,
            num_gpus=1 if on_gpu else None,
        )
        for row in made.iter_rows():
            if row["error"]:
                raise DataError(row["error"], hint=row["hint"])
            yield int(row["rows"])


@contextmanager
def connected(address: str, workers: int | None) -> Iterator[None]:
    """A connection to a cluster for the time of one `with`; `auto` starts one here, where no RAY_ADDRESS names one."""
    import ray

    is_own = address == "auto" and not os.environ.get("RAY_ADDRESS")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers} if is_own else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DataError(
            f"no Ray cluster at {address}: {first_line(error)}", hint="--ray auto starts one here"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
