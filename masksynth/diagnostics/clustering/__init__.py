"""Simulate tokens as particles that attention moves, for any mask (arXiv 2411.04990)."""

from masksynth.diagnostics.clustering.centres import captured, clusters, renyi_centres, strong_centres
from masksynth.diagnostics.clustering.clustering_record import Clustering, Curve
from masksynth.diagnostics.clustering.comparison import Row, compare, prefix_mask, row_of, window_mask
from masksynth.diagnostics.clustering.conditions import Compared, Verdict, captures_all, enough, stays, stays_until
from masksynth.diagnostics.clustering.counts import (
    cap_mass,
    expected_renyi_circle,
    expected_strong,
    expected_strong_of_law,
    parking,
    parking_constant,
)
from masksynth.diagnostics.clustering.diagnosis import diagnose
from masksynth.diagnostics.clustering.hemispheres import in_hemisphere
from masksynth.diagnostics.clustering.interaction import (
    energy,
    interaction,
    interaction_bounds,
    peak,
    slope,
    two_tokens,
    two_tokens_time,
)
from masksynth.diagnostics.clustering.lasting import Lasting, lasting, similarity
from masksynth.diagnostics.clustering.limit_statement import Statement
from masksynth.diagnostics.clustering.model_heads import Head, HeadSpectrum, head_spectra, read_head
from masksynth.diagnostics.clustering.root_groups import Group
from masksynth.diagnostics.clustering.roots import FIXED, Down, Following, following, parts
from masksynth.diagnostics.clustering.row_blocks import causal_mask
from masksynth.diagnostics.clustering.setting import Setting
from masksynth.diagnostics.clustering.simulate import angles, starts, trajectories
from masksynth.diagnostics.clustering.statements import MEANING, PROVED, meaning, statement
from masksynth.diagnostics.clustering.token_states import token_states
from masksynth.diagnostics.clustering.value_spectrum import CONFIGURATIONS, Spectrum, conjectured_limit, value_spectrum
from masksynth.diagnostics.clustering.vector_field import Weights, weights
from masksynth.diagnostics.clustering.weight_laws import Law, Top, law_of

__all__ = [
    "CONFIGURATIONS",
    "FIXED",
    "MEANING",
    "PROVED",
    "Clustering",
    "Compared",
    "Curve",
    "Down",
    "Following",
    "Group",
    "Head",
    "HeadSpectrum",
    "Lasting",
    "Law",
    "Row",
    "Setting",
    "Spectrum",
    "Statement",
    "Top",
    "Verdict",
    "Weights",
    "angles",
    "cap_mass",
    "captured",
    "captures_all",
    "causal_mask",
    "clusters",
    "compare",
    "conjectured_limit",
    "diagnose",
    "energy",
    "enough",
    "expected_renyi_circle",
    "expected_strong",
    "expected_strong_of_law",
    "following",
    "head_spectra",
    "in_hemisphere",
    "interaction",
    "interaction_bounds",
    "lasting",
    "law_of",
    "meaning",
    "parking",
    "parking_constant",
    "parts",
    "peak",
    "prefix_mask",
    "read_head",
    "renyi_centres",
    "row_of",
    "similarity",
    "slope",
    "starts",
    "statement",
    "stays",
    "stays_until",
    "strong_centres",
    "token_states",
    "trajectories",
    "two_tokens",
    "two_tokens_time",
    "value_spectrum",
    "weights",
    "window_mask",
]
