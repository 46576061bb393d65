"""Predict the effect of a mask by three published analyses: clustering, hierarchy, symmetry."""
