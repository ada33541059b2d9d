"""Names of classes held against the folders that their pictures lie in."""

import re
from collections.abc import Iterator, Mapping, Sequence

Classes = tuple[str, ...] | None
SHOWN, LOOKED_AT = 5, 200
"""So many names are listed, and so many are compared letter by letter: that takes a while."""


def misnamed(folders: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    """What looks like a slip in the names of classes, given the folder of each.

    Names may be translations, so that only those count which are another folder's, and those which nearly agree.
    """
    places = {plain(name): number for number, name in reversed(list(enumerate(names)))}
    pairs = [(folder, names[number], number) for number, folder in folders.items() if 0 <= number < len(names)]
    other = [pair for pair in pairs if plain(pair[0]) != plain(pair[1])]
    moved = [pair for pair in other if plain(pair[0]) in places]
    if moved:
        folder, name, number = moved[0]
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        yield (
            f"class names in another order than the folders: class {number} is the folder {folder!r}, "
            f"but it is called {name!r}{more}"
        )
    rest = [pair for pair in other if pair not in moved] if len(moved) < LOOKED_AT else []
    mostly = 2 * len(other) <= len(pairs)
    near = [f"{name!r} for {folder!r}" for folder, name, _ in rest[:LOOKED_AT] if mostly or alike(folder, name)]
    if near:
        more = f" and {len(near) - SHOWN} more" if len(near) > SHOWN else ""
        yield f"class names that differ from their folders: {', '.join(near[:SHOWN])}{more}"


def plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def alike(folder: str, name: str) -> bool:
    """Whether one may be the other misspelt."""
    from difflib import SequenceMatcher  # needed for few datasets, and not light

    return SequenceMatcher(None, plain(folder), plain(name)).ratio() > 0.75
