"""The independent check of a packed batch against the samples it stands for.

Nothing of ``masksynth.pack`` is used. The samples are read again from their own columns, and their rows are rebuilt
from what they say they see: a causal token sees the tokens up to itself, a segmented one what its segment's description
says.

Rows are compared as multisets by sums of random words, one word per position: over a row by prefix sums, over a
sample's tokens by running sums. Unequal multisets have equal sums with a chance of 2^-64; equal sums of two rows, and
all else, are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import WrongAnswer

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
IGNORED = -100
DEAD = np.uint64(0x9E3779B97F4A7C15)
"""The word of dead tokens; any number that is not 0."""


def check_packed(batch: Any, table: Any, samples: Ints) -> None:
    """Check that a batch trains exactly the given samples.

    Every sample's live and dead tokens are its tokens; every trained label has one loss edge at the token that predicts
    it, with its weight and fields; every live token's row holds, class by class, the classes of the tokens that it sees
    in its sample; every position serves some sample. Hence (``docs/theory.md``, section 9) outputs, loss and gradients
    equal those of the separate samples.

    Parameters
    ----------
    batch : PackedBatch
    table : SampleTable
    samples : (S,) int64
        Which samples of the table the batch holds, in its order.

    Raises
    ------
    WrongAnswer
        Naming the requirement and the first sample at fault; a `WrongSample` where there is one.
    """
    begin, end = table.offset[samples], table.offset[samples + 1]
    flat = _concatenated(begin, end - begin)
    owner = np.repeat(np.arange(len(samples)), end - begin)
    dead = _dead(batch, begin, end, flat)
    _check_tokens(batch, table, begin, flat, owner, dead)
    at = np.full(len(flat), -1, np.int64)
    at[~dead] = batch.sample_position
    _check_losses(batch, table, samples, flat, owner, at)
    _check_rows(batch, table, samples, at)


def _concatenated(begin: Ints, length: Ints) -> Ints:
    total = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    return np.arange(total[-1]) - np.repeat(total[:-1] - begin, length)


class WrongSample(WrongAnswer):
    """A batch that does not train a sample as it is.

    Parameters
    ----------
    requirement : str
    fact : str
    sample : str, int or None
        The sample's id.
    token : int or None
        The first token at fault, its place in the sample.
    file : str
        The batch, where it has one.
    """

    def __init__(
        self, requirement: str, fact: str, sample: str | int | None = None, token: int | None = None, file: str = ""
    ) -> None:
        self.said, self.sample, self.token, self.file = fact, sample, token, file
        place = f"{file}: " if file else ""
        super().__init__(requirement, place + (fact if sample is None else f"sample {sample!r}: {fact}"))

    def __reduce__(self) -> Any:
        return WrongSample, (self.requirement, self.said, self.sample, self.token, self.file)


def _fail(requirement: str, batch: Any, sample: int, token: int, fact: str) -> None:
    raise WrongSample(requirement, fact, batch.samples[sample], token)


def _dead(batch: Any, begin: Ints, end: Ints, flat: Ints) -> NDArray[np.bool_]:
    """Which of the samples' tokens the batch calls dead."""
    length = end - begin
    if len(batch.samples) != len(begin) or not np.array_equal(
        np.diff(batch.sample_offset) + np.diff(batch.dead_offset), length
    ):
        raise WrongAnswer("identity", "the batch's live and dead tokens are not as many as the samples' tokens")
    where = np.concatenate([[0], np.cumsum(length)])[:-1]
    owner = np.repeat(np.arange(len(begin)), np.diff(batch.dead_offset))
    if len(owner) and ((batch.dead_index < 0) | (batch.dead_index >= length[owner])).any():
        raise WrongAnswer("identity", "a dead token lies outside its sample")
    dead = np.zeros(len(flat), bool)
    dead[where[owner] + batch.dead_index] = True
    if int(dead.sum()) != len(owner):
        raise WrongAnswer("identity", "a dead token is listed twice")
    return dead


def _check_tokens(batch: Any, table: Any, begin: Ints, flat: Ints, owner: Ints, dead: NDArray[np.bool_]) -> None:
    live = flat[~dead]
    place = table.keys.get("position_ids")
    where = live - begin[owner[~dead]] if place is None else place[live]
    names = [("input_ids", batch.input_ids, table.tokens[live]), ("position_ids", batch.position_ids, where)]
    names += [
        (name, batch.keys.get(name), values[live]) for name, values in table.keys.items() if name != "position_ids"
    ]
    for name, given, expected in names:
        if given is None or not np.array_equal(given[batch.sample_position], expected):
            wrong = 0 if given is None else int(np.argmax(given[batch.sample_position] != expected))
            sample = int(owner[~dead][wrong])
            _fail(
                "identity",
                batch,
                sample,
                int(live[wrong] - begin[sample]),
                f"{name} of a live token differ from the sample's",
            )
    if not np.array_equal(batch.dead_token, table.tokens[flat[dead]]):
        wrong = int(np.argmax(batch.dead_token != table.tokens[flat[dead]]))
        sample = int(owner[dead][wrong])
        _fail(
            "identity", batch, sample, int(flat[dead][wrong] - begin[sample]), "a dead token differs from the sample's"
        )


