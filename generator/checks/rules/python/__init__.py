"""Rules about Python models, told from their files without running them."""
