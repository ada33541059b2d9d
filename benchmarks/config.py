"""How fast configs open: this reader beside mmengine's, on every config of two upstream releases, in one run.

Run with the peers' environment: `python benchmarks/config.py [--every N]`. Per file the best of three CPU times is
taken, with bases in the state in which each reader leaves them (mmengine keeps nothing, this reader keeps bases until
they change); "first" is the first opening of each file in the process. Reported are medians over files, and their
ratios.
"""

import argparse
import importlib.util
import json
import logging
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median

from mmengine.config import Config

from classlens.config import read_config
from classlens.errors import ConfigError

RELEASES = ("mmpretrain", "mmcls")
UPSTREAM_FAILS = (ImportError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def leaves(package):
    """The configs of a release that a user would open: all but the parts in `_base_`."""
    root = Path(importlib.util.find_spec(package).origin).parent / ".mim" / "configs"
    return [path for path in sorted(root.rglob("*.py")) if "_base_" not in path.parts]


def cpu_time(call):
    """CPU milliseconds of one call."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def measure(files):
    """For each file that both readers open: the first and the best CPU time of each."""
    rows = []
    for path in files:
        try:
            theirs = [cpu_time(partial(Config.fromfile, str(path), import_custom_modules=False)) for _ in range(3)]
            ours = [cpu_time(partial(read_config, path)) for _ in range(3)]
        except (*UPSTREAM_FAILS, ConfigError):
            continue
        rows.append({"ours": min(ours), "theirs": min(theirs), "ours_first": ours[0], "theirs_first": theirs[0]})
    return rows


def summary(rows):
    """Medians over files, and the medians of the ratios."""
    return {
        "files": len(rows),
        "ours_ms": round(median(row["ours"] for row in rows), 3),
        "mmengine_ms": round(median(row["theirs"] for row in rows), 3),
        "times_faster": round(median(row["theirs"] / row["ours"] for row in rows), 1),
        "ours_first_ms": round(median(row["ours_first"] for row in rows), 3),
        "mmengine_first_ms": round(median(row["theirs_first"] for row in rows), 3),
        "times_faster_first": round(median(row["theirs_first"] / row["ours_first"] for row in rows), 1),
    }


def fresh_process(statement):
    """Seconds that a new Python needs to import a reader and open one config; the best of three."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return round(min(seconds), 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th file only")
    every = parser.parse_args().every
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    results = {package: summary(measure(leaves(package)[::every])) for package in RELEASES}
    path = str(leaves("mmpretrain")[0])
    results["fresh process, seconds"] = {
        "bare python": fresh_process("pass"),
        "ours": fresh_process(f"from classlens.config import read_config; read_config({path!r})"),
        "mmengine": fresh_process(f"from mmengine.config import Config; Config.fromfile({path!r})"),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
