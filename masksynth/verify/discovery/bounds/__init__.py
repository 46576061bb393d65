"""The checker's own lower bounds, from the theorems of ``docs/discovery.md`` alone."""

from masksynth.verify.discovery.bounds.cost_bound import prove_cost as prove_cost
