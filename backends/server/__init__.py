"""The embedded server: its options, the private view it serves, loading, explaining, ending; and the container."""
