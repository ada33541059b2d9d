"""One forward pass: hooks that never outlive it, what the numbers are that the network puts out, and which is explained.

Those are logits or probabilities; of one class among several, or labels by themselves. Maps explain logits: behind a
softmax or sigmoid gradients vanish, and a class is explained together with its rivals. So a network's first pass is
watched, and where a softmax or sigmoid made what came out, what went into it is taken instead.

Which class is explained the user says (see targets.py). It is read against the logits of a batch, because "predicted"
and "top5" differ from picture to picture.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from classlens.arrays import Float, Int
from classlens.cam.classifier import Batch, Classifier, Kind, Layer, Logits, layers_of, placement_of
from classlens.cam.targets import CONTRAST, PREDICTED, TOP, Target, class_index, sides_of
from classlens.errors import ModelError, first_line

Hook = Callable[[Layer, Tensor | None, Tensor], Tensor | None]


@contextmanager
def hook_layers(layers: Iterable[Layer], hook: Hook) -> Iterator[None]:
    """One forward hook on every layer, for the time of one `with`; layers that put out no tensor are passed over.

    It is called with the layer, the tensor that went in, if any, and the one that came out, of several the first. What it
    returns, if not None, takes the place of what came out.
    """

    def call(layer: Layer, module: nn.Module, inputs: object, output: object) -> object:
        first = [value[0] if isinstance(value, (tuple, list)) and value else value for value in (inputs, output)]
        entering, leaving = (value if isinstance(value, Tensor) else None for value in first)
        other = None if leaving is None else hook(layer, entering, leaving)
        if other is None or not isinstance(output, (tuple, list)):
            return other
        rest = (other, *output[1:])
        return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)

    with ExitStack() as handles:
        for layer in layers:
            handles.enter_context(layer.module.register_forward_hook(partial(call, layer)))
        yield


def noise(classifier: Classifier, size: tuple[int, int] | None = None, count: int = 1) -> Batch:
    """Encoded pictures of noise, always the same, on the model's device; by default of the size it is made for."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn((count, 3, *(size or classifier.size)), generator=generator)
    return pictures.to(placement_of(classifier.module)[0])


MAKERS: Mapping[Callable[..., Tensor], Kind] = {  # what makes probabilities, or their logarithms, of logits
    **dict.fromkeys((torch.softmax, F.softmax, Tensor.softmax, torch.special.softmax), "softmax"),
    **dict.fromkeys((torch.log_softmax, F.log_softmax, Tensor.log_softmax, torch.special.log_softmax), "softmax"),
    **dict.fromkeys((torch.sigmoid, F.sigmoid, Tensor.sigmoid, torch.special.expit, F.logsigmoid), "sigmoid"),
    Tensor.sigmoid_: "sigmoid",
}


@dataclass(frozen=True)
class Output:
    """What a network puts out; `kind` makes probabilities of its logits, whose `names` are there if it has any.

    `ends` says where those are: they are what it returns; they went into the function that ran last; or nothing but
    probabilities is there, which are turned back. A `single` one has two sides, the second of which it speaks for, or
    the first if that alone has a name. Of what is not `is_stated` by anybody, it is the most frequent. `count` is the
    number of classes.
    """

    kind: Kind
    ends: Literal["logits", "function", "probabilities"] = "logits"
    single: bool = False
    is_stated: bool = True
    names: tuple[str, ...] = ()
    count: int = 0


OUTPUTS: WeakKeyDictionary[Classifier, Output] = WeakKeyDictionary()  # what the first pass of a classifier showed


class MakerCall(NamedTuple):
    """One run of a function that makes probabilities: what went in, what came out."""

    kind: Kind
    logits: Tensor
    result: Tensor


@dataclass(eq=False)
class Watch(TorchFunctionMode):
    """A mode of torch, which is why this is a class: it notes functions that could have made one number per class."""

    calls: list[MakerCall] = field(default_factory=list)

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        named, kind, in_place = kwargs or {}, MAKERS.get(func), func is Tensor.sigmoid_
        entering: Any = args[0] if args else named.get("input")
        entering = entering.clone() if in_place else entering
        result = func(*args, **named)
        if kind and sum(side > 1 for side in result.shape[1:]) <= 1:
            self.calls.append(MakerCall(kind, entering, result.clone() if in_place else result))
        return result


