"""Whether an ensemble agrees with the models of its steps."""
