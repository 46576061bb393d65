"""Take the hidden states of a text in a model as points to start from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.typing import Float64Array


def token_states(folder: str | Path, text: str, layer: int) -> tuple[Float64Array, tuple[str, ...]]:
    """Return the states of a text's tokens as they enter a layer, (n, d), and the tokens.

    Parameters
    ----------
    folder : path
        A model with its tokenizer, as ``save_pretrained`` writes both; nothing is fetched.
    text : str
    layer : int
        0 is the output of the embeddings.

    Raises
    ------
    InvalidInstance
        If the folder has no model or tokenizer, the text has no tokens, or there is no such layer.
    Unsupported
        Without torch or transformers, and for models of encoder and decoder.
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise Unsupported("states of a text need a model; pip install 'masksynth[hf]'")
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = Path(folder)
    place = place if place.is_dir() else place.parent
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(place), local_files_only=True)
        model = AutoModel.from_pretrained(str(place), local_files_only=True).eval()
    except (OSError, ValueError, KeyError) as error:
        fact = f"holds no model with a tokenizer: {str(error).splitlines()[0]:.80}"
        raise InvalidInstance(fact, "", "name a folder of save_pretrained", str(place)) from None
    if model.config.is_encoder_decoder:
        raise Unsupported(
            f"{place}: a model of encoder and decoder has two lists of layers; give one of them as a model"
        )
    tokens = tokenizer(text, return_tensors="pt", truncation=True)
    with torch.no_grad():
        states = model(**tokens, output_hidden_states=True).hidden_states
    if not 0 <= layer < len(states) or not tokens["input_ids"].numel():
        raise InvalidInstance(
            f"expected a text and a layer from 0 to {len(states) - 1}, got {layer}", "", "", str(place)
        )
    names = tokenizer.convert_ids_to_tokens(tokens["input_ids"][0].tolist())
    return states[layer][0].numpy().astype(np.float64), tuple(names)
