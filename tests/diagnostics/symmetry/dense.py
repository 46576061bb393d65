"""The second computation: W_qk written out, d x d, and its scores from the definitions."""

from __future__ import annotations

import numpy as np


def symmetry(matrix):
    """(|M_s|^2 - |M_n|^2) / |M|^2, by the two parts."""
    even, odd = (matrix + matrix.T) / 2, (matrix - matrix.T) / 2
    return ((even**2).sum() - (odd**2).sum()) / (matrix**2).sum()


def directionality(matrix, mode="sum", gamma=2.0):
    def outliers(norms):
        threshold = norms.mean() + gamma * norms.std(ddof=1)
        return sum((norm if mode == "sum" else norm - threshold) for norm in norms if norm > threshold)

    rows, columns = outliers(np.linalg.norm(matrix, axis=1)), outliers(np.linalg.norm(matrix, axis=0))
    return (rows - columns) / (rows + columns) if rows + columns else 0.0


def heads(query, key, count, key_count):
    """(H, d, d): W_q,h W_k,g(h)^T, one by one."""
    queries, keys = np.split(query, count, axis=1), np.split(key, key_count, axis=1)
    return [queries[head] @ keys[head * key_count // count].T for head in range(count)]
