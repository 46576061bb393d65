"""List published medians over layers, for orientation.

arXiv 2502.10927v2, Tables S4 and S5, and the result files of its official code.

The symmetry scores are Tr(M M)/|M|^2, the directionality scores in mode ``excess`` with the sign of Definition 3.2.
LLaMA-3 and Mistral models are left out: the published code pairs the heads of grouped queries with other keys than the
model does. So is LLaMA2-7B, of which two directionalities are published, -0.26 and -0.29.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """Medians of one model; ``decoder`` where it was trained on next tokens."""

    model: str
    symmetry: float
    directionality: float
    decoder: bool


PUBLISHED = (
    Published("BERT-tiny", 0.77, -0.79, False),
    Published("BERT-mini", 0.62, -0.33, False),
    Published("BERT-small", 0.69, -0.22, False),
    Published("BERT-medium", 0.60, -0.23, False),
    Published("BERT-base", 0.51, -0.08, False),
    Published("BERT-large", 0.44, -0.03, False),
    Published("DistilBERT", 0.43, -0.13, False),
    Published("ALBERT-base", 0.72, -0.07, False),
    Published("RoBERTa-base", 0.49, -0.12, False),
    Published("RoBERTa-large", 0.47, -0.06, False),
    Published("XLM-R-base", 0.51, -0.02, False),
    Published("ModernBERT-base", 0.18, -0.04, False),
    Published("ModernBERT-large", 0.20, 0.01, False),
    Published("GPT", 0.07, -0.18, True),
    Published("GPT2", 0.15, -0.58, True),
    Published("GPT2-medium", 0.17, -0.42, True),
    Published("GPT2-large", 0.17, -0.32, True),
    Published("GPT2-XL", 0.12, -0.23, True),
    Published("DistilGPT2", 0.19, -0.51, True),
    Published("GPT-J-6B", 0.11, -0.28, True),
    Published("LLaMA2-13B", 0.17, -0.15, True),
)


def published_range(decoder: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the lowest and highest published symmetry and directionality of encoders or decoders.

    Examples
    --------
    >>> published_range(decoder=False), published_range(decoder=True)
    (((0.18, 0.77), (-0.79, 0.01)), ((0.07, 0.19), (-0.58, -0.15)))
    """
    chosen = [model for model in PUBLISHED if model.decoder == decoder]
    s, d = [model.symmetry for model in chosen], [model.directionality for model in chosen]
    return (min(s), max(s)), (min(d), max(d))
