"""Whether the server has what executes a model: platform, backend, runtime library, repository agents."""
