"""Public names of the package, each imported from its module on first use."""

import importlib
from importlib.machinery import PathFinder
from types import ModuleType

MODULE_OF = {
    "Answer": "masksynth.answer",
    "Contradiction": "masksynth.errors",
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
