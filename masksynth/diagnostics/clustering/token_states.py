"""Take the hidden states of a text in a model as points to start from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

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
        If the folder has no model or tokenizer, the text has no tokens or too many, or there is no such layer.
    Unsupported
        Without torch or transformers, and for models of encoder and decoder.
    """
    (states,), (tokens,) = states_of_texts(folder, [text], layer)
    return states, tokens


def states_of_texts(
    folder: str | Path, texts: Sequence[str], layer: int
) -> tuple[list[Float64Array], list[tuple[str, ...]]]:
    """Return the states and tokens of several texts, as ``token_states`` does, from a model that is loaded once."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise Unsupported("states of a text need a model; pip install 'masksynth[hf]'")
    place = Path(folder)
    place = place if place.is_dir() else place.parent
    tokenizer, model = _loaded(place)
    if model.config.is_encoder_decoder:
        raise Unsupported(
            f"{place}: a model of encoder and decoder has two lists of layers; give one of them as a model"
        )
    pairs = [_states(place, tokenizer, model, text, layer) for text in texts]
    return [states for states, _ in pairs], [tokens for _, tokens in pairs]


def _states(place: Path, tokenizer: Any, model: Any, text: str, layer: int) -> tuple[Float64Array, tuple[str, ...]]:
    """Return the states of one text, and its tokens."""
    import torch

    tokens = tokenizer(text, return_tensors="pt", verbose=False)
    number = tokens["input_ids"].numel()
    if not number or not text.strip():
        raise InvalidInstance("the text has no tokens", "", "give a longer text", str(place))
    # models with rotary positions run beyond those that they were trained with
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or number
    for most, name in ((tokenizer.model_max_length, "tokenizer"), (positions, "model")):
        if 0 < most < number:
            fact = f"the text has {number:,} tokens, and the {name} takes at most {most:,}"
            raise InvalidInstance(fact, "", "give a shorter text", str(place))
    try:
        with torch.no_grad():
            states = model(**tokens, output_hidden_states=True).hidden_states
    except (IndexError, RuntimeError) as error:  # more tokens than the model has positions for
        fact = f"does not take {number:,} tokens: {(str(error).splitlines() or [type(error).__name__])[0]:.80}"
        raise InvalidInstance(fact, "", "give a shorter text", str(place)) from None
    if not 0 <= layer < len(states):
        raise InvalidInstance(f"expected a layer from 0 to {len(states) - 1}, got {layer}", "", "", str(place))
    names = tokenizer.convert_ids_to_tokens(tokens["input_ids"][0].tolist())
    return states[layer][0].double().numpy(), tuple(names)


def _loaded(place: Path) -> tuple[Any, Any]:
    """Return the tokenizer and the model of a folder, without the library's progress and warnings."""
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(place), local_files_only=True)
        return tokenizer, AutoModel.from_pretrained(str(place), local_files_only=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        fact = f"holds no model with a tokenizer: {(str(error).splitlines() or [type(error).__name__])[0]:.80}"
        raise InvalidInstance(fact, "", "name a folder of save_pretrained", str(place)) from None
    finally:
        logging.set_verbosity(before)
