"""Tabular families: training rows that attend to one another, test rows that attend to them."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.catalog.task_parts import block_rows, build_instance, closed_task, predict_hidden
from masksynth.tasks import Instance, Node, Task
from masksynth.tasks.parameters import check_at_least, check_size, check_strings, require


def tabpfn(n: int = 4, m: int = 3) -> Instance:
    """TabPFN: one task per test row, the n training rows and the test row, all at position 0.

    The test row sees the training rows and itself.

    Parameters
    ----------
    n : int
        Training rows w[0..n-1] (features and label), n >= 1; they see one another.
    m : int
        Test rows w[n..n+m-1], m >= 1.

    Notes
    -----
    Published mask: k a training row or k = q. Count: different rows, training rows once: n + m. Source: Hollmann et
    al., arXiv 2207.01848.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(tabpfn(n=3, m=2)).mask)
    ■ ■ ■ · ·
    ■ ■ ■ · ·
    ■ ■ ■ · ·
    ■ ■ ■ ■ ·
    ■ ■ ■ · ■
    """
    check_at_least(1, n=n, m=m)
    check_size((n + 1) * m, n=n, m=m)
    tasks = _table([f"w{i}" for i in range(n)], [f"w{n + j}" for j in range(m)])
    return build_instance("tabpfn", [n, m], tasks, n + m, "TabPFN v1, arXiv 2207.01848")


def tabpfn_duplicates(
    train: tuple[str, ...] = ("a", "a", "b", "c"), test: tuple[str, ...] = ("x", "y", "x")
) -> Instance:
    """TabPFN with equal rows: as ``tabpfn`` with the given rows.

    Parameters
    ----------
    train : tuple of str
        Training rows, at least one.
    test : tuple of str
        Test rows, at least one.

    Notes
    -----
    Published mask: k a training row or k = q. Count: every row attends to all copies of a training row, so all are
    kept; equal test rows merge: |train| + |set(test)|. Source: arXiv 2207.01848.

    Examples
    --------
    >>> from masksynth.merge import merge
    >>> print(merge(tabpfn_duplicates(train=("a", "a", "b"), test=("x", "x"))).mask)
    ■ ■ ■ ·
    ■ ■ ■ ·
    ■ ■ ■ ·
    ■ ■ ■ ■
    """
    train, test = check_strings("train", train), check_strings("test", test)
    require(bool(train), "train", train, "is empty", "give at least one training row")
    check_size((len(train) + 1) * len(test), train=train, test=test)
    return build_instance(
        "tabpfn_duplicates",
        [train, test],
        _table(train, test),
        len(train) + len(set(test)),
        "TabPFN v1, arXiv 2207.01848",
    )


def _table(train: Sequence[str], test: Sequence[str]) -> list[Task]:
    rows = [Node(f"train{i}", row, 0, carries=(f"train{i}",)) for i, row in enumerate(train)]
    below = {**block_rows([rows]), "test": (rows[0].name,)}
    return [
        closed_task(
            f"test row {j}", (*rows, Node("test", row, 0, carries=())), below, [predict_hidden("test", f"y{j}")]
        )
        for j, row in enumerate(test)
    ]
