"""verl's engine functions and OpenRLHF's actor, folded and not, in an environment of their own."""
