"""The user's own Python: `py:FILE.py:NAME` or `py:package.module:NAME`, and objects that are already there.

What NAME is decides what is offered: a module of torch is a classifier, a Dataset or DataLoader is data, an optimizer
with its scheduler is a schedule; a tuple or a dict of such things offers all of them. A function is called first.
"""

from classlens.adapters import Options
from classlens.adapters.python.classify_object import source_of
from classlens.adapters.python.import_target import located
from classlens.source import Source


def open_target(rest: str, options: Options) -> Source:
    """Run the user's file or import the module, and offer what the name in it stands for.

    Raises:
        ConfigError: the address names no file or module, or running it failed.
        NotFound: there is no such name in it.
    """
    return source_of(located(rest), f"py:{rest}", options)


def open_object(thing: object, options: Options) -> Source:
    """Offer what an object is that the caller already has.

    Raises:
        ConfigError: it is nothing that classlens can look at.
    """
    return source_of(thing, type(thing).__name__, options)
