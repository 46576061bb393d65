"""Right masks of published kinds, by their formulas, with samples: no findings; with a pair less: a finding."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from masksynth.audit import audit, read_subject
from tests.audit.samples.test_compare import WRONG

LENGTHS = [9, 6, 12, 4]
ROW, KEY = np.ogrid[: sum(LENGTHS), : sum(LENGTHS)]
DOCUMENT = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
PLACE = np.concatenate([np.arange(length) for length in LENGTHS])
SAME = DOCUMENT[:, None] == DOCUMENT
CAUSAL = KEY <= ROW
PROMPT = PLACE < 3


def texts(lengths, rng):
    return [[1, *rng.integers(2, 30, length - 1).tolist()] for length in lengths]


def next_token_samples(rng, segments=None):
    """Samples side by side, with every label."""
    made = []
    for number, text in enumerate(texts(LENGTHS, rng)):
        sample = {"id": f"s{number}", "input_ids": text, "labels": [-100, *text[1:]]}
        if segments is not None:
            sample |= {"segments": segments(len(text)), "labels": [-100] * 3 + text[3:]}
        made.append(sample)
    return made


def prefix_lm(length):
    return [{"length": 3, "within": "full"}, {"length": length - 3, "sees": [0]}]


def block_diffusion(rng, blocks=3, width=4):
    """[noisy | clean], after BD3-LM: noisy blocks see themselves and the clean blocks before; clean ones are causal by
    blocks.
    """
    size = blocks * width
    text = rng.integers(2, 30, size).tolist()
    half, block = np.repeat([0, 1], size), np.tile(np.arange(size) // width, 2)
    same = (half[:, None] == half) & (block[:, None] == block)
    mask = same | ((half[:, None] == 0) & (half == 1) & (block[:, None] > block))
    mask |= (half[:, None] == 1) & (half == 1) & (block[:, None] >= block)
    samples = []
    for number in range(blocks):
        parts = [{"length": width, "within": "full", "sees": list(range(before))} for before in range(number)]
        noisy = {
            "length": width,
            "within": "full",
            "sees": list(range(number)),
            "predict": "self",
            "position": number * width,
        }
        labels = [-100] * (number * width) + text[number * width : (number + 1) * width]
        samples.append(
            {
                "id": number,
                "input_ids": text[: number * width] + [99] * width,
                "labels": labels,
                "segments": [*parts, noisy],
            }
        )
    inputs, positions = [99] * size + text, [*range(size), *range(size)]
    labels = [[place, token, []] for place, token in enumerate(text)]
    return mask, samples, {"inputs": inputs, "positions": positions, "labels": labels}


def shared_prefix(rng):
    """One prompt and three answers, none of which sees another."""
    prompt, answers = rng.integers(2, 30, 5).tolist(), [rng.integers(30, 60, n).tolist() for n in (4, 3, 5)]
    owner = np.repeat(np.arange(4), [5, 4, 3, 5])
    number = np.arange(len(owner))
    mask = (number <= number[:, None]) & ((owner == 0) | (owner[:, None] == owner))
    samples = [{"id": f"a{i}", "input_ids": prompt + one, "labels": [-100] * 5 + one} for i, one in enumerate(answers)]
    positions = [*range(5), *(5 + place for one in answers for place in range(len(one)))]
    labels, begin = [], 5
    for one in answers:
        labels += [[4, one[0]], *([begin + place, one[place + 1]] for place in range(len(one) - 1))]
        begin += len(one)
    return (
        mask,
        samples,
        {"inputs": prompt + list(chain.from_iterable(answers)), "positions": positions, "labels": labels},
    )


def parallel_documents(rng):
    """Two documents from position 0, and a question that sees both."""
    first, second, question = (rng.integers(2, 30, n).tolist() for n in (4, 3, 5))
    owner = np.repeat([0, 1, 2], [4, 3, 5])
    number = np.arange(12)
    mask = (number <= number[:, None]) & ((owner[:, None] == owner) | (owner[:, None] == 2))
    segments = [
        {"length": 4, "position": 0},
        {"length": 3, "position": 0},
        {"length": 5, "position": 4, "sees": [0, 1]},
    ]
    labels = [-100] * 8 + question[1:]
    samples = [{"id": "q", "input_ids": first + second + question, "labels": labels, "segments": segments}]
    edges = [[7 + place, question[place + 1], []] for place in range(4)]
    positions = [*range(4), *range(3), *range(4, 9)]
    return mask, samples, {"inputs": first + second + question, "positions": positions, "labels": edges}


def by_documents(mask, segments=None):
    def make(rng):
        samples = next_token_samples(rng, segments)
        inputs = [token for sample in samples for token in sample["input_ids"]]
        begin = np.concatenate([[0], np.cumsum(LENGTHS)])
        edges = [
            [int(begin[number]) + place - 1, label, []]
            for number, sample in enumerate(samples)
            for place, label in enumerate(sample["labels"])
            if label != -100
        ]
        return mask.copy(), samples, {"inputs": inputs, "positions": PLACE.tolist(), "labels": edges}

    return make


GAP, CHUNK = PLACE[:, None] - PLACE, PLACE // 4
KINDS = {
    "documents": by_documents(SAME & CAUSAL),
    "window": by_documents(SAME & CAUSAL & (GAP < 4)),
    "chunks": by_documents(SAME & CAUSAL & (CHUNK[:, None] == CHUNK)),
    "llama 4": by_documents(np.stack([SAME & CAUSAL & (CHUNK[:, None] == CHUNK)] * 3 + [SAME & CAUSAL])),
    "gemma 3": by_documents(np.stack([SAME & CAUSAL & (GAP < 3)] * 5 + [SAME & CAUSAL])),
    "prefix-LM": by_documents(SAME & (CAUSAL | (PROMPT[:, None] & PROMPT) | PROMPT), prefix_lm),
    "block diffusion": block_diffusion,
    "shared prefix": shared_prefix,
    "parallel documents": parallel_documents,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_published_masks(kind, seed, tmp_path):
    rng = np.random.default_rng([seed, len(kind)])
    mask, samples, tokens = KINDS[kind](rng)
    np.save(tmp_path / "mask.npy", mask)
    report = audit(read_subject(tmp_path / "mask.npy", tokens=tokens, samples=samples))
    spared = {"MS007", "MS008", "MS010", "MS021"} | (
        {"MS019"} if kind == "block diffusion" else set()
    )  # its last clean block is dead
    assert not {one.code for one in report.findings} - spared, [one.message for one in report.findings]
    assert report.errors == 0
    assert report.complete
    tables = mask if mask.ndim == 3 else mask[None]
    table = int(rng.integers(len(tables)))
    live = sorted({edge[0] for edge in tokens["labels"]})
    query = live[int(rng.integers(len(live)))]
    keys = [key for key in np.flatnonzero(tables[table, query]).tolist() if key != query]
    if not keys:
        return
    tables[table, query, keys[int(rng.integers(len(keys)))]] = False
    np.save(tmp_path / "mask.npy", mask)
    found = [
        one
        for one in audit(read_subject(tmp_path / "mask.npy", tokens=tokens, samples=samples)).findings
        if one.code in WRONG
    ]
    assert {one.position for one in found} == {query}
    assert {one.code for one in found} <= {"MS002", "MS009"}


def test_mask_mods_with_samples():
    """The documents of attention-gym, of 3, 5 and 4 tokens."""
    rng = np.random.default_rng(1)
    samples = [
        {"id": n, "input_ids": text, "labels": [-100, *text[1:]]} for n, text in enumerate(texts([3, 5, 4], rng))
    ]
    inputs, positions = [t for s in samples for t in s["input_ids"]], [*range(3), *range(5), *range(4)]
    labels = [[q, inputs[q + 1]] for q in range(11) if q not in (2, 7)]
    known = {"length": 12, "tokens": {"inputs": inputs, "positions": positions, "labels": labels}, "samples": samples}
    assert audit(read_subject("tests.audit.masks:documents", **known)).errors == 0
    found = audit(read_subject("tests.audit.masks:causal", **known)).findings
    assert {one.position for one in found if one.code == "MS015"} == set(range(3, 12))


def test_answers_with_samples(tmp_path):
    """The folder of `masksynth solve`, whose inputs are token ids."""
    import masksynth as ms

    tasks = []
    for name, text in (("a", [5, 6, 7]), ("b", [5, 6, 8])):
        nodes = tuple(ms.Node(f"n{place}", token, place) for place, token in enumerate(text[:-1]))
        attends = {f"n{place}": tuple(f"n{key}" for key in range(place + 1)) for place in range(len(nodes))}
        predict = tuple(ms.Prediction(f"n{place}", text[place + 1]) for place in range(len(nodes)))
        tasks.append(ms.Task(name, nodes, attends, predict))
    answer = ms.solve(ms.Instance(ms.TaskFamily(tuple(tasks)), "two"))
    ms.write(answer, tmp_path / "out")
    samples = [
        {"id": name, "input_ids": text, "labels": [-100, *text[1:]]}
        for name, text in (("a", [5, 6, 7]), ("b", [5, 6, 8]))
    ]
    assert audit(read_subject(tmp_path / "out", samples=samples)).errors == 0
    samples[1]["labels"][2] = 9
    found = [one for one in audit(read_subject(tmp_path / "out", samples=samples)).findings if one.severity == "error"]
    assert [(one.code, one.witness["sample"], one.witness["token"]) for one in found] == [("MS003", "b", 2)]


def test_sparse_answers_are_not_compared(tmp_path):
    import masksynth as ms

    answer = ms.solve(ms.catalog.causal_lm(n=6), sparse=True, layers=2, limits=ms.Limits(5.0))
    ms.write(answer, tmp_path / "out")
    report = audit(read_subject(tmp_path / "out", samples=[{"id": 0, "input_ids": [1, 2], "labels": [-100, 2]}]))
    assert not report.complete
    assert [one.code for one in report.findings if one.code == "MS022"] == ["MS022"]
