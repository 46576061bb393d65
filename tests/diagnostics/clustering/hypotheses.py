"""The hypotheses of each theorem of docs/clustering.md, from their words, and random instances of all kinds."""

from __future__ import annotations

import numpy as np

SOURCES = {
    "4.1": "B",
    "2405.18273": "symmetric",
    "2507.22857": "circle",
    "lemma 1": "V1",
    **{f"md, {name}": name for name in ("B", "C", "D", "V2", "V3", "V4", "V5", "V6", "V7")},
}


def theorem_of(statement):
    """Return which theorem a statement cites; what is evident is ``rest``."""
    return next((name for words, name in SOURCES.items() if words in statement.source), "rest")


def reached(rows):
    """Whether each position sees each, at any depth, itself included."""
    found = rows | np.eye(len(rows), dtype=bool)
    for _ in rows:
        found = (found.astype(int) @ found) > 0
    return found


def multiple(matrix, of, equal):
    """Return k for k times another matrix, None for others."""
    size = np.abs(matrix).max()
    k = (matrix * of).sum() / (of**2).sum()
    return k if np.abs(matrix - k * of).max() <= equal * size else None


def top_space(v, equal, apart):
    """Return the dimension of L where V keeps its complement and is below there, and whether it is shorter there."""
    numbers, vectors = np.linalg.eigh((v + v.T) / 2)
    for k in range(1, len(v) if numbers[-1] > apart else 0):
        space, other = vectors[:, -k:], vectors[:, :-k]
        kept = max(np.abs(each @ space - numbers[-1] * space).max() for each in (v, v.T)) <= 10 * equal
        if kept and numbers[-1] - numbers[-k] <= equal and numbers[-1] - numbers[-k - 1] > apart:
            return k, np.linalg.norm(v @ other, 2) < numbers[-1] - apart
    return 0, False


def theorems(rows, v, scores, equal, apart):
    """Return the set of theorems that apply to each position; ``half`` is that about starts in an open half.

    Numbers are equal up to ``equal``, and differ if by more than ``apart``.
    """
    v, eye = v / max(np.abs(v).max(), 1e-300), np.eye(len(v))
    c, s = multiple(v, eye, equal), multiple(scores, eye, equal)
    symmetric = bool(np.abs(v - v.T).max() <= equal)
    values = {
        "c": c,
        "s": s,
        "symmetric": symmetric,
        "gradient": c != 0 and s is not None if c is not None else symmetric and multiple(scores, v, equal) is not None,
        "least": np.linalg.eigvalsh((v + v.T) / 2)[0] >= -equal,
        "turns": c is None and (multiple((v + v.T) / 2, eye, equal) or 0) > apart,
        "top": top_space(v, equal, apart) if c is None else (0, False),
        "dim": len(v),
    }
    sees = reached(rows)
    return [_of(rows, sees, place, values) for place in range(len(rows))]


def _of(rows, sees, place, values):
    other = rows & ~np.eye(len(rows), dtype=bool)
    if not other[place].any():
        still = values["c"] == 0 or not rows[place].any()
        return {"rest"} if still or values["c"] is not None else {"V1"}
    if values["c"] == 0:
        return {"rest"}
    down = np.flatnonzero(sees[place])
    classes = {tuple(np.flatnonzero(sees[each] & sees[:, each])) for each in down}
    roots = [each for each in classes if sees[each[0]].sum() == len(each)]
    root = roots[0] if len(roots) == 1 else ()
    seen = {
        "place": place,
        "size": len(down),
        "acyclic": len(classes) == len(down),
        "root": root,
        "single": all(len(each) == 1 for each in classes if each != root),
        "both ways": bool(root) and (other[np.ix_(root, root)] == other[np.ix_(root, root)].T).all(),
        "complete": bool(root) and other[np.ix_(root, root)].sum() == len(root) * (len(root) - 1),
        "awake": rows[down].any(axis=1).all(),
        "own": rows[down, down].all(),
        "fixed keys": not other[other[place]].any(),
    }
    if values["c"] is not None and values["c"] > 0:
        return _of_identity(seen, values)
    return _of_other(seen, values)


