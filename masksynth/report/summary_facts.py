"""The summary: what was asked, what is claimed, who proved it, what was checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from masksynth.audit.finding import CODES, SEVERITIES, Finding
from masksynth.audit.run_audit import Report
from masksynth.backends import Status
from masksynth.report.page_text import LONG, SHORT, count, cut, text_of
from masksynth.solve import Answer, count_nodes
from masksynth.subject.subject import Subject
from masksynth.tasks import Instance, Leak

MOST_FINDINGS = 1_000
"""Most findings that are listed."""
MOST_PLACES = 16
"""Most positions of a witness that have a button."""
MOST_TABLES = 8
"""Most tables whose kernels are listed."""
Facts = list[list[str]]


def answer_facts(asked: Instance, answer: Answer) -> Facts:
    """What an answer claims, as [term, text] pairs. Times are left out, so that equal answers give equal pages.

    Examples
    --------
    >>> import masksynth as ms
    >>> asked = ms.catalog.butterfly(n=4)
    >>> for fact in answer_facts(asked, ms.solve(asked))[:3]: print(": ".join(fact))
    Status: OPTIMAL. An answer was found, and none has fewer positions (of a sparse mask: fewer edges).
    Positions: 10 positions instead of 16 task nodes; at least 10 are needed
    Tasks: 4 tasks, 4 predictions
    """
    facts = [["Status", f"{answer.status.name}. {answer.status.value}"]]
    if answer.leak is not None:
        return [
            *facts,
            ["Leak", leak_text(answer.leak)],
            ["Remedy", "Take the hidden element out of the context, or hide less."],
        ]
    if answer.merged is None:
        return facts
    places, merged = answer.objective["positions"], answer.merged
    instead = f"{count(places.value, 'position')} instead of {count(count_nodes(asked.family), 'task node')}"
    facts.append(["Positions", f"{instead}; at least {places.bound:,} are needed"])
    facts.append(["Tasks", f"{count(len(merged.tasks), 'task')}, {count(len(merged.loss_edges), 'prediction')}"])
    facts.append(["Certificate", "; ".join(map(_road, answer.certificate["roads"]))])
    if "edges" in answer.objective:
        edges = answer.objective["edges"]
        facts.append(["Edges", f"{count(edges.value, 'edge')}; at least {edges.bound:,} are needed"])
    facts.append(["Checked", ", ".join(answer.certificate["checks"])])
    facts.append(["Problem", f"{_layers(merged.problem.layers)}, SHA-256 {merged.problem.sha256}"])
    facts.append(["Software", ", ".join(f"{name} {number}" for name, number in answer.versions.items())])
    return facts


def leak_text(leak: Leak) -> str:
    """The witness of INFEASIBLE in a sentence."""
    path = " -> ".join(cut(node, SHORT) for node in leak.path)
    return f"node {text_of(leak.node)} of task {text_of(leak.task)} hides {text_of(leak.hides)} and sees it: {path}"


def _road(road: Any) -> str:
    return f"{road['backend']} found {road['value']:,} with bound {road['bound']:,} ({road['proof']})"


def _layers(layers: int | None) -> str:
    return "any number of layers" if layers is None else count(layers, "layer")


def subject_facts(subject: Subject) -> Facts:
    """What is known of a subject, as [term, text] pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> subject_facts(Subject(Mask.from_dense(np.tril(np.ones((3, 3), bool))), "causal"))
    [['Mask', '3 positions, 1 table, 6 pairs, any number of layers'], ['Not known', 'inputs, position ids, kinds, labels, family']]
    """
    mask = subject.mask
    size = f"{count(mask.size, 'position')}, {count(mask.tables, 'table')}, {count(mask.pairs, 'pair')}, {_layers(subject.layers)}"
    known = {
        "inputs": subject.inputs,
        "position ids": subject.positions,
        "kinds": subject.kinds,
        "labels": subject.labels,
        "family": subject.family,
    }
    missing = [name for name, value in known.items() if value is None]
    labels = [] if subject.labels is None else [["Labels", count(len(subject.labels), "label")]]
    return [["Mask", size], *labels, *([["Not known", ", ".join(missing)]] if missing else [])]


def audit_facts(report: Report) -> Facts:
    """What an audit counted, as [term, text] pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.audit import audit
    >>> from masksynth.mask import Mask
    >>> facts = audit_facts(audit(Subject(Mask.from_dense(np.tril(np.ones((3, 3), bool))), "causal")))
    >>> [term for term, _ in facts]
    ['Checked', 'Not checked', 'Kernels']
    """
    checked = [f"{code} {name}" for code, name in CODES.items() if code not in report.unchecked]
    facts = [["Checked", ", ".join(checked)]]
    if report.unchecked:
        facts.append(
            [
                "Not checked",
                "; ".join(f"{code} {CODES[code]} (needs {need})" for code, need in report.unchecked.items()),
            ]
        )
    if (size := report.minimal) is not None:
        most = "" if size.exact else "at most "
        told = f"{most}{count(size.minimal, 'position')} would do instead of {count(size.positions, 'position')}"
        facts.append(["Minimal", f"{told}: {size.dead:,} are dead, {size.duplicates:,} are duplicates"])
    for table, entries in enumerate(report.kernels[:MOST_TABLES]):
        can = "; ".join(f"{entry.format}: {'no' if entry.bytes is None else 'yes'}, {entry.note}" for entry in entries)
        facts.append(["Kernels" if len(report.kernels) == 1 else f"Kernels, table {table}", cut(can, 4 * LONG)])
    return facts


def verdict(answer: Answer | None, findings: Sequence[Finding] | None) -> tuple[str, str]:
    """(``good``, ``open`` or ``bad``; the first line of the page).

    Examples
    --------
    >>> verdict(None, [Finding("MS005", "error", 3, {}, "", "row 3 is empty")])
    ('bad', '1 error')
    """
    words = []
    bad = still = False
    if answer is not None:
        words.append(answer.status.name)
        bad, still = answer.status is Status.INFEASIBLE, answer.status in (Status.FEASIBLE, Status.UNKNOWN)
    if findings is not None:
        found = Counter(finding.severity for finding in findings)
        words.append(
            ", ".join(count(found[severity], severity) for severity in SEVERITIES if found[severity]) or "nothing found"
        )
        bad, still = bad or found["error"] > 0, still or found["warning"] > 0
    return "bad" if bad else "open" if still else "good", "; ".join(words) or "shown as it is"


def finding_records(findings: Sequence[Finding], size: int) -> list[dict[str, Any]]:
    """The first ``MOST_FINDINGS`` findings as texts; errors first, otherwise in the given order."""
    ranked = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))[:MOST_FINDINGS]
    return [
        {
            "code": finding.code,
            "name": finding.name,
            "severity": finding.severity,
            "position": finding.position,
            "message": cut(finding.message),
            "remedy": cut(finding.remedy),
            "witness": text_of(dict(finding.witness)) if finding.witness else "",
            "places": places_of(finding, size),
            "arrow": bool(finding.witness.get("path")),
        }
        for finding in ranked
    ]


def places_of(finding: Finding, size: int) -> list[int]:
    """Return the first positions that the witness of a finding names: a path in its order, else keys or positions.

    Examples
    --------
    >>> places_of(Finding("MS001", "error", 3, {"hops": 2, "path": [5, 4, 3]}, "", "a leak"), 6)
    [5, 4, 3]
    """
    found: Any = next(
        (finding.witness[name] for name in ("path", "keys", "positions") if finding.witness.get(name)), []
    )
    if not isinstance(found, list | tuple) or not all(type(place) is int and 0 <= place < size for place in found):
        return []
    return list(found[:MOST_PLACES])
