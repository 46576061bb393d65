"""Read what a merged batch must know of a loaded transformers model: masks of its layers, position ids, refusals."""
