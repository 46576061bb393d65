"""Published analyses of masks and attention weights: clustering, hierarchy, symmetry."""
