"""The forms of rows of chats: which fields they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from masksynth.errors import InvalidInstance

FORMS = {
    ("messages",): "messages",
    ("conversations",): "messages",
    ("prompt", "completion"): "completion",
    ("prompt", "completion", "label"): "judged",
    ("prompt", "chosen", "rejected"): "pair",
    ("chosen", "rejected"): "pair",
    ("prompt", "completions", "rewards"): "rollouts",
}
"""Fields of a row, all of them required -> its kind."""
FIELDS = tuple(dict.fromkeys(name for names in FORMS for name in names))
IMAGES = ("image", "images", "video", "videos", "audio", "audios")
TRAIN = {
    "messages": ("assistant", "last", "all"),
    "completion": ("completion", "assistant", "last", "all"),
    "judged": ("completion", "assistant", "last", "all"),
    "pair": ("completion", "assistant", "last"),
    "rollouts": ("completion", "assistant", "last"),
}
"""Kind of row -> which tokens can be trained; the first is the default."""


def form_of(fields: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """Return the fields that make a row a chat, or name what is missing or too much.

    Examples
    --------
    >>> form_of({"prompt": "2 + 3 =", "completion": " 5", "id": 1}, "a:1")
    ('prompt', 'completion')
    >>> form_of({"prompt": "2 + 3 =", "chosen": " 5"}, "a:1")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: a:1: $: rejected is missing; give prompt, chosen and rejected
    """
    if image := next((name for name in IMAGES if fields.get(name)), None):
        raise InvalidInstance("only text is packed", f"$.{image}", "leave such rows out", place)
    # a label is that of a completion; beside other fields it is one of those that are ignored
    given = tuple(name for name in FIELDS if name in fields and (name != "label" or "completion" in fields))
    if given in FORMS:
        return given
    all_forms = "; ".join(map(listed, FORMS))
    if not given:
        found = f", it has {listed(sorted(map(str, fields))[:8])}" if fields else ""
        raise InvalidInstance(f"the row is not a chat{found}", "$", f"give {all_forms}", place)
    for names in FORMS:
        missing = [name for name in names if name not in given]
        if set(given) - {"label"} <= set(names) and given != ("prompt",):
            raise InvalidInstance(f"{listed(missing)} {_is(missing)} missing", "$", f"give {listed(names)}", place)
    raise InvalidInstance(f"{listed(given)} {_is(given)} not a chat", "$", f"give one of: {all_forms}", place)


def listed(names: Sequence[str]) -> str:
    """Return names as words: ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
