"""A small Transformer in float64 whose parts depend on (input, position, kind) only."""

from __future__ import annotations

import torch
from torch import nn

from tests.torch.reference import identities_of, labels_of, text

WIDTH, HEADS = 8, 2


class Transformer(nn.Module):
    """Attention and an MLP in every layer, each added to the residual.

    Layer l uses table l mod P of the mask it is given.

    ``sink`` adds a key of score 0 and value 0 to every row, so that attention feels the number of keys.
    """

    def __init__(self, family, layers, sink, seed=0):
        super().__init__()
        self.sink, self.layers = sink, layers
        nodes = [identity for task in family.tasks for identity in identities_of(task)]
        self.tokens = {name: i for i, name in enumerate(sorted({name for node in nodes for name in parts(node[0])}))}
        self.places = {place: i for i, place in enumerate(sorted({node[1] for node in nodes}))}
        self.kinds = {kind: i for i, kind in enumerate(sorted({node[2] for node in nodes}))}
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape):
            return nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5)

        kinds = len(self.kinds)
        self.token, self.place = weights(len(self.tokens), WIDTH), weights(len(self.places) + 1, WIDTH)
        self.qkv, self.out = weights(layers, kinds, 3 * WIDTH, WIDTH), weights(layers, kinds, WIDTH, WIDTH)
        self.up, self.down = weights(layers, kinds, 2 * WIDTH, WIDTH), weights(layers, kinds, WIDTH, 2 * WIDTH)
        self.head = weights(len(labels_of(family)) + 1, WIDTH)

    def embed(self, identities):
        content = [self.token[[self.tokens[name] for name in parts(value)]].mean(0) for value, _, _ in identities]
        return (
            torch.stack(content) + self.place[[self.places.get(place, len(self.places)) for _, place, _ in identities]]
        )

    def hidden(self, identities, tables, attend=None):
        """States after the embedding and after every layer, a list of (n, WIDTH)."""
        return self.through(self.embed(identities), [self.kinds[kind] for _, _, kind in identities], tables, attend)

    def through(self, inputs, kind, tables, attend=None):
        """``inputs`` (n, WIDTH) and the states after every layer."""
        states = [inputs]
        for layer in range(self.layers):
            x = states[-1]
            q, k, v = (
                torch.einsum("ndw,nw->nd", self.qkv[layer][kind], x).reshape(len(x), 3, HEADS, -1).permute(1, 2, 0, 3)
            )
            mixed = (attend or self.attend)(q, k, v, tables[layer % len(tables)])
            x = x + torch.einsum("ndw,nw->nd", self.out[layer][kind], mixed.transpose(0, 1).reshape(len(x), WIDTH))
            inner = torch.tanh(torch.einsum("ndw,nw->nd", self.up[layer][kind], x))
            states.append(x + torch.einsum("ndw,nw->nd", self.down[layer][kind], inner))
        return states

    def attend(self, q, k, v, mask):
        scores = (q @ k.transpose(-1, -2)).masked_fill(~mask, float("-inf"))
        top = scores.amax(-1, keepdim=True).clamp(
            min=0.0
        )  # finite in an empty row, which only a sink or a dead node has
        weight = (scores - top).exp()
        total = weight.sum(-1, keepdim=True) + ((-top).exp() if self.sink else 0.0)
        return (weight / torch.where(total > 0, total, 1.0)) @ v

    def forward(self, identities, tables, attend=None):
        return self.hidden(identities, tables, attend)[-1] @ self.head.T


def parts(value):
    """What an input embeds: the mean of the named elements of an aggregate ("mean", a, b), else itself."""
    return (
        [text(item) for item in value[1:]]
        if isinstance(value, (list, tuple)) and value[:1] == ("mean",)
        else [text(value)]
    )
