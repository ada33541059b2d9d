"""What the user asks of `classlens cam`, checked as far as it can be without torch.

Pictures, config, checkpoint, methods and colours are looked at here, so that a slip costs no import of a framework.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from classlens.adapters import ADAPTERS, DEFAULT, Options, extra_of, split_address
from classlens.cam.methods import METHODS, find_method
from classlens.checkpoints.class_names import read_names
from classlens.checkpoints.download import has_scheme
from classlens.cli.cam_boxes import Boxes, read_boxes
from classlens.cli.opening import open_target
from classlens.config.overrides import parse_overrides
from classlens.dataset.conventions import is_picture_name
from classlens.errors import ClasslensError, DataError, MissingDependency
from classlens.figures.colour import DEFAULT as DEFAULT_COLORMAP
from classlens.figures.colour import table
from classlens.figures.overlay import Style, check_picture
from classlens.source import Source

CONFIGS = {".py", ".json", ".yml", ".yaml"}


@dataclass(frozen=True)
class Request:
    """One call of `classlens cam`, with everything found that can be found without torch."""

    pictures: tuple[Path, ...]
    source: Source
    checkpoint: str | None
    methods: tuple[str, ...]
    style: Style
    boxes: Boxes
    classes: tuple[str, ...] | None
    arguments: argparse.Namespace

    @property
    def to_folder(self) -> bool:
        return is_folder(self.arguments.save_path)


def read_request(arguments: argparse.Namespace) -> Request:
    """Find the pictures, open the config, check names and files; torch is looked for, not imported.

    Raises:
        DataError: a picture or the checkpoint is missing, class names cannot be read, or a file could not be written
            where it is wanted.
        NotFound: no such method or colour map.
        MissingDependency: torch is not installed.
    """
    words, address, checkpoint = split_words(arguments.words)
    pictures = found_pictures(words)
    if not pictures and not arguments.preview_model:
        raise DataError(
            f"no picture is named in front of {address}", hint="the order is IMG [IMG ...] CONFIG [CHECKPOINT]"
        )
    if checkpoint is not None and not has_scheme(checkpoint) and not Path(checkpoint).expanduser().is_file():
        raise DataError(f"no such checkpoint: {checkpoint}", hint="the last word is a path or a URL")
    if checkpoint is not None and is_picture_name(checkpoint):
        raise DataError(
            f"{checkpoint} is a picture, not a checkpoint", hint="the order is IMG [IMG ...] CONFIG [CHECKPOINT]"
        )
    methods = tuple(dict.fromkeys(chosen_methods(arguments.method)))
    table(arguments.colormap)
    style = Style(arguments.colormap or DEFAULT_COLORMAP, arguments.opacity, arguments.contour or None)
    check_outputs(arguments)
    spare_pictures(arguments, pictures)
    boxes = read_boxes(arguments.box, pictures)
    classes = read_names(arguments.classes) if arguments.classes is not None else None
    options = Options(
        parse_overrides(arguments.cfg_options),
        arguments.trust_config,
        arguments.trust_checkpoint,
        untrained=arguments.preview_model,
    )
    if find_spec("torch") is None:
        raise MissingDependency("torch", extra=extra_of(*split_address(address)))
    return Request(pictures, open_target(address, options), checkpoint, methods, style, boxes, classes, arguments)


def split_words(words: Sequence[str]) -> tuple[list[str], str, str | None]:
    """Pictures, config and checkpoint: the config is the first word that looks like one.

    Raises:
        ClasslensError: no word, or too many words behind it, can be told apart.
    """
    for place, word in enumerate(words):
        if is_address(word):
            rest = words[place + 1 :]
            if len(rest) > 1:
                raise ClasslensError(
                    f"behind the config {word} stand {len(rest)} words: {' '.join(rest)}",
                    hint="the order is IMG [IMG ...] CONFIG [CHECKPOINT]; options follow",
                )
            return list(words[:place]), word, rest[0] if rest else None
    raise ClasslensError(
        f"no config among: {' '.join(words)}", hint="the order is IMG [IMG ...] CONFIG [CHECKPOINT]; `demo` is a config"
    )


def is_address(word: str) -> bool:
    """Whether a word says what to open; a colon may also stand in the name of a picture, or in a pattern of names."""
    scheme, path = split_address(word)[0], Path(word)
    if is_picture(path) or (scheme not in ADAPTERS and is_picture_name(path.name)):
        return False
    return scheme != DEFAULT or path.suffix in CONFIGS


def found_pictures(words: Sequence[str]) -> tuple[Path, ...]:
    """Every picture that the words name, each once, in their order; the pictures of a folder by name.

    Raises:
        DataError: a word names nothing, or a folder without pictures.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word).expanduser()
        if path.is_file():
            found[path] = None
            continue
        inside = path.rglob("*") if path.is_dir() else map(Path, glob(word, recursive=True))  # noqa: PTH207 - may be absolute
        several = sorted(one for one in inside if is_picture(one))
        if not several:
            raise DataError(
                f"no picture in folder {word}" if path.is_dir() else f"no such picture: {word}",
                hint="name picture files, folders, or patterns such as 'photos/*.jpg'",
            )
        found |= dict.fromkeys(several)
    return tuple(found)


def is_picture(path: Path) -> bool:
    return is_picture_name(path.name) and not path.name.startswith(".") and path.is_file()


def chosen_methods(names: Sequence[str] | None) -> list[str]:
    """The methods by their own names; `all` stands for those that share one pass, `every` for the slow ones too.

    Raises:
        NotFound: there is no such method.
    """
    chosen: list[str] = []
    for name in ",".join(names or ["GradCAM"]).split(","):
        if name.casefold() in ("all", "every"):
            slow_too = name.casefold() == "every"
            chosen += [one.name for one in METHODS.values() if one.quick or (slow_too and one.needs == "scores")]
        else:
            chosen.append(find_method(name).name)
    return chosen


def file_names(pictures: Sequence[Path]) -> Mapping[Path, str]:
    """A name for every picture; those that come again get a number: a, b, a_2."""
    names: dict[str, Path] = {}
    for picture in pictures:
        name, count = picture.stem, 1
        while name in names:
            count += 1
            name = f"{picture.stem}_{count}"
        names[name] = picture
    return {picture: name for name, picture in names.items()}


def spare_pictures(arguments: argparse.Namespace, pictures: Sequence[Path]) -> None:
    """Refuse to write a map over a picture that is looked at.

    Raises:
        DataError: a file to be written is one of the pictures.
    """
    target = arguments.save_path
    if target is None:
        return
    places = [target / f"{name}.png" for name in file_names(pictures).values()] if is_folder(target) else [target]
    read = {path.resolve() for path in pictures}
    for place in places:
        if place.resolve() in read:
            raise DataError(
                f"{place} is one of the pictures to look at, and would be lost", hint="another --save-path keeps it"
            )


def is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix


def check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse at once what could not be written at the end.

    Raises:
        DataError: the ending of a file is not one that can be written.
    """
    path: Path | None = arguments.save_path
    if path is not None and not is_folder(path):
        check_picture(path)
    if arguments.box is not None and not arguments.evaluate:
        raise DataError("--box without --evaluate says nothing", hint="add --evaluate, or leave out --box")
    if arguments.npz is not None and arguments.npz.suffix != ".npz":
        raise DataError(f"--npz writes .npz files, not {arguments.npz}", hint="end the name in .npz")
