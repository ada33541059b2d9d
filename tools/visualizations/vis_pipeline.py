"""The documented `vis_pipeline.py` of mmcls 0.25: the arguments of `classlens browse`, with its own defaults.

It shows both pictures of a sample (`--mode concat`), the first samples first, and no window without `--show`.
"""

import sys

from classlens.cli.main import run_command

if __name__ == "__main__":
    defaults = ["--mode", "concat", "--in-order", *([] if "--show" in sys.argv else ["--not-show"])]
    sys.exit(run_command("browse", [*defaults, *sys.argv[1:]], prog="vis_pipeline.py"))
