"""What goes wrong in public code, as tests: masks that look the same, shifted labels, unneeded copies."""

from __future__ import annotations

from collections import Counter

import numpy as np

from masksynth import catalog
from masksynth.merge import find_leak, merge
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from tests.catalog import published


def together(*instances):
    """One family of the tasks of several instances."""
    tasks = []
    for number, instance in enumerate(instances):
        tasks += [Task(f"{number}: {t.name}", t.nodes, t.attends, t.predict, t.closure) for t in instance.family.tasks]
    return Instance(TaskFamily(tuple(tasks)), "together")


def reach(mask):
    """Reflexive-transitive closure, by repeated squaring."""
    flow = mask | np.eye(len(mask), dtype=bool)
    for _ in range(len(mask)):
        flow = flow | (flow.astype(int) @ flow.astype(int) > 0)
    return flow


def test_window_and_causal_share_a_closure_but_not_rows():
    window, causal = merge(catalog.sliding_window(n=8, w=3)), merge(catalog.causal_lm(n=8))
    assert (reach(window.mask.dense()) == reach(causal.mask.dense())).all()
    assert (window.mask.dense() != causal.mask.dense()).any()
    both = merge(together(catalog.sliding_window(n=8, w=3), catalog.causal_lm(n=8)))
    assert (
        len(both.positions) == 7 + 7 - 3
    )  # the first w tokens have the same rows under both masks, all later ones differ


def test_a_window_as_wide_as_the_text_is_causal():
    assert len(merge(together(catalog.sliding_window(n=8, w=8), catalog.causal_lm(n=8))).positions) == 7


def test_two_splits_of_a_prefix_lm_share_nothing():
    for n, splits in ((6, (1, 2)), (8, (3, 5)), (8, (1, 7))):
        assert len(merge(together(*(catalog.prefix_lm(n=n, P=P) for P in splits))).positions) == 2 * (n - 1)
    same = merge(together(catalog.prefix_lm(n=8, P=3), catalog.prefix_lm(n=8, P=3)))
    assert len(same.positions) == 7


def test_two_noise_draws_share_the_clean_copy():
    first, second = catalog.bd3lm(n=8, l=2, masked=(0, 2, 4, 6)), catalog.bd3lm(n=8, l=2, masked=(1, 3, 5, 7))
    assert len(merge(together(first, second)).positions) == 6 + 2 * 8
    assert len(merge(together(first, first)).positions) == 6 + 8


def test_dead_prompt_copies_are_dropped():
    """Block diffusion fine-tuning masks the answer only.

    The noised copy of the prompt and the last clean block feed no prediction.
    """
    prompt, n, size = 6, 10, 2
    merged = merge(catalog.bd3lm(n=n, l=size, masked=tuple(range(prompt, n))))
    assert len(merged.positions) == (n - size) + (n - prompt)
    assert 2 * n / len(merged.positions) > 1.6
    labels = Counter(edge.position for edge in merged.loss_edges)
    assert max(labels.values()) == 1
    assert len(labels) == n - prompt


def test_prompt_of_a_group_is_kept_once_with_a_label_for_every_answer():
    merged = merge(catalog.dpo_prefix_sharing(P=4, chosen=3, rejected=2))
    prompt_end = merged.embeddings["chosen"]["w3"]
    assert prompt_end == merged.embeddings["rejected"]["w3"]
    assert [merged.labels[edge.label] for edge in merged.loss_edges if edge.position == prompt_end] == ["w4", "w7"]
    assert [position.input for position in merged.positions].count("w3") == 1


def test_documents_that_begin_with_bos_keep_one_copy_for_each_document_of_a_question():
    merged = merge(catalog.parallel_context_bos(docs=(2, 3), questions=(2, 2)))
    assert [position.input for position in merged.positions].count("<bos>") == 2
    three = merge(catalog.parallel_context_bos(docs=(2, 3, 1, 4), questions=(2, 2), uses=((0, 1, 3), (2,))))
    assert [position.input for position in three.positions].count("<bos>") == 3


