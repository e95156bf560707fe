"""Finds interposers by what the user writes after `-i`: a shipped name or a file of their own."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import slic.interposers
from slic.interposer import Interposer

GLUNIX_ONLY = "home."
"""How the names begin of those that only GLUnix's supervisor can use (they ask a home node)."""


class LoadError(ValueError):
    """There is no such interposer, or it does not take that argument."""


extension_files: list[str] = []  # the user's own, as he named them


def shipped(every: bool = False) -> dict[str, type[Interposer]]:
    """The interposers that come with SLIC by name; one whose package is missing is left out.

    Those that only GLUnix's supervisor can use (GLUNIX_ONLY) only with `every`.
    """
    found = {}
    for name in _names(every):
        try:
            classes = _defined(importlib.import_module(f"slic.interposers.{name}"))
        except ModuleNotFoundError:
            continue
        if len(classes) == 1:  # none: a module that interposers share
            found[name] = classes[0]
    return dict(sorted(found.items()))


def _names(every: bool) -> list[str]:
    """Modules of slic.interposers, below it; those of GLUnix's policy with `every`."""
    names = [m.name for m in pkgutil.iter_modules(slic.interposers.__path__) if not m.ispkg]
    if every:
        folders = [f"{folder}/home" for folder in slic.interposers.__path__]
        names += [GLUNIX_ONLY + m.name for m in pkgutil.iter_modules(folders)]
    return names


def class_of(name: str) -> type[Interposer]:
    """The class of a shipped interposer; LoadError if there is none, or a package is missing."""
    full = f"slic.interposers.{name}"
    try:
        module = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if not f"{full}.".startswith(f"{error.name}."):
            raise LoadError(f"interposer {name} needs the package {error.name}") from error
    else:
        if not hasattr(module, "__path__"):  # a package of them is none itself
            return _only(module)
    names = ", ".join(shipped())
    raise LoadError(f"there is no interposer {name!r}; shipped are {names}")


def load(spec: str) -> Interposer:
    """`NAME[:ARGS]` or `PATH.py:CLASS[:ARGS]`, as an interposer ready for a policy."""
    if ".py" in spec.split(":")[0]:
        path, _, rest = spec.partition(":")
        name, _, text = rest.partition(":")
        chosen = _from_file(Path(path), name)
    else:
        name, _, text = spec.partition(":")
        chosen = class_of(name)
    try:
        return chosen.from_argument(text)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise LoadError(f"{spec}: {where}{error.strerror or error}") from error
    except ValueError as error:
        raise LoadError(f"{spec}: {error}") from error


def _from_file(path: Path, name: str) -> type[Interposer]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise LoadError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # as an import would, for dataclasses and pickles of it
    extension_files.append(str(path))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        error.filename = error.filename or str(path)  # it lacks one where no line can be read
        raise
    if not name:
        return _only(module)
    found = getattr(module, name, None)
    if not (inspect.isclass(found) and issubclass(found, Interposer)):
        raise LoadError(f"{path} has no interposer {name!r}")
    return found


def _only(module: ModuleType) -> type[Interposer]:
    """The one interposer a module defines itself."""
    found = _defined(module)
    if len(found) != 1:
        raise LoadError(f"{module.__name__} defines {len(found)} interposers: name one")
    return found[0]


def _defined(module: ModuleType) -> list[type[Interposer]]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Interposer)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
