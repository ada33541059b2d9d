"""The user's own transforms and datasets, named in a trusted config: found, imported and built.

They are looked for in the modules that `custom_imports` names, by the name of the class (a dotted type names module and
class at once), then in the registry of mmpretrain where it is installed. So a plain class that asks nothing of OpenMMLab
needs no OpenMMLab.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

from classlens.adapters.openmm.setup import Setup
from classlens.adapters.openmm.stages.transform import construct
from classlens.config.settings import Settings
from classlens.errors import ConfigError

Own: TypeAlias = Any
"""An object of the user's own class."""

PACKAGE = "mmpretrain"
INSTALL = "pip install 'classlens[mmpretrain]'"


def build_own(settings: Settings, registry: str, modules: Sequence[str], where: str) -> Own:
    """The object that the settings describe, of a type in a registry of mmpretrain or in the user's own modules.

    Raises:
        ConfigError: nothing of that name is found, or it refuses its settings.
    """
    name = str(settings.get("type"))
    kind, known = class_of(name, modules, where), None
    if find_spec(PACKAGE) is not None:
        import_module(f"{PACKAGE}.datasets")  # fills the registries
        known = getattr(import_module(f"{PACKAGE}.registry"), registry)
        kind = kind or known.get(name)
    if kind is None:
        places = [*modules, *([f"mmpretrain's {registry}"] if known is not None else [])]
        hint = f"types of mmpretrain need it: {INSTALL}" if known is None else "does custom_imports name its module?"
        raise ConfigError(f"{where}: nothing named {name!r} in {', '.join(places) or 'custom_imports'}", hint=hint)
    own = {key: value for key, value in settings.items() if key not in ("type", "_scope_")}
    return construct(kind, own, f"{where}: {name}")


def class_of(kind: str, modules: Sequence[str], where: str) -> Callable[..., Own] | None:
    """A class by its dotted name, or by its own name in one of the modules, which are all imported."""
    module, _, name = kind.rpartition(".")
    places = [(one, kind) for one in modules]
    if module:
        with importable_here():
            if find_spec(module.partition(".")[0]) is not None:  # a scope such as `mmcls` need not be a package
                places = [(module, name), *places]
    own = [getattr(import_own(place, where), attribute, None) for place, attribute in places]
    return next((one for one in own if callable(one)), None)


def importable_here() -> AbstractContextManager[None]:
    """Let modules be imported from the working directory; what knows how is loaded for configs that need it only."""
    from classlens.adapters.python import importable

    return importable(".")


def import_modules(setup: Setup) -> None:
    """Import what `custom_imports` names, so that it registers its types; what may fail there may fail here."""
    for module in setup.imports:
        try:
            import_own(module, setup.where("custom_imports") or str(setup.path))
        except ConfigError:
            if not setup.may_lack_imports:
                raise


def import_own(name: str, where: str) -> Own:
    """A module of the user's, also from the working directory.

    Raises:
        ConfigError: it is missing, or needs something that is.
    """
    try:
        with importable_here():
            return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            hint = "run from the folder that it lies in, or set PYTHONPATH to that"
            raise ConfigError(f"{where}: no module named {missing!r}", hint=hint) from error
        hint = INSTALL if missing.startswith("mm") else f"pip install {missing.partition('.')[0]}"
        raise ConfigError(f"{where}: {name} needs {missing}, which is not installed", hint=hint) from error
