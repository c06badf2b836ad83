"""A sweep as an Indexed Job: `job` writes it, `cell` is what its pods run, `collect` merges what they measured."""