def _of_identity(seen, values):
    root, s, dim = seen["root"], values["s"], values["dim"]
    above = len(root) > 1 and seen["single"]
    holds = {
        "half": root,
        "B": seen["acyclic"] and root,
        "C": above and len(root) <= dim,
        "D": seen["fixed keys"] and s is not None,
        "symmetric": above and seen["both ways"] and dim >= 3 and s is not None and s >= 0,
        "circle": above and seen["complete"] and dim == 2 and s is not None and s >= -0.16,
    }
    return {name for name, each in holds.items() if each}


def _of_other(seen, values):
    root, s, (k, shorter) = seen["root"], values["s"], values["top"]
    tree, scored = seen["acyclic"] and bool(root) and seen["awake"], s is not None and values["symmetric"]
    signs = scored and (s > 0 or (s == 0 and seen["own"]) or (s < 0 and values["least"] and bool(root)))
    holds = {
        "half": k and root and seen["awake"] and (seen["acyclic"] or shorter),
        "D": values["c"] is not None and seen["fixed keys"] and s is not None,
        "V2": k == 1 and seen["acyclic"] and seen["awake"] and signs,
        "V3": k >= 2 and tree and (scored or k == values["dim"] - 1 or seen["size"] <= k),
        "V4": k >= 2 and root and seen["awake"] and not seen["acyclic"] and shorter and seen["size"] <= k,
        "V5": values["turns"] and tree,
        "V6": values["gradient"] and len(root) > 1 and seen["place"] in root and seen["both ways"],
        "V7": values["c"] is not None and seen["size"] == 2 and seen["acyclic"] and root,
    }
    return {name for name, each in holds.items() if each}


def random_rows(rng, n):
    """Return acyclic masks and others, with and without own pairs and empty rows, in any order."""
    kind, eye = rng.integers(7), np.eye(n, dtype=bool)
    rows = np.tri(n, dtype=bool) & (rng.random((n, n)) < (0.5, 1.0, 0.7)[kind % 3])
    if kind == 2:
        rows[:, 0] = rows[0, 0] = True
    if kind == 3:
        rows = rng.random((n, n)) < 0.4
    if kind == 4:
        rows = rows | rows.T
    if kind == 5:
        rows = np.roll(eye, 1, axis=1) | (rng.random(n) < 0.1)
    if kind == 6 and n > 2:
        rows = eye | (np.arange(n) == n - 1)[:, None]
    order = rng.permutation(n)
    return rows[np.ix_(order, order)]


def random_value(rng, dim):
    """Return V of each kind that a theorem names, some of them off by little."""
    kind, basis = max(0, rng.integers(-4, 8)), np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    k, noise = rng.integers(1, dim), rng.standard_normal((dim, dim))
    inner = noise[k:, k:] if rng.random() < 0.5 else noise[k:, k:] + noise[k:, k:].T
    below = np.eye(dim)
    below[k:, k:] = inner / np.linalg.norm(inner, 2) * rng.choice([0.9, 2.0])
    v = {
        0: rng.choice([1.0, 2.5, -1.0, 0.0]) * np.eye(dim),
        1: basis @ np.diag([1.0] * k + [*rng.uniform(-1.5, 0.9, dim - k)]) @ basis.T,
        2: basis @ np.diag([1.0] * k + [*rng.uniform(0, 0.9, dim - k)]) @ basis.T,
        3: basis @ below @ basis.T,
        4: rng.choice([0.5, 1.0, 0.0, -0.5]) * np.eye(dim) + noise - noise.T,
        5: np.eye(dim) + np.diag(rng.random(dim - 1) < 0.6, 1),
        6: noise,
        7: basis @ (np.diag(np.arange(dim, 0.0, -1)) + 4 * np.eye(dim, k=-1) * (np.arange(dim) > 1)[:, None]) @ basis.T,
    }[int(kind)]
    shift = noise + noise.T if rng.random() < 0.5 else noise
    return (v + rng.choice([0, 0, 0, 1e-10, 1e-7, 1e-3]) * shift) * rng.choice([1.0, 1e-3, 1e3])


def random_query_and_key(rng, v):
    dim = len(v)
    query = {
        0: np.eye(dim),
        1: -rng.choice([0.1, 2.0]) * np.eye(dim),
        2: np.zeros((dim, dim)),
        3: v * rng.choice([1.0, -1.0]),
        4: np.eye(dim) + rng.choice([1e-9, 1e-3]) * rng.standard_normal((dim, dim)),
        5: rng.standard_normal((2, dim)),
    }[int(rng.integers(6))]
    return query, query if len(query) == 2 and rng.random() < 0.5 else np.eye(len(query), dim)
