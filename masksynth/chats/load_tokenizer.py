"""Load the tokenizer of a model from this machine; needs transformers (``pip install 'masksynth[hf]'``)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance, Unsupported

REMEDY = "give a folder with tokenizer.json, or a name in the local cache; nothing is downloaded"


def load_tokenizer(tokenizer: Any) -> Any:
    """Return a tokenizer of transformers.

    Parameters
    ----------
    tokenizer : path, str or tokenizer
        A folder that a tokenizer was saved to, a name in the local cache of Hugging Face, or a loaded tokenizer.
        Nothing is downloaded, and no code that comes with a tokenizer is run.

    Raises
    ------
    InvalidInstance
        If no tokenizer is found there.
    Unsupported
        If transformers or jinja2 is not installed.
    """
    for package in ("transformers", "jinja2"):
        if find_spec(package) is None:
            raise Unsupported(f"chats need {package}: pip install 'masksynth[hf]'")
    if not isinstance(tokenizer, (str, Path)):
        if callable(tokenizer) and hasattr(tokenizer, "apply_chat_template"):
            return tokenizer
        fact = f"expected a tokenizer, got {type(tokenizer).__name__}"
        raise InvalidInstance(fact, "", "give a folder, a name, or a tokenizer of transformers")
    folder = find_tokenizer(tokenizer)
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except MemoryError:
        raise
    except Exception as error:  # transformers raises plain Exception and several kinds of its own
        fact = f"no tokenizer can be read: {' '.join(str(error).split())[:200]}"
        raise InvalidInstance(fact, "", REMEDY, str(tokenizer)) from None


def find_tokenizer(name: str | Path) -> Path:
    """Return a path as it is, or the folder of a name in the local cache of Hugging Face.

    Raises
    ------
    InvalidInstance
        If it is neither; nothing is downloaded.
    """
    path = Path(name)
    if path.exists():
        return path
    if find_spec("huggingface_hub") is not None:
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(str(name), local_files_only=True))
        except (OSError, ValueError):  # not in the cache, or not a name at all
            pass
    raise InvalidInstance("no tokenizer found", "", REMEDY, str(name))
