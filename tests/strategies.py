"""Hypothesis strategies for values, families and instances."""

from __future__ import annotations

from hypothesis import strategies as st

from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily

NAMES = st.text(st.characters(), min_size=1, max_size=6)
"""Any Unicode text, lone surrogates and control characters included."""
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**4299), 10**4299)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text(max_size=6)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
"""JSON values."""
WEIGHTS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3)


@st.composite
def rows(draw, names, full):
    """A row table over node names; ``full``: no empty row."""
    keys = st.lists(st.sampled_from(names), unique=True, min_size=int(full)) if names else st.just([])
    return {name: draw(keys) for name in names if full or draw(st.booleans())}


@st.composite
def tasks(draw, name, tables, closure):
    """A task with up to five nodes, cycles, dead nodes, repeated inputs and layer patterns."""
    names = draw(st.lists(NAMES, unique=True, max_size=5))
    inputs = draw(st.lists(VALUES, min_size=1, max_size=3))
    nodes = [
        Node(
            one,
            draw(st.sampled_from(inputs)),
            draw(st.integers(0, 2**31 - 1)),
            draw(st.sampled_from(["token", "query", ""])),
            draw(st.none() | st.lists(VALUES, max_size=2)),
        )
        for one in names
    ]
    predict = [
        Prediction(draw(st.sampled_from(names)), draw(VALUES), draw(WEIGHTS), draw(st.lists(VALUES, max_size=2)))
        for _ in range(draw(st.integers(0, 3)) if names else 0)
    ]
    return Task(name, nodes, [draw(rows(names, not closure)) for _ in range(tables)], predict, closure)


@st.composite
def families(draw, most=3):
    """A family of up to ``most`` tasks; all closed, or of one pattern length, or mixed."""
    tables = draw(st.sampled_from([1, 1, 2, 3]))
    names = draw(st.lists(NAMES, unique=True, max_size=most))
    return TaskFamily(tuple(draw(tasks(name, tables, tables == 1 and draw(st.booleans()))) for name in names))


@st.composite
def instances(draw):
    """A family with a question and an expectation."""
    family = draw(families())
    sparse = all(task.closure for task in family.tasks) and draw(st.booleans())
    layers = draw(st.none() | st.integers(1, 2**31 - 1))
    return Instance(
        family, draw(NAMES), draw(st.text(max_size=5)), layers, sparse, draw(st.dictionaries(NAMES, VALUES, max_size=2))
    )
