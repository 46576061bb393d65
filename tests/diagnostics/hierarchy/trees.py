"""Random trees: single children, uneven depth, leaves in any order."""

from __future__ import annotations

from masksynth.diagnostics.hierarchy import tree_of_lists


def random_tree(random, size, ordered=False):
    """Runs of neighbours become families until one is left, or a little before."""
    items = list(range(size)) if ordered else random.permutation(size).tolist()
    while len(items) > 1:
        low, many = int(random.integers(len(items))), int(random.integers(1, 5))
        items[low : low + many] = [items[low : low + many]]
        if random.random() < 0.1:
            break
    return tree_of_lists(items)


def normal(random, *shape):
    return random.standard_normal(shape)
