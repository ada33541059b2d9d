"""The documented `vis_cam.py`: the same arguments as `classlens cam`."""

import sys

from classlens.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("cam", sys.argv[1:], prog="vis_cam.py"))
