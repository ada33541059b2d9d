"""The documented `vis_scheduler.py`: the same arguments as `classlens lr`."""

import sys

from classlens.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("lr", sys.argv[1:], prog="vis_scheduler.py"))