def logits_of(classifier: Classifier, batch: Batch, *, rows: int | None = None) -> Float[Tensor, "items classes"]:
    """Forward in the precision of the model's weights; logits come back in float32 at least, one row for each picture.

    `rows` is their number where a hook makes more of the batch on the way. A single logit becomes a column for each of
    its two sides. The one error that a picture of another size brings out of many models is made readable.
    """
    rows, output = len(batch) if rows is None else rows, OUTPUTS.get(classifier)
    watch = Watch() if output is None or output.ends == "function" else None
    try:
        with watch or nullcontext():
            scores = classifier.logits(batch.to(placement_of(classifier.module)[1]))
    except (RuntimeError, AssertionError, ValueError) as error:
        size, made_for = (" x ".join(map(str, sides)) for sides in (batch.shape[2:], classifier.size))
        if size == made_for:
            raise
        message = f"{classifier.name} cannot be run on a picture of {size}: {first_line(error)}"
        raise ModelError(message, hint=f"it was made for {made_for}: leave out --whole") from error
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != rows:
        kind = f"a tensor of {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        hint = "let the record's `logits` pick the scores, e.g. lambda batch: module(batch).logits"
        raise ModelError(
            f"{classifier.name} gave {kind}, not a tensor with {rows} rows of one score per class", hint=hint
        )
    if not scores.isfinite().all():
        check_finite(classifier, batch, scores)
    calls = watch.calls if watch else []
    if output is None:
        output = read_output(classifier, scores, calls)
        output = OUTPUTS.setdefault(classifier, replace(output, count=2 if output.single else scores.shape[1]))
    logits = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    maker = find_maker(scores, calls, known=True) if output.ends == "function" else None
    if maker is not None:
        logits = maker.logits.reshape(scores.shape).to(logits.dtype)
    elif output.ends != "logits" and output.kind == "sigmoid":
        logits = logits.logit(torch.finfo(logits.dtype).eps)
    elif output.ends != "logits":
        logits = logits.clamp_min(torch.finfo(logits.dtype).tiny).log()
    if output.single:
        logits = torch.cat([logits, -logits] if len(classifier.classes or ()) == 1 else [-logits, logits], dim=1)
    return logits


def check_finite(classifier: Classifier, batch: Batch, scores: Float[Tensor, "items classes"]) -> None:
    """Refuse scores that are not finite, naming the first layer that puts such out; classes masked by -inf are fine."""
    if not batch.isfinite().all():
        hint = "look at the mean and std of its encoding"
        raise ModelError(f"the picture as fed to {classifier.name} is not finite", hint=hint)
    if scores.isfinite().any(dim=1).all() and not (scores.isnan() | scores.isposinf()).any():
        return
    dtype = placement_of(classifier.module)[1]
    not_finite: list[Layer] = []

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if not leaving.isfinite().all():
            not_finite.append(layer)

    with torch.no_grad(), hook_layers(layers_of(classifier), note):
        classifier.logits(batch.to(dtype))
    where, hint = "", f"numbers grow too large for {str(dtype).removeprefix('torch.')}"
    if not_finite:
        module = not_finite[0].module
        where = f": {not_finite[0].name!r} ({type(module).__name__}) is the first layer that is not"
        if not all(own.isfinite().all() for own in (*module.parameters(), *module.buffers())):
            hint = "its weights hold NaN or infinity: was the training diverging?"
    raise ModelError(f"the scores of {classifier.name} are not finite{where}", hint=hint)


def read_output(classifier: Classifier, scores: Logits, calls: Sequence[MakerCall]) -> Output:
    """What the scores of a first pass are: by the function that made them, the record, or their values."""
    single, names = scores.shape[1] == 1, classifier.classes or ()
    if single and len(names) == 1:
        names = (*names, f"not {names[0]}")
    maker = find_maker(scores, calls) if calls else None
    if maker is not None:
        return Output("sigmoid" if single else maker.kind, "function", single, names=names)
    values = scores.detach().float()
    # Probabilities add up to one within two steps of their precision.
    close = max(1e-5, 2 * torch.finfo(scores.dtype).eps)
    could_be = bool(((values >= 0) & (values <= 1)).all())
    if could_be and not single and ((values.sum(dim=1) - 1).abs() < close).all():
        return Output("softmax", "probabilities", names=names)
    sigmoids = [call.result.shape for call in calls if could_be and call.kind == "sigmoid"]
    if any(shape[:1] == scores.shape[:1] and shape[1:].numel() == scores.shape[1] for shape in sigmoids):
        return Output("sigmoid", "probabilities", single, names=names)  # a mean of several
    usual: Kind = "sigmoid" if single else classifier.output or "softmax"
    return Output(usual, "logits", single, single or classifier.output is not None, names)


