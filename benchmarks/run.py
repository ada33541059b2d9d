"""All benchmarks, one after the other, each in a process of its own.

    .venv-peers/bin/python benchmarks/run.py            # about half an hour on an idle machine

Every figure is a ratio to a peer, or to a plain forward pass, measured in the same run. Run it on an idle machine.
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("config", "schedule", "browse", "zoo", "cam", "masking", "audit")


def main() -> int:
    """Run them all; the exit status counts those that failed."""
    failed = 0
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        words = [sys.executable, str(Path(__file__).with_name(f"{name}.py"))]
        failed += subprocess.run(words, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
