"""Modules that were renamed: the old paths keep working for one release, with a DeprecationWarning."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

NEW_PATHS = {
    "masksynth.anatomy": "masksynth.statistics",
    "masksynth.catalog.parameters": "masksynth.tasks.parameters",
    "masksynth.draw.clusteringfigure": "masksynth.diagnostics.clustering.figure",
    "masksynth.draw.hierarchyfigure": "masksynth.diagnostics.hierarchy.figure",
    "masksynth.draw.symmetryfigure": "masksynth.diagnostics.symmetry.figure",
    "masksynth.orders": "masksynth.posets",
    "masksynth.spanner": "masksynth.sparse.sparsify",
    "masksynth.search.dask": "masksynth.workers.dask",
    "masksynth.search.pool": "masksynth.workers.pool",
    "masksynth.sparsify": "masksynth.sparse",
    "masksynth.sparsify.scalebounds": "masksynth.sparse.constructions.size_bounds",
    "masksynth.synthesis": "masksynth.solve",
    "masksynth.tasks.files": "masksynth.tasks.instance_files",
    "masksynth.torch.architecture": "masksynth.torch.models.read_architecture",
    "masksynth.torch.batch": "masksynth.torch.merged_batch",
    "masksynth.torch.checkmodel": "masksynth.torch.model_check.check_model",
    "masksynth.torch.edges": "masksynth.torch.loss_edges",
    "masksynth.torch.hierarchicalmodels": "masksynth.diagnostics.hierarchy.torch_models",
    "masksynth.torch.hierarchy": "masksynth.diagnostics.hierarchy.torch_attention",
    "masksynth.torch.loss": "masksynth.torch.loss_edges",
    "masksynth.torch.packed": "masksynth.torch.packed_dataset",
    "masksynth.torch.registered_attention": "masksynth.torch.models.registered_attention",
    "masksynth.torch.selftest": "masksynth.torch.model_check.self_test",
    "masksynth.torch.symmetry": "masksynth.diagnostics.symmetry.torch_weights",
    "masksynth.torch.symmetrytraining": "masksynth.diagnostics.symmetry.torch_training",
    "masksynth.torch.tracing": "masksynth.torch.models.tracing",
    "masksynth.torch.versions": "masksynth.torch.models.transformers_version",
    "masksynth.torch.windows": "masksynth.torch.window_rows",
    "masksynth_solvers.running": "masksynth_solvers.interruptible",
}
"""New path of each renamed module; modules inside a renamed package follow it unless they have a line of their own."""


def new_path(name: str) -> str:
    """Return the new path of a renamed module, or of one inside a renamed package; "" for any other.

    Examples
    --------
    >>> new_path("masksynth.orders"), new_path("masksynth.orders.poset"), new_path("masksynth.mask")
    ('masksynth.posets', 'masksynth.posets.poset', '')
    """
    package, rest = name, ""
    while package and package not in NEW_PATHS:
        package, _, last = package.rpartition(".")
        rest = f".{last}{rest}"
    return NEW_PATHS[package] + rest if package else ""


class RenamedModules:
    """Finder and loader of renamed modules: an old path gives the very module of the new path."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return a spec for an old path, None for any other; called by the import system."""
        if not name.startswith(("masksynth.", "masksynth_solvers.")) or not (new := new_path(name)):
            return None
        try:
            module = importlib.import_module(new)
        except ModuleNotFoundError as error:
            if error.name and new.startswith(error.name):  # no such module at the new path either
                return None
            raise
        warnings.warn(f"{name} is now {new}; the old path goes in the next release", DeprecationWarning, stacklevel=2)
        # the import system overwrites the module's own spec, so that it is kept to be restored
        return ModuleSpec(name, self, loader_state=module.__spec__)  # type: ignore[arg-type]  # has all that is called

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module of the new path."""
        return importlib.import_module(new_path(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's own spec; its code has run already."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Make the import system serve old paths."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, RenamedModules())  # before modules are searched for by their files
