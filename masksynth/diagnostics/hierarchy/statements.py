"""List what is known about attention tied on a tree: theorems with their sources, and what was refuted."""

from __future__ import annotations

from masksynth.diagnostics.statements import Statement

PROOF = "proof in docs/hierarchy.md"

STATEMENTS = (
    Statement(
        "closest",
        "no row-stochastic matrix that is constant on the blocks has a smaller total KL(tied || softmax)",
        "theorem",
        f"arXiv 2509.15448, Theorem 3.2, for layer-normalised queries and keys; for any scores {PROOF}",
    ),
    Statement("identity", "the smallest total is N phi(root) + sum_i log Z_i", "theorem", PROOF),
    Statement(
        "leak",
        "for almost all queries and keys, the rows that are counted as leaking, and no others, depend on queries of "
        "positions to which they may not attend",
        "theorem",
        PROOF,
    ),
    Statement(
        "modules",
        "no block of a tree is allowed in part iff each of its nodes is a module of the mask",
        "theorem",
        f"{PROOF}; the strong modules form a tree: Gallai 1967, Ehrenfeucht and Rozenberg 1990",
    ),
    Statement(
        "left siblings",
        "attention to left siblings alone is causal (arXiv 2509.15448, appendix G)",
        "refuted",
        "[[0, 1], [2, 3]]: row 2 depends on the query of position 3; the last row of each prefix does not leak",
    ),
)
"""What `masksynth diagnose hierarchy` relies on, and what a reader of the paper might rely on."""
