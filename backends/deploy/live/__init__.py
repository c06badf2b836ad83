"""`deploy --url`: a running server is brought to what the repository says and verified, or back to what it was."""
