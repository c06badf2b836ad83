"""Whether response cache, decoupled responses and metrics go together."""
