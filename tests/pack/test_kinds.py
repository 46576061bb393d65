"""Schemes in real use as segmented samples.

As many positions as the catalogue's family, merged token by token, needs.
"""

import pytest

import masksynth as ms
from masksynth.merge import merge
from masksynth.pack import pack_batches
from tests.pack.families import family_of, merged_of

M = 99


def sample(number, parts):
    """A sample from (tokens, labels, segment) triples; every token id is its place in the text unless it is a mask."""
    tokens = [token for ids, _, _ in parts for token in ids]
    labels = [label for ids, given, _ in parts for label in (given or [-100] * len(ids))]
    segments = [{"length": len(ids), **segment} for ids, _, segment in parts]
    return {"id": number, "group": "g", "input_ids": tokens, "labels": labels, "segments": segments}


def block_two_stream(n, l, within="full"):  # noqa: E741 - named as in the paper
    for b in range(n // l):
        clean, block = list(range(b * l)), list(range(b * l, b * l + l))
        masks = ([M] * l, block, {"sees": [0], "within": within, "position": b * l, "predict": "self"})
        yield sample(b, [(clean, None, {"position": 0}), masks])


def bd3lm(n, l):  # noqa: E741
    for b in range(n // l):
        blocks = [(list(range(c * l, c * l + l)), None, {"sees": list(range(c)), "within": "full"}) for c in range(b)]
        noised = [M if i % 2 else i for i in range(b * l, b * l + l)]
        labels = [i if i % 2 else -100 for i in range(b * l, b * l + l)]
        yield sample(
            b,
            [
                *blocks,
                (noised, labels, {"sees": list(range(b)), "within": "full", "position": b * l, "predict": "self"}),
            ],
        )


def prefix_lm(n, p):
    text = list(range(n))
    yield sample(0, [(text[:p], None, {"within": "full"}), (text[p:], text[p:], {"sees": [0]})])


def mask_token_chain(n, k):
    """The next token's label is on a token of its own, which no token sees: it is dead and takes no position."""
    for a in range(n - 1):
        deep = [a + d + 1 for d in range(k) if a + d + 1 < n]
        masks = ([M] * (len(deep) - 1), deep[1:], {"sees": [0], "position": a + 1, "predict": "self"})
        yield sample(a, [(list(range(a + 1)), None, {}), masks, (deep[:1], deep[:1], {"after": 0})])


def var_scales(sizes):
    """Scale s predicts its own codes, seeing all earlier scales and itself."""
    for scale in range(len(sizes)):
        parts, begin = [], 0
        for s in range(scale + 1):
            codes = list(range(begin, begin + sizes[s]))
            last = codes if s == scale else None
            parts.append((codes, last, {"sees": list(range(s)), "within": "full", "predict": "self"}))
            begin += sizes[s]
        yield sample(scale, parts)


def tabpfn(train, tests):
    for number, row in enumerate(tests):
        parts = [(train, None, {"within": "full"}), ([row], [7], {"sees": [0], "within": "self", "predict": "self"})]
        yield sample(number, parts) | {"position_ids": [0] * (len(train) + 1)}


def documents(texts, questions):
    for number, (own, question) in enumerate(questions):
        parts = [(texts[d], None, {"position": 0}) for d in own]
        at = max(len(texts[d]) for d in own)
        labels = [-100, *question[1:]]
        yield sample(number, [*parts, (question, labels, {"sees": [[0, len(own)]], "position": at})])


BOS = 50
KINDS = {
    "block two-stream": (block_two_stream(12, 3), 2 * 12 - 3),
    "block two-stream, causal": (block_two_stream(12, 3, "causal"), 2 * 12 - 3),
    "block diffusion": (bd3lm(12, 3), 2 * 12 - 3),
    "prefix LM": (prefix_lm(9, 4), 8),
    "mask-token chain": (mask_token_chain(8, 3), None),
    "scales": (var_scales([1, 4, 9]), 1 + 4 + 9),
    "table": (tabpfn([1, 2, 3], [4, 5, 4]), 5),
    "table with equal rows": (tabpfn([1, 1, 2], [4, 5]), 5),
    "documents": (documents([[1, 2], [3], [4, 5, 6]], [([0, 1], [7, 8]), ([1, 2], [7, 8]), ([0, 1], [7, 9])]), None),
    "documents that begin alike": (documents([[BOS, 2], [BOS, 3]], [([0, 1], [7, 8]), ([0], [7, 8])]), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind(kind):
    samples, positions = list(KINDS[kind][0]), KINDS[kind][1]
    [batch] = pack_batches(samples)
    instance = family_of(samples)
    assert batch.positions == len(merge(instance).positions)
    ms.verify(instance, merged_of(batch, instance))
    if positions is not None:
        assert batch.positions == positions


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("block two-stream", ms.catalog.block_two_stream(n=12, l=3)),
        ("block two-stream, causal", ms.catalog.block_two_stream_causal(n=12, l=3)),
        ("prefix LM", ms.catalog.prefix_lm(n=9, P=4)),
        ("mask-token chain", ms.catalog.mask_token_chain(n=8, K=3)),
    ],
)
def test_as_the_catalogue(kind, family):
    makers = {
        "block two-stream": block_two_stream(12, 3),
        "block two-stream, causal": block_two_stream(12, 3, "causal"),
        "prefix LM": prefix_lm(9, 4),
        "mask-token chain": mask_token_chain(8, 3),
    }
    [batch] = pack_batches(list(makers[kind]))
    assert batch.positions == len(merge(family).positions)


def test_copies_of_a_common_beginning():
    """Two documents that begin with the same token at the same place need two copies of it."""
    samples = list(documents([[BOS, 2], [BOS, 3]], [([0, 1], [7, 8])]))
    [batch] = pack_batches(samples)
    assert sorted(batch.input_ids.tolist()) == [2, 3, 7, BOS, BOS]