def find_maker(scores: Tensor, calls: Sequence[MakerCall], *, known: bool = False) -> MakerCall | None:
    """The last run whose result is the scores, whatever views, copies or casts came after.

    Nothing but noughts and ones could also be a mean of several: unless one is `known` to be them, only memory is proof.
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


def describe_output(classifier: Classifier) -> str:
    """One line on how the scores of a classifier are read, after its first pass; empty for plain logits and softmax."""
    same = (output for one, output in OUTPUTS.items() if one.module is classifier.module)  # also in another precision
    output = OUTPUTS.get(classifier) or next(same, Output("softmax"))
    labels = "" if output.kind == "softmax" or output.single else ", each class a label by itself"
    if output.single:
        words = f"has a single logit: above zero it speaks for {(classifier.classes or '01')[-1]!r}"
    elif output.ends == "function":
        words = f"ends in a {output.kind}{labels}: the logits in front of it are explained"
    elif output.ends == "probabilities":
        words = f"gives probabilities ({output.kind}{labels}), and no logits: those are computed back from them"
    elif labels:
        words = f"gives logits of a sigmoid{labels}"
    elif output.is_stated:
        return ""
    else:
        words = "does not say what its scores are: taken for logits of one class among several (softmax); "
        words += "--output-type sigmoid takes each for a label by itself"
    return f"{classifier.name} {words}"


SIMILAR = 3  # how many classes Finer-CAM contrasts the target with


@dataclass(frozen=True, eq=False)
class Objective:
    """The score that is explained: the logit of `target`, one per picture, less that of `against` if there is one."""

    target: Int[Tensor, " batch"]
    against: Int[Tensor, " batch"] | None = None

    def score(self, logits: Logits) -> Float[Tensor, " batch"]:
        wanted = logits.gather(1, self.target[:, None])[:, 0]
        return wanted if self.against is None else wanted - logits.gather(1, self.against[:, None])[:, 0]

    def select(self, rows: Int[Tensor, " n"]) -> "Objective":
        return Objective(self.target[rows], None if self.against is None else self.against[rows])

    def finer(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The logit of the class less those of the three classes with the nearest logits, weighted by probability.

        Source: Zhang et al., Finer-CAM, CVPR 2025, eqs. 6-7, with the comparison strength 1.
        """
        wanted = logits.gather(1, self.target[:, None])
        distance = (logits.detach() - wanted.detach()).abs().scatter(1, self.target[:, None], float("-inf"))
        near = distance.argsort(dim=1, stable=True)[:, 1 : 1 + SIMILAR]
        weights = logits.softmax(dim=1).gather(1, near)
        return (weights * (wanted - logits.gather(1, near))).sum(dim=1) / (weights.sum(dim=1) + 1e-9)


def probabilities(logits: Logits, kind: Kind = "softmax") -> Logits:
    return logits.sigmoid() if kind == "sigmoid" or logits.shape[1] == 1 else logits.softmax(dim=1)


def read_targets(targets: Sequence[Target], logits: Logits, classes: tuple[str, ...]) -> list[Objective]:
    """Read every target against the logits of a batch; `top5` becomes five objectives."""
    batch, count = logits.shape
    if len(classes) not in (0, count):
        hint = "name all classes in the order of the scores: --classes FILE"
        raise ModelError(f"{len(classes)} class names for {count} scores", hint=hint)
    answers: list[Objective] = []
    for target in targets:
        if isinstance(target, str) and (top := TOP.fullmatch(target.strip())):
            answers += [Objective(best) for best in logits.topk(min(int(top[1]), count), dim=1).indices.unbind(1)]
            continue
        sides = sides_of(target, classes) if CONTRAST.search(str(target)) else (target,)
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
