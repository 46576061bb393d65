"""One planted fault and one similar mask without it, for each code that needs no family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masksynth import catalog
from masksynth.audit import CODES, Finding, Subject, audit, read_subject
from masksynth.errors import InvalidInstance
from masksynth.export import block_lists
from masksynth.mask import Mask
from masksynth.subject.token_file import with_tokens

TEXT = ["a", "b", "c", "d"]


def causal(size):
    return np.tril(np.ones((size, size), bool))


def subject(dense, **tokens):
    return with_tokens(Subject(Mask.from_dense(dense), "mask"), tokens)


def codes(report, severity=None):
    return [found.code for found in report.findings if severity in (None, found.severity)]


def test_a_finding_has_a_known_code_and_severity():
    with pytest.raises(InvalidInstance):
        Finding("MS999", "error", None, {}, "", "")
    with pytest.raises(InvalidInstance):
        Finding("MS001", "fatal", None, {}, "", "")
    assert len(set(CODES.values())) == len(CODES)


def test_next_tokens_are_hidden_where_nothing_is_said():
    labels = [[0, "b"], [1, "c"], [2, "d"]]
    assert codes(audit(subject(causal(4), inputs=TEXT, positions=range_of(4), labels=labels))) == [
        "MS007"
    ]  # the last token is dead
    full = audit(subject(np.ones((4, 4), bool), inputs=TEXT, positions=range_of(4), labels=labels))
    assert [(found.code, found.position) for found in full.findings if found.severity == "error"] == [
        ("MS001", 0),
        ("MS001", 1),
        ("MS001", 2),
    ]


def range_of(size):
    return list(range(size))


def test_labels_that_are_no_next_tokens_and_do_not_say_what_they_hide():
    """No leak is looked for, and that is a finding: `[]` says that nothing is hidden."""
    everything, masked = np.ones((4, 4), bool), {"inputs": ["a", "M", "c", "M"], "positions": range_of(4)}
    report = audit(subject(everything, labels=[[1, "b"], [3, "d"]], **masked))
    assert [(found.code, found.severity, found.position) for found in report.findings] == [("MS022", "warning", 1)]
    assert report.findings[0].witness == {"codes": ["MS001"], "label": 0, "labels": 2}
    assert not report.complete
    said = audit(subject(everything, labels=[[1, "b", []], [3, "d", []]], **masked))
    assert (said.findings, said.complete) == ((), True)
    repeated = [[1, "c"], [2, "b"]]  # the label of position 1 is the next input by chance; that of 2 is not
    assert codes(audit(subject(everything, inputs=["a", "M", "c", "d"], positions=range_of(4), labels=repeated))) == [
        "MS022"
    ]


def test_labels_without_inputs_are_not_looked_at():
    for known in ({}, {"inputs": TEXT}, {"positions": range_of(4)}):
        assert "MS022" in codes(audit(subject(causal(4), labels=[[0, "b"]], **known)))
        assert "MS022" not in codes(audit(subject(causal(4), labels=[[0, "b", []]], **known)))


def test_nothing_hidden_is_respected():
    labels = [[0, "b", []], [1, "c", []]]
    assert "MS001" not in codes(
        audit(subject(np.ones((4, 4), bool), inputs=TEXT, positions=range_of(4), labels=labels))
    )


def test_all_but_self_masks_leak_at_depth_two():
    dense = ~np.eye(4, dtype=bool)
    stream = subject(
        dense,
        inputs=["M0", "M1", "M2", "M3"],
        positions=range_of(4),
        labels=[[q, t, [{"at": q}]] for q, t in enumerate(TEXT)],
    )
    assert [found.witness["hops"] for found in audit(stream, 1).findings if found.code == "MS001"] == [0] * 4
    beside = np.zeros((5, 5), bool)
    beside[:4, :4] = dense
    beside[4, :3] = True
    last = subject(beside, inputs=[*TEXT, "M"], positions=[0, 1, 2, 3, 3], labels=[[4, "d", ["d"]]])
    assert "MS001" not in codes(audit(last, 1))
    leak = next(found for found in audit(last, 2).findings if found.code == "MS001")
    assert (leak.position, leak.witness["path"]) == (4, [3, 0, 4])


def test_empty_rows():
    dense = causal(4)
    dense[2] = False
    live = audit(subject(dense))
    assert [(found.code, found.severity, found.position) for found in live.findings] == [("MS005", "error", 2)]
    dead = audit(subject(dense, labels=[[0, "b"], [1, "c"]]))
    assert ("MS005", "warning", 2) in [(found.code, found.severity, found.position) for found in dead.findings]
    assert codes(audit(subject(causal(4)))) == []


def test_rows_without_themselves():
    dense = causal(4)
    dense[2, 2] = False
    report = audit(subject(dense))
    assert [(found.code, found.severity, found.position) for found in report.findings] == [("MS006", "warning", 2)]
    dense = causal(4)
    dense[3, 3] = False  # no row reads position 3: a query stream
    assert [(found.code, found.severity) for found in audit(subject(dense)).findings] == [("MS006", "note")]


def test_dead_positions_at_finite_depth():
    window = np.triu(causal(5), -1)
    labelled = subject(window, labels=[[4, "x", []]])
    assert codes(audit(labelled)) == []
    assert [found.position for found in audit(labelled, 2).findings if found.code == "MS007"] == [0, 1]


def test_duplicates_need_equal_identities_and_rows():
    dense = np.zeros((4, 4), bool)
    dense[[0, 1, 2, 2, 3, 3], [0, 1, 2, 0, 3, 1]] = True
    known = {"labels": [[2, "x", []], [3, "y", []]], "positions": [0, 0, 1, 1]}
    report = audit(subject(dense, inputs=["a", "a", "b", "b"], **known))
    assert [found.witness["positions"] for found in report.findings if found.code == "MS008"] == [[0, 1], [2, 3]]
    assert report.minimal == (4, 0, 2, 2)
    assert "MS008" not in codes(audit(subject(dense, inputs=["a", "c", "b", "b"], **known)))
    assert "MS008" not in codes(audit(subject(dense, inputs=["a", "a", "b", "b"], kinds=["x", "y", "x", "x"], **known)))


def test_document_heuristics():
    tree = causal(4)
    tree[3, 2] = False
    report = audit(subject(tree, positions=[0, 1, 2, 2]))
    assert [(found.code, found.severity, found.witness["used_by"]) for found in report.findings] == [
        ("MS010", "note", "transformers")
    ]
    assert report.findings[0].witness["query"] == 3
    assert report.findings[0].witness["documents"] == 2
    again = audit(subject(tree, positions=[0, 1, 0, 1]))
    assert [found.witness["used_by"] for found in again.findings] == ["transformers", "torchtitan and TRL"]
    documents = np.kron(np.eye(2, dtype=bool), causal(2)).astype(bool)
    assert codes(audit(subject(documents, positions=[0, 1, 0, 1]))) == []


def test_finite_minus_infinity(tmp_path):
    from masksynth.audit import read_subject

    def stored(value, dense, dtype=np.float32):
        np.save(tmp_path / "mask.npy", np.where(dense, 0, value).astype(dtype)[None, None])
        return audit(read_subject(tmp_path / "mask.npy"))

    assert codes(stored(-np.inf, causal(4))) == []
    for dtype in (np.float16, np.float32, np.float64):
        assert codes(stored(np.finfo(dtype).min, causal(4), dtype)) == ["MS011"]
        assert stored(np.finfo(dtype).min, causal(4), dtype).findings[0].severity == "note"
    assert stored(-1e4, causal(4)).findings[0].severity == "warning"
    empty = causal(4)
    empty[2] = False
    assert ("MS011", "warning") in [
        (found.code, found.severity) for found in stored(np.finfo(np.float32).min, empty).findings
    ]


@pytest.mark.parametrize("fault", ["missing", "full", "twice"])
def test_block_lists(fault):
    mask = Mask.from_dense(causal(10))
    lists = block_lists(mask, block_size=4)
    right = Subject(mask, "m", blocks=(lists, (4, 4)))
    assert codes(audit(right)) == []
    arrays = [part.copy() for part in lists]
    if fault == "missing":
        arrays[0][2] -= 1
    elif fault == "full":
        arrays[2][0], arrays[3][0, 0] = 1, 0
        arrays[0][0] = 0
    else:
        arrays[1][2, 1] = arrays[1][2, 0]
    report = audit(replace(right, blocks=(type(lists)(*arrays), (4, 4))))
    assert codes(report) == ["MS012"]
    assert report.errors == 1


def test_labels_shifted_along_a_merged_mask():
    tree = causal(6)  # a prompt of two, answers of two each
    tree[4:, 2:4] = False
    known = {"inputs": ["p", "q", "x", "y", "u", "v"], "positions": [0, 1, 2, 3, 2, 3]}
    shifted = [[q, known["inputs"][q + 1], []] for q in range(5)]
    report = audit(subject(tree, labels=shifted, **known))
    assert [(found.code, found.severity, found.position) for found in report.findings if found.code == "MS003"] == [
        ("MS003", "warning", 3)
    ]
    right = [[0, "q"], [1, "x"], [1, "u"], [2, "y"], [4, "v"]]
    assert not {"MS001", "MS003"} & set(codes(audit(subject(tree, labels=right, **known))))
    straight = [[q, known["inputs"][q + 1]] for q in range(5)]
    assert codes(audit(subject(causal(6), inputs=known["inputs"], positions=range_of(6), labels=straight))) == ["MS007"]


def test_what_cannot_be_compared_is_told():
    from tests.audit.cases import clean

    nameless = replace(clean("butterfly"), inputs=None)
    assert ("MS014", "note") in [(found.code, found.severity) for found in audit(nameless).findings]
    table = replace(
        clean("local_global"), mask=clean("causal_lm").mask, inputs=None, positions=None, kinds=None, labels=None
    )
    assert "MS014" in codes(audit(table))


def test_labels_on_their_own_rows():
    own = subject(causal(4), inputs=TEXT, positions=range_of(4), labels=[[k, TEXT[k], []] for k in range(4)])
    assert codes(audit(own), "warning") == ["MS003"]
    most = subject(
        causal(4), inputs=TEXT, positions=range_of(4), labels=[*([k, TEXT[k], []] for k in range(3)), [3, "z", []]]
    )
    assert [found.witness["labels"] for found in audit(most).findings if found.code == "MS003"] == [3]
    equal = subject(causal(3), inputs=["a", "a", "a"], labels=[[0, "a", []], [1, "a", []]])
    assert "MS003" not in codes(audit(equal))


def test_labels_shifted_twice():
    twice = subject(
        causal(6), inputs=list("abcdef"), positions=range_of(6), labels=[[k, "abcdef"[k + 2], []] for k in range(4)]
    )
    [found] = [found for found in audit(twice).findings if found.code == "MS003"]
    assert (found.severity, found.witness["shift"], found.witness["labels"]) == ("warning", 1, 4)


def test_one_odd_label_is_named_where_the_others_are_next_tokens():
    labels = [[0, "b"], [1, "c"], [2, "X"], [3, "e"]]
    leaking = causal(5)
    leaking[0, 1] = True
    for dense, leaks in ((causal(5), []), (leaking, [0])):
        found = audit(subject(dense, inputs=list("abcde"), positions=range_of(5), labels=labels)).findings
        odd = [
            (each.code, each.severity, each.position, each.witness.get("label"))
            for each in found
            if each.code == "MS022"
        ]
        assert odd == [("MS022", "warning", 2, 2)]
        assert [
            each.position for each in found if each.code == "MS001"
        ] == leaks  # the others are looked at all the same
    right = [[0, "b"], [1, "c"], [2, "d"], [3, "e"]]
    assert "MS022" not in codes(audit(subject(causal(5), inputs=list("abcde"), positions=range_of(5), labels=right)))


def test_one_odd_label_does_not_switch_off_the_rule_of_boundaries():
    documents = np.kron(np.eye(2, dtype=bool), causal(4)).astype(bool)
    known = {"inputs": list("abcdefgh"), "positions": [0, 1, 2, 3] * 2}
    labels = [[q, known["inputs"][q + 1], []] for q in range(7)]
    labels[1][1] = "X"
    told = [found for found in audit(subject(documents, labels=labels, **known)).findings if found.code == "MS003"]
    assert [(found.severity, found.position) for found in told] == [("warning", 3)]
    del labels[3]
    assert "MS003" not in codes(audit(subject(documents, labels=labels, **known)))


@pytest.mark.parametrize("pattern", [False, True])
@pytest.mark.parametrize("chunk", [2, 3, 4])
def test_right_chunked_tables_raise_no_alarm(chunk, pattern):
    """Attention in chunks, as in Llama 4: the last token of a chunk predicts the first of the next one, which does not
    see it.
    """
    number = np.arange(12)
    chunked = causal(12) & (number[:, None] // chunk == number // chunk)
    dense = np.stack([chunked, causal(12)]) if pattern else chunked
    known = {"inputs": list("abcdefghijkl"), "positions": range_of(12)}
    labels = [[q, known["inputs"][q + 1]] for q in range(11)]
    report = audit(subject(dense, labels=labels, **known))
    assert not codes(report, "error")
    assert codes(report, "warning") == ["MS007"]  # the last token
    assert codes(report, "note") == ([] if pattern else ["MS021"])
    assert report.complete
    tables = [{"chunk": chunk}, "full"] if pattern else [{"chunk": chunk}]
    assert not codes(audit(subject(dense, labels=labels, tables=tables, **known)), "note")


def test_documents_are_not_taken_for_chunks():
    documents = np.zeros((9, 9), bool)
    for low, high in ((0, 4), (4, 7), (7, 9)):
        documents[low:high, low:high] = causal(high - low)
    inputs = list("abcdefghi")
    labels = [[q, inputs[q + 1], []] for q in range(8)]
    for positions in (range_of(9), [0, 1, 2, 3, 0, 1, 2, 0, 1], None):
        known = {} if positions is None else {"positions": positions}
        found = audit(subject(documents, inputs=inputs, labels=labels, **known)).findings
        assert [each.position for each in found if each.code == "MS003"] == [3, 6]


def test_what_is_hidden_and_carried_by_nothing_is_told():
    assert "MS014" in codes(audit(subject(causal(4), inputs=TEXT, labels=[[0, "b", ["zzz"]]])))
    assert "MS014" in codes(audit(subject(causal(4), labels=[[0, "b", ["b"]]])))
    assert "MS014" not in codes(audit(subject(causal(4), inputs=TEXT, labels=[[0, "b", ["b"]]])))


def test_a_family_whose_nodes_are_not_there():
    family = catalog.causal_lm(n=5)
    known = {"inputs": ["w0", "w1", "w2", "W3"], "positions": range_of(4)}
    told = [
        each for each in audit(replace(subject(causal(4), **known), family=family)).findings if each.code == "MS002"
    ]
    assert [each.witness["input"] for each in told] == ["w3"]
    right = replace(subject(causal(4), inputs=["w0", "w1", "w2", "w3"], positions=range_of(4)), family=family)
    assert "MS002" not in codes(audit(right))


def test_masks_that_differ_by_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "by_head.py").write_text(
        "def leak(b, h, q, k):\n    return (q >= k) | (h == 1)\n\n\ndef same(b, h, q, k):\n    return q >= k\n"
    )
    assert codes(audit(read_subject("by_head:leak", length=300))) == ["MS014"]
    assert codes(audit(read_subject("by_head:same", length=300))) == []


def test_a_module_that_exits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaves.py").write_text("import sys\n\nsys.exit(0)\n")
    with pytest.raises(InvalidInstance, match="cannot be imported: SystemExit"):
        read_subject("leaves:mask", length=3)
    with pytest.raises(InvalidInstance, match="there is no such file or folder"):
        read_subject("leaves.mask", length=3)


def test_anything_but_a_subject_is_refused_by_type():
    with pytest.raises(InvalidInstance, match=r"expected Subject, got Mask; .*masksynth\.audit\.read_subject"):
        audit(Mask.from_dense(np.eye(2, dtype=bool)))