def _check_losses(batch: Any, table: Any, samples: Ints, flat: Ints, owner: Ints, at: Ints) -> None:
    trained = np.flatnonzero(table.labels[flat] != IGNORED)
    token, sample = flat[trained], owner[trained]
    if len(trained) != len(batch.loss_label):
        raise WrongAnswer("loss edges", f"{len(batch.loss_label)} loss edges for {len(trained)} trained labels")
    weight = table.weight[samples][sample]
    if (own := table.fields.get("weights")) is not None:
        weight = weight * np.nan_to_num(own[token], nan=1.0)
    expected = {
        "loss_sample": sample,
        "loss_label": table.labels[token],
        "loss_index": token - table.offset[samples][sample],
        "loss_weight": weight,
        "loss_position": at[_predictors(table, samples, flat, trained)],
    }
    for name, values in expected.items():
        given = getattr(batch, name)
        if not np.array_equal(given, values):
            wrong = int(np.argmax(given != values))
            place = int(expected["loss_index"][wrong])
            _fail("loss edges", batch, int(sample[wrong]), place, f"{name} is {given[wrong]}, not {values[wrong]}")
    if (expected["loss_position"] < 0).any():
        raise WrongAnswer("loss edges", "a label is predicted by a dead token")
    if not np.array_equal(batch.sample_weight, table.weight[samples]):
        raise WrongAnswer("loss edges", "the samples' weights differ")
    for name, values in table.fields.items():
        if name not in batch.fields or not np.array_equal(batch.fields[name], values[token], equal_nan=True):
            raise WrongAnswer("loss edges", f"the field {name} differs")


def _predictors(table: Any, samples: Ints, flat: Ints, trained: Ints) -> Ints:
    """Index into ``flat`` of the token that predicts each trained label."""
    predictor = trained - 1
    cut = 0
    for sample in samples.tolist():
        length = int(table.offset[sample + 1] - table.offset[sample])
        for segment in table.segments[sample] or ():
            low, high = np.searchsorted(trained, [cut + segment.start, cut + segment.start + segment.length]).tolist()
            if segment.predict == "self":
                predictor[low:high] = trained[low:high]
            elif high > low and trained[low] == cut + segment.start:
                before = table.segments[sample][segment.after]
                predictor[low] = cut + before.start + before.length - 1
        cut += length
    return predictor


def _check_rows(batch: Any, table: Any, samples: Ints, at: Ints) -> None:
    """The rows of all live tokens."""
    cut = np.concatenate([[0], np.cumsum(table.offset[samples + 1] - table.offset[samples])]).astype(np.int64)
    wrong, _ = wrong_tokens(batch, cut, tuple(table.segments[sample] for sample in samples.tolist()), at)
    if len(wrong):
        token = int(wrong[0])
        sample = int(np.searchsorted(cut, token, "right")) - 1
        place = token - int(cut[sample])
        fact = f"token {place} at position {int(at[token])} does not see exactly what it sees in the sample"
        _fail("rows", batch, sample, place, fact)


def wrong_tokens(batch: Any, cut: Ints, segments: Sequence[Any], at: Ints) -> tuple[Ints, Ints]:
    """The live tokens whose position's row is not, class by class, what they see in their sample; and each position's first copy.

    The sum of words over a token's row is the sum over the tokens that it sees. Dead tokens have a word that no
    position has, so a live token that sees one, which it could not in the batch, is wrong.

    Parameters
    ----------
    batch : PackedBatch
    cut : (S + 1,) int64
        Where each sample's tokens begin.
    segments : sequence of S
        Each sample's segments; None for a causal one.
    at : (U,) int64
        The position of each token, -1 for dead ones.

    Raises
    ------
    WrongAnswer
        If a position does not see itself, or serves no sample and is no copy.
    """
    used = np.zeros(len(batch.input_ids), bool)
    used[batch.sample_position] = True
    word, lowest = _words(batch, used)
    row = _row_sums(batch.mask, word)
    if (row != row[lowest]).any():
        raise WrongAnswer(
            "rows", f"position {int(np.argmax(row != row[lowest]))} is a copy of another and has another row"
        )
    live = at >= 0
    value = np.append(word, DEAD)[at]  # at is -1 for dead tokens
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(value, dtype=np.uint64)])
    expected = running[1:] - np.repeat(running[cut[:-1]], np.diff(cut))
    for number, parts in enumerate(segments):
        if parts is not None:
            own = slice(int(cut[number]), int(cut[number + 1]))
            expected[own] = _segment_rows(parts, value[own], running[cut[number] : cut[number + 1] + 1])
    return np.flatnonzero(live & (np.append(row, np.uint64(0))[at] != expected)), lowest


