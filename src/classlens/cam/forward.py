"""One forward pass: hooks that never outlive it, and what the numbers are that the network puts out.

Those are logits or probabilities; of one class among several, or labels by themselves. Maps explain logits: behind a
softmax or sigmoid gradients vanish, and a class is explained together with its rivals. So a network's first pass is
watched, and where a softmax or sigmoid made what came out, what went into it is taken instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Kind, Layer, layers_of
from classlens.cam.model_state import placement_of
from classlens.errors import ModelError, first_line

Hook = Callable[[Layer, object, object], object]
"""Called with a layer that has run, its inputs and its output; what it returns, if not None, replaces the output."""


@contextmanager
def hook_layers(layers: Iterable[Layer], hook: Hook) -> Iterator[None]:
    """One forward hook on every layer, for the time of one `with`."""
    handles = [
        layer.module.register_forward_hook(lambda module, inputs, output, layer=layer: hook(layer, inputs, output))
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: object) -> Tensor | None:
    """A tensor, or the first thing of a tuple or list if that is one."""
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def replace_tensor(output: object, tensor: Tensor) -> object:
    """The layer's output with its main tensor replaced."""
    if isinstance(output, Tensor):
        return tensor
    if not isinstance(output, (tuple, list)):
        return output
    rest = output[1:]
    return type(output)(tensor, *rest) if hasattr(output, "_fields") else type(output)((tensor, *rest))


def noise(
    classifier: Classifier, size: tuple[int, int] | None = None, count: int = 1
) -> Float[Tensor, "count 3 height width"]:
    """Encoded pictures of noise, always the same, on the model's device; by default of the size it is made for."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn((count, 3, *(size or classifier.size)), generator=generator)
    return pictures.to(placement_of(classifier.module)[0])


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


@dataclass(frozen=True)
class Output:
    """What a network puts out.

    `kind` makes probabilities of its logits. `ends` says where those are: they are what it returns; they went into the
    function that ran last; or nothing but probabilities is there, which are turned back. A `single` one has two sides.
    `is_stated` says whether the head, a config or the network itself states all this; if not, it is the most frequent.
    """

    kind: Kind
    ends: Literal["logits", "function", "probabilities"] = "logits"
    single: bool = False
    is_stated: bool = True


@dataclass(frozen=True, eq=False)
class MakerCall:
    """One run of a function that makes probabilities: what went in, what came out."""

    kind: Kind
    logits: Tensor
    result: Tensor


OUTPUTS: WeakKeyDictionary[Classifier, Output] = WeakKeyDictionary()
"""What the first pass of a classifier showed."""


class Watch(TorchFunctionMode):
    """A mode of torch, which is why this is a class: it notes functions that could have made one number per class."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[MakerCall] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        entering = args[0].clone() if func is Tensor.sigmoid_ else None
        result = func(*args, **(kwargs or {}))
        kind: Kind | None = "sigmoid" if entering is not None else MAKERS.get(func)
        if kind and sum(side > 1 for side in result.shape[1:]) <= 1:
            entering = (kwargs or {}).get("input", args[0] if args else None) if entering is None else entering
            self.calls.append(MakerCall(kind, entering, result.clone() if func is Tensor.sigmoid_ else result))
        return result


def logits_of(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], *, rows: int | None = None
) -> Float[Tensor, "pictures classes"]:
    """Forward in the precision of the model's weights; logits come back in float32 at least, one row for each picture.

    `rows` is their number where a hook makes more of the batch on the way. The one error that a picture of another size
    brings out of many models is made readable.

    Raises:
        ModelError: the model does not take pictures of this size, its output is not one score per class, or not finite.
    """
    size, rows = (batch.shape[2], batch.shape[3]), len(batch) if rows is None else rows
    known = OUTPUTS.get(classifier)
    watch = Watch() if known is None or known.ends == "function" else None
    try:
        with watch or nullcontext():
            scores = classifier.logits(batch.to(placement_of(classifier.module)[1]))
    except (RuntimeError, AssertionError, ValueError) as error:
        if size == classifier.size:
            raise
        height, width = classifier.size
        raise ModelError(
            f"{classifier.name} cannot be run on a picture of {size[0]} x {size[1]}: {first_line(error)}",
            hint=f"it was made for {height} x {width}: leave out --whole",
        ) from error
    if not isinstance(scores, Tensor):
        raise ModelError(
            f"{classifier.name} gave a {type(scores).__name__}, not a tensor with one score per class",
            hint="let the record's `logits` pick the scores, e.g. lambda batch: module(batch).logits",
        )
    if scores.ndim != 2 or scores.shape[0] != rows:
        shape = " x ".join(map(str, scores.shape)) or "a single number"
        raise ModelError(f"{classifier.name} gave {shape} for a batch of {rows}, not one score per class")
    if not scores.isfinite().all():
        check_finite(classifier, batch, scores)
    calls = watch.calls if watch else []
    if known is None:
        OUTPUTS[classifier] = read_output(classifier, scores, calls)
    return logits_behind(classifier, scores, calls)


