"""State what is proved, conjectured, open or refuted about the scores, with sources; records carry it.

[S] is arXiv 2502.10927, [P] this project's page docs/symmetry.md, where proofs and counterexamples are.
"""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """A statement, its status and where that comes from.

    Parameters
    ----------
    name : str
    status : {"theorem", "conjecture", "open", "refuted"}
    statement : str
    source : str
    about : {"weights", "mask"}
        The diagnosis that it belongs to.
    """

    name: str
    status: str
    statement: str
    source: str
    about: str


STATUSES = ("theorem", "conjecture", "open", "refuted")
CLAIMS = (
    Claim(
        "random mean",
        "theorem",
        "the mean score is 1/n for n x n entries that are independent, of one law, symmetric about 0, and for products "
        "of two such factors",
        "[P], The two scores",
        "weights",
    ),
    Claim(
        "centred mean",
        "refuted",
        "the mean score is 1/n for every law of mean 0",
        "[P]: exponential numbers minus 1 have 0.533 at n = 2",
        "weights",
    ),
    Claim(
        "printed random mean",
        "refuted",
        "the mean score of random matrices is 8/n",
        "[S], Proposition S1.15; [P]: it is 1/n",
        "weights",
    ),
    Claim(
        "printed factor",
        "refuted",
        "the score with the factor 2 of Definition 3.1 is in [-1, 1]",
        "[P]: a symmetric matrix would have 2",
        "weights",
    ),
    Claim(
        "encoders above decoders",
        "refuted",
        "each encoder has a larger median symmetry than each decoder",
        "[S], Tables S4 and S5: ModernBERT-base 0.18, DistilGPT2 0.19; [P], A training run; it is a trend",
        "weights",
    ),
    Claim(
        "encoders without direction",
        "refuted",
        "encoders have a directionality near 0",
        "[S], Table S5: BERT-tiny -0.79; it is a trend",
        "weights",
    ),
    Claim(
        "update limit",
        "theorem",
        "for independent isotropic tokens with |x|^2/d -> 1 and equal errors, the score of one update tends in "
        "probability to the reciprocity as d grows",
        "[P], What a mask contributes",
        "mask",
    ),
    Claim(
        "update limit without norms",
        "refuted",
        "isotropic tokens suffice for that limit",
        "[P]: tokens of random lengths have the reciprocity of the mask weighted by these lengths",
        "mask",
    ),
    Claim(
        "equal errors",
        "refuted",
        "errors of the scores of a row can be equal in a model with softmax",
        "[P], What a mask contributes: those of a row add up to 0; [S] leaves softmax out",
        "mask",
    ),
    Claim(
        "update means",
        "theorem",
        "for Gaussian tokens the expected score printed is the quotient of the means of Tr(W W) and |W|^2",
        "[P], What a mask contributes",
        "mask",
    ),
    Claim(
        "counts",
        "theorem",
        "tokens at independent positions are context and predicted in the ratio of the expected counts",
        "[S], Proposition S1.9; [P] for any mask",
        "mask",
    ),
    Claim(
        "trained order",
        "refuted",
        "trained models are always ordered by the reciprocities of their masks",
        "[P], Initialisation and training: prefix-LM models end below causal ones",
        "mask",
    ),
    Claim(
        "trained score",
        "open",
        "which score training under a mask leads to",
        "[P], Initialisation and training",
        "mask",
    ),
)


def claims_about(what: str) -> list[dict[str, str]]:
    """Return the claims of one diagnosis as plain JSON values.

    Examples
    --------
    >>> [(claim["name"], claim["status"]) for claim in claims_about("mask")][:2]
    [('update limit', 'theorem'), ('update limit without norms', 'refuted')]
    """
    return [
        {name: value for name, value in claim._asdict().items() if name != "about"}
        for claim in CLAIMS
        if claim.about == what
    ]
