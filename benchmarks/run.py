"""All benchmarks, one after the other, each in a process of its own.

    .venv-peers/bin/python benchmarks/run.py            # about an hour on an idle machine
    .venv-peers/bin/python benchmarks/run.py --write    # and put what they print into docs/benchmarks.md
    .venv-peers/bin/python benchmarks/run.py config zoo # these two; with --write the others stay as they are

Every figure is a ratio to a peer, or to a plain forward pass, measured in the same run. Run it on an idle machine.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BENCHMARKS = {
    "config": ("",),
    "schedule": ("--long",),
    "browse": ("", "--end-to-end 600 --repetitions 1"),
    "zoo": ("",),
    "cam": ("",),
    "masking": ("",),
    "audit": ("--number 192", "--memory --counts 10000 100000"),
    "studio": ("",),
}
"""Each script, and the arguments of its runs."""

PACKAGES = (
    "numpy", "opencv-python-headless", "pillow", "torch", "torchvision", "timm", "mmengine", "mmpretrain", "mmcls",
    "grad-cam", "torchcam", "captum", "matplotlib", "ray", "tensorboard",
)  # fmt: skip
"""Whose versions are part of a result."""

DOCUMENT = Path(__file__).parents[1] / "docs/benchmarks.md"
HEADING = "## As printed"


def main() -> int:
    """Run them; the exit status counts those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--write", action="store_true", help="put the output into docs/benchmarks.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    failed = 0
    for name in arguments.names or BENCHMARKS:
        for words in BENCHMARKS[name]:
            title, output, status = run(name, words)
            failed += status != 0
            if arguments.write:
                write(title, output)
    return failed


def write(title: str, output: str) -> None:
    """Put what a benchmark printed into the document; what others printed there stays."""
    kept, _, printed = DOCUMENT.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
    pairs = (section.split("\n", 1) for section in printed.split("\n### ")[1:])
    sections = {title: text.strip() for title, text in pairs}
    sections[title] = f"```text\n{output}\n```"
    order = [f"{name} {words}".rstrip() for name, runs in BENCHMARKS.items() for words in runs]
    parts = [f"### {title}\n\n{sections[title]}\n" for title in order if title in sections]
    DOCUMENT.write_text(
        "\n".join([f"{kept.rstrip()}\n", f"{HEADING}\n", f"{describe_machine()}\n", *parts]), encoding="utf-8"
    )


def run(name: str, words: str) -> tuple[str, str, int]:
    """The name of a benchmark with its arguments, what it printed, and its exit status; its output is shown as it comes."""
    title = f"{name} {words}".rstrip()
    print(f"== {title}", flush=True)
    command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *words.split()]
    lines = []
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    minutes = (time.monotonic() - begun) / 60
    lines.append(
        f"({time.strftime('%Y-%m-%d')}, {minutes:.0f} min)"
        if process.returncode == 0
        else f"(failed: status {process.returncode})"
    )
    return title, "\n".join(lines), process.returncode


def describe_machine() -> str:
    """Where and with what this was measured."""
    versions = [f"{name} {found}" for name in PACKAGES if (found := version_of(name))]
    threads = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {threads}; {', '.join(versions)}."


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
