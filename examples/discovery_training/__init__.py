"""Does a discovered structure train? Small models, equal FLOPs, one score for all."""
