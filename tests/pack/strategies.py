"""Random samples: few tokens and few distinct ones, so that much is shared."""

from hypothesis import strategies as st

TOKENS = st.integers(0, 2)


@st.composite
def causal_samples(draw, most=5, length=6):
    count = draw(st.integers(1, most))
    rows = []
    for number in range(count):
        ids = draw(st.lists(TOKENS, min_size=0, max_size=length))
        labels = [-100 if i == 0 or draw(st.booleans()) else token for i, token in enumerate(ids)]
        rows.append({"id": f"s{number}", "group": "g", "input_ids": ids, "labels": labels})
    return rows


@st.composite
def segmented_samples(draw, most=3, segments=4, length=3):
    count = draw(st.integers(1, most))
    rows = []
    for number in range(count):
        parts, total, tokens = [], draw(st.integers(1, segments)), []
        for place in range(total):
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
            tokens += draw(st.lists(TOKENS, min_size=size, max_size=size))
        labels, place = [], 0
        for part in parts:
            for index in range(part["length"]):
                able = part["predict"] == "self" or index or part["after"] >= 0
                labels.append(tokens[place] if able and draw(st.booleans()) else -100)
                place += 1
        rows.append({"id": f"s{number}", "group": "g", "input_ids": tokens, "labels": labels, "segments": parts})
    return rows
