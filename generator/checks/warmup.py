"""Whether warm-up samples can be run."""
