"""The summary of the page: status, sizes, certificate and checks of an answer, and the findings of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from masksynth.answer import Answer
from masksynth.audit.finding import CODES, SEVERITIES, Finding
from masksynth.audit.run_audit import Report
from masksynth.backends import Status
from masksynth.report.page_text import LONG, SHORT, count, cut, text_of
from masksynth.solve import count_nodes
from masksynth.statistics import count_updates
from masksynth.subject.subject import Subject
from masksynth.tasks import Instance, Leak

MOST_FINDINGS = 1_000
"""Maximum number of findings that are listed."""
MOST_BUTTONS = 16
"""Maximum number of positions of a witness that have a button."""
MOST_TABLES = 8
"""Maximum number of tables whose kernels are listed."""
Facts = list[list[str]]


def answer_facts(question: Instance, answer: Answer) -> Facts:
    """Return the claims of an answer, as [term, text] pairs; no running times, so that equal answers give equal pages.

    Examples
    --------
    >>> import masksynth as ms
    >>> question = ms.catalog.butterfly(n=4)
    >>> for fact in answer_facts(question, ms.solve(question))[:3]: print(": ".join(fact))
    Status: OPTIMAL. An answer was found, and none has fewer positions (of a sparse mask: fewer edges).
    Positions: 10 positions instead of 16 task nodes; at least 10 are needed
    Tasks: 4 tasks, 4 predictions
    """
    facts = [["Status", f"{answer.status.name}. {answer.status.value}"]]
    if answer.leak is not None:
        remedy = "Remove the hidden element from the context, or hide less."
        return [*facts, ["Leak", leak_text(answer.leak)], ["Remedy", remedy]]
    if answer.merged is None:
        return facts
    positions, merged = answer.objective["positions"], answer.merged
    instead = f"{count(positions.value, 'position')} instead of {count(count_nodes(question.family), 'task node')}"
    facts.append(["Positions", f"{instead}; at least {positions.bound:,} are needed"])
    facts.append(["Tasks", f"{count(len(merged.tasks), 'task')}, {count(len(merged.loss_edges), 'prediction')}"])
    facts.append(["Certificate", "; ".join(map(_road_text, answer.certificate["roads"]))])
    if "edges" in answer.objective:
        edges = answer.objective["edges"]
        facts.append(["Edges", f"{count(edges.value, 'edge')}; at least {edges.bound:,} are needed"])
    facts.append(["Checked", ", ".join(answer.certificate["checks"])])
    facts.append(["Problem", f"{_depth(merged.problem.layers)}, SHA-256 {merged.problem.sha256}"])
    facts.append(["Software", ", ".join(f"{name} {number}" for name, number in answer.versions.items())])
    return facts


def leak_text(leak: Leak) -> str:
    """Return the witness of INFEASIBLE in a sentence."""
    path = " -> ".join(cut(node, SHORT) for node in leak.path)
    return f"node {text_of(leak.node)} of task {text_of(leak.task)} hides {text_of(leak.hides)} and sees it: {path}"


def _road_text(road: Any) -> str:
    """Return what one backend found and proved."""
    return f"{road['backend']} found {road['value']:,} with bound {road['bound']:,} ({road['proof']})"


def _depth(layers: int | None) -> str:
    return "any number of layers" if layers is None else count(layers, "layer")


def subject_facts(subject: Subject) -> Facts:
    """Return what is known of a subject, as [term, text] pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> for fact in subject_facts(Subject(Mask.from_dense(np.tril(np.ones((3, 3), bool))), "causal")): print(fact)
    ['Mask', '3 positions, 1 table, 6 pairs, any number of layers']
    ['Not known', 'inputs, position ids, kinds, labels, family']
    """
    mask = subject.mask
    counts = (count(mask.size, "position"), count(mask.tables, "table"), count(mask.pairs, "pair"))
    facts = [["Mask", ", ".join((*counts, _depth(subject.layers)))]]
    if subject.labels is not None:
        facts.append(["Labels", count(len(subject.labels), "label")])
    if subject.updated is not None:
        updates = count_updates(subject.updated)
        read_only = f"{count(updates.read_only, 'position')} only read"
        facts.append(
            ["Updates", f"{count(updates.updates, 'update')} of {count(updates.updated, 'position')}; {read_only}"]
        )
    parts = {
        "inputs": subject.inputs,
        "position ids": subject.positions,
        "kinds": subject.kinds,
        "labels": subject.labels,
        "family": subject.family,
    }
    missing = [name for name, value in parts.items() if value is None]
    return [*facts, ["Not known", ", ".join(missing)]] if missing else facts


def audit_facts(report: Report) -> Facts:
    """Return what an audit checked and counted, as [term, text] pairs.

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
        unchecked = (f"{code} {CODES[code]} (needs {need})" for code, need in report.unchecked.items())
        facts.append(["Not checked", "; ".join(unchecked)])
    if (size := report.minimal) is not None:
        most = "" if size.exact else "at most "
        enough = f"{most}{count(size.minimal, 'position')} instead of {count(size.positions, 'position')} are enough"
        facts.append(["Minimal", f"{enough}: {size.dead:,} are dead, {size.duplicates:,} are duplicates"])
    for table, entries in enumerate(report.kernels[:MOST_TABLES]):
        term = "Kernels" if len(report.kernels) == 1 else f"Kernels, table {table}"
        able = (f"{entry.format}: {'no' if entry.bytes is None else 'yes'}, {entry.note}" for entry in entries)
        facts.append([term, cut("; ".join(able), 4 * LONG)])
    return facts


def verdict(answer: Answer | None, findings: Sequence[Finding] | None) -> tuple[str, str]:
    """Return a grade (``good``, ``open`` or ``bad``) and the first line of the page.

    Examples
    --------
    >>> verdict(None, [Finding("MS005", "error", 3, {}, "", "row 3 is empty")])
    ('bad', '1 error')
    """
    texts: list[str] = []
    is_bad = is_open = False
    if answer is not None:
        texts.append(answer.status.name)
        is_bad, is_open = answer.status is Status.INFEASIBLE, answer.status in (Status.FEASIBLE, Status.UNKNOWN)
    if findings is not None:
        counts = Counter(finding.severity for finding in findings)
        listed = [count(counts[severity], severity) for severity in SEVERITIES if counts[severity]]
        texts.append(", ".join(listed) or "no findings")
        is_bad, is_open = is_bad or counts["error"] > 0, is_open or counts["warning"] > 0
    return "bad" if is_bad else "open" if is_open else "good", "; ".join(texts) or "not audited"


def finding_records(findings: Sequence[Finding], size: int) -> list[dict[str, Any]]:
    """Return the first ``MOST_FINDINGS`` findings as texts; errors first, otherwise in the given order."""
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
            "places": witness_positions(finding, size),
            "arrow": bool(finding.witness.get("path")),
        }
        for finding in ranked
    ]


def witness_positions(finding: Finding, size: int) -> list[int]:
    """Return the first positions that the witness of a finding names: a path in its order, else keys or positions.

    Examples
    --------
    >>> witness_positions(Finding("MS001", "error", 3, {"hops": 2, "path": [5, 4, 3]}, "", "a leak"), 6)
    [5, 4, 3]
    """
    named = [finding.witness[name] for name in ("path", "keys", "positions") if finding.witness.get(name)]
    positions: Any = named[0] if named else []
    if not isinstance(positions, list | tuple):
        return []
    if not all(type(position) is int and 0 <= position < size for position in positions):
        return []
    return list(positions[:MOST_BUTTONS])
