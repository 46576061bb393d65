"""Find queries and keys in multi-head latent attention, where both are products of two weights with a norm between.

A head's score is the sum of a part without positions, from the latent state, and of a rotary part. The first is
q_b diag(w) q_a x_i against kv_b diag(w') kv_a x_j, w and w' being the weights of the norms, over the root mean squares
of both latent states, which are positive numbers of each token. The part without positions is what is scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from masksynth.diagnostics.symmetry.attention_parts import Attention, Part, check_matrix, whole
from masksynth.diagnostics.symmetry.model_config import BELONGS, first_number, head_names, model_type
from masksynth.diagnostics.symmetry.weight_store import Store
from masksynth.errors import InvalidInstance

LATENT = ("deepseek_v2", "deepseek_v3", "minicpm3", "glm4_moe_lite", "youtu", "mistral4")
"""Values of model_type whose latent attention stores, in each head, the part without positions first."""
KEYS = "kv_b_proj.weight"


def latent_layers(store: Store, cross: re.Pattern[str]) -> Iterator[Attention]:
    """Yield the layers of latent attention.

    Raises
    ------
    InvalidInstance
        If the model is not one whose order is known, or shapes do not fit config.json.
    """
    for name in store.entries:
        stem = name.removesuffix(KEYS)
        if stem != name and not cross.search(name):
            yield _layer(store, stem)


def _layer(store: Store, stem: str) -> Attention:
    name, model = stem + KEYS, model_type(store, stem)
    if model not in LATENT:
        known = f"of model_type {model!r:.40}" if model else "of a model that config.json does not name"
        fact = f"is latent attention {known}, whose order of heads is not known here"
        raise InvalidInstance(fact, name, "give W_q and W_k as tensors query.weight and key.weight", store.source)
    heads, plain, rotary, value = (
        first_number(store, name, names)[1] or 0
        for names in (head_names(name), ("qk_nope_head_dim",), ("qk_rope_head_dim",), ("v_head_dim",))
    )
    down, outer = f"{stem}kv_a_proj_with_mqa.weight", f"{stem}q_b_proj.weight"
    direct = outer not in store.entries
    outer = f"{stem}q_proj.weight" if direct else outer
    first = () if direct else (f"{stem}q_a_proj.weight", f"{stem}q_a_layernorm.weight")
    missing = [one for one in (down, f"{stem}kv_a_layernorm.weight", outer, *first) if one not in store.entries]
    if missing:
        raise InvalidInstance("is missing beside kv_b_proj", missing[0], "use a complete checkpoint", store.source)
    sizes = [check_matrix(store, one)[0] for one in (name, outer)]
    if sizes != [heads * (plain + value), heads * (plain + rotary)] or not plain:
        fact = f"has {sizes[0]} outputs and {outer} {sizes[1]}, which do not fit {heads} heads of config.json"
        raise InvalidInstance(fact, name, BELONGS, store.source)
    key = Part(
        name,
        0,
        _each(heads, plain, plain + value),
        f"{stem}kv_a_layernorm.weight",
        whole(down, check_matrix(store, name)[1]),
    )
    query = Part(outer, 0, _each(heads, plain, plain + rotary))
    if first:
        query = query._replace(norm=first[1], inner=whole(first[0], check_matrix(store, first[0])[0]))
    return Attention(stem.rstrip("."), "DeepSeek", query, key, heads, heads)


def _each(heads: int, size: int, stride: int) -> tuple[tuple[int, int], ...]:
    """Return the first outputs of each head."""
    return tuple((head * stride, head * stride + size) for head in range(heads))
