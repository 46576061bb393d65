"""Public names of the package, each imported from its module on first use."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from types import ModuleType

MODULE_OF = {
    "Answer": "masksynth.answer",
    "Contradiction": "masksynth.errors",
    "Discovery": "masksynth.discover.discovery",
    "Instance": "masksynth.tasks",
    "InvalidInstance": "masksynth.errors",
    "Limits": "masksynth.backends",
    "Mask": "masksynth.mask",
    "MasksynthError": "masksynth.errors",
    "MergedTask": "masksynth.tasks",
    "Node": "masksynth.tasks",
    "Prediction": "masksynth.tasks",
    "Result": "masksynth.search",
    "SparseAnswer": "masksynth.sparse.sparse_answer",
    "Status": "masksynth.backends",
    "Task": "masksynth.tasks",
    "TaskFamily": "masksynth.tasks",
    "Unsupported": "masksynth.errors",
    "WrongAnswer": "masksynth.errors",
    "discover": "masksynth.discover.discover",
    "dumps": "masksynth.tasks.instance_files",
    "load": "masksynth.tasks.instance_files",
    "loads": "masksynth.tasks.instance_files",
    "pack_batches": "masksynth.pack",
    "pack_samples": "masksynth.pack",
    "search": "masksynth.search",
    "solve": "masksynth.solve",
    "sparsify": "masksynth.sparse.sparsify",
    "sweep": "masksynth.search",
    "tokenize_chats": "masksynth.chats",
    "unpack_samples": "masksynth.pack",
    "verify": "masksynth.verify",
    "write": "masksynth.answer",
}
"""Module of each public class and function."""
PUBLIC_MODULES = ("catalog",)
"""Modules that are listed as public names themselves; other modules are loaded on first use as well."""


class LazyPackage(ModuleType):
    """A package that imports public names and modules on first use; no module hides a function of the same name.

    Importing ``masksynth.solve`` makes Python bind the attribute ``solve`` of the package to that module. The public
    function `solve` takes precedence: such a binding is ignored, whichever of the two is used first.
    """

    def __getattr__(self, name: str) -> object:
        if name in MODULE_OF:
            value = getattr(importlib.import_module(MODULE_OF[name]), name)
            self.__dict__[name] = value
            return value
        path = f"{self.__name__}.{name}"
        if name.startswith("_") or not PathFinder.find_spec(path, self.__path__):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        return importlib.import_module(path)

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted([*MODULE_OF, *PUBLIC_MODULES, "__version__"])


def import_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package that imports each of its public names on first use.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to sequence of str
        Module of the package -> its public names.

    Examples
    --------
    >>> import masksynth.tasks
    >>> import_names("masksynth.tasks", {"task": ("Task",)})("Task").__module__
    'masksynth.tasks.task'
    """
    module_of = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)  # later uses do not come here
        return value

    return find
