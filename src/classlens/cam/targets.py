"""Which class is explained, as the user names it: a number, a name, `top5`, `predicted`, or a contrast `a - b`.

A target is read against the logits of a batch, because "predicted" and "top5" differ from picture to picture.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from classlens.arrays import Float, Int
from classlens.cam.classifier import Kind
from classlens.errors import ModelError, NotFound

Target: TypeAlias = int | str | tuple[int, ...]
"""What is explained in every picture of a call; a tuple names one class for each picture."""

PREDICTED = "predicted"
TOP = re.compile(r"top[ -]?([1-9]\d*)", re.IGNORECASE)
SIMILAR = 3  # how many classes Finer-CAM contrasts the target with
CONTRAST = re.compile(r"\s+-\s+")


@dataclass(frozen=True, eq=False)
class Objective:
    """The score that is explained: the logit of `target`, one per picture, less that of `against` if there is one."""

    target: Int[Tensor, " batch"]
    against: Int[Tensor, " batch"] | None = None

    def score(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
        wanted = logits.gather(1, self.target[:, None])[:, 0]
        return wanted if self.against is None else wanted - logits.gather(1, self.against[:, None])[:, 0]

    def select(self, rows: Int[Tensor, " n"]) -> "Objective":
        return Objective(self.target[rows], None if self.against is None else self.against[rows])

    def finer(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
        """The logit of the class less those of the three classes with the nearest logits, weighted by probability.

        Source: Zhang et al., Finer-CAM, CVPR 2025, eqs. 6-7, with the comparison strength 1.
        """
        wanted = logits.gather(1, self.target[:, None])
        distance = (logits.detach() - wanted.detach()).abs().scatter(1, self.target[:, None], float("-inf"))
        near = distance.argsort(dim=1, stable=True)[:, 1 : 1 + SIMILAR]
        weights = logits.softmax(dim=1).gather(1, near)
        return (weights * (wanted - logits.gather(1, near))).sum(dim=1) / (weights.sum(dim=1) + 1e-9)


def probabilities(logits: Float[Tensor, "n classes"], kind: Kind = "softmax") -> Float[Tensor, "n classes"]:
    return logits.sigmoid() if kind == "sigmoid" or logits.shape[1] == 1 else logits.softmax(dim=1)


def read_targets(
    targets: Sequence[Target], logits: Float[Tensor, "batch classes"], classes: tuple[str, ...]
) -> list[Objective]:
    """Read every target against the logits of a batch; `top5` becomes five objectives.

    Raises:
        NotFound: a class is unknown, or a name belongs to several.
        ModelError: there are more names than scores, or fewer.
    """
    batch, count = logits.shape
    if len(classes) not in (0, count):
        hint = "name all classes in the order of the scores: --classes FILE"
        raise ModelError(f"{len(classes)} class names for {count} scores", hint=hint)
    answers: list[Objective] = []
    for target in targets:
        words = target.strip() if isinstance(target, str) else ""
        if top := TOP.fullmatch(words):
            answers += [Objective(best) for best in logits.topk(min(int(top[1]), count), dim=1).indices.unbind(1)]
            continue
        sides: list[Target] = [*CONTRAST.split(words)]
        if len(sides) != 2 or find_by_name(words, classes):  # a class may have a dash in its name
            sides = [target]
        columns = []
        for side in sides:
            if isinstance(side, str) and side.strip().casefold() == PREDICTED:
                columns.append(logits.argmax(dim=1))
            else:
                each = side if isinstance(side, tuple) else (side,)
                indices = [class_index(one, count, classes) for one in each]
                columns.append(torch.tensor(indices, device=logits.device).expand(batch))
        answers.append(Objective(*columns))
    return answers


def class_index(target: int | str, count: int, classes: tuple[str, ...]) -> int:
    """The index of one class, given by number or by name.

    Raises:
        NotFound: there is no such class, or the name belongs to several.
    """
    if isinstance(target, int) or re.fullmatch(r"-?\d+", target.strip()):
        if 0 <= int(target) < count:
            return int(target)
        raise NotFound("class", str(int(target)), [f"0 to {count - 1}"])
    matches = find_by_name(target, classes)
    if len(matches) > 1:
        raise NotFound("single class", target, [str(match) for match in matches])
    if not matches:
        names = {part.strip() for name in classes for part in name.split(",")}
        raise NotFound("class", target, names or [f"0 to {count - 1}, by number only"])
    return matches[0]


def find_by_name(target: str, classes: tuple[str, ...]) -> list[int]:
    """Classes of that name, any case; failing that, classes with that name among several, as in `tench, Tinca tinca`."""
    folded = target.strip().casefold()
    whole = [index for index, name in enumerate(classes) if name.casefold() == folded]
    return whole or [
        index for index, name in enumerate(classes) if folded in (part.strip().casefold() for part in name.split(","))
    ]
