"""Scripts that show masksynth in use; run them from a checkout."""
