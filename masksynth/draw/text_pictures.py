"""Pictures as text for a terminal."""

from __future__ import annotations

from masksynth.draw import cell_pictures as kinds
from masksynth.draw.cell_pictures import NAME, Picture
from masksynth.draw.display_names import columns, cut, padded
from masksynth.draw.hasse_boxes import Diagram

LARGEST_TEXT = 40
"""Largest mask of which every pair is shown as text, and most rows of blocks by default."""
LABEL = 80
"""Maximum number of columns of the label of a box."""
SIGNS = {
    kinds.EMPTY: "·",
    kinds.ALLOWED: "■",
    kinds.FULL: "█",
    kinds.PARTIAL: "▒",
    kinds.FIRST: "-",
    kinds.SECOND: "+",
    kinds.CHANGED: "±",
    kinds.EARLIER: "□",
    kinds.READ_ONLY: "○",
}


def table_text(picture: Picture) -> str:
    """Return tables of cells, one line for each row, and what the signs mean.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.subject.subject import Subject
    >>> from masksynth.draw.cell_pictures import mask_picture
    >>> from masksynth.mask import Mask
    >>> causal = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> print(table_text(mask_picture(Subject(causal, "", inputs=("the", "cat", "sat")))))
    mask
    the ■ · ·
    cat ■ ■ ·
    sat ■ ■ ■
    ■ row attends to column
    """
    rows = len(picture.panels[0].cells)
    names = list(picture.names) or [str(row * picture.unit) for row in range(rows)]
    width = min(max(map(columns, names), default=0), NAME)
    lines = [cut(picture.title, 100)]
    for panel in picture.panels:
        lines += [panel.title] if panel.title else []
        lines += [
            f"{padded(name, width)} {' '.join(SIGNS[int(kind)] for kind in row)}"
            for name, row in zip(names, panel.cells, strict=True)
        ]
    return "\n".join([*lines, "   ".join(f"{SIGNS[kind]} {cut(text, 60)}" for kind, text in picture.legend)])


def hasse_text(diagram: Diagram) -> str:
    """Return a Hasse diagram as an indented list: below a box what covers it; after ``╾`` what else that one covers.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.subject.subject import Subject
    >>> from masksynth.draw.hasse_boxes import hasse_diagram
    >>> from masksynth.mask import Mask
    >>> fork = Mask.from_dense(np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]]) > 0)
    >>> print(hasse_text(hasse_diagram(Subject(fork, "", inputs=("root", "left", "right")))))
    Hasse diagram
    ╙── root
        ├─╼ left
        └─╼ right
    the lowest boxes are furthest left
    """
    import networkx as nx

    graph = nx.DiGraph()
    for number, box in enumerate(diagram.boxes):
        mark = (" *" if box.predicts else "") + (" ○" if box.read_only else "")
        label = cut(box.label, LABEL)
        graph.add_node(number, label=(f"{{{label}}}" if len(box.positions) > 1 and not box.chain else label) + mark)
    graph.add_edges_from(sorted((lower, upper) for upper, lower in diagram.edges))
    lines = [cut(diagram.title, 100), *nx.generate_network_text(graph, vertical_chains=True)]
    return "\n".join([*lines, "   ".join(text for text, applies in _notes(diagram) if applies)])


def _notes(diagram: Diagram) -> list[tuple[str, bool]]:
    """Return (text, whether it applies) for each sign."""
    boxes = diagram.boxes
    return [
        ("the lowest boxes are furthest left", True),
        ("* predicts", any(box.predicts for box in boxes)),
        ("○ only read", any(box.read_only for box in boxes)),
        ("{} see each other", any(len(box.positions) > 1 and not box.chain for box in boxes)),
        ("… a chain", any(box.chain for box in boxes)),
    ]
