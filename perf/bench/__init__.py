"""Long measurements behind `make bench*`; their results are committed under results/."""
