"""Masks to arrange: prefix trees of the token samples, families of the catalogue, random relations."""

from __future__ import annotations

import gzip
import json
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from masksynth import catalog
from masksynth.mask import Mask
from masksynth.merge import merge

ROOT = Path(__file__).parents[2]
DATA = next((folder for folder in (ROOT / "shared" / "data", ROOT.parent / "shared" / "data") if folder.is_dir()), None)
"""The folder of the token samples; made-up groups of the same shape stand in where it is not there."""
FILES = {
    "gsm8k_rollouts": (120, 4, 130, 110),
    "preference_pairs": (60, 2, 400, 300),
    "reasoning_calls": (40, 6, 300, 250),
}
"""File -> groups, samples in a group, about how many tokens they share, and how many each adds, where made up."""


def trees_of(name):
    """The samples of a file, group after group."""
    if DATA is None:
        yield from made_up(*FILES[name])
        return
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as lines:
        samples = [json.loads(line) for line in lines]
    for _, group in groupby(samples, key=lambda sample: sample["group"]):
        yield [sample["input_ids"] for sample in group]


def made_up(groups, samples, shared, own):
    """Groups of samples that continue earlier ones of their group from a random place on."""
    rng = np.random.default_rng(0)
    for _ in range(groups):
        found = [rng.integers(0, 50_000, int(rng.integers(shared // 2, 2 * shared))).tolist()]
        for _ in range(samples):
            old = found[int(rng.integers(len(found)))]
            found.append(old[: int(rng.integers(len(old) // 2, len(old) + 1))] + rng.integers(0, 50_000, own).tolist())
        yield found[1:]


def grow(samples, parent, depth):
    """Add the prefix tree of samples to the lists of parents and depths, in the order of first appearance."""
    children = {}
    for tokens in samples:
        at = -1
        for token in tokens:
            if (at, token) not in children:
                children[at, token] = len(parent)
                parent.append(at)
                depth.append(1 if at < 0 else depth[at] + 1)
            at = children[at, token]


def batches(groups, most=32_768):
    """Masks of prefix trees, as many groups in a batch as fit into ``most`` positions."""
    parent, depth = [], []
    for samples in groups:
        one, deep = [], []
        grow(samples, one, deep)
        if parent and len(parent) + len(one) > most:
            yield tree_mask(parent)
            parent, depth = [], []
        parent += [at + len(parent) if at >= 0 else -1 for at in one]
        depth += deep
    if parent:
        yield tree_mask(parent)


def tree_mask(parent):
    """The mask in which every node sees itself and its ancestors; parents come first."""
    rows = []
    for node, above in enumerate(parent):
        row = rows[above] if above >= 0 else ()
        rows.append((*row[:-1], (row[-1][0], node + 1)) if row and row[-1][1] == node else (*row, (node, node + 1)))
    return Mask.from_intervals([rows])


def random_tree(rng, size, chain=0.7):
    """A random forest whose nodes mostly continue the last one."""
    parent = [-1]
    for node in range(1, size):
        parent.append(node - 1 if rng.random() < chain else int(rng.integers(-1, node)))
    return tree_mask(parent)


def random_relation(rng, size, density):
    """A random mask that is not an order of any kind."""
    return Mask.from_dense(rng.random((size, size)) < density)


def random_order(rng, size, density):
    """A random reflexive partial order, its positions shuffled."""
    below = np.tril(rng.random((size, size)) < density, -1) | np.eye(size, dtype=bool)
    for middle in range(size):
        below |= below[:, middle, None] & below[None, middle]
    by = rng.permutation(size)
    return Mask.from_dense(below[np.ix_(by, by)])


def depth_first(mask):
    """The depth-first order of a forest, children and roots by their lowest position; parents come first."""
    below = [[] for _ in range(mask.size + 1)]
    for node in range(mask.size - 1, -1, -1):
        row = mask.intervals(node)
        above = node - 1 if row[-1][0] < node else row[-2][1] - 1 if len(row) > 1 else -1
        below[above].append(node)
    stack, order = below[-1], []
    while stack:
        order.append(stack.pop())
        stack += below[order[-1]]
    return np.array(order)


def rcm_order(mask):
    """Reverse Cuthill-McKee of the union of the tables, by scipy."""
    dense = mask.dense().reshape(mask.tables, mask.size, mask.size).any(axis=0)
    return reverse_cuthill_mckee(csr_matrix(dense.astype(np.int8)), symmetric_mode=False).astype(np.int64)


def _family(instance, block):
    return merge(instance).mask, block


FAMILIES = {
    "butterfly": lambda: _family(catalog.butterfly(n=86), 32),
    "block_two_stream": lambda: _family(catalog.block_two_stream(n=128, l=8), 32),
    "block_two_stream_causal": lambda: _family(catalog.block_two_stream_causal(n=128, l=8), 32),
    "xlnet_two_stream": lambda: _family(catalog.xlnet_two_stream(n=128, T=64), 32),
    "bd3lm": lambda: _family(catalog.bd3lm(n=128, l=8), 32),
    "complementary_bd": lambda: _family(catalog.complementary_bd(n=96, l=8), 32),
    "mask_token_chain": lambda: _family(catalog.mask_token_chain(n=80, K=4), 32),
    "multiturn_reasoning": lambda: _family(
        catalog.multiturn_reasoning(turns=((9, 31, 14), (12, 40, 11), (7, 22, 17), (10, 25, 20))), 16
    ),
    "parallel_context": lambda: _family(
        catalog.parallel_context(
            docs=(40, 25, 33, 50), questions=(11, 9, 14, 8, 12), uses=((0, 1), (1, 2), (0, 3), (2, 3), (0, 1, 2, 3))
        ),
        32,
    ),
    "transfusion": lambda: _family(catalog.transfusion(segments=(20, 30, 25, 30, 18, 30, 21)), 16),
    "var_scales": lambda: _family(catalog.var_scales(patch_nums=(1, 2, 3, 4, 5, 6, 8)), 16),
    "tabpfn": lambda: _family(catalog.tabpfn(n=90, m=150), 32),
    "tnp_a": lambda: _family(catalog.tnp_a(n=130, m=50), 32),
    "local_global": lambda: _family(catalog.local_global(n=128, w=8, d=4), 16),
    "sliding_window": lambda: _family(catalog.sliding_window(n=160, w=12), 16),
    "prefix_lm": lambda: _family(catalog.prefix_lm(n=160, P=50), 16),
    "encdec_flat": lambda: _family(catalog.encdec_flat(m=60, n=100), 32),
}
"""name -> what builds (mask, block size): families of the catalogue at sizes of several blocks."""
