"""A linter for image classifiers: rules that look for silent mismatches in a training setup.

    source = classlens.open_source("configs/resnet/resnet50_8xb32_in1k.py")
    print(classlens.draw(classlens.check(source, "epoch_100.pth", select=("C", "M"))))

A `Source` goes in, `check` runs rules, `Findings` come out; what several rules look at is in one `Inspection`.

How to add a rule:

1. Write a function in the file of its family (`class_rules`, `data_rules`, ...) that takes the `Inspection` and yields a
   `Finding` for whatever is wrong, and nothing else; `message`, `where`, `evidence` and `pictures` are its to say.
2. Give it a row in the `RULES` at the end of that file: code, name, severity, what it needs, the function, and its page
   (else the function's docstring): what it looks for, then "Why it matters:", "Example:" and "Cure:". Codes stay.
3. Plant its fault in `tests/check/`, and its healthy twin, in which it must find nothing.
4. Run `python scripts/write_rule_pages.py`; `scripts/measure_check.py` counts faults and alarms for docs/check.md.

What rules share is made once: `@made_once`, or `inspection.once("name", make)`. A family is a line in
`rule.FAMILIES`; other packages add theirs by an entry point in the group `classlens.rules` that names a tuple of rules.
Modules of this room are imported by `from classlens.check import ...`: `classlens.check` itself is the verb.
"""

from classlens.check.examine import check

__all__ = ["check"]
