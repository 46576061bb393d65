"""A mask_mod that the command line can import."""


def causal(b, h, q, k):
    return q >= k
