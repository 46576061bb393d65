"""A small Transformer that computes a structure as it is meant: what is only read is projected and never updated.

``h[l + 1] = where(updated, block(h[l]), h[l])``, of which only the rows with ``updated`` are computed. It exists to be
read and to be compared with; `masksynth.torch.use_registered_attention` brings a mask per layer to real models, which
compute all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from masksynth.torch.structures.layer_steps import LayerStep


class ReferenceBlock(nn.Module):
    """A Transformer block (pre-norm) that updates some positions from the states of others.

    Parameters
    ----------
    width, heads : int
    reach : int
        Largest difference of position ids that the relative bias tells apart.
    """

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, state: Tensor, step: LayerStep, position_ids: Tensor) -> Tensor:
        """Return the states after the layer, (B, N, width)."""
        if not len(step.queries):
            return state
        normed = self.attention_norm(state)
        query = self._split(self.query(normed[:, step.queries]))
        key, value = self._split(self.key_value(normed[:, step.keys])).chunk(2, dim=-1)
        distance = position_ids[step.keys] - position_ids[step.queries][:, None]
        bias = self.bias[:, distance.clamp(-self.reach, self.reach) + self.reach]
        scores = torch.where(step.mask, bias, -torch.inf)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=scores[None])
        mixed = mixed.transpose(1, 2).flatten(2)
        rows = state[:, step.queries] + self.output(mixed)
        rows = rows + self.feed(self.feed_norm(rows))
        return state.index_copy(1, step.queries, rows)

    def _split(self, rows: Tensor) -> Tensor:
        """Return (B, N, ...) as (B, heads, N, ...)."""
        return rows.view(*rows.shape[:-1], self.heads, -1).transpose(1, 2)


class ReferenceStack(nn.Module):
    """Token and position embeddings, blocks with a step each, and a head.

    Parameters
    ----------
    tokens : int
        Size of the vocabulary; token id ``tokens`` is the blank.
    positions : int
        Number of position ids.
    layers, width, heads : int

    Examples
    --------
    >>> one = torch.tensor([0, 1])
    >>> step = LayerStep(torch.tensor([0]), one, torch.tensor([[True, True]]))
    >>> ReferenceStack(5, 2, 1, 8, 2)(torch.tensor([[5, 3]]), one, [step]).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, tokens: int, positions: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(tokens + 1, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(ReferenceBlock(width, heads, positions) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(self, tokens: Tensor, position_ids: Tensor, steps: Sequence[LayerStep]) -> Tensor:
        """Return the final states, (B, N, width).

        Parameters
        ----------
        tokens : (B, N) int64
        position_ids : (N,) int64
        steps : sequence of LayerStep
            One for each layer.
        """
        state: Tensor = self.token(tokens) + self.position(position_ids)
        for block, step in zip(self.blocks, steps, strict=True):
            state = block(state, step, position_ids)
        return self.norm(state)  # type: ignore[no-any-return]