def test_equal_training_rows_are_kept_and_equal_test_rows_merged():
    merged = merge(catalog.tabpfn_duplicates())
    inputs = Counter(position.input for position in merged.positions)
    assert inputs == {"a": 2, "b": 1, "c": 1, "x": 1, "y": 1}
    x = merged.embeddings["test row 0"]["test"]
    assert merged.embeddings["test row 2"]["test"] == x
    assert [merged.labels[edge.label] for edge in merged.loss_edges if edge.position == x] == ["y0", "y2"]


def test_a_test_row_equal_to_a_training_row_is_another_position():
    merged = merge(catalog.tabpfn_duplicates(train=("a", "b"), test=("a",)))
    assert len(merged.positions) == 3


def test_one_step_shift_mislabels_two_rows_of_every_reasoning_turn_that_is_read_again():
    """In the published layout human, think, answer-in, answer-out.

    The token after the last thought is the wrong copy of the answer.
    """
    turns = ((2, 3, 2), (1, 2, 3), (2, 1, 2))
    instance = catalog.multiturn_reasoning(turns=turns)
    merged = merge(instance)
    paper = published.multiturn_reasoning(turns=turns)
    found = published.places(instance, merged, paper)
    derived = {
        (q, label)
        for q, i in found.items()
        for label in (merged.labels[e.label] for e in merged.loss_edges if e.position == i)
    }
    full = list(published.multiturn_layout(turns))
    for i in range(len(turns)):  # the published layout still has the last answer token of every turn
        last = max(place for place, key in enumerate(full) if key[0] == i and key[1] in ("think", "answer-out"))
        full.insert(last + 1, (i, "answer-out", turns[i][2] - 1))
    start = [sum(map(sum, turns[:i])) for i in range(len(turns))]

    def token(key):
        h, t, _ = turns[key[0]]
        return f"w{start[key[0]] + key[2] + {'human': 0, 'think': h, 'answer-in': h + t, 'answer-out': h + t}[key[1]]}"

    shifted = {(full[p - 1], token(key)) for p, key in enumerate(full) if key[1] in ("think", "answer-out")}
    wrong = {q for q, _ in shifted ^ derived}
    expected = {
        (i, role, size - 1) for i in (0, 1) for role, size in (("think", turns[i][1]), ("answer-in", turns[i][2]))
    }
    assert wrong == expected
    assert len(wrong) == 2 * (len(turns) - 1)


def test_every_mask_token_has_a_real_prefix():
    merged = merge(catalog.mask_token_chain(n=7, K=4))
    dense = merged.mask.dense()
    words = [index for index, position in enumerate(merged.positions) if position.input != "M"]
    assert dense[:, words].any(axis=1).all()


def test_labels_of_a_tree_are_children_never_the_root():
    rollouts = ((0, 1, 2, 3), (0, 1, 4), (0, 5, 6), (7, 0))
    instance = catalog.agent_trie(rollouts=rollouts)
    merged = merge(instance)
    dense = merged.mask.dense()
    for edge in merged.loss_edges:
        row = sorted(
            (merged.positions[k] for k in dense[edge.position].nonzero()[0]), key=lambda position: position.position
        )
        tokens = tuple(int(text[1:]) for text in (*(position.input for position in row), merged.labels[edge.label]))
        assert tokens == rollouts[edge.task][: len(tokens)]


def test_all_but_self_masks_leak_at_depth_two():
    text = [Node(f"w{i}", f"w{i}", i) for i in range(4)]
    others = {f"w{i}": [f"w{j}" for j in range(4) if j != i] for i in range(4)}
    query = Node("g", "M", 0, carries=())
    task = Task("all but self", [*text, query], {**others, "g": others["w0"]}, [Prediction("g", "w0", hides=["w0"])])
    assert find_leak(TaskFamily((task,)), layers=1) is None
    leak = find_leak(TaskFamily((task,)), layers=2)
    assert leak is not None
    assert (leak.path[0], leak.path[-1], len(leak.path)) == ("w0", "g", 3)


def test_mask_tokens_of_different_anchors_never_merge():
    """One mask token at one position after different real prefixes is computed once for each prefix."""
    merged = merge(catalog.mask_token_chain(n=6, K=3))
    at_three = [position for position in merged.positions if position.input == "M" and position.position == 3]
    assert len(at_three) == 2
