"""Result of ``self_test``: what was compared, and what was not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class SelfTest:
    """Result of ``self_test``; true only if samples were compared with a reference.

    Parameters
    ----------
    forbidden : float
        The largest movement of an output that had to stay; 0 on deterministic kernels.
    apart : float
        The largest difference between merged and separate logits.
    probes : int
        Number of sets of tokens that were changed.
    samples : int
        Number of samples that were tested.
    compared : int
        How many of them, and of longer ones made for the test, were compared with the model's own run of the sample
        alone, or with ``reference``; 0: none.
    longest : int
        Number of tokens of the longest sample compared.
    window : int or None
        The model's longest window or chunk, in tokens, made shorter for the test where no sample can exceed it; None if
        it has none, or is not known.
    not_compared : tuple of str
        What was not compared, and why.
    understood : bool
        False if the transformers model inside is one whose windows are not understood.
    derivative : bool
        Whether the derivative of the samples' outputs by tokens outside them was taken; it is exactly 0.
    telling : bool
        False if the compared logits would be the same, up to rounding, without context or without the window.
    """

    forbidden: float
    apart: float
    probes: int
    samples: int
    compared: int
    longest: int
    window: int | None
    not_compared: tuple[str, ...]
    understood: bool = True
    derivative: bool = False
    telling: bool = True

    def __bool__(self) -> bool:
        """Return whether samples were compared, one of them longer than the model's window.

        The model has to be understood, and the logits have to depend on context and window by more than rounding.
        """
        beyond = self.window is None or self.longest > self.window
        return self.compared > 0 and self.understood and self.telling and beyond

    def __str__(self) -> str:
        """Return what was compared and what was not, one per line."""
        lines = []
        if self.compared:
            difference = f"logits differ by at most {self.apart:.3g} from the samples alone"
            window = "" if self.window is None else f", the model's window {self.window}"
            lines += [f"{self.compared} samples compared: {difference}"]
            lines += [f"longest sample compared: {self.longest} tokens{window}"]
        lines += ["derivative by tokens outside the samples: 0"] * self.derivative
        lines += [f"not compared: {item}" for item in self.not_compared]
        lines += [f"{self.probes} sets of tokens changed: the largest forbidden movement is {self.forbidden:.3g}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        missing = "".join(f", not compared: {item}" for item in self.not_compared)
        return f"SelfTest(compared={self.compared}, apart={self.apart:.3g}, forbidden={self.forbidden:.3g}{missing})"
