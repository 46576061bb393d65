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
    """Return the largest relative difference of a label's log-probability, and of the auxiliary loss, in float32."""
    entry, samples = EXACT[name], zoo_samples()
    plain = make_model(entry, entry.attention[0], torch.float32)
    flex = make_model(entry, "flex_attention", torch.float32)
    packed = trie.packed(samples)
    batch, rows = Collator(model=flex)(packed), Collator(model=plain, merge=False)(packed)
    routers = {"output_router_logits": True} if batch.architecture.router_loss else {}
    with torch.no_grad():
        output = flex(**batch.model_inputs, **routers)
        merged = packed_loss(output.logits, batch, "none")
        separate = [-s["weight"] * part for s, part in zip(samples, own_logprobs(plain, samples), strict=True)]
        apart = [relative(merged, torch.cat(separate))]
        if routers:
            apart.append(relative(output.aux_loss, plain(**rows.model_inputs, **routers).aux_loss))
    return max(apart)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's compiler
        print(json.dumps({name: compare_flex(name) for name in sys.argv[1:]}))