def _words(batch: Any, used: NDArray[np.bool_]) -> tuple[Words, Ints]:
    """A random word for each class, and for each position a used one of its class: itself, or of which it is a copy."""
    size = len(used)
    mask = batch.mask
    own = np.repeat(np.arange(size), np.diff(mask.row_offset[0]))
    sees = np.zeros(size, bool)
    sees[own[(mask.key_start <= own) & (own < mask.key_end)]] = True
    if not sees.all():
        raise WrongAnswer("rows", f"position {int(np.argmin(sees))} does not see itself")
    seed = [size, len(mask.key_start), int(batch.input_ids.sum()), int(mask.key_start.sum())]
    words = np.random.default_rng(seed).integers(0, 2**64, size, np.uint64)
    lowest = np.arange(size)
    if not used.all():
        lowest[~used] = _copied(batch, np.where(used, words, np.uint64(0)), used)
    return words[lowest], lowest


def _copied(batch: Any, words: Words, used: NDArray[np.bool_]) -> Ints:
    """For each unused position a used one of which it may be a copy; whether it is one, the comparison of their rows tells.

    Some used position sees the copy, and therefore the first of its class, in one sample. That one has the same
    identity, sees as many keys and, copies aside, the same ones, less itself where its row holds one of the class only.
    """
    columns = [batch.input_ids, batch.position_ids, *(batch.keys[name] for name in sorted(batch.keys))]
    identity = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].reshape(-1).astype(np.uint64)
    row, size = _row_sums(batch.mask, words), _row_sums(batch.mask, np.ones(len(words), np.uint64))
    rest = np.flatnonzero(~used)
    home = _seen_in(batch, used, rest)
    lengths = np.diff(batch.sample_offset)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    pairs = np.isin(owner, home)
    first, owner = batch.sample_position[pairs], owner[pairs]
    names = np.concatenate([identity[first], identity[first], identity[rest]])
    sums = np.concatenate([row[first], row[first] - words[first], row[rest]])
    sizes = np.concatenate([size[first], size[first], size[rest]])
    homes = np.concatenate([owner, owner, home]).astype(np.uint64)
    number = np.unique(np.stack([homes, names, sums, sizes]), axis=1, return_inverse=True)[1].reshape(-1)
    found = np.full(len(number), -1, np.int64)
    found[number[: 2 * len(first)]] = np.concatenate([first, first])
    copied = found[number[2 * len(first) :]]
    if (copied < 0).any():
        raise WrongAnswer(
            "identity", f"position {int(rest[np.argmin(copied)])} serves no sample and is no copy of one that does"
        )
    return copied


def _seen_in(batch: Any, used: NDArray[np.bool_], rest: Ints) -> Ints:
    """For each unused position a sample that holds a used position which sees it."""
    mask = batch.mask
    query = np.repeat(np.arange(len(used)), np.diff(mask.row_offset[0]))
    low, high = np.searchsorted(rest, mask.key_start), np.searchsorted(rest, mask.key_end)
    hits = np.flatnonzero((high > low) & used[query])
    viewer = np.full(len(rest), -1, np.int64)
    viewer[_concatenated(low[hits], (high - low)[hits])] = np.repeat(query[hits], (high - low)[hits])
    if (viewer < 0).any():
        raise WrongAnswer("identity", f"position {int(rest[np.argmin(viewer)])} serves no sample, and none sees it")
    sample = np.zeros(len(used), np.int64)
    sample[batch.sample_position] = np.repeat(np.arange(len(batch.samples)), np.diff(batch.sample_offset))
    return sample[viewer]


def _row_sums(mask: Any, words: Words) -> Words:
    """The sum of words over each row."""
    over = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    part = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum(over[mask.key_end] - over[mask.key_start], dtype=np.uint64)]
    )
    sums: Words = part[mask.row_offset[0][1:]] - part[mask.row_offset[0][:-1]]
    return sums


def _segment_rows(segments: Any, value: Words, running: Words) -> Words:
    """The sums of words over what each token of a segmented sample sees."""
    result = np.zeros(len(value), np.uint64)
    start = np.array([s.start for s in segments], np.int64)
    total = running[start + np.array([s.length for s in segments], np.int64)] - running[start]
    for number, segment in enumerate(segments):
        part = slice(segment.start, segment.start + segment.length)
        if segment.within == "full":
            own = total[[number]]
        elif segment.within == "self":
            own = value[part]
        else:
            own = running[segment.start + 1 : segment.start + segment.length + 1] - running[[segment.start]]
        result[part] = own + total[list(segment.sees)].sum(keepdims=True, dtype=np.uint64)
    return result
