"""Check a packed batch against the samples that it trains, independently of the packing.

Nothing of ``masksynth.pack`` is used: the samples are read again from their own columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.check_batch_rows import wrong_tokens
from masksynth.verify.ragged import prefix_sums, repeat_ranges, row_of_entry

IGNORED = -100
"""Label of a token that is not trained."""


def check_packed(batch: Any, table: Any, samples: Int64Array) -> None:
    """Check that a batch trains exactly the given samples.

    Every sample's live and dead tokens are its tokens; every trained label has one loss edge at the token that predicts
    it, with its weight and fields; the row of every live token contains, class by class, the classes of the tokens that
    it sees in its sample; every position serves a sample. Hence (``docs/theory.md``, section 9) outputs, loss and
    gradients equal those of the separate samples.

    Parameters
    ----------
    batch : PackedBatch
    table : SampleTable
    samples : (S,) int64
        The samples of the table that the batch holds, in its order.

    Raises
    ------
    WrongAnswer
        Naming the requirement and the first sample at fault; a `WrongSample` where there is one.
    """
    begin, end = table.offset[samples], table.offset[samples + 1]
    dead = _find_dead(batch, end - begin)
    tokens = _Tokens(
        samples=samples,
        begin=begin,
        entry=repeat_ranges(begin, end - begin),
        owner=np.repeat(np.arange(len(samples)), end - begin),
        live=np.flatnonzero(~dead),
        dead=np.flatnonzero(dead),
    )
    _check_tokens(batch, table, tokens)
    position = np.full(len(tokens.entry), -1, np.int64)
    position[tokens.live] = batch.sample_position
    _check_losses(batch, table, tokens, position)
    _check_rows(batch, table, samples, position)


class _Tokens(NamedTuple):
    """The tokens of a batch's samples, sample after sample, U in all.

    Parameters
    ----------
    samples : (S,) int64
        Indices of the samples in their table.
    begin : (S,) int64
        First token of each sample in the table.
    entry : (U,) int64
        Index of each token in the table.
    owner : (U,) int64
        Number of each token's sample in the batch.
    live, dead : (L,) and (D,) int64
        The tokens that the batch does not list as dead, and those that it does.
    """

    samples: Int64Array
    begin: Int64Array
    entry: Int64Array
    owner: Int64Array
    live: Int64Array
    dead: Int64Array


class WrongSample(WrongAnswer):
    """A batch that does not train a sample as it is.

    Parameters
    ----------
    requirement : str
    fact : str
    sample : str, int or None
        The sample's id.
    token : int or None
        The first token at fault, counted within the sample.
    file : str
        The batch's file, if any.
    """

    def __init__(
        self, requirement: str, fact: str, sample: str | int | None = None, token: int | None = None, file: str = ""
    ) -> None:
        self.said, self.sample, self.token, self.file = fact, sample, token, file
        prefix = f"{file}: " if file else ""
        super().__init__(requirement, prefix + (fact if sample is None else f"sample {sample!r}: {fact}"))

    def __reduce__(self) -> Any:
        return WrongSample, (self.requirement, self.said, self.sample, self.token, self.file)


def _find_dead(batch: Any, length: Int64Array) -> BoolArray:
    """Return which of the samples' tokens, given the length of each sample, the batch lists as dead."""
    dead_count = np.diff(batch.dead_offset)
    if len(batch.samples) != len(length) or not np.array_equal(np.diff(batch.sample_offset) + dead_count, length):
        raise WrongAnswer("identity", "the batch's live and dead tokens are not as many as the samples' tokens")
    owner = row_of_entry(batch.dead_offset)
    if len(owner) and ((batch.dead_index < 0) | (batch.dead_index >= length[owner])).any():
        raise WrongAnswer("identity", "a dead token is outside its sample")
    dead = np.zeros(int(length.sum()), bool)
    dead[prefix_sums(length)[owner] + batch.dead_index] = True
    if int(dead.sum()) != len(owner):
        raise WrongAnswer("identity", "a dead token is listed twice")
    return dead


