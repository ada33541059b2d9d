"""What the numbers are that a network puts out: logits or probabilities; of one class among several, or labels by themselves.

Maps explain logits: behind a softmax or sigmoid gradients vanish, and a class is explained together with its rivals. So
a network's first pass is watched, and where a softmax or sigmoid made what came out, what went into it is taken instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind
from classlens.errors import ModelError

MAKERS: Mapping[Callable[..., Tensor], Kind] = {
    **dict.fromkeys((torch.softmax, F.softmax, Tensor.softmax, torch.special.softmax), "softmax"),
    **dict.fromkeys((torch.log_softmax, F.log_softmax, Tensor.log_softmax, torch.special.log_softmax), "softmax"),
    **dict.fromkeys((torch.sigmoid, F.sigmoid, Tensor.sigmoid, torch.special.expit, F.logsigmoid), "sigmoid"),
}
"""Functions that make probabilities, or their logarithms, of logits."""

SUM = 1e-5
"""Within this, or two steps of their own precision, probabilities add up to one."""

SATURATED = 1e-5
"""What a probability in float32 lacks of one is rounding in good part below this."""

SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Output:
    """What a network puts out.

    `kind` makes probabilities of its logits. `ends` says where those are: they are what it returns; they went into the
    function that ran last; or nothing but probabilities is there, which are turned back. A `single` one has two sides.
    `said` is whether the head, a config or the network itself tells all this; if not, it is the most frequent.
    """

    kind: Kind
    ends: Literal["logits", "function", "probabilities"] = "logits"
    single: bool = False
    said: bool = True


@dataclass(frozen=True, eq=False)
class Made:
    """One run of a function that makes probabilities: what went in, what came out."""

    kind: Kind
    logits: Tensor
    result: Tensor


OUTPUTS: WeakKeyDictionary[Classifier, Output] = WeakKeyDictionary()
"""What was seen in the first pass of a classifier."""


class Watch(TorchFunctionMode):
    """A mode of torch, which is why this is a class: it notes functions that could have made one number per class."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Made] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """What torch calls in place of each of its functions."""
        entering = args[0].clone() if func is Tensor.sigmoid_ else None
        result = func(*args, **(kwargs or {}))
        kind: Kind | None = "sigmoid" if entering is not None else MAKERS.get(func)
        if kind and sum(side > 1 for side in result.shape[1:]) <= 1:
            entering = (kwargs or {}).get("input", args[0] if args else None) if entering is None else entering
            self.made.append(Made(kind, entering, result.clone() if func is Tensor.sigmoid_ else result))
        return result


@contextmanager
def watched(classifier: Classifier) -> Iterator[list[Made]]:
    """Note what could have made the scores of a pass, unless it is known that the network returns its logits."""
    output = OUTPUTS.get(classifier)
    if output is not None and output.ends != "function":
        yield []
        return
    with Watch() as watch:
        yield watch.made


def output_of(classifier: Classifier) -> Output:
    return OUTPUTS.get(classifier) or Output(classifier.output or "softmax", said=classifier.output is not None)


def read_output(classifier: Classifier, scores: Float[Tensor, "batch columns"], made: Sequence[Made]) -> Output:
    """What the scores of a first pass are: by the function that made them, the record, or their values."""
    single = scores.shape[1] == 1
    usual: Kind = "sigmoid" if single else classifier.output or "softmax"
    maker = maker_of(scores, made)
    if maker is not None:
        return Output("sigmoid" if single else maker.kind, "function", single)
    values = scores.detach().float()
    if ((values >= 0) & (values <= 1)).all():
        close = max(SUM, 2 * torch.finfo(scores.dtype).eps)
        if not single and ((values.sum(dim=1) - 1).abs() < close).all():
            return Output("softmax", "probabilities")
        sigmoids = [one.result.shape for one in made if one.kind == "sigmoid"]
        if any(shape[:1] == scores.shape[:1] and shape[1:].numel() == scores.shape[1] for shape in sigmoids):
            return Output("sigmoid", "probabilities", single)  # a mean of several
    return Output(usual, "logits", single, single or classifier.output is not None)


def maker_of(scores: Tensor, made: Sequence[Made], *, known: bool = False) -> Made | None:
    """The last run whose result is the scores, whatever views, copies or casts came after.

    Nothing but noughts and ones could also be the mean of several such results: unless it is `known` that one of them is
    the scores, only the same memory is proof then.
    """
    flat = scores.detach().flatten()
    plain = not known and bool(((flat == 0) | (flat == 1)).all())
    for one in reversed(made):
        same = one.result.data_ptr() == scores.data_ptr()
        if one.result.numel() != flat.numel() or (plain and not same):
            continue
        if same or torch.equal(one.result.detach().flatten().to(flat.dtype), flat):
            return one
    return None


def logits_behind(
    classifier: Classifier, scores: Float[Tensor, "batch columns"], made: Sequence[Made]
) -> Float[Tensor, "batch classes"]:
    """The logits of a pass in float32 at least; of a network with a single one both sides, one column each."""
    output = output_of(classifier)
    logits = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    if output.ends != "logits":
        maker = maker_of(scores, made, known=True) if output.ends == "function" else None
        if maker is not None:
            logits = maker.logits.reshape(scores.shape).to(logits.dtype)
        elif output.kind == "sigmoid":
            logits = logits.logit(torch.finfo(logits.dtype).eps)
        else:
            logits = logits.clamp_min(torch.finfo(logits.dtype).tiny).log()
    if output.single:
        logits = torch.cat([logits, -logits] if is_named_alone(classifier) else [-logits, logits], dim=1)
    return logits


def is_named_alone(classifier: Classifier) -> bool:
    return classifier.classes is not None and len(classifier.classes) == 1


def names_of(classifier: Classifier) -> tuple[str, ...] | None:
    """The names of the columns that `logits_behind` gives."""
    if output_of(classifier).single and classifier.classes is not None and is_named_alone(classifier):
        return (*classifier.classes, f"not {classifier.classes[0]}")
    return classifier.classes


def check_unsaturated(classifier: Classifier, shares: Sequence[float]) -> None:
    """Refuse probabilities that lie so near to one that nothing is left of their gradients.

    Raises:
        ModelError: they do, and there are no logits to look at instead.
    """
    output = output_of(classifier)
    if output.ends == "probabilities" and any(share > 1 - SATURATED or share <= SMALLEST for share in shares):
        raise ModelError(
            f"the {output.kind} at the end of {classifier.name} is saturated: it gives the class "
            f"{max(shares):.4%}, and its gradient is rounding only",
            hint="give the network without what turns its logits into probabilities",
        )


def describe_output(classifier: Classifier) -> str:
    """One line on how the scores of a classifier are read, after its first pass; empty for plain logits and softmax."""
    seen = (output for one, output in OUTPUTS.items() if one.module is classifier.module)  # also in another precision
    output = OUTPUTS.get(classifier) or next(seen, None)
    if output is None:
        return ""
    names = classifier.classes or ("0", "1")
    labels = "" if output.kind == "softmax" or output.single else ", each class a label by itself"
    if output.single:
        words = f"has a single logit: above zero it speaks for {names[int(not is_named_alone(classifier))]!r}"
    elif output.ends == "function":
        words = f"ends in a {output.kind}{labels}: the logits in front of it are explained"
    elif output.ends == "probabilities":
        words = f"gives probabilities ({output.kind}{labels}), and no logits: those are computed back from them"
    elif labels:
        words = f"gives logits of a sigmoid{labels}"
    elif not output.said:
        words = "does not say what its scores are: taken for logits of one class among several (softmax); --output-type sigmoid takes "
        words += "each for a label by itself"
    else:
        return ""
    return f"{classifier.name} {words}"
