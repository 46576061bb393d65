"""The page: data, style, library and program in one HTML file that runs nothing else and uses no network."""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from masksynth.answer import Answer
from masksynth.audit.finding import Finding
from masksynth.audit.run_audit import Report
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files import check_file, write_file
from masksynth.report.downloads import downloads
from masksynth.report.page_rows import page_rows
from masksynth.report.page_text import SHORT, Names, count, cut
from masksynth.report.summary_facts import (
    MOST_FINDINGS,
    answer_facts,
    audit_facts,
    finding_records,
    subject_facts,
    verdict,
)
from masksynth.subject.folders import subject_of_merged
from masksynth.subject.subject import Subject
from masksynth.tasks import Instance, MergedTask

BEGIN = b"<!doctype html>"
NOTHING = {"step": 1, "units": [], "tables": [], "left_out": 0, "diagram": {"note": "There is no mask to show."}}


def write_report(
    path: str | Path,
    what: Subject | Instance | MergedTask,
    *,
    answer: Answer | None = None,
    findings: Report | Sequence[Finding] | None = None,
    name: str | None = None,
    tokenizer: str | Path | None = None,
    force: bool = False,
) -> Path:
    """Write a report as one HTML file, completely or not at all; missing parent folders are made.

    Parameters
    ----------
    path : path
    what, answer, findings, name, tokenizer
        As for ``report_html``.
    force : bool
        Replace an existing report.

    Returns
    -------
    Path

    Raises
    ------
    InvalidInstance
        As ``report_html``, or if the file exists and ``force`` is False.
    MasksynthError
        If the file cannot be written; nothing is left.

    Examples
    --------
    >>> import masksynth as ms
    >>> question = ms.catalog.butterfly(n=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(f"{folder}/report.html", question, answer=ms.solve(question)).name
    'report.html'
    """
    target = Path(path)
    check_report_file(target, force)
    content = report_html(what, answer=answer, findings=findings, name=name, tokenizer=tokenizer).encode("utf-8")
    write_file(target, content, force, (), "the report")
    return target


def check_report_file(path: Path, force: bool) -> None:
    """Raise, before any work is done, if no report can be written to a path.

    Raises
    ------
    InvalidInstance
        If it is a folder, does not end in .html, or exists; with ``force`` an existing report is replaced.
    MasksynthError
        If the folder is not writable.
    """
    if path.suffix.lower() not in (".html", ".htm") and not path.is_dir():
        raise InvalidInstance("a report is an HTML file", "", "name it FILE.html", str(path))
    check_file(path, force)
    try:
        if os.path.lexists(path) and path.read_bytes()[: len(BEGIN)] != BEGIN:
            raise InvalidInstance("is not a report and is not replaced", "", "choose another name", str(path))
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise MasksynthError(f"{path}: the report cannot be written: {reason}; choose another file") from error


def report_html(
    what: Subject | Instance | MergedTask,
    *,
    answer: Answer | None = None,
    findings: Report | Sequence[Finding] | None = None,
    name: str | None = None,
    tokenizer: str | Path | None = None,
) -> str:
    """Return the text of a report; equal arguments give equal text.

    Parameters
    ----------
    what : Subject, Instance or MergedTask
        A mask with what is known of it, the instance of ``answer``, or a merged task.
    answer : Answer, optional
        Required with an instance.
    findings : Report or sequence of Finding, optional
        Results of an audit; None if there was none.
    name : str, optional
        The title [default: the name of the subject or instance].
    tokenizer : str or path, optional
        The folder of a tokenizer, or its name in the local cache: token ids are shown as text. Nothing is downloaded.

    Raises
    ------
    InvalidInstance
        For an instance without its answer, or if no tokenizer is found.
    Unsupported
        For a tokenizer, if transformers is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.mask import Mask
    >>> text = report_html(Subject(Mask.from_dense(np.eye(2, dtype=bool)), "</script><b>"))
    >>> text.startswith("<!doctype html>"), "</script><b>" in text
    (True, False)
    """
    subject, title = _subject(what, answer), name or str(getattr(what, "name", "merged task"))
    if tokenizer is not None and subject is not None:
        from masksynth.draw.token_text import decode_tokens

        subject = decode_tokens(subject, tokenizer)
    question = what if isinstance(what, Instance) else None if subject is None else subject.family
    facts = [] if answer is None or question is None else answer_facts(question, answer)
    facts += [] if subject is None else subject_facts(subject)
    if isinstance(findings, Report):
        facts += audit_facts(findings)
        findings = findings.findings
    return _page({"title": cut(title, SHORT), "facts": facts, **_data(subject, answer, findings)})


