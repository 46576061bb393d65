"""Random samples: few distinct tokens, kinds and positions, so that much is shared; several groups."""

from hypothesis import strategies as st

ROUTE = "route"
"""A further key field that some samples have."""


@st.composite
def alphabets(draw):
    """Token ids of one example: two or three, so that much is shared, or many."""
    return st.integers(draw(st.sampled_from([0, 0, 5])), draw(st.sampled_from([6, 7, 7, 40])))


def groups():
    """A string, a number that has the same text, or none."""
    return st.sampled_from(["g", "g", "1", 1, None])


@st.composite
def optional_keys(draw, size, wanted=("position_ids", "kinds", ROUTE)):
    """Some of the optional per-token lists of integers; small ones, so that different lists could share a code."""
    keys = {}
    for name in wanted:
        if draw(st.integers(0, 2)) == 0:
            keys[name] = draw(st.lists(st.integers(0, draw(st.integers(0, 3))), min_size=size, max_size=size))
    return keys


@st.composite
def causal_samples(draw, most=5, length=6):
    tokens = draw(alphabets())
    rows = []
    for number in range(draw(st.integers(1, most))):
        ids = draw(st.lists(tokens, min_size=0, max_size=length))
        labels = [-100 if i == 0 or draw(st.booleans()) else token for i, token in enumerate(ids)]
        keys = draw(optional_keys(len(ids)))
        rows.append({"id": f"s{number}", "group": draw(groups()), "input_ids": ids, "labels": labels, **keys})
    return rows


@st.composite
def segmented_samples(draw, most=3, segments=4, length=3):
    tokens = draw(alphabets())
    rows = []
    for number in range(draw(st.integers(1, most))):
        parts, ids = draw(segment_lists(tokens, segments, length))
        labels, place = [], 0
        for part in parts:
            for index in range(part["length"]):
                able = part["predict"] == "self" or index or part["after"] >= 0
                labels.append(ids[place] if able and draw(st.booleans()) else -100)
                place += 1
        keys = draw(optional_keys(len(ids)))
        row = {"id": f"s{number}", "group": draw(groups()), "input_ids": ids, "labels": labels, "segments": parts}
        rows.append(row | keys)
    return rows


@st.composite
def segment_lists(draw, tokens, segments, length):
    """The segments of one sample and its token ids."""
    parts, ids = [], []
    for place in range(draw(st.integers(1, segments))):
        size = draw(st.integers(0, length))
        part = {
            "length": size,
            "sees": sorted(draw(st.sets(st.integers(0, place - 1)))) if place else [],
            "within": draw(st.sampled_from(["causal", "causal", "full", "self"])),
            "predict": draw(st.sampled_from(["next", "self"])),
        }
        if draw(st.booleans()):
            part["position"] = draw(st.integers(0, 4))
        before = [s for s in range(place) if parts[s]["length"]]
        part["after"] = draw(st.sampled_from(before)) if before else -1
        parts.append(part)
        ids += draw(st.lists(tokens, min_size=size, max_size=size))
    return parts, ids