def check_finite(
    classifier: Classifier, batch: Float[Tensor, "batch 3 rows columns"], scores: Float[Tensor, "pictures classes"]
) -> None:
    """Refuse scores that are not finite, naming the first layer that puts such out; classes masked by -inf are fine."""
    if not batch.isfinite().all():
        raise ModelError(
            f"the picture as fed to {classifier.name} is not finite", hint="look at the mean and std of its encoding"
        )
    if scores.isfinite().any(dim=1).all() and not (scores.isnan() | scores.isposinf()).any():
        return
    dtype = placement_of(classifier.module)[1]
    not_finite: list[Layer] = []

    def note(layer: Layer, inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None and not tensor.isfinite().all():
            not_finite.append(layer)

    with torch.no_grad(), hook_layers(layers_of(classifier), note):
        classifier.logits(batch.to(dtype))
    where, hint = "", f"numbers grow too large for {str(dtype).removeprefix('torch.')}"
    if not_finite:
        name, module = not_finite[0].name, not_finite[0].module
        where = f": {name!r} ({type(module).__name__}) is the first layer that is not"
        weights = [own for own in (*module.parameters(), *module.buffers()) if own.is_floating_point()]
        if not all(own.isfinite().all() for own in weights):
            hint = "its weights hold NaN or infinity: was the training diverging?"
    raise ModelError(f"the scores of {classifier.name} are not finite{where}", hint=hint)


def output_of(classifier: Classifier) -> Output:
    return OUTPUTS.get(classifier) or Output(classifier.output or "softmax", is_stated=classifier.output is not None)


def read_output(classifier: Classifier, scores: Float[Tensor, "batch columns"], calls: Sequence[MakerCall]) -> Output:
    """What the scores of a first pass are: by the function that made them, the record, or their values."""
    single = scores.shape[1] == 1
    usual: Kind = "sigmoid" if single else classifier.output or "softmax"
    maker = find_maker(scores, calls) if calls else None
    if maker is not None:
        return Output("sigmoid" if single else maker.kind, "function", single)
    values = scores.detach().float()
    if ((values >= 0) & (values <= 1)).all():
        close = max(SUM, 2 * torch.finfo(scores.dtype).eps)
        if not single and ((values.sum(dim=1) - 1).abs() < close).all():
            return Output("softmax", "probabilities")
        sigmoids = [call.result.shape for call in calls if call.kind == "sigmoid"]
        if any(shape[:1] == scores.shape[:1] and shape[1:].numel() == scores.shape[1] for shape in sigmoids):
            return Output("sigmoid", "probabilities", single)  # a mean of several
    return Output(usual, "logits", single, single or classifier.output is not None)


def find_maker(scores: Tensor, calls: Sequence[MakerCall], *, known: bool = False) -> MakerCall | None:
    """The last run whose result is the scores, whatever views, copies or casts came after.

    Nothing but noughts and ones could also be the mean of several such results: unless it is `known` that one of them is
    the scores, only the same memory is proof then.
    """
    flat = scores.detach().flatten()
    plain = not known and bool(((flat == 0) | (flat == 1)).all())
    for call in reversed(calls):
        same = call.result.data_ptr() == scores.data_ptr()
        if call.result.numel() != flat.numel() or (plain and not same):
            continue
        if same or torch.equal(call.result.detach().flatten().to(flat.dtype), flat):
            return call
    return None


def logits_behind(
    classifier: Classifier, scores: Float[Tensor, "batch columns"], calls: Sequence[MakerCall]
) -> Float[Tensor, "batch classes"]:
    """The logits of a pass in float32 at least; of a network with a single one both sides, one column each."""
    output = output_of(classifier)
    logits = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    if output.ends != "logits":
        maker = find_maker(scores, calls, known=True) if output.ends == "function" else None
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


def check_unsaturated(classifier: Classifier, probabilities: Sequence[float]) -> None:
    """Refuse probabilities that lie so near to one that nothing is left of their gradients."""
    smallest = torch.finfo(torch.float32).tiny
    if any(one > 1 - SATURATED or one <= smallest for one in probabilities):
        raise ModelError(
            f"the {output_of(classifier).kind} at the end of {classifier.name} is saturated: it gives the class "
            f"{max(probabilities):.4%}, and its gradient is rounding only",
            hint="give the network without what turns its logits into probabilities",
        )


def describe_output(classifier: Classifier) -> str:
    """One line on how the scores of a classifier are read, after its first pass; empty for plain logits and softmax."""
    same = (output for one, output in OUTPUTS.items() if one.module is classifier.module)  # also in another precision
    output = OUTPUTS.get(classifier) or next(same, None)
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
    elif not output.is_stated:
        words = "does not say what its scores are: taken for logits of one class among several (softmax); --output-type sigmoid takes "
        words += "each for a label by itself"
    else:
        return ""
    return f"{classifier.name} {words}"