def _check_tokens(batch: Any, table: Any, tokens: _Tokens) -> None:
    """Check input ids, position ids and keys of the live tokens, and the input ids of the dead ones."""
    live, owner = tokens.entry.take(tokens.live), tokens.owner.take(tokens.live)
    ids = table.keys.get("position_ids")
    index = live - tokens.begin[owner] if ids is None else ids[live]
    columns = [("input_ids", batch.input_ids, table.tokens.take(live)), ("position_ids", batch.position_ids, index)]
    columns += [
        (name, batch.keys.get(name), values[live]) for name, values in table.keys.items() if name != "position_ids"
    ]
    for name, given, expected in columns:
        if given is None or not np.array_equal(given.take(batch.sample_position), expected):
            wrong = 0 if given is None else int(np.argmax(given[batch.sample_position] != expected))
            fact = f"{name} of a live token differ from the sample's"
            sample = int(owner[wrong])
            raise WrongSample("identity", fact, batch.samples[sample], int(live[wrong] - tokens.begin[sample]))
    dead = tokens.entry[tokens.dead]
    if not np.array_equal(batch.dead_token, table.tokens[dead]):
        wrong = int(np.argmax(batch.dead_token != table.tokens[dead]))
        sample = int(tokens.owner[tokens.dead][wrong])
        token = int(dead[wrong] - tokens.begin[sample])
        raise WrongSample("identity", "a dead token differs from the sample's", batch.samples[sample], token)


def _check_losses(batch: Any, table: Any, tokens: _Tokens, position: Int64Array) -> None:
    """Check that there is one loss edge for each trained label, with its position, weight and fields.

    ``position`` is the position of each token, -1 for dead ones.
    """
    trained = np.flatnonzero(table.labels.take(tokens.entry) != IGNORED)
    token, sample = tokens.entry[trained], tokens.owner[trained]
    if len(trained) != len(batch.loss_label):
        raise WrongAnswer("loss edges", f"{len(batch.loss_label)} loss edges for {len(trained)} trained labels")
    weight = table.weight[tokens.samples][sample]
    if (token_weights := table.fields.get("weights")) is not None:
        weight = weight * np.nan_to_num(token_weights[token], nan=1.0)
    expected = {
        "loss_sample": sample,
        "loss_label": table.labels[token],
        "loss_index": token - tokens.begin[sample],
        "loss_weight": weight,
        "loss_position": position[find_predictors(table, tokens.samples, trained)],
    }
    for name, values in expected.items():
        given = getattr(batch, name)
        if not np.array_equal(given, values):
            wrong = int(np.argmax(given != values))
            fact = f"{name} is {given[wrong]}, not {values[wrong]}"
            label = int(expected["loss_index"][wrong])
            raise WrongSample("loss edges", fact, batch.samples[int(sample[wrong])], label)
    if (expected["loss_position"] < 0).any():
        raise WrongAnswer("loss edges", "a label is predicted by a dead token")
    if not np.array_equal(batch.sample_weight, table.weight[tokens.samples]):
        raise WrongAnswer("loss edges", "the samples' weights differ")
    for name, values in table.fields.items():
        if name not in batch.fields or not np.array_equal(batch.fields[name], values[token], equal_nan=True):
            raise WrongAnswer("loss edges", f"the field {name} differs")


def find_predictors(table: Any, samples: Int64Array, trained: Int64Array) -> Int64Array:
    """Return the index, among the batch's tokens, of the token that predicts each trained label.

    It is the token before; in a segment with ``predict="self"`` the token itself, and for the first label of another
    segment the last token of the segment that it follows.
    """
    predictor = trained - 1
    offset = prefix_sums(table.offset[samples + 1] - table.offset[samples])
    for number, sample in enumerate(samples.tolist()):
        for segment in table.segments[sample] or ():
            first = int(offset[number])
            start = first + segment.start
            low, high = np.searchsorted(trained, [start, start + segment.length]).tolist()
            if segment.predict == "self":
                predictor[low:high] = trained[low:high]
            elif high > low and trained[low] == start:
                before = table.segments[sample][segment.after]
                predictor[low] = first + before.start + before.length - 1
    return predictor


def _check_rows(batch: Any, table: Any, samples: Int64Array, position: Int64Array) -> None:
    """Check the rows of all live tokens; ``position`` is that of each token, -1 for dead ones."""
    offset = prefix_sums(table.offset[samples + 1] - table.offset[samples])
    segments = tuple(table.segments[sample] for sample in samples.tolist())
    wrong, _ = wrong_tokens(batch, offset, segments, position)
    if len(wrong):
        number = int(wrong[0])
        sample = int(np.searchsorted(offset, number, "right")) - 1
        token = number - int(offset[sample])
        fact = f"token {token} at position {int(position[number])} does not see exactly what it sees in the sample"
        raise WrongSample("rows", fact, batch.samples[sample], token)
