"""Run models of the zoo with FlexAttention on one merged batch, and print how far each is from its separate samples.

A process of its own: a second length makes torch's CPU code generator fail.
"""

from __future__ import annotations

import json
import sys
import warnings

import torch

from masksynth.torch import Collator, packed_loss
from tests.torch import trie
from tests.torch.model_zoo import EXACT, make_model
from tests.torch.zoo_comparison import own_logprobs, relative, zoo_samples


def compare_flex(name: str) -> float:
    """Return the largest relative difference of a label's log-probability, in float32."""
    entry, samples = EXACT[name], zoo_samples()
    plain = make_model(entry, entry.attention[0], torch.float32)
    flex = make_model(entry, "flex_attention", torch.float32)
    batch = Collator(model=flex)(trie.packed(samples))
    with torch.no_grad():
        merged = packed_loss(flex(**batch.model_inputs).logits, batch, "none")
        separate = [-s["weight"] * part for s, part in zip(samples, own_logprobs(plain, samples), strict=True)]
    return relative(merged, torch.cat(separate))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's compiler
        print(json.dumps({name: compare_flex(name) for name in sys.argv[1:]}))
