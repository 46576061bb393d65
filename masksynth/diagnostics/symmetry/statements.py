"""List what is known about the two scores: theorems, open questions and what was refuted, with sources."""

from __future__ import annotations

from masksynth.diagnostics.statements import Statement

OF_WEIGHTS = (
    Statement(
        "random mean",
        "the mean score is 1/n for n x n entries that are independent, of one law, symmetric about 0, and for "
        "products of two such factors",
        "theorem",
        "docs/symmetry.md, The two scores",
    ),
    Statement(
        "centred mean",
        "the mean score is 1/n for every law of mean 0",
        "refuted",
        "docs/symmetry.md: exponential numbers minus 1 have 0.533 at n = 2",
    ),
    Statement(
        "printed random mean",
        "the mean score of random matrices is 8/n",
        "refuted",
        "arXiv 2502.10927, Proposition S1.15; docs/symmetry.md: it is 1/n",
    ),
    Statement(
        "printed factor",
        "the score with the factor 2 of Definition 3.1 is in [-1, 1]",
        "refuted",
        "docs/symmetry.md: a symmetric matrix would have 2",
    ),
    Statement(
        "encoders above decoders",
        "each encoder has a larger median symmetry than each decoder",
        "refuted",
        "arXiv 2502.10927, Tables S4 and S5: ModernBERT-base 0.18, DistilGPT2 0.19; docs/symmetry.md, A training run; "
        "it is a trend",
    ),
    Statement(
        "encoders without direction",
        "encoders have a directionality near 0",
        "refuted",
        "arXiv 2502.10927, Table S5: BERT-tiny -0.79; it is a trend",
    ),
)
"""What is known of the scores of trained weights."""
OF_MASK = (
    Statement(
        "update limit",
        "for independent isotropic tokens with |x|^2/d -> 1 and equal errors, the score of one update tends in "
        "probability to the reciprocity as d grows",
        "theorem",
        "docs/symmetry.md, What a mask contributes",
    ),
    Statement(
        "update limit without norms",
        "isotropic tokens suffice for that limit",
        "refuted",
        "docs/symmetry.md: tokens of random lengths have the reciprocity of the mask weighted by these lengths",
    ),
    Statement(
        "equal errors",
        "errors of the scores of a row can be equal in a model with softmax",
        "refuted",
        "docs/symmetry.md, What a mask contributes: those of a row add up to 0; arXiv 2502.10927 leaves softmax out",
    ),
    Statement(
        "update means",
        "for Gaussian tokens the expected score printed is the quotient of the means of Tr(W W) and |W|^2",
        "theorem",
        "docs/symmetry.md, What a mask contributes",
    ),
    Statement(
        "counts",
        "tokens at independent positions are context and predicted in the ratio of the expected counts",
        "theorem",
        "arXiv 2502.10927, Proposition S1.9; docs/symmetry.md for any mask",
    ),
    Statement(
        "trained order",
        "trained models are always ordered by the reciprocities of their masks",
        "refuted",
        "docs/symmetry.md, Initialisation and training: prefix-LM models end below causal ones",
    ),
    Statement(
        "trained score",
        "which score training under a mask leads to",
        "open",
        "docs/symmetry.md, Initialisation and training",
    ),
)
"""What is known of the scores of the update under a mask."""
STATEMENTS = OF_WEIGHTS + OF_MASK
