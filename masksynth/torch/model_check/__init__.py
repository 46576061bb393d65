"""What checks of a model share: its own runs, runs under given masks, comparisons of outputs, and derivatives."""
