"""Whether ragged batches, batch inputs and batch outputs say what Triton must know."""
