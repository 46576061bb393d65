"""Reach of a token in one layer: the tokens of its own sample that it attends to (causal or not, window, chunk)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from masksynth.errors import InvalidInstance


@dataclass(frozen=True)
class Reach:
    """The tokens of its own sample that a token attends to in one layer of a model.

    Parameters
    ----------
    kind : {"causal", "bidirectional"}
        Whether a token attends only to earlier tokens, by the model's own default.
    window : int, optional
        W, in tokens: token i attends to j with ``i - j < W`` in causal layers, ``|i - j| <= W`` in bidirectional ones.
    chunk : int, optional
        C, in tokens: token i attends only to j with ``i // C == j // C``.

    Raises
    ------
    InvalidInstance
        If a window or chunk is not an integer above 0 (a bidirectional window may be 0).
    """

    kind: Literal["causal", "bidirectional"] = "causal"
    window: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        least = {"window": 1 if self.kind == "causal" else 0, "chunk": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < bound):
                fact = f"{name}: expected an integer of at least {bound}, got {value!r}"
                raise InvalidInstance(fact, "", "pass the number in the model's config")

    @property
    def limited(self) -> bool:
        """Whether there is a window or a chunk."""
        return self.window is not None or self.chunk is not None

    def cuts(self, length: int) -> bool:
        """Return whether the window or chunk forbids some pair of a sample of ``length`` tokens.

        Examples
        --------
        >>> Reach(window=4).cuts(4), Reach(window=4).cuts(5), Reach("bidirectional", window=4).cuts(5)
        (False, True, False)
        """
        sizes = () if self.window is None else (self.window + (self.kind == "bidirectional"),)
        return any(size < length for size in (*sizes, *(() if self.chunk is None else (self.chunk,))))

    def __str__(self) -> str:
        parts: list[str] = [self.kind]
        parts += [f"window {self.window}"] if self.window is not None else []
        parts += [f"chunk {self.chunk}"] if self.chunk is not None else []
        return ", ".join(parts)
