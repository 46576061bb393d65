"""Exact searches for structures of contracts: encodings as weighted CNF, solvers, independent jobs, certificates."""
