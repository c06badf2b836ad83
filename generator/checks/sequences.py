"""Whether the sequence batcher can do what it is asked to: controls, states, direct and oldest."""
