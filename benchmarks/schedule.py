"""The whole `lr` command beside mmpretrain's vis_scheduler, from the start of the process to the file on the disk.

Run with the peers' environment: `python benchmarks/schedule.py [--repeat N] [--long]`. Both commands draw the same
config in the same run, in processes of their own, in turn; reported are medians of wall and CPU seconds, peak memory,
and the ratios. Each command runs once before it is timed, so that both find their bytecode compiled, as an installed
package has it. `--long` adds the run of five million steps, on which the peer takes more than a minute each time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from classlens import Clock
from classlens.schedule.shapes import Link, chain, cosine_annealing, linear

UPSTREAM = Path(find_spec("mmpretrain").submodule_search_locations[0]) / ".mim"
TOOL = UPSTREAM / "tools" / "visualization" / "vis_scheduler.py"
IMAGENET = 1_281_167
CASES = {
    "resnet50, 500 k steps": ("resnet/resnet50_8xb32_in1k.py", 8),
    "swin-small, 751 k steps": ("swin_transformer/swin-small_16xb64_in1k.py", 8),
}
LONG = {"barlowtwins, 5 M steps": ("barlowtwins/barlowtwins_resnet50_8xb256-coslr-1000e_in1k.py", 1)}


def measured(command, folder):
    """Wall and CPU seconds, and peak memory in MiB, of one process that keeps its bytecode in `folder`."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed with status {os.waitstatus_to_exitcode(status)}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}


def commands(config, gpus, folder):
    """The peer's command and ours, by name."""
    asked = ["--dataset-size", str(IMAGENET), "--ngpus", str(gpus)]
    path = UPSTREAM / "configs" / config
    ours = [sys.executable, "-m", "classlens", "lr", path, *asked, "--save-path"]
    return {
        "vis_scheduler png": [
            sys.executable,
            "-W",
            "ignore",
            TOOL,
            path,
            *asked,
            "--not-show",
            "-s",
            folder / "peer.png",
        ],
        "classlens png": [*ours, folder / "ours.png"],
        "classlens svg": [*ours, folder / "ours.svg"],
    }


def compared(cases, repeat):
    """For each case and command the medians, and how many times longer the peer takes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, (config, gpus) in cases.items():
            asked = commands(config, gpus, Path(folder))
            rounds = [{name: measured(command, folder) for name, command in asked.items()} for _ in range(repeat + 1)]
            runs = {name: [each[name] for each in rounds[1:]] for name in asked}
            rows = {
                name: {key: round(median(run[key] for run in each), 3) for key in each[0]}
                for name, each in runs.items()
            }
            peer = rows["vis_scheduler png"]
            for row in rows.values():
                row["times faster (wall)"] = round(peer["wall"] / row["wall"], 1)
                row["times faster (cpu)"] = round(peer["cpu"] / row["cpu"], 1)
            found[case] = rows
    return found


def billion():
    """CPU seconds to lay out a run of 10^9 steps with its drawn points, in this process."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    clock = Clock.of_steps(10**9)
    links = [
        Link(linear(0.001, 1, 10**6 - 1), 0, 10**6, "step"),
        Link(cosine_annealing(10**9 - 10**6), 10**6, 10**9, "step"),
    ]
    course = chain(links, clock)
    course.values(course.breaks, 0.1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - start, 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    arguments = parser.parse_args()
    found = compared(CASES, arguments.repeat)
    if arguments.long:
        found |= compared(LONG, 1)
    print(json.dumps({**found, "10^9 steps, cpu seconds": billion()}, indent=2))


if __name__ == "__main__":
    main()