def _subject(what: Subject | Instance | MergedTask, answer: Answer | None) -> Subject | None:
    if isinstance(what, Subject):
        return what
    if isinstance(what, MergedTask):
        return subject_of_merged(what, "merged task")
    if not isinstance(what, Instance) or answer is None:
        fact = "an instance without its answer" if isinstance(what, Instance) else f"{type(what).__name__}"
        remedy = "give a Subject, a MergedTask, or an Instance with answer=solve(...)"
        raise InvalidInstance(f"a report cannot show {fact}", "", remedy)
    return None if answer.merged is None else replace(subject_of_merged(answer.merged, what.name), family=what)


def _data(subject: Subject | None, answer: Answer | None, findings: Sequence[Finding] | None) -> dict[str, Any]:
    import masksynth

    names = Names()
    grade, line = verdict(answer, findings)
    size, layers = (0, None) if subject is None else (subject.size, subject.layers)
    shown: dict[str, Any] = NOTHING if subject is None else page_rows(subject, names, _has_checked_rows(answer))
    return {
        "grade": grade,
        "verdict": line,
        "size": size,
        **shown,
        "names": names.texts,
        "depth": "at any depth" if layers is None else f"within {count(layers, 'layer')}",
        "findings": None if findings is None else finding_records(findings, size),
        "findings_left_out": max(len(findings or ()) - MOST_FINDINGS, 0),
        "downloads": downloads(subject, answer, findings),
        "by": f"masksynth {masksynth.__version__}",
    }


def _has_checked_rows(answer: Answer | None) -> bool:
    """Return whether the checker confirmed each node's row: it does for dense answers at any depth."""
    return (
        answer is not None
        and answer.merged is not None
        and answer.merged.problem.layers is None
        and "rows" in answer.certificate["checks"]
    )


def _page(data: dict[str, Any]) -> str:
    parts = {name: _part(name) for name in ("page.css", "page.js", "vendor/d3.min.js")}
    scripts = f"'{_hash(parts['vendor/d3.min.js'])}' '{_hash(parts['page.js'])}'"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src '{_hash(parts['page.css'])}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    fields = {
        "POLICY": policy,
        "STYLE": parts["page.css"],
        "LICENCE": _part("vendor/LICENSE.d3"),
        "LIBRARY": parts["vendor/d3.min.js"],
        "PROGRAM": parts["page.js"],
        "DATA": data_text(data),
    }
    return "".join(
        piece if index % 2 == 0 else fields[piece] for index, piece in enumerate(_part("page.html").split("@@"))
    )


def data_text(data: Any) -> str:
    r"""Return JSON that an HTML parser cannot mistake for markup: ASCII, with ``<``, ``>`` and ``&`` escaped.

    Examples
    --------
    >>> print(data_text({"a": "</script>&" + chr(0x2028)}))
    {"a":"\u003c/script\u003e\u0026\u2028"}
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _part(name: str) -> str:
    """Return a file of this package, exactly as it is written between tags and hashed for the policy."""
    return resources.files("masksynth").joinpath("report", *name.split("/")).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode('utf-8')).digest()).decode('ascii')}"
