"""Build the tree of a family of training tasks: documents, turns, images and answers are modules of its merged mask."""

from __future__ import annotations

from typing import NamedTuple

from masksynth.diagnostics.hierarchy.neighbour_runs import tree_of_mask
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.merge import merge
from masksynth.tasks import Instance


class FamilyTree(NamedTuple):
    """The tree over the positions of a merged task, and the mask of that task."""

    tree: Tree
    mask: Mask


def family_tree(instance: Instance, max_children: int | None = None, layer: int | None = None) -> FamilyTree:
    """Return the tree of the modules of an instance's smallest merged mask, and the mask.

    Packed documents, the images of a text, answers to one prompt and the ends of turns are positions that all others
    see equally, so each is a node of the tree; no block is lost.

    Parameters
    ----------
    instance : Instance
        From the catalogue or `masksynth.load`.
    max_children : int, optional
        As in `module_tree`.
    layer : int, optional
        The layer whose mask is taken, from 0, where the layers have masks of their own (`local_global`).

    Raises
    ------
    InvalidInstance, Unsupported
        As `masksynth.merge.merge` and `tree_of_mask`, and for masks of several layers without ``layer``.

    Examples
    --------
    Three tokens, an image of two patches, and a token:

    >>> from masksynth import catalog
    >>> from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree
    >>> lists_of_tree(family_tree(catalog.transfusion(segments=(3, 2, 2))).tree)
    [0, 1, 2, [3, 4], 5]
    """
    mask = layer_mask(merge(instance).mask, layer)
    return FamilyTree(tree_of_mask(mask, max_children), mask)


def layer_mask(mask: Mask, layer: int | None) -> Mask:
    """Return the mask of a layer, number ``layer`` mod T of T tables; the only one if none is named.

    Raises
    ------
    InvalidInstance
        For several tables without a layer.

    Examples
    --------
    >>> from masksynth import catalog
    >>> mask = merge(catalog.local_global()).mask
    >>> mask.tables, [layer_mask(mask, layer).pairs for layer in range(4)]
    (3, [13, 15, 28, 13])
    """
    if layer is not None:
        return select_table(mask, layer % mask.tables)
    if mask.tables != 1:
        raise InvalidInstance(f"{mask.tables} masks, one for each layer, have a tree each", "", "name a layer")
    return mask
