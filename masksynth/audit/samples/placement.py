"""Map the tokens of samples onto the positions of a mask, even where the mask is wrong.

Tokens and positions are coloured together by rows (`masksynth.verify.mask_refinement`): equal colours hold equal
values, and this alone maps a mask without faults. A fault changes the colour of all that attends to it. What is left is
mapped by `search_classes`: by paths of causal samples (`path_matching`), then by colours that a fault does not spread
through (`masksynth.audit.match_positions`), then by closest rows; and last by runs of token ids (`token_runs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from masksynth.audit.layer_reach import reachable_from
from masksynth.audit.match_positions import disjoint_union, draw_words
from masksynth.audit.samples.expected_mask import Expected, code_both, expected_rows
from masksynth.audit.samples.infer_tables import infer_tables
from masksynth.audit.samples.path_matching import Paths
from masksynth.audit.samples.search_classes import ClassSearch
from masksynth.audit.samples.token_runs import place_runs
from masksynth.mask import Mask
from masksynth.mask.csr import indptr
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject
from masksynth.subject.table_rule import TableRule
from masksynth.verify.colour_refinement import ranks
from masksynth.verify.mask_refinement import stable


@dataclass(frozen=True, eq=False)
class Placement:
    """Map N positions onto C classes of U tokens; tokens of one class hold equal values in their samples.

    Parameters
    ----------
    rules : tuple of P TableRule
        What each table lets a token see of its sample.
    rows : Mask
        Rows of the tokens, one table for each rule.
    class_of_token : (U,) int64
    class_of_position : (N,) int64
        -1 where a position belongs to no class.
    live_token : (U,) bool
        Tokens on which some label of the samples depends, through these rows and the model's layers.
    first_token : (C,) int64
        The first token of each class.
    token_of_position : (N,) int64
        The token that messages name for each position, -1 where it has no class: among the tokens of its class one
        whose sample continues as the mask does.
    is_copy : (N,) bool
        Whether other positions have the same class, so that the position belongs to the sample of its own token only.
    same_identity : (N,) bool
        Whether the position's identity is that of its class.
    complete : bool
        False if a limit left positions without a class.
    """

    rules: tuple[TableRule, ...]
    rows: Mask
    class_of_token: Int64Array
    class_of_position: Int64Array
    live_token: BoolArray
    first_token: Int64Array
    token_of_position: Int64Array
    is_copy: BoolArray
    same_identity: BoolArray
    complete: bool

    @cached_property
    def has_position(self) -> BoolArray:
        """Return for each class whether some position belongs to it, shape (C,)."""
        result = np.zeros(len(self.first_token), bool)
        result[self.class_of_position[self.class_of_position >= 0]] = True
        return result

    def position_of(self, token: int) -> int:
        """Return the first position in the class of a token, -1 if there is none."""
        positions = np.flatnonzero(self.class_of_position == self.class_of_token[token])
        return int(positions[0]) if len(positions) else -1


def place_samples(subject: Subject, expected: Expected) -> Placement:
    """Map the samples' tokens onto the subject's positions."""
    position_code, token_code = code_both(subject, expected)
    paths = Paths(subject.mask, subject.positions, position_code, token_code, expected)
    paths.follow(paths.attended)
    rules = subject.rules or infer_tables(subject, expected, paths)
    rows = expected_rows(expected, rules)
    class_of_token, class_of_position, first_token = _classes_by_value(subject.mask, rows, position_code, token_code)
    is_token = np.ones(subject.size, bool) if subject.padding is None else ~subject.padding
    classes = (class_of_token, class_of_position, first_token)
    complete = ClassSearch(subject.mask, rows, expected, paths, *classes, position_code, token_code, is_token).run()
    place_runs(subject, expected, class_of_token, class_of_position)
    class_of_position[~is_token] = -1
    same_identity, placed = np.zeros(subject.size, bool), class_of_position >= 0
    same_identity[placed] = position_code[placed] == token_code[first_token[class_of_position[placed]]]
    members = np.bincount(class_of_position[placed], minlength=len(first_token) + 1)  # the last entry serves class -1
    return Placement(
        tuple(rules),
        rows,
        class_of_token,
        class_of_position,
        reachable_from(rows, expected.spans.predictor, subject.layers),
        first_token,
        _name_positions(expected, class_of_token, class_of_position),
        placed & (members[class_of_position] > 1),
        same_identity,
        complete,
    )


def _classes_by_value(
    mask: Mask, rows: Mask, position_code: Int64Array, token_code: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the class of each token, the class of each position, and the first token of each class.

    A position has the class of the tokens that hold its value at every depth, -1 if there are none.
    """
    colour = stable(
        ranks(np.concatenate([position_code, token_code])), disjoint_union(mask, rows), draw_words(mask, rows)
    )
    code, first_token, class_of_token = np.unique(colour[mask.size :], return_index=True, return_inverse=True)
    class_of_colour = np.full(int(colour.max(initial=-1)) + 1, -1, np.int64)
    class_of_colour[code] = np.arange(len(code))
    return class_of_token, class_of_colour[colour[: mask.size]], first_token


def _name_positions(expected: Expected, class_of_token: Int64Array, class_of_position: Int64Array) -> Int64Array:
    """Return a token for each position, such that positions which continue as a sample does are named after one sample.

    The last position of such a run takes a token of its class: the n-th position of a class the n-th token. The
    positions before it take the tokens before that one.
    """
    size = len(class_of_position)
    count = int(class_of_token.max(initial=-1)) + 1
    tokens_by_class = np.argsort(class_of_token, kind="stable")
    offset = indptr(np.bincount(class_of_token, minlength=count))
    placed = np.flatnonzero(class_of_position >= 0)
    # rank of each position among those of its class
    by_class = placed[np.argsort(class_of_position[placed], kind="stable")]
    first_of_class = indptr(np.bincount(class_of_position[placed], minlength=count))[class_of_position[by_class]]
    rank = np.zeros(size, np.int64)
    rank[by_class] = np.arange(len(placed)) - first_of_class
    token = np.full(size, -1, np.int64)
    tokens_in_class = np.diff(offset)[class_of_position[placed]]
    token[placed] = tokens_by_class[offset[class_of_position[placed]] + np.minimum(rank[placed], tokens_in_class - 1)]
    # a run goes on from a position to the next one if some sample has their classes one after the other
    inner = np.flatnonzero(expected.index[1:] > 0)
    steps = class_of_token[inner] * count + class_of_token[inner + 1]
    pairs = class_of_position[:-1] * count + class_of_position[1:]
    continues = (class_of_position[:-1] >= 0) & (class_of_position[1:] >= 0) & np.isin(pairs, steps)
    ends = np.flatnonzero(~np.append(continues, False))
    last = ends[np.searchsorted(ends, np.arange(size))]  # the last position of each position's run
    candidate = token[last] - (last - np.arange(size))
    fits = (class_of_position >= 0) & (candidate >= 0)
    fits[fits] = class_of_token[candidate[fits]] == class_of_position[fits]
    return np.where(fits, candidate, token)
