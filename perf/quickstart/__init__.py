"""`make quickstart`: the whole path on both demos, each step as a user would take it with the command line."""
