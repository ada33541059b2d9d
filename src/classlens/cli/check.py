"""Look for silent mismatches in a training setup, and say how to cure them.

For example:

  classlens check configs/resnet/resnet50_8xb32_in1k.py epoch_100.pth
  classlens check folder:photos --select D --html findings.html
  classlens check py:train.py:setup --ignore S --output-format github

TARGET is a config or another address, CHECKPOINT the path or URL of its weights. Rules that need what the target does
not offer are skipped. The exit status is 0 if nothing is found, 1 if something is, and 2 if no rule could be run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from classlens.cli.parsing import add_overrides, positive_int, print_note, read_request
from classlens.errors import ConfigError
from classlens.printed import columns_of, json_text, print_text
from classlens.runs.own_process import outlive_crashes, progress_line

FORMATS = ("text", "json", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is checked, by which rules, and how the findings are shown."""
    add = parser.add_argument
    add("target", nargs="?", metavar="TARGET", help="config, or another address")
    add("checkpoint", nargs="?", metavar="CHECKPOINT", help="weights: a path, a URL (default: the target's own)")
    add("--select", action="append", default=[], metavar="CODE,...", help="only these rules: D, C001, or S,M002")
    add("--ignore", action="append", default=[], metavar="CODE,...", help="leave out these rules")
    add("--samples", type=positive_int, metavar="N", help="labelled pictures that the network is shown (default: 300)")
    add("--log", type=Path, metavar="RUN", help="what a training run wrote, or its folder")
    add("--output-format", choices=FORMATS, default="text", help="text (default), json, or annotations of GitHub")
    add("--html", dest="page", type=Path, metavar="FILE", help="page with the findings and the pictures that show them")
    add("--list", action="store_true", help="list the rules")
    page = "the page of a rule, or of all whose codes begin so: what it does, why, an example, the cure"
    add("--explain", metavar="CODE", help=page)
    add("-d", "--dataset-size", type=positive_int, metavar="N", help="training samples, if the data are not here")
    add("-n", "--ngpus", dest="gpus", type=positive_int, metavar="N", help="GPUs in training (default: 1)")
    add("--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, and print what was found, past what kills the process; or print the rules."""
    style = "json" if arguments.json else arguments.output_format
    codes = {"select": split_codes(arguments.select), "ignore": split_codes(arguments.ignore)}
    if arguments.list or arguments.explain:
        print_rules(arguments.explain, codes["select"], codes["ignore"], style)
        return 0
    if arguments.target is None:
        raise ConfigError("nothing to check", hint="give a config or another address; --list names the rules")

    def check() -> int:
        from classlens.figures.findings import COLUMNS, annotations_of, text_of
        from classlens.runs.check_run import CheckRequest, run_checks

        request = read_request(arguments, CheckRequest, codes)
        findings = run_checks(request, on_note=print_note, progress=progress_line())
        if style == "json":
            print_text(json_text(findings.as_data(), indent=2))
        elif style == "text":
            print_text(text_of(findings, columns_of(sys.stdout, COLUMNS)))
        elif findings.findings:
            print_text(annotations_of(findings))
        return 1 if findings.findings else 0

    return outlive_crashes(check, is_last=arguments.is_last)


def split_codes(words: list[str]) -> tuple[str, ...]:
    return tuple(code for word in words for code in word.split(",") if code.strip())


def print_rules(code: str | None, select: tuple[str, ...], ignore: tuple[str, ...], style: str) -> None:
    """The pages of the rules whose codes begin so, or a line for each of those that are selected."""
    from classlens.check.rule import choose_rules

    if code:
        print_text("\n\n".join(rule.explain() for rule in choose_rules((code,))))
        return
    rules = choose_rules(select, ignore)
    if style == "json":
        keys = ("code", "name", "severity", "needs")
        print_text(json_text([{key: getattr(rule, key) for key in keys} for rule in rules], indent=2))
        return
    for rule in rules:
        print_text(f"{rule.code}  {rule.severity:<8} {rule.name:<44} needs {', '.join(rule.needs) or 'nothing'}")
