"""The documented `browse_dataset.py`: the same arguments as `classlens browse`."""

import sys

from classlens.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("browse", sys.argv[1:], prog="browse_dataset.py"))
