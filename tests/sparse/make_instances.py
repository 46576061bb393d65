"""Make the files of ``instances/sparse/`` from their names; expectations come from the manifest.

``python -m tests.sparse.make_instances`` writes every file that the manifest lists; with ``--check`` it compares
instead. A name is ``RECIPE-numbers-layers-L`` or ``RECIPE-numbers-any-depth``; a source that begins ``catalog.`` names
its family by itself.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np

from masksynth import catalog
from masksynth.tasks import Instance
from masksynth.tasks.instance_files import dumps
from tests.sparse import families as made
from tests.sparse.relations import chain, grid, one_class, random_poset, random_preorder, tree

ROOT = Path(__file__).parent.parent.parent / "instances"
RECIPES = {
    "chain": chain,
    "grid": grid,
    "cube": lambda n: grid(*[2] * n),
    "cube-without-ends": made.cube_without_ends,
    "tree": tree,
    "class": one_class,
    "classes": made.stack_of_classes,
    "antichains": made.stack_of_antichains,
    "tree-of-classes": made.tree_of_classes,
    "chains": lambda *sizes: made.side_by_side(*map(chain, sizes)),
    "two-chains": made.two_chains,
    "caterpillar": made.caterpillar,
    "broom": made.broom,
    "fence": made.fence,
    "gap": made.gap,
    "intervals": made.intervals,
    "divisors": made.divisors,
    "random": lambda n, percent, seed: random_poset(n, percent / 100, seed),
    "preorder": lambda n, seed: random_preorder(np.random.default_rng(seed), n, 0.13),
}
"""What stands before the numbers of a name -> the relation that they make."""


def parted(name):
    """A name as (recipe, numbers, layers).

    Examples
    --------
    >>> parted("two-chains-6-layers-3"), parted("chain-30-any-depth")
    (('two-chains', [6], 3), ('chain', [30], None))
    """
    recipe, numbers, depth = re.fullmatch(r"(.+?)((?:-\d+)*)-(any-depth|layers-\d+)", name).groups()
    return recipe, [int(number) for number in numbers.split("-")[1:]], None if depth == "any-depth" else int(depth[7:])


def called(source):
    """The catalogue instance that the beginning of a source names."""
    call = ast.parse(source.partition(";")[0], mode="eval").body
    return catalog.FAMILIES[call.func.attr](
        **{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    )


def instance_for(line):
    """The instance of one line of the manifest."""
    name = Path(line["file"]).stem
    recipe, numbers, layers = parted(name)
    if line["source"].startswith("catalog."):
        family, source = made.closed(called(line["source"])), called(line["source"]).source
    else:
        family, source = made.family_of(RECIPES[recipe](*numbers)), ""
    expect = {key: line[key] for key in ("status", "positions", "edges")}
    return Instance(
        family, name, source, layers, True, expect | ({"bound": line["bound"]} if line["status"] == "FEASIBLE" else {})
    )


def lines():
    """The sparse lines of the manifest."""
    return [
        line
        for line in json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
        if line["file"].startswith("sparse/")
    ]


def main(arguments):
    """Write or compare; the number of files that differ."""
    differing = 0
    for line in lines():
        path, text = ROOT / line["file"], dumps(instance_for(line))
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path} is not what it should be; run python -m tests.sparse.make_instances", file=sys.stderr)
            differing += 1
    return differing


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
