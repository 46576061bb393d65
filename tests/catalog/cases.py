"""Parameters at which the catalogue is compared: several sizes of every family, edges included."""

from __future__ import annotations

from typing import Any

CASES: dict[str, list[dict[str, Any]]] = {
    "causal_lm": [{"n": n} for n in (2, 3, 8, 17)],
    "prefix_lm": [{"n": n, "P": P} for n, P in ((2, 1), (5, 1), (5, 4), (8, 3), (13, 6))],
    "packed_docs": [{"lengths": lengths} for lengths in ((3,), (3, 4, 2), (2, 2, 2), (1, 5, 1, 3))],
    "sliding_window": [{"n": n, "w": w} for n, w in ((2, 1), (6, 1), (8, 3), (9, 20), (12, 5))],
    "local_global": [{"n": n, "w": w, "d": d} for n, w, d in ((2, 1, 1), (8, 2, 2), (10, 2, 3), (12, 3, 2), (7, 1, 9))],
    "encdec_flat": [{"m": m, "n": n} for m, n in ((1, 1), (4, 5), (7, 2), (1, 6))],
    "xlnet_two_stream": [
        {"n": n, "T": len(z), "z": z}
        for n, z in ((2, (0,)), (4, (2, 0)), (6, (5, 0, 3)), (7, (1, 4, 6, 0, 2, 5)), (9, (8, 7, 6)))
    ],
    "block_two_stream": [{"n": n, "l": size} for n, size in ((1, 1), (4, 4), (8, 2), (9, 3), (6, 1), (12, 4))],
    "block_two_stream_causal": [{"n": n, "l": size} for n, size in ((1, 1), (4, 4), (8, 2), (9, 3), (6, 1), (12, 4))],
    "butterfly": [{"n": n} for n in (2, 3, 4, 8, 13)],
    "bd3lm": [
        {"n": n, "l": size, "masked": m}
        for n, size, m in (
            (4, 2, (1, 2)),
            (8, 2, (0, 3, 4, 7)),
            (8, 4, (1,)),
            (9, 3, (6, 7, 8)),
            (4, 1, (0, 1, 2, 3)),
            (12, 4, (0, 1, 2, 3, 10)),
        )
    ],
    "complementary_bd": [
        {"n": n, "l": size, "masked": m}
        for n, size, m in ((4, 2, (0, 2)), (8, 2, (0, 1, 3)), (6, 3, (5,)), (3, 1, (1,)), (8, 4, (1, 2, 7)))
    ],
    "mask_token_chain": [{"n": n, "K": K} for n, K in ((2, 1), (2, 5), (6, 3), (7, 1), (5, 5), (8, 4))],
    "medusa_tree": [
        {"P": P, "choices": choices}
        for P, choices in (
            (3, ((0,), (0, 0), (0, 1), (1,), (1, 0))),
            (0, ((0, 0), (1, 0))),
            (2, ((0,), (0,), (1,))),
            (4, ((2, 0, 1), (2, 0, 0), (0, 0, 0, 0))),
        )
    ],
    "shared_prefix_group": [{"P": P, "R": R, "G": G} for P, R, G in ((1, 1, 1), (4, 3, 3), (2, 5, 2), (3, 1, 4))],
    "dpo_prefix_sharing": [{"P": P, "chosen": c, "rejected": r} for P, c, r in ((1, 1, 1), (4, 3, 2), (2, 1, 5))],
    "agent_trie": [
        {"rollouts": rollouts}
        for rollouts in (
            ((0, 1, 2, 3), (0, 1, 2, 4, 5), (0, 6, 7)),
            ((0, 0, 0, 0), (0, 0, 1), (1, 0, 0)),
            ((3, 1, 2), (3, 1, 2), (3, 1)),
            ((5, 6), (7, 8, 9), (4,)),
        )
    ],
    "multiturn_reasoning": [
        {"turns": turns}
        for turns in (
            ((1, 1, 1),),
            ((2, 3, 2), (1, 2, 2)),
            ((1, 1, 2), (2, 2, 1), (1, 3, 3)),
            ((2, 0, 3), (1, 2, 2)),
            ((1, 0, 1), (1, 0, 2)),
        )
    ],
    "parallel_context": [
        {"docs": docs, "questions": questions, "uses": uses}
        for docs, questions, uses in (
            ((2, 3), (3, 2), ()),
            ((2, 2), (2, 3), ((0, 1), (1,))),
            ((1, 4, 2), (2, 2, 4), ((2, 0), (1,), ())),
            ((3, 3), (2,), ((1,),)),
        )
    ],
    "parallel_context_bos": [
        {"docs": docs, "questions": questions, "uses": uses}
        for docs, questions, uses in (
            ((2, 3), (3, 2), ()),
            ((1, 1, 3), (2, 4), ((0, 1), (0, 1, 2))),
            ((3, 3), (2,), ((1,),)),
        )
    ],
    "transfusion": [{"segments": s} for s in ((3, 2, 2), (0, 3), (2, 4), (1,), (2, 1, 0, 3, 1), (4,))],
    "var_scales": [{"patch_nums": p} for p in ((1,), (1, 2), (1, 2, 3), (2, 1), (1, 2, 4))],
    "tabpfn": [{"n": n, "m": m} for n, m in ((1, 1), (4, 3), (6, 1), (2, 7))],
    "tabpfn_duplicates": [
        {"train": tuple(train), "test": tuple(test)}
        for train, test in (("aabc", "xyx"), ("a", "x"), ("aaaa", "xx"), ("abab", "xyyz"))
    ],
    "tnp_a": [{"n": n, "m": m} for n, m in ((2, 1), (6, 3), (5, 4), (7, 1))],
    "loo_mlm": [{"n": n} for n in (1, 2, 4, 7)],
}
"""Family -> list of parameters."""

REPEATED = {"tabpfn_duplicates", "parallel_context_bos"}
"""Families with several copies of a class, compared class by class."""
